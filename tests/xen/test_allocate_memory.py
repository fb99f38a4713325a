"""Where dom0's RAM lands: heaps drawn as ranges, and what allocate_memory_11 takes of them.

The heaps are as ``bootscrub=0`` leaves them: of equal blocks the one freed last is taken first, and the upper end of a larger one.
"""

from __future__ import annotations

import time

import pytest

from dtanalyze.address.units import GIB, MIB, TIB
from dtanalyze.xen.allocate_memory import (
    Dom0Allocation,
    Dom0Memory,
    allocate_memory_11,
    get_allocation_size,
    get_order_from_bytes,
)
from dtanalyze.xen.page_alloc import BootAllocator, Heap


def heap_of(*free: tuple[int, int], need_scrub: bool = False) -> Heap:
    """Return the heap of these ranges, freed as end_boot_allocator does."""
    boot = BootAllocator()
    for start, stop in free:
        boot.init_boot_pages(start, stop)
    return boot.end_boot_allocator(need_scrub=need_scrub)


def spelled(got: Dom0Memory) -> list[tuple[int, int]]:
    """Return the banks as plain pairs."""
    return [(bank.start, bank.stop) for bank in got.banks]


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
        pytest.param(
            [(0x40000000, 0x80000000)], 4 * MIB, [(0x7FC00000, 0x80000000)], 0, id="less than 128 MiB: as small as that"
        ),
        pytest.param(
            [(0x40000000, 0x44000000)], 128 * MIB, [(0x40000000, 0x44000000)], 64 * MIB, id="no low bank: anywhere, in parts"
        ),
        pytest.param(
            [(0x40000000, 0x48000000), (0x48000000, 0x50000000)],
            256 * MIB,
            [(0x40000000, 0x50000000)],
            0,
            id="regions that touch are one block",
        ),
        pytest.param(
            [(0x40000000, 0x48000000), (0x50000000, 0x50200000)],
            130 * MIB,
            [(0x40000000, 0x48000000), (0x50000000, 0x50200000)],
            0,
            id="a rest below 4 MiB is asked for once",
        ),
        pytest.param(
            [(0x40000000, 0x48000000), (0x50000000, 0x50100000), (0x51000000, 0x51100000)],
            130 * MIB,
            [(0x40000000, 0x48000000)],
            2 * MIB,
            id="and not in smaller parts",
        ),
    ],
)
def test_placement_of_dom0(free: list[tuple[int, int]], wanted: int, banks: list[tuple[int, int]], left: int) -> None:
    found = allocate_memory_11(heap_of(*free), wanted)
    assert (spelled(found), found.unallocated) == (banks, left)


def test_a_small_block_below_the_first_bank_is_given_back() -> None:
    free = heap_of((0x40000000, 0x44000000), (0x48000000, 0x50000000), (0x140000000, 0x144000000))
    found = allocate_memory_11(free, 192 * MIB)
    assert spelled(found) == [(0x48000000, 0x50000000), (0x140000000, 0x144000000)]
    assert 0x40000 in free.free, "it is free again"


def test_a_small_block_that_touches_the_first_bank_from_below_is_kept() -> None:
    found = allocate_memory_11(heap_of((0x44000000, 0x48000000), (0x48000000, 0x50000000)), 192 * MIB)
    assert spelled(found) == [(0x44000000, 0x50000000)]


def test_a_block_that_joins_two_banks_leaves_them_two() -> None:
    """insert_11_bank joins a block to one bank and looks no further; make_memory_node then writes both."""
    dom0 = Dom0Allocation(Heap(), GIB, 32, 256)
    assert all(dom0.insert_11_bank(mfn, 16) for mfn in (0x90000, 0xB0000, 0xA0000))
    assert spelled(dom0.result()) == [(0x90000000, 0xB0000000), (0xB0000000, 0xC0000000)]


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
    found = allocate_memory_11(heap_of(*free), wanted)
    assert (spelled(found), found.unallocated) == (banks, 0)


def test_a_board_with_short_addresses_wants_its_first_bank_there() -> None:
    """lowmem_bitsize is the platform's: of two blocks of 128 MiB the one below 1 GiB is bank 0."""
    free = [(0x30000000, 0x38000000), (0x80000000, 0xA0000000)]
    assert spelled(allocate_memory_11(heap_of(*free), 128 * MIB, dma_bits=30)) == [(0x30000000, 0x38000000)]
    assert spelled(allocate_memory_11(heap_of(*free), 512 * MIB)) == [(0x80000000, 0xA0000000)]
    low = allocate_memory_11(heap_of(*free), 512 * MIB, dma_bits=30)
    assert spelled(low) == [(0x30000000, 0x38000000), (0x88000000, 0xA0000000)], "and the rest elsewhere: 256 MiB, then 128"


def test_no_more_banks_than_there_is_room_for() -> None:
    free = [(0x40000000 + at * 0x10000000, 0x48000000 + at * 0x10000000) for at in range(4)]
    found = allocate_memory_11(heap_of(*free), 512 * MIB, max_banks=2)
    assert (len(found.banks), found.unallocated) == (2, 256 * MIB)


def test_a_size_that_is_no_whole_number_of_pages_is_never_reached() -> None:
    """What is left after the last page is below any block: Xen gives up with "0MB unallocated"."""
    found = allocate_memory_11(heap_of((0x40000000, 0x80000000)), 128 * MIB + 1024)
    assert (spelled(found), found.unallocated) == ([(0x78000000, 0x80000000)], 1024)


def test_sixteen_tib_and_more_count_from_nothing_again() -> None:
    """d->max_pages holds 32 bits: dom0_mem=16T may have no page, 16T+128M may have 128 MiB."""
    assert allocate_memory_11(heap_of((0x40000000, 0x80000000)), 16 * TIB) == Dom0Memory((), 16 * TIB)
    found = allocate_memory_11(heap_of((0x40000000, 0x80000000)), 16 * TIB + 128 * MIB)
    assert (spelled(found), found.unallocated) == ([(0x78000000, 0x80000000)], 16 * TIB)


def test_a_huge_size_is_answered_at_once() -> None:
    started = time.monotonic()
    found = allocate_memory_11(heap_of((0x40000000, 0x200000000)), (1 << 64) - 4096)
    assert found.unallocated == (1 << 64) - 4096 - 7 * GIB
    assert time.monotonic() - started < 1


@pytest.mark.parametrize(
    ("size", "below", "above"), [(4096, 0, 0), (4097, 0, 1), (8191, 0, 1), (8192, 1, 1), (12288, 1, 2), (1, -1, 0)]
)
def test_orders(size: int, below: int, above: int) -> None:
    assert (get_allocation_size(size), get_order_from_bytes(size)) == (below, above)
