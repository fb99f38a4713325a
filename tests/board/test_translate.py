"""Bus address to CPU address, rule by rule, worked by hand (spec 4.5 and 7.10).

Each case is a tree and, for the node ``dev`` in it, what Linux up to 6.12, Linux from 6.13 and Xen make of its
addresses: a list with a number for each entry, or the words that say why there is none.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest

from dtanalyze.board.build import all_reg_entries
from dtanalyze.board.bus import LINUX, LINUX_6_13, XEN, AddressRules, pci_space
from dtanalyze.board.translate import Hop, Translated, Untranslatable, chain_text, reg_entries, translate
from dtanalyze.devicetree.tree import Node, Tree
from tests.trees import node, tree

NOTHING: list[int | str] = []  # no entry at all: below this parent nothing is an address

Answer = list[int | str]


class Case(NamedTuple):
    body: str
    linux: Answer
    linux_6_13: Answer
    xen: Answer


def same(body: str, answer: Answer) -> Case:
    return Case(body, answer, answer, answer)


def linux_and_xen(body: str, linux: Answer, xen: Answer) -> Case:
    return Case(body, linux, linux, xen)


ONE = "#address-cells = <1>; #size-cells = <1>;"
TWO = "#address-cells = <2>; #size-cells = <2>;"

PLAIN = {
    "child of the root": same(TWO + "dev@1000 { reg = <0 0x1000 0 0x10>; };", [0x1000]),
    "child of the root above 4 GiB": same(TWO + "dev { reg = <0x12 0x34000000 0 0x10>; };", [0x1234000000]),
    "two entries": same(TWO + "dev { reg = <0 0x1000 0 0x10>, <1 0x2000 0 0x10>; };", [0x1000, 0x100002000]),
    "a partial entry is none": same(TWO + "dev { reg = <0 0x1000 0 0x10 0 0x2000>; };", [0x1000]),
    "no reg": same(TWO + "dev { };", NOTHING),
    "empty reg": same(TWO + "dev { reg; };", NOTHING),
    "size zero": same(ONE + "dev { reg = <0x1000 0>; };", [0x1000]),
    # A silent root: Linux assumes 1 and 1, Xen 2 and 1; from 6.13 Linux does not take it for a bus.
    "silent root, two cells": Case("dev { reg = <0x1000 0x2000>; };", [0x1000], NOTHING, NOTHING),
    "silent root, three cells": Case("dev { reg = <1 0x2000 0x10>; };", [1], NOTHING, [0x100002000]),
    "root without #size-cells": same("#address-cells = <1>; dev { reg = <0x1000 0x10>; };", [0x1000]),
    "root without #address-cells": Case("#size-cells = <1>; dev { reg = <0 0x1000 0x10>; };", [0], NOTHING, [0x1000]),
    # Cell counts: 1 to 4 for addresses; without size cells Linux counts entries, but nothing is an address.
    "#address-cells 0": same("#address-cells = <0>; #size-cells = <1>; dev { reg = <0x1000>; };", NOTHING),
    "#address-cells 5": same("#address-cells = <5>; #size-cells = <1>; dev { reg = <0 0 0 0 1 2>; };", NOTHING),
    "#size-cells 0": linux_and_xen(
        "#address-cells = <1>; #size-cells = <0>; dev { reg = <7>; };",
        ["/ has #address-cells 1 and #size-cells 0: no CPU addresses below it"],
        NOTHING,
    ),
    "four address cells at the root": same(
        "#address-cells = <4>; #size-cells = <1>; dev { reg = <0 0 1 0x2000 0x10>; };", [0x100002000]
    ),
}

RANGES = {
    "empty ranges": same(TWO + "soc { " + TWO + "ranges; dev { reg = <1 0x2000 0 0x10>; }; };", [0x100002000]),
    "empty ranges, narrower child": same(TWO + "soc { " + ONE + "ranges; dev { reg = <0x2000 0x10>; }; };", [0x2000]),
    "empty ranges, wider child": same(ONE + "soc { " + TWO + "ranges; dev { reg = <0 0x2000 0 0x10>; }; };", [0x2000]),
    "moved": same(
        TWO + "soc { " + ONE + "ranges = <0x1000 0x8 0x40000000 0x1000>; dev { reg = <0x1234 4>; }; };", [0x840000234]
    ),
    "first byte of the window": same(
        ONE + "soc { " + ONE + "ranges = <0x1000 0x50000 0x1000>; dev { reg = <0x1000 4>; }; };", [0x50000]
    ),
    "last byte of the window": same(
        ONE + "soc { " + ONE + "ranges = <0x1000 0x50000 0x1000>; dev { reg = <0x1fff 4>; }; };", [0x50FFF]
    ),
    "one past the window": same(
        ONE + "soc { " + ONE + "ranges = <0x1000 0x50000 0x1000>; dev { reg = <0x2000 4>; }; };",
        ["the ranges of /soc do not cover 0x2000"],
    ),
    "one before the window": same(
        ONE + "soc { " + ONE + "ranges = <0x1000 0x50000 0x1000>; dev { reg = <0xfff 4>; }; };",
        ["the ranges of /soc do not cover 0xfff"],
    ),
    "only the start counts": same(
        ONE + "soc { " + ONE + "ranges = <0 0x50000 0x1000>; dev { reg = <0xf00 0x100000>; }; };", [0x50F00]
    ),
    "window of size zero": same(
        ONE + "soc { " + ONE + "ranges = <0x1000 0x50000 0>; dev { reg = <0x1000 4>; }; };",
        ["the ranges of /soc do not cover 0x1000"],
    ),
    "the first window that fits": same(
        ONE + "soc { " + ONE + "ranges = <0 0x10000 0x100>, <0 0x20000 0x1000>, <0 0x30000 0x1000>;"
        "dev { reg = <0x80 4>, <0x180 4>; }; };",
        [0x10080, 0x20180],
    ),
    "a partial window is none": same(
        ONE + "soc { " + ONE + "ranges = <0 0x10000 0x100 0x1000 0x20000>; dev { reg = <0x1000 4>; }; };",
        ["the ranges of /soc do not cover 0x1000"],
    ),
    "a window short of one cell is none": same(
        TWO + "soc { " + TWO + "ranges = <0 0 0 0x10000 0 0x100 0 0x1000 0 0x20000 0>;dev { reg = <0 0x1000 0 4>; }; };",
        ["the ranges of /soc do not cover 0x1000"],
    ),
    "a window up to 2^64 covers nothing": same(  # upstream adds in 64 bits: base + size is 0
        TWO + "soc { " + TWO + "ranges = <0xffffffff 0 0 0 1 0>; dev { reg = <0xffffffff 0x10 0 4>; }; };",
        ["the ranges of /soc do not cover 0xffffffff00000010"],
    ),
    "the answer of each entry": same(
        ONE + "soc { " + ONE + "ranges = <0 0x50000 0x1000>; dev { reg = <0x10 4>, <0x9000 4>, <0x20 4>; }; };",
        [0x50010, "the ranges of /soc do not cover 0x9000", 0x50020],
    ),
    # 7.10: without ranges the parent is no bus for Xen, which asks nothing there; Linux cannot translate.
    "no ranges": linux_and_xen(
        ONE + "i2c { " + ONE + "dev { reg = <0x50 4>; }; };",
        ["/i2c has no ranges: its bus is not part of the CPU's address space"],
        NOTHING,
    ),
    "no ranges further out": linux_and_xen(
        ONE + "pmic { " + ONE + "nvram { " + ONE + "ranges; dev { reg = <0x50 4>; }; }; };",
        ["/pmic has no ranges: its bus is not part of the CPU's address space"],
        ["/pmic is not a valid bus: it has no ranges"],
    ),
    "no ranges and no sizes": linux_and_xen(
        ONE + "i2c { #address-cells = <1>; #size-cells = <0>; dev { reg = <0x50>; }; };",
        ["/i2c has #address-cells 1 and #size-cells 0: no CPU addresses below it"],
        NOTHING,
    ),
    "#size-cells 0 further out": same(
        "#address-cells = <1>; #size-cells = <0>; soc { " + ONE + "ranges; dev { reg = <0x50 4>; }; };",
        ["/ has #address-cells 1 and #size-cells 0: no CPU addresses below it"],
    ),
    "#address-cells 5 further out": same(
        ONE
        + "bus { #address-cells = <5>; #size-cells = <1>; ranges; soc { "
        + ONE
        + "ranges; dev { reg = <0x50 4>; }; }; };",
        ["/bus has #address-cells 5 and #size-cells 1: no CPU addresses below it"],
    ),
    # Inheritance: deprecated, done by Linux up to 6.12 and by Xen; 6.13+ does not take the node for a bus.
    "inherited cells": Case(
        TWO + "soc { ranges; dev { reg = <1 0x2000 0 0x10>; }; };", [0x100002000], NOTHING, [0x100002000]
    ),
    "inherited further out": Case(
        TWO + "a { ranges; b { " + ONE + "ranges; dev { reg = <0x2000 0x10>; }; }; };",
        [0x2000],
        ["/a is not a valid bus: it has no #address-cells"],
        [0x2000],
    ),
    "inherited #size-cells only": same(
        ONE + "soc { #address-cells = <2>; ranges; dev { reg = <0 0x2000 0x10>; }; };", [0x2000]
    ),
}

NESTED = {
    "two levels": same(
        TWO + "a { " + ONE + "ranges = <0x100000 0x1 0x20000000 0x100000>;"
        "b { " + ONE + "ranges = <0 0x140000 0x10000>; dev { reg = <0x8 4>; }; }; };",
        [0x120040008],
    ),
    "three levels, one of them empty": same(
        TWO + "a { " + ONE + "ranges = <0 0x9 0 0x1000000>; b { " + ONE + "ranges;"
        "c { " + ONE + "ranges = <0x40 0x123400 0x40>; dev { reg = <0x44 4>; }; }; }; };",
        [0x900123404],
    ),
    "fails at the outer one": same(
        ONE + "a { " + ONE + "ranges = <0x1000 0x50000 0x100>; b { " + ONE + "ranges = <0 0x2000 0x100>;"
        "dev { reg = <0x10 4>; }; }; };",
        ["the ranges of /a do not cover 0x2010"],
    ),
    # Sums are taken in the width of the parent's address: 32 bits here.
    "wraps in one cell": same(
        ONE + "soc { " + ONE + "ranges = <0 0xfffff000 0x10000>; dev { reg = <0x2000 4>; }; };", [0x1000]
    ),
    "wraps in two cells": same(
        TWO + "soc { " + ONE + "ranges = <0 0xffffffff 0xfffff000 0x10000>; dev { reg = <0x2000 4>; }; };", [0x1000]
    ),
    "carries into the upper cell": same(
        TWO + "soc { " + ONE + "ranges = <0 0x1 0xfffff000 0x10000>; dev { reg = <0x2000 4>; }; };", [0x200001000]
    ),
    "through an outer bus of four cells": same(  # an exact match there, as Xen wants one
        ONE + "a { #address-cells = <4>; #size-cells = <1>; ranges = <0 0 1 0x2000 0x50000 0x1000>;"
        "b { " + ONE + "ranges = <0x10 0 0 1 0x1ff0 0x100>; dev { reg = <0x20 4>; }; }; };",
        [0x50000],
    ),
}

# The flags cell of a bus of three address cells (default-flags): 0x200 memory, 0x100 I/O. Xen takes such an address
# for an identifier that has to match exactly, and its low 64 bits for the number.
FLAGS = "#address-cells = <3>; #size-cells = <2>;"
IDENTIFIERS = {
    "flags: memory": linux_and_xen(
        TWO + "bus { " + FLAGS + "ranges = <0x200 0 0x1000 0x8 0 0 0x1000>; dev { reg = <0x200 0 0x1040 0 4>; }; };",
        [0x800000040],
        ["no entry of the ranges of /bus repeats <0x200 0x0 0x1040>, as Xen wants where addresses have 3 cells"],
    ),
    "flags: the first address of the window": same(
        TWO + "bus { " + FLAGS + "ranges = <0x200 0 0x1000 0x8 0 0 0x1000>; dev { reg = <0x200 0 0x1000 0 4>; }; };",
        [0x800000000],
    ),
    "flags: above 4 GiB": same(
        TWO + "bus { " + FLAGS + "ranges = <0x200 1 0x1000 0x8 0 0 0x1000>; dev { reg = <0x200 1 0x1000 0 4>; }; };",
        [0x800000000],
    ),
    "flags: the upper cell counts": linux_and_xen(
        TWO + "bus { " + FLAGS + "ranges = <0x200 1 0x1000 0x8 0 0 0x1000>; dev { reg = <0x200 2 0x1000 0 4>; }; };",
        ["the ranges of /bus do not cover 0x200001000"],
        ["no entry of the ranges of /bus repeats <0x200 0x2 0x1000>"],
    ),
    "flags: another first cell": linux_and_xen(
        TWO + "bus { " + FLAGS + "ranges = <0x200 0 0x1000 0x8 0 0 0x1000>; dev { reg = <0x1200 0 0x1000 0 4>; }; };",
        ["the ranges of /bus cover 0x1000, but not as the flags cell 0x1200 says"],
        ["no entry of the ranges of /bus repeats <0x1200 0x0 0x1000>"],
    ),
    "flags: not memory": linux_and_xen(
        TWO + "bus { " + FLAGS + "ranges = <0x100 0 0 0x8 0 0 0x1000>; dev { reg = <0x100 0 0 0 4>; }; };",
        ["the flags cell 0x100 does not say memory (0x200)"],
        [0x800000000],
    ),
    "flags: empty ranges": same(TWO + "bus { " + FLAGS + "ranges; dev { reg = <0x200 1 0x1000 0 4>; }; };", [0x100001000]),
    "flags: inherited": Case(  # of_bus_n_addr_cells inherits; from 6.13 #address-cells has to be the bus's own
        TWO + "bus { " + FLAGS + "ranges = <0x200 0 0 0x8 0 0 0x1000>;"
        "sub { ranges = <0x200 0 0x100 0x200 0 0 0 0x100>; dev { reg = <0x200 0 0x140 0 4>; }; }; };",
        [0x800000040],
        NOTHING,
        ["no entry of the ranges of /bus/sub repeats"],
    ),
    "four cells: the number only, in Xen the identifier": linux_and_xen(
        ONE + "bus { #address-cells = <4>; #size-cells = <1>; ranges = <0 0 0 0x1000 0x50000 0x1000>;"
        "dev { reg = <0 0 0 0x1040 4>; }; };",
        [0x50040],
        ["no entry of the ranges of /bus repeats <0x0 0x0 0x0 0x1040>, as Xen wants where addresses have 4 cells"],
    ),
    "remoteproc: an identifier of two cells is a number": same(
        TWO + "remoteproc { #address-cells = <2>; #size-cells = <2>; ranges = <0 0 0 0xffe00000 0 0x10000>;"
        "dev { reg = <1 0 0 0x10000>; }; };",
        ["the ranges of /remoteproc do not cover 0x100000000"],
    ),
}

PCI = '#address-cells = <3>; #size-cells = <2>; device_type = "pci";'
MEM32 = "0x82000000 0 0x10000000 0x8 0x10000000 0 0x1000000"
IO = "0x81000000 0 0 0x8 0x20000000 0 0x10000"


def pci(assigned: str, ranges: str = f"<{IO}>, <{MEM32}>") -> str:
    return TWO + f"host {{ {PCI} ranges = {ranges}; dev {{ reg = <0 0 0 0 0>; assigned-addresses = {assigned}; }}; }};"


PCI_BUSES = {
    "pci: memory": same(pci("<0x82000010 0 0x10000200 0 0x100>"), [0x810000200]),
    "pci: prefetchable and 64-bit memory pass as memory": same(pci("<0xc3000010 0 0x10000200 0 0x100>"), [0x810000200]),
    "pci: I/O in the window of memory": same(  # 0x10000200 lies in MEM32 only, and the kinds must agree
        pci("<0x82000010 0 0x300 0 0x100>"), ["the ranges of /host cover 0x300, but not as memory"]
    ),
    # Linux refuses what is not memory; Xen's dt_device_get_address translates it.
    "pci: I/O": linux_and_xen(
        pci("<0x81000010 0 0x300 0 0x100>"),
        ["a PCI configuration or I/O address, not memory"],
        [0x820000300],
    ),
    "pci: configuration space": linux_and_xen(
        pci("<0x00000010 0 0x300 0 0x100>"),
        ["a PCI configuration or I/O address, not memory"],
        ["the ranges of /host cover 0x300, but not as configuration space"],
    ),
    "pci: above 4 GiB": same(pci("<0x83000010 0x9 0x40 0 0x100>", "<0x83000000 0x9 0 0xa 0 0x1 0>"), [0xA00000040]),
    "pci: the upper cell counts": same(
        pci("<0x83000010 0x8 0x40 0 0x100>", "<0x83000000 0x9 0 0xa 0 0 0x1000>"),
        ["the ranges of /host do not cover 0x800000040"],
    ),
    "pci: reg is no address": same(
        TWO + f"host {{ {PCI} ranges = <{MEM32}>; dev {{ reg = <0x82000010 0 0x10000000 0 0x100>; }}; }};", NOTHING
    ),
    "pci: its counts are fixed": same(
        TWO + 'host { #address-cells = <1>; #size-cells = <1>; device_type = "pci";'
        f"ranges = <{MEM32}>; dev {{ assigned-addresses = <0x82000010 0 0x10000200 0 0x100>; }}; }};",
        [0x810000200],
    ),
    "pci: a bridge below the host": same(
        TWO + f"host {{ {PCI} ranges = <{MEM32}>; bridge {{ {PCI}"
        "ranges = <0x82000000 0 0x100000 0x82000000 0 0x10100000 0 0x100000>;"
        "dev { assigned-addresses = <0x82000010 0 0x100040 0 0x100>; }; }; };",
        [0x810100040],
    ),
    "device_type pciex": same(pci("<0x82000010 0 0x10000200 0 0x100>").replace('"pci"', '"pciex"'), [0x810000200]),
    "called pcie": same(
        TWO + f"pcie@1 {{ #address-cells = <3>; #size-cells = <2>; ranges = <{MEM32}>;"
        "dev { assigned-addresses = <0x82000010 0 0x10000200 0 0x100>; }; };",
        [0x810000200],
    ),
    # Q2 of the recorded answers: Xen takes a node called pci for a PCI bus, whatever its device_type.
    "called pci": linux_and_xen(
        TWO + "pci { " + TWO + "ranges; dev { reg = <0 0x1000 0 0x10>; }; };",
        [0x1000],
        NOTHING,
    ),
    "called pcie, a pin group": same(TWO + "pcie { " + TWO + "ranges; dev { reg = <0 0x1000 0 0x10>; }; };", NOTHING),
}

ISA = "#address-cells = <2>; #size-cells = <1>;"
ISA_BUSES = {
    # Cells: bit 0 of the first says I/O, the second is the address. Xen knows no such bus: a number of two cells.
    "isa: memory": same(
        ONE + "isa { " + ISA + "ranges = <0 0x1000 0x50000 0x1000>; dev { reg = <0 0x1040 4>; }; };", [0x50040]
    ),
    "isa: an odd address is no I/O": same(
        ONE + "isa { " + ISA + "ranges = <0 0x1001 0x50000 0x1000>; dev { reg = <0 0x1041 4>; }; };", [0x50040]
    ),
    "isa: I/O": linux_and_xen(
        ONE + "isa { " + ISA + "ranges = <1 0 0x50000 0x1000>; dev { reg = <1 0x60 4>; }; };",
        ["an ISA I/O port, not memory"],
        [0x50060],
    ),
    "isa: the kinds must agree": linux_and_xen(
        ONE + "isa@1 { " + ISA + "ranges = <1 0 0x50000 0x1000>; dev { reg = <0 0x60 4>; }; };",
        ["the ranges of /isa@1 cover 0x60, but not as memory"],
        ["the ranges of /isa@1 do not cover 0x60"],
    ),
    "isa: only bit 0 counts": linux_and_xen(
        ONE + "isa { " + ISA + "ranges = <2 0 0x50000 0x1000>; dev { reg = <0 0x60 4>; }; };",
        [0x50060],
        ["the ranges of /isa do not cover 0x60"],
    ),
    "isa: its counts are fixed": linux_and_xen(
        ONE + "isa { " + ONE + "ranges = <0 0 0x50000 0x1000>; dev { reg = <0 0x60 4>; }; };",
        [0x50060],
        [0],  # one cell each: address 0, size 0x60, through the window 0 -> 0 of size 0x50000
    ),
}

ALL = PLAIN | RANGES | NESTED | IDENTIFIERS | PCI_BUSES | ISA_BUSES
RULES = {"linux": LINUX, "linux_6_13": LINUX_6_13, "xen": XEN}


def device(of: Tree) -> Node:
    (found,) = (item for item in of.root if item.base_name == "dev")
    return found


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("case", ALL.values(), ids=ALL)
def test_translation(case: Case, rules: str) -> None:
    expected: Answer = getattr(case, rules)
    found = list(reg_entries(device(tree(case.body)), RULES[rules]))
    assert len(found) == len(expected)
    for number, (entry, answer) in enumerate(zip(found, expected, strict=True)):
        assert entry.nth == number
        if isinstance(answer, int):
            assert entry.where[0] == entry.address == answer, hex(answer)
        else:
            assert isinstance(entry.where, Untranslatable)
            assert answer in entry.where.reason
            assert entry.address is None


def test_sizes_are_not_transformed() -> None:
    board = tree(ONE + "soc { " + TWO + "ranges = <0 0 0x50000 0 0x100>; dev { reg = <0 0 2 0x10>; }; };")
    (entry,) = reg_entries(device(board), LINUX)
    assert (entry.address, entry.size) == (0x50000, 0x200000010)


def test_an_entry_knows_its_bytes() -> None:
    board = tree(ONE + "dev { reg = <0x1000 0x10>, <0x2000 0x20>; };")
    first, second = reg_entries(device(board), LINUX)
    reg = device(board).properties["reg"]
    assert (first.offset, second.offset) == (reg.offset, reg.offset + 8)
    assert (first.bus_cells, second.bus_cells) == ((0x1000,), (0x2000,))


def test_another_property_can_be_read_as_addresses() -> None:
    board = tree(ONE + "dev { linux,usable-memory = <0x1000 0x10>; reg = <0x2000 0x10>; };")
    assert [item.address for item in reg_entries(device(board), LINUX, prop_name="linux,usable-memory")] == [0x1000]


@pytest.mark.parametrize("rules", [LINUX, LINUX_6_13, XEN], ids=lambda rules: rules.name)
def test_the_root_has_no_address(rules: AddressRules) -> None:
    board = tree(ONE + "reg = <0x1000 0x10>;")
    assert list(reg_entries(board.root, rules)) == []
    assert translate(board.root, (0x1000,), rules) == Untranslatable("the root node has no bus", "/")


@pytest.mark.parametrize(
    ("flags", "space"),
    [
        (0x00000000, None),
        (0x01000000, "io"),
        (0x02000000, "mem"),
        (0x03000000, "mem"),
        (0xC3000010, "mem"),
        (0x81FFFFFF, "io"),
    ],
)
def test_pci_space(flags: int, space: str | None) -> None:
    assert pci_space(flags) == space


# The chain: the bus nodes from the node outward, and the address on each.

CHAINED = tree(
    TWO
    + "a { "
    + ONE
    + "ranges = <0x100000 0x1 0x20000000 0x100000>; b@0 { "
    + ONE
    + "ranges = <0 0x140000 0x10000>; dev { reg = <0x8 4>, <0x20000 4>; }; }; };"
)


@pytest.mark.parametrize("rules", [LINUX, LINUX_6_13, XEN], ids=["linux", "6.13", "xen"])
def test_chain(rules: AddressRules) -> None:
    good, bad = reg_entries(device(CHAINED), rules)
    assert good.where == Translated(0x120040008, (Hop("/a/b@0", 0x8), Hop("/a", 0x140008), Hop("/", 0x120040008)))
    assert bad.where == Untranslatable("the ranges of /a/b@0 do not cover 0x20000", "/a/b@0", (Hop("/a/b@0", 0x20000),))


def test_a_chain_is_spelled_when_a_bus_changes_the_address() -> None:
    same = (Hop("/bus", 0x1000), Hop("/", 0x1000))
    assert chain_text(same) == chain_text(()) == ""
    assert chain_text((Hop("/bus", 0x7E000000), Hop("/", 0xFE000000))) == "0x7e000000 on /bus -> 0xfe000000 on /"


def test_chain_of_a_child_of_the_root() -> None:
    (entry,) = reg_entries(device(tree(ONE + "dev { reg = <0x1000 4>; };")), LINUX)
    assert entry.where == Translated(0x1000, (Hop("/", 0x1000),))


def test_chain_shows_pci_addresses_without_their_flags() -> None:
    (entry,) = reg_entries(device(tree(pci("<0x82000010 0 0x10000200 0 0x100>"))), LINUX)
    assert entry.where.chain == (("/host", 0x10000200), ("/", 0x810000200))


@pytest.mark.parametrize(
    ("body", "chain"),
    [
        (
            pci("<0x83000010 0x9 0x40 0 0x100>", "<0x83000000 0x9 0 0xa 0 0x1 0>"),
            (("/host", 0x900000040), ("/", 0xA00000040)),
        ),
        (
            TWO + "bus { " + FLAGS + "ranges = <0x200 1 0x1000 0x8 0 0 0x1000>; dev { reg = <0x200 1 0x1000 0 4>; }; };",
            (("/bus", 0x100001000), ("/", 0x800000000)),
        ),
        (
            ONE + "isa { " + ISA + "ranges = <0 0x1000 0x50000 0x1000>; dev { reg = <0 0x1040 4>; }; };",
            (("/isa", 0x1040), ("/", 0x50040)),
        ),
    ],
    ids=["pci", "flags", "isa"],
)
def test_chain_of_flagged_buses(body: str, chain: tuple[tuple[str, int], ...]) -> None:
    (entry,) = reg_entries(device(tree(body)), LINUX)
    assert entry.where.chain == chain


def test_the_node_where_it_stopped() -> None:
    board = tree(ONE + "a { b { " + ONE + "ranges; dev { reg = <0x50 4>; }; }; };")
    (linux,) = reg_entries(device(board), LINUX)
    (xen,) = reg_entries(device(board), XEN)
    assert isinstance(linux.where, Untranslatable) and isinstance(xen.where, Untranslatable)
    assert (linux.where.node, xen.where.node) == ("/a", "/a")
    assert linux.where.chain == (("/a/b", 0x50), ("/a", 0x50))
    assert xen.where.chain == (("/a/b", 0x50),)


def test_xen_loses_the_kind_of_a_pci_address_in_empty_ranges() -> None:
    # The address above has a first cell of 0, configuration space, which no window of the host has.
    board = tree(
        TWO + f"host {{ {PCI} ranges = <{MEM32}>; bridge {{ {PCI} ranges;"
        "dev { assigned-addresses = <0x82000010 0 0x10100040 0 0x100>; }; }; };"
    )
    (entry,) = reg_entries(device(board), XEN)
    assert isinstance(entry.where, Untranslatable)
    assert entry.where.reason == (
        "the ranges of /host cover 0x10100040, but not as configuration space, which the empty ranges of /host/bridge make of it"
    )


@pytest.mark.parametrize("rules", [LINUX, LINUX_6_13], ids=["linux", "6.13"])
def test_linux_hands_the_flags_on_through_empty_ranges(rules: AddressRules) -> None:
    pci_bus = tree(
        TWO + f"host {{ {PCI} ranges = <{MEM32}>; bridge {{ {PCI} ranges;"
        "dev { assigned-addresses = <0x82000010 0 0x10100040 0 0x100>; }; }; };"
    )
    flagged = tree(
        TWO + f"outer {{ {FLAGS} ranges = <0x200 0 0 0x8 0 0 0x1000>; inner {{ {FLAGS} ranges;"
        "dev { reg = <0x200 0 0x40 0 4>; }; }; };"
    )
    (behind_bridge,) = reg_entries(device(pci_bus), rules)
    (behind_inner,) = reg_entries(device(flagged), rules)
    assert (behind_bridge.address, behind_inner.address) == (0x810100040, 0x800000040)


@pytest.mark.parametrize("rules", [LINUX, LINUX_6_13, XEN], ids=["linux", "6.13", "xen"])
def test_the_last_address_of_all_means_failure(rules: AddressRules) -> None:
    last, before = reg_entries(
        device(tree(TWO + "dev { reg = <0xffffffff 0xffffffff 0 1 0xffffffff 0xfffffffe 0 1>; };")), rules
    )
    assert isinstance(last.where, Untranslatable)
    assert last.where.reason == "0xffffffffffffffff is the value by which a failed translation is told"
    assert before.address == 0xFFFFFFFFFFFFFFFE


# Every reg, also where the rules see no address: nothing is left out, and nothing is passed through.


@pytest.mark.parametrize(
    ("body", "linux", "newer", "xen"),
    [
        (
            ONE + "i2c { " + ONE + "dev { reg = <0x50 4>; }; };",
            "/i2c has no ranges",
            "/i2c has no ranges",
            "/i2c is not a valid bus: it has no ranges",
        ),
        (
            TWO + "soc { ranges; dev { reg = <1 0x2000 0 0x10>; }; };",
            0x100002000,
            "/soc is not a valid bus: it has no #address-cells",
            0x100002000,
        ),
        (
            ONE + "cpus { #address-cells = <1>; #size-cells = <0>; dev { reg = <0>; }; };",
            "/cpus has #address-cells 1 and #size-cells 0",
            "/cpus has #address-cells 1 and #size-cells 0",
            "/cpus is not a valid bus: it has no ranges",
        ),
        (
            TWO + f"host {{ {PCI} ranges = <{MEM32}>; dev {{ reg = <0x800 0 0 0 0>; }}; }};",
            "a PCI configuration or I/O address, not memory",
            "a PCI configuration or I/O address, not memory",
            "the ranges of /host do not cover 0x0",
        ),
        (
            "#address-cells = <0>; #size-cells = <1>; dev { reg = <4>; };",
            "/ has #address-cells 0",
            "/ has #address-cells 0",
            "/ has #address-cells 0",
        ),
        (
            "#address-cells = <5>; #size-cells = <1>; dev { reg = <0 0 0 0 1 2>; };",
            "/ has #address-cells 5 and #size-cells 1",
            "/ has #address-cells 5 and #size-cells 1",
            "/ has #address-cells 5 and #size-cells 1",
        ),
    ],
    ids=["no ranges", "inherited", "cpu", "pci configuration", "no address cells", "five address cells"],
)
def test_all_reg_entries(body: str, linux: int | str, newer: int | str, xen: int | str) -> None:
    board = tree(body)
    for rules, expected in ((LINUX, linux), (LINUX_6_13, newer), (XEN, xen)):
        (entry,) = all_reg_entries(board, rules)
        assert entry.node is device(board)
        if isinstance(expected, int):
            assert entry.address == expected
        else:
            assert isinstance(entry.where, Untranslatable)
            assert re.match(re.escape(expected), entry.where.reason), entry.where.reason


def test_all_reg_entries_in_document_order() -> None:
    board = tree(
        ONE + "reg = <1 2>; b { reg = <0x20 0>, <0x10 1>; }; a { reg = <0x5 0x1>; }; none { }; odd { reg = [00]; };"
    )
    found = [(item.node.path, item.nth, item.address, item.size) for item in all_reg_entries(board, LINUX)]
    assert found == [("/b", 0, 0x20, 0), ("/b", 1, 0x10, 1), ("/a", 0, 0x5, 1)]
    assert node(board, "/none").prop("reg") is None
