"""One line a finding, ``FILE:LINE: SEVERITY: RULE NAME: MESSAGE``, as compilers print them: for editors, grep and pipes.

A blob has no lines, and what reads this form wants one: it is always the first.
"""

from __future__ import annotations

from dtanalyze.report.foreign import document
from dtanalyze.report.naming import cell_in_file, failure_text, placed, relative
from dtanalyze.report.whole import Report

__all__ = ["render"]


def render(report: Report) -> str:
    """Return the lines, in the order of the inputs; nothing at all when there is nothing to say."""
    lines = [
        f"{relative(item.result.location, report.root)}:1: {item.finding.severity.label}: {item.finding.rule} "
        f"{item.finding.name}: {item.finding.message} ({cell_in_file(item.result)})"
        for item in placed(report)
    ]
    lines += [
        f"{relative(failure.location, report.root)}:1: error: unreadable: {failure_text(failure)}"
        for failure in report.failures
    ]
    return document(lines)
