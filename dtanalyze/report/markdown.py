"""A table for a comment on a pull request, in GitHub's and GitLab's Markdown; the findings are folded below it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from dtanalyze.address.units import format_range
from dtanalyze.findings import Severity
from dtanalyze.report.decisions import decisions
from dtanalyze.report.foreign import visible
from dtanalyze.report.naming import Placed, cell, placed, relative, written_at
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
# Forges read these in what is rendered, where no backslash is left, but not in code; addresses become links in code, too.
_CALLS: Final = re.compile(r"(?<![0-9A-Za-z_])@(?=[0-9A-Za-z])|(?:\\#|!|GH-)(?=\d)|://|\bwww\.", re.IGNORECASE)
_LINKS: Final = re.compile(r"://|\bwww\.", re.IGNORECASE)


def render(report: Report) -> Iterator[str]:
    """Yield the comment; a row for each result and each input that could not be read."""
    return (f"{line}\n" for line in _lines(report))


def _lines(report: Report) -> Iterator[str]:
    found = Counter(item.finding.severity for item in placed(report))
    yield from ("### dtanalyze", "", _summary(report, found), "")
    if report.groups or report.failures:
        yield from (_row(*_COLUMNS), _row(*("---" for _ in _COLUMNS)), *_rows(report))
    yield from (f"\n*{item.kind}*: {plain(item.text)}." for item in decisions(report))
    if found:
        count = f"{found.total()} finding" + ("" if found.total() == 1 else "s")
        yield from ("", "<details>", f"<summary>{count}</summary>", "")
        for item in placed(report):
            yield from _finding(item, report.root)
        yield from ("", "</details>")


def _summary(report: Report, found: Counter[Severity]) -> str:
    results = sum(len(group) for group in report.groups)
    counts = [(kind.label, found[kind]) for kind in (Severity.ERROR, Severity.WARNING, Severity.INFO)]
    parts = [f"{results} result{'' if results == 1 else 's'}"]
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
    where = written_at(finding, root) or relative(item.result.path, root)
    yield f"  in {code(where)} ({plain(cell(item.result))}): {plain(finding.message)}."
    if finding.ranges:
        yield "  Ranges: " + ", ".join(code(format_range(span.start, span.stop)) for span in finding.ranges) + "."
    if finding.advice:
        yield f"  {plain(finding.advice)}"


def plain(text: str) -> str:
    """Return foreign text so that it stays text in Markdown: it calls nobody, refers to no issue and is no link."""
    return _CALLS.sub(r"<code>\g<0></code>", visible(text).translate(_MARKS))


def code(text: str) -> str:
    """Return foreign text as code."""
    # A tag, not backquotes: a path may hold them, and no entity is read between them.
    return f"<code>{_LINKS.sub(_as_entity, visible(text).translate(_MARKS))}</code>"


def _as_entity(found: re.Match[str]) -> str:
    return found.group().replace(":", "&#58;").replace(".", "&#46;")
