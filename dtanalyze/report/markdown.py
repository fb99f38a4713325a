"""A table for a comment on a pull request, in GitHub's and GitLab's Markdown; the findings are folded below it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from dtanalyze.address.units import format_range
from dtanalyze.findings import Severity
from dtanalyze.report.decisions import decisions
from dtanalyze.report.foreign import visible
from dtanalyze.report.naming import Placed, cell, placed, relative
from dtanalyze.report.whole import Report

__all__ = ["code", "plain", "render"]

_COLUMNS: Final = ("path", "domain", "kernel", "Xen", "verdict", "reason")
_MARKS: Final = str.maketrans(
    {
        **{char: f"\\{char}" for char in "\\`*_[]~#"},
        # As entities: a table's cell ends at a bar whatever stands before it, and tags end a folded part.
        "|": "&#124;",
        "<": "&lt;",
        ">": "&gt;",
        "&": "&amp;",
    }
)


def render(report: Report) -> str:
    """Return the comment; a row for each result and each input that could not be read."""
    found = tuple(placed(report))
    lines = ["### dtanalyze", "", _summary(report, found), ""]
    if report.results or report.failures:
        lines += [_row(*_COLUMNS), _row(*("---" for _ in _COLUMNS)), *_rows(report)]
    lines += [f"\n*{item.kind}*: {plain(item.text)}." for item in decisions(report)]
    if found:
        count = f"{len(found)} finding" + ("" if len(found) == 1 else "s")
        lines += ["", "<details>", f"<summary>{count}</summary>", ""]
        lines += [line for item in found for line in _finding(item, report.root)]
        lines += ["", "</details>"]
    return "\n".join(lines) + "\n"


def _summary(report: Report, found: tuple[Placed, ...]) -> str:
    kinds = (Severity.ERROR, Severity.WARNING, Severity.INFO)
    counts = [(kind.label, sum(item.finding.severity is kind for item in found)) for kind in kinds]
    parts = [f"{len(report.results)} result{'' if len(report.results) == 1 else 's'}"]
    parts += [f"{count} {label}{'' if count == 1 or label == 'info' else 's'}" for label, count in counts if count]
    if report.suppressed:
        parts.append(f"{len(report.suppressed)} suppressed")
    if report.failures:
        parts.append(f"{len(report.failures)} unreadable input{'' if len(report.failures) == 1 else 's'}")
    return ", ".join(parts) + "."


def _rows(report: Report) -> Iterator[str]:
    for result in report.results:
        iommu = "" if result.iommu is None else f", IOMMU {'on' if result.iommu else 'off'}"
        yield _row(
            code(relative(result.path, report.root)),
            code(result.domain) if result.domain else "",
            f"Linux {plain(result.linux.name)}",
            plain(result.xen) + iommu if result.xen else "",
            f"**{result.verdict.value}**",
            plain(result.reason),
        )
    for failure in report.failures:
        yield _row(code(relative(failure.path, report.root)), "", "", "", "**unreadable**", plain(failure.message))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _finding(item: Placed, root: str) -> Iterator[str]:
    finding = item.finding
    node = f" at {code(finding.node)}" if finding.node else ""
    yield f"- **{finding.severity.label}** {plain(finding.rule)} {plain(finding.name)}{node}"
    yield f"  in {code(relative(item.result.path, root))} ({plain(cell(item.result))}): {plain(finding.message)}."
    if finding.ranges:
        yield "  Ranges: " + ", ".join(code(format_range(span.start, span.stop)) for span in finding.ranges) + "."
    if finding.advice:
        yield f"  {plain(finding.advice)}"


def plain(text: str) -> str:
    """Return foreign text so that it stays text in Markdown."""
    return visible(text).translate(_MARKS)


def code(text: str) -> str:
    """Return foreign text as code."""
    # A tag, not backquotes: a path may hold them, and no entity is read between them.
    return f"<code>{plain(text)}</code>"
