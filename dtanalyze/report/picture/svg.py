"""The picture as SVG: one file, no fonts or styles from outside, colours that the colour-blind tell apart."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from html import escape
from typing import Final

from dtanalyze.address.units import format_size
from dtanalyze.report.naming import printable
from dtanalyze.report.picture.scene import Band, Scene

__all__ = ["COLOURS", "height_of", "picture_svg"]

COLOURS: Final = {
    "scratch": "#0072b2",
    "hazard": "#d55e00",
    "refused": "#c0392b",
    "unreached": "#9ccbe6",
    "lost": "#d8d8d8",
    "grant": "#cc79a7",
    "ram": "#009e73",
    "reserved": "#5f8f80",
    "device": "#e69f00",
    "pci": "#f0c800",
}
"""By kind, after Okabe and Ito."""
_WIDTH: Final = 1100
_AXIS: Final = 330
_COLUMN: Final = 370
_GAP: Final = 14
_TOP: Final = 96


def height_of(band: Band) -> int:
    """Return a band's height in pixels: by the logarithm of its size, so that kilobytes and terabytes are both seen."""
    if band.is_gap:
        return _GAP
    return 20 + 2 * max(band.range.size.bit_length() - 27, 0)


def picture_svg(scene: Scene) -> str:
    """Return the picture of one result as a whole SVG document."""
    heights = [height_of(band) for band in scene.bands]
    reason = textwrap.wrap(printable(scene.result.reason), 145, break_on_hyphens=False)
    top = _TOP + 16 * (len(reason) - 1)
    total = top + sum(heights) + 30
    title = escape(printable(f"{scene.title}: {scene.result.verdict.value}"))
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{total}" viewBox="0 0 {_WIDTH} {total}" '
        f'role="img" aria-label="{title}" font-family="ui-monospace, Menlo, Consolas, monospace" font-size="12">',
        f'<rect width="{_WIDTH}" height="{total}" fill="#ffffff"/>',
        f'<text x="16" y="28" font-size="16" font-weight="bold">{title}</text>',
        *(f'<text x="16" y="{50 + 16 * place}">{escape(line)}</text>' for place, line in enumerate(reason)),
        f'<text x="{_AXIS}" y="{top - 12}" font-weight="bold">xen_resource</text>',
        f'<text x="{_AXIS + _COLUMN + 10}" y="{top - 12}" font-weight="bold">iomem_resource</text>',
    ]
    y = top
    for band, height in zip(scene.bands, heights, strict=True):
        lines += _band(band, y, height)
        y += height
    return "\n".join([*lines, "</svg>"]) + "\n"


def _band(band: Band, y: int, height: int) -> Iterator[str]:
    middle = y + height // 2 + 4
    if band.is_gap:
        yield f'<text x="{_AXIS - 20}" y="{middle}" text-anchor="end" fill="#777777">⋮ {format_size(band.range.size)}</text>'
        return
    span = f"{band.range.start:#x}–{band.range.last:#x}"
    yield f'<text x="{_AXIS - 20}" y="{middle}" text-anchor="end">{span}</text>'
    if band.piece is not None:
        tip = f"{span}, {format_size(band.range.size)}: {band.piece.label}"
        yield from _block(_AXIS, y, height, band.piece.kind, band.piece.label, tip)
    if band.claims:
        tip = "\n".join(_claim_tip(item.node or item.name, item.chain) for item in band.claims)
        yield from _block(_AXIS + _COLUMN + 10, y, height, band.claims[0].kind, band.claims_text, tip)


def _claim_tip(node: str, chain: str) -> str:
    return f"{node}, {chain}" if chain else node


def _block(x: int, y: int, height: int, kind: str, label: str, tip: str) -> Iterator[str]:
    dash = ' stroke-dasharray="4 3"' if kind in ("unreached", "lost") else ""
    yield (
        f"<g><title>{escape(printable(tip))}</title>"
        f'<rect x="{x}" y="{y + 1}" width="{_COLUMN}" height="{height - 2}" rx="3" '
        f'fill="{COLOURS[kind]}" fill-opacity="0.28" stroke="{COLOURS[kind]}"{dash}/>'
        f'<text x="{x + 8}" y="{y + height // 2 + 4}">{escape(printable(_cut(label, 48)))}</text></g>'
    )


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
