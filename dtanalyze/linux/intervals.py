"""Things by the addresses that they take, found by those that they share, while more come and go.

A few are looked through one by one. Many are in an interval tree as well: to import and to balance one takes longer than
everything else about a small board.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from operator import itemgetter
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from intervaltree import IntervalTree

__all__ = ["Intervals"]

T = TypeVar("T")
FEW: Final = 64
_START: Final = itemgetter(0)


class Intervals(Generic[T]):
    """Items with a start and a stop (exclusive), none of them empty, ascending by start."""

    __slots__ = ("_items", "_tree")

    def __init__(self) -> None:
        self._items: list[tuple[int, int, T]] = []
        self._tree: IntervalTree | None = None

    def __bool__(self) -> bool:
        return bool(self._items)

    def items(self) -> list[T]:
        """Return the items, ascending by start."""
        return [item for _, _, item in self._items]

    def add(self, start: int, stop: int, item: T) -> None:
        """Add an item."""
        insort(self._items, (start, stop, item), key=_START)
        if self._tree is not None:
            self._tree.addi(start, stop, item)
        elif len(self._items) > FEW:
            from intervaltree import IntervalTree

            self._tree = IntervalTree.from_tuples(self._items)

    def remove(self, start: int, stop: int, item: T) -> None:
        """Take an item out; raise `ValueError` when it is not there."""
        at = bisect_left(self._items, start, key=_START)
        while at < len(self._items) and self._items[at][0] == start and self._items[at][1:] != (stop, item):
            at += 1
        if at == len(self._items) or self._items[at] != (start, stop, item):
            raise ValueError(f"{item!r} is not there")
        del self._items[at]
        if self._tree is not None:
            self._tree.removei(start, stop, item)

    def overlapping(self, start: int, stop: int) -> list[T]:
        """Return the items that share an address with ``start`` … ``stop`` (exclusive), ascending by start."""
        if self._tree is not None:
            return [found.data for found in sorted(self._tree.overlap(start, stop), key=_START)]
        return [item for first, last, item in self._items if first < stop and start < last]
