"""What ``xen,reg`` of a partial tree says: host addresses that a guest is given. Data only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from dtanalyze.address.range import AddressRange
from dtanalyze.devicetree.cells import CellCounts, read_number
from dtanalyze.devicetree.tree import Node, Property

__all__ = ["Assigned", "assigned_ranges"]


class Assigned(NamedTuple):
    """One range that a node of a partial tree has mapped: ``size`` bytes from ``host`` on, seen at ``guest``."""

    node: Node
    host: int
    guest: int
    size: int

    @property
    def range(self) -> AddressRange | None:
        """The guest's addresses, None when there are none."""
        return _range(self.guest, self.size)

    @property
    def host_range(self) -> AddressRange | None:
        """The host's addresses, None when there are none."""
        return _range(self.host, self.size)


def assigned_ranges(node: Node, reg: Property, counts: CellCounts) -> Iterator[Assigned]:
    """Yield the whole entries of ``xen,reg``: host address, size, guest address."""
    width = 2 * counts.address + counts.size
    cells = reg.cells
    for at in range(0, len(cells) - width + 1, width) if width else ():
        words = cells[at : at + width]
        size = read_number(words[counts.address : counts.address + counts.size])
        guest = read_number(words[counts.address + counts.size :])
        yield Assigned(node, read_number(words[: counts.address]), guest, size)


def _range(start: int, size: int) -> AddressRange | None:
    return AddressRange(start, size) if size and start + size <= 1 << 64 else None
