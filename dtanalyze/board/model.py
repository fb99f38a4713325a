"""The board as data: every range keeps its node, its translation and its place in the file."""

from typing import NamedTuple

from dtanalyze.address.range import AddressRange, RawRange
from dtanalyze.board.bus import AddressRules
from dtanalyze.board.interrupts import Interrupt
from dtanalyze.board.translate import RegEntry, Translated, Untranslatable
from dtanalyze.devicetree.tree import Node, Tree

__all__ = ["Board", "Device", "MemoryNode", "PciHost", "Reservation", "Window", "entry_range"]


class MemoryNode(NamedTuple):
    """A child of the root that somebody may take for RAM: by ``device_type`` (Linux) or by name (older Xen)."""

    node: Node
    by_type: bool
    by_name: bool
    enabled: bool


class Reservation(NamedTuple):
    """A child of /reserved-memory. ``entries`` is empty for a dynamic one, whose place the kernel chooses at boot."""

    node: Node
    entries: tuple[RegEntry, ...]
    no_map: bool
    reusable: bool
    dynamic_size: int | None
    enabled: bool


class Device(NamedTuple):
    """A node with addresses of its own; ``enabled`` asks the node and every bus above it."""

    node: Node
    entries: tuple[RegEntry, ...]
    enabled: bool


class Window(NamedTuple):
    """One entry of a PCI host bridge's ``ranges``; ``space`` is ``mem``, ``io`` or None for configuration space."""

    space: str | None
    flags: int
    bus_address: int
    size: int
    where: Translated | Untranslatable
    offset: int

    @property
    def range(self) -> AddressRange | None:
        """The CPU addresses of the window, or None when they are none."""
        if not isinstance(self.where, Translated):
            return None
        return RawRange(self.where.address, self.size).checked()


class PciHost(NamedTuple):
    """A PCI bus (``device_type`` pci; to Linux also one called ``pcie``) that is a host bridge: its parent is none."""

    node: Node
    windows: tuple[Window, ...]
    enabled: bool


class Board(NamedTuple):
    """All that a tree says of the hardware, by one set of address rules; document order throughout."""

    tree: Tree
    rules: AddressRules
    memory: tuple[MemoryNode, ...]
    memreserve: tuple[tuple[RawRange, int], ...]
    reserved_memory: Node | None
    reservations: tuple[Reservation, ...]
    devices: tuple[Device, ...]
    pci_hosts: tuple[PciHost, ...]
    hypervisors: tuple[Node, ...]
    """Every node compatible with ``xen,xen``, and ``/hypervisor`` whatever it says."""
    event_channel: Interrupt | None
    """The interrupt of the first of them, over which Xen signals events; None when it names none that resolves."""
    chosen: Node | None


def entry_range(entry: RegEntry) -> AddressRange | None:
    """Return the CPU addresses of a ``reg`` entry, or None when it is empty or not translatable."""
    address = entry.address
    return None if address is None else RawRange(address, entry.size).checked()
