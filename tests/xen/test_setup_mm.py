"""What is gone before dom0's RAM is looked for: worked out by hand from the sizes of page tables and frame tables."""

from __future__ import annotations

import pytest

from dtanalyze.address.units import GIB, TIB
from dtanalyze.xen.bootinfo import Bank, BankType, BootInfo, Module
from dtanalyze.xen.frametable import Pdx, init_pdx
from dtanalyze.xen.page_alloc import XenBug
from dtanalyze.xen.profile import PRESETS
from dtanalyze.xen.setup_mm import setup_mm


def scan(
    *ram: tuple[int, int],
    modules: tuple[tuple[int, int], ...] = (),
    reserved: tuple[tuple[int, int], ...] = (),
    heap: tuple[tuple[int, int], ...] = (),
    shmem: tuple[tuple[int, int], ...] = (),
) -> BootInfo:
    """Return a scan with these ranges, as (start, stop)."""

    def banks(ranges: tuple[tuple[int, int], ...], kind: BankType) -> tuple[Bank, ...]:
        return tuple(Bank(start, stop - start, kind, "") for start, stop in ranges)

    return BootInfo(
        mem=banks(ram, BankType.DEFAULT),
        reserved_mem=banks(reserved, BankType.DEFAULT) + banks(heap, BankType.STATIC_HEAP),
        shmem=banks(shmem, BankType.STATIC_DOMAIN),
        modules=tuple(Module("Kernel", start, stop - start, "", False) for start, stop in modules),
        dropped=(),
        panic=None,
        stopped_at=None,
        static_heap=bool(heap),
    )


def regions(info: BootInfo, release: str = "4.20", memreserve: tuple[tuple[int, int], ...] = ()) -> list[tuple[int, int]]:
    """Return the bytes that are left for the heap."""
    boot = setup_mm(info, memreserve, PRESETS[release])
    return [(first << 12, last << 12) for first, last in boot.regions if first < last]


def test_one_bank() -> None:
    """1 GiB: one page for the table of 512 GiB, a frame table of 14 MiB at 32 MiB, its table, and three for vmap."""
    free = [(0x40000000, 0x7E000000), (0x7EE00000, 0x7FFFB000)]
    assert regions(scan((0x40000000, 0x80000000))) == free
    assert regions(scan((0x40000000, 0x80000000)), "4.17") == free
    higher = [(0x40000000, 0x7F000000), (0x7FE00000, 0x7FFFB000)]
    assert regions(scan((0x40000000, 0x80000000)), "4.22") == higher, "below 32 MiB it is aligned to 2 MiB only"


def test_the_first_table_is_part_of_the_image_in_4_16() -> None:
    assert regions(scan((0x40000000, 0x80000000)), "4.16") == [(0x40000000, 0x7E000000), (0x7EE00000, 0x7FFFC000)]


def test_unaligned_ends_cost_tables() -> None:
    """From 0x40101000 to 0x7ff00000: tables for 512 GiB, for 1 GiB, and for the first and the last 2 MiB."""
    found = regions(scan((0x40101000, 0x7FF00000)))
    assert found[-1] == (0x7EE00000, 0x7FF00000 - 8 * 4096), "four for the map, one for the frame table, three for vmap"


def test_a_large_frame_table_is_rounded_to_32_mib() -> None:
    """4 GiB: 56 MiB, which become 64."""
    assert regions(scan((0x40000000, 0x140000000))) == [(0x40000000, 0x13A000000), (0x13E000000, 0x13FFFB000)]


def test_from_4_22_a_large_frame_table_is_rounded_to_pages() -> None:
    """56 MiB, aligned to 32: 0x13c000000 to 0x13f800000."""
    assert regions(scan((0x40000000, 0x140000000)), "4.22") == [(0x40000000, 0x13C000000), (0x13F800000, 0x13FFFB000)]


def test_from_4_22_an_odd_end_of_ram_costs_a_table_of_pages() -> None:
    """1 GiB less 4 MiB: 14280 KiB, which are no whole number of 2 MiB. The end of RAM is one of 2 MiB."""
    found = regions(scan((0x40000000, 0x7FC00000)), "4.22")
    assert found == [(0x40000000, 0x7EE00000), (0x7FBF2000, 0x7FBF9000)], "two for the map, two for the frame table, three"


def test_from_4_22_holes_have_no_frame_table() -> None:
    """1 GiB at 0x40000000 and 1 GiB at 0xc0000000: 42 MiB become 64, or twice 14 MiB, the lower one's first."""
    info = scan((0x40000000, 0x80000000), (0xC0000000, 0x100000000))
    assert regions(info) == [(0x40000000, 0x80000000), (0xC0000000, 0xFA000000), (0xFE000000, 0xFFFFB000)]
    assert regions(info, "4.22") == [
        (0x40000000, 0x80000000),
        (0xC0000000, 0xFE200000),
        (0xFFE00000, 0xFFFFB000),
    ]


