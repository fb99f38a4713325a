"""Where dom0's RAM lies with cache colouring: not 1:1, at addresses that the host's RAM has.

Mirrors allocate_memory and add_hwdom_free_regions (arch/arm/domain_build.c, 4.20), allocate_hwdom_memory
(common/device-tree/domain-build.c, 4.21 and later). With ``llc-coloring=on`` a domain owns pages of some cache colours only,
scattered over RAM, so dom0 sees them in the free parts of the host's layout instead: all RAM without reservations and the
grant table. Modules are not left out, since nothing is really there. Left out: whether enough pages of dom0's colours exist.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from dtanalyze.address.range import ADDRESS_SPACE, AddressRange
from dtanalyze.address.rangeset import RangeSet
from dtanalyze.address.units import MIB
from dtanalyze.xen.allocate_memory import Dom0Memory
from dtanalyze.xen.bootinfo import Bank, BootInfo
from dtanalyze.xen.profile import XenProfile

__all__ = ["allocate_hwdom_memory"]

_PAGE: Final = 4096
_SUPERPAGE: Final = 2 * MIB
_MIN_BANK0: Final = 128 * MIB


def allocate_hwdom_memory(
    info: BootInfo, profile: XenProfile, dom0_mem: int, grant_table: AddressRange | None
) -> Dom0Memory:
    """Place ``dom0_mem`` bytes; where ``unallocated`` is not 0, Xen panics.

    The banks are in Xen's order, which up to 4.21 is that of their regions' sizes.
    """
    regions = _free_regions(info, profile, grant_table)
    if not profile.hwdom_lowest_region_first:
        regions.sort(key=lambda region: -region.size)
    banks: list[AddressRange] = []
    left = dom0_mem
    for region in regions:
        size = min(region.size, left)
        too_small = not banks and size < min(dom0_mem, _MIN_BANK0) and profile.hwdom_lowest_region_first
        if not left or too_small:
            continue
        banks.append(AddressRange(region.start, size))
        left -= size
    return Dom0Memory(tuple(banks), left)


def _free_regions(info: BootInfo, profile: XenProfile, grant_table: AddressRange | None) -> list[AddressRange]:
    """Return the free parts of RAM by address, both ends at 2 MiB.

    Up to 4.20 the start of the last page counts as the end, which costs the last 2 MiB of a region that ends at one.
    """
    ram = RangeSet(_whole_pages(info.mem))
    free = ram.difference([*_whole_pages(info.reserved_mem), *([grant_table] if grant_table else [])])
    found = []
    for item in free:
        start = -(-item.start // _SUPERPAGE) * _SUPERPAGE
        stop = (item.stop - _PAGE + 1 if profile.last_page_start_is_end else item.stop) // _SUPERPAGE * _SUPERPAGE
        if start < stop:
            found.append(AddressRange.spanning(start, stop))
    return found


def _whole_pages(banks: Iterable[Bank]) -> Iterator[AddressRange]:
    for bank in banks:
        start, stop = bank.start // _PAGE * _PAGE, min(-(-bank.stop // _PAGE) * _PAGE, ADDRESS_SPACE)
        if bank.size and start < stop:
            yield AddressRange.spanning(start, stop)
