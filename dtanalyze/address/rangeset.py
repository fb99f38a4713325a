"""Sets of addresses as sorted, disjoint, never adjacent ranges.

Sort and sweep: for merging and hole search this is many times faster than an interval tree, which serves the
two resource views instead.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

from dtanalyze.address.range import AddressRange

__all__ = ["RangeSet"]


class RangeSet:
    """An immutable set of addresses; iterating yields its maximal runs in ascending order."""

    __slots__ = ("_runs", "_starts")

    def __init__(self, ranges: Iterable[AddressRange] = ()) -> None:
        runs: list[AddressRange] = []
        for item in sorted(ranges):
            if runs and item.start <= runs[-1].stop:
                if item.stop > runs[-1].stop:
                    runs[-1] = AddressRange.spanning(runs[-1].start, item.stop)
            else:
                runs.append(item)
        self._runs = tuple(runs)
        self._starts = [run.start for run in runs]

    def __iter__(self) -> Iterator[AddressRange]:
        return iter(self._runs)

    def __len__(self) -> int:
        return len(self._runs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RangeSet) and self._runs == other._runs

    def __hash__(self) -> int:
        return hash(self._runs)

    def __repr__(self) -> str:
        return "RangeSet(" + ", ".join(f"{run.start:#x}-{run.last:#x}" for run in self._runs) + ")"

    @property
    def size(self) -> int:
        """Number of addresses in the set."""
        return sum(run.size for run in self._runs)

    def overlapping(self, other: AddressRange) -> Iterator[AddressRange]:
        """Yield the runs that share an address with ``other``, ascending."""
        index = max(bisect_right(self._starts, other.start) - 1, 0)
        for at in range(index, len(self._runs)):
            run = self._runs[at]
            if run.start >= other.stop:
                return
            if run.overlaps(other):
                yield run

    def touches(self, other: AddressRange) -> bool:
        """Tell whether any address of ``other`` is in the set."""
        return next(self.overlapping(other), None) is not None

    def union(self, other: Iterable[AddressRange]) -> RangeSet:
        """Return the addresses that are in either."""
        return RangeSet([*self._runs, *other])

    def intersection(self, other: Iterable[AddressRange]) -> RangeSet:
        """Return the addresses that are in both."""
        others = other if isinstance(other, RangeSet) else RangeSet(other)
        few, many = (self, others) if len(self) < len(others) else (others, self)
        return RangeSet(common for run in few for item in many.overlapping(run) if (common := run.intersection(item)))

    def difference(self, other: Iterable[AddressRange]) -> RangeSet:
        """Return the addresses that are in this set only."""
        others = other if isinstance(other, RangeSet) else RangeSet(other)
        left: list[AddressRange] = []
        for run in self._runs:
            start = run.start
            for item in others.overlapping(run):
                if item.start > start:
                    left.append(AddressRange.spanning(start, item.start))
                start = item.stop
            if start < run.stop:
                left.append(AddressRange.spanning(start, run.stop))
        return RangeSet(left)
