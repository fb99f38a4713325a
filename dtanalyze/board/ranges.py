"""The ``ranges`` of one bus, so that the entry for an address is found without looking at each of them.

Upstream tries the entries in document order and takes the first that holds the address (of_translate_one). Here the
addresses are cut once, where entries begin and end, and each piece knows the entry that comes first.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Iterable
from heapq import heappop, heappush
from typing import NamedTuple

from dtanalyze.board.bus import Bus, Cells
from dtanalyze.devicetree.cells import CellCounts, read_number
from dtanalyze.devicetree.tree import Property

__all__ = ["RangesIndex"]

_MASK64 = (1 << 64) - 1


class _Span(NamedTuple):
    """One entry: the addresses below the bus that it maps (stop exclusive), and what they become above it."""

    start: int
    stop: int
    parent: Cells


class RangesIndex:
    """What a ``ranges`` maps, by address."""

    def __init__(self, ranges: Property, bus: Bus, counts: CellCounts, above: CellCounts) -> None:
        self._bus = bus
        spans: dict[Hashable, list[_Span]] = {}
        child, parent = counts.address, counts.address + above.address
        width = parent + counts.size
        cells = ranges.cells
        for at in range(0, len(cells) - width + 1, width):
            address = cells[at : at + child]
            start = read_number(address[bus.flag_cells :])
            # Upstream adds in 64 bits: an entry up to 2^64 holds nothing.
            stop = start + read_number(cells[at + parent : at + width]) & _MASK64
            if start < stop:
                spans.setdefault(bus.alike(address), []).append(_Span(start, stop, cells[at + child : at + parent]))
        self._pieces = {key: _pieces(found) for key, found in spans.items()}

    def find(self, address: Cells) -> tuple[Cells, int] | None:
        """Return where the first entry that holds ``address`` begins above the bus, and the offset in that entry."""
        pieces = self._pieces.get(self._bus.alike(address))
        if pieces is None:
            return None
        number = read_number(address[self._bus.flag_cells :])
        span = _at(*pieces, number)
        return None if span is None else (span.parent, number - span.start)

    def holds_as_another(self, address: Cells) -> bool:
        """Tell whether an entry holds the number of ``address`` that is not for it."""
        number = read_number(address[self._bus.flag_cells :])
        return any(_at(*pieces, number) is not None for pieces in self._pieces.values())


def _at(starts: list[int], spans: list[_Span | None], number: int) -> _Span | None:
    at = bisect_right(starts, number) - 1
    return spans[at] if at >= 0 else None


def _pieces(spans: list[_Span]) -> tuple[list[int], list[_Span | None]]:
    """Return where the pieces begin, ascending, and for each the first of ``spans`` that holds it, None for a gap."""
    edges = sorted({edge for span in spans for edge in span[:2]})
    begins = sorted(range(len(spans)), key=lambda place: spans[place].start)
    return edges, list(_first_of(spans, edges, begins))


def _first_of(spans: list[_Span], edges: list[int], begins: list[int]) -> Iterable[_Span | None]:
    open_: list[int] = []
    at = 0
    for edge in edges:
        while at < len(begins) and spans[begins[at]].start == edge:
            heappush(open_, begins[at])
            at += 1
        while open_ and spans[open_[0]].stop <= edge:
            heappop(open_)
        yield spans[open_[0]] if open_ else None
