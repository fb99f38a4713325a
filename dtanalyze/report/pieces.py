"""What becomes of each part of the extended regions: sections in the order in which Linux takes them, and what is lost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from dtanalyze.address.range import AddressRange
from dtanalyze.address.rangeset import RangeSet
from dtanalyze.facts import CheckResult
from dtanalyze.linux.memory_hotplug import PluggableRange

__all__ = ["Piece", "pieces"]


class Piece(NamedTuple):
    """A part of an extended region, or the grant table.

    ``kind`` is ``scratch``, ``hazard`` (scratch over something in use), ``refused``, ``unreached``, ``lost``, ``outside``
    (of the linear map) or ``grant``. ``first`` and ``last`` number the sections as they are taken, from 1; 0 for none.
    ``region`` is the number of the region that it begins in, None outside of all.
    """

    range: AddressRange
    kind: str
    label: str
    first: int = 0
    last: int = 0
    region: int | None = None


def pieces(result: CheckResult) -> tuple[Piece, ...]:
    """Return the parts, lowest address first."""
    regions = [span for region in result.extended_regions if (span := region.checked()) is not None]
    made = sorted(_pieces(result, regions), key=lambda item: item.range)
    return tuple(item._replace(region=_region(item.range.start, result)) for item in made)


def _region(address: int, result: CheckResult) -> int | None:
    spans = enumerate(result.extended_regions)
    return next((number for number, item in spans if item.start <= address < item.stop), None)


def _pieces(result: CheckResult, regions: list[AddressRange]) -> Iterator[Piece]:
    room = result.answer.capacity if result.answer else None
    grant = result.grant_table.checked() if result.grant_table else None
    if grant is not None:
        yield Piece(grant, "grant", "grant table")
    if room is None or result.answer is None or result.answer.target_name != "xen_resource":
        for region in regions:
            yield Piece(region, "unreached", "extended region, not used")
        return
    size = result.linux.section_size
    number, taken = 0, []
    hit = {landing.number for landing in room.landings}
    for run in room.runs:
        for part in _split_run(run.start, run.sections, number, hit, size):
            taken.append(part.range)
            yield part
        number += run.sections
    if room.refusal is not None:
        with_whom = f" because of {room.refusal.by.name}" if room.refusal.by is not None else ""
        taken.append(room.refusal.range)
        yield Piece(room.refusal.range, "refused", f"refused{with_whom}", number + 1, number + 1)
    gaps = RangeSet(AddressRange(run.start, run.sections * size) for run in room.gaps)
    for region in regions:
        for rest in RangeSet([region]).difference(taken):
            yield from (Piece(part, "unreached", "never reached") for part in gaps.intersection([rest]))
            yield from _lost(RangeSet([rest]).difference(gaps), result.answer.limits)


def _lost(parts: Iterable[AddressRange], limits: PluggableRange | None) -> Iterator[Piece]:
    """Yield what gives no section: because the linear map does not reach it, or because no whole one is left."""
    for part in parts:
        reached = RangeSet([AddressRange.spanning(limits.low, limits.high + 1)]) if limits else RangeSet([part])
        for inside in reached.intersection([part]):
            yield Piece(inside, "lost", "lost: no whole section")
        for outside in RangeSet([part]).difference(reached):
            yield Piece(outside, "outside", "outside the linear map")


def _split_run(start: int, count: int, before: int, hit: set[int], size: int) -> Iterator[Piece]:
    """Cut a run of sections so that those laid over something stand alone."""
    at = 0
    while at < count:
        stop = at + 1
        kind = "hazard" if before + at in hit else "scratch"
        if kind == "scratch":
            ahead = [number - before for number in hit if before + at < number < before + count]
            stop = min(ahead, default=count)
        first, last = before + at + 1, before + stop
        what = "scratch" if kind == "scratch" else "scratch over something in use"
        label = f"section {first}: {what}" if first == last else f"sections {first} to {last}: {what}"
        yield Piece(AddressRange(start + at * size, (stop - at) * size), kind, label, first, last)
        at = stop
