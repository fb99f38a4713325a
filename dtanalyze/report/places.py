"""Where things lie, what requests get and what it costs: the parts of the report for people that are figures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from dtanalyze.address.range import AddressRange
from dtanalyze.address.units import counted, format_size
from dtanalyze.facts import CheckResult, RegionUse, Reuse
from dtanalyze.linux.boot import Verdict
from dtanalyze.linux.capacity import Capacity, Landing
from dtanalyze.linux.iomem import Unseen
from dtanalyze.linux.unpopulated_alloc import Outcome, Request
from dtanalyze.report.lines import spanned, wrapped

if TYPE_CHECKING:
    from dtanalyze.report.whole import Report

__all__ = ["address_lines", "cost_lines", "request_lines", "reuse_lines"]

_LISTED: Final = 6
"""So many ranges of a kind are listed, more are counted."""


def address_lines(result: CheckResult, report: Report) -> list[str]:
    """Return where grant table, RAM, regions and sections lie."""
    most = 1 << 62 if report.verbose else _LISTED
    rows: list[tuple[str, str]] = []
    if result.grant_table is not None:
        rows.append(("grant table", spanned(result.grant_table)))
    rows += _some([("RAM", spanned(run)) for run in result.ram], most, sum(run.size for run in result.ram[most:]))
    regions = [(f"region {number}", _region(use)) for number, use in enumerate(result.regions)]
    if not regions:
        regions = [(f"region {number}", spanned(item)) for number, item in enumerate(result.extended_regions)]
    rows += _some(regions, most, sum(item.size for item in result.extended_regions[most:]))
    room = result.answer.capacity if result.answer else None
    if room is not None:
        rows += list(_scratch(result, room, most if report.verbose else 1))
    return [line for label, text in rows for line in wrapped(text, report.width, first=f"  {label:<12} ")]


def _some(rows: list[tuple[str, str]], most: int, left: int) -> list[tuple[str, str]]:
    if len(rows) <= most:
        return rows
    return [*rows[:most], ("", f"… and {len(rows) - most} more, {format_size(left)} (--verbose)")]


def _region(use: RegionUse) -> str:
    lost = f", {format_size(use.lost)} {use.why_lost}" if use.lost and use.sections else ""
    return f"{spanned(use.region)}  {use.note or counted(use.sections, 'section')}{'' if use.note else lost}"


def _scratch(result: CheckResult, room: Capacity, most: int) -> Iterator[tuple[str, str]]:
    size, page = result.linux.section_size, result.linux.page_size
    if room.runs and most == 1:
        first, last = room.runs[0].start, room.runs[-1].start + room.runs[-1].sections * size
        runs = f" in {len(room.runs)} runs" if len(room.runs) > 1 else ""
        span = AddressRange(min(run.start for run in room.runs), size)
        yield (
            "scratch",
            (
                f"{counted(room.sections, 'section')} of {format_size(size)}, {first if first < last else span.start:#x}-"
                f"{max(run.start + run.sections * size for run in room.runs) - 1:#x}{runs}"
            ),
        )
    elif room.runs:
        for run in room.runs[:most]:
            yield "scratch", f"{spanned(AddressRange(run.start, run.sections * size))}  {run.sections} x {format_size(size)}"
    if room.runs:
        yield "at once", f"{room.largest_request} pages ({format_size(room.largest_request * page)}) at most in one mapping"
    used = list(dict.fromkeys(_in_use(landing) for landing in room.landings))  # two runs may meet one user
    yield from (("! in use", text) for text in used[: 3 if most == 1 else most])
    if most == 1 and len(used) > 3:
        yield "", f"… and {len(used) - 3} more in use (--verbose)"


def _in_use(landing: Landing) -> str:
    found = landing.on.range
    kind = landing.on.kind if isinstance(landing.on, Unseen) else "resource"
    return f"{spanned(found) if found else ''}  {kind} {landing.on.source}"


def cost_lines(result: CheckResult, report: Report) -> list[str]:
    """Return what mappings cost in RAM."""
    if result.answer is None:
        return []
    page = result.linux.page_size
    if result.verdict is Verdict.BALLOON:
        each = f"{format_size(page)} of RAM for each mapped page: {256 * page / (1 << 20):g} MiB for 256 mapped grants"
        return wrapped(each, report.width, first="  cost         ")
    room = result.answer.capacity
    if room is None or not report.verbose:
        return []
    lost = sum(use.lost for use in result.regions)
    lines = []
    if lost:
        total = format_size(sum(use.region.size for use in result.regions))
        lines += wrapped(f"{format_size(lost)} of {total} give no section", report.width, first="  not usable   ")
    if room.sections:
        metadata = format_size(result.linux.pages_per_section * 64)
        lines += wrapped(f"{metadata} of RAM (struct page) for each section taken", report.width, first="  cost         ")
    return lines


def request_lines(result: CheckResult, width: int) -> list[str]:
    """Return what each request gets."""
    requests = result.answer.requests if result.answer else ()
    return [line for item in requests for line in wrapped(_request(item, result), width, first="  ", rest="    ")]


def _request(request: Request, result: CheckResult) -> str:
    pages = f"{counted(request.pages, 'page')}:"
    if request.error is not None:
        return f'{pages} {request.outcome.value}, -{request.error}, kernel says "{request.message}"'
    if request.outcome is Outcome.BALLOON:
        return f"{pages} balloon, {format_size(request.pages * result.linux.page_size)} of RAM given back to Xen"
    if request.taken is None:
        return f"{pages} {request.outcome.value}, from pages already on the list"
    on = f" over {request.landed_on[0].kind} {request.landed_on[0].source}" if request.landed_on else ""
    return f"{pages} {request.outcome.value}, takes {spanned(request.taken)}{on}"


def reuse_lines(result: CheckResult, width: int) -> list[str]:
    """Return who else could be given the scratch ranges."""
    return [line for item in result.reuse for text in _reuse(item) for line in wrapped(text[1], width, first=text[0])]


def _reuse(reuse: Reuse) -> Iterator[tuple[str, str]]:
    yield "  ", f"{spanned(reuse.range)} could also be given"
    if reuse.balloon is not None:
        yield (
            "  - ",
            (
                f"to balloon memory hotplug, as System RAM at {reuse.balloon.range.start:#x}, "
                f"after {reuse.balloon.sections_before} other sections"
            ),
        )
    yield from (("  - ", f"to PCI devices, when the host bridge {item} is probed") for item in reuse.pci)
    yield from (("  - ", f"to a driver that binds later: {item}") for item in reuse.drivers)
    if reuse.balloon is None and not reuse.pci and not reuse.drivers:
        yield "  - ", "to nobody that this tree shows"
