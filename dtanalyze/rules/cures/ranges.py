"""Addresses that no ``ranges`` covers: the bus gets an entry, the address is corrected, or what makes it one goes away.

Three faults look alike in a log. A window of the bus is missing: it is added. ``reg`` already holds the CPU's address
although the bus moves addresses: it is turned into one of the bus. The address is none of the CPU's at all, as that of a
cell of an NVMEM device on an SPMI bus whose node has ``ranges`` nevertheless: that property goes. No cure maps an address
onto another user.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from dtanalyze.address.range import AddressRange
from dtanalyze.address.rangeset import RangeSet
from dtanalyze.board.bus import XEN, AddressRules, Bus, Cells
from dtanalyze.board.model import entry_range
from dtanalyze.board.translate import RegEntry, Translated, Untranslatable, below, translate
from dtanalyze.devicetree.cells import MAX_ADDR_CELLS, CellCounts, read_number
from dtanalyze.devicetree.tree import Node, Property
from dtanalyze.findings import Cure
from dtanalyze.rules.cures.changes import cells_change, deletion, empty_change, number_cells
from dtanalyze.rules.view import HostView

__all__ = ["Windows", "address_cures", "bus_cures", "stray_addresses", "whole_entries", "whole_ranges_cures", "windows_of"]

_PAGE: Final = 4096
_LONGEST: Final = 1 << 16
_MOST: Final = 64
"""Of a bus that lacks more addresses it is not its windows that are wrong."""
_BY_NEIGHBOUR: Final = "{bus} moves {address:#x} by as much as the entry of its ranges that is nearest."
_NO_CPU_ADDRESS: Final = "The addresses below {bus} are places inside that device, which the CPU does not reach by address."


class Window(NamedTuple):
    """One entry of ``ranges``: where it begins on the bus and above it, and how long it is, as numbers.

    ``flags`` are the cells that stand before the address above, where that bus has such (PCI: what kind of space it is).
    """

    child: int
    parent: int
    size: int
    flags: tuple[int, ...] = ()

    @property
    def shift(self) -> int:
        """What is added to an address on the way up."""
        return self.parent - self.child

    def distance(self, address: int) -> int:
        """How far an address lies from the window, 0 inside."""
        return max(self.child - address, address - (self.child + self.size) + 1, 0)


class Windows(NamedTuple):
    """The ``ranges`` of one bus. ``cells`` are those of its whole entries, ``rest`` what follows them."""

    node: Node
    child: CellCounts
    outer: CellCounts
    cells: tuple[int, ...]
    rest: tuple[int, ...]
    entries: tuple[Window, ...]

    @property
    def width(self) -> int:
        """Cells of one entry."""
        return self.child.address + self.outer.address + self.child.size


def windows_of(node: Node, rules: AddressRules = XEN) -> Windows | None:
    """Return the ``ranges`` of a bus cut into entries; None where it has none, or cells that cannot be counted."""
    found = _buses(node, rules)
    if found is None:
        return None
    ranges, bus, child, above, outer = found
    width = child.address + outer.address + child.size
    cells = ranges.cells
    whole = len(cells) // width * width
    entries = tuple(
        Window(
            read_number(cells[at + bus.flag_cells : at + child.address]),
            read_number(cells[at + child.address + above.flag_cells : at + child.address + outer.address]),
            read_number(cells[at + child.address + outer.address : at + width]),
            cells[at + child.address : at + child.address + above.flag_cells],
        )
        for at in range(0, whole, width)
    )
    rest = cells[whole:] if len(ranges.value) % 4 == 0 else (*cells[whole:], 0)
    return Windows(node, child, outer, cells[:whole], rest, entries)


def _buses(node: Node, rules: AddressRules) -> tuple[Property, Bus, CellCounts, Bus, CellCounts] | None:
    """Return ``ranges``, the bus that it makes of the node and the one above, each with its cells."""
    ranges, parent = node.prop("ranges"), node.parent
    if ranges is None or not ranges.value or parent is None:
        return None
    bus, above = rules.bus_of(node), rules.bus_of(parent)
    if bus is None or above is None:
        return None
    child, outer = rules.counts(bus, node), rules.counts(above, parent)
    if not (1 <= child.address <= MAX_ADDR_CELLS and 1 <= outer.address <= MAX_ADDR_CELLS and child.size):
        return None
    return ranges, bus, child, above, outer


def whole_entries(node: Node, rules: AddressRules) -> bool:
    """Tell whether the ``ranges`` of a node, where it has any, are whole entries."""
    found = _buses(node, rules)
    if found is None:
        return True
    ranges, _, child, _, outer = found
    return len(ranges.value) % (4 * (child.address + outer.address + child.size)) == 0


def whole_ranges_cures(node: Node, rules: AddressRules) -> tuple[Cure, ...]:
    """Return the cure for a ``ranges`` with a part of an entry at its end: the part goes, which nobody reads.

    Where there is no other entry nothing is left, and empty ``ranges`` mean something else: none is known then.
    """
    found = windows_of(node, rules)
    return (Cure((cells_change(node, "ranges", found.cells),)),) if found is not None and found.cells else ()


def stray_addresses(view: HostView) -> list[tuple[Node, RegEntry]]:
    """Return every address of a node that Xen cannot translate."""
    return [(node, entry) for node, entries in view.entries for entry in entries if isinstance(entry.where, Untranslatable)]


def bus_cures(view: HostView, strays: Iterable[tuple[Node, RegEntry]]) -> dict[str, tuple[Cure, ...]]:
    """Return, for each bus that does not cover an address, its ``ranges`` with entries for all that it does not cover."""
    missing: dict[str, list[tuple[Node, RegEntry]]] = {}
    for node, entry in strays:
        where = entry.where
        if isinstance(where, Untranslatable) and where.chain and where.chain[-1].bus == where.node:
            missing.setdefault(where.node, []).append((node, entry))
    found: dict[str, tuple[Cure, ...]] = {}
    for path, items in missing.items():
        bus = view.board.tree.find(path)
        windows = windows_of(bus) if bus is not None else None
        cure = _extended(view, windows, items) if windows is not None else None
        if cure is not None:
            found[path] = (cure,)
    return found


def address_cures(view: HostView, node: Node, entry: RegEntry, of_bus: dict[str, tuple[Cure, ...]]) -> tuple[Cure, ...]:
    """Return the cures for one address that Xen cannot translate, the one that fits the tree best first."""
    where = entry.where
    bus = view.board.tree.find(where.node) if isinstance(where, Untranslatable) else None
    ranges = bus.prop("ranges") if bus is not None else None
    if ranges is not None and len(ranges.value) > _LONGEST:
        return ()
    if not isinstance(where, Untranslatable) or bus is None:
        return ()
    if where.chain and where.chain[-1].bus == where.node:
        return (*_own_address(view, node, entry, bus), *of_bus.get(where.node, ()))
    return (*_bus_made(bus), *_no_address(node))


def _bus_made(bus: Node) -> Iterator[Cure]:
    """Empty ``ranges`` make a bus of a node, where its addresses can be the CPU's: they have a size."""
    counts = XEN.counts(XEN.buses[-1], bus)
    if bus.prop("ranges") is None and counts.size and 1 <= counts.address <= 2 and bus.parent is not None:
        yield Cure((empty_change(bus, "ranges"),), f"The addresses below {bus.path} are the CPU's.")


