"""The picture as data: lines of sixteen sections at one scale, like a hex dump of the address space.

A cell of a line is a section, so that every line has the same scale and sizes can be compared by eye. Lines with nothing in
them become a gap with its size, lines that are alike are drawn once with how often they stand there: eight thousand sections
are one line. What is seen from the machine and what a domain sees never share a line.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Final, NamedTuple, TypeAlias

from dtanalyze.address.range import AddressRange, RawRange
from dtanalyze.causes import cause_keys, grouped
from dtanalyze.facts import CheckResult
from dtanalyze.findings import Finding
from dtanalyze.report.picture.claims import Claim, claims
from dtanalyze.report.pieces import Piece, pieces

__all__ = ["CELLS", "Card", "Claim", "Item", "Line", "Row", "Scene", "scene", "title"]

CELLS: Final = 16
"""Sections in a line."""
_SEVERAL: Final = 3
"""So many devices that follow each other are named; more are counted."""
Item: TypeAlias = "Piece | Claim"


class Line(NamedTuple):
    """One line, or so many (``times``) that are alike, from ``start``; ``gap`` is the empty space before it, in bytes."""

    start: int
    size: int
    times: int
    gap: int
    upper: tuple[Piece, ...]
    lower: tuple[Claim, ...]

    @property
    def stop(self) -> int:
        """The first address behind it."""
        return self.start + self.size * self.times

    def place(self, item: Item) -> tuple[float, float]:
        """Return where an item begins and ends in the line, from 0 to 1."""
        if self.times > 1:
            return 0.0, 1.0
        low, high = max(item.range.start, self.start), min(item.range.stop, self.stop)
        return (low - self.start) / self.size, (high - self.start) / self.size


class Row(NamedTuple):
    """One entry of the list below a line: an item, or several devices that follow each other; ``keys`` name causes."""

    range: AddressRange
    items: tuple[Item, ...]
    keys: tuple[str, ...]

    @property
    def kind(self) -> str:
        """What it is drawn as."""
        return self.items[0].kind


class Card(NamedTuple):
    """The findings of one cause: ``key`` is its name on map, row and card."""

    key: str
    findings: tuple[Finding, ...]


class Scene:
    """The picture of one result."""

    def __init__(self, result: CheckResult) -> None:
        self.result = result
        self.pieces = pieces(result)
        self.claims = claims(result)
        keys = cause_keys(result)
        self.cards = tuple(Card(keys[id(group[0])], group) for group in grouped(result))

    @property
    def title(self) -> str:
        """Whose tree it is, with the releases."""
        return title(self.result)

    @property
    def line_size(self) -> int:
        """Bytes in a line."""
        return CELLS * self.result.linux.section_size

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """The lines, lowest address first."""
        return tuple(_lines(self.pieces, self.claims, self.line_size))

    @cached_property
    def _marks(self) -> tuple[tuple[str, Item], ...]:
        return tuple((card.key, item) for card in self.cards for item in self._meant(card))

    def keys_of(self, item: Item) -> tuple[str, ...]:
        """Return the names of the causes that are about this item."""
        return tuple(dict.fromkeys(key for key, other in self._marks if other is item))

    def places_of(self, card: Card) -> tuple[Item, ...]:
        """Return the items that a cause is about."""
        return tuple(item for key, item in self._marks if key == card.key)

    def _meant(self, card: Card) -> Iterator[Item]:
        """Yield what a card's findings are about: users at their node, what is laid over them, or what a region loses."""
        for finding in card.findings:
            spans = [span for span in finding.ranges if span.size]
            users = [item for item in self.claims if item.node == finding.node and any(_meets(item, span) for span in spans)]
            yield from users
            others = [item for item in self.claims if item not in users and len(spans) > 1 and _equals(item, spans)]
            yield from others
            yield from self._taken(finding, spans, bool(users))

    def _taken(self, finding: Finding, spans: list[AddressRange | RawRange], over_users: bool) -> Iterator[Piece]:
        inside = [item for item in self.pieces if spans and _meets(item, spans[0])]
        if over_users or len(spans) > 1:
            bad = [
                item for item in inside if item.kind in ("hazard", "refused") and all(_meets(item, span) for span in spans)
            ]
            yield from bad
            return
        if finding.rule.startswith(("X", "V", "K")):
            lost = [item for item in inside if item.kind in ("lost", "outside")]
            yield from lost or inside[:1]

    def rows(self, line: Line) -> tuple[Row, ...]:
        """Return the entries for what begins in a line, lowest address first; devices that follow each other as one."""
        here: list[Item] = [*line.upper, *line.lower]
        first = [item for item in here if line.start <= item.range.start < line.stop]
        ordered = sorted(first, key=lambda item: (item.range.start, isinstance(item, Claim), -item.range.size))
        return tuple(self._joined(ordered))

    def _joined(self, items: list[Item]) -> Iterator[Row]:
        run: list[Item] = []
        for item in items:
            if item.kind == "device":
                run.append(item)
                continue
            yield from self._devices(run)
            run = []
            yield Row(item.range, (item,), self.keys_of(item))
        yield from self._devices(run)

    def _devices(self, run: list[Item]) -> Iterator[Row]:
        if len(run) <= _SEVERAL:
            yield from (Row(item.range, (item,), self.keys_of(item)) for item in run)
            return
        span = AddressRange.spanning(run[0].range.start, max(item.range.stop for item in run))
        yield Row(span, tuple(run), tuple(dict.fromkeys(key for item in run for key in self.keys_of(item))))


