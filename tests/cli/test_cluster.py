"""A batch on a Dask cluster: a real scheduler and two workers on this machine, one of which is killed in the middle."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

from dtanalyze.cli import main
from dtanalyze.controls.settings import KEYS
from tests.cli.test_cli import ROOT

pytestmark = pytest.mark.skipif(
    find_spec("distributed") is None, reason="distributed is not installed: whether a cluster gives the same answer is not shown"
)  # fmt: skip

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
SECONDS = 60.0


class Cluster(NamedTuple):
    address: str
    workers: list[subprocess.Popen[bytes]]


def started(module: str, *argv: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.{module}", *argv, "--no-dashboard"],
        env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    file = tmp_path / "scheduler.json"
    scheduler = started("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file))
    workers = [
        started("dask_worker", "--scheduler-file", str(file), "--host", "127.0.0.1", "--nthreads", "1", "--no-nanny")
        for _ in range(2)
    ]
    try:
        deadline = time.monotonic() + SECONDS
        while not file.exists() or not file.read_text():
            assert scheduler.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        yield Cluster(json.loads(file.read_text())["address"], workers)
    finally:
        for process in (*workers, scheduler):
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with good trees, a board, an image with broken members, something that is no tree, a link to nowhere."""
    place = tmp_path_factory.mktemp("batch")
    fixtures = ROOT / "fixtures" / "dtb"
    for number in range(24):
        shutil.copy(fixtures / "hosts" / "05c-4banks-small-dom0.dtb", place / f"h{number:02}.dtb")
    shutil.copy(fixtures / "boots" / "11d-overlap.dtb", place / "bad.dtb")
    shutil.copy(fixtures / "hostile" / "f4.itb", place / "image.itb")
    (place / "none.dtb").write_bytes(b"no tree\n")
    (place / "gone.dtb").symlink_to("nowhere")
    return place


def check(batch: Path, *argv: str) -> subprocess.Popen[bytes]:
    argv = (sys.executable, "-m", "dtanalyze", "check", ".", "--format", "json", *argv)
    return subprocess.Popen(argv, cwd=batch, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def children(process: int) -> list[int]:
    """Return the processes that a process has started (Linux)."""
    try:
        found = [Path(f"/proc/{process}/task/{task}/children").read_text() for task in os.listdir(f"/proc/{process}/task")]
    except OSError:
        return []
    return [int(word) for text in found for word in text.split()]


def test_a_lost_worker_changes_no_byte(cluster: Cluster, batch: Path) -> None:
    alone = check(batch).communicate()
    ran = check(batch, "--dask", cluster.address)
    deadline = time.monotonic() + SECONDS
    while not children(cluster.workers[0].pid):  # it has an input in hand
        assert ran.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    left = children(cluster.workers[0].pid)
    cluster.workers[0].kill()
    cluster.workers[0].wait()
    assert ran.poll() is None, "in the middle of the batch"
    together = ran.communicate(timeout=SECONDS)
    assert together == alone and ran.returncode == 2
    assert len(json.loads(together[0])["results"]) == 25 and len(json.loads(together[0])["errors"]) == 3
    for process in left:  # ends with the pipe that its worker held
        while Path(f"/proc/{process}").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not Path(f"/proc/{process}").exists()


def test_a_tree_that_kills_its_process_costs_itself(cluster: Cluster, batch: Path) -> None:
    """What one input may cost holds on a worker too, and the next is answered by a new process."""
    ran = check(batch, "--dask", cluster.address, "--timeout", "0.001", "--fail-on", "never")
    out, err = ran.communicate(timeout=SECONDS)
    answer = json.loads(out)
    assert ran.returncode == 2 and len(answer["errors"]) + len(answer["results"]) == 28
    assert any("seconds of CPU time (--timeout)" in item["message"] for item in answer["errors"])
    for worker in cluster.workers:
        for process in children(worker.pid):
            os.kill(process, signal.SIGKILL)
    assert check(batch, "--dask", cluster.address).communicate(timeout=SECONDS) == check(batch).communicate()


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--dask", "here"), "--dask takes local or an address"),
        (("--dask", "tcp://127.0.0.1:1", "--jobs", "2"), "--jobs has no effect"),
        (("--dask", "tcp://:::"), "no cluster that works"),
    ],
)
def test_what_is_no_cluster(argv: tuple[str, ...], words: str, batch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["check", str(batch / "bad.dtb"), *argv])
    said = capsys.readouterr()
    assert (left.value.code, said.out, said.err.count("\n")) == (2, "", 1) and words in said.err


def test_only_the_command_line_names_a_cluster() -> None:
    """Who runs a scheduler can have anything run here: a file in a pull request must not name one."""
    assert "dask" not in KEYS and not any(item.param == "dask" for item in KEYS.values())
