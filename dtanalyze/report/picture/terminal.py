"""The picture on a terminal: the lines of the page in characters, four to a section at 80 columns, more where they fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from dtanalyze.address.units import counted, format_size
from dtanalyze.facts import CheckResult
from dtanalyze.linux.boot import Verdict
from dtanalyze.report.advice import advice_lines
from dtanalyze.report.foreign import document
from dtanalyze.report.lines import WIDTH, sentence, spanned, wrapped
from dtanalyze.report.naming import cell
from dtanalyze.report.picture.claims import Claim
from dtanalyze.report.picture.scene import CELLS, Item, Line, Row, Scene
from dtanalyze.report.pieces import Piece
from dtanalyze.report.style import PLAIN, Style
from dtanalyze.report.whole import Report

__all__ = ["picture_text"]

_LEFT: Final = 16
"""Columns before the first section: the address and the lane's letter."""
_LETTERS: Final = {
    "grant": "g",
    "lost": ".",
    "outside": ",",
    "unreached": "-",
    "ram": "M",
    "reserved": "r",
    "device": "d",
    "pci": "P",
}
_LEGEND: Final = (
    ("scratch", "[ 1] scratch, as taken"),
    ("hazard", "!10! scratch over something in use"),
    ("refused", "x10x refused"),
    ("lost", ". lost: no section"),
    ("outside", ", outside the linear map"),
    ("unreached", "- not reached"),
    ("grant", "g grant table"),
    ("ram", "M RAM"),
    ("reserved", "r reserved"),
    ("device", "d device"),
    ("pci", "P PCI window"),
)
_KINDS: Final = {
    "memory": "memory node", "reserved": "reservation", "module": "boot module", "device": "device"
}  # fmt: skip
_DRAWN_OVER: Final = ("ram", "pci", "device", "reserved")
"""The lower lane is filled in this order, so that what is small and matters stays visible."""


def picture_text(scene: Scene, *, style: Style = PLAIN, width: int = WIDTH, verbose: bool = False) -> str:
    """Return the picture of one result, lowest address first, at most ``width`` columns wide."""
    result = scene.result
    head, *more = wrapped(f"{result.verdict.value.upper()}  {result.path}", width, rest="        ")
    lines = [style.bold(head), *more, *wrapped(cell(result), width, first="        "), ""]
    lines += wrapped(sentence(result.reason) + _key(scene), width)
    lines += [*wrapped(_figures(result), width)] if result.sections else []
    lines += [line for line in wrapped(_unseen(result), width) if line]
    lines.append("")
    if not scene.lines:
        lines.append("  nothing to draw")
    else:
        lines += [*_dump(scene, style, width), "", style.bold("Ranges"), *_ranges(scene, width, verbose=verbose)]
    if scene.cards:
        report = Report(((result,),), style=style, width=width, verbose=verbose)
        lines += ["", style.bold("Findings, by cause"), *advice_lines(result, report)]
    return document(line.rstrip() for line in lines)


def _key(scene: Scene) -> str:
    return f" [{scene.cards[0].key}]" if scene.cards and scene.result.verdict.value != "scratch" else ""


def _figures(result: CheckResult) -> str:
    """Return how much there is: of what works the line above has told the sections."""
    room = result.answer.capacity if result.answer else None
    told = result.verdict is Verdict.SCRATCH
    size = format_size(result.sections * result.linux.section_size)
    parts = [] if told else [f"{counted(result.sections, 'section')}, {size}"]
    if room is not None and room.landings:
        parts.append(f"{len({item.number for item in room.landings})} over something in use")
    if room is not None:
        largest = format_size(room.largest_request * result.linux.page_size)
        parts.append(f"largest request {room.largest_request} pages ({largest})")
    text = "; ".join(parts)
    return text[:1].upper() + text[1:]


def _unseen(result: CheckResult) -> str:
    """Return what Xen never comes to once it has stopped: domains by name, the rest counted by kind."""
    unseen = [item for item in (result.host.scan if result.host is not None else ()) if item.state == "not seen"]
    kinds = Counter(item.kind for item in unseen if item.kind != "domain")
    told = [counted(number, _KINDS[kind]) for kind, number in kinds.items()]
    told += [item.node for item in unseen if item.kind == "domain"]
    return f"Xen never comes to: {', '.join(told)} (--html lists them)." if told else ""


