"""Interrupts as the tree states them: by parent, by extension, and as numbers of the GIC."""

from __future__ import annotations

import pytest

from dtanalyze.board.interrupts import Interrupt, Phandles
from dtanalyze.devicetree.tree import Tree
from tests.trees import node, tree

GIC = 'gic { compatible = "arm,cortex-a15-gic"; phandle = <1>; #interrupt-cells = <3>; };'
PIC = 'pic { compatible = "vendor,pic"; phandle = <2>; #interrupt-cells = <1>; };'


def interrupts(of: Tree, path: str = "/dev") -> list[tuple[str, tuple[int, ...]]]:
    return [(item.controller.path, item.cells) for item in Phandles(of).interrupts(node(of, path))]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("dev { interrupt-parent = <1>; interrupts = <0 5 4 1 9 8>; };", [("/gic", (0, 5, 4)), ("/gic", (1, 9, 8))]),
        ("interrupt-parent = <1>; dev { interrupts = <0 5 4>; };", [("/gic", (0, 5, 4))]),
        ("interrupt-parent = <1>; dev { interrupt-parent = <2>; interrupts = <7 8>; };", [("/pic", (7,)), ("/pic", (8,))]),
        ("dev { interrupts-extended = <1 0 5 4 2 7>; interrupts = <9>; };", [("/gic", (0, 5, 4)), ("/pic", (7,))]),
        ("dev { interrupts-extended = <1 0 5 4 9 7>; };", [("/gic", (0, 5, 4))]),
        ("dev { interrupts-extended = <1 0 5 4 3 7>; }; plain { phandle = <3>; };", [("/gic", (0, 5, 4))]),
        ("dev { interrupt-parent = <1>; interrupts = <0 5 4 1>; };", [("/gic", (0, 5, 4))]),
        ("dev { interrupts = <0 5 4>; };", []),
        ("dev { interrupt-parent = <9>; interrupts = <0 5 4>; };", []),
        ("dev { interrupt-parent = <1>; };", []),
    ],
    ids=[
        "two",
        "parent of the root",
        "own parent first",
        "extended stands first",
        "extended to nobody ends there",
        "extended to no controller ends there",
        "a partial one is none",
        "no parent",
        "parent is nobody",
        "none",
    ],
)
def test_interrupts(body: str, found: list[tuple[str, tuple[int, ...]]]) -> None:
    assert interrupts(tree(body + GIC + PIC)) == found


def test_the_nearest_controller_above_is_the_parent() -> None:
    assert interrupts(tree("pic { #interrupt-cells = <2>; dev { interrupts = <1 2>; }; };"), "/pic/dev") == [
        ("/pic", (1, 2))
    ]


def test_phandles() -> None:
    of = tree(GIC + "old { linux,phandle = <7>; }; twice { phandle = <1>; }; odd { phandle = [00 01]; };")
    assert Phandles(of).node(1) is of.find("/gic")
    assert Phandles(of).node(7) is of.find("/old")
    assert Phandles(of).node(2) is None


@pytest.mark.parametrize(
    ("controller", "cells", "number"),
    [
        ("/gic", (0, 5, 4), 37),
        ("/gic", (1, 9, 8), 25),
        ("/gic", (2, 0, 4), None),
        ("/gic", (0, 5), None),
        ("/pic", (0, 5, 4), None),
    ],
    ids=["SPI from 32", "PPI from 16", "another kind", "too few cells", "another controller"],
)
def test_gic_id(controller: str, cells: tuple[int, ...], number: int | None) -> None:
    assert Interrupt(node(tree(GIC + PIC), controller), cells).gic_id == number
