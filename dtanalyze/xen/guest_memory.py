"""Whether the RAM of a domain of /chosen, and the pages for its page tables, can be had.

Mirrors allocate_memory (arch/arm/domain_build.c; from 4.21 common/device-tree/domain-build.c) and domain_p2m_pages
(arch/arm/dom0less-build.c), as far as they cannot succeed: where Xen's allocator puts a guest's RAM is not followed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from dtanalyze.address.range import AddressRange, RawRange
from dtanalyze.address.rangeset import RangeSet
from dtanalyze.address.units import KIB, MIB, format_size
from dtanalyze.xen.boot import Boot
from dtanalyze.xen.color_heap import left_of_colors
from dtanalyze.xen.dom0less import DomU
from dtanalyze.xen.dom0less_bindings import Refused
from dtanalyze.xen.domain_build import GUEST_RAM_BANKS

__all__ = ["free_bytes", "no_memory", "p2m_pool"]

_PAGE: Final = 4 * KIB
_UNSIGNED: Final = (1 << 32) - 1


def no_memory(boot: Boot, domu: DomU) -> Iterator[Refused]:
    """allocate_memory: a bank that cannot be had whole counts as unallocated whole.

    What is left below a page has order -1, unsigned: Xen tries four thousand million orders before it gives up.
    """
    size = left = domu.size or 0
    if size and not p2m_pool(domu):
        line = f"Failed to allocate requested domain memory. {size // KIB}KB unallocated. Fix the VMs configurations."
        yield Refused((line,), f"xen,domain-p2m-mem-mb of {domu.node.path} leaves no page tables to map its RAM with")
        return
    free = max(free_bytes(boot, domu) - p2m_pool(domu), 0)
    of_colors = left_of_colors(boot, domu) if boot.ram_known else None
    scarce = of_colors is not None and of_colors < free
    free = of_colors if of_colors is not None and scarce else free
    for bank in GUEST_RAM_BANKS if boot.ram_known else ():
        wanted = min(left, bank.size)
        if wanted > free or wanted % _PAGE:
            break
        left, free = left - wanted, free - wanted
    if boot.ram_known and left:
        line = f"Failed to allocate requested domain memory. {left // KIB}KB unallocated. Fix the VMs configurations."
        because = f"{domu.node.path} has {format_size(size)}, and the host less than that left"
        if scarce:
            because += f" of its colours of the cache: {format_size(of_colors or 0)} at most"
        if size % _PAGE:
            because = f"memory of {domu.node.path} is {size // KIB} KiB, no whole pages; Xen looks for the rest for minutes"
        yield Refused((line,), because)


def p2m_pool(domu: DomU) -> int:
    """Return the bytes set apart for a domain's page tables: as it says, else domain_p2m_pages.

    That is 1 MiB for each CPU, a page for each MiB of RAM, and 128 pages for extended regions, in whole MiB. What a domain
    says becomes pages, which are counted in 32 bits.
    """
    if domu.p2m_mb is not None:
        return (domu.p2m_mb << 8 & _UNSIGNED) * _PAGE
    pages = 256 * domu.cpus + (domu.size or 0) // MIB + 128
    return -(-pages * _PAGE // MIB) * MIB


def free_bytes(boot: Boot, domu: DomU) -> int:
    """Return what is left at most: RAM less reservations, modules, dom0's RAM and that of the domains before."""
    info = boot.info
    ram = RangeSet(AddressRange(bank.start, bank.size) for bank in info.mem if not bank.wraps)
    known = [RawRange(item.start, item.size) for item in (*info.reserved_mem, *info.shmem)]
    known += [RawRange(item.start, item.size) for item in info.modules]
    taken = [found for item in known if (found := item.checked()) is not None]
    taken += boot.dom0_memory.banks if boot.has_dom0 else ()
    before = boot.domus[: boot.domus.index(domu)]
    used = sum(p2m_pool(item) + (0 if item.static else item.size or 0) for item in before)
    return sum(item.size for item in ram.difference(taken)) - used
