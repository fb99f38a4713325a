"""The picture as one page that needs nothing from outside: what a person opens from a CI run.

The page is written whole and reads without its script; the script adds zoom, the allocation step by step, the jump from a
finding to its place, and the choice among several results. Nothing has an id: a notebook shows several pictures.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from html import escape
from importlib.resources import files

from dtanalyze.address.range import AddressRange, RawRange
from dtanalyze.address.units import format_range, format_size
from dtanalyze.facts import CheckResult
from dtanalyze.report.naming import printable
from dtanalyze.report.picture.scene import Band, Claim, Piece, Scene
from dtanalyze.report.picture.svg import COLOURS, height_of

__all__ = ["picture_html"]


def picture_html(scenes: tuple[Scene, ...], *, fragment: bool = False) -> str:
    """Return the page for these results; as a ``fragment`` what stands inside ``body``, style and script included."""
    style = f"<style>{_asset('page.css')}{_colours()}</style>"
    body = "\n".join([style, *_body(scenes), f"<script>{_asset('page.js')}</script>"])
    if fragment:
        return f'<div class="dtanalyze">{body}</div>'
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><meta name="viewport" '
        'content="width=device-width, initial-scale=1"><title>dtanalyze map</title></head>\n'
        f'<body class="dtanalyze">\n{body}\n</body>\n</html>\n'
    )


@cache
def _asset(name: str) -> str:
    return files("dtanalyze.report.picture").joinpath(name).read_text(encoding="utf-8")


def _colours() -> str:
    return "".join(f".k-{kind}{{--k:{colour}}}" for kind, colour in COLOURS.items())


def _text(value: str) -> str:
    return escape(printable(value), quote=True)


def _body(scenes: tuple[Scene, ...]) -> Iterator[str]:
    yield "<header><h1>dtanalyze map</h1>"
    if len(scenes) > 1:
        yield '<label>Result <select class="which">'
        for number, scene in enumerate(scenes):
            yield f'<option value="{number}">{_text(scene.title)}: {scene.result.verdict.value}</option>'
        yield "</select></label>"
    yield (
        '<div class="tools" role="toolbar" aria-label="View">'
        '<button type="button" class="out" aria-label="Zoom out">−</button>'
        '<button type="button" class="in" aria-label="Zoom in">+</button>'
        '<button type="button" class="play">Play the allocation</button>'
        '<output class="step" aria-live="polite"></output></div></header>'
    )
    for number, scene in enumerate(scenes):
        yield from _section(number, scene)
    yield from _legend()


def _section(number: int, scene: Scene) -> Iterator[str]:
    result = scene.result
    hidden = "" if number == 0 else " hidden"
    yield f'<section class="result" data-number="{number}"{hidden} aria-label="{_text(scene.title)}">'
    verdict = f'<span class="verdict v-{result.verdict.value}">{result.verdict.value}</span>'
    yield f"<h2>{verdict} {_text(scene.title)}</h2>"
    yield f"<p>{_text(result.reason)}.</p>"
    yield '<div class="sides">'
    yield from _findings(result)
    yield (
        '<table class="map"><caption class="sr">Address space, lowest address first</caption><thead><tr>'
        '<th scope="col">Addresses</th><th scope="col">Size</th><th scope="col">xen_resource</th>'
        '<th scope="col">iomem_resource</th></tr></thead><tbody>'
    )
    for band in scene.bands:
        yield _row(band)
    yield "</tbody></table></div></section>"


def _findings(result: CheckResult) -> Iterator[str]:
    if not result.findings:
        yield '<p class="none">No findings.</p>'
        return
    yield '<ul class="findings" aria-label="Findings">'
    for item in result.findings:
        spans = " ".join(_span(span) for span in item.ranges)
        node = f" <code>{_text(item.node)}</code>" if item.node else ""
        # What the heading says already is not said again.
        said = [item.message] if item.message != result.reason else []
        words = "".join(f"<p>{_text(text)}{'' if text.endswith('.') else '.'}</p>" for text in [*said, item.advice] if text)
        yield (
            f'<li><button type="button" class="finding s-{item.severity.label}" data-ranges="{spans}">'
            f"<b>{item.severity.label}</b> {_text(item.rule)} {_text(item.name)}</button>{node}{words}</li>"
        )
    yield "</ul>"


def _span(span: AddressRange | RawRange) -> str:
    return f"{span.start:x}-{max(span.stop, span.start + 1):x}"


def _row(band: Band) -> str:
    data = f'data-start="{band.range.start:x}" data-stop="{band.range.stop:x}" style="--h:{height_of(band)}px"'
    if band.is_gap:
        return f'<tr class="gap" {data}><td>⋮</td><td>{format_size(band.range.size)}</td><td></td><td></td></tr>'
    order = f' data-first="{band.piece.first}" data-last="{band.piece.last}"' if band.piece and band.piece.first else ""
    span = f"<code>{format_range(band.range.start, band.range.stop)}</code>"
    return (
        f'<tr tabindex="0" {data}{order}><td>{span}</td><td>{format_size(band.range.size)}</td>'
        f"{_piece(band.piece)}{_claims(band)}</tr>"
    )


def _piece(piece: Piece | None) -> str:
    if piece is None:
        return "<td></td>"
    return f'<td class="block k-{piece.kind}">{_text(piece.label)}</td>'


def _claims(band: Band) -> str:
    if not band.claims:
        return "<td></td>"
    tips = "\n".join(_claim(item) for item in band.claims)
    few = _text(band.claims_text)
    if len(band.claims) > 1:
        rows = "".join(f"<li>{_text(_claim(item))}</li>" for item in band.claims)
        few = f"<details><summary>{few}</summary><ul>{rows}</ul></details>"
    return f'<td class="block k-{band.claims[0].kind}" title="{_text(tips)}">{few}</td>'


def _claim(item: Claim) -> str:
    where = f"{format_range(item.range.start, item.range.stop)} {item.node or item.name}"
    doubt = "" if item.certain else ", if a driver binds" if item.kind == "device" else ""
    return f"{where}{f', {item.chain}' if item.chain else ''}{doubt}"


def _legend() -> Iterator[str]:
    words = {
        "scratch": "scratch, numbered in the order taken",
        "hazard": "scratch over something in use",
        "refused": "refused",
        "unreached": "not reached",
        "lost": "lost: no whole section",
        "grant": "grant table",
        "ram": "RAM",
        "reserved": "reserved",
        "device": "devices",
        "pci": "PCI windows",
    }
    items = "".join(f'<li><span class="swatch k-{kind}"></span>{text}</li>' for kind, text in words.items())
    yield f'<footer><ul class="legend" aria-label="Legend">{items}</ul></footer>'
