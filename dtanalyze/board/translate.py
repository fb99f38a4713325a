"""Bus address to CPU address through ``ranges``, with the chain of buses that led there, or the reason why not.

Mirrors ``__of_translate_address`` of Linux and ``__dt_translate_address`` of Xen, which walk alike and differ only in
their `AddressRules`. Only the start of a range is translated, as upstream does: the size is neither checked against the
window nor transformed. An address that cannot be translated is never passed through.
"""

from typing import Final, NamedTuple

from dtanalyze.board.bus import ADDRESSES, AddressRules, Bus, Cells, pci_space
from dtanalyze.board.ranges import RangesIndex
from dtanalyze.devicetree.cells import MAX_ADDR_CELLS, CellCounts, read_number, reg_tuples
from dtanalyze.devicetree.tree import Node

__all__ = ["Hop", "RegEntry", "Translated", "Untranslatable", "chain_text", "reg_entries", "translate"]

BAD_ADDRESS: Final = (1 << 64) - 1
"""OF_BAD_ADDR in Linux, DT_BAD_ADDR in Xen: an entry that begins there is taken for one without an address."""

_CONFIGURATION: Final = "configuration space"


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


class Readings:
    """What was worked out about the nodes of one tree by one set of rules, each thing once."""

    __slots__ = ("below", "entries")

    def __init__(self) -> None:
        self.below: dict[Node, Below] = {}
        self.entries: dict[Node, tuple[RegEntry, ...]] = {}

    @classmethod
    def of(cls, node: Node, rules: AddressRules) -> "Readings | None":
        """Return the readings of the tree that ``node`` is of; None when that tree may still change."""
        if node.known is None:
            return None
        found: Readings | None = node.known.get(rules.name)
        if found is None:
            found = node.known[rules.name] = cls()
        return found


class Below:
    """What one set of rules says of the children of a node: their bus, its cell counts, how its addresses go on upward.

    ``bus`` is None where the node is no bus; ``refusal`` says why no child has a CPU address, empty when they may have.
    """

    __slots__ = ("_index", "bus", "counts", "node", "refusal", "rules", "up")

    def __init__(self, node: Node, rules: AddressRules) -> None:
        self.node = node
        self.rules = rules
        self.bus = rules.bus_of(node)
        self.counts = rules.counts(self.bus, node) if self.bus else CellCounts(0, 0)
        self.refusal = ""
        if self.bus is None:
            self.refusal = _not_a_bus(node, rules)
        elif not (1 <= self.counts.address <= MAX_ADDR_CELLS and self.counts.size > 0):
            self.refusal = _bad_counts(node, self.counts)
        self.up = None if node.parent is None else below(node.parent, rules)
        self._index: RangesIndex | None = None

    def moved(self, address: Cells) -> Cells | str:
        """Return ``address`` on the bus above, or the reason why there is none (``of_translate_one``)."""
        bus, up = self.bus, self.up
        if bus is None or up is None or up.bus is None:
            return self.refusal
        ranges = self.node.prop("ranges")
        if ranges is None:
            return f"{self.node.path} has no ranges: its bus is not part of the CPU's address space"
        if not ranges.value:
            flags = address[: up.bus.flag_cells] if self.rules.keeps_flags else (0,) * up.bus.flag_cells
            base = flags + (0,) * (up.counts.address - up.bus.flag_cells)
            return _added(base, read_number(address), up.bus)
        if self._index is None:
            self._index = RangesIndex(ranges, bus, self.counts, up.counts)
        found = self._index.find(address)
        if found is None:
            return self._uncovered(bus, address, self._index)
        return _added(*found, up.bus)

    def _uncovered(self, bus: Bus, address: Cells, index: RangesIndex) -> str:
        """Say why no entry is for the address."""
        path, number = self.node.path, f"{read_number(address[bus.flag_cells :]):#x}"
        if bus.alike(address) == address:
            stated = " ".join(f"{cell:#x}" for cell in address)
            wants = f"as {self.rules.name.title()} wants where addresses have {len(address)} cells"
            return f"no entry of the ranges of {path} repeats <{stated}>, {wants}"
        if index.holds_as_another(address):
            return f"the ranges of {path} cover {number}, but not as {_kind(bus, address)}"
        return f"the ranges of {path} do not cover {number}"

    def drops(self, address: Cells) -> bool:
        """Whether empty ``ranges`` leave out of ``address`` which kind of space it is of."""
        flags = self.up.bus.flag_cells if self.up is not None and self.up.bus is not None else 0
        ranges = self.node.prop("ranges")
        return ranges is not None and not ranges.value and not self.rules.keeps_flags and any(address[:flags])


def below(node: Node, rules: AddressRules) -> Below:
    """Return what ``rules`` say of the children of ``node``; of a tree that was read it is worked out once."""
    read = Readings.of(node, rules)
    if read is None:
        return Below(node, rules)
    found = read.below.get(node)
    if found is None:
        found = read.below[node] = Below(node, rules)
    return found


