"""``check --watch`` as an editor's user has it: another process that answers again after each change, and ends at Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dtanalyze.cli import main, watching
from dtanalyze.inputs.reading import PATHS
from tests.cli.test_source_lines import BAD_REGION, BOARD, DTSI, GOOD_REGION, pytestmark  # noqa: F401  # needs dtc and cpp likewise

PATIENCE = 60.0


class Watched:
    """The program as it watches, its output in a file."""

    def __init__(self, folder: Path) -> None:
        self.said = folder / "said"
        with self.said.open("wb") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "dtanalyze", "check", "boards/board.dts", "-D", "DEVICE=0x90000000", "--watch"],
                cwd=folder, stdout=said, stderr=subprocess.STDOUT, env={**os.environ, "PYTHONUNBUFFERED": "1"},
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # where the tests run in the background it is ignored
            )  # fmt: skip

    def wait_for(self, count: int) -> str:
        """Return all that was said once ``count`` answers are there."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            said = self.said.read_text()
            if said.count("Ctrl-C ends") >= count:
                return said
            assert self.process.poll() is None, said
            time.sleep(0.02)
        raise AssertionError(self.said.read_text())


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    (tmp_path / "boards").mkdir()
    (tmp_path / "boards" / "soc.dtsi").write_text(DTSI)
    (tmp_path / "boards" / "board.dts").write_text(BOARD)
    watched = Watched(tmp_path)
    yield watched
    if watched.process.poll() is None:
        watched.process.kill()
        watched.process.wait()


def test_an_edit_of_the_source_and_of_its_include(watched: Watched, tmp_path: Path) -> None:
    first = watched.wait_for(1)
    assert "boards/board.dts:9:3: error: X08" in first and "watching 2 files; Ctrl-C ends" in first
    board, soc = tmp_path / "boards" / "board.dts", tmp_path / "boards" / "soc.dtsi"
    board.write_text(BOARD.replace(BAD_REGION, GOOD_REGION))
    second = watched.wait_for(2).removeprefix(first)
    assert second.startswith("changed: boards/board.dts\n") and "X08" not in second and "boards/soc.dtsi:4:21: error: X01" in second
    # As editors write: beside the file, and then in its place.
    new = tmp_path / "boards" / ".new"
    new.write_text(DTSI.replace("DEVICE", "0xa000000"))
    new.replace(soc)
    third = watched.wait_for(3)[len(first) + len(second) :]
    assert third.startswith("changed: boards/soc.dtsi\n") and "X01" not in third
    soc.unlink()
    fourth = watched.wait_for(4)[len(first) + len(second) + len(third) :]
    assert "No such file or directory" in fourth, "what cannot be compiled is told, and watched further"
    soc.write_text(DTSI)
    assert "boards/soc.dtsi:4:21: error: X01" in watched.wait_for(5)[len(first) + len(second) + len(third) + len(fourth) :]
    watched.process.send_signal(signal.SIGINT)
    assert watched.process.wait(PATIENCE) == 1, "the status of the last answer"
    assert "Traceback" not in watched.said.read_text()


def test_an_answer_takes_less_than_a_second(watched: Watched, tmp_path: Path) -> None:
    """From the write to the last line, the best of several: other work on the machine is none of ours."""
    watched.wait_for(1)
    board, taken = tmp_path / "boards" / "board.dts", []
    for count in range(2, 6):
        board.write_text(BOARD + "\n" * count)
        begun = time.monotonic()
        watched.wait_for(count)
        taken.append(time.monotonic() - begun)
    assert min(taken) < 1, taken


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who ends the program when nothing happens, so that a change that is not seen does not hang the test."""
    left = iter(range(20))
    pause = time.sleep

    def sleep(seconds: float) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        pause(seconds)

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(watching, "note", lambda _: None)


@pytest.mark.usefixtures("impatient")
def test_a_change_while_it_answers_is_seen(tmp_path: Path) -> None:
    """The file is written again while the run that read it is not over: that run's answer is old, and another follows."""
    tree = tmp_path / "board.dtb"
    tree.write_bytes(b"first")
    read: list[bytes] = []

    def once() -> None:
        read.append(tree.read_bytes())
        if len(read) == 1:
            tree.write_bytes(b"second")
        else:
            raise KeyboardInterrupt

    assert watching.watch(once, [str(tree)]) == 0 and read == [b"first", b"second"]


@pytest.mark.usefixtures("impatient")
def test_an_include_that_changes_while_it_answers_is_seen(tmp_path: Path) -> None:
    tree, include = tmp_path / "board.dts", tmp_path / "soc.dtsi"
    tree.write_bytes(b"x")
    include.write_bytes(b"first")
    read: list[bytes] = []

    def once() -> None:
        PATHS[str(include)] = None
        read.append(include.read_bytes())
        if len(read) == 1:
            time.sleep(0.02)  # the clock of a file system ticks some hundred times a second
            include.write_bytes(b"second")
        else:
            raise KeyboardInterrupt

    assert watching.watch(once, [str(tree)]) == 0 and read == [b"first", b"second"]


def test_what_cannot_be_watched(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["check", "-", "--watch"])
    assert left.value.code == 2 and "standard input is read once and cannot be watched" in capsys.readouterr().err
