"""What a tree says of the hardware: memory, reservations, devices, PCI windows, the hypervisor node."""

from __future__ import annotations

import json
import re

import pytest

from dtanalyze.address.range import AddressRange, RawRange
from dtanalyze.board.build import build_board, hypervisor_nodes, pci_windows
from dtanalyze.board.bus import LINUX, LINUX_6_13, XEN, AddressRules
from dtanalyze.board.model import Board, entry_range
from dtanalyze.board.translate import Hop, Untranslatable, reg_entries
from dtanalyze.devicetree.blob import parse
from tests.conftest import FIXTURES
from tests.trees import dtb, node, tree

ONE = "#address-cells = <1>; #size-cells = <1>;"
TWO = "#address-cells = <2>; #size-cells = <2>;"


def board(body: str, rules: AddressRules = LINUX, reservations: tuple[tuple[int, int], ...] = ()) -> Board:
    return build_board(parse(dtb(body, reservations)), rules)


def test_an_empty_tree() -> None:
    made = board("")
    assert (made.memory, made.memreserve, made.reservations, made.devices, made.pci_hosts) == ((),) * 5
    assert (made.reserved_memory, made.hypervisors, made.chosen) == (None, (), None)


def test_the_board_keeps_tree_and_rules() -> None:
    of = tree(ONE)
    made = build_board(of, XEN)
    assert made.tree is of
    assert made.rules is XEN


# Memory: who may take a node for RAM, Linux by its type and older Xen by its name, is asked later.


def test_memory_nodes() -> None:
    made = board(
        ONE
        + 'memory@1000 { device_type = "memory"; reg = <0x1000 0x10>; };'
        + "memory { reg = <0x2000 0x10>; };"
        + 'bank { device_type = "memory"; reg = <0x3000 0x10>; };'
        + 'memory@4000 { device_type = "memory"; reg = <0x4000 0x10>; status = "disabled"; };'
        + "memory-controller@5000 { reg = <0x5000 0x10>; };"
        + 'soc { ranges; memory@6000 { device_type = "memory"; reg = <0x6000 0x10>; }; };'
    )
    assert [(item.node.path, item.by_type, item.by_name, item.enabled) for item in made.memory] == [
        ("/memory@1000", True, True, True),
        ("/memory", False, True, True),
        ("/bank", True, False, True),
        ("/memory@4000", True, True, False),
    ]
    # What is not taken for memory is a device; a memory node never is.
    assert [item.node.path for item in made.devices] == ["/memory-controller@5000", "/soc/memory@6000"]


def test_memreserve_is_kept_with_its_offsets() -> None:
    made = board(ONE, reservations=((0x80000000, 0x1000), (0x90000000, 0x2000)))
    assert made.memreserve == ((RawRange(0x80000000, 0x1000), 40), (RawRange(0x90000000, 0x2000), 56))


def test_reservations() -> None:
    made = board(
        TWO
        + "reserved-memory { "
        + TWO
        + """ranges;
        fixed@1000 { reg = <0 0x1000 0 0x100>, <1 0x2000 0 0x200>; no-map; };
        pool { size = <1 0x4000>; reusable; };
        both { reg = <0 0x3000 0 0x100>; size = <0 0x4000>; };
        nothing { };
        off@5000 { reg = <0 0x5000 0 0x100>; status = "disabled"; };
        };"""
    )
    assert made.reserved_memory is made.tree.find("/reserved-memory")
    shown = [
        (item.node.name, [entry_range(e) for e in item.entries], item.no_map, item.reusable, item.dynamic_size, item.enabled)
        for item in made.reservations
    ]
    assert shown == [
        ("fixed@1000", [AddressRange(0x1000, 0x100), AddressRange(0x100002000, 0x200)], True, False, None, True),
        ("pool", [], False, True, 0x100004000, True),
        ("both", [AddressRange(0x3000, 0x100)], False, False, None, True),
        ("nothing", [], False, False, None, True),
        ("off@5000", [AddressRange(0x5000, 0x100)], False, False, None, False),
    ]
    assert made.devices == ()


def test_reservations_that_linux_cannot_translate() -> None:
    made = board(TWO + "reserved-memory { " + TWO + "fixed@1000 { reg = <0 0x1000 0 0x100>; }; };")
    (entry,) = made.reservations[0].entries
    assert entry.where == Untranslatable(
        "/reserved-memory has no ranges: its bus is not part of the CPU's address space",
        "/reserved-memory",
        (Hop("/reserved-memory", 0x1000),),
    )


