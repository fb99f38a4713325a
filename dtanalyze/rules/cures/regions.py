"""The regions of a guest's tree: the hypervisor node with whole free sections only."""

from __future__ import annotations

from typing import Final

from dtanalyze.address.range import AddressRange
from dtanalyze.address.rangeset import RangeSet
from dtanalyze.address.units import format_range
from dtanalyze.board.model import entry_range
from dtanalyze.findings import Change
from dtanalyze.linux.memory_hotplug import mhp_get_pluggable_range
from dtanalyze.rules.cures.changes import cells_change, number_cells
from dtanalyze.rules.overlap import device_sides
from dtanalyze.rules.view import GuestView

__all__ = ["FREE_SPACE", "cut_advice", "repaired_regions"]

_MOST: Final = 3
"""So many pieces of a region are named in its advice."""
FREE_SPACE: Final = "Space that the tree says nothing about is taken for free: make sure that nobody uses it."


def repaired_regions(view: GuestView) -> Change | None:
    """Return ``reg`` of the hypervisor node with regions of whole free sections only, in ascending order.

    Each region keeps its free whole sections; one that has none is grown to the section around it when that is free.
    None when nothing would be left, or nothing would change.
    """
    node, grant, found = view.node, view.grant, _free_sections(view)
    if node is None or node.parent is None or grant is None or found is None:
        return None
    free, used, bounds = found
    kept: list[AddressRange] = []
    for region, whole in free:
        around = _outward(region, view.linux.section_size)
        grows = not whole and bounds.covers(around) and not used.touches(around)
        kept += [around] if grows else whole
    sections = RangeSet(kept)
    counts = view.board.rules.counts(view.board.rules.buses[-1], node.parent)
    limit = 1 << 32 * min(counts)
    if not sections or any(item.stop > limit for item in sections):
        return None
    values = [*grant.bus_cells, *number_cells(grant.size, counts.size)]
    for item in sections:
        values += [*number_cells(item.start, counts.address), *number_cells(item.size, counts.size)]
    change = cells_change(node, "reg", values)
    current = node.prop("reg")
    return None if current is not None and current.value == change.value else change


def cut_advice(view: GuestView) -> dict[AddressRange, str]:
    """Return for each extended region, by its addresses, how to cut it to the whole sections that nothing uses."""
    found = _free_sections(view)
    numbers = {span: region.number for region, span in view.placed()}
    out = {}
    for span, whole in found[0] if found is not None else ():
        if span not in numbers or whole == [span]:
            continue
        left = " and ".join(format_range(item.start, item.stop) for item in whole[:_MOST])
        more = f" and {len(whole) - _MOST} more" if len(whole) > _MOST else ""
        out[span] = (
            f"Cut extended region {numbers[span]} to {left}{more}, the whole sections that nothing uses."
            if whole
            else f"Remove extended region {numbers[span]}: something uses a part of each of its sections."
        )
    return out


def _free_sections(view: GuestView) -> tuple[list[tuple[AddressRange, list[AddressRange]]], RangeSet, AddressRange] | None:
    """Return the regions with their whole free sections, what is in use, and the kernel's bounds; None without RAM."""
    first = next(iter(view.memory.memory), None)
    if first is None:
        return None
    # A set that was refused has been looked at no further: the bounds are those that a good one would meet.
    limits = view.answer.limits or mhp_get_pluggable_range(first.start, view.linux, randomized=False)
    high = min(limits.high + 1, 1 << (view.pa_bits or 64))
    if high <= limits.low:
        return None
    bounds = AddressRange.spanning(limits.low, high)
    used, size = _used(view), view.linux.section_size
    free = []
    for region in view.regions:
        if region.range is not None:
            runs = RangeSet([region.range]).difference(used)
            whole = [found for run in runs if (found := _inward(run, size, bounds.start, bounds.stop)) is not None]
            free.append((region.range, whole))
    return free, used, bounds


def _used(view: GuestView) -> RangeSet:
    """Return every range that anything in the tree uses, disabled devices too."""
    board = view.board
    spans = [*view.memory.memory, *(claim.range for claim in (*view.memory.reserved, *view.memory.stray))]
    for enabled in (True, False):
        spans += [side.range for side in device_sides(board, enabled=enabled)]
    for host in board.pci_hosts:
        spans += [window.range for window in host.windows if window.range is not None]
    table = entry_range(view.grant) if view.grant is not None else None
    return RangeSet([*spans, table] if table is not None else spans)


def _inward(run: AddressRange, size: int, low: int, high: int) -> AddressRange | None:
    start = -(-max(run.start, low) // size) * size
    stop = min(run.stop, high) // size * size
    return AddressRange.spanning(start, stop) if start < stop else None


def _outward(run: AddressRange, size: int) -> AddressRange:
    return AddressRange.spanning(run.start // size * size, min(-(-run.stop // size) * size, 1 << 64))
