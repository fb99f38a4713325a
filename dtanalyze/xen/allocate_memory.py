"""Where dom0's RAM lands: 1:1 memory out of the heap.

Mirrors allocate_memory_11, insert_11_bank and get_allocation_size (arch/arm/domain_build.c), alike from 4.16 to 4.22. A
1:1 domain sees its RAM at the addresses that it has on the host. Xen asks the heap for large blocks, the first as low as
possible and the others below 4 GiB while there are any, and joins those that touch to banks.
"""

from __future__ import annotations

from copy import copy
from typing import Final, NamedTuple

from dtanalyze.address.range import AddressRange
from dtanalyze.address.units import MIB
from dtanalyze.xen.page_alloc import MAX_ORDER, MAX_ZONE, PAGE_SHIFT, Heap, bits_to_zone

__all__ = ["Dom0Allocation", "Dom0Memory", "allocate_memory_11", "get_order_from_bytes"]

_PAGE: Final = 1 << PAGE_SHIFT
_MIN_BANK0: Final = 128 * MIB
_MIN_ORDER: Final = 10
"""Blocks below 4 MiB are not looked for, unless no more than that is wanted."""


class Dom0Memory(NamedTuple):
    """The banks in Xen's order, ascending, and the bytes that could not be placed."""

    banks: tuple[AddressRange, ...]
    unallocated: int


def get_allocation_size(size: int) -> int:
    """Return the order of the largest block that is not larger than ``size`` bytes, -1 when that is below a page.

    Upstream's order is unsigned: -1 counts down from 2^32, for minutes, and comes to the same in the end.
    """
    return (size >> PAGE_SHIFT).bit_length() - 1


def get_order_from_bytes(size: int) -> int:
    """Return the order of the smallest block that is not smaller than ``size`` bytes."""
    return (size - 1 >> PAGE_SHIFT).bit_length()