def test_devices_in_document_order_with_all_their_entries() -> None:
    made = board(
        ONE
        + """b@20 { reg = <0x20 0x10>; };
        soc { #address-cells = <1>; #size-cells = <1>; ranges = <0 0x1000000 0x10000>;
            uart@100 { reg = <0x100 0x10>, <0x20000 0x10>, <0x200 0>; inner@0 { }; };
            none { };
        };
        a@10 { reg = <0x10 0x10>; };"""
    )
    assert [(item.node.path, [entry.address for entry in item.entries]) for item in made.devices] == [
        ("/b@20", [0x20]),
        ("/soc/uart@100", [0x1000100, None, 0x1000200]),
        ("/a@10", [0x10]),
    ]
    ranges = [entry_range(entry) for entry in made.devices[1].entries]
    assert ranges == [AddressRange(0x1000100, 0x10), None, None]  # not translatable; empty


@pytest.mark.parametrize("name", ["chosen", "aliases", "__symbols__", "__fixups__", "__local_fixups__", "reserved-memory"])
def test_root_nodes_that_are_no_devices(name: str) -> None:
    made = board(ONE + f"{name} {{ ranges; reg = <0x20 1>; inner@10 {{ reg = <0x10 1>; }}; }};")
    assert made.devices == ()


def test_such_names_further_down_are_devices() -> None:
    made = board(ONE + "soc { ranges; chosen { reg = <0x10 1>; }; };")
    assert [item.node.path for item in made.devices] == ["/soc/chosen"]


def test_a_disabled_bus_disables_its_devices() -> None:
    made = board(
        ONE
        + """on { ranges; d@1 { reg = <1 1>; }; d@2 { reg = <2 1>; status = "disabled"; }; };
        off { ranges; status = "disabled"; d@3 { reg = <3 1>; status = "okay"; }; sub { ranges; d@4 { reg = <4 1>; }; }; };
        failed { ranges; status = "fail"; d@5 { reg = <5 1>; }; };"""
    )
    assert [(item.node.name, item.enabled) for item in made.devices] == [
        ("d@1", True),
        ("d@2", False),
        ("d@3", False),
        ("d@4", False),
        ("d@5", False),
    ]


def test_what_the_rules_do_not_see_is_no_device() -> None:
    body = TWO + "soc { ranges; d@1 { reg = <0 1 0 1>; }; }; i2c { d@2 { reg = <0 2 0 1>; }; };"
    assert [item.node.name for item in board(body, LINUX).devices] == ["d@1", "d@2"]
    assert [item.node.name for item in board(body, LINUX_6_13).devices] == []
    assert [item.node.name for item in board(body, XEN).devices] == ["d@1"]


# The hypervisor node.


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        ('hypervisor { compatible = "xen,xen-4.20", "xen,xen"; };', ["/hypervisor"]),
        ('hypervisor { compatible = "vendor,other"; };', ["/hypervisor"]),
        ("hypervisor { };", ["/hypervisor"]),
        ('xen { compatible = "xen,xen"; };', ["/xen"]),
        ('xen { compatible = "XEN,Xen"; };', ["/xen"]),
        ('soc { deep { compatible = "xen,xen"; }; }; hypervisor { };', ["/soc/deep", "/hypervisor"]),
        ("soc { hypervisor { }; };", []),
        ('hypervisor@0 { compatible = "xen,xen-4.20"; };', []),
        ('other { compatible = "xen,xenstore"; };', []),
    ],
)
def test_hypervisor_nodes(body: str, paths: list[str]) -> None:
    assert [item.path for item in hypervisor_nodes(tree(body).root)] == paths


def test_the_hypervisor_and_what_is_below_it_are_no_devices() -> None:
    made = board(ONE + 'hypervisor { compatible = "xen,xen"; ranges; reg = <0x10 1>; uefi { reg = <0x20 1>; }; };')
    assert [item.path for item in made.hypervisors] == ["/hypervisor"]
    assert made.devices == ()


def test_chosen() -> None:
    made = board('chosen { bootargs = "console=hvc0"; }; soc { chosen { }; };')
    assert made.chosen is not None
    assert made.chosen.path == "/chosen"


# PCI host bridges.

PCI = '#address-cells = <3>; #size-cells = <2>; device_type = "pci";'


def test_pci_host_bridges() -> None:
    made = board(
        TWO
        + f"""pcie@1 {{ {PCI} reg = <0 0x1000 0 0x1000>;
            ranges = <0x81000000 0 0 0x8 0x20000000 0 0x10000>,
                     <0x82000000 0 0x10000000 0x8 0x10000000 0 0x1000000>,
                     <0xc3000000 0x9 0 0x9 0 0x1 0>;
            bridge@0 {{ {PCI} ranges; }}; }};
        pcie@2 {{ {PCI} status = "disabled"; ranges; }};
        pcie@3 {{ #address-cells = <3>; #size-cells = <2>; ranges; pcie@0 {{ {PCI} ranges; }}; }};
        pcie@4 {{ compatible = "vendor,phy"; }};
        pci@5 {{ #address-cells = <3>; #size-cells = <2>; ranges; }};"""
    )
    # drivers/of/address.c takes a node called pcie for a PCI bus, one called pci only with device_type.
    assert [(item.node.path, len(item.windows), item.enabled) for item in made.pci_hosts] == [
        ("/pcie@1", 3, True),
        ("/pcie@2", 0, False),
        ("/pcie@3", 0, True),
    ]
    found = [(w.space, w.flags, w.bus_address, w.size, w.range) for w in made.pci_hosts[0].windows]
    assert found == [
        ("io", 0x81000000, 0, 0x10000, AddressRange(0x820000000, 0x10000)),
        ("mem", 0x82000000, 0x10000000, 0x1000000, AddressRange(0x810000000, 0x1000000)),
        ("mem", 0xC3000000, 0x900000000, 0x100000000, AddressRange(0x900000000, 0x100000000)),
    ]
    ranges = made.pci_hosts[0].node.properties["ranges"]
    assert [w.offset - ranges.offset for w in made.pci_hosts[0].windows] == [0, 28, 56]


