"""RAM and reservations: drivers/of/fdt.c and arm64_memblock_init (spec 4.1, 4.3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dtanalyze.address.range import AddressRange
from dtanalyze.linux.memblock import Memblock, bootargs, memblock
from dtanalyze.linux.profile import PRESETS, LinuxProfile
from tests.linux.build import ROOT, board, reg, words

G = 1 << 30
L612 = PRESETS["6.12"]
ALL = ["6.1", "6.12", "6.16", "7.3"]
RAM = 'memory@40000000 { device_type = "memory"; reg = <0 0x40000000 0 0x40000000>; };'


def blocks(
    body: str, linux: str = "6.12", reservations: Sequence[tuple[int, int]] = (), profile: LinuxProfile | None = None
) -> Memblock:
    return memblock(board(ROOT + body, linux, reservations), profile or PRESETS[linux])


def memory(body: str, linux: str = "6.12", profile: LinuxProfile | None = None) -> list[tuple[int, int]]:
    """Start and stop of each run of RAM."""
    return [(item.start, item.stop) for item in blocks(body, linux, profile=profile).memory]


def node(*pairs: tuple[int, int], name: str = "memory@0", extra: str = "") -> str:
    return f'{name} {{ device_type = "memory"; {reg(pairs)} {extra} }};'


def rsv(*children: str, head: str = "ranges;", cells: str = ROOT) -> str:
    return f"reserved-memory {{ {cells} {head} {' '.join(children)} }};"


def child(name: str, *pairs: tuple[int, int], extra: str = "") -> str:
    return f"{name} {{ {reg(pairs)} {extra} }};"


def claims(found: Memblock) -> list[tuple[int, int, str]]:
    return [(item.range.start, item.range.stop, item.source) for item in found.reserved]


# 4.1: which nodes are RAM.


@pytest.mark.parametrize("name", ["memory@40000000", "memory", "ram", "whatever@1"])
def test_device_type_decides_and_the_name_does_not(name: str) -> None:
    assert memory(node((0x40000000, G), name=name)) == [(0x40000000, 0x80000000)]


@pytest.mark.parametrize(
    "body",
    [
        "memory@40000000 { reg = <0 0x40000000 0 0x40000000>; };",
        'memory@40000000 { device_type = "Memory"; reg = <0 0x40000000 0 0x40000000>; };',
        'soc { #address-cells = <2>; #size-cells = <2>; ranges; memory@0 { device_type = "memory"; reg = <0 0 0 4096>; }; };',
        'memory@0 { device_type = "memory"; };',
        "",
    ],
    ids=["no device_type", "case", "not below the root", "no reg", "no node"],
)
def test_what_is_no_ram(body: str) -> None:
    assert memory(body) == []


@pytest.mark.parametrize(
    ("status", "counts"),
    [('"okay"', True), ('"ok"', True), ('"disabled"', False), ('"reserved"', False), ('"fail"', False), ("[00]", False)],
)
def test_status_counts(status: str, counts: bool) -> None:
    found = memory(node((0x40000000, G), extra=f"status = {status};"))
    assert found == ([(0x40000000, 0x80000000)] if counts else [])


def test_nodes_and_entries_merge_silently() -> None:
    body = node((0x80000000, G), (0x40000000, G), name="memory@a") + node((0x60000000, G), (0x200000000, G), name="memory@b")
    found = blocks(body)
    assert memory(body) == [(0x40000000, 0xC0000000), (0x200000000, 0x240000000)]
    assert [(item.range.start, item.source) for item in found.banks] == [
        (0x80000000, "/memory@a"),
        (0x40000000, "/memory@a"),
        (0x60000000, "/memory@b"),
        (0x200000000, "/memory@b"),
    ]


def test_linux_usable_memory_takes_the_place_of_reg() -> None:
    usable = f"linux,usable-memory = {words((0x50000000, 0x1000000))};"
    assert memory(node((0x40000000, G), extra=usable)) == [(0x50000000, 0x51000000)]
    assert memory(f'memory@0 {{ device_type = "memory"; {usable} }};') == [(0x50000000, 0x51000000)]


def test_zero_sizes_are_skipped_and_hotpluggable_memory_is_ram() -> None:
    body = node((0x40000000, G), (0x90000000, 0), (0, 0), extra="hotpluggable;")
    assert memory(body) == [(0x40000000, 0x80000000)]


@pytest.mark.parametrize("linux", ["6.1", "6.12", "6.16"])
def test_whole_entries_of_a_partial_property_count(linux: str) -> None:
    partial = 'memory@0 { device_type = "memory"; reg = <0 0x40000000 0 0x40000000 0 0x90000000 0>; };'
    assert memory(partial, linux) == [(0x40000000, 0x80000000)]


def test_7_3_ignores_a_partial_property_whole() -> None:
    partial = "<0 0x40000000 0 0x40000000 0 0x90000000 0>"
    assert memory(f'memory@0 {{ device_type = "memory"; reg = {partial}; }};', "7.3") == []
    # linux,usable-memory then falls back to reg.
    both = node((0x40000000, G), extra=f"linux,usable-memory = {partial};")
    assert memory(both, "7.3") == [(0x40000000, 0x80000000)]
    assert memory(both, "6.12") == [(0x40000000, 0x80000000)]
    usable = node((0x50000000, G), extra=f"linux,usable-memory = {partial};")
    assert memory(usable, "7.3") == [(0x50000000, 0x90000000)]
    assert memory(usable, "6.12") == [(0x40000000, 0x80000000)]


@pytest.mark.parametrize(
    ("page_size", "expected"),
    [(4096, (0x40001000, 0x40042000)), (16384, (0x40004000, 0x40040000)), (65536, (0x40010000, 0x40040000))],
)
def test_pages_that_are_not_whole_are_left_out(page_size: int, expected: tuple[int, int]) -> None:
    body = node((0x40000800, 0x42000))
    assert memory(body, profile=L612._replace(page_size=page_size)) == [expected]


def test_less_than_a_page_is_nothing() -> None:
    assert memory(node((0x40000800, 0x900))) == []


def test_what_no_arm64_can_address_is_dropped() -> None:
    assert memory(node(((1 << 52) - 0x1000, 0x2000))) == [((1 << 52) - 0x1000, 1 << 52)]
    assert memory(node((1 << 52, 0x1000))) == []
    assert memory(node((0xFFFFFFFFFFFFF000, 0x2000))) == []


def test_root_cells_of_one_and_one_are_the_default() -> None:
    body = 'memory@0 { device_type = "memory"; reg = <0x40000000 0x10000000>; };'
    for linux in ALL:
        assert list(memblock(board(body, linux), PRESETS[linux]).memory)[0].start == 0x40000000


# Caps.


def test_mem_trims_the_top_and_counts_ram_not_addresses() -> None:
    banks = node((0x40000000, G), (0x200000000, G))

    def with_args(text: str) -> list[tuple[int, int]]:
        return memory(banks + f'chosen {{ bootargs = "{text}"; }};')

    assert with_args("console=hvc0 mem=512M quiet") == [(0x40000000, 0x60000000)]
    assert with_args("mem=1536M") == [(0x40000000, 0x80000000), (0x200000000, 0x220000000)]
    assert with_args("mem=1G") == [(0x40000000, 0x80000000)]
    assert with_args("mem=8G") == [(0x40000000, 0x80000000), (0x200000000, 0x240000000)]
    assert with_args("mem=512M mem=0x10000000") == [(0x40000000, 0x50000000)]
    assert with_args("xmem=512M highmem=1M memory=1M") == [(0x40000000, 0x80000000), (0x200000000, 0x240000000)]


def test_mem_is_read_as_memparse_does_and_cut_to_whole_pages() -> None:
    for text, size in [
        ("0x10000000", 0x10000000),
        ("0400M", 0x10000000),
        ("0x10000fff", 0x10000000),
        ("256m,x", 0x10000000),
    ]:
        assert memory(RAM + f'chosen {{ bootargs = "mem={text}"; }};') == [(0x40000000, 0x40000000 + size)], text


@pytest.mark.parametrize("text", ["mem=0", "mem=4095", "mem=0x", "mem=09M"])
def test_a_mem_of_less_than_a_page_is_no_limit(text: str) -> None:
    # memblock_mem_limit_remove_map returns at once when the limit is 0.
    assert memory(RAM + f'chosen {{ bootargs = "{text}"; }};') == [(0x40000000, 0x80000000)]


@pytest.mark.parametrize("text", ["mem=nopentium", "mem=", "mem=lots"])
def test_a_mem_that_is_no_number_is_no_reason_to_stop(text: str) -> None:
    assert memory(RAM + f'chosen {{ bootargs = "{text}"; }};') == [(0x40000000, 0x80000000)]


def test_usable_memory_range_caps_ram() -> None:
    cap = f"chosen {{ linux,usable-memory-range = {words((0x50000000, 0x10000000, 0x70000000, 0x10000000))}; }};"
    assert memory(RAM + cap) == [(0x50000000, 0x60000000), (0x70000000, 0x80000000)]
    assert blocks(RAM + cap).notes == ("RAM is capped by linux,usable-memory-range in /chosen",)


def test_the_second_usable_memory_range_is_added_and_a_third_ignored() -> None:
    # early_init_dt_check_for_usable_mem_range: memblock_cap_memory_range once, then memblock_add.
    ranges = words((0x50000000, 0x10000000, 0x90000000, 0x4000000, 0x60000000, 0x1000000))
    assert memory(RAM + f"chosen {{ linux,usable-memory-range = {ranges}; }};") == [
        (0x50000000, 0x60000000),
        (0x90000000, 0x94000000),
    ]


def test_an_empty_usable_memory_range_caps_nothing() -> None:
    cap = f"chosen {{ linux,usable-memory-range = {words((0x50000000, 0))}; }};"
    assert memory(RAM + cap) == [(0x40000000, 0x80000000)]


def test_bootargs_of_a_tree_without_any() -> None:
    assert bootargs(board(ROOT)) == ""
    assert bootargs(board(ROOT + "chosen { };")) == ""
    assert bootargs(board(ROOT + 'chosen { bootargs = "a b"; };')) == "a b"


# 4.3: /reserved-memory and the reserve map.


def test_a_reservation_inside_ram_is_no_stray() -> None:
    found = blocks(RAM + rsv(child("fw@50000000", (0x50000000, 0x1000))))
    assert claims(found) == [(0x50000000, 0x50001000, "/reserved-memory/fw@50000000")]
    assert (found.stray, list(found.nomap)) == ((), [])


def test_a_reservation_outside_every_memory_node_is_forgotten() -> None:
    found = blocks(RAM + rsv(child("fw@7ffff000", (0x7FFFF000, 0x3000))))
    assert [(item.range.start, item.range.stop) for item in found.stray] == [(0x80000000, 0x80002000)]
    outside = blocks(RAM + rsv(child("fw@90000000", (0x90000000, 0x1000), extra="no-map;")))
    assert [(item.range.start, item.source) for item in outside.stray] == [(0x90000000, "/reserved-memory/fw@90000000")]
    assert list(outside.nomap) == []


def test_no_map_inside_ram_is_taken_out_in_whole_pages() -> None:
    found = blocks(RAM + rsv(child("fw@50000800", (0x50000800, 0x1000), extra="no-map;")))
    assert [(item.start, item.stop) for item in found.nomap] == [(0x50000000, 0x50002000)]
    assert [(item.start, item.stop) for item in found.memory] == [(0x40000000, 0x80000000)]


def test_no_map_across_the_end_of_ram_counts_inside_only() -> None:
    found = blocks(RAM + rsv(child("fw@7ffff000", (0x7FFFF000, 0x2000), extra="no-map;")))
    assert [(item.start, item.stop) for item in found.nomap] == [(0x7FFFF000, 0x80000000)]


@pytest.mark.parametrize("first", ["a", "b"])
def test_no_map_over_what_is_already_reserved_stays_mapped(first: str) -> None:
    mapped = child("a@50000000", (0x50000000, 0x2000))
    hidden = child("b@50001000", (0x50001000, 0x2000), extra="no-map;")
    found = blocks(RAM + rsv(*([mapped, hidden] if first == "a" else [hidden, mapped])))
    expected = [] if first == "a" else [(0x50001000, 0x50003000)]
    assert [(item.start, item.stop) for item in found.nomap] == expected
    assert ("no-map has no effect" in " ".join(found.notes)) == (first == "a")


def test_no_map_over_no_map_is_marked_twice() -> None:
    """memblock_mark_nomap reserves nothing, so nothing is in the second one's way."""
    children = [
        child("a@50000000", (0x50000000, 0x2000), extra="no-map;"),
        child("b@50001000", (0x50001000, 0x2000), extra="no-map;"),
    ]
    found = blocks(RAM + rsv(*children))
    assert [(item.start, item.stop) for item in found.nomap] == [(0x50000000, 0x50003000)]


