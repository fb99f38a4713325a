"""The entry of ``ranges`` for an address, against upstream's way: try them in document order."""

from __future__ import annotations

import struct

from hypothesis import event, given
from hypothesis import strategies as st

from dtanalyze.board.bus import LINUX, XEN, Bus
from dtanalyze.board.ranges import RangesIndex
from dtanalyze.devicetree.cells import CellCounts
from dtanalyze.devicetree.tree import Property

PCI, ISA, FLAGS, PLAIN = LINUX.buses
XEN_PLAIN = XEN.buses[-1]

Entry = tuple[int, int, int, int]
"""First cell, address, size, and the address above the bus."""


def index(bus: Bus, entries: list[Entry], address_cells: int) -> RangesIndex:
    raw = b"".join(
        struct.pack(f">{address_cells}I", *((first,) if address_cells > 1 else ()), *[0] * (address_cells - 2), at)
        + struct.pack(">II", above, size)
        for first, at, size, above in entries
    )
    return RangesIndex(Property("ranges", raw, 0), bus, CellCounts(address_cells, 1), CellCounts(1, 1))


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0x01000000, 0x02000000, 0x03000000, 0]),
            st.integers(0, 20),
            st.integers(0, 8),
            st.integers(0, 99),
        ),
        max_size=7,
    ),
    st.sampled_from([0x01000000, 0x02000000, 0]),
    st.integers(0, 30),
)
def test_pci_takes_the_first_entry_of_its_space_that_holds_the_address(entries: list[Entry], first: int, at: int) -> None:
    def space(cell: int) -> int:
        return min(cell >> 24 & 3, 2)  # 64-bit memory is memory

    holding = [item for item in entries if space(item[0]) == space(first) and item[1] <= at < item[1] + item[2]]
    event(f"{min(len(holding), 2)} entries hold it")
    wanted = ((holding[0][3],), at - holding[0][1]) if holding else None
    assert index(PCI, entries, 3).find((first, 0, at)) == wanted


@given(
    st.lists(st.tuples(st.just(0), st.integers(0, 20), st.integers(0, 8), st.integers(0, 99)), max_size=9),
    st.integers(0, 30),
)
def test_a_plain_bus_takes_the_first_entry_that_holds_the_address(entries: list[Entry], at: int) -> None:
    holding = [item for item in entries if item[1] <= at < item[1] + item[2]]
    event(f"{min(len(holding), 2)} entries hold it")
    wanted = ((holding[0][3],), at - holding[0][1]) if holding else None
    assert index(PLAIN, entries, 1).find((at,)) == wanted


def test_what_has_to_be_alike() -> None:
    """A flags cell as a whole, the lowest bit of an ISA address, all cells of a long address in Xen."""
    entries: list[Entry] = [(0x200, 0x10, 0x10, 1), (0x201, 0x10, 0x10, 2)]
    assert index(FLAGS, entries, 3).find((0x201, 0, 0x14)) == ((2,), 4)
    assert index(FLAGS, entries, 3).find((0x202, 0, 0x14)) is None
    assert index(ISA, [(0, 0x10, 0x10, 1), (1, 0x10, 0x10, 2)], 2).find((3, 0x14)) == ((2,), 4)
    assert index(XEN_PLAIN, entries, 3).find((0x201, 0, 0x10)) == ((2,), 0)
    assert index(XEN_PLAIN, entries, 3).find((0x201, 0, 0x14)) is None


def test_an_entry_up_to_the_end_of_64_bits_holds_nothing() -> None:
    raw = struct.pack(">IIIII", 0xFFFFFFFF, 0xFFFFF000, 0x1000, 0, 0x1000)
    full = RangesIndex(Property("ranges", raw, 0), PLAIN, CellCounts(2, 2), CellCounts(1, 1))
    assert full.find((0xFFFFFFFF, 0xFFFFF010)) is None
    assert full.find((0, 0)) is None
