"""Kinds of bus, as tables: how each counts its cells and maps a child address through ``ranges``.

Mirrors the ``of_busses`` table of Linux (drivers/of/address.c) and ``dt_busses`` of Xen (common/device-tree/device-tree.c).
Left out: the PowerPC quirks, the MIPS and x86 I/O space, ``dma-ranges`` (it never concerns MMIO).
"""

from collections.abc import Callable, Hashable
from typing import Final, NamedTuple

from dtanalyze.devicetree.cells import CellCounts, inherited_cells
from dtanalyze.devicetree.tree import Node

__all__ = ["ADDRESSES", "LINUX", "LINUX_6_13", "XEN", "AddressRules", "Bus", "Cells", "address_rules", "pci_space"]

Cells = tuple[int, ...]


class Bus(NamedTuple):
    """One kind of bus.

    ``matches`` tells from the parent node whether its children sit on such a bus; ``cells`` fixes the counts
    (None: taken from the tree); ``addresses`` names the property that holds a child's addresses; ``flag_cells`` is how many
    leading cells are no part of the number. An entry of ``ranges`` is for an address when the number lies in it and
    ``alike`` says the same of both.
    """

    name: str
    matches: Callable[[Node], bool]
    cells: CellCounts | None
    addresses: str
    alike: Callable[[Cells], Hashable]
    flag_cells: int
    memory_space: Callable[[Cells], bool]


class AddressRules(NamedTuple):
    """How one piece of software reads addresses: its table of buses and what it assumes of a silent root."""

    name: str
    buses: tuple[Bus, ...]
    root_default: CellCounts
    checks_space: bool
    """Whether an address that its bus does not call memory is refused (``__of_address_to_resource``)."""
    counts_sizeless: bool
    """Whether entries below a bus with #size-cells 0 are counted (though never translated)."""
    keeps_flags: bool
    """Whether empty ``ranges`` hand the flags cell on to the bus above (7f05e20b989a, in 6.1.125, 6.12 and later stable)."""

    def __reduce__(self) -> tuple[Callable[[str], "AddressRules"], tuple[str]]:
        """Rules travel between processes by name: their tables hold functions."""
        return address_rules, (self.name,)

    def bus_of(self, parent: Node) -> Bus | None:
        """Return the bus that children of ``parent`` sit on, or None when it is no bus at all."""
        return next((bus for bus in self.buses if bus.matches(parent)), None)

    def counts(self, bus: Bus, parent: Node) -> CellCounts:
        """Return the cell counts that hold for children of ``parent``."""
        return bus.cells or inherited_cells(parent, self.root_default)


def pci_space(flags: int) -> str | None:
    """Return ``io`` or ``mem`` for a PCI address's first cell (bits 25:24), None for configuration space."""
    return (None, "io", "mem", "mem")[flags >> 24 & 3]


def _pci_space_of(cells: Cells) -> Hashable:
    return pci_space(cells[0])


def _nothing(_: Cells) -> Hashable:
    return None


def _xen_identifier(cells: Cells) -> Hashable:
    # With more than two cells Xen takes the address for an identifier, which has to match exactly.
    return cells if len(cells) > 2 else None


_PCI_TYPES: Final = frozenset({"pci", "pciex", "vci", "ht"})


def _always(_: object) -> bool:
    return True


def _linux_pci(node: Node) -> bool:
    return node.device_type in _PCI_TYPES or node.base_name == "pcie"


def _xen_pci(node: Node) -> bool:
    return node.device_type in _PCI_TYPES or node.base_name in ("pcie", "pci")


def _three_cells(node: Node) -> bool:
    return inherited_cells(node, CellCounts(1, 1)).address == 3


def _has_address_cells(node: Node) -> bool:
    return node.prop("#address-cells") is not None


def _own_three_cells(node: Node) -> bool:
    return _has_address_cells(node) and _three_cells(node)


def _root_or_ranges(node: Node) -> bool:
    return node.parent is None or node.prop("ranges") is not None


_PCI_CELLS: Final = CellCounts(3, 2)


def _pci_bus(matches: Callable[[Node], bool]) -> Bus:
    return Bus(
        "pci",
        matches,
        _PCI_CELLS,
        "assigned-addresses",
        _pci_space_of,
        1,
        lambda cells: pci_space(cells[0]) == "mem",
    )


_ISA: Final = Bus(
    "isa",
    lambda node: node.base_name == "isa",
    CellCounts(2, 1),
    "reg",
    lambda cells: cells[0] & 1,
    1,
    lambda cells: not cells[0] & 1,
)
# The first cell is a word of IORESOURCE flags, used as it stands; IORESOURCE_MEM is 0x200, IORESOURCE_IO 0x100.
_DEFAULT_FLAGS: Final = Bus(
    "default-flags", _three_cells, None, "reg", lambda cells: cells[0], 1, lambda cells: bool(cells[0] & 0x200)
)
_DEFAULT: Final = Bus("default", _always, None, "reg", _nothing, 0, _always)

LINUX: Final = AddressRules(
    "linux",
    (_pci_bus(_linux_pci), _ISA, _DEFAULT_FLAGS, _DEFAULT),
    CellCounts(1, 1),
    checks_space=True,
    counts_sizeless=True,
    keeps_flags=True,
)
"""Linux up to 6.12."""

LINUX_6_13: Final = LINUX._replace(
    name="linux 6.13",
    buses=(
        *LINUX.buses[:2],
        _DEFAULT_FLAGS._replace(matches=_own_three_cells),
        _DEFAULT._replace(matches=_has_address_cells),
    ),
)
"""Linux from 6.13 (64ee3cf096ac): a node without #address-cells is no bus, its children have no addresses."""

XEN: Final = AddressRules(
    "xen",
    (
        _pci_bus(_xen_pci),
        Bus("default", _root_or_ranges, None, "reg", _xen_identifier, 0, _always),
    ),
    CellCounts(2, 1),
    checks_space=False,
    counts_sizeless=False,
    keeps_flags=False,
)
"""Xen, every release from 4.16: only the root and nodes with ``ranges`` are buses; there is no ISA and no flags bus."""

ADDRESSES: Final = frozenset(bus.addresses for rules in (LINUX, LINUX_6_13, XEN) for bus in rules.buses)
"""The properties that may hold addresses: a node with none of them has none."""


def address_rules(name: str) -> AddressRules:
    """Return the rules called ``name``."""
    return next(item for item in (LINUX, LINUX_6_13, XEN) if item.name == name)