@pytest.mark.parametrize(("linux", "hidden"), [("6.1", False), ("6.12", True), ("6.16", True), ("7.3", True)])
def test_the_reserve_map_comes_before_reserved_memory_in_6_1_only(linux: str, hidden: bool) -> None:
    body = RAM + rsv(child("fw@50000000", (0x50000000, 0x1000), extra="no-map;"))
    found = blocks(body, linux, [(0x50000000, 0x1000)])
    assert bool(list(found.nomap)) is hidden
    assert "/memreserve/" in [item.source for item in found.reserved]


def test_the_reserve_map_outside_ram_is_forgotten_too() -> None:
    found = blocks(RAM, reservations=[(0x90000000, 0x1000)])
    assert [(item.range.start, item.source) for item in found.stray] == [(0x90000000, "/memreserve/")]


@pytest.mark.parametrize(
    ("head", "cells"),
    [
        ("", ROOT),
        ("ranges;", "#address-cells = <1>; #size-cells = <1>;"),
        ("ranges;", "#address-cells = <2>;"),
        ("ranges;", "#size-cells = <2>;"),
        ("ranges;", ""),
    ],
    ids=["no ranges", "other cells", "no #size-cells", "no #address-cells", "no cells"],
)
@pytest.mark.parametrize("linux", ALL)
def test_an_unsupported_format_loses_every_child(head: str, cells: str, linux: str) -> None:
    found = blocks(RAM + rsv(child("fw@50000000", (0x50000000, 0x1000), extra="no-map;"), head=head, cells=cells), linux)
    assert (found.reserved, list(found.nomap)) == ((), [])
    assert "ignores every child" in found.notes[0]


