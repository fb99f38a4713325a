"""How much Xen can map at once: a window of 1 GiB for registers and for the modules that it copies.

Mirrors vm_init_type and vm_alloc (common/vmap.c) with VMAP_VIRT_SIZE of arm64 (asm/mmu/layout.h, asm/config.h in 4.17). Left
out: what drivers other than the interrupt controller's have mapped before, some pages each.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from dtanalyze.address.units import GIB, KIB
from dtanalyze.devicetree.tree import Node
from dtanalyze.xen.vgic import gic_node, is_gic_v3, redistributors

__all__ = ["fits_into_vmap", "vmap_of_gic"]

_PAGE: Final = 4 * KIB
_VMAP_PAGES: Final = GIB // _PAGE
_BITMAP_PAGES: Final = _VMAP_PAGES // 8 // _PAGE
"""A bit for each page, at the beginning of the window."""
_GICD: Final = 64 * KIB


def vmap_of_gic(root: Node) -> tuple[int, ...]:
    """Return the sizes in bytes of what the driver of a GICv3 keeps mapped."""
    gic = gic_node(root)
    return (_GICD, *(item.range.size for item in redistributors(gic))) if gic is not None and is_gic_v3(gic) else ()


def fits_into_vmap(size: int, mapped: Iterable[int] = ()) -> bool:
    """Tell whether ``size`` bytes can be mapped beside the sizes ``mapped``; each has a free page before it."""
    taken = _BITMAP_PAGES + sum(_pages(item) + 1 for item in mapped)
    return taken + _pages(size) < _VMAP_PAGES


def _pages(size: int) -> int:
    return -(-size // _PAGE)