def _no_address(node: Node) -> Iterator[Cure]:
    parent = node.parent
    if parent is not None and parent.parent is not None and parent.prop("ranges") is not None and parent.device_type is None:
        yield Cure((deletion(parent, "ranges"),), _NO_CPU_ADDRESS.format(bus=parent.path))


def _own_address(view: HostView, node: Node, entry: RegEntry, bus: Node) -> Iterator[Cure]:
    """Where ``reg`` holds the CPU's address of a place inside a window, the same as an address of the bus."""
    windows, reg = windows_of(bus), node.prop("reg")
    if windows is None or reg is None or node.parent is not bus or windows.child.address > 2:
        return
    at = entry.nth * (windows.child.address + windows.child.size)
    number = read_number(reg.cells[at : at + windows.child.address])
    for window in windows.entries:
        if window.shift and window.parent <= number and number + max(entry.size, 1) <= window.parent + window.size:
            cells = list(reg.cells)
            cells[at : at + windows.child.address] = number_cells(number - window.shift, windows.child.address)
            if not _is_taken(view, bus, tuple(number_cells(number, windows.outer.address)), entry.size, (node,)):
                yield Cure((cells_change(node, "reg", cells),), f"reg of {node.path} states the CPU's address.")
            return


def _is_taken(view: HostView, bus: Node, parent: Cells, size: int, strays: Iterable[Node]) -> bool:
    """Tell whether somebody has the CPU addresses that ``parent``, above the bus, becomes; so has who is not to be told.

    The bus itself, what it stands on and the devices in question do not count.
    """
    where = translate(bus, parent, XEN)
    if not isinstance(where, Translated) or where.address + max(size, 1) > 1 << 64:
        return True
    span = AddressRange(where.address, max(size, 1))
    if any(span.start < bank.stop and bank.start < span.stop for bank in view.prediction.info.mem):
        return True
    own = {id(node) for node in strays}
    holding = {id(bus), *map(id, _above(bus))}
    for other, entries in view.entries:
        if any(found is not None and found.overlaps(span) for found in map(entry_range, entries)):
            inside = id(other) in own or any(id(node) in own for node in _above(other))
            if not inside and id(other) not in holding:
                return True
    return False


