"""The allocation step by step: each gap considered, clipped, aligned, too small, chosen, refused by whom."""

from __future__ import annotations

from collections.abc import Iterator

from dtanalyze.address.units import format_range, format_size
from dtanalyze.facts import CheckResult
from dtanalyze.linux.boot import BootAnswer
from dtanalyze.linux.resource import Candidate
from dtanalyze.linux.unpopulated_alloc import Fill

__all__ = ["explain_lines"]


def explain_lines(result: CheckResult) -> list[str]:
    """Return the lines of the walk, empty when there was nothing to walk through."""
    answer = result.answer
    if answer is None:
        return []
    return [f"  {line}" for line in _lines(result, answer)]


def _lines(result: CheckResult, answer: BootAnswer) -> Iterator[str]:
    yield f"xen_early_init: {answer.detection.reason}"
    if answer.init is not None:
        init = answer.init
        done = f"-{init.error}: {init.reason}" if init.error else f"0: {init.reason}"
        yield f"arch_xen_unpopulated_init: {done}"
    if answer.target is None or answer.limits is None:
        return
    low, high = answer.limits.low, answer.limits.high
    yield f"mhp_get_pluggable_range: {low:#x}-{high:#x}"
    yield f"target_resource: {answer.target_name} [{answer.target.start:#x}-{answer.target.end:#x}]"
    size = result.linux.section_size
    room = answer.capacity
    if room is not None:
        number = 0
        for run in room.runs:
            span = format_range(run.start, run.start + run.sections * size)
            yield f"sections {number + 1} to {number + run.sections}: {span}"
            number += run.sections
        if room.refusal is not None:
            span = format_range(room.refusal.range.start, room.refusal.range.stop)
            by = room.refusal.by
            yield f"section {number + 1}: {span} refused, -{room.refusal.error}" + (f", by {by.name}" if by else "")
        else:
            yield f"section {number + 1}: no gap is left, -EBUSY"
    for index, request in enumerate(answer.requests, 1):
        yield f"request {index}: {request.pages} pages"
        if request.fill is None:
            yield "  the list holds enough"
        else:
            yield from (f"  {line}" for line in _fill(request.fill, size))
        if request.first_page is not None:
            yield f"  first page handed out: {request.first_page:#x}"


def _fill(fill: Fill, section: int) -> Iterator[str]:
    yield f"fill_list: {format_size(fill.size)}, {fill.size // section} contiguous sections"
    for candidate in fill.candidates:
        yield from _candidate(candidate)
    if fill.range is None:
        yield f"no gap holds it: -{fill.error}"
        return
    span = format_range(fill.range.start, fill.range.stop)
    if fill.error is None:
        yield f"chosen {span}" + (f", nests silently with {fill.nested_in.name}" if fill.nested_in else "")
        return
    by = fill.refused_by
    who = f" by {by.name} [{by.start:#x}-{by.end:#x}]" if by else ""
    yield f"chosen {span}, refused{who}: -{fill.error}, given back; the same place will be chosen again"


def _candidate(candidate: Candidate) -> Iterator[str]:
    text = f"gap {candidate.gap_start:#x}-{candidate.gap_end:#x}"
    clipped = (candidate.clipped_start, candidate.clipped_end)
    if clipped[0] > clipped[1]:
        yield f"{text}: outside the usable addresses"
        return
    if clipped != (candidate.gap_start, candidate.gap_end):
        text += f", clipped to {clipped[0]:#x}-{clipped[1]:#x}"
    if candidate.start is None:
        yield f"{text}: no aligned address in it"
        return
    text += f", aligned to {candidate.start:#x}"
    yield text + (": fits" if candidate.fits else f": {format_size(clipped[1] + 1 - candidate.start)} left, too small")
