"""What Xen takes of the boot allocator before there is a heap: page tables of the direct map, and the frame table.

Mirrors init_pdx (arch/arm/setup.c), pfn_pdx_hole_setup and set_pdx_range (common/pdx.c), setup_mm (arch/arm/setup.c, from
4.19 arch/arm/arm64/mmu/mm.c) with what it calls, and vm_init (common/vmap.c). The frame table holds 56 bytes for each page
between the lowest and the highest address of RAM. *PDX compression* leaves out one run of address bits that are zero in
all RAM, so that a large hole does not cost a table of its own. Only sizes and alignments matter here: they decide which
frames are gone when dom0's RAM is looked for.

Left out: offset compression, which Arm does not choose by default, and the 32-bit setup_mm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

from dtanalyze.address.range import AddressRange
from dtanalyze.address.rangeset import RangeSet
from dtanalyze.address.units import GIB, MIB, TIB
from dtanalyze.xen.page_alloc import MAX_ORDER, PAGE_SHIFT, BootAllocator, XenBug
from dtanalyze.xen.profile import XenProfile
from dtanalyze.xen.stage import DATA_ABORT

__all__ = ["DirectMap", "Pdx", "cannot_cover", "frametable_covers", "init_pdx", "setup_frametable_mappings", "vm_init"]

_PAGE_INFO: Final = 56
"""sizeof(struct page_info) on arm64."""
_PDX_GROUP: Final = 2 * MIB // (_PAGE_INFO & -_PAGE_INFO)
"""PDX_GROUP_COUNT: pages whose frame table entries are mapped or left out together (1 GiB of RAM)."""
_FRAMETABLE_SIZE: Final = 32 * GIB
_DIRECTMAP_SIZE: Final = 5 * TIB
_TOO_FAR: Final = "RAM reaches further from its lowest address than Xen can manage"
_VIRTUAL_PAGES: Final = 128 * TIB >> PAGE_SHIFT
"""From the start of the direct map, slot 256 of 512, to the end of virtual addresses."""
_SECOND_ORDER: Final = 9
"""log2 of the pages that one second-level entry maps (2 MiB)."""
_FIRST_ORDER: Final = 18
_ZEROETH_ORDER: Final = 27
_VMAP_PAGES: Final = 3
"""vm_init: one page of bitmap for 1 GiB of virtual addresses, and the two tables that map it."""

Banks: TypeAlias = Sequence[tuple[int, int]]
"""RAM as ``(start, size)`` in bytes, ascending."""


class Pdx(NamedTuple):
    """The bits of a frame number that are left out: ``hole`` of them from bit ``bottom`` on."""

    bottom: int = 0
    hole: int = 0

    def from_pfn(self, pfn: int) -> int:
        """Return the index of a frame in the frame table (pfn_to_pdx), before its base is subtracted."""
        low = pfn & ((1 << self.bottom) - 1)
        return low | (pfn >> (self.bottom + self.hole) << self.bottom)


def _fill_mask(mask: int) -> int:
    return (1 << mask.bit_length()) - 1


def _region_mask(start: int, size: int) -> int:
    """Return the bits that move within a region, all below the highest one included (pdx_region_mask)."""
    return _fill_mask(start ^ (start + size - 1))


def init_pdx(banks: Banks) -> Pdx:
    """Return the longest run of bits above MAX_ORDER that are zero in every address of RAM; of equal ones the lowest.

    Bits up to MAX_ORDER stay, since the heap counts on its blocks being one piece of the frame table.
    """
    mask = _fill_mask((1 << (MAX_ORDER + PAGE_SHIFT)) - 1)
    for start, size in banks:
        mask |= start | _region_mask(start, size)
    mask >>= PAGE_SHIFT
    best = Pdx()
    at = MAX_ORDER
    while mask >> at:
        gap = at + _trailing(~mask >> at)
        if not mask >> gap:
            break
        at = gap + _trailing(mask >> gap)
        if at - gap > best.hole:
            best = Pdx(gap, at - gap)
    return best


def _trailing(bits: int) -> int:
    return (bits & -bits).bit_length() - 1


class DirectMap:
    """The page tables that map all RAM at one offset (setup_directmap_mappings), counted as they are needed.

    The virtual address of a page follows its index in the frame table, so two banks may share a table.
    """

    def __init__(self, boot: BootAllocator, profile: XenProfile, pdx: Pdx, banks: Banks) -> None:
        self._boot = boot
        self._profile = profile
        self._pdx = pdx
        self._base = banks[0][0] >> PAGE_SHIFT
        self._tables: set[tuple[int, int]] = set()
        self._mapped: list[tuple[int, int]] = []
        if not profile.directmap_by_level:  # the table of the first slot is part of Xen's image
            self._tables.add((_ZEROETH_ORDER, 0))
        last = max(start + size for start, size in banks)
        pages = pdx.from_pfn((last >> PAGE_SHIFT) - 1) + 1 - pdx.from_pfn(self._base)
        if profile.directmap_limited and pages > _DIRECTMAP_SIZE >> PAGE_SHIFT:
            raise XenBug("Direct map is too small", _TOO_FAR)

    def map(self, start: int, size: int) -> None:
        """Map one bank of RAM, by entries as large as its alignment allows (4.16: by whole GiB)."""
        first, count = start >> PAGE_SHIFT, size >> PAGE_SHIFT
        if not count:  # less than a page: PFN_DOWN leaves nothing to map
            return
        if self._profile.mapping_twice_refused and any(first < high and low < first + count for low, high in self._mapped):
            raise XenBug("Unable to setup the directmap mappings.")
        self._mapped.append((first, first + count))
        virt = self._pdx.from_pfn(first) - self._pdx.from_pfn(self._base) + self._base % (1 << _FIRST_ORDER)
        if virt + count > _VIRTUAL_PAGES:
            raise XenBug("Unable to setup the directmap mappings.", _TOO_FAR)
        if not self._profile.directmap_by_level:
            self._need(_ZEROETH_ORDER, virt, virt + count)
            return
        for order, parts in ((_ZEROETH_ORDER, [(virt, virt + count)]), *_partly_mapped(virt, virt + count)):
            for low, high in parts:
                self._need(order, low, high)

    @property
    def mapped(self) -> RangeSet:
        """What of RAM has an address, in bytes."""
        unit = PAGE_SHIFT if self._profile.directmap_by_level else PAGE_SHIFT + _FIRST_ORDER
        spans = [(low << PAGE_SHIFT >> unit << unit, -(-high << PAGE_SHIFT >> unit) << unit) for low, high in self._mapped]
        return RangeSet(AddressRange.spanning(low, high) for low, high in spans if low < high)

    def _need(self, order: int, low: int, high: int) -> None:
        for index in range(low >> order, (high - 1 >> order) + 1 if high > low else low >> order):
            if (order, index) not in self._tables:
                self._tables.add((order, index))
                self._boot.alloc_boot_pages(1)


def _partly_mapped(low: int, high: int) -> list[tuple[int, list[tuple[int, int]]]]:
    """Return, for each level that needs tables, the ends of ``[low, high)`` that no entry of that level maps as a whole."""
    return [(order, _ends(low, high, order)) for order in (_FIRST_ORDER, _SECOND_ORDER)]


def _ends(low: int, high: int, order: int) -> list[tuple[int, int]]:
    up, down = -(-low >> order) << order, high >> order << order
    if up >= down:
        return [(low, high)] if low < high else []
    return [part for part in ((low, up), (down, high)) if part[0] < part[1]]


def setup_frametable_mappings(boot: BootAllocator, profile: XenProfile, pdx: Pdx, banks: Banks) -> None:
    """Take the frame table: one piece up to 4.21, then one for each run of PDX groups that holds RAM."""
    first = banks[0][0] >> PAGE_SHIFT
    last = (max(start + size for start, size in banks) >> PAGE_SHIFT) - 1
    if profile.frametable_by_groups:
        _init_frametable(boot, pdx, banks, pdx.from_pfn(first), pdx.from_pfn(last) + 1)
        return
    size = (pdx.from_pfn(last) - pdx.from_pfn(first) + 1) * _PAGE_INFO
    if profile.frametable_limited and size > _FRAMETABLE_SIZE:
        low, high = banks[0][0], max(start + size for start, size in banks)
        raise XenBug(cannot_cover(low, high), _TOO_FAR)
    unit = 2 * MIB if size < 32 * MIB else 32 * MIB
    pages = -(-size // unit) * unit >> PAGE_SHIFT
    boot.alloc_boot_pages(pages, 32 * MIB >> PAGE_SHIFT)
    _tables(boot, 0, pages)


def cannot_cover(low: int, high: int) -> str:
    """Return the panic of setup_frametable_mappings as it is printed: %#016lx, which leaves zero without its 0x."""
    return "The frametable cannot cover the physical region " + " - ".join(
        f"0x{address:014x}" if address else f"{address:016x}" for address in (low, high)
    )


