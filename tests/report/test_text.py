"""The report for people: what one rule says of many places stands together."""

from __future__ import annotations

from dtanalyze.findings import Finding, Severity
from dtanalyze.report.text import check_text
from tests.report.made import GOOD, result


def findings(*found: Finding) -> list[str]:
    text = check_text(result(GOOD)._replace(findings=found))
    return text.partition("\nFindings\n")[2].splitlines()


def at(node: str, message: str, advice: str = "Do this.") -> Finding:
    return Finding("X01", "odd", Severity.ERROR, message, advice, node)


def test_one_finding() -> None:
    assert findings(at("/a", "it is wrong")) == ["  error X01 odd at /a", "    it is wrong.", "    Do this."]


def test_the_same_at_several_places_is_said_once() -> None:
    assert findings(at("/a", "/a is wrong"), at("/b", "wrong as well")) == [
        "  error X01 odd, 2 times",
        "    - /a is wrong",
        "    - /b: wrong as well",
        "    Do this.",
    ]


def test_one_node_is_named_once() -> None:
    assert findings(at("/a", "one"), at("/a", "two")) == [
        "  error X01 odd at /a, 2 times",
        "    - one",
        "    - two",
        "    Do this.",
    ]


def test_other_advice_keeps_them_apart() -> None:
    assert findings(at("/a", "one"), at("/a", "two", "Do that.")) == [
        "  error X01 odd at /a",
        "    one.",
        "    Do this.",
        "  error X01 odd at /a",
        "    two.",
        "    Do that.",
    ]


def test_what_the_reason_said_is_not_said_again() -> None:
    reason = result(GOOD).reason
    assert findings(at("/a", reason)) == ["  error X01 odd at /a", "    Do this."]