def _meets(item: Item, span: AddressRange | RawRange) -> bool:
    return item.range.start < span.stop and span.start < item.range.stop


def _equals(item: Claim, spans: list[AddressRange | RawRange]) -> bool:
    return item.kind != "ram" and any((item.range.start, item.range.stop) == (span.start, span.stop) for span in spans)


def title(result: CheckResult) -> str:
    """Return whose tree a result is of, with the releases."""
    xen = f", Xen {result.xen}" if result.xen else ""
    iommu = "" if result.iommu is None else f", IOMMU {'on' if result.iommu else 'off'}"
    return f"{result.path}: {result.domain or result.tree}, Linux {result.linux.name}{xen}{iommu}"


def scene(result: CheckResult) -> Scene:
    """Return the picture of a result; one without a kernel's answer shows what is known."""
    return Scene(result)


def _lines(upper: tuple[Piece, ...], lower: tuple[Claim, ...], size: int) -> Iterator[Line]:
    """Cut the axis where an item begins or ends; between two cuts all lines are alike."""
    items: list[Item] = [*upper, *lower]
    cuts = {
        cut for item in items for first in (item.range.start // size, item.range.last // size) for cut in (first, first + 1)
    }
    edges = sorted(cuts)
    before = 0
    last: Line | None = None
    by_start = sorted(items, key=lambda item: item.range.start)
    active: list[Item] = []
    place = 0
    for low, high in zip(edges, edges[1:], strict=False):
        while place < len(by_start) and by_start[place].range.start < high * size:
            active.append(by_start[place])
            place += 1
        active = [item for item in active if item.range.stop > low * size]
        if not active:
            continue
        made = Line(
            low * size,
            size,
            high - low,
            low * size - before,
            tuple(item for item in active if isinstance(item, Piece)),
            tuple(item for item in active if isinstance(item, Claim)),
        )
        if last is not None and _alike(last, made):
            last = last._replace(times=last.times + made.times)
        else:
            if last is not None:
                yield last
            last = made
        before = high * size
    if last is not None:
        yield last


def _alike(one: Line, other: Line) -> bool:
    """Whether two lines that follow each other are filled from end to end by the same items."""
    if one.stop != other.start or (one.upper, one.lower) != (other.upper, other.lower):
        return False
    spans = [*(piece.range for piece in one.upper), *(claim.range for claim in one.lower)]
    return all(span.start <= one.start and other.stop <= span.stop for span in spans)