def frametable_covers(profile: XenProfile, pdx: Pdx, banks: Banks, pfn: int) -> bool:
    """Tell whether the frame table has an entry for a page, be it of RAM or not."""
    first = pdx.from_pfn(banks[0][0] >> PAGE_SHIFT)
    last = pdx.from_pfn((max(start + size for start, size in banks) >> PAGE_SHIFT) - 1)
    index = pdx.from_pfn(pfn)
    if profile.frametable_by_groups:
        base = first // _PDX_GROUP * _PDX_GROUP
        return any(low <= index < high for low, high in _valid_groups(pdx, banks, base, last + 1))
    size = (last - first + 1) * _PAGE_INFO
    unit = 2 * MIB if size < 32 * MIB else 32 * MIB
    return 0 <= index - first < -(-size // unit) * unit // _PAGE_INFO


def _init_frametable(boot: BootAllocator, pdx: Pdx, banks: Banks, first: int, last: int) -> None:
    base = first // _PDX_GROUP * _PDX_GROUP
    if (last - base) * _PAGE_INFO > _FRAMETABLE_SIZE:
        raise XenBug("Frametable too small", _TOO_FAR)
    mapped: set[tuple[int, int]] = set()
    for low, high in _valid_groups(pdx, banks, base, last):
        size = (high - low) * _PAGE_INFO
        align = 32 * MIB if size >= 32 * MIB else 2 * MIB
        pages = -(-size >> PAGE_SHIFT)
        boot.alloc_boot_pages(pages, align >> PAGE_SHIFT)
        _tables(boot, (low - base) * _PAGE_INFO >> PAGE_SHIFT, pages, mapped)


def _valid_groups(pdx: Pdx, banks: Banks, base: int, last: int) -> list[tuple[int, int]]:
    """Return the runs of groups with RAM, from that of ``base`` on; the last ends where RAM does."""
    runs: list[list[int]] = []
    groups = [(0, 1)]
    for start, size in banks:
        end = start + size >> PAGE_SHIFT
        low = pdx.from_pfn(start >> PAGE_SHIFT) // _PDX_GROUP
        groups.append((low, (pdx.from_pfn(end - 1) + _PDX_GROUP) // _PDX_GROUP))
    for low, high in sorted(groups):
        low = max(low, base // _PDX_GROUP)
        if low >= high:
            continue
        if runs and low <= runs[-1][1]:
            runs[-1][1] = max(runs[-1][1], high)
        else:
            runs.append([low, high])
    return [(low * _PDX_GROUP, min(high * _PDX_GROUP, last)) for low, high in runs]


def _tables(boot: BootAllocator, virt: int, pages: int, mapped: set[tuple[int, int]] | None = None) -> None:
    """Take the tables for ``pages`` pages of frame table at page ``virt`` of its (1 GiB aligned) virtual addresses."""
    known = mapped if mapped is not None else set()
    parts = [(_FIRST_ORDER, [(virt, virt + pages)]), (_SECOND_ORDER, _ends(virt, virt + pages, _SECOND_ORDER))]
    for order, ends in parts:
        for low, high in ends:
            for index in range(low >> order, (high - 1 >> order) + 1):
                if (order, index) not in known:
                    known.add((order, index))
                    boot.alloc_boot_pages(1)


def vm_init(boot: BootAllocator) -> None:
    """Take the bitmap of the virtual addresses for vmap, and the tables that map it, which Xen soon reads again."""
    _, *tables = [boot.alloc_boot_pages(1) for _ in range(_VMAP_PAGES)]
    if not all(boot.mapped.touches(AddressRange(frame << PAGE_SHIFT, 1)) for frame in tables):
        raise XenBug(DATA_ABORT, "the direct map lacks a page of RAM that holds page tables: its bank begins within a page")
