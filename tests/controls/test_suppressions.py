"""Suppressions: what they take out, their end, those without use, and every entry that is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dtanalyze.cli import main
from tests.conftest import FIXTURES

REFUSED = str(FIXTURES / "dtb" / "boots" / "11e-is-ram.dtb")  # V-conflict and X03 at /memory@60000000
ENTRY = '[[suppress]]\nrule = "{rule}"\nreason = "known"\nowner = "kim"\n'


class Desk:
    def __init__(self, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.file, self.capsys = place / "live.toml", capsys

    def run(self, text: str, *argv: str) -> tuple[int, str, str]:
        self.file.write_text(text)
        with pytest.raises(SystemExit) as left:
            main(["check", REFUSED, "--linux", "6.12", "--suppressions", str(self.file), *argv])
        printed = self.capsys.readouterr()
        return (left.value.code if isinstance(left.value.code, int) else 0), printed.out, printed.err

    def rules(self, text: str, *argv: str) -> list[str]:
        answer = json.loads(self.run(text, "--format", "json", *argv)[1])
        return [item["rule"] for item in answer["results"][0]["findings"]]


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(tmp_path, capsys)


BOTH = ENTRY.format(rule="X03") + ENTRY.format(rule="scratch-range-refused")


def test_what_is_suppressed_does_not_count(desk: Desk) -> None:
    status, out, _ = desk.run(BOTH)
    assert status == 0 and "Suppressed: 2 findings" in out and ": conflict: " in out
    answer = json.loads(desk.run(BOTH, "--format", "json")[1])
    assert [item["finding"]["rule"] for item in answer["suppressed"]] == ["V-conflict", "X03"]
    assert {(item["reason"], item["owner"], item["expires"]) for item in answer["suppressed"]} == {("known", "kim", None)}


@pytest.mark.parametrize(
    ("more", "left"),
    [
        ("", ["V-conflict"]),
        ('node = "/memory*"', ["V-conflict"]),
        ('node = "/soc/*"', ["X03", "S02"]),
        ('path = "*.dtb"', ["V-conflict"]),
        ('path = "11e-is-ram.dtb"', ["V-conflict"]),
        ('path = "other.dtb"', ["X03", "S02"]),
        ('domain = "dom0"', ["V-conflict"]),
        ('domain = "/chosen/*"', ["X03", "S02"]),
        ("expires = 2026-12-31", ["V-conflict"]),
        ('expires = "2026-12-30"', ["X03", "S01"]),
    ],
)
def test_what_an_entry_speaks_of(more: str, left: list[str], desk: Desk) -> None:
    assert desk.rules(ENTRY.format(rule="X03") + more, "--today", "2026-12-31") == left


def test_an_entry_that_is_over_is_said(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1798761600")  # 2027-01-01
    status, out, _ = desk.run(BOTH + "expires = 2026-12-31")
    assert status == 1 and "suppress 2 (scratch-range-refused, owner kim) has expired on 2026-12-31: known" in " ".join(
        out.split()
    )


def test_sarif_carries_them(desk: Desk) -> None:
    text = desk.run(ENTRY.format(rule="X03"), "--format", "sarif")[1]
    (run,) = json.loads(text)["runs"]
    held = [item for item in run["results"] if "suppressions" in item]
    assert [item["ruleId"] for item in held] == ["X03"]
    assert held[0]["suppressions"] == [{"kind": "external", "status": "accepted", "justification": "known (kim)"}]
    assert run["tool"]["driver"]["rules"][held[0]["ruleIndex"]]["id"] == "X03"


def test_they_may_stand_in_the_settings_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    board = tmp_path / "board.dtb"
    board.write_bytes(Path(REFUSED).read_bytes())
    (tmp_path / "dtanalyze.toml").write_text(BOTH)
    with pytest.raises(SystemExit) as left:
        main(["check", str(board), "--linux", "6.12"])
    assert not left.value.code and "Suppressed: 2 findings" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("suppress = 1", "suppress has to be a list of tables"),
        ('[[suppress]]\nrule = "X03"', "suppress 1: reason is missing; every entry needs rule, reason, owner"),
        (ENTRY.format(rule="X03") + "why = 1", "suppress 1: no key is called 'why'"),
        (ENTRY.format(rule="X03") + "node = 1", "suppress 1: node takes text, not 1"),
        (ENTRY.format(rule="X03") + "expires = 1", "suppress 1: expires takes a date such as 2027-01-31, not 1"),
        (ENTRY.format(rule="X03") + 'expires = "soon"', "suppress 1: expires takes a date such as 2027-01-31, not 'soon'"),
        (ENTRY.format(rule="X99"), "suppress 1: no rule is called 'X99'"),
        ("=", "live.toml: not TOML"),
    ],
)
def test_entries_that_are_none(text: str, words: str, desk: Desk) -> None:
    status, out, err = desk.run(text)
    assert (status, out) == (2, "") and words in err


def test_a_day_that_is_none(desk: Desk) -> None:
    assert "--today takes a date such as 2027-01-31, not 'now'" in desk.run(BOTH, "--today", "now")[2]
