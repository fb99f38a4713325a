"""What one domain sees, on a page: where (a strip whose steps double), how much (lines at one scale), and the findings."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from dtanalyze.address.range import AddressRange
from dtanalyze.address.units import counted, format_size
from dtanalyze.facts import CheckResult
from dtanalyze.findings import Severity
from dtanalyze.linux.boot import Verdict
from dtanalyze.report.lines import sentence
from dtanalyze.report.naming import written_at
from dtanalyze.report.picture.claims import Claim
from dtanalyze.report.picture.marks import block, cause, prose, sized, span, swatch, words
from dtanalyze.report.picture.scene import CELLS, Card, Item, Line, Row, Scene
from dtanalyze.report.pieces import Piece
from dtanalyze.report.rules import rule_page

__all__ = ["assumed_html", "cards_html", "do_html", "facts_html", "guest_body", "letter"]

_LONGEST_CHANGE: Final = 4096
_LOW: Final = 20
"""The strip begins at 1 MiB, 2^20."""
_WIDE: Final = 0.055
"""A block as wide as this part of its lane has room for a word."""
_LEGEND: Final = {
    "scratch": "scratch, numbered as taken",
    "hazard": "scratch over something in use",
    "refused": "refused: this section and all later ones",
    "unreached": "not reached",
    "outside": "outside the linear map",
    "lost": "lost, no whole section",
    "grant": "grant table",
    "ram": "RAM",
    "reserved": "reserved",
    "device": "device",
    "pci": "PCI window",
}


def letter(number: int) -> str:
    """Return the name of a line: A to Z, then AA."""
    return chr(65 + number) if number < 26 else letter(number // 26 - 1) + letter(number % 26)


def facts_html(scene: Scene) -> str:
    """Return the figures in one line."""
    result = scene.result
    room = result.answer.capacity if result.answer else None
    size, page = result.linux.section_size, result.linux.page_size
    items = []
    if room is not None and room.sections:
        items.append(
            f"<b>{room.sections}</b> {'section' if room.sections == 1 else 'sections'}, {format_size(room.sections * size)}"
        )
        largest = format_size(room.largest_request * page)
        items.append(f"largest request <b>{room.largest_request}</b> pages, {largest}")
    if room is not None and room.landings:
        items.append(f"<b>{len({item.number for item in room.landings})}</b> of them over something in use")
    if scene.cards:
        items.append(_causes(scene))
    return f'<ul class="facts">{"".join(f"<li>{item}</li>" for item in items)}</ul>' if items else ""


def do_html(scene: Scene) -> str:
    """Return what to do first; empty where all is well and only warnings and notes are left, whose cards say it."""
    first = scene.cards[0].findings if scene.cards else ()
    worst = max((item.severity for item in first), default=Severity.INFO)
    if not first or not first[0].advice or (scene.result.verdict is Verdict.SCRATCH and worst is not Severity.ERROR):
        return ""
    return f'<p class="do"><b>Do:</b> {prose(first[0].advice)}</p>'


def _causes(scene: Scene) -> str:
    findings = len(scene.result.findings)
    kinds = [max(item.severity for item in card.findings) for card in scene.cards]
    names = ((Severity.ERROR, "error"), (Severity.WARNING, "warning"), (Severity.INFO, "note"))
    parts = [counted(kinds.count(severity), noun) for severity, noun in names if severity in kinds]
    more = f" ({counted(findings, 'finding')})" if findings != len(scene.cards) else ""
    noun = "cause" if len(scene.cards) == 1 else "causes"
    return f"<b>{len(scene.cards)}</b> {noun}{more}: {', '.join(parts)}"


def guest_body(scene: Scene, prefix: str, *, brief: bool = False) -> Iterator[str]:
    """Yield the picture of one domain; a ``brief`` one without the list of every device."""
    if not scene.lines:
        yield '<p class="mute">Nothing to draw: the tree tells no address.</p>'
        yield from cards_html(scene, prefix)
        yield assumed_html(scene.result)
        return
    yield from _strip(scene, prefix)
    yield '<div class="cols"><div>'
    yield from _dump(scene, prefix, brief=brief)
    yield "</div><div>"
    yield from cards_html(scene, prefix)
    yield assumed_html(scene.result)
    yield "</div></div>"


def _top_bit(scene: Scene) -> int:
    last = max(line.stop for line in scene.lines)
    return max(36, min(64, math.ceil(math.log2(last))))


def _at(address: int, top: int) -> float:
    return min(max((math.log2(max(address, 1)) - _LOW) / (top - _LOW), 0.0), 1.0)


def _strip(scene: Scene, prefix: str) -> Iterator[str]:
    """Yield where things are: each step doubles, so that all of the space fits and no size can be compared."""
    top = _top_bit(scene)
    yield f"<h2>Where: up to {format_size(1 << top)}</h2>"
    yield (
        '<p class="mute s">Each step doubles: this shows places, not sizes. Upper lane: what Xen leaves unused '
        "(xen_resource); lower lane: what Linux knows (iomem_resource). The letters lead to the lines below, to scale.</p>"
    )
    yield '<div class="strip">'
    for lane, items in (("lane", scene.pieces), ("lane lo", scene.claims)):
        yield f'<div class="{lane}">{"".join(_on_strip(items, top))}</div>'
    yield f'<div class="ax" aria-hidden="true">{"".join(_ticks(top))}</div><div class="wn">'
    for number, line in enumerate(scene.lines):
        low, high = _at(line.start, top), _at(line.stop, top)
        name = letter(number)
        yield (
            f'<a href="#{prefix}line{name}" style="left:{100 * min(low, 0.98):.2f}%;width:{100 * (high - low):.2f}%" '
            f'aria-label="line {name}"><b class="tag" aria-hidden="true">{name}</b></a>'
        )
    yield "</div></div>"
    used = {*(piece.kind for piece in scene.pieces), *(claim.kind for claim in scene.claims)}
    legend = "".join(f"<li>{swatch(kind)}{text}</li>" for kind, text in _LEGEND.items() if kind in used)
    yield f'<ul class="leg" aria-label="Legend">{legend}</ul>'


def _on_strip(items: tuple[Item, ...], top: int) -> Iterator[str]:
    """Yield the blocks; those of one kind that share a pixel column are drawn once."""
    seen: set[tuple[str, int, int]] = set()
    for item in items:
        low, high = _at(item.range.start, top), _at(item.range.stop, top)
        place = (item.kind, round(low * 400), round(high * 400))
        if place not in seen:
            seen.add(place)
            yield block(item.kind, low, high, f"{_named(item)}, {span(item.range)}")


def _ticks(top: int) -> Iterator[str]:
    for number, bit in enumerate(range(_LOW, top, 4)):
        small = ' class="t2"' if number % 2 else ""
        if (bit - _LOW) / (top - _LOW) < 0.9:
            yield f'<span{small} style="left:{100 * (bit - _LOW) / (top - _LOW):.2f}%">{format_size(1 << bit)}</span>'
    yield f'<span class="end t2">{format_size(1 << top)}</span>'


def _named(item: Item) -> str:
    return item.label


def _dump(scene: Scene, prefix: str, *, brief: bool) -> Iterator[str]:
    size = scene.result.linux.section_size
    yield f"<h2>How much: one line is {format_size(scene.line_size)}, one cell a section of {format_size(size)}</h2>"
    yield (
        '<p class="mute s">All lines have one scale. Ranges too small to see are drawn 3 px wide; their rows give the size. '
        "A question mark: if a driver binds.</p>"
    )
    for number, line in enumerate(scene.lines):
        if number and line.gap:
            yield f'<p class="gap">⋮ {format_size(line.gap)} with nothing in it</p>'
        yield from _line(scene, line, letter(number), prefix, brief=brief)


def _line(scene: Scene, line: Line, name: str, prefix: str, *, brief: bool) -> Iterator[str]:
    alike = f"× {line.times}, " if line.times > 1 else ""
    yield f'<div class="ln" role="group" id="{prefix}line{name}" aria-label="line {name}, from {line.start:#x}">'
    yield (
        f'<div class="lh"><b class="tag" aria-hidden="true">{name}</b><span class="m">{line.start:#x}</span>'
        f'<span class="mute s">{alike}{format_size(line.size * line.times)}</span></div><div class="lb">'
    )
    yield _marks(scene, line, prefix)
    upper = "".join(part for piece in line.upper for part in _cells(scene, line, piece))
    lower = "".join(_user(line, claim) for claim in line.lower)
    yield f'<div class="scroll"><div class="grid"><div class="lane">{upper}</div>'
    yield f'<div class="lane lo">{lower}</div></div></div>'
    rows = "".join(_row(row, prefix, f"{name}{place}", brief=brief) for place, row in enumerate(scene.rows(line)))
    yield f'<ul class="rows">{rows}</ul></div></div>'


def _marks(scene: Scene, line: Line, prefix: str) -> str:
    """Return the names of the causes above a line, each once, where the first item begins that it is about."""
    found: dict[str, float] = {}
    items: list[Item] = [*line.upper, *line.lower]
    for item in items:
        for key in scene.keys_of(item):
            if item.kind in ("hazard", "refused") or key not in found:
                found[key] = line.place(item)[0]
    if not found:
        return '<div class="mk none"></div>'
    places: list[tuple[float, list[str]]] = []
    for key, low in sorted(found.items(), key=lambda pair: (pair[1], pair[0])):
        if places and low - places[-1][0] < 0.06 * len(places[-1][1]):
            places[-1][1].append(key)
        else:
            places.append((low, [key]))
    spans = []
    for low, keys in places:
        where = f"right:{max(0.0, 100 * (0.97 - low)):.2f}%" if low > 0.8 else f"left:{100 * low:.2f}%"
        spans.append(f'<span style="{where}">{" ".join(cause(key, prefix) for key in keys)}</span>')
    return f'<div class="mk">{"".join(spans)}</div>'


def _cells(scene: Scene, line: Line, piece: Piece) -> Iterator[str]:
    """Yield a block for each section of a piece in this line; one for all where the line stands for many."""
    low, high = line.place(piece)
    if not piece.first:
        text = "lost" if piece.kind in ("lost", "outside") and high - low > _WIDE * 0.8 else ""
        label = f'<span class="opt">{text}</span>' if text else ""
        yield block(piece.kind, low, high, f"{piece.label}, {sized(piece.range)}", label)
        return
    size = scene.result.linux.section_size
    start = max(piece.range.start, line.start)
    number = piece.first + (start - piece.range.start) // size
    count = (min(piece.range.stop, line.stop) - start) // size
    if line.times > 1:
        yield _section(piece, low, high, number, number + count - 1, AddressRange(start, count * size))
        return
    for place in range(count):
        cell = AddressRange(start + place * size, size)
        left = (cell.start - line.start) / line.size
        yield _section(piece, left, left + 1 / CELLS, number + place, number + place, cell)


def _section(piece: Piece, low: float, high: float, first: int, last: int, cell: AddressRange) -> str:
    shown = f"{first}" if first == last else f"{first}-{last}"
    label = f"<i>{shown}</i>" if piece.kind in ("hazard", "refused") else shown
    noun = "section" if first == last else "sections"
    text = block(piece.kind, low, high, f"{noun} {shown}, {span(cell)}", label)
    return text.replace("<span ", f'<span data-n="{first}" ', 1)


def _user(line: Line, claim: Claim) -> str:
    low, high = line.place(claim)
    room = high - low
    text = {"ram": "RAM", "pci": "PCI ?"}.get(claim.kind, claim.label.partition("@")[0] if room > 2 * _WIDE else "")
    label = f'<span class="pl">{words(text)}</span>' if text and room > _WIDE and claim.kind != "reserved" else ""
    return block(claim.kind, low, high, f"{claim.label}, {sized(claim.range)}", label)


def _row(row: Row, prefix: str, place: str, *, brief: bool) -> str:
    keys = " ".join(cause(key, prefix) for key in row.keys)
    marks = "".join(f'<span id="{prefix}at{key}-{place}"></span>' for key in row.keys)
    return (
        f'<li class="r">{swatch(row.kind)}<span class="m">{span(row.range)}</span>'
        f'<span class="z">{format_size(row.range.size)}</span><span class="w">'
        f"{_row_words(row, keys + marks, brief=brief)}</span></li>"
    )


def _row_words(row: Row, keys: str, *, brief: bool) -> str:
    item = row.items[0]
    if len(row.items) > 1:
        last = row.items[-1]
        text = f"{len(row.items)} device ranges, {_short(item)} to {_short(last)}"
        if brief:
            return f"{words(text)} {keys}"
        inner = "".join(f"<li>{span(one.range)} {words(one.label)}</li>" for one in row.items)
        all_of_them = f'<summary>all {len(row.items)}</summary><ul class="dl m">{inner}</ul>'
        return f'{words(text)} {keys}<details class="long">{all_of_them}</details>'
    return f"{_piece_words(item) if isinstance(item, Piece) else _claim_words(item)} {keys}"


def _short(item: Item) -> str:
    return item.label.partition("@")[0].removesuffix(" ?")


def _piece_words(item: Piece) -> str:
    region = f", region {item.region}" if item.region is not None else ""
    if item.kind == "scratch":
        shown = f"{item.first}" if item.first == item.last else f"{item.first}-{item.last}"
        return f"{'section' if item.first == item.last else 'sections'} <b>{shown}</b>{region}"
    if item.kind == "hazard":
        return f"<b>section {item.first} over something in use</b>{region}"
    if item.kind == "refused":
        return f"<b>section {item.first} refused</b>{words(item.label.removeprefix('refused'))}{region}"
    return f"{words(item.label)}{region}"


def _claim_words(item: Claim) -> str:
    what = {"ram": "System RAM", "reserved": "reserved", "pci": "PCI window of"}.get(item.kind, "")
    node = f"<code>{words(item.node)}</code>" if item.node else ""
    chain = f", {words(item.chain)}" if item.chain else ""
    doubt = " ?" if not item.certain and item.kind in ("device", "pci") else ""
    return f"{what} {node}{doubt}{chain}".strip()


def cards_html(scene: Scene, prefix: str) -> Iterator[str]:
    """Yield the findings, one card for one cause."""
    yield f"<h2>Findings, by cause</h2>{'' if scene.cards else '<p>None.</p>'}"
    for card in scene.cards:
        yield _card(scene, card, prefix)


def _card(scene: Scene, card: Card, prefix: str) -> str:
    found = card.findings
    rules = list(dict.fromkeys((item.rule, item.name) for item in found))
    named = ' <span class="mute">and</span> '.join(
        f'<a href="{rule_page(code)}">{words(code)}</a> {words(name)}' for code, name in rules
    )
    told = list(dict.fromkeys((item.message, written_at(item)) for item in found))
    parts = [f"<p>{_told(*item)}</p>" for item in told[:4]]
    if len(told) > 4:
        inner = "".join(f"<li>{_told(*item)}</li>" for item in told[4:])
        parts.append(f'<details><summary class="s">{len(told) - 4} more</summary><ul class="s">{inner}</ul></details>')
    parts += [f"<p><b>Do:</b> {prose(text)}</p>" for text in dict.fromkeys(item.advice for item in found if item.advice)]
    parts.append(_places(scene, card, prefix))
    change = next((item.change for item in found if item.change is not None), None)
    if change is not None and len(change.text) <= _LONGEST_CHANGE:
        parts.append(f'<details><summary class="s">The change</summary><pre>{words(str(change))}</pre></details>')
    key = card.key
    return (
        f'<article class="card c{key[0]}" id="{prefix}{key}"><h3><span class="f f{key[0]}">{key}</span>'
        f"<span>{named}</span></h3>{''.join(parts)}</article>"
    )


def _told(message: str, where: str | None) -> str:
    """Return what is so, behind the line of the source that makes it so."""
    return f"{words(sentence(message))}" if where is None else f"<code>{words(where)}</code> {words(sentence(message))}"


def _places(scene: Scene, card: Card, prefix: str) -> str:
    """Return links to the rows that a card is about; to the first of two that begin at one address."""
    links: dict[str, str] = {}
    for number, line in enumerate(scene.lines):
        for place, row in enumerate(scene.rows(line)):
            if card.key in row.keys:
                here = f"{prefix}at{card.key}-{letter(number)}{place}"
                links.setdefault(f"line {letter(number)}, {row.range.start:#x}", here)
    if not links:
        return ""
    shown = [f'<a href="#{here}">{text}</a>' for text, here in list(links.items())[:4]]
    more = f", and {len(links) - 4} more" if len(links) > 4 else ""
    return f'<p class="s">Place: {", ".join(shown)}{more}</p>'


def assumed_html(result: CheckResult) -> str:
    """Return what the answer rests on, folded."""
    if not result.assumptions:
        return ""
    items = "".join(f"<li>{words(item.sentence)}</li>" for item in result.assumptions)
    guesses = sum(item.origin == "guess" for item in result.assumptions)
    return (
        f"<details><summary><b>Assumed</b> ({len(result.assumptions)}, of them {guesses} guessed)</summary>"
        f'<ul class="s">{items}</ul></details>'
    )
