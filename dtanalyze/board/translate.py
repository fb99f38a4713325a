"""Bus address to CPU address through ``ranges``, with the chain of buses that led there, or the reason why not.

Mirrors ``__of_translate_address`` of Linux and ``__dt_translate_address`` of Xen, which walk alike and differ only in
their `AddressRules`. Only the start of a range is translated, as upstream does: the size is neither checked against the
window nor transformed. An address that cannot be translated is never passed through.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from dtanalyze.board.bus import AddressRules, Bus
from dtanalyze.devicetree.cells import MAX_ADDR_CELLS, CellCounts, read_number, reg_tuples
from dtanalyze.devicetree.tree import Node, Property

__all__ = ["Hop", "RegEntry", "Translated", "Untranslatable", "chain_text", "reg_entries", "translate"]

Cells = tuple[int, ...]

BAD_ADDRESS: Final = (1 << 64) - 1
"""OF_BAD_ADDR in Linux, DT_BAD_ADDR in Xen: an entry that begins there is taken for one without an address."""


class Hop(NamedTuple):
    """One step of a translation: a bus node and the address on that bus."""

    bus: str
    address: int


class Translated(NamedTuple):
    """A CPU address, and the buses from the node outward on which it was seen; the last hop is the root."""

    address: int
    chain: tuple[Hop, ...]


def chain_text(chain: tuple[Hop, ...]) -> str:
    """Spell the buses of a translation, from the node outward; nothing when no bus changes the address."""
    if len({hop.address for hop in chain}) < 2:
        return ""
    return " -> ".join(f"{hop.address:#x} on {hop.bus}" for hop in chain)


class Untranslatable(NamedTuple):
    """Why an address has no CPU address, the node at which the walk stopped, and the hops before it."""

    reason: str
    node: str
    chain: tuple[Hop, ...] = ()


class RegEntry(NamedTuple):
    """One entry of a node's addresses, the ``nth`` counted from 0.

    ``size`` is in bytes and may be 0; ``offset`` is the entry's place in the file.
    """

    node: Node
    nth: int
    bus_cells: Cells
    size: int
    offset: int
    where: Translated | Untranslatable

    @property
    def address(self) -> int | None:
        """The CPU address, or None when there is none."""
        return self.where.address if isinstance(self.where, Translated) else None


def _usable(counts: CellCounts) -> bool:
    return 1 <= counts.address <= MAX_ADDR_CELLS and counts.size > 0


def translate(node: Node, address: Cells, rules: AddressRules) -> Translated | Untranslatable:
    """Translate ``address``, as it stands in an entry of ``node``, to a CPU address.

    ``address`` has as many cells as the parent's bus counts. The root's own children need no translation.
    """
    bus_node = node.parent
    if bus_node is None:
        return Untranslatable("the root node has no bus", node.path)
    chain: list[Hop] = []

    def stop(reason: str, at: Node) -> Untranslatable:
        return Untranslatable(reason, at.path, tuple(chain))

    bus = rules.bus_of(bus_node)
    if bus is None:
        return stop(_not_a_bus(bus_node, rules), bus_node)
    counts = rules.counts(bus, bus_node)
    if not _usable(counts):
        return stop(_bad_counts(bus_node, counts), bus_node)
    chain.append(Hop(bus_node.path, read_number(address[bus.flag_cells :])))
    if rules.checks_space and not bus.memory_space(address):
        return stop(_not_memory(bus, address), node)
    while (parent := bus_node.parent) is not None:
        parent_bus = rules.bus_of(parent)
        if parent_bus is None:
            return stop(_not_a_bus(parent, rules), parent)
        parent_counts = rules.counts(parent_bus, parent)
        if not _usable(parent_counts):
            return stop(_bad_counts(parent, parent_counts), parent)
        moved = _through_ranges(bus_node, bus, counts, parent_bus, parent_counts, address, rules)
        if isinstance(moved, str):
            return stop(moved, bus_node)
        bus_node, bus, counts, address = parent, parent_bus, parent_counts, moved
        chain.append(Hop(bus_node.path, read_number(address[bus.flag_cells :])))
    found = read_number(address)
    if found == BAD_ADDRESS:
        return stop(f"{found:#x} is the value by which a failed translation is told", node)
    return Translated(found, tuple(chain))


def _through_ranges(
    bus_node: Node,
    bus: Bus,
    counts: CellCounts,
    parent_bus: Bus,
    parent_counts: CellCounts,
    address: Cells,
    rules: AddressRules,
) -> Cells | str:
    """Return the address on the bus above ``bus_node``, or the reason why there is none (``of_translate_one``)."""
    ranges = bus_node.prop("ranges")
    if ranges is None:
        return f"{bus_node.path} has no ranges: its bus is not part of the CPU's address space"
    if not ranges.value:
        flags = address[: parent_bus.flag_cells] if rules.keeps_flags else (0,) * parent_bus.flag_cells
        base = flags + (0,) * (parent_counts.address - parent_bus.flag_cells)
        return _added(base, read_number(address), parent_bus)
    for child, parent, size in _entries(ranges, counts, parent_counts):
        offset = bus.offset_in(address, child, parent, size)
        if offset is not None:
            return _added(parent, offset, parent_bus)
    shown = read_number(address[bus.flag_cells :])
    return f"the ranges of {bus_node.path} do not cover {shown:#x}"


def _entries(ranges: Property, counts: CellCounts, parent_counts: CellCounts) -> Iterator[tuple[Cells, Cells, Cells]]:
    child, parent = counts.address, counts.address + parent_counts.address
    width = parent + counts.size
    cells = ranges.cells
    for at in range(0, len(cells) - width + 1, width):
        yield cells[at : at + child], cells[at + child : at + parent], cells[at + parent : at + width]


def _added(base: Cells, offset: int, bus: Bus) -> Cells:
    """Add ``offset`` to the low 64 bits of ``base``, leaving a flags cell as it stands."""
    flags, body = base[: bus.flag_cells], base[bus.flag_cells :]
    width = 32 * min(len(body), 2)
    total = (read_number(body) + offset) & ((1 << width) - 1)
    return flags + (0,) * (len(body) - 2) + ((total >> 32, total & 0xFFFFFFFF) if len(body) > 1 else (total,))


def reg_entries(node: Node, rules: AddressRules, *, prop_name: str | None = None) -> Iterator[RegEntry]:
    """Yield every whole entry of the node's addresses, translated.

    The property is ``prop_name`` or the one that the parent's bus names (``reg``; ``assigned-addresses`` below a PCI
    bus). Nothing is yielded for the root, below a node that is no bus, or where the cell counts are unusable, as
    ``of_get_address`` and ``dt_number_of_address`` find nothing there.
    """
    if node.parent is None or not node.properties:
        return
    bus = rules.bus_of(node.parent)
    if bus is None:
        return
    prop = node.prop(prop_name or bus.addresses)
    if prop is None:
        return
    counts = rules.counts(bus, node.parent)
    if not 1 <= counts.address <= MAX_ADDR_CELLS or not (counts.size or rules.counts_sizeless):
        return
    for entry in reg_tuples(prop, counts):
        where = translate(node, entry.address_cells, rules)
        yield RegEntry(node, entry.nth, entry.address_cells, entry.size, entry.offset, where)


def _not_a_bus(node: Node, rules: AddressRules) -> str:
    if rules.name == "xen":
        return f"{node.path} is not a valid bus: it has no ranges"
    return f"{node.path} is not a valid bus: it has no #address-cells"


def _bad_counts(node: Node, counts: CellCounts) -> str:
    return f"{node.path} has #address-cells {counts.address} and #size-cells {counts.size}: no CPU addresses below it"


def _not_memory(bus: Bus, address: Cells) -> str:
    if bus.name == "pci":
        return "a PCI configuration or I/O address, not memory"
    if bus.name == "isa":
        return "an ISA I/O port, not memory"
    return f"the flags cell {address[0]:#x} does not say memory (0x200)"
