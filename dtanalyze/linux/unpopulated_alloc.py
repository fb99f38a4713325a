"""Scratch pages: fill_list, the page list, and what each request gets.

Mirrors drivers/xen/unpopulated-alloc.c: unpopulated_init, fill_list, xen_alloc_unpopulated_pages and
xen_free_unpopulated_pages (in the xen-troops fork fill_pool and alloc_unpopulated_pages), with the checks of memremap_pages
(mm/memremap.c) that decide about a range. Left out: -ENOMEM for the kernel's own structures (64 bytes of struct page for
each page), x86's donated E820 memory, the fork's interface for pages in one piece (what it takes is the same).
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from dtanalyze.address.lookup import Lookup
from dtanalyze.address.range import AddressRange
from dtanalyze.linux.genalloc import GenPool, PageRun
from dtanalyze.linux.iomem import Unseen
from dtanalyze.linux.memory_hotplug import PluggableRange
from dtanalyze.linux.profile import LinuxProfile, Reserve
from dtanalyze.linux.resource import IORESOURCE_END, Candidate, Resource

__all__ = ["MAX_REQUEST_PAGES", "Fill", "Outcome", "PageList", "PageRun", "Request", "UnpopulatedAlloc"]

MAX_REQUEST_PAGES = (1 << 32) - 1
"""``unsigned int nr_pages``."""


class Outcome(StrEnum):
    """What one request comes to."""

    SCRATCH = "scratch"
    HAZARD = "hazard"
    CONFLICT = "conflict"
    EXHAUSTED = "exhausted"
    BALLOON = "balloon"
    IOMEM = "iomem"


class Fill(NamedTuple):
    """One call of fill_list: the range it chose, or why it failed.

    ``range`` is also given when the range was chosen and then refused; ``refused_by`` is the resource in the way,
    ``nested_in`` what a range went into or around without a word (insert_resource).
    """

    size: int
    range: AddressRange | None
    error: str | None
    message: str | None
    candidates: tuple[Candidate, ...]
    refused_by: Resource | None = None
    nested_in: Resource | None = None


class PageList:
    """The kernel's LIFO list of free unpopulated pages, kept as runs."""

    def __init__(self) -> None:
        self._stack: list[PageRun] = []
        self.count = 0

    def missing(self, pages: int) -> int:
        """Return how many pages a request lacks: the list serves what it can."""
        return max(pages - self.count, 0)

    def add(self, run: PageRun) -> None:
        """Put newly reserved pages on the list."""
        self.push(run)

    def push(self, run: PageRun) -> None:
        """Put the pages of ``run`` on the list one after another, so that the last one is on top."""
        top = run.first + (run.pages - 1) * run.step
        self._stack.append(PageRun(top, run.pages, -run.step))
        self.count += run.pages

    def pop(self, pages: int) -> tuple[PageRun, ...]:
        """Take ``pages`` pages off the top. Raises `IndexError` when the list is shorter."""
        out: list[PageRun] = []
        while pages:
            top = self._stack.pop()
            taken = min(top.pages, pages)
            out.append(top._replace(pages=taken))
            if taken < top.pages:
                self._stack.append(PageRun(top.first + taken * top.step, top.pages - taken, top.step))
            pages -= taken
            self.count -= taken
        return tuple(out)


class Request(NamedTuple):
    """One call of xen_alloc_unpopulated_pages. ``pages`` is what was asked for, ``taken`` the newly reserved range."""

    pages: int
    outcome: Outcome
    taken: AddressRange | None
    error: str | None
    message: str | None
    fill: Fill | None
    first_page: int | None
    """Address of the first page handed out."""
    landed_on: tuple[Unseen, ...] = ()


