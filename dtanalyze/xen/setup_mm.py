"""From the scan of the tree to the heap: which RAM is free when dom0 is built.

Mirrors setup_mm with populate_boot_allocator, next_module and dt_unreserved_regions (arch/arm/setup.c; from 4.19
common/device-tree/bootinfo.c), and what start_xen takes from the boot allocator before end_boot_allocator.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from dtanalyze.xen.bootinfo import BankType, BootInfo, Module
from dtanalyze.xen.frametable import DirectMap, Pdx, frametable_covers, init_pdx, setup_frametable_mappings, vm_init
from dtanalyze.xen.page_alloc import PAGE_SHIFT, BootAllocator, XenBug
from dtanalyze.xen.profile import XenProfile

__all__ = ["dt_unreserved_regions", "reserved_ranges", "setup_mm"]

_PADDR_END: Final = 1 << 48


def setup_mm(
    info: BootInfo,
    memreserve: Iterable[tuple[int, int]],
    profile: XenProfile,
    bad_pages: tuple[tuple[int, int], ...] = (),
) -> BootAllocator:
    """Return the boot allocator as end_boot_allocator finds it; raise `XenBug` with Xen's line where it dies before.

    ``memreserve`` are the entries of /memreserve/ as (start, size): up to 4.18 they are kept out here, though the scan
    does not know them. ``bad_pages`` are frames that the command line keeps out.
    """
    boot = BootAllocator(profile.bootmem_bug, bad_pages)
    banks = [(bank.start, min(bank.size, _PADDR_END - bank.start)) for bank in info.mem if bank.start < _PADDR_END]
    if not banks:
        return boot
    reserved = reserved_ranges(info, memreserve, profile)
    pdx = init_pdx([(bank.start, bank.size) for bank in info.mem])
    directmap = DirectMap(boot, profile, pdx, banks)
    heap = [(bank.start, bank.stop) for bank in info.reserved_mem if bank.type is BankType.STATIC_HEAP]
    by_bank = not (info.static_heap and profile.static_heap)
    if not by_bank:
        for start, stop in heap:
            boot.init_boot_pages(start, stop)
    elif profile.boot_allocator_before_directmap:
        for start, size in banks:
            _populate(boot, start, start + size, info.modules, reserved)
    for start, size in banks:
        directmap.map(start, size)
        if by_bank and not profile.boot_allocator_before_directmap:
            _populate(boot, start, start + size, info.modules, reserved)
    boot.mapped = directmap.mapped
    setup_frametable_mappings(boot, profile, pdx, banks)
    vm_init(boot)
    _init_staticmem_pages(info, profile, pdx, banks)
    return boot


def _init_staticmem_pages(info: BootInfo, profile: XenProfile, pdx: Pdx, banks: list[tuple[int, int]]) -> None:
    """Every page of static memory has to have its entry in the frame table, which reaches no further than RAM does."""
    for bank in info.reserved_mem:
        pages = range(-(-bank.start >> PAGE_SHIFT), bank.stop >> PAGE_SHIFT)
        if bank.type is not BankType.STATIC_DOMAIN or not pages:
            continue
        if not all(frametable_covers(profile, pdx, banks, pfn) for pfn in (pages[0], pages[-1])):
            raise XenBug("CPU0: Unexpected Trap: Data Abort", "memory that the tree reserves is no RAM of it")


def reserved_ranges(info: BootInfo, memreserve: Iterable[tuple[int, int]], profile: XenProfile) -> list[tuple[int, int]]:
    """Return all that is kept out of free RAM, as (start, size); ``memreserve`` is as `setup_mm` has it."""
    banks = [(bank.start, bank.size) for bank in (*info.reserved_mem, *info.shmem)]
    return [*([] if profile.memreserve_is_reserved else memreserve), *banks]


def _populate(
    boot: BootAllocator, start: int, stop: int, modules: tuple[Module, ...], reserved: list[tuple[int, int]]
) -> None:
    """Add what one bank has beside modules and reservations."""
    while start < stop:
        end, resume = _next_module(start, stop, modules)
        for low, high in dt_unreserved_regions(start, min(end, stop), reserved):
            boot.init_boot_pages(low, high)
        start = resume


def _next_module(start: int, stop: int, modules: tuple[Module, ...]) -> tuple[int, int]:
    """Return where the next module at or above ``start`` begins and where to go on after it.

    A module that began before is not seen, so of two that overlap the second may be handed out in part.
    """
    lowest, end = None, stop
    for module in modules:
        if not module.size or module.start < start or module.start > end:
            continue
        if lowest is not None and module.start > lowest:
            continue
        lowest, end = module.start, min(end, module.start + module.size)
    return (stop, stop) if lowest is None else (lowest, end)


def dt_unreserved_regions(
    start: int, stop: int, reserved: list[tuple[int, int]], first: int = 0
) -> Iterator[tuple[int, int]]:
    """Yield what lies between the reservations; an end may come before its start, and then holds no page."""
    for at in range(first, len(reserved)):
        low, high = reserved[at][0], sum(reserved[at])
        if start < high and low < stop:
            yield from dt_unreserved_regions(high, stop, reserved, at + 1)
            yield from dt_unreserved_regions(start, low, reserved, at + 1)
            return
    yield start, stop
