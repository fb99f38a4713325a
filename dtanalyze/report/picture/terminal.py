"""The picture for a terminal: a line for each band, the two views side by side on one axis, empty space folded."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from itertools import groupby
from typing import Final

from dtanalyze.address.range import AddressRange
from dtanalyze.address.units import format_size
from dtanalyze.report.foreign import document
from dtanalyze.report.picture.scene import Band, Piece, Scene
from dtanalyze.report.style import PLAIN, Style

__all__ = ["picture_text"]

_GLYPH: Final = {"scratch": "█", "hazard": "▒", "refused": "╳", "unreached": "░", "lost": "·", "grant": "▓"}
_SEVERITY: Final = {"scratch": "ok", "hazard": "error", "refused": "error"}
_FEW: Final = 12
"""So many bands of one piece are drawn one by one, and so many of its users named."""
_WIDTH: Final = 108
_BAR: Final = 6
_LEFT: Final = 46
_LEGEND: Final = (
    "█ scratch, in the order taken  ▒ over something in use  ╳ refused  ░ not reached  · lost  ▓ grant table  "
    "? if a driver binds"
)


def picture_text(scene: Scene, *, style: Style = PLAIN) -> str:
    """Return the picture of one result, highest address last."""
    result = scene.result
    lines = [style.bold(f"{scene.title}: {result.verdict.value}"), *_wrapped(result.reason), ""]
    if not scene.bands:
        return document([*lines[:-1], "  nothing to draw"])
    width = max(len(f"{band.range.last:x}") for band in scene.bands)
    head = f"  {'address':>{2 * width + 3}}  {'size':>9}  {'xen_resource':{_LEFT + _BAR}}  iomem_resource"
    lines += [style.dim(head)]
    for _, run in groupby(scene.bands, lambda band: band.piece or band):
        lines += _run(tuple(run), width, style)
    lines += ["", style.dim("  " + _LEGEND)]
    return document(line.rstrip() for line in lines)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False, break_long_words=False
    )


def _run(bands: tuple[Band, ...], width: int, style: Style) -> Iterator[str]:
    """Draw the bands of one piece; when they are many, the piece in one line and who uses it below."""
    piece = bands[0].piece
    users = [band for band in bands if band.claims]
    if piece is None or len(bands) <= _FEW:
        for band in bands:
            yield from _line(band, width, style)
        return
    whole = AddressRange.spanning(bands[0].range.start, bands[-1].range.stop)
    yield from _line(Band(whole, piece, ()), width, style)
    for band in users[:_FEW]:
        yield from _line(band._replace(piece=piece._replace(label="")), width, style)
    if len(users) > _FEW:
        left = _left(piece._replace(label=""), style)
        yield f"  {'':{2 * width + 14}}{left}  and {len(users) - _FEW} more (--html shows all)"


def _line(band: Band, width: int, style: Style) -> Iterator[str]:
    if band.is_gap:
        yield style.dim(f"  {'⋮':>{2 * width + 3}}  {format_size(band.range.size):>9}  ⋮")
        return
    span = f"{band.range.start:0{width}x}-{band.range.last:0{width}x}"
    left = _left(band.piece, style)
    yield f"  {span}  {format_size(band.range.size):>9}  {left}  {band.claims_text}"


def _left(piece: Piece | None, style: Style) -> str:
    if piece is None:
        return " " * (_BAR + _LEFT)
    bar = _GLYPH[piece.kind] * (_BAR - 1)
    label = piece.label if len(piece.label) <= _LEFT else piece.label[: _LEFT - 1] + "…"
    severity = _SEVERITY.get(piece.kind)
    shown = style.severity(severity, bar) if severity else style.dim(bar)
    return f"{shown} {label:{_LEFT}}"
