"""Cell counts and cutting properties into entries."""

from __future__ import annotations

import pytest

from dtanalyze.devicetree.cells import CellCounts, inherited_cells, read_number, reg_tuples
from dtanalyze.devicetree.tree import Property
from tests.raw_blobs import u32
from tests.trees import node, tree

DEFAULT = CellCounts(7, 8)  # unlike anything in the trees


@pytest.mark.parametrize(
    ("cells", "number"),
    [
        ((), 0),
        ((5,), 5),
        ((1, 0), 0x100000000),
        ((0x12345678, 0x9ABCDEF0), 0x123456789ABCDEF0),
        ((1, 2, 3), 0x200000003),
        ((0xFFFFFFFF,) * 4, 0xFFFFFFFFFFFFFFFF),
    ],
    ids=["none", "one", "above 4 GiB", "two", "three: the low 64 bits", "four"],
)
def test_read_number(cells: tuple[int, ...], number: int) -> None:
    assert read_number(cells) == number


def test_counts_are_the_nodes_own() -> None:
    board = tree("#address-cells = <2>; #size-cells = <1>; bus { #address-cells = <1>; #size-cells = <2>; };")
    assert inherited_cells(board.root, DEFAULT) == (2, 1)
    assert inherited_cells(node(board, "/bus"), DEFAULT) == (1, 2)


def test_counts_are_inherited_each_on_its_own() -> None:
    board = tree("#address-cells = <2>; #size-cells = <1>; a { b { #size-cells = <0>; c { }; }; };")
    assert inherited_cells(node(board, "/a"), DEFAULT) == (2, 1)
    assert inherited_cells(node(board, "/a/b/c"), DEFAULT) == (2, 0)


def test_a_silent_root_leaves_the_default() -> None:
    assert inherited_cells(node(tree("a { };"), "/a"), DEFAULT) == DEFAULT


@pytest.mark.parametrize(
    ("text", "counted"),
    [("[00 02]", 7), ("<3 4>", 3), ("[00 00 00 02 ff]", 2)],
    ids=["too short: not there", "longer: the first cell", "longer by a byte"],
)
def test_a_count_of_odd_length(text: str, counted: int) -> None:
    # of_bus_n_addr_cells: of_property_read_u32 wants four bytes at least and reads the first cell.
    assert inherited_cells(tree(f"#address-cells = {text};").root, DEFAULT).address == counted


def entries(raw: bytes, address: int, size: int) -> list[tuple[int, tuple[int, ...], int, int]]:
    return [
        (item.nth, item.address_cells, item.size, item.offset)
        for item in reg_tuples(Property("reg", raw, 100), CellCounts(address, size))
    ]


def test_reg_tuples() -> None:
    raw = u32(0, 0x1000, 0x100, 1, 0x2000, 0x200)
    assert entries(raw, 2, 1) == [(0, (0, 0x1000), 0x100, 100), (1, (1, 0x2000), 0x200, 112)]


def test_sizes_of_two_cells() -> None:
    assert entries(u32(0x1000, 2, 1), 1, 2) == [(0, (0x1000,), 0x200000001, 100)]


@pytest.mark.parametrize("extra", [1, 3, 4, 8, 11], ids=lambda extra: f"{extra} bytes too many")
def test_a_partial_entry_is_left_out(extra: int) -> None:
    assert entries(u32(0, 0x1000, 0x100) + b"\0" * extra, 2, 1) == [(0, (0, 0x1000), 0x100, 100)]


def test_no_size_cells() -> None:
    assert entries(u32(3, 4), 1, 0) == [(0, (3,), 0, 100), (1, (4,), 0, 104)]


def test_nothing_to_cut() -> None:
    assert entries(b"", 1, 1) == []
    assert entries(u32(1, 2), 0, 0) == []
    assert entries(u32(1, 2), 2, 1) == []