def test_pci_windows_are_translated_from_the_bus_above() -> None:
    of = tree(
        TWO
        + "soc { #address-cells = <1>; #size-cells = <1>; ranges = <0 0x4 0 0x1000000>;"
        + f"pcie@1 {{ {PCI} ranges = <0x82000000 0 0 0x1000 0 0x100>, <0x82000000 0 0 0x2000000 0 0x100>; }}; }};"
    )
    good, bad = pci_windows(node(of, "/soc/pcie@1"), LINUX)
    assert good.range == AddressRange(0x400001000, 0x100)
    assert bad.range is None
    assert isinstance(bad.where, Untranslatable)
    assert bad.where.reason == "the ranges of /soc do not cover 0x2000000"


def test_pci_windows_of_odd_bridges() -> None:
    of = tree(
        TWO
        + f"none {{ {PCI} }}; empty {{ {PCI} ranges; }};"
        + f"partial {{ {PCI} ranges = <0x82000000 0 0 0 0x1000 0 0x100 0x82000000>; }};"
        + f"short {{ {PCI} ranges = <0x82000000 0 0 0 0x1000 0>; }};"
        + f"zero {{ {PCI} ranges = <0x82000000 0 0 0 0x1000 0 0>; }};"
        + f"config {{ {PCI} ranges = <0 0 0 0 0x1000 0 0x100>; }};"
    )
    shown = {item.name: [(w.space, w.range) for w in pci_windows(item, LINUX)] for item in of.root.children}
    assert shown == {
        "none": [],
        "empty": [],
        "partial": [("mem", AddressRange(0x1000, 0x100))],
        "short": [],
        "zero": [("mem", None)],
        "config": [(None, AddressRange(0x1000, 0x100))],
    }
    assert list(pci_windows(of.root, LINUX)) == []


# Recorded boots: lines of /proc/iomem that carry a node's name say where Linux found that node.

# 16b is left out: no driver for that board was loaded.
BOOTS = sorted(path.stem for path in (FIXTURES / "dtb" / "boots").glob("*.dtb") if not path.stem.startswith("16b"))
IOMEM_LINE = re.compile(r" *([0-9a-f]+)-([0-9a-f]+) : (?:\S+ )?(\S+@[0-9a-f]+)")


@pytest.mark.parametrize("name", BOOTS)
def test_where_linux_found_the_nodes(name: str) -> None:
    made = build_board(parse((FIXTURES / "dtb" / "boots" / f"{name}.dtb").read_bytes()), LINUX)
    known = {(item.node.name, entry_range(entry)) for item in made.devices for entry in item.entries}
    known |= {(host.node.name, window.range) for host in made.pci_hosts for window in host.windows}
    recorded = json.loads((FIXTURES / "boots" / f"{name}.json").read_text())
    lines = [match for line in recorded["iomem_before"] if (match := IOMEM_LINE.fullmatch(line))]
    for match in lines:
        found = AddressRange.spanning(int(match[1], 16), int(match[2], 16) + 1)
        assert (match[3], found) in known, match[0]
    assert lines


def test_a_recorded_dom0_tree() -> None:
    # boots/01, as Xen printed it: RAM 0x60000000-0x7fffffff; as /proc/iomem has it: two memory windows and the ECAM.
    made = build_board(parse((FIXTURES / "dtb" / "boots" / "01-dom0-x420-l612.dtb").read_bytes()), LINUX)
    assert [item.path for item in made.hypervisors] == ["/hypervisor"]
    (memory,) = made.memory
    assert [entry.address for entry in reg_entries(memory.node, LINUX)] == [0x60000000]
    (host,) = made.pci_hosts
    assert [item.range for item in host.windows if item.space == "mem"] == [
        AddressRange.spanning(0x10000000, 0x3EFF0000),
        AddressRange.spanning(0x8000000000, 0x10000000000),
    ]
    (ecam,) = [item for item in made.devices if item.node is host.node]
    assert [entry_range(entry) for entry in ecam.entries] == [AddressRange.spanning(0x4010000000, 0x4020000000)]
