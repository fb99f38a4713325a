"""Pages that Xen takes of the heap before dom0's RAM: what is counted, and what becomes of an answer that hangs on them."""

from __future__ import annotations

import pytest

from dtanalyze.address.range import AddressRange
from dtanalyze.address.units import GIB, KIB, MIB
from dtanalyze.xen.allocate_memory import Dom0Allocation
from dtanalyze.xen.build import build_named
from dtanalyze.xen.heap_use import SPREAD, nearby, own_pages, take_pages
from dtanalyze.xen.options import XenOptions
from dtanalyze.xen.p2m import p2m_table_orders
from dtanalyze.xen.page_alloc import BootAllocator, Heap
from dtanalyze.xen.predict import predict, prepare
from dtanalyze.xen.prediction import Prediction
from dtanalyze.xen.profile import preset
from tests.trees import tree
from tests.xen.build import host


def heap_of(*free: tuple[int, int]) -> Heap:
    boot = BootAllocator()
    for start, stop in free:
        boot.init_boot_pages(start, stop)
    return boot.end_boot_allocator(need_scrub=False)


def test_each_page_comes_from_the_smallest_block_of_the_highest_zone() -> None:
    """256 MiB below; above 1 MiB in blocks of 4 KiB, 8 KiB and so on, each of which is a buddy of the next."""
    heap = heap_of((0x10000000, 0x20000000), (0x80001000, 0x80100000))
    take_pages(heap, 3)  # 0x80001, then the upper half of 0x80002, then the lower
    assert sorted(heap.free)[-6:] == [0x80004, 0x80008, 0x80010, 0x80020, 0x80040, 0x80080]
    take_pages(heap, 252)
    assert sorted(heap.free) == [0x10000], "all of the highest zone is gone, nothing of the lower one"
    take_pages(heap, 1)
    assert heap.alloc_heap_pages(36, 0) == 0x1FFFE, "the upper end of what is halved"


def test_a_larger_tree_and_more_cpus_take_more() -> None:
    small, long = tree("a { };"), tree("a { b = <1>; };" + f'big {{ data = "{"x" * 8192}"; }};')
    many = tree("".join(f"n{at} {{ reg = <{at}>; }};" for at in range(100)))
    for release in ("4.17", "4.20", "4.22"):
        least = own_pages(small, 1, preset(release))
        assert least == preset(release).heap_pages + 2, "a page for the copy, one for the nodes"
        assert own_pages(small, 4, preset(release)) == least + 33
        assert own_pages(long, 1, preset(release)) == least + 2
        assert own_pages(many, 1, preset(release)) >= least + 5, "100 nodes of some 270 bytes"


def test_numbers_nearby_begin_with_the_nearest() -> None:
    assert list(nearby(2))[:6] == [3, 1, 4, 0, 5, 0]
    assert len(list(nearby(100))) == 2 * SPREAD


@pytest.mark.parametrize(
    ("bits", "pages"),
    [
        (40, 2),  # a table for the second GiB and one for its 2 MiB
        (44, 3),  # and one for all
    ],
)
def test_tables_of_dom0s_mappings_are_pages_of_the_heap(bits: int, pages: int) -> None:
    """64 KiB are mapped by pages; the next block is asked for after that."""
    heap = heap_of((0x40001000, 0x40010000), (0x48000000, 0x48010000))
    before = sum(1 << item.order for item in heap.free.values())
    dom0 = Dom0Allocation(heap, 64 * KIB, 32, 256, p2m_table_orders(bits))
    assert dom0.run().unallocated == 0
    assert before - sum(1 << item.order for item in heap.free.values()) == 16 + pages


_GIC = """
interrupt-controller@8000000 { compatible = "arm,gic-v3"; #interrupt-cells = <3>; interrupt-controller; phandle = <1>;
    reg = <0 0x8000000 0 0x10000>, <0 0x80a0000 0 0xf60000>; interrupt-parent = <1>; interrupts = <1 9 4>; };
timer { compatible = "arm,armv8-timer"; interrupt-parent = <1>; interrupts = <1 13 4>, <1 14 4>, <1 11 4>, <1 10 4>; };
"""


def _dom0(size: str, build: str = "stock") -> Prediction:
    options = XenOptions(build=build_named(build), memory=(AddressRange(0x40000000, 2 * GIB),))
    chosen = f'chosen {{ xen,xen-bootargs = "bootscrub=0 dom0_mem={size}"; }};'
    return predict(prepare(host(_GIC + chosen), options), preset("4.20"), options)[0]


def test_a_last_page_may_lie_elsewhere_and_that_is_said() -> None:
    found = _dom0("262148K")
    last = found.memory[-1]
    assert (last.size, len(found.memory)) == (4 * KIB, 2)
    assert len(found.others) == 15 and all(item.memory[:-1] == found.memory[:-1] for item in found.others)
    assert len({item.memory for item in (found, *found.others)}) == 16
    assert any("Its last 4 KiB may lie elsewhere" in note for note in found.assumed)
    assert last in [item.memory[-1] for item in _dom0("262148K", "debian").others], "Debian's takes five pages less"


@pytest.mark.parametrize("size", ["256M", "260M", "300M"])
def test_whole_blocks_of_4_mib_lie_where_they_lie(size: str) -> None:
    found = _dom0(size)
    assert found.others == ()
    assert sum(bank.size for bank in found.memory) == int(size[:-1]) * MIB
