"""A verdict that a rule explains is one finding, and what was decided about either still holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dtanalyze.causes import cause_keys, folded, grouped
from dtanalyze.cli import main
from dtanalyze.findings import Finding, Severity
from dtanalyze.rules.registry import ALL_RULES
from tests.conftest import FIXTURES
from tests.report.made import GOOD, result
from tests.trees import dtb

REFUSED = str(FIXTURES / "dtb" / "boots" / "11e-is-ram.dtb")  # X03 at /memory@60000000 is why it is a conflict
RULES = {item.code: item for item in ALL_RULES}


def check(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, dict[str, Any]]:
    with pytest.raises(SystemExit) as left:
        main(["check", *argv, "--no-config", "--format", "json"])
    return int(left.value.code or 0), json.loads(capsys.readouterr().out)


# What each rule says of its own bad tree is what decides there, by the definition of the rule's "why".
EXPLAIN = (
    "B01 B02 B03 D01 D02 D03 D05 D06 D08 D10 D12 X01 X02 X03 X04 X05 X06 X08 X10 X11 X19 X22 X23 X24 X25 X33 X34 X39 X42"
)


@pytest.mark.parametrize("code", EXPLAIN.split())
def test_a_rule_explains_the_verdict_of_its_bad_tree(code: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rule = RULES[code]
    (tmp_path / "bad.dtb").write_bytes(dtb(rule.bad.dts))
    asks = ("--linux", rule.bad.linux, "--xen", rule.bad.xen, *rule.bad.asks)
    _, answer = check(capsys, str(tmp_path / "bad.dtb"), *asks)
    (found,) = [item for item in answer["results"] if item["cause"]]
    assert found["cause"]["rule"] == code
    assert not [item for item in found["findings"] if item["rule"].startswith("V-")]
    (named,) = {
        item["cause"] for item in found["findings"] if (item["rule"], item["node"]) == (code, found["cause"]["node"])
    }
    assert named == found["cause"]["key"]


def test_a_memory_node_without_reg_explains_the_panic(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """4.17, for which the example stands, goes on without what follows; 4.19 panics at the node."""
    (tmp_path / "bad.dtb").write_bytes(dtb(RULES["X46"].bad.dts))
    _, answer = check(capsys, str(tmp_path / "bad.dtb"), "--xen", "4.19")
    assert [(item["verdict"], item["cause"]["rule"]) for item in answer["results"]] == [("no-boot", "X46")]


def test_a_milder_rule_does_not_hide_the_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """D13 is a warning; that Xen stops is an error, and stays one."""
    (tmp_path / "bad.dtb").write_bytes(dtb(RULES["D13"].bad.dts))
    status, answer = check(capsys, str(tmp_path / "bad.dtb"))
    (found,) = answer["results"]
    assert status == 1 and found["cause"] is None
    assert {item["rule"] for item in found["findings"]} == {"V-no-boot", "D13"}


def test_a_verdict_that_the_kernel_alone_decides_is_a_finding(capsys: pytest.CaptureFixture[str]) -> None:
    _, answer = check(capsys, str(FIXTURES / "dtb" / "boots" / f"{GOOD}.dtb"), "--linux", "5.16")
    (found,) = answer["results"]
    assert found["cause"] is None and "V-balloon" in [item["rule"] for item in found["findings"]]


@pytest.mark.parametrize(
    ("argv", "status", "rules", "cause"),
    [
        ([], 1, ["X03"], "X03"),
        (["--ignore", "X03"], 1, ["V-conflict"], None),
        (["--select", "V-"], 1, ["V-conflict"], None),
        (["--ignore", "V-conflict"], 1, ["X03"], "X03"),
        (["--ignore", "X03,V-conflict"], 0, [], "X03"),
    ],
)
def test_who_hides_the_cause_still_sees_the_verdict(
    argv: list[str], status: int, rules: list[str], cause: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    code, answer = check(capsys, REFUSED, *argv)
    (found,) = answer["results"]
    assert (code, [item["rule"] for item in found["findings"]]) == (status, rules)
    assert (found["cause"]["rule"] if found["cause"] else None) == cause


def test_a_baseline_knows_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = tmp_path / "known.json"
    check(capsys, REFUSED, "--write-baseline", str(known))
    assert {item["rule"] for item in json.loads(known.read_text())["findings"]} == {"V-conflict", "X03"}
    status, answer = check(capsys, REFUSED, "--baseline", str(known))
    assert status == 0 and answer["results"][0]["findings"] == [] and answer["baseline"]["absent"] == []


def test_suppressions_of_either_are_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entry = '[[suppress]]\nrule = "{}"\nreason = "r"\nowner = "o"\n'
    file = tmp_path / "known.toml"
    file.write_text(entry.format("V-conflict"))
    status, answer = check(capsys, REFUSED, "--suppressions", str(file))
    assert (status, [item["rule"] for item in answer["results"][0]["findings"]]) == (1, ["X03"])
    file.write_text(entry.format("V-conflict") + entry.format("X03"))
    status, answer = check(capsys, REFUSED, "--suppressions", str(file))
    assert (status, answer["results"][0]["findings"]) == (0, [])


def test_findings_of_one_cause() -> None:
    """One node with one set of ranges, or one advice at several places; the verdict's cause first."""
    span = result(GOOD).ram[0]
    found = (
        Finding("X01", "a", Severity.ERROR, "one", "Do this.", "/a", (span,)),
        Finding("O01", "b", Severity.ERROR, "two", "Do that.", "/b"),
        Finding("X02", "c", Severity.WARNING, "three", "Do this.", "/a", (span,)),
        Finding("O02", "d", Severity.INFO, "four", "", "/c"),
        Finding("O02", "d", Severity.INFO, "five", "", "/d"),
    )
    made = result(GOOD)._replace(findings=found, cause=found[0])
    assert [[item.message for item in group] for group in grouped(made)] == [["one", "three"], ["two"], ["four", "five"]]
    assert [cause_keys(made)[id(item)] for item in found] == ["E1", "E2", "E1", "I3", "I3"]
    assert folded(made) is made


def test_the_two_sides_of_one_overlap_are_one_cause() -> None:
    """X39 names the node that Xen refuses, O03 the one that comes later in Linux: the fault is one."""
    one, other = result(GOOD).ram[0], result(GOOD).extended_regions[0]
    found = (
        Finding("X39", "a", Severity.ERROR, "one", "Do this.", "/a", (one, other)),
        Finding("B04", "b", Severity.ERROR, "two", "Do that.", "/b", (one,)),
        Finding("O03", "c", Severity.WARNING, "three", "Do another.", "/b", (other, one)),
    )
    made = result(GOOD)._replace(findings=found)
    assert [[item.rule for item in group] for group in grouped(made)] == [["B04"], ["X39", "O03"]]


def test_a_hosts_user_is_not_told_to_edit_what_xen_writes(capsys: pytest.CaptureFixture[str]) -> None:
    _, answer = check(capsys, str(FIXTURES / "dtb" / "hosts" / "06c-1G-dom0-640M.dtb"), "--xen", "4.20")
    found = [item for result in answer["results"] for item in result["findings"] if item["rule"] == "X12"]
    assert found and all("Xen makes this region" in item["advice"] for item in found)
    assert not any("change" in item for item in found)
