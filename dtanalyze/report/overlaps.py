"""Devices that share addresses, each pair with the reason why that is meant, or none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dtanalyze.address.units import format_range
from dtanalyze.report.foreign import document
from dtanalyze.report.style import PLAIN, Style
from dtanalyze.rules.overlap import Overlap, Side

__all__ = ["overlaps_json", "overlaps_text"]


def overlaps_text(path: str, overlaps: Iterable[Overlap], *, style: Style = PLAIN) -> str:
    """Return three lines for each pair: the two sides and the reason."""
    listed = tuple(overlaps)
    lines = []
    for item in listed:
        why = item.reason or style.severity("warning", "nothing in the tree explains it (O02)")
        lines += [f"  {_shown(item.one)}", f"  {_shown(item.other)}", f"    {item.shape}: {why}", ""]
    open_ = sum(not item.reason for item in listed)
    pairs = f"{len(listed)} pair{'' if len(listed) == 1 else 's'}"
    head = style.bold(f"{path}: {pairs} of devices share addresses, {open_} without a reason")
    return document([head, *lines]).rstrip() + "\n"


def _shown(side: Side) -> str:
    return f"{format_range(side.range.start, side.range.stop)}  {side.node.path} (reg[{side.entry.nth}])"


def overlaps_json(path: str, overlaps: Iterable[Overlap]) -> dict[str, Any]:
    """Return the same as data."""
    return {
        "path": path,
        "overlaps": [
            {
                "sides": [_side(item.one), _side(item.other)],
                "shape": item.shape,
                "reason": item.reason or None,
            }
            for item in overlaps
        ],
    }


def _side(side: Side) -> dict[str, Any]:
    return {
        "node": side.node.path,
        "index": side.entry.nth,
        "range": [hex(side.range.start), hex(side.range.stop)],
        "offset": side.entry.offset,
    }
