"""A sweep as one table for each domain: releases of Xen down, kernels across, verdict and sections in each cell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from dtanalyze.address.units import counted
from dtanalyze.facts import CheckResult
from dtanalyze.report.foreign import document
from dtanalyze.report.groups import groups_of, what_is_safe, what_to_do, where, why
from dtanalyze.report.lines import WIDTH, wrapped
from dtanalyze.report.style import PLAIN, Style

__all__ = ["sweep_text"]

_ALONE = ("scratch", "hazard", "conflict", "iomem")
_REASONS = 6


def sweep_text(results: Sequence[CheckResult], *, style: Style = PLAIN, width: int = WIDTH) -> str:
    """Return the tables for the results of one input; below each what came out alike, the worst first, and what to do."""
    if not results:
        return ""
    lines: list[str] = []
    for domain in dict.fromkeys(item.domain for item in results):
        cells = tuple(item for item in results if item.domain == domain)
        title = f"{cells[0].path}" + (f" ({domain})" if domain else "")
        lines += [*map(style.bold, wrapped(title, width)), *_table(cells, width), "", *_reasons(cells, width), ""]
    return document(lines)[:-1]


def _row(item: CheckResult) -> str:
    if item.xen is None:
        return "tree"
    return f"Xen {item.xen}" + ("" if item.iommu is None else f", IOMMU {'on' if item.iommu else 'off'}")


def _cell(item: CheckResult) -> str:
    verdict = item.verdict.value
    return f"{verdict} {item.sections}" if verdict in _ALONE else verdict


class _Column(NamedTuple):
    """One kernel, or several in a row that come out alike, with what each row says, ``-`` where it was not asked."""

    title: str
    cells: tuple[str, ...]

    @property
    def width(self) -> int:
        return max(map(len, (self.title, *self.cells)))


def _table(cells: Sequence[CheckResult], width: int) -> list[str]:
    """Return the table; one too wide joins kernels in a row that come out alike, then goes on below."""
    rows = list(dict.fromkeys(_row(item) for item in cells))
    found = {(_row(item), item.linux.name): _cell(item) for item in cells}
    columns = [
        _Column(f"Linux {name}", tuple(found.get((row, name), "-") for row in rows))
        for name in dict.fromkeys(item.linux.name for item in cells)
    ]
    first = max(map(len, rows))
    if _total(first, columns) > width:
        columns = list(_joined(columns))
    return [line for part in _parts(first, columns, width) for line in _drawn(rows, first, part)]


def _total(first: int, columns: Sequence[_Column]) -> int:
    return first + sum(2 + item.width for item in columns)


def _joined(columns: Sequence[_Column]) -> Iterator[_Column]:
    for _, alike in groupby(columns, key=lambda item: item.cells):
        one, *others = alike
        yield one._replace(title=f"{one.title} to {others[-1].title.removeprefix('Linux ')}") if others else one


def _parts(first: int, columns: Sequence[_Column], width: int) -> Iterator[list[_Column]]:
    part: list[_Column] = []
    for item in columns:
        if part and _total(first, [*part, item]) > width:
            yield part
            part = []
        part.append(item)
    yield part


def _drawn(rows: Sequence[str], first: int, columns: Sequence[_Column]) -> Iterator[str]:
    yield (" " * first + "".join(f"  {item.title:<{item.width}}" for item in columns)).rstrip()
    for place, row in enumerate(rows):
        yield (f"{row:<{first}}" + "".join(f"  {item.cells[place]:<{item.width}}" for item in columns)).rstrip()


def _reasons(cells: tuple[CheckResult, ...], width: int) -> list[str]:
    """Say of each group of cells that came out alike how many they are, why, where, and what to do."""
    groups = groups_of(cells)
    lines = wrapped(what_is_safe(cells), width, first="  ")
    for group in groups[:_REASONS]:
        first = f"  {len(group.cells)} x "
        rest = " " * len(first)
        lines += wrapped(f"{group.verdict.value}: {why(group)}", width, first=first)
        place, advice = where(group, cells), what_to_do(group, cells)
        if len(groups) > 1:
            lines += wrapped(f"With {place}." if place != "the rest" else "With the rest.", width, first=rest)
        if advice:
            lines += wrapped(advice, width, first=f"{rest}Do: ", rest=f"{rest}    ")
    more = len(groups) - _REASONS
    return lines + ([f"  … and {counted(more, 'more reason')} (--format json)"] if more > 0 else [])
