"""The pool that a fork keeps unpopulated pages in.

Mirrors what drivers/xen/unpopulated-alloc.c of xen-troops uses of lib/genalloc.c: gen_pool_add_virt, gen_pool_alloc with
gen_pool_best_fit, gen_pool_free. A request gets its pages in one piece, ascending, from the newest chunk that can give it,
there from the smallest free extent that holds it; one that no chunk can give makes a chunk for all of its pages.
"""

from typing import NamedTuple

__all__ = ["GenPool", "PageRun"]


class PageRun(NamedTuple):
    """Pages in the order in which they are handed out: ``first`` (a page frame number), then each ``step`` on."""

    first: int
    pages: int
    step: int

    def contains(self, pfn_range: range) -> bool:
        """Tell whether any page of the run lies in ``pfn_range``."""
        last = self.first + (self.pages - 1) * self.step
        return min(self.first, last) < pfn_range.stop and pfn_range.start <= max(self.first, last)


class GenPool:
    """``struct gen_pool``: chunks, the newest first, each with its free extents (first page, pages), ascending."""

    def __init__(self) -> None:
        self._chunks: list[tuple[range, list[tuple[int, int]]]] = []

    @property
    def count(self) -> int:
        """Free pages in all."""
        return sum(size for _, free in self._chunks for _, size in free)

    def missing(self, pages: int) -> int:
        """Return 0 when some chunk has so many pages in one piece, else all of them: fill_pool is asked for the whole."""
        return 0 if any(size >= pages for _, free in self._chunks for _, size in free) else pages

    def add(self, run: PageRun) -> None:
        """Add a chunk (gen_pool_add_virt puts it first)."""
        self._chunks.insert(0, (range(run.first, run.first + run.pages), [(run.first, run.pages)]))

    def pop(self, pages: int) -> tuple[PageRun, ...]:
        """Take ``pages`` pages in one piece; nothing when no chunk has them."""
        for _, free in self._chunks:
            fitting = [(size, first) for first, size in free if size >= pages]
            if fitting:
                size, first = min(fitting)
                at = free.index((first, size))
                free[at : at + 1] = [(first + pages, size - pages)] if size > pages else []
                return (PageRun(first, pages, 1),)
        return ()

    def push(self, run: PageRun) -> None:
        """Give pages back to the chunk that they came from, where they join what is free beside them."""
        for chunk, free in self._chunks:
            if run.first in chunk:
                free.append((run.first, run.pages))
                free.sort()
                joined = [free[0]]
                for first, size in free[1:]:
                    before, so_far = joined[-1]
                    if before + so_far == first:
                        joined[-1] = (before, so_far + size)
                    else:
                        joined.append((first, size))
                free[:] = joined
                return
