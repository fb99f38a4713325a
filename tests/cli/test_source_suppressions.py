"""Suppressions as comments in the source: what they hide, their end, whose count, and in which format they are told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dtanalyze.cli import main
from tests.cli.test_source_lines import BOARD, DTSI, pytestmark  # noqa: F401  # needs dtc and cpp likewise

X08 = "<0 0x88000000 0 0x20000000>;"
COMMENT = "/* dtanalyze: suppress X08{until}: Xen 4.20 on this board merges the two */"


class Desk:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def run(self, *argv: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main(["check", "boards/board.dts", "-D", "DEVICE=0x90000000", "--today", "2026-11-25", *argv])
        printed = self.capsys.readouterr()
        return (left.value.code if isinstance(left.value.code, int) else 0), printed.out, printed.err

    def rules(self, *argv: str) -> list[str]:
        answer = json.loads(self.run("--format", "json", *argv)[1])
        return [item["rule"] for item in answer["results"][0]["findings"]]


def written(comment: str, dtsi: str = DTSI) -> None:
    Path("boards/soc.dtsi").write_text(dtsi)
    Path("boards/board.dts").write_text(BOARD.replace(X08, f"{X08} {comment}"))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    (tmp_path / "boards").mkdir()
    monkeypatch.chdir(tmp_path)
    return Desk(capsys)


def test_a_comment_on_the_propertys_last_line_hides_its_rule_there(desk: Desk) -> None:
    written("")
    assert "X08" in desk.rules()
    written(COMMENT.format(until=" until 2026-11-25"))
    assert "X08" not in desk.rules() and "S02" not in desk.rules()
    (told,) = json.loads(desk.run("--format", "json")[1])["suppressed"]
    assert (told["finding"]["rule"], told["expires"], told["reason"]) == ("X08", "2026-11-25", "Xen 4.20 on this board merges the two")
    assert told["source"] == {"file": "boards/board.dts", "line": 10}
    written("// dtanalyze: suppress region-above-linear-map regions-not-ascending: by name, two of them")
    assert "X08" not in desk.rules()


def test_every_format_tells_it(desk: Desk) -> None:
    written(COMMENT.format(until=""))
    for name in ("text", "json", "sarif", "junit", "github", "gitlab", "markdown", "concise"):
        out = desk.run("--format", name)[1]
        assert "Xen 4.20 on this board merges the two" in out, name
        assert "boards/board.dts:10" in out or '"line": 10' in out, name
    assert "::notice file=boards/board.dts,line=10,title=suppressed::" in desk.run("--format", "github")[1]
    assert "boards/board.dts:10: info: suppressed: X08" in desk.run("--format", "concise")[1]
    (known,) = [item for item in json.loads(desk.run("--format", "gitlab")[1]) if item["check_name"] == "suppressed"]
    assert known["location"] == {"path": "boards/board.dts", "lines": {"begin": 10}}
    (run,) = json.loads(desk.run("--format", "sarif")[1])["runs"]
    kinds = [item["suppressions"][0]["kind"] for item in run["results"] if "suppressions" in item]
    assert kinds == ["inSource"]


def test_an_end_that_is_over_and_a_comment_without_use_are_findings_at_their_line(desk: Desk) -> None:
    written(COMMENT.format(until=" until 2026-11-24"))
    assert {"X08", "S01"} <= set(desk.rules())
    assert "boards/board.dts:10:1: warning: S01" in desk.run("--format", "concise")[1]
    written(COMMENT.format(until="").replace("X08", "X14"))
    assert {"X08", "S02"} <= set(desk.rules())
    # One line further down it speaks of something else.
    Path("boards/board.dts").write_text(BOARD.replace(X08, f"{X08}\n{COMMENT.format(until='')}"))
    assert {"X08", "S02"} <= set(desk.rules())


def test_what_an_include_suppresses_for_other_boards_is_no_waste(desk: Desk) -> None:
    written("", DTSI.replace("0x1000>;", "0x1000>; /* dtanalyze: suppress X14: for the larger board */"))
    assert "S02" not in desk.rules()


def test_a_string_that_looks_like_a_comment_is_none(desk: Desk) -> None:
    written("")
    board = Path("boards/board.dts")
    board.write_text(board.read_text().replace('"xen,xen";', '"xen,xen"; x = "// dtanalyze: suppress X08: no";'))
    assert "X08" in desk.rules() and desk.run()[2] == ""


@pytest.mark.parametrize(
    ("comment", "said"),
    [
        ("/* dtanalyze: ignore X08 */", "has to look like /* dtanalyze: suppress X08 until 2027-01-31: the reason */"),
        ("/* dtanalyze: suppress X08 until 2027-01-31 */", "has to look like"),
        ("/* dtanalyze: suppress X08: */", "has to look like"),
        ("/* dtanalyze: suppress X99: reason */", "no rule is called 'X99'"),
        ("/* dtanalyze: suppress X08, nonsense: reason */", "no rule is called 'nonsense'"),
        ("/* dtanalyze: suppress : reason */", "no rule is called ''"),
        ("/* dtanalyze: suppress X08 until tomorrow: reason */", "until takes a date such as 2027-01-31, not 'tomorrow'"),
    ],
)
def test_a_comment_that_means_nothing_costs_its_input(desk: Desk, comment: str, said: str) -> None:
    written(comment)
    status, _, err = desk.run()
    assert status == 2 and f"boards/board.dts:10: {said}" in err or said in err and "boards/board.dts:10" in err


def test_a_source_of_another_project_decides_nothing(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sender of a tree does not turn a gate green: only files of the project that the check runs in count."""
    written(COMMENT.format(until=""))
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / ".git").mkdir()
    (tmp_path / "project" / "boards").symlink_to(tmp_path / "boards")
    monkeypatch.chdir(tmp_path / "project")
    assert "X08" in desk.rules()
    assert "board.dts:10: a suppression outside of the project's folder has no effect" in desk.run()[2]
