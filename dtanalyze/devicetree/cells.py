"""#address-cells and #size-cells, and cutting ``reg`` and ``ranges`` into entries."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from dtanalyze.devicetree.tree import Node, Property

__all__ = ["MAX_ADDR_CELLS", "CellCounts", "RegTuple", "inherited_cells", "read_number", "reg_tuples"]

MAX_ADDR_CELLS: Final = 4
"""OF_MAX_ADDR_CELLS of Linux, DT_MAX_ADDR_CELLS of Xen: an address of more cells is not translated."""
_MASK64: Final = (1 << 64) - 1


class CellCounts(NamedTuple):
    """How many 32-bit cells the address and the size of a child take."""

    address: int
    size: int


class RegTuple(NamedTuple):
    """One entry of a property: its number (``nth``), its address cells, its size and its byte offset in the file."""

    nth: int
    address_cells: tuple[int, ...]
    size: int
    offset: int


def inherited_cells(node: Node, default: CellCounts) -> CellCounts:
    """Return the counts that hold for children of ``node``: its own or the nearest ancestor's, else ``default``.

    Inheritance is deprecated in the specification and done by Linux (``of_bus_n_addr_cells``) and by Xen.
    """
    return CellCounts(
        _nearest(node, "#address-cells", default.address),
        _nearest(node, "#size-cells", default.size),
    )


def _nearest(node: Node | None, name: str, default: int) -> int:
    while node is not None:
        found = node.properties.get(name)
        if found is not None and len(found.value) >= 4:
            return int.from_bytes(found.value[:4], "big")
        node = node.parent
    return default


def read_number(cells: Sequence[int]) -> int:
    """Return the number in big-endian cells, its low 64 bits (``of_read_number``)."""
    value = 0
    for cell in cells:
        value = (value << 32 | cell) & _MASK64
    return value


def reg_tuples(prop: Property, counts: CellCounts) -> Iterator[RegTuple]:
    """Yield the whole entries of ``prop``; a trailing partial one is left out, as in Linux and Xen."""
    width = counts.address + counts.size
    if not width:
        return
    cells = prop.cells
    for index in range(len(cells) // width):
        at = index * width
        yield RegTuple(
            index,
            cells[at : at + counts.address],
            read_number(cells[at + counts.address : at + width]),
            prop.offset + 4 * at,
        )
