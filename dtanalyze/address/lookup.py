"""Things with ranges, found by the addresses that they share: sorted once, then two bisections for each question."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Generic, Protocol, TypeVar

from dtanalyze.address.range import AddressRange

__all__ = ["Lookup"]


class Ranged(Protocol):
    """Something with a range."""

    @property
    def range(self) -> AddressRange:
        """Its addresses."""


T = TypeVar("T", bound=Ranged)


class Lookup(Generic[T]):
    """Items by their ranges, which may overlap each other; ascending by start, equal starts as they came."""

    def __init__(self, items: Iterable[T]) -> None:
        self.items = sorted(items, key=lambda item: item.range.start)
        self._starts = [item.range.start for item in self.items]
        self._reach = list(accumulate((item.range.stop for item in self.items), max))

    def touching(self, span: AddressRange) -> Iterator[T]:
        """Yield the items that share an address with ``span``, ascending."""
        first = bisect_right(self._reach, span.start)  # nothing before it ends behind the start
        for at in range(first, bisect_left(self._starts, span.stop)):
            if self.items[at].range.stop > span.start:
                yield self.items[at]
