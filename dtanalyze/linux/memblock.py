"""RAM and reservations as arm64 sees them before anything runs.

Mirrors early_init_dt_scan_memory and early_init_dt_add_memory_arch (drivers/of/fdt.c), the static part of
/reserved-memory (fdt.c in 6.1, of_reserved_mem.c from 6.12) and the removals of arm64_memblock_init. Left out: the EFI
memory map (dom0 boots without it), what the kernel reserves for itself, and where dynamic reservations land: they lie
inside System RAM, which no scratch range may touch anyway.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from dtanalyze.address.range import ADDRESS_SPACE, AddressRange, RawRange
from dtanalyze.address.rangeset import RangeSet
from dtanalyze.board.model import Board, MemoryNode, Reservation, entry_range
from dtanalyze.devicetree.cells import CellCounts, RegTuple, inherited_cells, read_number, reg_tuples
from dtanalyze.devicetree.tree import Node, Property
from dtanalyze.linux.intervals import Intervals
from dtanalyze.linux.profile import LinuxProfile

__all__ = ["Claimed", "Memblock", "bootargs", "memblock"]

PHYS_MASK_SHIFT: Final = 52
# What memparse makes a number of, a leading 0 meaning octal; the rest of the word is not looked at.
_MEM_LIMIT: Final = r"(?:^|\s)mem=((0[xX])[0-9a-fA-F]+|(0)[0-7]*|[0-9]+)([kKmMgGtTpPeE]?)"


class Claimed(NamedTuple):
    """A range and the node (or ``/memreserve/``) that claims it, with the claim's byte offset in the file."""

    range: AddressRange
    source: str
    offset: int


class Memblock(NamedTuple):
    """``memory`` is all enabled RAM, no-map parts included; ``nomap`` what of it is never mapped.

    ``reserved`` are static reservations wherever they lie; ``stray`` what of all described ones, honoured or ignored,
    lies outside every memory node, which Linux forgets: nothing keeps scratch pages off them. ``banks`` are the memory
    entries one by one.
    """

    memory: RangeSet
    nomap: RangeSet
    reserved: tuple[Claimed, ...]
    stray: tuple[Claimed, ...]
    banks: tuple[Claimed, ...]
    notes: tuple[str, ...]


def memblock(board: Board, profile: LinuxProfile, *, given: tuple[Claimed, ...] = ()) -> Memblock:
    """Return RAM and reservations by the rules of ``profile``; RAM that is ``given`` replaces the tree's memory nodes."""
    notes: list[str] = []
    banks = given or tuple(_banks(board, profile))
    memory = RangeSet(bank.range for bank in banks)
    memory = _trimmed(_capped(memory, board, notes), board, profile, notes)
    reserved, nomap = _reservations(board, profile, memory, notes)
    described = dict.fromkeys((*reserved, *_described(board)))
    stray = tuple(item._replace(range=part) for item in described for part in RangeSet([item.range]).difference(memory))
    return Memblock(memory, nomap, reserved, stray, banks, tuple(notes))


def bootargs(board: Board) -> str:
    """Return the kernel's command line in /chosen, empty when there is none."""
    found = board.chosen.prop("bootargs") if board.chosen else None
    return (found.string or "") if found else ""


def _root_cells(board: Board) -> CellCounts:
    # fdt.c starts from 1/1 and takes what the root itself says; later kernels do so too in the flat scan.
    return inherited_cells(board.tree.root, CellCounts(1, 1))


def _banks(board: Board, profile: LinuxProfile) -> Iterator[Claimed]:
    counts = _root_cells(board)
    for item in board.memory:
        if not item.by_type or not item.enabled:
            continue
        for entry in _memory_tuples(item, counts, profile):
            bank = _page_aligned(RawRange(read_number(entry.address_cells), entry.size), profile.page_size)
            if bank is not None:
                yield Claimed(bank, item.node.path, entry.offset)


def _memory_tuples(item: MemoryNode, counts: CellCounts, profile: LinuxProfile) -> tuple[RegTuple, ...]:
    for name in ("linux,usable-memory", "reg"):
        prop = item.node.prop(name)
        if prop is None or (profile.partial_memory_reg_ignored and _partial(prop, counts)):
            continue
        return tuple(reg_tuples(prop, counts))
    return ()


def _partial(prop: Property, counts: CellCounts) -> bool:
    width = 4 * (counts.address + counts.size)
    return bool(width and len(prop.value) % width)


