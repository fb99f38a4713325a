"""JUnit XML, read back with a parser: one suite a tree, failures for errors only."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from dtanalyze.report import rendered
from dtanalyze.report.whole import Report
from tests.report.made import BALLOON, BROKEN, CONFLICT, GOOD, NATIVE, report, saying


def read(asked: Report) -> ElementTree.Element:
    text = rendered("junit", asked)
    assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name="dtanalyze" ')
    return ElementTree.fromstring(text.encode("utf-8"))


def counts(element: ElementTree.Element) -> tuple[str | None, ...]:
    return tuple(element.get(key) for key in ("tests", "failures", "errors"))


def test_a_suite_a_tree() -> None:
    top = read(report(CONFLICT, GOOD, failures=(BROKEN,)))
    assert counts(top) == ("3", "1", "1")
    assert [(suite.get("name"), *counts(suite)) for suite in top] == [
        ("trees/11e-is-ram.dtb (dom0, Linux 6.12, Xen 4.20)", "1", "1", "0"),
        ("trees/01-dom0-x420-l612.dtb (dom0, Linux 6.12, Xen 4.20)", "1", "0", "0"),
        ("trees/broken.dtb", "1", "0", "1"),
    ]


def test_a_conflict_is_a_failure_of_the_verdict() -> None:
    (case,) = read(report(CONFLICT)).iter("testcase")
    assert case.get("name") == "verdict"
    (failure,) = case
    assert (failure.tag, failure.get("type")) == ("failure", "V-conflict")
    assert (failure.get("message") or "").startswith("Linux refuses its first section, 0x60000000-0x67ffffff")
    lines = (failure.text or "").splitlines()
    assert lines[0].startswith("error V-conflict scratch-range-refused: Linux refuses its first section")
    assert lines[1:4] == ["node: /memory@60000000", "range: 0x60000000-0x67ffffff", "range: 0x60000000-0x7fffffff"]


def test_every_other_rule_has_a_case_of_its_own() -> None:
    (suite,) = read(report(GOOD, need=1 << 40))
    assert [(case.get("name"), [part.tag for part in case]) for case in suite] == [
        ("verdict", ["system-out"]),
        ("V-need capacity-below-need", ["failure"]),
    ]
    assert (suite.findtext("testcase/system-out") or "").startswith("scratch: 9 sections (1152 MiB) from 0x48000000 on")
    assert counts(suite) == ("2", "1", "0")


@pytest.mark.parametrize(("name", "words"), [(BALLOON, "warning V-balloon"), (NATIVE, "info V-native")])
def test_warnings_and_notes_do_not_fail(name: str, words: str) -> None:
    (case,) = read(report(name)).iter("testcase")
    assert [part.tag for part in case] == ["system-out"]
    assert (case.findtext("system-out") or "").startswith(words)


def test_an_unreadable_input_is_an_error() -> None:
    (case,) = read(report(failures=(BROKEN,))).iter("testcase")
    (error,) = case
    assert (error.tag, error.get("type")) == ("error", "unreadable-input")
    assert error.get("message") == "the file ends in the header (at byte offset 0x1c)"


def test_markup_and_what_xml_cannot_hold() -> None:
    top = read(saying('<b> & "quoted"\x1b\x00\udcff]]>', 'a<&".dtb'))
    failure = next(top.iter("failure"))
    assert failure.get("message") == '<b> & "quoted"\\x1b\\x00\\xff]]>'
    assert failure.text == 'error X01 odd-words: <b> & "quoted"\\x1b\\x00\\xff]]>'
    assert top[0].get("name") == 'a<&".dtb (dom0, Linux 6.12, Xen 4.20)'