class Dom0Allocation:
    """dom0 while it gets its RAM, one block after the other.

    ``banks`` are ``[start, stop]``, ``unassigned`` bytes are still wanted; ``order`` is the next size to ask for, ``lowmem``
    whether only below 4 GiB. ``pages_left`` is what dom0 may still have (max_pages, 32 bits wide upstream).

    Each block is mapped before the next is asked for. ``table_orders`` are log2 of the pages that a table of each level
    below the root of dom0's page tables spans (`p2m_table_orders`); none: their pages are not counted.
    """

    def __init__(
        self, heap: Heap, wanted: int, lowmem_bits: int, max_banks: int, table_orders: tuple[int, ...] = ()
    ) -> None:
        self.heap = heap
        self.banks: list[list[int]] = []
        self.unassigned = wanted
        self.max_banks = max_banks
        self.pages_left = wanted >> PAGE_SHIFT & 0xFFFFFFFF
        self.min_low_order = get_order_from_bytes(min(wanted, _MIN_BANK0))
        self.lowmem_bits = lowmem_bits
        self.lowmem = True
        self.order = get_allocation_size(wanted)
        self.table_orders = table_orders
        self._tables: set[tuple[int, int]] = set()

    min_order: Final = _MIN_ORDER

    def copy(self, least: int = 0) -> Dom0Allocation:
        """Return the same allocation, to be continued in another way; its heap without blocks below order ``least``."""
        other = copy(self)
        other.heap = self.heap.copy(least)
        other.banks = [list(bank) for bank in self.banks]
        other._tables = set(self._tables)
        if least:
            other.table_orders = ()
        return other

    def of_size(self, wanted: int) -> Dom0Allocation:
        """Return an allocation of another size from the same heap as it is now."""
        return Dom0Allocation(self.heap.copy(), wanted, self.lowmem_bits, self.max_banks, self.table_orders)

    def request(self) -> tuple[int, int] | None:
        """Return the order and the highest zone of the next block that there is, None when Xen needs none or gives up.

        Whether there is one does not depend on scrubbing, only which one it is.
        """
        if not self.banks and self.lowmem:
            first = self._bank0_request()
            if first is not None:
                return first
            self.order, self.lowmem = get_allocation_size(self.unassigned), False
        while self.unassigned and len(self.banks) < self.max_banks:
            zone_hi = bits_to_zone(self.lowmem_bits) if self.lowmem else MAX_ZONE
            if self._can_have(self.order, zone_hi):
                return self.order, zone_hi
            self.order = min(self.order, MAX_ORDER + 1) - 1
            if self.lowmem and self.order < self.min_low_order:
                self.order, self.lowmem = get_allocation_size(self.unassigned), False
            elif self.order < _MIN_ORDER:
                break
        return None

    def _bank0_request(self) -> tuple[int, int] | None:
        """The first bank is as large as possible, then as low as possible: each width of addresses is tried in turn."""
        for order in range(min(self.order, MAX_ORDER), self.min_low_order - 1, -1):
            for bits in range(order, self.lowmem_bits + 1):
                if self._can_have(order, bits_to_zone(bits)):
                    return order, bits_to_zone(bits)
        return None

    def _can_have(self, order: int, zone_hi: int) -> bool:
        return 0 <= order <= MAX_ORDER and 1 << order <= self.pages_left and self.heap.has(order, zone_hi)

    def take(self, order: int, zone_hi: int) -> bool:
        """Allocate one block and insert it; False when Xen looks no further."""
        mfn = self.heap.alloc_heap_pages(zone_hi, order)
        assert mfn is not None
        if not self.insert_11_bank(mfn, order):
            if len(self.banks) == self.max_banks or not self.lowmem:
                return False
            self.lowmem = False
        self.order = get_allocation_size(self.unassigned)
        return True

    def insert_11_bank(self, mfn: int, order: int) -> bool:
        """Join the block to dom0's banks; False when it is too small to lie below bank 0, or there is no bank left."""
        start, size = mfn << PAGE_SHIFT, _PAGE << order
        stop = start + size
        if self.banks and size < _MIN_BANK0 and stop < self.banks[0][0]:
            self.heap.free_heap_pages(mfn, order, need_scrub=False)
            return False
        self._map(mfn, order)
        self.unassigned -= size
        self.pages_left -= 1 << order
        for at, bank in enumerate(self.banks):
            if stop == bank[0]:
                bank[0] = start
                return True
            if start == bank[1]:
                bank[1] = stop
                return True
            if stop < bank[0] and len(self.banks) < self.max_banks:
                self.banks.insert(at, [start, stop])
                return True
        if len(self.banks) < self.max_banks:
            self.banks.append([start, stop])
            return True
        return False

    def _map(self, mfn: int, order: int) -> None:
        """guest_physmap_add_page: entries are as large as the block, and a table that is missing is a page of the heap."""
        for spans in self.table_orders:
            if order < spans and (spans, mfn >> spans) not in self._tables:
                self._tables.add((spans, mfn >> spans))
                self.heap.alloc_heap_pages(MAX_ZONE, 0, no_scrub=True)

    def run(self) -> Dom0Memory:
        """Allocate until dom0 has all or Xen gives up."""
        while (request := self.request()) is not None and self.take(*request):
            pass
        return self.result()

    def signature(self) -> tuple[object, ...]:
        """Return what the rest depends on: two allocations with the same end alike."""
        return tuple(map(tuple, self.banks)), self.lowmem, self.order, self.heap.signature()

    def result(self) -> Dom0Memory:
        """Return what dom0 has got."""
        return Dom0Memory(tuple(AddressRange.spanning(*bank) for bank in self.banks), self.unassigned)


def allocate_memory_11(heap: Heap, dom0_mem: int, *, dma_bits: int = 32, max_banks: int = 256) -> Dom0Memory:
    """Place ``dom0_mem`` bytes; the heap is changed. Where ``unallocated`` is not 0, Xen panics."""
    return Dom0Allocation(heap, dom0_mem, min(32, dma_bits), max_banks).run()