def test_a_supported_node_leaves_no_note() -> None:
    assert blocks(RAM + rsv(child("fw@50000000", (0x50000000, 0x1000)))).notes == ()


@pytest.mark.parametrize(("linux", "count"), [("6.1", 2), ("6.12", 2), ("6.16", 2), ("7.3", 1)])
def test_7_3_reserves_the_first_tuple_only(linux: str, count: int) -> None:
    found = blocks(RAM + rsv(child("fw@50000000", (0x50000000, 0x1000), (0x60000000, 0x1000))), linux)
    assert [item.range.start for item in found.reserved] == [0x50000000, 0x60000000][:count]


def test_only_enabled_direct_children_count() -> None:
    found = blocks(
        RAM
        + rsv(
            child("off@50000000", (0x50000000, 0x1000), extra='status = "disabled";'),
            f"group {{ {ROOT} ranges; {child('deep@51000000', (0x51000000, 0x1000))} }};",
            child("on@52000000", (0x52000000, 0x1000), extra='status = "okay";'),
        )
    )
    assert [item.source for item in found.reserved] == ["/reserved-memory/on@52000000"]


@pytest.mark.parametrize("linux", ALL)
def test_a_reg_of_bad_length_is_no_reservation(linux: str) -> None:
    """__reserved_mem_reserve_reg: "invalid reg property", and the node is skipped."""
    bad = "fw@50000000 { reg = <0 0x50000000 0 0x1000 0>; no-map; };"
    found = blocks(RAM + rsv(bad, child("on@52000000", (0x52000000, 0x1000))), linux)
    assert [item.source for item in found.reserved] == ["/reserved-memory/on@52000000"]
    assert list(found.nomap) == []


