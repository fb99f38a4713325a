"""Nodes and properties: typed access that never guesses, paths, order, availability."""

from __future__ import annotations

import pytest

from dtanalyze.devicetree.tree import Node, Property
from tests.trees import node, tree


def value(raw: bytes) -> Property:
    return Property("p", raw, 0)


@pytest.mark.parametrize(
    ("raw", "number"),
    [(b"\0\0\0\1", 1), (b"\xff\xff\xff\xff", 0xFFFFFFFF), (b"", None), (b"\0\0\1", None), (b"\0" * 8, None)],
    ids=["one", "largest", "empty", "three bytes", "two cells"],
)
def test_u32(raw: bytes, number: int | None) -> None:
    assert value(raw).u32 == number


@pytest.mark.parametrize(
    ("raw", "cells"),
    [
        (b"", ()),
        (b"\0\0\0\1\0\0\0\2", (1, 2)),
        (b"\0\0\0\1\0\0", (1,)),
        (b"\1\2\3", ()),
        (b"abcd", (0x61626364,)),  # never a string by guess
    ],
    ids=["empty", "two", "a partial one at the end", "less than one", "letters"],
)
def test_cells(raw: bytes, cells: tuple[int, ...]) -> None:
    assert value(raw).cells == cells


@pytest.mark.parametrize(
    ("raw", "strings"),
    [
        (b"", ()),
        (b"\0", ("",)),
        (b"one\0", ("one",)),
        (b"one\0two\0", ("one", "two")),
        (b"one\0\0two\0", ("one", "", "two")),
        (b"unterminated", ("unterminated",)),
        (b"a\0b", ("a", "b")),
        (b"\xe9t\xe9\0", ("\\xe9t\\xe9",)),
    ],
    ids=["empty", "empty string", "one", "two", "empty in the middle", "no NUL", "no last NUL", "not ASCII"],
)
def test_strings(raw: bytes, strings: tuple[str, ...]) -> None:
    assert value(raw).strings == strings
    assert value(raw).string == (strings[0] if strings else None)


BOARD = tree(
    """
    compatible = "maker,board", "maker,soc";
    soc { bus@0 { uart@1000 { }; uart@2000 { status = "disabled"; }; }; };
    memory@0 { device_type = "memory"; };
    plain { };
    """
)


def test_document_order() -> None:
    assert [item.path for item in BOARD.root] == [
        "/",
        "/soc",
        "/soc/bus@0",
        "/soc/bus@0/uart@1000",
        "/soc/bus@0/uart@2000",
        "/memory@0",
        "/plain",
    ]
    assert [item.path for item in node(BOARD, "/soc/bus@0")] == [
        "/soc/bus@0",
        "/soc/bus@0/uart@1000",
        "/soc/bus@0/uart@2000",
    ]


def test_find() -> None:
    assert BOARD.find("/") is BOARD.root
    uart = node(BOARD, "/soc/bus@0/uart@1000")
    assert (uart.name, uart.base_name) == ("uart@1000", "uart")
    assert uart.parent is BOARD.find("/soc/bus@0")
    assert BOARD.find("/soc/bus") is None  # the full name, unit address included
    assert BOARD.find("/soc/bus@0/uart@1000/more") is None


def test_child_and_prop() -> None:
    assert BOARD.root.child("plain") is node(BOARD, "/plain")
    assert BOARD.root.child("uart@1000") is None
    assert BOARD.root.prop("reg") is None
    assert BOARD.root.prop("compatible") is BOARD.root.properties["compatible"]


def test_device_type_and_compatible() -> None:
    assert node(BOARD, "/memory@0").device_type == "memory"
    assert node(BOARD, "/plain").device_type is None
    assert BOARD.root.compatible == ("maker,board", "maker,soc")
    assert node(BOARD, "/plain").compatible == ()
    assert BOARD.root.is_compatible("maker,soc")
    assert not BOARD.root.is_compatible("maker")


def test_compatible_ignores_case_as_linux_and_xen_do() -> None:
    assert tree('compatible = "Xen,XEN-4.20";').root.is_compatible("xen,xen-4.20")


@pytest.mark.parametrize(
    ("raw", "available"),
    [
        (None, True),
        (b"okay\0", True),
        (b"ok\0", True),
        (b"disabled\0", False),
        (b"reserved\0", False),
        (b"fail\0", False),
        (b"fail-sss\0", False),
        (b"\0", False),
        (b"", False),
        (b"okay", False),
        (b"ok", False),
        (b"OKAY\0", False),
        (b"okay\0disabled\0", True),
        (b"disabled\0okay\0", False),
    ],
)
def test_status(raw: bytes | None, available: bool) -> None:
    # Spec 4.5: absent, "okay" or "ok"; an unterminated or an empty string is neither.
    item = Node("n", None, 0)
    if raw is not None:
        item.properties["status"] = Property("status", raw, 0)
    assert item.available is available


def test_a_disabled_bus_disables_what_is_below() -> None:
    board = tree('soc { status = "disabled"; uart@0 { status = "okay"; }; }; other { uart@1 { }; };')
    below, beside = node(board, "/soc/uart@0"), node(board, "/other/uart@1")
    assert below.available and not below.path_available
    assert beside.available and beside.path_available


def test_repr_shows_the_path() -> None:
    assert repr(node(BOARD, "/soc/bus@0")) == "Node('/soc/bus@0')"
