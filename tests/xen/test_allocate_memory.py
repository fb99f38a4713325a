"""Where dom0's RAM lands: heaps drawn as ranges, and what the buddy allocator hands out of them."""

from __future__ import annotations

import pytest

from dtanalyze.address.range import AddressRange
from dtanalyze.address.rangeset import RangeSet
from dtanalyze.address.units import MIB
from dtanalyze.xen.allocate_memory import allocate_memory_11, boot_heap
from dtanalyze.xen.bootfdt import BootInfo, boot_fdt_info
from dtanalyze.xen.profile import preset
from tests.xen.build import host


@pytest.mark.parametrize(
    ("free", "wanted", "banks", "left"),
    [
        pytest.param([(0x40000000, 0x80000000)], 256 * MIB, [(0x70000000, 0x80000000)], 0, id="upper end of the only zone"),
        pytest.param(
            [(0x10000000, 0x20000000), (0x40000000, 0x80000000)], 256 * MIB, [(0x10000000, 0x20000000)], 0, id="lowest zone"
        ),
        pytest.param(
            [(0x40000000, 0x48000000), (0x50000000, 0x58000000)],
            256 * MIB,
            [(0x40000000, 0x48000000), (0x50000000, 0x58000000)],
            0,
            id="two halves",
        ),
        pytest.param([(0x40000000, 0x48000000)], 256 * MIB, [(0x40000000, 0x48000000)], 128 * MIB, id="too little"),
        pytest.param([(0x100000000, 0x140000000)], 256 * MIB, [(0x130000000, 0x140000000)], 0, id="only above 4 GiB"),
        pytest.param([(0x40000000, 0x80000000)], 0, [], 0, id="nothing wanted"),
    ],
)
def test_placement_of_dom0(free: list[tuple[int, int]], wanted: int, banks: list[tuple[int, int]], left: int) -> None:
    heap = RangeSet(AddressRange.spanning(*item) for item in free)
    found = allocate_memory_11(heap, wanted)
    assert ([(item.start, item.stop) for item in found.banks], found.unallocated) == (banks, left)


def test_small_blocks_below_the_first_bank_are_not_taken() -> None:
    heap = RangeSet(
        [AddressRange(0x40000000, 64 * MIB), AddressRange(0x48000000, 128 * MIB), AddressRange(0x140000000, 64 * MIB)]
    )
    found = allocate_memory_11(heap, 192 * MIB)
    assert [(item.start, item.stop) for item in found.banks] == [(0x48000000, 0x50000000), (0x140000000, 0x144000000)]


@pytest.mark.parametrize(
    ("free", "wanted", "banks"),
    [
        pytest.param(
            [(0x40000000, 0x90000000)], 1280 * MIB, [(0x40000000, 0x90000000)], id="a block of 1 GiB and what lies behind it"
        ),
        pytest.param(
            [(0x40000000, 0x48000000), (0x140000000, 0x180000000)],
            256 * MIB,
            [(0x40000000, 0x48000000), (0x178000000, 0x180000000)],
            id="half of it low, as no low block is larger",
        ),
        pytest.param(
            [(0x40000000, 0x48000000), (0x50000000, 0x58000000), (0x140000000, 0x180000000)],
            384 * MIB,
            [(0x40000000, 0x48000000), (0x50000000, 0x58000000), (0x178000000, 0x180000000)],
            id="all that is low before anything high",
        ),
    ],
)
def test_low_memory_is_used_up_first(free: list[tuple[int, int]], wanted: int, banks: list[tuple[int, int]]) -> None:
    found = allocate_memory_11(RangeSet(AddressRange.spanning(*item) for item in free), wanted)
    assert ([(item.start, item.stop) for item in found.banks], found.unallocated) == (banks, 0)


def heap(reserved: tuple[tuple[int, int], ...] = (), image: AddressRange | None = None) -> list[tuple[int, int]]:
    """Return the heap of 1 GiB at 0x40000000: its frame table is 14 MiB, and takes 32 at the upper end."""
    info: BootInfo = boot_fdt_info(host("", reserved), preset("4.20"))
    return [(item.start, item.stop) for item in boot_heap(info, image)]


def test_the_frame_table_lies_at_the_upper_end_of_ram() -> None:
    assert heap() == [(0x40000000, 0x7E000000)]
    assert heap(((0x7F000000, 0x1000000),)) == [(0x40000000, 0x7C000000), (0x7E000000, 0x7F000000)], "aligned to 32 MiB"
    assert heap(((0x70000000, 0x10000000),)) == [(0x40000000, 0x6E000000)]


def test_the_frame_table_may_fill_a_run_exactly_and_no_shorter_one() -> None:
    assert heap(((0x50000000, 0x2E000000),)) == [(0x40000000, 0x50000000)], "0x7e000000 to the end is all it needs"
    assert heap(((0x50000000, 0x2E001000),)) == [(0x40000000, 0x4E000000), (0x7E001000, 0x80000000)]
    assert heap(((0x40000000, 0x3F000000),)) == [(0x7F000000, 0x80000000)], "no run holds it"


def test_xen_itself_and_partial_pages_are_no_heap() -> None:
    assert heap(((0x50000800, 0x800),), AddressRange(0x40400000, 2 * MIB)) == [
        (0x40000000, 0x40400000), (0x40600000, 0x50000000), (0x50001000, 0x7E000000),
    ]  # fmt: skip
