"""What Xen itself has taken of the heap when it looks for dom0's RAM.

Between end_boot_allocator and allocate_memory_11 start_xen takes single pages, each from the smallest block of the highest
zone: a copy of the tree (relocate_fdt), the tree unflattened, the console's ring, idle vCPUs and the areas of the CPUs, the
scheduler, dom0's own structures. Large blocks are not touched by them. The last pieces of a dom0 whose size is no whole
megabytes are, so that where those lie follows from how many pages are gone.

How many depends on the build to the page, so that a number is kept for each release, and some more and fewer are tried. The
numbers come from boots in which dom0's last piece was one page or a few, less the tables of dom0's own mappings: of Debian's
4.17.7 (69 to 73 pages with QEMU's virt, 104 with four CPUs, 88 with 200 devices more) and 4.20.4 (45 to 53, 86, 70), of
builds of 4.17 (80), 4.22 (56 to 69) and master (51). Left out: larger blocks, and what is given back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.xen.page_alloc import MAX_ZONE, PAGE_SHIFT, Heap
from dtanalyze.xen.profile import XenProfile

__all__ = ["SPREAD", "nearby", "own_pages", "take_pages"]

SPREAD: Final = 24
"""Pages that a build may take more or less than the number kept."""
_EACH_CPU: Final = 11
_DEVICE_NODE: Final = 200
"""sizeof(struct dt_device_node), about."""
_PROPERTY: Final = 32
"""sizeof(struct dt_property)."""


def own_pages(tree: Tree, cpus: int, profile: XenProfile) -> int:
    """Return about how many pages Xen takes with this tree and so many CPUs."""
    return profile.heap_pages + _pages(tree.totalsize) + _pages(_unflattened(tree.root)) + _EACH_CPU * (cpus - 1)


def nearby(pages: int) -> Iterator[int]:
    """Yield the numbers of pages that it may be as well, the nearest first."""
    for more in range(1, SPREAD + 1):
        yield pages + more
        yield max(pages - more, 0)


def take_pages(heap: Heap, count: int) -> list[int | None]:
    """Take single pages of the heap, from the highest zone down; return their frames, None for those that there were not."""
    return [heap.alloc_heap_pages(MAX_ZONE, 0, no_scrub=True) for _ in range(count)]


def _pages(size: int) -> int:
    return -(-size >> PAGE_SHIFT)


def _unflattened(root: Node) -> int:
    """Return the bytes that unflatten_dt_node takes: a node, its path, its properties, and one more for its name."""
    return sum(
        _DEVICE_NODE + len(node.path) + len(node.name) + _PROPERTY * (len(node.properties) + 1) for node in root
    )
