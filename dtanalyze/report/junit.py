"""JUnit XML: a test suite for each tree and kernel, in it the verdict and every other rule that fired.

Errors are failures, warnings and notes are output of a test that passes; an input that could not be read is an error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final
from xml.etree import ElementTree

from dtanalyze.address.units import format_range
from dtanalyze.errors import InputFailure
from dtanalyze.facts import CheckResult
from dtanalyze.findings import Finding, Severity
from dtanalyze.report.decisions import decisions
from dtanalyze.report.foreign import visible
from dtanalyze.report.naming import cell, relative, written_at
from dtanalyze.report.whole import Report

__all__ = ["render"]

_COUNTED: Final = ("tests", "failures", "errors")
_HEAD: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'


def render(report: Report) -> Iterator[str]:
    """Yield the document; there are no times in it, so that equal answers are equal files.

    The suites are gone through twice, since the first element counts them all.
    """
    top = ElementTree.Element("testsuites", {"name": "dtanalyze", **_totals(_suites(report))})
    head = ElementTree.tostring(top, encoding="unicode")
    if not (report.groups or report.failures or report.settings or report.suppressed):
        yield f"{_HEAD}{head}\n"
        return
    yield f"{_HEAD}{head.removesuffix(' />')}>"
    for suite in _suites(report):
        ElementTree.indent(suite, level=1)
        yield "\n  " + ElementTree.tostring(suite, encoding="unicode")
    yield "\n</testsuites>\n"


def _suites(report: Report) -> Iterator[ElementTree.Element]:
    for result in report.results:
        yield _suite(result, report.root)
    yield from _decided(report)
    for failure in report.failures:
        yield _unreadable(failure, report.root)


def _totals(suites: Iterable[ElementTree.Element]) -> dict[str, str]:
    total: Counter[str] = Counter()
    for suite in suites:
        total.update({key: int(suite.get(key, "0")) for key in _COUNTED})
    return {key: str(total[key]) for key in _COUNTED}


def _suite(result: CheckResult, root: str) -> ElementTree.Element:
    path = relative(result.path, root)
    by_rule: dict[str, list[Finding]] = {}
    for finding in result.findings:
        by_rule.setdefault(finding.rule, []).append(finding)
    stated = by_rule.pop(f"V-{result.verdict.value}", [])
    name = f"{path} ({cell(result)})"
    cases = [_case(name, "verdict", stated, f"{result.verdict.value}: {result.reason}", root)]
    cases += [_case(name, f"{rule} {found[0].name}", found, "", root) for rule, found in by_rule.items()]
    failures = sum(case.find("failure") is not None for case in cases)
    suite = _element("testsuite", name=name, tests=str(len(cases)), failures=str(failures), errors="0", skipped="0")
    suite.extend(cases)
    return suite


def _case(suite: str, name: str, findings: Sequence[Finding], otherwise: str, root: str) -> ElementTree.Element:
    case = _element("testcase", classname=suite, name=name)
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    others = [finding for finding in findings if finding.severity is not Severity.ERROR]
    if errors:
        failure = _element("failure", type=errors[0].rule, message=errors[0].message)
        failure.text = "\n".join(_words(finding, root) for finding in errors)
        case.append(failure)
    quiet = "\n".join(_words(finding, root) for finding in others) or ("" if errors else visible(otherwise))
    if quiet:
        output = _element("system-out")
        output.text = quiet
        case.append(output)
    return case


def _words(finding: Finding, root: str) -> str:
    lines = [f"{finding.severity.label} {finding.rule} {finding.name}: {finding.message}"]
    if (where := written_at(finding, root)) is not None:
        lines.append(f"source: {where}")
    if finding.node:
        lines.append(f"node: {finding.node}")
    lines += [f"range: {format_range(item.start, item.stop)}" for item in finding.ranges]
    return "\n".join(map(visible, [*lines, *([finding.advice] if finding.advice else [])]))


def _decided(report: Report) -> list[ElementTree.Element]:
    """Return a suite of what settings files say (a test that passes) and of what is suppressed (tests that are skipped)."""
    made = tuple(decisions(report))
    if not made:
        return []
    skipped = sum(item.kind == "suppressed" for item in made)
    suite = _element("testsuite", name="decisions", tests=str(len(made)), failures="0", errors="0", skipped=str(skipped))
    for item in made:
        case = _element("testcase", classname=item.path, name=f"{item.kind} {item.text}")
        said = _element("skipped", message=item.text) if item.kind == "suppressed" else _element("system-out")
        said.text = visible(item.text)
        case.append(said)
        suite.append(case)
    return [suite]


def _unreadable(failure: InputFailure, root: str) -> ElementTree.Element:
    name = relative(failure.path, root)
    suite = _element("testsuite", name=name, tests="1", failures="0", errors="1", skipped="0")
    case = _element("testcase", classname=name, name="readable")
    case.append(_element("error", type="unreadable-input", message=failure.message))
    suite.append(case)
    return suite


def _element(tag: str, /, **attributes: str) -> ElementTree.Element:
    return ElementTree.Element(tag, {key: visible(value) for key, value in attributes.items()})
