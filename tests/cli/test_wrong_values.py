"""Values that options, settings and the environment do not take: one sentence and status 2, whatever they hold."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dtanalyze.cli import main
from tests.cli.test_cli import ROOT

GUEST = ROOT / "fixtures" / "dtb" / "boots" / "01-dom0-x420-l612.dtb"
HOST = ROOT / "fixtures" / "dtb" / "hosts" / "01-dom0-x420-l612.dtb"


class Desk:
    def __init__(self, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.place, self.capsys = place, capsys
        shutil.copy(GUEST, place / "g.dtb")
        shutil.copy(HOST, place / "h.dtb")

    def refused(self, *argv: str) -> str:
        """Return what is said of a call that is refused: one line of printable characters."""
        with pytest.raises(SystemExit) as left:
            main(list(argv))
        printed = self.capsys.readouterr()
        lines = [line for line in printed.err.splitlines() if not line.startswith("Usage:")]
        assert (left.value.code, printed.out, len(lines)) == (2, "", 1)
        assert lines[0].isprintable() and "internal error" not in lines[0] and len(lines[0]) < 1200
        return lines[0]


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path, capsys)


@pytest.mark.parametrize(
    "argv",
    [
        ("--need", "²"),
        ("--need", "٣"),
        ("--need", "9" * 5000),
        ("--memory", f"0+{'9' * 5000}"),
        ("--memory", "0x0+0x1ffffffffffffffff"),
        ("--dom0-mem", "1" * 30 + "T"),
        ("--request", "²x"),
        ("--request", "9" * 5000),
        ("--va-bits", "1e3"),
        ("--ipa-bits", "9" * 30),
        ("--timeout", "nan"),
        ("--timeout", "inf"),
        ("--timeout", "-1"),
        ("--jobs", "100000"),
        ("--jobs", "-1"),
        ("--memory-limit", "0"),
        ("--fdt-address", "here"),
        ("--iommu", ","),
        ("--linux", ","),
        ("--xen", ","),
        ("--select", "\n::error::x"),
        ("--format", "\x1b[31m"),
        ("--\n::error::x",),
        ("--baseline", "/dev/zero"),
        ("--suppressions", "."),
        ("--kconfig", "\udcff"),
        ("--proc-iomem", "g.dtb"),
        ("--overlay", "/dev/zero"),
        ("--config", "/dev/zero"),
    ],
)
def test_options(argv: tuple[str, ...], desk: Desk) -> None:
    desk.refused("check", "h.dtb", *argv)


@pytest.mark.parametrize(
    "text",
    [
        "suppress = [{rule = 'X12', reason = 'x', owner = 'x', expires = 2027-01-31T00:00:00Z}]",
        "suppress = [{rule = 'X12', reason = 'x', owner = 'x', expires = 07:32:00}]",
        "suppress = [{rule = 'X12', reason = 'x', owner = 'x', expires = '2027'}]",
        "suppress = {rule = 'X12'}",
        "suppress = [[1]]",
        f"va-bits = {'9' * 5000}",
        f"request = {'[' * 5000}{']' * 5000}",
        "request = [[1]]",
        "memory = [['0+1G']]",
        "memory = {a = 1}",
        "linux = 2027-13-45",
        "jobs = 100000",
        "timeout = 0",
        "fail-on = 'maybe'",
        "color = 'red'",
        "'a\\n::error::b' = 1",
    ],
)
def test_settings(text: str, desk: Desk) -> None:
    (desk.place / "dtanalyze.toml").write_text(text.replace("\\n", "\n") if "error" not in text else '"a\\n::error::b" = 1')
    desk.refused("check", "g.dtb")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VA_BITS", "²"),
        ("VA_BITS", "9" * 5000),
        ("REQUEST", "1 ²"),
        ("JOBS", "100000"),
        ("TIMEOUT", "nan"),
        ("MEMORY", "\udcff"),
        ("LINUX", "\n::error::x"),
        ("NO_SUCH_\n::error::x", "1"),
    ],
)
def test_environment(name: str, value: str, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"DTANALYZE_{name}", value)
    desk.refused("check", "g.dtb")


@pytest.mark.parametrize(
    "environment",
    [
        {"SOURCE_DATE_EPOCH": "²"},
        {"SOURCE_DATE_EPOCH": "9" * 5000},
        {"COLUMNS": "x", "LINES": "-1", "TERM": "\x1b[31m"},
        {"COLUMNS": "9" * 50, "NO_COLOR": "\udcff", "FORCE_COLOR": "\x1b"},
        {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "LANG": "\udcff"},
        {"TERM": "", "COLUMNS": "0"},
    ],
)
def test_an_environment_that_makes_no_sense_changes_nothing(environment: dict[str, str], desk: Desk) -> None:
    (desk.place / "dtanalyze.toml").write_text(
        "suppress = [{rule = 'X12', reason = 'größe', owner = 'x', expires = 2999-01-01}]"
    )
    for argv in (["check", "g.dtb"], ["map", "g.dtb"], ["--help"]):
        ran = subprocess.run(
            [sys.executable, "-m", "dtanalyze", *argv],
            cwd=desk.place, env={**os.environ, "PYTHONPATH": str(ROOT), **environment}, capture_output=True, check=False,
        )  # fmt: skip
        assert (ran.returncode, ran.stderr) == (0, b"") and ran.stdout.decode("utf-8")


def test_names_that_are_no_utf8(desk: Desk) -> None:
    raw = b"\xff\n::error::x.dtb"
    os.link(desk.place / "g.dtb", os.path.join(os.fsencode(desk.place), raw))
    for form in ("text", "json", "sarif", "junit", "github", "gitlab", "markdown"):
        ran = subprocess.run(
            [sys.executable.encode(), b"-m", b"dtanalyze", b"check", raw, b"none" + raw, b"--format", form.encode()],
            cwd=desk.place, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=False,
        )  # fmt: skip
        assert ran.returncode == 2 and b"none\\xff\\n::error::x.dtb: No such file" in ran.stderr
        ran.stdout.decode("utf-8")
        commands = [line for line in ran.stdout.splitlines() if line.lstrip().startswith(b"::")]
        assert not commands or form == "github"
        assert all(line.startswith((b"::warning file=", b"::notice file=", b"::error file=")) for line in commands)


def test_a_working_folder_that_is_gone(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = desk.place / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert "the working folder: No such file" in desk.refused("check", str(desk.place / "g.dtb"))
    monkeypatch.chdir(desk.place)


def test_no_question_is_answered_with_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error, where a script's reader of results does not meet it, and every line of it whole."""
    with pytest.raises(SystemExit) as left:
        main([])
    printed = capsys.readouterr()
    assert left.value.code == 2 and not printed.out
    assert printed.err.startswith("Usage: dtanalyze [OPTIONS] COMMAND [ARGS]...\n") and "\n  check " in printed.err
    assert "..." not in printed.err.partition("\n")[2] and "\\n" not in printed.err


def test_a_release_that_nobody_knows_is_told_the_bounds(desk: Desk) -> None:
    assert "every release from 5.9 to 7.x, as 6.6" in desk.refused("check", "g.dtb", "--linux", "8.0")
