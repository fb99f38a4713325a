"""What one input may cost, and what it cannot take with it: time, memory, defects of ours, workers, files that are none."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from dtanalyze.cli import limits, main
from dtanalyze.cli.run import Sources, TreeInput, checked, made_of
from dtanalyze.devicetree.write import new_node, strings, to_blob
from dtanalyze.inputs.files import Given
from tests.cli.test_cli import ROOT

BOOTS = ROOT / "fixtures" / "dtb" / "boots"
GOOD = (BOOTS / "02-dom0-x417-l612.dtb").read_bytes()
FORMATS = ("text", "json", "sarif", "junit", "github", "gitlab", "markdown")


class Desk:
    def __init__(self, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.place, self.capsys = place, capsys
        for name in ("a.dtb", "b.dtb", "c.dtb"):
            (place / name).write_bytes(GOOD)

    def run(self, *argv: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main(list(argv))
        printed = self.capsys.readouterr()
        return (left.value.code if isinstance(left.value.code, int) else 0), printed.out, printed.err

    def start(self, *argv: str, **more: object) -> subprocess.Popen[bytes]:
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.Popen([sys.executable, "-m", "dtanalyze", *argv], cwd=self.place, env=env, **more)  # type: ignore[call-overload,no-any-return]


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path, capsys)


def broken(item: TreeInput, *rest: Any, **more: Any) -> object:
    """An analysis with a defect, for one of the trees."""
    if item.name.startswith("b"):
        raise ZeroDivisionError("a\n::error::defect")
    return analysis_of(item, *rest, **more)


analysis_of = checked


@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize("form", FORMATS)
def test_a_defect_of_ours_is_one_failure(form: str, jobs: str, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("dtanalyze.cli.check"), "checked", broken)
    status, out, err = desk.run("check", "a.dtb", "b.dtb", "c.dtb", "--format", form, "--jobs", jobs)
    assert status == 2 and "Traceback" not in err
    assert err == (
        f"dtanalyze: b.dtb: internal error: ZeroDivisionError at {Path(__file__).name}:{broken.__code__.co_firstlineno + 3}: "
        "please report it, with this input; --debug shows where it comes from\n"
    )
    if form == "json":
        answer = json.loads(out)
        assert [item["path"] for item in answer["results"]] == ["a.dtb", "c.dtb"]
        assert [item["path"] for item in answer["errors"]] == ["b.dtb"]


def test_debug_shows_where_it_comes_from(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("dtanalyze.cli.check"), "checked", broken)
    err = desk.run("check", "b.dtb", "--debug")[2]
    assert "Traceback (most recent call last)" in err and Path(__file__).name in err
    assert all(line.startswith("dtanalyze: ") for line in err.splitlines())
    assert "Traceback" not in desk.run("check", "b.dtb")[2]


def test_a_defect_outside_of_every_input_is_one_sentence(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: object) -> None:
        raise KeyError("x")

    monkeypatch.setattr(import_module("dtanalyze.cli.outputs"), "write", nothing)
    assert desk.run("check", "a.dtb") == (
        2, "", "dtanalyze: internal error: KeyError: please report it, with the call; --debug shows where it comes from\n"
    )  # fmt: skip


def costs(work: object, seconds: float = 60, memory: int = 1 << 30) -> tuple[list[str], list[str]]:
    """Return the names of the trees answered and what is said of the others."""

    def analyse(item: TreeInput) -> str:
        if callable(work):
            work()
        return item.name

    found, failed = made_of(Given("x.dtb", GOOD), analyse, Sources(limits=limits.Limits(seconds, memory)))
    return found, [item.message for item in failed]


def spin() -> None:
    while True:
        pass


def test_cpu_time_is_limited() -> None:
    began = time.process_time()
    assert costs(spin, 0.2) == ([], ["it takes more than 0.2 seconds of CPU time (--timeout)"])
    assert time.process_time() - began < 2


def test_time_by_the_clock_is_not() -> None:
    """A busy machine fails no tree."""
    assert costs(lambda: time.sleep(0.3), 0.1) == (["x.dtb"], [])


def test_what_a_helper_computes_counts() -> None:
    def helper() -> None:
        subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.5: pass"], check=True)
        spin()

    began = time.process_time()
    assert costs(helper, 0.5)[1] == ["it takes more than 0.5 seconds of CPU time (--timeout)"]
    assert time.process_time() - began < 0.4, "nearly all of it was the helper's"


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
def test_memory_is_limited() -> None:
    found = costs(lambda: bytearray(256 << 20), memory=128 << 20)
    assert found == ([], ["it takes more than 128 MiB of memory (--memory-limit)"])
    assert costs(lambda: bytearray(256 << 20)) == (["x.dtb"], []), "the limit is lifted again"


def test_limits_hold_from_the_first_byte(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Given, "read", lambda _: spin())
    status, _, err = desk.run("check", "a.dtb", "--timeout", "0.1")
    assert status == 2 and err == "dtanalyze: a.dtb: it takes more than 0.1 seconds of CPU time (--timeout)\n"


def test_files_are_looked_at_before_they_are_read(desk: Desk) -> None:
    os.mkfifo(desk.place / "pipe.dtb")
    (desk.place / "gone.dtb").symlink_to("nowhere")
    with open(desk.place / "sparse.dtb", "wb") as file:
        file.truncate(3 << 30)
    status, out, err = desk.run("check", ".", "/dev/zero", "--format", "json")
    answer = json.loads(out)
    assert status == 2 and [item["path"] for item in answer["results"]] == ["./a.dtb", "./b.dtb", "./c.dtb"]
    assert err.splitlines() == [
        "dtanalyze: ./gone.dtb: the link leads nowhere (to nowhere)",
        "dtanalyze: ./pipe.dtb: it is a named pipe, not a file",
        "dtanalyze: ./sparse.dtb: it has 3221225472 bytes, more than the 256 MiB that are read",
        "dtanalyze: /dev/zero: it is a device, not a file",
    ]


def test_a_pipe_that_the_shell_holds_open_is_read(desk: Desk) -> None:
    ran = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m dtanalyze check -q <(cat a.dtb)"],
        cwd=desk.place, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0 and b": scratch: " in ran.stdout


def test_links_that_lead_back_are_not_followed(desk: Desk) -> None:
    for name in ("one", "two", "three"):
        (desk.place / name).symlink_to(".")
    began = time.monotonic()
    answer = json.loads(desk.run("check", "**/*.dtb", "*/a.dtb", "--format", "json")[1])
    assert time.monotonic() - began < 20
    names = [item["path"] for item in answer["results"]]
    assert names == ["a.dtb", "b.dtb", "c.dtb", "one/a.dtb", "three/a.dtb", "two/a.dtb"]


def test_an_image_of_kilobytes_does_not_become_gigabytes(desk: Desk) -> None:
    import gzip

    root = new_node("")
    images, configurations = new_node("images", root), new_node("configurations", root)
    bomb = gzip.compress(bytes(16 << 20))
    new_node("fdt-1", images, {"type": strings("flat_dt"), "compression": strings("gzip"), "data": bomb})
    for number in range(400):
        new_node(f"conf-{number}", configurations, {"fdt": strings("fdt-1")})
    (desk.place / "image.itb").write_bytes(to_blob(root))
    assert (desk.place / "image.itb").stat().st_size < 72_000
    status, _, err = desk.run("check", "image.itb", "-q")
    assert status == 2 and err.count("the file's images unpack to more than 256 MiB") > 350


def children_of(process: int) -> list[int]:
    return [int(item) for item in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def until(what: object, seconds: float = 20.0) -> bool:
    stop = time.monotonic() + seconds
    while time.monotonic() < stop:
        if callable(what) and what():
            return True
        time.sleep(0.02)
    return False


SLOW = """
import sys, time
import dtanalyze.cli
run = dtanalyze.cli.run
import dtanalyze.cli.check as check
def slow(item, *rest, **more):
    while True:
        time.sleep(0.05)
