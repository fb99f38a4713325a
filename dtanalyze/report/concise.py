"""One line a finding, ``FILE:LINE: SEVERITY: RULE NAME: MESSAGE``, as compilers print them: for editors, grep and pipes.

With sources it is where the cause was written, with its column. A blob has no lines, and what reads this form wants one: it
is the first.
"""

from __future__ import annotations

from collections.abc import Iterator

from dtanalyze.errors import SourcePlace
from dtanalyze.report.decisions import decisions
from dtanalyze.report.foreign import document
from dtanalyze.report.naming import Placed, cell_in_file, failure_text, placed, relative, written_at
from dtanalyze.report.whole import Report

__all__ = ["render"]


def render(report: Report) -> Iterator[str]:
    """Yield the lines, in the order of the inputs; nothing at all when there is nothing to say."""
    for item in placed(report):
        where = f"{_where(item, report.root)}: {item.finding.severity.label}: {item.finding.rule}"
        yield document([f"{where} {item.finding.name}: {item.finding.message} ({cell_in_file(item.result)})"])
    for made in decisions(report):
        yield document([f"{made.path}:{made.line}: info: {made.kind}: {made.text}"])
    for failure in report.failures:
        at = failure.at or SourcePlace(failure.location, 1)
        place = f"{relative(at.file, report.root)}:{at.line}" + (f":{at.column}" if at.column else "")
        yield document([f"{place}: error: unreadable: {failure_text(failure)}"])


def _where(item: Placed, root: str) -> str:
    return written_at(item.finding, root) or f"{relative(item.result.location, root)}:1"
