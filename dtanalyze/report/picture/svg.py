"""The picture as one SVG file for a document: the lines of the page, without its lists."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Final

from dtanalyze.address.units import format_size
from dtanalyze.report.foreign import visible
from dtanalyze.report.naming import cell
from dtanalyze.report.picture.scene import CELLS, Line, Scene
from dtanalyze.report.pieces import Piece

__all__ = ["picture_svg"]

_COLOURS: Final = {
    "scratch": "#0072b2",
    "hazard": "#b84600",
    "refused": "#b84600",
    "lost": "#ffffff",
    "outside": "#e4e7ea",
    "unreached": "#e4e7ea",
    "grant": "#cc79a7",
    "ram": "#9fdcc8",
    "reserved": "#c6c9cd",
    "device": "#f3c56b",
    "pci": "#f4ec9a",
}
_WIDTH: Final = 960
_LEFT: Final = 130
_LANE: Final = 24
_STEP: Final = 2 * _LANE + 30


def picture_svg(scene: Scene) -> str:
    """Return the picture of one result as SVG, sizes in user units."""
    result = scene.result
    height = 76 + sum(_STEP + (16 if number and line.gap else 0) for number, line in enumerate(scene.lines))
    name = f"{result.path}: {result.verdict.value}. {result.reason}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{_text(name)}" '
        'font-family="DejaVu Sans, sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        _words(10, 22, f"{result.verdict.value}: {result.path}", 'font-weight="bold" font-size="15"'),
        _words(10, 40, _short(result.reason, 140), ""),
        _words(10, 56, f"{cell(result)}; one line is {format_size(scene.line_size)}, one cell a section", 'fill="#565d66"'),
    ]
    top = 70
    for number, line in enumerate(scene.lines):
        if number and line.gap:
            parts.append(_words(_LEFT, top + 10, f"{format_size(line.gap)} with nothing in it", 'fill="#565d66"'))
            top += 16
        parts += _line(scene, line, top)
        top += _STEP
    return "\n".join([*parts, "</svg>"]) + "\n"


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _text(value: str) -> str:
    return escape(visible(value), quote=True)


def _words(left: float, top: float, text: str, more: str) -> str:
    return f'<text x="{left:.1f}" y="{top:.1f}" {more}>{_text(text)}</text>'


def _line(scene: Scene, line: Line, top: int) -> Iterator[str]:
    room = _WIDTH - _LEFT - 10
    yield _words(10, top + 17, f"{line.start:#x}", 'font-family="DejaVu Sans Mono, monospace"')
    alike = f"x {line.times}, " if line.times > 1 else ""
    yield _words(10, top + 17 + _LANE, f"{alike}{format_size(line.size * line.times)}", 'fill="#565d66"')
    for place in range(CELLS + 1):
        left = _LEFT + room * place / CELLS
        yield f'<line x1="{left:.1f}" y1="{top}" x2="{left:.1f}" y2="{top + 2 * _LANE}" stroke="#d3d8de"/>'
    for piece in line.upper:
        yield from _piece(scene, line, piece, top, room)
    for claim in line.lower:
        low, high = line.place(claim)
        label = claim.label.partition("@")[0] if high - low > 0.1 else ""
        yield _block(low, high, top + _LANE, room, claim.kind, f"{claim.node or claim.name}, {claim.range}", label)


def _piece(scene: Scene, line: Line, piece: Piece, top: int, room: int) -> Iterator[str]:
    low, high = line.place(piece)
    if not piece.first or line.times > 1:
        label = f"{piece.first} to {piece.last}" if piece.first else piece.label.partition(":")[0]
        yield _block(low, high, top, room, piece.kind, f"{piece.label}, {piece.range}", label if high - low > 0.05 else "")
        return
    size = scene.result.linux.section_size
    start = max(piece.range.start, line.start)
    number = piece.first + (start - piece.range.start) // size
    for place in range((min(piece.range.stop, line.stop) - start) // size):
        left = (start + place * size - line.start) / line.size
        yield _block(left, left + 1 / CELLS, top, room, piece.kind, f"section {number + place}", f"{number + place}")


def _block(low: float, high: float, top: int, room: int, kind: str, title: str, label: str) -> str:
    left, width = _LEFT + low * room, max((high - low) * room, 2.0)
    edge = ' stroke-dasharray="4 2"' if kind in ("lost", "outside", "unreached") else ""
    thick = 2.5 if kind in ("hazard", "refused") else 1
    colour = "#ffffff" if kind in ("scratch", "hazard", "refused") else "#1b1d21"
    middle = f'x="{left + width / 2:.1f}" y="{top + 16}" text-anchor="middle" font-size="11" fill="{colour}"'
    text = f"<text {middle}>{_text(label)}</text>" if label else ""
    return (
        f'<g><title>{_text(title)}</title><rect x="{left:.1f}" y="{top + 1}" width="{width:.1f}" height="{_LANE - 2}" '
        f'fill="{_COLOURS[kind]}" stroke="#3b3f46" stroke-width="{thick}"{edge}/>{text}</g>'
    )