def _above(node: Node) -> Iterator[Node]:
    while node.parent is not None:
        node = node.parent
        yield node


def _extended(view: HostView, windows: Windows, items: list[tuple[Node, RegEntry]]) -> Cure | None:
    """Return ``ranges`` with an entry for each address that is missing, moved as the nearest entry moves; None if one is
    taken."""
    if len(items) > _MOST or not (windows.entries or _rest_entry(windows)):
        return None
    made, assumed = list(windows.cells), []
    for start, size, cells in _missing(windows, items):
        nearest = _nearest(windows, start)
        parent, width = start + nearest.shift, windows.outer.address - len(nearest.flags)
        if parent < 0 or parent + size > 1 << 32 * min(width, 2) or size >= 1 << 32 * windows.child.size:
            return None
        above = (*nearest.flags, *number_cells(parent, width))
        if _is_taken(view, windows.node, above, size, [node for node, _ in items]):
            return None
        made += [*cells, *above, *number_cells(size, windows.child.size)]
        assumed.append(_BY_NEIGHBOUR.format(bus=windows.node.path, address=start))
    if len(made) == len(windows.cells):
        return None
    same = len({item.shift for item in windows.entries}) == 1
    return Cure((cells_change(windows.node, "ranges", made),), "" if same else " ".join(assumed))


def _missing(windows: Windows, items: list[tuple[Node, RegEntry]]) -> Iterator[tuple[int, int, tuple[int, ...]]]:
    """Yield start, size and the cells of the start: whole pages, each once; the very address where three cells state it.

    Xen takes an address of three cells for an identifier that the entry has to repeat (dt_bus_default_map).
    """
    if windows.child.address > 2:
        stated = {cells: entry.size for node, entry in items if (cells := _cells_on(windows.node, node, entry))}
        yield from ((read_number(cells), max(size, 1), cells) for cells, size in stated.items())
        return
    spans = []
    for _, entry in items:
        where = entry.where
        if isinstance(where, Untranslatable):
            start = where.chain[-1].address // _PAGE * _PAGE
            stop = -(-(where.chain[-1].address + max(entry.size, 1)) // _PAGE) * _PAGE
            if stop <= 1 << 64:
                spans.append(AddressRange.spanning(start, stop))
    for span in RangeSet(spans):
        yield span.start, span.size, tuple(number_cells(span.start, windows.child.address))


def _cells_on(bus: Node, node: Node, entry: RegEntry) -> Cells:
    """Return the cells of an address on a bus above its node; none where it does not come so far."""
    cells, at = entry.bus_cells, node.parent
    while cells and at is not None and at is not bus:
        moved = below(at, XEN).moved(cells)
        cells, at = () if isinstance(moved, str) else moved, at.parent
    return cells if at is bus else ()


def _nearest(windows: Windows, address: int) -> Window:
    entries = windows.entries or tuple(filter(None, (_rest_entry(windows),)))
    return min(entries, key=lambda item: (item.distance(address), item.child > address))


def _rest_entry(windows: Windows) -> Window | None:
    """Return what a part of an entry says, where it holds both addresses: how the bus moves them."""
    both = windows.child.address + windows.outer.address
    if len(windows.rest) < both or windows.child.address > 2:
        return None
    child, parent = windows.rest[: windows.child.address], windows.rest[windows.child.address : both]
    return Window(read_number(child), read_number(parent), 0)
