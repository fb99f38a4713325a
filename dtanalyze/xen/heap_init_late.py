"""RAM that the heap holds and Xen cannot reach: the first use of such a page is a Data Abort.

Mirrors who touches free pages: alloc_xenheap_pages, smp_scrub_heap_pages, scrub_free_pages and heap_init_late
(common/page_alloc.c). setup_directmap_mappings maps ``size >> 12`` pages of a bank from ``start >> 12`` on. Where start and
size are no whole pages but the end is, that is one page less than the heap is given. A module whose last page is RAM in part
or not at all gives that page to the heap too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from dtanalyze.address.range import AddressRange
from dtanalyze.xen.bootinfo import BootInfo
from dtanalyze.xen.heap_use import take_pages
from dtanalyze.xen.initial_modules import GivenBack
from dtanalyze.xen.page_alloc import PAGE_SHIFT, BootAllocator
from dtanalyze.xen.stage import DATA_ABORT, Open, Outcome, Passed, Stop

__all__ = ["first_pages", "heap_init_late", "scrubbed_for_dom0"]

_SURELY_TAKEN: Final = 16
"""Single pages; booted with one CPU and a small tree 4.17 took 19 of them, 4.20 and 4.22 took 30."""


def first_pages(boot: BootAllocator, info: BootInfo) -> Outcome:
    """Take the single pages that Xen surely takes of the heap until it builds dom0; it writes to each."""
    unmapped = boot.free.difference(boot.mapped)
    if not unmapped:
        return Passed()
    taken = take_pages(boot.end_boot_allocator(need_scrub=False), _SURELY_TAKEN)
    pages = (AddressRange(frame << PAGE_SHIFT, 1) for frame in taken if frame is not None)
    met = next((page for page in pages if unmapped.touches(page)), None)
    return Passed() if met is None else Stop("memory", (DATA_ABORT,), *_why(info, met.start))


def scrubbed_for_dom0(boot: BootAllocator, dom0: Iterable[AddressRange], bootscrub: str, info: BootInfo) -> Stop | None:
    """Clean what dom0 gets, where nothing was cleaned before."""
    met = next(iter(boot.free.difference(boot.mapped).intersection(dom0)), None)
    return Stop("dom0-memory", (DATA_ABORT,), *_why(info, met.start)) if met is not None and bootscrub == "idle" else None


def heap_init_late(
    boot: BootAllocator, info: BootInfo, modules: GivenBack, dom0: tuple[AddressRange, ...], bootscrub: str
) -> Outcome:
    """Clean the free RAM: at once (``on``), in idle time (``idle``, soon after dom0 has started), or never (``off``)."""
    held = boot.free.union(pages for pages, _ in modules).difference(boot.mapped)
    free = next(iter(held.difference(dom0)), None)
    if free is not None and bootscrub != "off":
        because, node = _why(info, free.start, modules)
        when = "" if bootscrub == "on" else "; idle CPUs clean the heap once dom0 has started"
        return Stop("memory", (DATA_ABORT,), because + when, node)
    if held:
        because, _ = _why(info, next(iter(held)).start, modules)
        return Open(f"{because}; nothing says when it does", "banks of RAM that begin and end at whole pages")
    return Passed((f"bootscrub={bootscrub}",))


def _why(info: BootInfo, page: int, modules: GivenBack = ()) -> tuple[str, str | None]:
    """Return why Xen has no address for the page, and the node to look at."""
    module = next((item for pages, item in modules if pages.start <= page < pages.stop), None)
    if module is not None:
        because = f"the last pages of {module.node or 'the tree itself'} are no RAM that Xen maps; it frees them, and dies"
        return f"{because} when it touches {page:#x}", module.node or None
    node = next((bank.node for bank in info.mem if bank.start <= page < bank.stop), None)
    because = (
        f"the RAM of {node} that ends at {page + (1 << PAGE_SHIFT) - 1:#x} does not begin at a whole page, so that Xen maps "
        f"one page less of it than it counts, and dies when it touches the last, {page:#x}"
    )
    return because, node