def translate(node: Node, address: Cells, rules: AddressRules) -> Translated | Untranslatable:
    """Translate ``address``, as it stands in an entry of ``node``, to a CPU address.

    ``address`` has as many cells as the parent's bus counts. The root's own children need no translation.
    """
    if node.parent is None:
        return Untranslatable("the root node has no bus", node.path)
    return _translated(node, address, below(node.parent, rules))


def _translated(node: Node, address: Cells, level: Below) -> Translated | Untranslatable:
    """Walk from the bus of ``node`` up to the root's."""
    chain: list[Hop] = []
    bus = level.bus
    if bus is None or level.refusal:
        return Untranslatable(level.refusal, level.node.path)
    chain.append(Hop(level.node.path, read_number(address[bus.flag_cells :])))
    if level.rules.checks_space and not bus.memory_space(address):
        return Untranslatable(_not_memory(bus, address), node.path, tuple(chain))
    dropped = ""
    while (up := level.up) is not None:
        if up.bus is None or up.refusal:
            return Untranslatable(up.refusal, up.node.path, tuple(chain))
        moved = level.moved(address)
        if isinstance(moved, str):
            why = f", which the empty ranges of {dropped} make of it" if dropped and moved.endswith(_CONFIGURATION) else ""
            return Untranslatable(moved + why, level.node.path, tuple(chain))
        dropped = level.node.path if level.drops(address) else dropped
        level, address = up, moved
        chain.append(Hop(up.node.path, read_number(address[up.bus.flag_cells :])))
    found = read_number(address)
    if found == BAD_ADDRESS:
        reason = f"{found:#x} is the value by which a failed translation is told"
        return Untranslatable(reason, node.path, tuple(chain))
    return Translated(found, tuple(chain))


def _added(base: Cells, offset: int, bus: Bus) -> Cells:
    """Add ``offset`` to the low 64 bits of ``base``, leaving a flags cell as it stands."""
    flags, body = base[: bus.flag_cells], base[bus.flag_cells :]
    width = 32 * min(len(body), 2)
    total = (read_number(body) + offset) & ((1 << width) - 1)
    return flags + (0,) * (len(body) - 2) + ((total >> 32, total & 0xFFFFFFFF) if len(body) > 1 else (total,))


def reg_entries(node: Node, rules: AddressRules, *, prop_name: str | None = None) -> tuple[RegEntry, ...]:
    """Return every whole entry of the node's addresses, translated.

    The property is ``prop_name`` or the one that the parent's bus names (``reg``; ``assigned-addresses`` below a PCI
    bus). There is none for the root, below a node that is no bus, or where the cell counts are unusable, as
    ``of_get_address`` and ``dt_number_of_address`` find nothing there.
    """
    read = Readings.of(node, rules)
    if read is None or prop_name is not None:
        return _reg_entries(node, rules, prop_name)
    found = read.entries.get(node)
    if found is None:
        found = read.entries[node] = _reg_entries(node, rules, None)
    return found


def _reg_entries(node: Node, rules: AddressRules, prop_name: str | None) -> tuple[RegEntry, ...]:
    if node.parent is None or (prop_name is None and ADDRESSES.isdisjoint(node.properties)):
        return ()
    level = below(node.parent, rules)
    if level.bus is None:
        return ()
    prop = node.properties.get(prop_name or level.bus.addresses)
    counts = level.counts
    if prop is None or not 1 <= counts.address <= MAX_ADDR_CELLS or not (counts.size or rules.counts_sizeless):
        return ()
    return tuple(
        RegEntry(node, nth, cells, size, offset, _translated(node, cells, level))
        for nth, cells, size, offset in reg_tuples(prop, counts)
    )


def _not_a_bus(node: Node, rules: AddressRules) -> str:
    if rules.name == "xen":
        return f"{node.path} is not a valid bus: it has no ranges"
    return f"{node.path} is not a valid bus: it has no #address-cells"


def _bad_counts(node: Node, counts: CellCounts) -> str:
    return f"{node.path} has #address-cells {counts.address} and #size-cells {counts.size}: no CPU addresses below it"


def _kind(bus: Bus, address: Cells) -> str:
    """Name what the leading cells of an address say it is."""
    if bus.name == "pci":
        return {"io": "I/O space", "mem": "memory"}.get(pci_space(address[0]) or "", _CONFIGURATION)
    if bus.name == "isa":
        return "an I/O port" if address[0] & 1 else "memory"
    return f"the flags cell {address[0]:#x} says"


def _not_memory(bus: Bus, address: Cells) -> str:
    if bus.name == "pci":
        return "a PCI configuration or I/O address, not memory"
    if bus.name == "isa":
        return "an ISA I/O port, not memory"
    return f"the flags cell {address[0]:#x} does not say memory (0x200)"
