"""struct resource and its tree operations, each node's children found by their addresses.

Mirrors kernel/resource.c (6.1, 6.12 and 7.3 behave alike): ``__request_resource``, ``request_resource``,
``insert_resource``, ``__find_resource_space`` (6.1: ``__find_resource``), ``allocate_resource``,
``release_resource``, and ``%pR`` of lib/vsprintf.c. As upstream, ``end`` is inclusive. Left out: locks, flags (a type-less
root works as well), ``arch_remove_reservations`` (empty on Arm) and the alignment callback (nobody here passes one).
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from dtanalyze.address.range import AddressRange
from dtanalyze.linux.intervals import Intervals

__all__ = ["IORESOURCE_END", "Candidate", "Resource"]

IORESOURCE_END: Final = (1 << 64) - 1
"""The last address of ``resource_size_t``."""


class Candidate(NamedTuple):
    """One gap that ``find_resource_space`` looked at; bounds inclusive.

    ``start`` is the aligned start inside the clipped gap, None when clipping or aligning left nothing;
    ``fits`` tells whether the wanted size fits from there.
    """

    gap_start: int
    gap_end: int
    clipped_start: int
    clipped_end: int
    start: int | None
    fits: bool


class Resource:
    """``struct resource``: ``start`` … ``end`` inclusive; ``end`` may be ``start - 1`` (nothing) in a root.

    ``source`` is the node path it comes from; ``certain`` is False for a claim made only once a driver binds;
    ``system_ram`` stands for IORESOURCE_SYSTEM_RAM.
    """

    __slots__ = ("_below", "certain", "end", "name", "parent", "source", "start", "system_ram")

    def __init__(
        self, name: str, start: int, end: int, *, source: str | None = None, certain: bool = True, system_ram: bool = False
    ) -> None:
        self.name = name
        self.start = start
        self.end = end
        self.source = source
        self.certain = certain
        self.system_ram = system_ram
        self.parent: Resource | None = None
        self._below: Intervals[Resource] | None = None  # most resources have no children

    def __repr__(self) -> str:
        return f"Resource({self.name!r}, {self.start:#x}-{self.end:#x})"

    @property
    def children(self) -> "list[Resource]":
        """The direct children, ascending; they never overlap each other."""
        return self._below.items() if self._below else []

    @property
    def range(self) -> AddressRange | None:
        """The addresses, or None when it holds none."""
        return AddressRange.spanning(self.start, self.end + 1) if self.end >= self.start else None

    def printed(self, *, memory: bool = True) -> str:
        """Return what ``%pR`` makes of it: addresses padded to ten characters, flags where the resource has no type."""
        span = f"{self.start:#010x}" + (f"-{self.end:#010x}" if self.start != self.end else "")
        return f"[mem {span}]" if memory else f"[??? {span} flags 0x0]"

    def walk(self) -> "Iterator[tuple[int, Resource]]":
        """Yield this resource and all below it with their depth, in address order."""
        stack = [(0, self)]
        while stack:
            depth, resource = stack.pop()
            yield depth, resource
            stack.extend((depth + 1, child) for child in reversed(resource.children))

    def overlapping(self, start: int, end: int) -> "list[Resource]":
        """Return the direct children that share an address with ``start`` … ``end`` inclusive, ascending."""
        return self._below.overlapping(start, end + 1) if self._below else []

    def _link(self, child: "Resource") -> None:
        child.parent = self
        if self._below is None:
            self._below = Intervals()
        self._below.add(child.start, child.end + 1, child)

    def _unlink(self, child: "Resource") -> None:
        if self._below is None:
            raise ValueError(f"{child!r} is not a child of {self!r}")
        child.parent = None
        self._below.remove(child.start, child.end + 1, child)

    def _first_conflict(self, new: "Resource") -> "Resource | None":
        """Return what stops ``new`` from becoming a direct child: this resource itself when it does not fit in."""
        if new.end < new.start or new.start < self.start or new.end > self.end:
            return self
        found = self.overlapping(new.start, new.end)
        return found[0] if found else None

    def request_resource(self, new: "Resource") -> "Resource | None":
        """Link ``new`` as a direct child; return the resource in conflict (-EBUSY) or None (0)."""
        conflict = self._first_conflict(new)
        if conflict is None:
            self._link(new)
        return conflict

    def insert_resource(self, new: "Resource") -> "Resource | None":
        """Link ``new`` where it nests: below a container, or above what it contains.

        Returns the resource that it overlaps only in part (-EBUSY), or None (0).
        """
        parent = self
        while True:
            first = parent._first_conflict(new)
            if first is None:
                parent._link(new)
                return None
            if first is parent:
                return first
            if first.start > new.start or first.end < new.end or (first.start, first.end) == (new.start, new.end):
                break
            parent = first
        inside = parent.overlapping(new.start, new.end)
        for item in inside:
            if item.start < new.start or item.end > new.end:
                return item
        for item in inside:
            parent._unlink(item)
            new._link(item)
        parent._link(new)
        return None

    def release_resource(self) -> None:
        """Unlink this resource, and what nests in it with it. Raises `ValueError` when it is linked nowhere."""
        if self.parent is None:
            raise ValueError(f"{self!r} is linked nowhere")
        self.parent._unlink(self)

    def gaps(self) -> Iterator[tuple[int, int]]:
        """Yield the gaps between direct children, bounds inclusive, ascending; empty ones are left out."""
        start = self.start
        for child in self.children:
            if start <= child.start - 1:
                yield start, child.start - 1
            start = child.end + 1
        if start <= self.end:
            yield start, self.end

    def candidates(self, size: int, low: int, high: int, align: int) -> Iterator[Candidate]:
        """Yield the gaps in the order in which ``__find_resource_space`` tries them, up to the one it takes."""
        for gap_start, gap_end in self.gaps():
            start, end = max(gap_start, low), min(gap_end, high)
            aligned = -(-start // align) * align
            usable = aligned <= end and aligned <= IORESOURCE_END
            fits = usable and aligned + size - 1 <= end
            yield Candidate(gap_start, gap_end, start, end, aligned if usable else None, fits)
            if fits:
                return

    def find_resource_space(self, size: int, low: int, high: int, align: int) -> int | None:
        """Return the lowest aligned start of a gap that holds ``size`` bytes within ``low`` … ``high``, or None."""
        for candidate in self.candidates(size, low, high, align):
            if candidate.fits:
                return candidate.start
        return None

    def allocate_resource(self, new: "Resource", size: int, low: int, high: int, align: int) -> bool:
        """Place ``new`` at the first fit and link it; return False (-EBUSY) when nothing fits."""
        start = self.find_resource_space(size, low, high, align)
        if start is None:
            return False
        new.start, new.end = start, start + size - 1
        self._link(new)
        return True
