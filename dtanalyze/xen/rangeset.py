"""Sets of integer ranges with the corner cases, and the shipped defect, of Xen's own.

Mirrors common/rangeset.c: rangeset_add_range, rangeset_remove_range, rangeset_report_ranges. Bounds are inclusive and
64 bits wide, as there: a removal of nothing (``s == e + 1``) is not refused by a release build, and what it does to
the set depends on where it falls. Left out: limits on the number of ranges, locks.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Final

__all__ = ["Rangeset", "NullDereferenceError"]

_MASK: Final = (1 << 64) - 1


class NullDereferenceError(Exception):
    """Xen would walk off the end of its list and dereference NULL here."""


class Rangeset:
    """``struct rangeset``: disjoint inclusive ranges, ascending; adjacent ones may stand apart after a removal."""

    def __init__(self, *, removal_extends_lower_range: bool = False) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._defect = removal_extends_lower_range

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(list(zip(self._starts, self._ends, strict=True)))

    def _find(self, value: int) -> int:
        """Return the place of the last range that starts at or below ``value``, -1 for none (find_range)."""
        return bisect_right(self._starts, value) - 1

    def add_range(self, start: int, end: int) -> None:
        """Add ``start`` … ``end``; raise `NullDereferenceError` where Xen would, adding a range that ends before it starts.

        That is when a range lies between the two and nothing below, or nothing above; `ValueError` in all other such cases.
        """
        if end < start:
            x, y = self._find(start), self._find(end)
            if x != y and (y < 0 or (x == len(self._starts) - 1 and self._ends[x] + 1 < start)):
                raise NullDereferenceError
            raise ValueError(f"an empty range is added: {start:#x}-{end:#x}")
        first, last = self._find(start), self._find(end)
        if first >= 0 and self._ends[first] + 1 >= start:
            start = self._starts[first]
        else:
            first += 1
        if last >= 0:
            end = max(end, self._ends[last])
        if last + 1 < len(self._starts) and end + 1 == self._starts[last + 1]:
            last += 1
            end = self._ends[last]
        self._starts[first : last + 1] = [start]
        self._ends[first : last + 1] = [end]

    def remove_range(self, start: int, end: int) -> None:
        """Remove ``start`` … ``end``, with ``end`` computed in 64 bits as Xen does.

        Raises `NullDereferenceError` where a removal of nothing begins exactly at a range's start.
        """
        end &= _MASK
        x, y = self._find(start), self._find(end)
        if x == y:
            self._remove_within(x, start, end)
            return
        if x < 0:
            x = 0
        if self._starts[x] < start:
            if self._defect or self._ends[x] >= start:
                self._ends[x] = start - 1
            x += 1
        if x > y:
            raise NullDereferenceError
        del self._starts[x:y]
        del self._ends[x:y]
        self._starts[x] = (end + 1) & _MASK
        if self._starts[x] > self._ends[x]:
            del self._starts[x]
            del self._ends[x]

    def _remove_within(self, x: int, start: int, end: int) -> None:
        if x < 0 or self._ends[x] < start:
            return
        low, high = self._starts[x], self._ends[x]
        if low < start and high > end:
            self._ends[x] = start - 1
            self._starts.insert(x + 1, end + 1)
            self._ends.insert(x + 1, high)
        elif low == start and high <= end:
            del self._starts[x]
            del self._ends[x]
        elif low == start:
            self._starts[x] = end + 1
        else:
            self._ends[x] = start - 1

    def report_ranges(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield the ranges clipped to ``start`` … ``end``, ascending."""
        for low, high in self:
            if low > end:
                return
            if high >= start:
                yield max(low, start), min(high, end)
