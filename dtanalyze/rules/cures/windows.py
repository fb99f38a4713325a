"""The ``ranges`` of one bus, cut into entries as the rules for addresses cut them, for who changes them."""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

from dtanalyze.board.bus import XEN, AddressRules, Bus
from dtanalyze.devicetree.cells import MAX_ADDR_CELLS, CellCounts, read_number
from dtanalyze.devicetree.tree import Node, Property
from dtanalyze.findings import Cure
from dtanalyze.rules.cures.changes import cells_change

__all__ = ["Window", "Windows", "whole_entries", "whole_ranges_cures", "windows_of"]


class Window(NamedTuple):
    """One entry of ``ranges``: where it begins on the bus and above it, and how long it is, as numbers.

    ``flags`` are the cells that stand before the address above, where that bus has such (PCI: what kind of space it is);
    ``kind`` is what an address has to be alike in, None where any address that lies in it will do.
    """

    child: int
    parent: int
    size: int
    flags: tuple[int, ...] = ()
    kind: Hashable = None

    @property
    def shift(self) -> int:
        """What is added to an address on the way up."""
        return self.parent - self.child

    def distance(self, address: int) -> int:
        """How far an address lies from the window, 0 inside."""
        return max(self.child - address, address - (self.child + self.size) + 1, 0)


class Windows(NamedTuple):
    """The ``ranges`` of a node that is a ``bus``. ``cells`` are those of its whole entries, ``rest`` what follows them."""

    node: Node
    child: CellCounts
    outer: CellCounts
    cells: tuple[int, ...]
    rest: tuple[int, ...]
    entries: tuple[Window, ...]
    bus: Bus

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
            bus.alike(cells[at : at + child.address]) if bus.flag_cells else None,
        )
        for at in range(0, whole, width)
    )
    rest = cells[whole:] if len(ranges.value) % 4 == 0 else (*cells[whole:], 0)
    return Windows(node, child, outer, cells[:whole], rest, entries, bus)


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
