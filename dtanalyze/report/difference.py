"""What changed from one tree to another, for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from dtanalyze.address.range import AddressRange, RawRange
from dtanalyze.address.units import counted, format_range, format_size
from dtanalyze.controls.difference import CellChange, TreeChange
from dtanalyze.facts import CheckResult
from dtanalyze.report.foreign import document
from dtanalyze.report.json import finding_json
from dtanalyze.report.lines import WIDTH, fitted
from dtanalyze.report.naming import cell, written_at
from dtanalyze.report.style import PLAIN, Style

__all__ = ["difference_json", "difference_text", "differences_json", "differences_text"]


def difference_text(changes: tuple[CellChange, ...], *, style: Style = PLAIN, width: int = WIDTH) -> str:
    """Return each cell's change; a cell without one is one line."""
    return document(fitted((line for change in changes for line in _lines(change, style)), width))


def differences_text(trees: Sequence[TreeChange], *, style: Style = PLAIN, width: int = WIDTH) -> str:
    """Return the change of each tree that changed, below its name; the others are counted."""
    lines: list[str] = []
    for tree in trees:
        if not tree.is_empty:
            lines += [f"{tree.name}:", *(f"  {line}" for cell in tree.cells for line in _lines(cell, style)), ""]
    same = sum(tree.is_empty for tree in trees)
    return document([*fitted(lines, width), f"{counted(same, 'tree')} without a change"])


def differences_json(trees: Iterable[TreeChange]) -> list[dict[str, Any]]:
    """Return one object for each tree, also for those without a change."""
    return [
        {"name": tree.name, "old": tree.old, "new": tree.new, "changes": difference_json(tree.cells)} for tree in trees
    ]


def _lines(change: CellChange, style: Style) -> Iterator[str]:
    old, new = change.old, change.new
    result = new or old
    if result is None:
        return
    before, after = (item.verdict.value if item else "not there" for item in (old, new))
    verdict = after if before == after else f"{before} -> {after}"
    yield style.bold(f"{cell(result)}: {verdict}") + (" (no change)" if change.is_empty else "")
    for item in change.new_findings:
        where = f"{written_at(item)}: " if item.place is not None else ""
        what = style.severity(item.severity.label, item.severity.label)
        yield f"  new    {where}{what} {item.rule} {item.name}: {item.message}"
    for item in change.fixed_findings:
        yield f"  fixed  {item.severity.label} {item.rule} {item.name}: {item.message}"
    for region in change.gained:
        yield f"  region gained  {_shown(region)}"
    for region in change.lost:
        yield f"  region lost    {_shown(region)}"
    for moved in change.moved:
        yield f"  region changed {_shown(moved.old)} -> {_shown(moved.new)}"
    for run in change.ram_gained:
        yield f"  RAM gained     {_shown(run)}"
    for run in change.ram_lost:
        yield f"  RAM lost       {_shown(run)}"
    if change.sections:
        counts = f"{old.sections if old else 0} -> {new.sections if new else 0}"
        yield f"  sections {'won' if change.sections > 0 else 'lost'}: {counts}"


def _shown(item: AddressRange | RawRange) -> str:
    return f"{format_range(item.start, item.stop)} ({format_size(item.size)})"


def difference_json(changes: tuple[CellChange, ...]) -> list[dict[str, Any]]:
    """Return one object for each cell."""
    return [_change_json(change) for change in changes]


def _change_json(change: CellChange) -> dict[str, Any]:
    result = change.new or change.old
    return {
        "domain": result.domain if result else None,
        "linux": result.linux.name if result else None,
        "xen": result.xen if result else None,
        "iommu": result.iommu if result else None,
        "verdict": {"old": _verdict(change.old), "new": _verdict(change.new)},
        "sections": {"old": change.old.sections if change.old else 0, "new": change.new.sections if change.new else 0},
        "new_findings": [finding_json(item) for item in change.new_findings],
        "fixed_findings": [finding_json(item) for item in change.fixed_findings],
        "regions": {
            "gained": [_range(item) for item in change.gained],
            "lost": [_range(item) for item in change.lost],
            "moved": [{"old": _range(item.old), "new": _range(item.new)} for item in change.moved],
        },
        "ram": {"gained": [_range(item) for item in change.ram_gained], "lost": [_range(item) for item in change.ram_lost]},
    }


def _verdict(result: CheckResult | None) -> str | None:
    return result.verdict.value if result else None


def _range(item: AddressRange | RawRange) -> list[str]:
    return [hex(item.start), hex(item.stop)]
