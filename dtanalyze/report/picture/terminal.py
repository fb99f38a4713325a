"""The picture for a terminal: a line for each band, the two views side by side on one axis, empty space folded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from dtanalyze.address.units import format_size
from dtanalyze.report.naming import printable
from dtanalyze.report.picture.scene import Band, Piece, Scene
from dtanalyze.report.style import PLAIN, Style

__all__ = ["picture_text"]

_GLYPH: Final = {"scratch": "█", "hazard": "▒", "refused": "╳", "unreached": "░", "lost": "·", "grant": "▓"}
_SEVERITY: Final = {"scratch": "ok", "hazard": "error", "refused": "error"}
_BAR: Final = 6
_LEFT: Final = 40
_LEGEND: Final = (
    "█ scratch, in the order taken  ▒ over something in use  ╳ refused  ░ not reached  · lost  ▓ grant table  "
    "? if a driver binds"
)


def picture_text(scene: Scene, *, style: Style = PLAIN) -> str:
    """Return the picture of one result, highest address last."""
    result = scene.result
    lines = [style.bold(f"{printable(scene.title)}: {result.verdict.value}"), f"  {printable(result.reason)}", ""]
    if not scene.bands:
        return "\n".join([*lines[:2], "  nothing to draw"]) + "\n"
    width = max(len(f"{band.range.last:x}") for band in scene.bands)
    head = f"  {'address':>{2 * width + 3}}  {'size':>9}  {'xen_resource':{_LEFT + _BAR}}  iomem_resource"
    lines += [style.dim(head)]
    for band in scene.bands:
        lines += _line(band, width, style)
    lines += ["", style.dim("  " + _LEGEND)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _line(band: Band, width: int, style: Style) -> Iterator[str]:
    if band.is_gap:
        yield style.dim(f"  {'⋮':>{2 * width + 3}}  {format_size(band.range.size):>9}  ⋮")
        return
    span = f"{band.range.start:0{width}x}-{band.range.last:0{width}x}"
    left = _left(band.piece, style)
    yield f"  {span}  {format_size(band.range.size):>9}  {left}  {printable(band.claims_text)}"


def _left(piece: Piece | None, style: Style) -> str:
    if piece is None:
        return " " * (_BAR + _LEFT)
    bar = _GLYPH[piece.kind] * (_BAR - 1)
    label = piece.label if len(piece.label) <= _LEFT else piece.label[: _LEFT - 1] + "…"
    severity = _SEVERITY.get(piece.kind)
    shown = style.severity(severity, bar) if severity else style.dim(bar)
    return f"{shown} {label:{_LEFT}}"
