"""``--format`` and ``--output``: which belongs to which, what cannot be written, statuses, the same bytes each time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dtanalyze.cli import main
from dtanalyze.cli.outputs import Output, pair_in_order
from dtanalyze.errors import UsageError
from dtanalyze.report import FORMATS
from tests.report.made import BOOTS, CONFLICT

Run = Callable[..., tuple[int, str, str]]
WORKS, REFUSED, WARNS = (str(BOOTS / f"{name}.dtb") for name in ("02-dom0-x417-l612", CONFLICT, "04-dom0-x420-l612-noext"))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Call ``check`` in an empty folder; return its status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*argv: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main(["check", *argv])
        said = capsys.readouterr()
        return int(left.value.code or 0), said.out, said.err

    return call


def paired(drawing: str) -> list[Output]:
    """Read ``f:sarif o:a x f:text``: a format, a file, another option, a format."""
    words = drawing.split()
    order = [{"f": "format_", "o": "output"}.get(word[0], "linux") for word in words]
    formats, files = ([word[2:] for word in words if word[0] == kind] for kind in "fo")
    return pair_in_order(order, formats, files)


@pytest.mark.parametrize(
    ("drawing", "wanted"),
    [
        ("", [("text", None)]),
        ("x", [("text", None)]),
        ("o:a", [("text", "a")]),
        ("f:json", [("json", None)]),
        ("f:sarif o:a f:text", [("sarif", "a"), ("text", None)]),
        ("f:text f:sarif o:a", [("text", None), ("sarif", "a")]),
        ("f:sarif x o:a x f:text", [("sarif", "a"), ("text", None)]),
        ("o:a f:sarif", [("sarif", "a")]),
        ("o:a f:sarif o:b f:junit", [("sarif", "a"), ("junit", "b")]),
        ("f:sarif o:a f:junit o:b f:text", [("sarif", "a"), ("junit", "b"), ("text", None)]),
        ("o:a o:b f:sarif f:junit", [("sarif", "a"), ("junit", "b")]),
        ("f:sarif o:-", [("sarif", None)]),
    ],
)
def test_pairs(drawing: str, wanted: list[Output]) -> None:
    assert paired(drawing) == wanted


@pytest.mark.parametrize("drawing", ["o:a o:b", "f:sarif o:a o:b", "o:b f:sarif o:a o:c"])
def test_a_file_needs_a_format(drawing: str) -> None:
    with pytest.raises(UsageError, match="no --format is left for [ab]; each file takes one"):
        paired(drawing)


def test_sarif_to_a_file_and_text_to_stdout(run: Run) -> None:
    status, out, err = run("--format", "sarif", "--output", "out.sarif", "--format", "text", "-q", REFUSED)
    assert (status, err) == (1, "")
    assert out.startswith(f"{REFUSED}: conflict: ")
    assert json.loads(Path("out.sarif").read_text())["version"] == "2.1.0"


@pytest.mark.parametrize("argv", [["-o", "a.xml", "--format", "junit"], ["--format=junit", "-oa.xml"]])
def test_all_to_files_leaves_stdout_empty(run: Run, argv: list[str]) -> None:
    assert run(*argv, WORKS) == (0, "", "")
    assert Path("a.xml").read_bytes().startswith(b"<?xml")


def test_a_value_that_looks_like_an_option_is_a_value(run: Run) -> None:
    status, out, _ = run("--output", "--format", "--format", "github", WORKS)
    assert (status, out) == (0, "")
    assert Path("--format").read_bytes() == b""


def test_every_format_at_once(run: Run) -> None:
    argv = [word for name in FORMATS for word in ("--format", name, "-o", f"out.{name}")]
    assert run(*argv, REFUSED) == (1, "", "")
    for name in FORMATS:
        assert Path(f"out.{name}").read_bytes() == run("--format", name, REFUSED)[1].encode(), name


def test_files_have_no_colour(run: Run) -> None:
    assert "\x1b[" in run("--color", "always", REFUSED)[1]
    run("--color", "always", "-o", "out.txt", REFUSED)
    assert b"\x1b" not in Path("out.txt").read_bytes()


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["--format", "json", "--format", "text"], "only one format can go to standard output, not json and text"),
        (["--format", "json", "-o", "-", "--format", "text"], "only one format can go to standard output"),
        (
            ["--format", "xml"],
            "no format is called 'xml'; there are text, concise, json, sarif, junit, github, gitlab, markdown",
        ),
        (["--format", "json", "-o", "a", "-o", "b"], "--output: no --format is left for b"),
        (
            ["--format", "json", "-o", "a", "--format", "text", "-o", "./a"],
            "--output: ./a is an input or has another report",
        ),
        (["-o", WORKS], f"--output: {WORKS} is an input or has another report"),
    ],
)
def test_what_cannot_be_meant(run: Run, argv: list[str], sentence: str) -> None:
    before = Path(WORKS).read_bytes()
    status, out, err = run(*argv, WORKS)
    assert (status, out) == (2, "")
    assert err.startswith(f"dtanalyze: {sentence}")
    assert err.count("\n") == 1
    assert Path(WORKS).read_bytes() == before
    assert not Path("a").exists()


def test_a_file_that_cannot_be_written_costs_only_itself(run: Run) -> None:
    argv = ("--format", "sarif", "-o", "no/such/a.sarif", "--format", "gitlab", "-o", "b.json", "--format", "github")
    status, out, err = run(*argv, "--fail-on", "never", WORKS)
    assert (status, out) == (2, "")
    assert err == "dtanalyze: --output: no/such/a.sarif: No such file or directory\n"
    assert Path("b.json").read_bytes() == b"[]\n"


def test_a_folder_is_no_file(run: Run) -> None:
    assert run("-o", ".", WORKS)[::2] == (2, "dtanalyze: --output: .: Is a directory\n")


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    ("argv", "status"),
    [
        ([WORKS], 0),
        ([REFUSED], 1),
        ([WARNS], 0),
        ([WARNS, "--fail-on", "warning"], 1),
        ([REFUSED, "--exit-zero"], 0),
        ([WARNS, "--fail-on", "warning", "--exit-zero"], 0),
        ([WORKS, "gone.dtb"], 2),
        ([REFUSED, "gone.dtb", "--exit-zero"], 2),
    ],
)
def test_the_status_is_that_of_the_findings(run: Run, name: str, argv: list[str], status: int) -> None:
    assert run("--format", name, *argv)[0] == status


@pytest.mark.parametrize("name", ["sarif", "junit", "github", "gitlab", "markdown"])
def test_unreadable_inputs_are_in_the_report_and_on_stderr(run: Run, name: str) -> None:
    Path("cut.dtb").write_bytes(Path(WORKS).read_bytes()[:100])
    _, out, err = run("--format", name, "cut.dtb", REFUSED)
    assert "cut.dtb" in out and "X03" in out
    assert err.startswith("dtanalyze: cut.dtb: ")


def test_absolute_paths_below_the_folder_become_relative(run: Run) -> None:
    Path("boards").mkdir()
    place = Path("boards/a.dtb").resolve()
    place.write_bytes(Path(REFUSED).read_bytes())
    assert run("--format", "github", str(place))[1].startswith("::error file=boards/a.dtb,")


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_bytes_each_time(name: str) -> None:
    def once(seed: str) -> bytes:
        argv = [sys.executable, "-m", "dtanalyze", "check", REFUSED, WARNS, WORKS, "--format", name, "--linux", "6.12,7.3"]
        done = subprocess.run(argv, capture_output=True, check=False, env={**os.environ, "PYTHONHASHSEED": seed})
        assert done.returncode == 1
        return done.stdout

    assert once("1") == once("2")


def test_no_format_but_the_wanted_is_imported() -> None:
    code = (
        "import sys; from dtanalyze.cli import main\n"
        "try: main()\n"
        "except SystemExit: print(*sorted(n for n in sys.modules if n.startswith('dtanalyze.report.')), sep='\\n')"
    )
    argv = [sys.executable, "-c", code, "check", "--format", "github", WORKS]
    out = subprocess.run(argv, capture_output=True, check=True, text=True).stdout.split()
    assert out == [f"dtanalyze.report.{name}" for name in ("decisions", "foreign", "github", "naming", "style", "whole")]


@pytest.mark.parametrize("name", ["sarif", "github", "gitlab"])
def test_reports_that_name_files_name_files(run: Run, tmp_path: Path, name: str) -> None:
    """Two trees in one file and one that cannot be read: the location is the file, the words say which of them."""
    blob = Path(REFUSED).read_bytes()
    cut = blob[:4] + (0x48).to_bytes(4, "big") + blob[8:0x48]
    (tmp_path / "a.dtb").write_bytes(blob + blob + cut)
    status, out, _ = run("a.dtb", "--linux", "6.12", "--format", name, "--select", "V")
    assert status == 2
    if name == "github":
        lines = out.splitlines()
        assert [line.partition(",")[0] for line in lines] == ["::error file=a.dtb"] * 3
        assert "(#1, dom0, Linux 6.12" in lines[0] and "(#2, dom0" in lines[1] and "::#3: " in lines[2]
        return
    answer = json.loads(out)
    if name == "gitlab":
        assert [item["location"]["path"] for item in answer] == ["a.dtb"] * 3
        assert len({item["fingerprint"] for item in answer}) == 3
        return
    (made,) = answer["runs"]
    assert [item["location"]["uri"] for item in made["artifacts"]] == ["a.dtb"]
    assert len({item["partialFingerprints"]["ruleNodeDomain/v1"] for item in made["results"]}) == 2
    assert "(#2, dom0" in made["results"][1]["message"]["text"]
    (told,) = made["invocations"][0]["toolExecutionNotifications"]
    assert told["message"]["text"].startswith("#3: ")