class UnpopulatedAlloc:
    """The allocator's state after unpopulated_init chose a target resource."""

    def __init__(
        self,
        profile: LinuxProfile,
        target: Resource,
        iomem: Resource,
        limits: PluggableRange,
        unseen: tuple[Unseen, ...] = (),
    ) -> None:
        self.profile = profile
        self.target = target
        self.iomem = iomem
        self.limits = limits
        self.unseen = unseen
        self._unseen = Lookup(unseen)
        self.page_list: PageList | GenPool = GenPool() if profile.pool else PageList()
        self._nested: list[AddressRange] = []
        # RAM stays RAM when a withdrawn copy has taken it out of iomem_resource: its sections are there already.
        self._system_ram = [item for _, item in iomem.walk() if item.system_ram]

    @property
    def search_bounds(self) -> tuple[int, int]:
        """The inclusive bounds that fill_list hands to allocate_resource."""
        if self.profile.pluggable_range_in_fill_list:
            return self.limits.low, self.limits.high
        return 0, IORESOURCE_END

    def fill_list(self, nr_pages: int) -> Fill:
        """Take room for ``nr_pages``, rounded up to sections, from the target; no second candidate is ever tried."""
        per_section = self.profile.pages_per_section
        want_pages = -(-nr_pages // per_section) * per_section & MAX_REQUEST_PAGES
        size, align = want_pages * self.profile.page_size, self.profile.section_size
        low, high = self.search_bounds
        candidates = tuple(self.target.candidates(size, low, high, align)) if size else ()
        resource = Resource("Xen scratch", 0, 0)
        if not size or not self.target.allocate_resource(resource, size, low, high, align):
            return Fill(size, None, "EBUSY", "Cannot allocate new IOMEM resource", candidates)
        chosen = AddressRange(resource.start, size)
        refused = self._reserve_and_map(chosen, candidates)
        if refused.error is not None:
            resource.release_resource()
            return refused
        if refused.nested_in is not None:
            self._nested.append(chosen)
        first = chosen.start // self.profile.page_size
        self.page_list.add(PageRun(first, want_pages, 1))
        return refused

    def _reserve_and_map(self, chosen: AddressRange, candidates: tuple[Candidate, ...]) -> Fill:
        """Enter the range into iomem_resource and let memremap_pages check it."""
        done = Fill(chosen.size, chosen, None, None, candidates)
        copy: Resource | None = None
        if self.target is not self.iomem:
            copy = Resource("Xen scratch", chosen.start, chosen.last)
            touched = self.iomem.overlapping(chosen.start, chosen.last)
            if self.profile.reserve is Reserve.REQUEST:
                conflict = self.iomem.request_resource(copy)
                message = f"Cannot request resource {copy.printed()} (-16)"
            else:
                conflict = self.iomem.insert_resource(copy)
                message = f"Cannot insert IOMEM resource [{chosen.start:x} - {chosen.last:x}]"
            if conflict is not None:
                return done._replace(error="EBUSY", message=message, refused_by=conflict)
            if touched:
                done = done._replace(nested_in=touched[0])
        refused = self.memremap_error(chosen)
        if refused is not None:
            error, by = refused
            if copy is not None:
                self._withdraw(copy)
            return done._replace(error=error, message="Cannot remap memory range", refused_by=by)
        return done

    def memremap_error(self, chosen: AddressRange) -> tuple[str, Resource | None] | None:
        """Return the errno of memremap_pages for ``chosen`` and who is in the way, or None when it accepts."""
        for item in self._system_ram:
            if item.start <= chosen.last and chosen.start <= item.end:
                return "ENXIO", item
        if chosen.start < self.limits.low or chosen.last > self.limits.high:
            return "EINVAL", None
        return None

    def _withdraw(self, copy: Resource) -> None:
        """Release the copy; what insert_resource had nested below it goes with it, as upstream."""
        copy.release_resource()

    def xen_alloc_unpopulated_pages(self, pages: int) -> tuple[Request, tuple[PageRun, ...]]:
        """Serve one request; return what happened and the pages handed out."""
        fill: Fill | None = None
        missing = self.page_list.missing(pages)
        if missing:
            fill = self.fill_list(missing)
            if fill.error is not None:
                outcome = Outcome.EXHAUSTED if fill.range is None else self._refusal(fill)
                return Request(pages, outcome, None, fill.error, fill.message, fill, None), ()
        runs = self.page_list.pop(pages)
        found = {*(self.landed_on(fill.range) if fill and fill.range else ()), *self._pages_on(runs)}
        landed = tuple(item for item in self.unseen if item in found) if found else ()
        outcome = Outcome.IOMEM if self.target is self.iomem else Outcome.SCRATCH
        if landed or any(self._holds(runs, item) for item in self._nested):
            outcome = Outcome.HAZARD
        first_page = runs[0].first * self.profile.page_size if runs else None
        return Request(pages, outcome, fill.range if fill else None, None, None, fill, first_page, landed), runs

    def _refusal(self, fill: Fill) -> Outcome:
        if self.target is self.iomem and fill.error == "EINVAL":
            return Outcome.IOMEM
        return Outcome.CONFLICT

    def xen_free_unpopulated_pages(self, runs: tuple[PageRun, ...]) -> None:
        """Put pages back: on top of the list, in the order in which they were handed out, or into the pool."""
        for run in runs:
            self.page_list.push(run)

    def landed_on(self, taken: AddressRange) -> tuple[Unseen, ...]:
        """Return the unseen users that ``taken`` overlaps, ascending."""
        return tuple(self._unseen.touching(taken))

    def _pages_on(self, runs: tuple[PageRun, ...]) -> Iterator[Unseen]:
        """Yield the unseen users that pages handed out lie on."""
        size = self.profile.page_size
        for run in runs if self.unseen else ():
            last = run.first + (run.pages - 1) * run.step
            low, high = min(run.first, last) * size, (max(run.first, last) + 1) * size
            yield from self._unseen.touching(AddressRange.spanning(low, high))

    def _holds(self, runs: tuple[PageRun, ...], item: AddressRange) -> bool:
        """Tell whether any page handed out lies in ``item``."""
        size = self.profile.page_size
        frames = range(item.start // size, item.last // size + 1)
        return any(run.contains(frames) for run in runs)
