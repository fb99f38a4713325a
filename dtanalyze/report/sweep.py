"""A sweep as one table for each domain: releases of Xen down, kernels across, verdict and sections in each cell."""

from __future__ import annotations

from collections.abc import Sequence

from dtanalyze.facts import CheckResult
from dtanalyze.report.foreign import document
from dtanalyze.report.style import PLAIN, Style

__all__ = ["sweep_text"]

_ALONE = ("scratch", "hazard", "conflict", "iomem")
_REASONS = 6


def sweep_text(results: Sequence[CheckResult], *, style: Style = PLAIN) -> str:
    """Return the tables for the results of one input; below each, the reasons that occur, most frequent first."""
    if not results:
        return ""
    lines: list[str] = []
    for domain in dict.fromkeys(item.domain for item in results):
        cells = [item for item in results if item.domain == domain]
        title = f"{cells[0].path}" + (f" ({domain})" if domain else "")
        lines += [style.bold(title), *_table(cells), "", *_reasons(cells), ""]
    return document(lines)[:-1]


def _row(item: CheckResult) -> str:
    if item.xen is None:
        return "tree"
    return f"Xen {item.xen}" + ("" if item.iommu is None else f", IOMMU {'on' if item.iommu else 'off'}")


def _cell(item: CheckResult) -> str:
    verdict = item.verdict.value
    return f"{verdict} {item.sections}" if verdict in _ALONE else verdict


def _table(cells: Sequence[CheckResult]) -> list[str]:
    rows = list(dict.fromkeys(_row(item) for item in cells))
    columns = list(dict.fromkeys(item.linux.name for item in cells))
    found = {(_row(item), item.linux.name): _cell(item) for item in cells}
    first = max(len(row) for row in rows)
    widths = [max(len(f"Linux {name}"), *(len(found.get((row, name), "-")) for row in rows)) for name in columns]
    head = " " * first + "".join(f"  {f'Linux {name}':<{width}}" for name, width in zip(columns, widths, strict=True))
    body = [
        f"{row:<{first}}"
        + "".join(f"  {found.get((row, name), '-'):<{width}}" for name, width in zip(columns, widths, strict=True))
        for row in rows
    ]
    return [line.rstrip() for line in (head, *body)]


def _reasons(cells: Sequence[CheckResult]) -> list[str]:
    counts: dict[tuple[str, str], int] = {}
    for item in cells:
        key = (item.verdict.value, item.reason)
        counts[key] = counts.get(key, 0) + 1
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    shown = [f"  {count} x {verdict}: {reason}" for (verdict, reason), count in ordered[:_REASONS]]
    more = len(ordered) - _REASONS
    return shown + ([f"  … and {more} more reason{'' if more == 1 else 's'} (--format json)"] if more > 0 else [])
