"""Whether Xen can map the tree that it is handed, the first thing that it looks at, and copy it once there is a heap.

Mirrors early_fdt_map (arch/arm/mm.c, from 4.19 arch/arm/mmu/setup.c) and relocate_fdt as start_xen asks them
(arch/arm/setup.c). Left out: an address of zero, and a tree that cannot be read, which is refused before anything is asked
of it.
"""

from __future__ import annotations

from typing import Final

from dtanalyze.address.units import MIB, format_size
from dtanalyze.devicetree.tree import Tree
from dtanalyze.xen.allocate_memory import get_order_from_bytes
from dtanalyze.xen.page_alloc import MAX_ZONE, BootAllocator
from dtanalyze.xen.stage import Outcome, Passed, Stop

__all__ = ["early_fdt_map", "relocate_fdt"]

_MOST: Final = 2 * MIB
_ALIGN: Final = 8
_LINES: Final = ("The DTB must be 8-byte aligned and must not exceed 2 MB in size.", "Please check your bootloader.")


def early_fdt_map(tree: Tree, address: int | None) -> Outcome:
    """Return whether the tree is small enough, and lies where Xen can map it; ``address`` is None when nobody knows."""
    because = ""
    if tree.totalsize > _MOST:
        because = f"the tree has {tree.totalsize} bytes"
    elif address is not None and address % _ALIGN:
        because = f"the boot loader puts the tree at {address:#x}"
    if not because:
        return Passed((f"a tree of {format_size(tree.totalsize)}",))
    where = () if address is None else (f"Invalid device tree blob at physical address {address:#x}.",)
    return Stop("boot-scan", (*where, *_LINES), because, silent=True)


def relocate_fdt(tree: Tree, free: BootAllocator) -> Outcome:
    """Return whether the heap made of what is ``free`` has one block for a copy of the tree (xmalloc_whole_pages)."""
    heap = free.end_boot_allocator(need_scrub=False)
    if heap.has(get_order_from_bytes(tree.totalsize), MAX_ZONE):
        return Passed((f"room for {format_size(tree.totalsize)}",))
    because = f"no block of Xen's heap holds the {tree.totalsize} bytes of the tree"
    return Stop("memory", ("Unable to allocate memory for relocating the Device-Tree.",), because, silent=True)
