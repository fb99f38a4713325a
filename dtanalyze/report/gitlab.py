"""GitLab's Code Quality report: a JSON array in a subset of Code Climate's format.

A blob has no lines, and the format wants one: it is the first, unless the sources are known.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from textwrap import indent
from typing import Any, Final

from dtanalyze.errors import SourcePlace
from dtanalyze.findings import Severity
from dtanalyze.report.decisions import decisions
from dtanalyze.report.foreign import json_text, visible
from dtanalyze.report.naming import cell_in_file, digest, failure_text, placed, relative
from dtanalyze.report.whole import Report

__all__ = ["render"]

_SEVERITIES: Final = {Severity.ERROR: "critical", Severity.WARNING: "minor", Severity.INFO: "info"}


def render(report: Report) -> Iterator[str]:
    """Yield the array, findings first; an empty one when there is nothing to say."""
    between = "[\n"
    for item in _items(report):
        yield between + indent(json_text(json.dumps(item, indent=1)), " ")
        between = ",\n"
    yield "[]\n" if between == "[\n" else "\n]\n"


def _items(report: Report) -> Iterator[dict[str, Any]]:
    for result, finding, key in placed(report):
        description = f"{finding.message} ({cell_in_file(result)})"
        path = relative(finding.place.file if finding.place else result.location, report.root)
        line = finding.place.line if finding.place else 1
        yield _item(path, finding.rule, description, _SEVERITIES[finding.severity], key, line)
    for made in decisions(report):
        yield _item(made.path, made.kind, f"{made.kind}: {made.text}", "info", (made.kind, *made.key), made.line)
    for failure in report.failures:
        key = ("unreadable-input", *([failure.inside] if failure.inside else []))
        at = failure.at or SourcePlace(failure.location, 1)
        path = relative(at.file, report.root)
        yield _item(path, "unreadable-input", failure_text(failure), "blocker", key, at.line)


def _item(path: str, rule: str, description: str, severity: str, key: tuple[str, ...], line: int = 1) -> dict[str, Any]:
    return {
        "description": visible(description),
        "check_name": rule,
        # GitLab compares by fingerprint alone, so the file is part of it.
        "fingerprint": digest(path, *key),
        "severity": severity,
        "location": {"path": visible(path), "lines": {"begin": line}},
    }
