"""How many pages of each colour of the last-level cache are left, when Xen colours it.

Mirrors init_color_heap_pages and alloc_color_heap_page (common/page_alloc.c): the first 64 MiB (CONFIG_BUDDY_ALLOCATOR_SIZE)
stay with the buddy allocator, every other page goes to the list of its colour, the low bits of its number; a domain gets
each of its pages from the fullest list of its colours. Counted is what is there at most. Left out: what else is gone then, a
tenth in boots of 4.22 with 16 and 32 colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dtanalyze.address.units import MIB
from dtanalyze.xen.boot import Boot
from dtanalyze.xen.dom0less import DomU
from dtanalyze.xen.dt_property import dt_property_read_string
from dtanalyze.xen.llc_coloring import max_nr_colors, parse_color_config
from dtanalyze.xen.page_alloc import PAGE_SHIFT, BootAllocator

__all__ = ["ColorHeap", "colors_of", "left_of_colors"]

_BUDDY: Final = 64 * MIB >> PAGE_SHIFT


class ColorHeap:
    """The pages on the list of each colour."""

    def __init__(self, pages: int, colors: int) -> None:
        self.free = [pages // colors + (at < pages % colors) for at in range(colors)]

    def left(self, colors: Sequence[int]) -> int:
        """Return how many pages a domain of these colours can have."""
        return sum(self.free[at] for at in set(colors))

    def take(self, colors: Sequence[int], pages: int) -> None:
        """Take ``pages``, no more than there are, each from the fullest list: those above a level sink to it."""
        mine = sorted(set(colors), key=lambda at: -self.free[at])
        wanted = min(pages, self.left(mine))
        for count in range(1, len(mine) + 1):
            below = self.free[mine[count]] if count < len(mine) else 0
            above = sum(self.free[at] for at in mine[:count])
            if above - below * count >= wanted:
                level, more = divmod(above - wanted, count)
                for place, at in enumerate(mine[:count]):
                    self.free[at] = level + (place < more)
                return


def colors_of(domu: DomU, most: int) -> Sequence[int]:
    """Return a domain's colours: those that it names, else all."""
    named = dt_property_read_string(domu.node, "llc-colors")
    return parse_color_config(named) if isinstance(named, str) and named else range(most)


def left_of_colors(boot: Boot, domu: DomU) -> int | None:
    """Return the bytes of a domain's colours that are left at most; None where nothing is coloured or nobody knows how.

    What dom0 and the domains before take is gone; that of a dom0 with colours of its own (dom0-llc-colors=) is not counted.
    """
    most, free = max_nr_colors(boot.host.args), boot.free_memory
    if not boot.llc_coloring or most is None or not isinstance(free, BootAllocator):
        return None
    said = {word.name for word in boot.words}
    buddy = 0 if "buddy-alloc-size" in said else _BUDDY
    heap = ColorHeap(max((free.free.size >> PAGE_SHIFT) - buddy, 0), most)
    if boot.has_dom0 and "dom0-llc-colors" not in said:
        heap.take(range(most), sum(bank.size for bank in boot.dom0_memory.banks) >> PAGE_SHIFT)
    for other in boot.domus[: boot.domus.index(domu)]:
        if not other.static:
            heap.take(colors_of(other, most), (other.size or 0) >> PAGE_SHIFT)
    return heap.left(colors_of(domu, most)) << PAGE_SHIFT