@pytest.mark.parametrize(
    ("ram", "pdx"),
    [
        pytest.param([(0x40000000, GIB)], Pdx(), id="no bit above is set"),
        pytest.param([(0x80000000, GIB), (0x880000000, GIB)], Pdx(20, 3), id="bits 32 to 34 of the address are never set"),
        pytest.param([(0x40000000, GIB), (0x880000000, GIB)], Pdx(20, 3), id="bit 30 moves in the first bank"),
        pytest.param([(0x80000000, 8 * GIB), (0x880000000, GIB)], Pdx(22, 1), id="only one bit is left"),
        pytest.param([(0x8000000000, GIB), (0x800000000000, GIB)], Pdx(18, 9), id="of two runs the longer"),
        pytest.param([(0, GIB), (0x200000000, GIB)], Pdx(18, 3), id="down to the size of the largest block, no further"),
    ],
)
def test_bits_that_are_left_out(ram: list[tuple[int, int]], pdx: Pdx) -> None:
    assert init_pdx(ram) == pdx


def test_a_frame_keeps_the_bits_around_the_hole() -> None:
    assert Pdx(20, 3).from_pfn(0x880123) == 0x180123, "bit 23 becomes bit 20"
    assert Pdx().from_pfn(0x880123) == 0x880123


def test_pdx_compression_keeps_a_far_bank_cheap() -> None:
    """2 GiB at 0x80000000 and 2 GiB at 0x880000000: without bits 32 to 34 that is 6 GiB of table, 84 MiB, which become 96."""
    found = regions(scan((0x80000000, 0x100000000), (0x880000000, 0x900000000)))
    assert found == [(0x80000000, 0x100000000), (0x880000000, 0x8F8000000), (0x8FE000000, 0x8FFFFB000)]


def test_modules_and_reservations_are_kept_out_as_whole_pages() -> None:
    info = scan(
        (0x40000000, 0x80000000),
        modules=((0x50000800, 0x50000900), (0x48000000, 0x48010000)),
        reserved=((0x60000000, 0x60000001), (0x30000000, 0x40001000)),
        shmem=((0x70000000, 0x70001000),),
    )
    assert regions(info)[:-1] == [
        (0x40001000, 0x48000000),
        (0x48010000, 0x50000000),
        (0x50001000, 0x60000000),
        (0x60001000, 0x70000000),
        (0x70001000, 0x7E000000),
    ]


def test_a_module_that_begins_in_another_is_not_seen() -> None:
    info = scan((0x40000000, 0x80000000), modules=((0x48000000, 0x49000000), (0x48800000, 0x4A000000)))
    assert regions(info)[:2] == [(0x40000000, 0x48000000), (0x49000000, 0x7E000000)]


def test_memreserve_is_kept_out_where_the_scan_does_not_know_it() -> None:
    info = scan((0x40000000, 0x80000000))
    apart = [(0x40000000, 0x50000000), (0x50001000, 0x7E000000)]
    assert regions(info, "4.18", ((0x50000000, 0x1000),))[:2] == apart
    assert regions(info, "4.19", ((0x50000000, 0x1000),))[0] == (0x40000000, 0x7E000000), "there the scan has it"


def test_a_static_heap_is_all_there_is() -> None:
    info = scan((0x40000000, 0x80000000), heap=((0x50000000, 0x58000000),), modules=((0x51000000, 0x52000000),))
    assert regions(info) == [(0x50000000, 0x56000000), (0x56E00000, 0x57FFB000)]
    assert regions(info, "4.16")[0] == (0x40000000, 0x50000000), "which 4.16 takes for a reservation"


def test_up_to_4_16_a_bank_is_mapped_before_it_can_be_taken_from() -> None:
    """600 GiB need a second table. There is the bank below to take it from, or none."""
    large = (0x80000000, 0x80000000 + 600 * GIB)
    assert regions(scan((0x40000000, 0x80000000), large), "4.16")[0] == (0x40000000, 0x80000000 - 4096)
    assert regions(scan((0x40000000, 0x80000000), large), "4.17")[0] == (0x40000000, 0x80000000)
    with pytest.raises(XenBug):
        regions(scan(large), "4.16")
    assert regions(scan(large), "4.17")


@pytest.mark.parametrize(
    ("release", "size", "line"),
    [
        ("4.17", 200 * TIB, "Unable to setup the directmap mappings."),
        ("4.18", 3 * TIB, "The frametable cannot cover the physical region 0x00000040000000 - 0x00030040000000"),
        ("4.21", 3 * TIB, "The frametable cannot cover the physical region 0x00000040000000 - 0x00030040000000"),
        ("4.21", 6 * TIB, "Direct map is too small"),
        ("4.22", 3 * TIB, "Frametable too small"),
    ],
)
def test_ram_that_xen_cannot_manage(release: str, size: int, line: str) -> None:
    with pytest.raises(XenBug) as bug:
        regions(scan((0x40000000, 0x40000000 + size)), release)
    assert str(bug.value) == line
    assert bug.value.because.startswith("RAM reaches further")


def test_ram_without_room_for_the_frame_table() -> None:
    """2 MiB are enough in 16 MiB, unless the alignment to 32 MiB leaves none."""
    assert regions(scan((0x40000000, 0x41000000)))
    with pytest.raises(XenBug, match="Xen BUG at common/page_alloc.c"):
        regions(scan((0x41000000, 0x42000000)))


def test_no_ram_is_no_heap() -> None:
    assert regions(scan()) == []
    assert regions(scan((1 << 48, (1 << 48) + GIB))) == [], "beyond the widest physical address"