def _columns(width: int) -> int:
    """Return the characters of a section: 4 fit on 80 columns, and no more than 8 are worth having."""
    return max(2, min(8, (width - _LEFT) // CELLS))


def _dump(scene: Scene, style: Style, width: int) -> Iterator[str]:
    each = _columns(width)
    size = scene.result.linux.section_size
    yield from wrapped(f"One line is {format_size(scene.line_size)}: 16 sections, {each} characters each.", width)
    yield from wrapped("Lines with nothing in them are left out. X xen_resource, I iomem_resource.", width)
    yield ""
    ticks = 4 if each >= 4 else 2
    cells = CELLS // ticks
    marks = "".join(f"|+{format_size(number * cells * size)}".ljust(cells * each) for number in range(ticks))
    yield style.dim(" " * _LEFT + marks.rstrip())
    for number, line in enumerate(scene.lines):
        if number and line.gap:
            yield style.dim(" " * (_LEFT - 1) + f": {format_size(line.gap)} with nothing in it")
        yield from _line(scene, line, each)
    yield ""
    used = {*(piece.kind for piece in scene.pieces), *(claim.kind for claim in scene.claims)}
    yield from _legend([text for kind, text in _LEGEND if kind in used], width)


def _legend(entries: list[str], width: int) -> Iterator[str]:
    line = ""
    for entry in entries:
        if line and len(line) + 2 + len(entry) > width:
            yield line
            line = ""
        line += f"  {entry}" if line else entry
    yield line


def _line(scene: Scene, line: Line, each: int) -> Iterator[str]:
    names = _names(scene, line, each)
    if names.strip():
        yield " " * _LEFT + names
    upper = [" "] * (CELLS * each)
    for piece in line.upper:
        _draw_piece(upper, scene, line, piece, each)
    lower = [" "] * (CELLS * each)
    for kind in _DRAWN_OVER:
        for claim in line.lower:
            if claim.kind == kind:
                low, high = _cells(line, claim, len(lower))
                lower[low:high] = [_LETTERS[kind]] * (high - low)
    alike = f"x{line.times} alike" if line.times > 1 else ""
    yield f"{f'{line.start:#x}':<{_LEFT - 3}} X {''.join(upper)}"
    if line.lower or alike:
        yield f"{alike:<{_LEFT - 3}} I {''.join(lower)}"


def _cells(line: Line, item: Item, columns: int) -> tuple[int, int]:
    low, high = line.place(item)
    first = min(int(low * columns), columns - 1)
    return first, max(first + 1, round(high * columns))


def _draw_piece(lane: list[str], scene: Scene, line: Line, piece: Piece, each: int) -> None:
    low, high = _cells(line, piece, len(lane))
    if not piece.first:
        for place in range(low, high):
            if piece.kind == "grant" or lane[place] == " ":
                lane[place] = _LETTERS[piece.kind]
        return
    size = scene.result.linux.section_size
    start = max(piece.range.start, line.start)
    number = piece.first + (start - piece.range.start) // size
    if line.times > 1:
        last = number + (min(piece.range.stop, line.stop) - start) // size - 1
        lane[low:high] = list(f"[{f' {number} to {last} ':-^{high - low - 2}}]")
        return
    for place in range((min(piece.range.stop, line.stop) - start) // size):
        at = (start + place * size - line.start) * len(lane) // line.size
        lane[at : at + each] = list(_section(piece.kind, number + place, each))


def _section(kind: str, number: int, each: int) -> str:
    left, right = {"hazard": ("!", "!"), "refused": ("x", "x")}.get(kind, ("[", "]"))
    text = f"{number}"
    if len(text) > each - 2:
        return text[-each:].rjust(each, left) if len(text) <= each else left + "#" * (each - 2) + right
    return f"{left}{text:>{each - 2}}{right}"


def _names(scene: Scene, line: Line, each: int) -> str:
    """Return the names of the causes above the places that they are about; one that finds no room is in the list below."""
    lane = [" "] * (CELLS * each)
    done: set[str] = set()
    items: list[Item] = [*line.upper, *line.lower]
    for item in items:
        for key in scene.keys_of(item):
            at = min(_cells(line, item, len(lane))[0], len(lane) - len(key))
            if key not in done and all(char == " " for char in lane[max(at - 1, 0) : at + len(key) + 1]):
                lane[at : at + len(key)] = list(key)
                done.add(key)
    return "".join(lane)


_ROWS: Final = 24


def _ranges(scene: Scene, width: int, *, verbose: bool) -> Iterator[str]:
    rows = [row for line in scene.lines for row in scene.rows(line)]
    shown = rows if verbose or len(rows) <= _ROWS else [*rows[: _ROWS - 1]]
    for row in shown:
        keys = ",".join(row.keys)
        text = f"{spanned(row.range)}  {_row(row)}"
        yield from wrapped(text, width, first=f"  {keys:<5} ", rest=" " * 10)
    if len(shown) < len(rows):
        yield f"  … and {len(rows) - len(shown)} more (--html, --list)"
    if any(isinstance(row.items[0], Claim) and not row.items[0].certain for row in shown):
        yield "  ? if a driver binds"


def _row(row: Row) -> str:
    item = row.items[0]
    if len(row.items) > 1:
        return f"{len(row.items)} device ranges ?"
    if isinstance(item, Piece):
        region = f", region {item.region}" if item.region is not None else ""
        return f"{item.label}{region}"
    if item.kind in ("ram", "reserved"):
        return "System RAM" if item.kind == "ram" else "reserved" + (f", {item.name}" if item.name != "reserved" else "")
    return f"{'PCI window of ' if item.kind == 'pci' else ''}{item.label}"
