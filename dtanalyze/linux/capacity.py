"""How much scratch space there is in all, without taking it section by section.

The answer equals that of calling fill_list for one section after another from a fresh start until the first refusal
(a refusal repeats for ever, since first fit finds the same place again). It is computed by runs, because a tree whose
regions span 2^48 holds two million sections.
"""

from collections.abc import Iterator
from typing import NamedTuple

from dtanalyze.address.range import AddressRange
from dtanalyze.linux.iomem import Unseen
from dtanalyze.linux.profile import Reserve
from dtanalyze.linux.resource import Resource
from dtanalyze.linux.unpopulated_alloc import MAX_REQUEST_PAGES, UnpopulatedAlloc

__all__ = ["Capacity", "Landing", "Refusal", "SectionRun", "capacity"]


class SectionRun(NamedTuple):
    """``sections`` consecutive sections from ``start`` (an address) in one gap of the target."""

    start: int
    sections: int


class Refusal(NamedTuple):
    """The section at which one-section fills stop for good although space is left, with whom and which errno."""

    range: AddressRange
    error: str
    by: Resource | None


class Landing(NamedTuple):
    """A section that would silently be laid over something: ``number`` counts the sections taken before it."""

    number: int
    range: AddressRange
    on: Unseen | Resource


class Capacity(NamedTuple):
    """What one-section fills obtain, in the order in which the kernel takes it."""

    runs: tuple[SectionRun, ...]
    refusal: Refusal | None
    landings: tuple[Landing, ...]
    largest_request: int
    """Pages of the largest first request that would succeed."""
    gaps: tuple[SectionRun, ...] = ()
    """Whole sections within the bounds in every gap of the target, whatever refuses them."""

    @property
    def sections(self) -> int:
        """Sections obtainable until the first refusal."""
        return sum(run.sections for run in self.runs)


def capacity(alloc: UnpopulatedAlloc) -> Capacity:
    """Return what ``alloc``, untouched so far, can give."""
    size = alloc.profile.section_size
    gaps = tuple(_section_runs(alloc))
    runs: list[SectionRun] = []
    refusal: Refusal | None = None
    for run in gaps:
        good = _first_refused(alloc, run)
        if good:
            runs.append(SectionRun(run.start, good))
        if good < run.sections:
            section = AddressRange(run.start + good * size, size)
            error, by = _refused(alloc, section) or ("EBUSY", None)
            refusal = Refusal(section, error, by)
            break
    landings = tuple(sorted(_landings(alloc, runs), key=lambda item: (item.number, item.range)))
    return Capacity(tuple(runs), refusal, landings, _largest_request(alloc, gaps), gaps)


def _section_runs(alloc: UnpopulatedAlloc) -> Iterator[SectionRun]:
    """Yield, for each gap of the target, the whole sections in it."""
    size = alloc.profile.section_size
    low, high = alloc.search_bounds
    for gap_start, gap_end in alloc.target.gaps():
        start = -(-max(gap_start, low) // size) * size
        count = (min(gap_end, high) + 1 - start) // size
        if count > 0:
            yield SectionRun(start, count)


def _refused(alloc: UnpopulatedAlloc, chosen: AddressRange) -> tuple[str, Resource | None] | None:
    """Return the errno with which this range would be refused and by whom, or None; changes nothing."""
    if alloc.target is not alloc.iomem:
        blocker = _blocker(alloc.iomem, chosen, alloc.profile.reserve)
        if blocker is not None:
            return "EBUSY", blocker
    return alloc.memremap_error(chosen)


def _blocker(root: Resource, chosen: AddressRange, reserve: Reserve) -> Resource | None:
    inside = root.overlapping(chosen.start, chosen.last)
    if reserve is Reserve.REQUEST or not inside:
        return inside[0] if inside else None
    for item in inside:
        if item.start <= chosen.start and chosen.last <= item.end:
            if (item.start, item.end) == (chosen.start, chosen.last):
                return None
            return _blocker(item, chosen, reserve)
        if item.start < chosen.start or item.end > chosen.last:
            return item
    return None


def _edges(alloc: UnpopulatedAlloc, run: SectionRun) -> Iterator[tuple[int, int]]:
    """Yield the bounds (start, stop) of everything inside the run at which acceptance can change."""
    stop = run.start + run.sections * alloc.profile.section_size
    pending = alloc.iomem.overlapping(run.start, stop - 1)
    while pending:
        item = pending.pop()
        yield item.start, item.end + 1
        pending.extend(child for child in item.children if child.start < stop and child.end >= run.start)
    yield alloc.limits.low, alloc.limits.high + 1


def _first_refused(alloc: UnpopulatedAlloc, run: SectionRun) -> int:
    """Return how many sections of ``run`` are taken before the first refused one.

    A section's fate depends on the resources it touches, so only sections that hold an edge of one, and their
    neighbours, need to be tried: between two edges all sections fare alike.
    """
    size = alloc.profile.section_size
    tried = {0}
    for bounds in _edges(alloc, run):
        for edge in bounds:
            index = (edge - run.start) // size
            tried.update(item for item in (index - 1, index, index + 1) if 0 <= item < run.sections)
    for index in sorted(tried):
        if _refused(alloc, AddressRange(run.start + index * size, size)):
            return index
    return run.sections


def _landings(alloc: UnpopulatedAlloc, runs: list[SectionRun]) -> Iterator[Landing]:
    """Yield the first section of ``runs`` that touches each unseen user, and what a section silently nests with."""
    size = alloc.profile.section_size
    before = 0
    for run in runs:
        span = AddressRange(run.start, run.sections * size)
        for user in alloc.landed_on(span):
            yield _landing(run, before, max(user.range.start, run.start), size, user)
        if alloc.target is not alloc.iomem:
            for item in alloc.iomem.overlapping(span.start, span.last):
                yield _landing(run, before, max(item.start, run.start), size, item)
        before += run.sections


def _landing(run: SectionRun, before: int, address: int, size: int, on: Unseen | Resource) -> Landing:
    index = (address - run.start) // size
    return Landing(before + index, AddressRange(run.start + index * size, size), on)


def _largest_request(alloc: UnpopulatedAlloc, gaps: tuple[SectionRun, ...]) -> int:
    """Return the pages of the largest first request that succeeds.

    A request of k sections goes to the first gap with k of them, so gap after gap only sizes above all earlier gaps
    count; inside a gap acceptance changes only where the range's end passes an edge.
    """
    per_section, size = alloc.profile.pages_per_section, alloc.profile.section_size
    limit = (MAX_REQUEST_PAGES + 1) // per_section - 1
    best = reached = 0
    for run in gaps:
        most = min(run.sections, limit)
        if most <= reached:
            continue
        wanted = {most, reached + 1}
        for bounds in _edges(alloc, run):
            for edge in bounds:
                at = (edge - run.start) // size
                wanted.update((at - 1, at, at + 1))
        fitting = [
            count
            for count in wanted
            if reached < count <= most and not _refused(alloc, AddressRange(run.start, count * size))
        ]
        best = max([best, *fitting])
        reached = max(reached, run.sections)
    return best * per_section
