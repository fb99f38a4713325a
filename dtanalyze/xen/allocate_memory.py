"""Where dom0's RAM lands: a model of the 1:1 allocation over the buddy heap.

Mirrors allocate_memory_11 and insert_11_bank (arch/arm/domain_build.c) over alloc_heap_pages (common/page_alloc.c):
zones by address bits, the highest zone first, the smallest block that is large enough, its upper end handed out, and
among equals the block freed last (the highest). Left out: what Xen allocates for itself before (other than the frame
table), so that an answer is a prediction that a boot log can correct.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from dtanalyze.address.range import ADDRESS_SPACE, AddressRange, RawRange
from dtanalyze.address.rangeset import RangeSet
from dtanalyze.address.units import MIB
from dtanalyze.xen.bootfdt import BootInfo

__all__ = ["Dom0Memory", "allocate_memory_11", "boot_heap"]

_PAGE: Final = 4096
_MAX_ORDER: Final = 18
_PADDR_BITS: Final = 48
_FRAMETABLE_ALIGN: Final = 32 * MIB
_PAGE_INFO: Final = 56
"""sizeof(struct page_info) on arm64."""


class Dom0Memory(NamedTuple):
    """The banks, ascending, and the bytes that could not be placed."""

    banks: tuple[AddressRange, ...]
    unallocated: int


def boot_heap(info: BootInfo, xen_image: AddressRange | None) -> RangeSet:
    """Return the RAM that reaches the heap: all of it without modules, reservations, Xen and the frame table."""
    addressable = [AddressRange(0, 1 << _PADDR_BITS)]
    ram = RangeSet(_checked((bank.start, bank.size) for bank in info.mem)).intersection(addressable)
    taken = _checked((bank.start, bank.size) for bank in info.reserved_mem)
    taken += _checked((module.start, module.size) for module in info.modules)
    if xen_image is not None:
        taken.append(xen_image)
    free = ram.difference(_whole_pages(taken))
    runs = list(ram)
    if not runs:
        return free
    pages = max(1, (runs[-1].stop - runs[0].start) // _PAGE)
    wanted = pages * _PAGE_INFO
    wanted = -(-wanted // _FRAMETABLE_ALIGN) * _FRAMETABLE_ALIGN
    for run in reversed(list(free)):
        start = (run.stop - wanted) // _FRAMETABLE_ALIGN * _FRAMETABLE_ALIGN
        if start >= run.start:
            return free.difference([AddressRange(start, wanted)])
    return free


def _checked(ranges: Iterable[tuple[int, int]]) -> list[AddressRange]:
    """Return what each names of the 64-bit space; a tree may name nothing, or more than there is."""
    return [found for start, size in ranges if (found := RawRange(start, size).checked()) is not None]


def _whole_pages(ranges: Iterable[AddressRange]) -> list[AddressRange]:
    return [
        AddressRange.spanning(item.start // _PAGE * _PAGE, min(-(-item.stop // _PAGE) * _PAGE, ADDRESS_SPACE))
        for item in ranges
    ]


class _Heap:
    def __init__(self, free: RangeSet) -> None:
        self.free = free

    def _blocks(self) -> Iterator[tuple[int, int]]:
        """Yield the free space as maximal buddy blocks (start, order); of a row of largest ones, the last in each zone."""
        largest = 1 << _MAX_ORDER
        for run in self.free:
            page, stop = -(-run.start // _PAGE), run.stop // _PAGE
            while page < stop:
                if page % largest == 0 and page + largest <= stop:
                    end = min(stop // largest * largest, 1 << max(page.bit_length(), _MAX_ORDER + 1))
                    yield (end - largest) * _PAGE, _MAX_ORDER
                    page = end
                    continue
                order = min(_MAX_ORDER, (page & -page).bit_length() - 1 if page else _MAX_ORDER)
                while page + (1 << order) > stop:
                    order -= 1
                yield page * _PAGE, order
                page += 1 << order

    def allocate(self, order: int, bits: int | None) -> int | None:
        """Return the start of 2^order pages below 2^bits, taken from the highest zone that has them, or None."""
        fitting = [(start, have) for start, have in self._blocks() if have >= order and (bits is None or start < 1 << bits)]
        if not fitting:
            return None
        zone = max((start // _PAGE).bit_length() for start, _ in fitting)
        in_zone = [item for item in fitting if (item[0] // _PAGE).bit_length() == zone]
        smallest = min(have for _, have in in_zone)
        start, have = max(item for item in in_zone if item[1] == smallest)
        chosen = start + ((1 << have) - (1 << order)) * _PAGE
        self.free = self.free.difference([AddressRange(chosen, _PAGE << order)])
        return chosen

    def give_back(self, start: int, order: int) -> None:
        self.free = self.free.union([AddressRange(start, _PAGE << order)])


def _order_below(size: int) -> int:
    """Return the largest order whose block is not larger than ``size`` (get_allocation_size)."""
    return (size // _PAGE).bit_length() - 1


def _order_above(size: int) -> int:
    """Return the smallest order whose block is not smaller than ``size`` (get_order_from_bytes)."""
    return (-(-size // _PAGE) - 1).bit_length()


def allocate_memory_11(free: RangeSet, dom0_mem: int, *, dma_bits: int = 32, max_banks: int = 256) -> Dom0Memory:
    """Place ``dom0_mem`` bytes; as much as possible below ``dma_bits``, the first bank as low as possible."""
    heap = _Heap(free)
    lowmem_bits = min(32, dma_bits)
    min_low_order = _order_above(min(dom0_mem, 128 * MIB))
    min_order = _order_above(4 * MIB)
    banks = RangeSet()
    left = dom0_mem // _PAGE * _PAGE
    if not left:
        return Dom0Memory((), 0)
    first = _first_bank(heap, _order_below(left), min_low_order, lowmem_bits)
    lowmem = first is not None
    if first is not None:
        banks = RangeSet([first])
        left -= first.size
    order = _order_below(left) if left else 0
    while left and len(banks) < max_banks:
        start = heap.allocate(order, lowmem_bits if lowmem else None)
        if start is None:
            order -= 1
            if lowmem and order < min_low_order:
                order, lowmem = _order_below(left), False
            elif order < min_order:
                break
            continue
        block = AddressRange(start, _PAGE << order)
        lowest = next(iter(banks), None)
        if lowest is not None and block.size < 128 * MIB and block.stop < lowest.start:
            heap.give_back(start, order)
            if not lowmem:
                break
            order, lowmem = _order_below(left), False
            continue
        banks = banks.union([block])
        left -= block.size
        order = _order_below(left) if left else 0
    return Dom0Memory(tuple(banks), left)


def _first_bank(heap: _Heap, order: int, min_low_order: int, lowmem_bits: int) -> AddressRange | None:
    while order >= min_low_order:
        for bits in range(order, lowmem_bits + 1):
            start = heap.allocate(order, bits)
            if start is not None:
                return AddressRange(start, _PAGE << order)
        order -= 1
    return None
