"""Devices that share addresses, each pair with the reason why that is meant, or none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from dtanalyze.address.units import counted, format_range
from dtanalyze.report.foreign import document
from dtanalyze.report.lines import WIDTH, fitted, wrapped
from dtanalyze.report.style import PLAIN, Style
from dtanalyze.rules.overlap import Overlap, Side

__all__ = ["overlaps_json", "overlaps_text"]

_OPEN: Final = "nothing in the tree explains it (O02)"


def overlaps_text(path: str, overlaps: Iterable[Overlap], *, style: Style = PLAIN, width: int = WIDTH) -> str:
    """Return each pair: the two sides and the reason."""
    listed = tuple(overlaps)
    lines = []
    for item in listed:
        reason = f"    {item.shape}: {item.reason or _OPEN}"
        told = fitted([f"  {_shown(item.one)}", f"  {_shown(item.other)}", reason], width)
        lines += [*(line.replace(_OPEN, style.severity("warning", _OPEN)) for line in told), ""]
    open_ = sum(not item.reason for item in listed)
    pairs = f"{counted(len(listed), 'pair')} of devices share{'s' if len(listed) == 1 else ''} addresses"
    head = wrapped(f"{path}: {pairs}, {open_} without a reason", width, rest="  ")
    return document([*map(style.bold, head), *lines]).rstrip() + "\n"


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
