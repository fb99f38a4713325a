"""Xen's two allocators of memory, as far as they decide which frames are handed out.

Mirrors xen/common/page_alloc.c, alike from 4.16 to 4.22. While Xen boots, the *boot allocator* holds a sorted list of
free regions and cuts page tables and the frame table off their ends. end_boot_allocator then frees what is left to the
*heap*, a binary buddy allocator: blocks of 2^order pages, aligned to their size, one list for each zone and order.
dom0's RAM is taken from those lists, so their order decides where it lies.

Everything here counts in page frames (MFN). The replay works on blocks, never on single pages. Left out: NUMA (one node),
claims, offlined and broken pages.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from dtanalyze.address.range import AddressRange
from dtanalyze.address.rangeset import RangeSet

__all__ = ["MAX_ORDER", "MAX_ZONE", "PAGE_SHIFT", "BootAllocator", "Heap", "XenBug", "bits_to_zone", "lines_below"]

PAGE_SHIFT: Final = 12
MAX_ORDER: Final = 18
"""The largest block: 2^18 pages, 1 GiB."""
MAX_ZONE: Final = 48 - PAGE_SHIFT
"""NR_ZONES - 1 with 48-bit physical addresses (PADDR_BITS)."""
_NR_BOOT_REGIONS: Final = 256
"""bootmem_region_list is one page of entries of 16 bytes."""
_FULL: Final = 1
_NO_REGION: Final = 121
_NONE_FITS: Final = 155
"""How many lines below the test for overlaps Xen stops for other reasons: 4.16 to master have them equally far apart."""


class XenBug(Exception):  # noqa: N818 — upstream's word for it
    """BUG(), panic() or a trap of Xen; the text is its line, ``because`` the cause in our words."""

    def __init__(self, line: str, because: str = "") -> None:
        super().__init__(line)
        self.because = because


def lines_below(bug: str, count: int) -> str:
    """Return the line of a BUG() that stands ``count`` lines below the one that prints ``bug``."""
    file, _, line = bug.rpartition(":")
    return f"{file}:{int(line) + count}"


class BootAllocator:
    """Free regions ``[start, stop)`` of page frames, ascending, apart from each other (bootmem_region_list).

    ``overlap`` is Xen's line when a region is added that overlaps another one; ``bad`` are frames that ``badpage=`` takes
    out of all regions each time that one is added. ``mapped`` are the bytes of RAM that Xen has
    an address for.
    """

    def __init__(self, overlap: str = "Xen BUG at common/page_alloc.c:308", bad: tuple[tuple[int, int], ...] = ()) -> None:
        self.regions: list[tuple[int, int]] = []
        self.mapped = RangeSet()
        self._overlap = overlap
        self._bad = bad

    def _bug(self, below: int = 0, because: str = "") -> XenBug:
        return XenBug(lines_below(self._overlap, below), because)

    def init_boot_pages(self, start: int, stop: int) -> None:
        """Add the whole pages of the bytes from ``start`` to before ``stop``; what holds none is dropped."""
        first, last = -(-start >> PAGE_SHIFT), stop >> PAGE_SHIFT
        if first < last:
            self._add(first, last)
            for bad in self._bad:
                self._zap(*bad)

    def _zap(self, first: int, last: int) -> None:
        """bootmem_region_zap: take the frames from ``first`` to before ``last`` out of every region."""
        at = 0
        while at < len(self.regions):
            low, high = self.regions[at]
            if last <= low:
                return
            if first < high:
                self.regions[at] = (min(last, high), high) if first <= low else (low, first)
                if low < first and last < high:
                    self._add(last, high)
            at += 1

    def _add(self, first: int, last: int) -> None:
        """bootmem_region_add: regions that touch stay apart here, and grow together in the heap."""
        if first >= last:
            return
        at = next((i for i, region in enumerate(self.regions) if first < region[1]), len(self.regions))
        if at < len(self.regions) and last > self.regions[at][0]:
            raise self._bug()
        if len(self.regions) == _NR_BOOT_REGIONS:
            raise self._bug(_FULL, f"free RAM is in more than {_NR_BOOT_REGIONS} pieces")
        self.regions.insert(at, (first, last))

    @property
    def free(self) -> RangeSet:
        """What is left, in bytes."""
        return RangeSet(
            AddressRange.spanning(first << PAGE_SHIFT, last << PAGE_SHIFT) for first, last in self.regions if first < last
        )

    def alloc_boot_pages(self, count: int, align: int = 1) -> int:
        """Return the first of ``count`` frames, aligned to ``align`` (a power of two), from the highest region that fits.

        They are taken from its end down. What alignment leaves above them becomes a region of its own.
        """
        for at in range(len(self.regions) - 1, -1, -1):
            first, last = self.regions[at]
            start = (last - count) & ~(align - 1)
            if start < first:
                continue
            self.regions[at] = (first, start)
            self._add(start + count, last)
            return start
        if not self.regions:
            raise self._bug(_NO_REGION, "no RAM is free")
        raise self._bug(_NONE_FITS, f"no piece of free RAM holds the {count} pages that Xen needs for its tables")

    def end_boot_allocator(self, *, need_scrub: bool) -> Heap:
        """Return the heap of what is left: the lowest region goes first, then the others from the highest down.

        The first is special since it holds what the lists of the first node themselves would need.
        """
        left = [region for region in self.regions if region[0] < region[1]]
        heap = Heap()
        for first, last in (*left[:1], *reversed(left[1:])):
            heap.init_heap_pages(first, last, need_scrub=need_scrub)
        return heap


class Buddy(NamedTuple):
    """A free block. ``first_dirty`` is the index of its first page that needs scrubbing, None when all are clean."""

    order: int
    first_dirty: int | None


def bits_to_zone(bits: int) -> int:
    """Return the highest zone whose frames lie below 2^``bits`` bytes."""
    return max(bits - PAGE_SHIFT, 1)


def page_to_zone(mfn: int) -> int:
    """Return the zone of a frame: the length of its number in bits, so that each zone is twice the one below."""
    return mfn.bit_length() or 1


class Heap:
    """The free lists, by zone and order; the left end of each is its head.

    A clean block goes to the head of its list and a dirty one to the tail, so that clean ones are found first.
    """

    def __init__(self) -> None:
        self.lists: dict[tuple[int, int], deque[int]] = {}
        self.free: dict[int, Buddy] = {}
        self.avail: dict[int, int] = {}

    def copy(self, least: int = 0) -> Heap:
        """Return a heap with the same blocks in the same order, without those below order ``least``."""
        other = Heap()
        other.lists = {key: deque(blocks) for key, blocks in self.lists.items() if blocks and key[1] >= least}
        other.free = {mfn: buddy for mfn, buddy in self.free.items() if buddy.order >= least} if least else dict(self.free)
        other.avail = dict(self.avail)
        return other

    def init_heap_pages(self, first: int, last: int, *, need_scrub: bool) -> None:
        """Free the frames from ``first`` to before ``last`` in blocks as large as their alignment allows.

        Frame 0 is kept out, so that buddies of two zones are never merged.
        """
        first = max(first, 1)
        while first < last:
            order = min(MAX_ORDER, (last - first).bit_length() - 1, (first & -first).bit_length() - 1)
            self.free_heap_pages(first, order, need_scrub=need_scrub)
            first += 1 << order

    def free_heap_pages(self, mfn: int, order: int, *, need_scrub: bool) -> None:
        """Put a block back and merge it with its buddy as long as that one is free as a whole."""
        zone = page_to_zone(mfn)
        self.avail[zone] = self.avail.get(zone, 0) + (1 << order)
        dirty = 0 if need_scrub else None
        while order < MAX_ORDER:
            buddy = self.free.get(mfn ^ (1 << order))
            if buddy is None or buddy.order != order:
                break
            lower, upper = (buddy.first_dirty, dirty) if mfn & (1 << order) else (dirty, buddy.first_dirty)
            self._remove(zone, mfn ^ (1 << order))
            mfn &= ~(1 << order)
            dirty = lower if lower is not None or upper is None else (1 << order) + upper
            order += 1
        self._add(zone, mfn, Buddy(order, dirty))

    def _add(self, zone: int, mfn: int, buddy: Buddy) -> None:
        """page_list_add_scrub."""
        self.free[mfn] = buddy
        blocks = self.lists.setdefault((zone, buddy.order), deque())
        if buddy.first_dirty is None:
            blocks.appendleft(mfn)
        else:
            blocks.append(mfn)

    def _remove(self, zone: int, mfn: int) -> None:
        self.lists[zone, self.free.pop(mfn).order].remove(mfn)

    def alloc_heap_pages(self, zone_hi: int, order: int, *, no_scrub: bool = False) -> int | None:
        """Take 2^``order`` frames of a zone not above ``zone_hi``; return the first, or None when there is no such block.

        A larger block is halved: its lower halves go back to the lists and its upper end is handed out.
        """
        if order > MAX_ORDER:
            return None
        mfn = self._get_free_buddy(zone_hi, order, use_unscrubbed=no_scrub)
        if mfn is None and not no_scrub:
            mfn = self._get_free_buddy(zone_hi, order, use_unscrubbed=True)
        if mfn is None:
            return None
        have, dirty = self.free.pop(mfn)
        zone = page_to_zone(mfn)
        while have != order:
            have -= 1
            half = 1 << have
            self._add(zone, mfn, Buddy(have, dirty if dirty is not None and dirty < half else None))
            mfn += half
            if dirty is not None:
                dirty = max(dirty - half, 0)
        self.avail[zone] -= 1 << order
        return mfn

    def has(self, order: int, zone_hi: int) -> bool:
        """Return whether a block of 2^``order`` frames can be had from a zone not above ``zone_hi``, clean or dirty."""
        return any(blocks and zone <= zone_hi and have >= order for (zone, have), blocks in self.lists.items())

    def _get_free_buddy(self, zone_hi: int, order: int, *, use_unscrubbed: bool) -> int | None:
        """Return the head of the first list that has one, from the highest zone down and the wanted order up.

        While only clean blocks will do, a dirty head goes to the tail: each search that fails turns the lists by one.
        A single page is taken dirty too, since scrubbing one is cheaper than breaking a larger block.
        """
        for zone in sorted(self.avail, reverse=True):  # a few of many
            if zone > zone_hi or self.avail[zone] < 1 << order:
                continue
            for have in range(order, MAX_ORDER + 1):
                blocks = self.lists.get((zone, have))
                if not blocks:
                    continue
                mfn = blocks.popleft()
                if use_unscrubbed or order == 0 or self.free[mfn].first_dirty is None:
                    return mfn
                blocks.append(mfn)
        return None

    def scrub(self, count: int) -> bool:
        """Clean up to ``count`` blocks as an idle CPU does; False when there was none left for the last step.

        The lowest zone comes first, in it the largest order, of each list the tail; what is clean goes to the head
        (scrub_free_pages).
        """
        for zone, order in sorted(self.lists, key=lambda key: (key[0], -key[1])):
            blocks = self.lists[zone, order]
            while blocks and self.free[blocks[-1]].first_dirty is not None:
                if not count:
                    return True
                self._add(zone, blocks.pop(), Buddy(order, None))
                count -= 1
        return not count

    def signature(self) -> tuple[object, ...]:
        """Return what tells this heap from another."""
        return tuple(
            (key, tuple((mfn, self.free[mfn].first_dirty) for mfn in blocks))
            for key, blocks in sorted(self.lists.items())
            if blocks
        )
