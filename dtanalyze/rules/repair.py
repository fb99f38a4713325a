"""Smallest legal changes: a property's new value, as bytes and as the DTS that says it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from dtanalyze.address.range import AddressRange
from dtanalyze.address.rangeset import RangeSet
from dtanalyze.board.bus import XEN
from dtanalyze.board.model import entry_range
from dtanalyze.board.translate import RegEntry, Untranslatable
from dtanalyze.devicetree.cells import read_number
from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.findings import Change
from dtanalyze.linux.memory_hotplug import mhp_get_pluggable_range
from dtanalyze.rules.overlap import device_sides
from dtanalyze.rules.view import GuestView

__all__ = ["cells_change", "covering_ranges", "dts_string", "repaired_regions", "string_change"]

_PAGE: Final = 4096


def cells_change(node: Node, prop: str, values: Sequence[int]) -> Change:
    """Return the change of a property to 32-bit cells."""
    value = b"".join(item.to_bytes(4, "big") for item in values)
    return Change(node.path, prop, value, "<" + " ".join(hex(item) for item in values) + ">" if values else "")


def string_change(path: str, prop: str, text: str) -> Change:
    """Return the change of a property to one string."""
    return Change(path, prop, text.encode("utf-8", "surrogateescape") + b"\0", dts_string(text))


def dts_string(text: str) -> str:
    """Return a string as a source says it: quotes, backslashes and what cannot be printed escaped."""
    data = text.encode("utf-8", "surrogateescape")
    return '"' + "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\x{byte:02x}" for byte in data) + '"'


def _number(value: int, count: int) -> Iterator[int]:
    return (value >> 32 * (count - 1 - place) & 0xFFFFFFFF for place in range(count))


def covering_ranges(tree: Tree, stray: Iterable[tuple[Node, RegEntry]]) -> dict[str, Change]:
    """Return, for each bus at which an address is not covered, its ``ranges`` with entries that cover all of them.

    A bus moves addresses by what its entries say; when they do not all say the same, nothing can be told.
    """
    missing: dict[str, list[AddressRange]] = {}
    for _, entry in stray:
        where = entry.where
        if isinstance(where, Untranslatable) and where.chain and where.chain[-1].bus == where.node:
            start = where.chain[-1].address // _PAGE * _PAGE
            stop = -(-(where.chain[-1].address + max(entry.size, 1)) // _PAGE) * _PAGE
            if stop <= 1 << 64:
                missing.setdefault(where.node, []).append(AddressRange.spanning(start, stop))
    found = {}
    for path, spans in missing.items():
        node = tree.find(path)
        change = _extended(node, RangeSet(spans)) if node is not None else None
        if change is not None:
            found[path] = change
    return found


def _extended(node: Node, spans: RangeSet) -> Change | None:
    ranges, parent = node.prop("ranges"), node.parent
    bus = XEN.bus_of(node)
    above = XEN.bus_of(parent) if parent is not None else None
    if ranges is None or parent is None or bus is None or above is None or bus.flag_cells or above.flag_cells:
        return None
    child, outer = XEN.counts(bus, node), XEN.counts(above, parent)
    width = child.address + outer.address + child.size
    if not 1 <= child.address <= 2 or not 1 <= outer.address <= 2 or not child.size:
        return None
    cells = ranges.cells
    shifts = {
        read_number(cells[at + child.address : at + child.address + outer.address])
        - read_number(cells[at : at + child.address])
        for at in range(0, len(cells) - width + 1, width)
    }
    if len(shifts) != 1:
        return None
    shift = shifts.pop()
    made = list(cells)
    for span in spans:
        if span.start + shift < 0 or span.stop + shift > 1 << 32 * outer.address or span.size >= 1 << 32 * child.size:
            return None
        made += _number(span.start, child.address)
        made += _number(span.start + shift, outer.address)
        made += _number(span.size, child.size)
    return cells_change(node, "ranges", made)


def repaired_regions(view: GuestView) -> Change | None:
    """Return ``reg`` of the hypervisor node with regions of whole free sections only, in ascending order.

    Each region keeps its free whole sections; one that has none is grown to the section around it when that is free.
    None when nothing would be left, or nothing would change.
    """
    node, grant, first = view.node, view.grant, next(iter(view.memory.memory), None)
    if node is None or node.parent is None or grant is None or first is None:
        return None
    # A set that was refused has been looked at no further: the bounds are those that a good one would meet.
    limits = view.answer.limits or mhp_get_pluggable_range(first.start, view.linux, randomized=False)
    size = view.linux.section_size
    used = _used(view)
    high = min(limits.high + 1, 1 << (view.pa_bits or 64))
    kept: list[AddressRange] = []
    for region in view.regions:
        if region.range is None:
            continue
        free = RangeSet([region.range]).difference(used)
        whole = [found for run in free if (found := _inward(run, size, limits.low, high)) is not None]
        around = _outward(region.range, size)
        if not whole and around.start >= limits.low and around.stop <= high and not used.touches(around):
            whole = [around]
        kept += whole
    sections = RangeSet(kept)
    counts = view.board.rules.counts(view.board.rules.buses[-1], node.parent)
    limit = 1 << 32 * min(counts)
    if not sections or any(item.stop > limit for item in sections):
        return None
    values = [*grant.bus_cells, *_number(grant.size, counts.size)]
    for item in sections:
        values += [*_number(item.start, counts.address), *_number(item.size, counts.size)]
    change = cells_change(node, "reg", values)
    current = node.prop("reg")
    return None if current is not None and current.value == change.value else change


def _used(view: GuestView) -> RangeSet:
    """Return every range that anything in the tree uses, disabled devices too."""
    board = view.board
    spans = [*view.memory.memory, *(claim.range for claim in (*view.memory.reserved, *view.memory.stray))]
    for enabled in (True, False):
        spans += [side.range for side in device_sides(board.devices, enabled=enabled)]
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