def test_dynamic_and_empty_reservations_have_no_place() -> None:
    dynamic = f"pool {{ size = {words((0x1000000,))}; reusable; }};"
    found = blocks(RAM + rsv(dynamic, child("none@50000000", (0x50000000, 0))))
    assert found.reserved == ()


# A model with one bit a page.

PAGES = 48
spans = st.tuples(st.integers(0, PAGES - 1), st.integers(1, 12))


@settings(deadline=None)
@given(st.lists(spans, min_size=1, max_size=4), st.lists(st.tuples(spans, st.booleans()), max_size=6))
def test_pages_one_by_one(banks: list[tuple[int, int]], children: list[tuple[tuple[int, int], bool]]) -> None:
    ram = {page for start, size in banks for page in range(start, start + size)}
    reserved: set[int] = set()
    hidden: set[int] = set()
    stray: set[int] = set()
    for (start, size), no_map in children:
        pages = set(range(start, start + size))
        stray |= pages - ram  # whether Linux honours the reservation or not, firmware has it there
        if no_map and pages & ram:
            if not pages & reserved:
                hidden |= pages & ram
        elif not no_map:
            reserved |= pages
    body = node(*((start << 12, size << 12) for start, size in banks)) + rsv(
        *(
            child(f"r{index}", (start << 12, size << 12), extra="no-map;" if no_map else "")
            for index, ((start, size), no_map) in enumerate(children)
        )
    )
    found = blocks(body)

    def pages_of(ranges: Iterable[AddressRange]) -> set[int]:
        return {page for item in ranges for page in range(item.start >> 12, item.stop >> 12)}

    assert pages_of(found.memory) == ram
    assert pages_of(found.nomap) == hidden
    assert pages_of(item.range for item in found.stray) == stray


@pytest.mark.parametrize(
    "parent",
    ["#address-cells = <2>; #size-cells = <2>;", "#address-cells = <1>; #size-cells = <1>; ranges;"],
    ids=["no ranges", "foreign cells"],
)
def test_reservations_that_linux_ignores_are_still_in_use(parent: str) -> None:
    """Every child is lost to the kernel, yet firmware keeps using the range: scratch pages must not land there."""
    reg = "<0 0x90000000 0 0x1000>" if "<2>" in parent else "<0x90000000 0x1000>"
    found = blocks(RAM + "reserved-memory { " + parent + " fw@90000000 { reg = " + reg + "; }; };")
    assert found.reserved == ()
    assert [(item.range.start, item.source) for item in found.stray] == [(0x90000000, "/reserved-memory/fw@90000000")]