def _page_aligned(raw: RawRange, page_size: int) -> AddressRange | None:
    """Round the base up and the end down to whole pages and drop what no arm64 can address."""
    start = -(-raw.start // page_size) * page_size
    stop = min(raw.stop, 1 << PHYS_MASK_SHIFT) // page_size * page_size
    return AddressRange.spanning(start, stop) if start < stop else None


def _capped(memory: RangeSet, board: Board, notes: list[str]) -> RangeSet:
    """Apply /chosen linux,usable-memory-range (kdump): the first entry caps RAM, the second is added to it."""
    cap = board.chosen.prop("linux,usable-memory-range") if board.chosen else None
    entries = list(reg_tuples(cap, _root_cells(board)))[:2] if cap is not None else []
    ranges = [RawRange(read_number(entry.address_cells), entry.size).checked() for entry in entries]
    if ranges and ranges[0] is not None:
        memory = memory.intersection([ranges[0]])
        notes.append("RAM is capped by linux,usable-memory-range in /chosen")
    return memory.union(item for item in ranges[1:] if item is not None)


def _trimmed(memory: RangeSet, board: Board, profile: LinuxProfile, notes: list[str]) -> RangeSet:
    """Apply ``mem=``, which trims from the top, in whole pages; less than one is no limit."""
    words = list(re.finditer(_MEM_LIMIT, bootargs(board)))
    if not words:
        return memory
    digits, hexadecimal, octal, suffix = words[-1].groups()
    number = int(digits, 16 if hexadecimal else 8 if octal else 10)
    left = number << 10 * " KMGTPE".index(suffix.upper() or " ")
    left -= left % profile.page_size
    if not left:
        return memory
    kept: list[AddressRange] = []
    for run in memory:
        if left <= 0:
            break
        kept.append(AddressRange(run.start, min(run.size, left)))
        left -= run.size
    if kept != list(memory):
        notes.append(f"RAM is trimmed by mem={digits}{suffix} on the kernel's command line")
    return RangeSet(kept)


def _reservations(
    board: Board, profile: LinuxProfile, memory: RangeSet, notes: list[str]
) -> tuple[tuple[Claimed, ...], RangeSet]:
    """Reserve in the kernel's order; a no-map range that somebody reserved before stays mapped."""
    memreserve = [
        Claimed(checked, "/memreserve/", offset)
        for raw, offset in board.memreserve
        if (checked := raw.checked()) is not None
    ]
    children = list(_static_children(board, profile, notes))
    reserved: list[Claimed] = list(memreserve) if profile.memreserve_first else []
    mapped: Intervals[str] = Intervals()
    for item in reserved:
        mapped.add(item.range.start, item.range.stop, item.source)
    nomap: list[AddressRange] = []
    for child, claim in children:
        if child.no_map and memory.touches(claim.range):
            if mapped.overlapping(claim.range.start, claim.range.stop):
                notes.append(f"{claim.source}: no-map has no effect, the range is already reserved")
                continue
            nomap.append(_outward(claim.range, profile.page_size))
        elif not child.no_map:
            mapped.add(claim.range.start, claim.range.stop, claim.source)  # memblock_mark_nomap alone reserves nothing
        reserved.append(claim)
    if not profile.memreserve_first:
        reserved.extend(memreserve)
    return tuple(reserved), memory.intersection(nomap)


def _described(board: Board) -> Iterator[Claimed]:
    """Yield every enabled static reservation, also those that this kernel ignores: firmware uses them all the same."""
    for child in board.reservations if board.reserved_memory and board.reserved_memory.available else ():
        for entry in child.entries if child.enabled else ():
            found = entry_range(entry) or RawRange(read_number(entry.bus_cells), entry.size).checked()
            if found is not None:
                yield Claimed(found, child.node.path, entry.offset)


def _outward(item: AddressRange, page_size: int) -> AddressRange:
    start = item.start // page_size * page_size
    return AddressRange.spanning(start, min(-(-item.stop // page_size) * page_size, ADDRESS_SPACE))


def _static_children(board: Board, profile: LinuxProfile, notes: list[str]) -> Iterator[tuple[Reservation, Claimed]]:
    parent = board.reserved_memory
    if parent is None:
        return
    if not _supported(parent, _root_cells(board)):
        notes.append(
            f"{parent.path}: its #address-cells, #size-cells or ranges are not what Linux demands, so it ignores every child"
        )
        return
    for child in board.reservations:
        prop = child.node.prop("reg")
        if not child.enabled or prop is None:
            continue
        if _partial(prop, _root_cells(board)):
            notes.append(f"{child.node.path}: its reg is no whole number of entries, so Linux skips the node")
            continue
        entries = child.entries[:1] if profile.reserved_first_tuple_only else child.entries
        for entry in entries:
            # __reserved_mem_reserve_reg reads root cells as they stand; nothing is translated.
            found = RawRange(read_number(entry.bus_cells), entry.size).checked()
            if found is not None:
                yield child, Claimed(found, child.node.path, entry.offset)


def _supported(parent: Node, root: CellCounts) -> bool:
    """Tell whether __reserved_mem_check_root accepts the node: the root's cell counts, and ``ranges``."""
    address, size = parent.prop("#address-cells"), parent.prop("#size-cells")
    return address is not None and size is not None and (address.u32, size.u32) == root and parent.prop("ranges") is not None