check.checked = slow
run()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells whose child a process is")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGKILL"])
def test_workers_are_gone_before_their_parent(name: str, desk: Desk) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, "check", "a.dtb", "b.dtb", "c.dtb", "--jobs", "3", "-o", "out"],
        cwd=desk.place, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # where the tests run in the background it is ignored
    )  # fmt: skip
    assert until(lambda: len(children_of(process.pid)) == 3)
    workers = children_of(process.pid)
    process.send_signal(getattr(signal, name))
    out, err = process.communicate(timeout=20)  # returns only when nobody holds the streams any more
    assert (out, err) == (b"", b"")
    assert process.returncode == (-9 if name == "SIGKILL" else 128 + getattr(signal, name))
    assert until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
    assert not list(desk.place.glob(".dtanalyze-*"))


def test_a_full_disk_is_one_sentence(desk: Desk) -> None:
    for argv in (
        ["check", "a.dtb"],
        ["check", "a.dtb", "--format", "json"],
        ["rules"],
        ["--help"],
        ["--version"],
        ["map", "a.dtb"],
    ):
        with open("/dev/full", "wb") as full:
            process = desk.start(*argv, stdout=full, stderr=subprocess.PIPE)
            err = process.communicate()[1]
        assert (process.returncode, err) == (2, b"dtanalyze: standard output: No space left on device\n"), argv


def test_a_closed_output_is_one_sentence(desk: Desk) -> None:
    script = f"exec {sys.executable} -m dtanalyze check a.dtb >&-"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(["bash", "-c", script], cwd=desk.place, env=env, capture_output=True, check=False)
    assert (ran.returncode, ran.stderr) == (2, b"dtanalyze: standard output is closed\n")


def test_a_reader_that_leaves_is_no_finding(desk: Desk) -> None:
    read, write = os.pipe()
    process = desk.start("check", "a.dtb", stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    os.close(read)
    assert (process.communicate()[1], process.returncode) == (b"", 2)


def test_standard_input_that_is_closed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    status, _, err = desk.run("check", "-")
    assert status == 2 and err == "dtanalyze: <stdin>: standard input is closed\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(GOOD)))
    assert desk.run("check", "-", "-q")[0] == 0
