"""What Xen's scan of the flat tree counts as RAM and as reserved, release by release."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from dtanalyze.devicetree.blob import parse
from dtanalyze.xen.bootfdt import boot_fdt_info
from dtanalyze.xen.bootinfo import Bank, BootInfo, Module
from dtanalyze.xen.profile import preset
from tests.xen.build import HEAD, blob, host

RAM = [("0x40000000", "0x80000000")]


def scan(
    body: str, release: str, reservations: tuple[tuple[int, int], ...] = (), modules: tuple[Module, ...] = ()
) -> BootInfo:
    return boot_fdt_info(host(body, reservations), preset(release), modules=modules)


def pairs(banks: Iterable[Bank]) -> list[tuple[str, str]]:
    return [(hex(bank.start), hex(bank.stop)) for bank in banks]


@pytest.mark.parametrize(("release", "found"), [("4.17", 3), ("4.19", 3), ("4.20", 1), ("4.22", 1)])
def test_memory_by_name_at_any_depth_up_to_4_19(release: str, found: int) -> None:
    body = """
    soc { #address-cells = <2>; #size-cells = <2>; memory@90000000 { reg = <0 0x90000000 0 0x1000>; }; };
    memory@a0000000 { reg = <0 0xa0000000 0 0x1000>; };
    """
    assert len(scan(body, release).mem) == found


@pytest.mark.parametrize(("release", "found"), [("4.18", 2), ("4.19", 1), ("4.22", 1)])
def test_disabled_memory_counts_up_to_4_18(release: str, found: int) -> None:
    body = 'memory@90000000 { device_type = "memory"; status = "disabled"; reg = <0 0x90000000 0 0x1000>; };'
    assert len(scan(body, release).mem) == found


def test_banks_are_sorted_and_empty_ones_left_out() -> None:
    body = 'memory@0 { device_type = "memory"; reg = <0 0 0 0>, <0 0x1000000 0 0x1000000>; };'
    assert pairs(scan(body, "4.22").mem) == [("0x1000000", "0x2000000"), *RAM]


RESERVED = """
reserved-memory { #address-cells = <2>; #size-cells = <2>; ranges;
    one@50000000 { reg = <0 0x50000000 0 0x200000>; };
    dynamic { size = <0 0x100000>; };
    two@60000000 { status = "disabled"; reg = <0 0x60000000 0 0x200000>; };
};
"""


@pytest.mark.parametrize(
    ("release", "found"),
    [
        ("4.18", [("0x50000000", "0x50200000"), ("0x60000000", "0x60200000")]),
        ("4.19", [("0x48000000", "0x48001000"), ("0x50000000", "0x50200000")]),
    ],
)
def test_reserved_memory_status_and_memreserve(release: str, found: list[tuple[str, str]]) -> None:
    info = scan(RESERVED, release, reservations=((0x48000000, 0x1000),))
    assert pairs(info.reserved_mem) == found
    assert info.panic is None and info.stopped_at is None


OVERLAPPING = """
reserved-memory { #address-cells = <2>; #size-cells = <2>; ranges;
    one@50000000 { reg = <0 0x50000000 0 0x200000>; };
    two@50100000 { reg = <0 0x50100000 0 0x200000>; };
};
memory@90000000 { device_type = "memory"; reg = <0 0x90000000 0 0x1000>; };
"""


@pytest.mark.parametrize(
    ("release", "panic", "stopped", "banks"),
    [
        ("4.17", None, None, 2),
        ("4.18", None, "/reserved-memory/two@50100000", 1),
        ("4.19", "Early FDT parsing failed (-22)", "/reserved-memory/two@50100000", 1),
        ("4.22", "Early FDT parsing failed (-22)", "/reserved-memory/two@50100000", 1),
    ],
)
def test_overlapping_reservations(release: str, panic: str | None, stopped: str | None, banks: int) -> None:
    """4.17 does not look, 4.18 stops the scan so that the later memory node is never seen, 4.19 panics."""
    info = scan(OVERLAPPING, release)
    assert (info.panic, info.stopped_at, len(info.mem)) == (panic, stopped, banks)


@pytest.mark.parametrize(
    ("release", "panic"),
    [
        ("4.19.0", "Early FDT parsing failed (-22)"),
        ("4.19.1", "Early FDT parsing failed (-22)"),
        ("4.19.2", None),
        ("4.20", None),
    ],
)
def test_reservation_inside_memreserve_is_tolerated_from_4_19_2(release: str, panic: str | None) -> None:
    assert scan(RESERVED, release, reservations=((0x50000000, 0x400000),)).panic == panic


@pytest.mark.parametrize(("release", "panic"), [("4.18", None), ("4.19", "Early FDT parsing failed (-2)"), ("4.20", None)])
def test_memory_node_without_reg(release: str, panic: str | None) -> None:
    """Up to 4.19 any node called memory has to have one; up to 4.18 nobody hears of it."""
    info = scan('memory { }; memory@90000000 { device_type = "memory"; reg = <0 0x90000000 0 0x1000>; };', release)
    assert info.panic == panic
    assert len(info.mem) == {"4.18": 1, "4.19": 1, "4.20": 2}[release]


def test_cells_of_zero_are_an_error() -> None:
    body = '#address-cells = <2>; #size-cells = <0>; memory@0 { device_type = "memory"; reg = <0 0x40000000>; };'
    assert boot_fdt_info(parse(blob(body)), preset("4.22")).panic == "Early FDT parsing failed (-22)"


MODULES = """
chosen { #address-cells = <2>; #size-cells = <2>;
    module@48000000 { compatible = "multiboot,kernel", "multiboot,module"; reg = <0 0x48000000 0 0x1000000>; };
    module@48800000 { compatible = "multiboot,ramdisk", "multiboot,module"; reg = <0 0x48800000 0 0x1000000>; };
    guest { compatible = "xen,domain"; #address-cells = <2>; #size-cells = <2>;
        module@4b000000 { compatible = "multiboot,kernel", "multiboot,module"; reg = <0 0x4b000000 0 0x1000>; };
    };
};
"""


@pytest.mark.parametrize(("release", "dropped"), [("4.17", ()), ("4.18", ("/chosen/module@48800000",))])
def test_overlapping_modules_are_dropped_from_4_18(release: str, dropped: tuple[str, ...]) -> None:
    info = scan(MODULES, release)
    assert info.dropped == dropped
    kernels = [(item.start, item.domu) for item in info.modules if item.kind == "Kernel"]
    assert kernels == [(0x48000000, False), (0x4B000000, True)]


def test_kinds_are_guessed_in_order() -> None:
    body = """chosen { #address-cells = <2>; #size-cells = <2>;
        a@48000000 { compatible = "multiboot,module"; reg = <0 0x48000000 0 0x1000>; };
        b@49000000 { compatible = "multiboot,module"; reg = <0 0x49000000 0 0x1000>; };
        c@4a000000 { compatible = "multiboot,module"; reg = <0 0x4a000000 0 0x1000>; };
        d@4b000000 { compatible = "xen,xsm-policy", "multiboot,module"; reg = <0 0x4b000000 0 0x1000>; };
    };
    elsewhere { #address-cells = <2>; #size-cells = <2>; e@1 { compatible = "multiboot,module"; }; };"""
    assert [item.kind for item in scan(body, "4.22").modules] == ["Kernel", "Ramdisk", "Unknown", "XSM"]


def test_more_modules_than_xen_has_room_for() -> None:
    body = "chosen { #address-cells = <2>; #size-cells = <2>;" + "".join(
        f'm@{at:x} {{ compatible = "multiboot,module"; reg = <0 {at:#x} 0 0x1000>; }};'
        for at in range(0x48000000, 0x48000000 + 34 * 0x10000, 0x10000)
    )
    info = scan(body + "};", "4.22")
    assert (len(info.modules), len(info.dropped)) == (32, 2)


@pytest.mark.parametrize(
    ("module", "panic"),
    [
        ('m { compatible = "multiboot,module"; };', "node m missing `reg' property"),
        (
            'm { compatible = "multiboot,module"; reg = <0 0x48000000 0>; };',
            "fdt: node `m': `reg` property length is too short",
        ),
    ],
)
def test_broken_modules_panic(module: str, panic: str) -> None:
    body = "chosen { #address-cells = <2>; #size-cells = <2>; " + module + " };"
    assert scan(body, "4.17").panic == panic


def test_a_module_where_cells_are_none_lies_nowhere() -> None:
    """No cell is read: address and size are zero, and a reg of any length is long enough."""
    for reg in ("reg;", "reg = <0 0x48000000 0 0x1000>;"):
        body = f'chosen {{ #address-cells = <0>; #size-cells = <0>; m {{ compatible = "multiboot,module"; {reg} }}; }};'
        (module,) = scan(body, "4.22").modules
        assert (module.start, module.size) == (0, 0)


@pytest.mark.parametrize(
    ("properties", "panic"),
    [
        ("linux,initrd-start = <0x48000000>; linux,initrd-end = <0x49000000>;", None),
        ("linux,initrd-start = <0x48000000>;", "Early FDT parsing failed (-22)"),
        ("linux,initrd-start = <0x48000000>; linux,initrd-end = <0x48000000>;", "Early FDT parsing failed (-22)"),
        ("linux,initrd-start = <0 0 0>; linux,initrd-end = <1>;", "Early FDT parsing failed (-22)"),
    ],
)
def test_initrd_in_chosen(properties: str, panic: str | None) -> None:
    info = scan("chosen { " + properties + " };", "4.22")
    assert info.panic == panic
    assert [(item.kind, item.start, item.size) for item in info.modules] == (
        [] if panic else [("Ramdisk", 0x48000000, 0x1000000)]
    )


def test_cells_below_reserved_memory_start_from_it() -> None:
    """device_tree_for_each_node: each count is a node's own or what its parent's children have, and never the root's."""
    body = """reserved-memory { #address-cells = <1>;
        group { reg = <0x50000000 0x1000>; #address-cells = <2>; inner { reg = <0 0x51000000 0x1000>; leaf { reg = <0 0x52000000 0x1000>; }; }; };
    };"""
    found = pairs(scan(body, "4.22").reserved_mem)
    assert found == [("0x50000000", "0x50001000"), ("0x51000000", "0x51001000"), ("0x52000000", "0x52001000")]


def test_static_heap_and_static_memory_are_reserved() -> None:
    body = """chosen { #address-cells = <2>; #size-cells = <2>; xen,static-heap = <0 0x50000000 0 0x1000000>;
        guest { compatible = "xen,domain"; xen,static-mem = <0 0x60000000 0 0x1000000>; };
    };"""
    # A child of the root takes the root's cells for xen,static-heap, and /chosen's for its domains.
    assert pairs(scan(body, "4.22").reserved_mem) == [("0x50000000", "0x51000000"), ("0x60000000", "0x61000000")]


def test_static_memory_has_cells_of_its_own_in_4_16() -> None:
    body = """chosen { #address-cells = <2>; #size-cells = <2>;
        guest { compatible = "xen,domain"; #xen,static-mem-address-cells = <1>; #xen,static-mem-size-cells = <1>;
            xen,static-mem = <0x60000000 0x1000000>; };
    };"""
    assert pairs(scan(body, "4.16").reserved_mem) == [("0x60000000", "0x61000000")]


def test_static_memory_without_cells_of_its_own_ends_the_scan_of_4_16() -> None:
    body = """chosen { #address-cells = <2>; #size-cells = <2>;
        guest { compatible = "xen,domain"; xen,static-mem = <0 0x60000000 0 0x1000000>; }; };"""
    assert (scan(body, "4.16").stopped_at, scan(body, "4.17").stopped_at) == ("/chosen/guest", None)


def test_shared_memory_banks() -> None:
    body = """chosen { #address-cells = <1>; #size-cells = <1>;
        guest { compatible = "xen,domain"; #address-cells = <1>; #size-cells = <1>;
            shm@50000000 { compatible = "xen,domain-shared-memory-v1"; xen,shm-id = "a"; xen,shared-mem = <0x50000000 0x70000000 0x200000>; };
        };
    };"""
    assert pairs(scan(body, "4.22").shmem) == [("0x50000000", "0x50200000")]
    assert pairs(scan(body, "4.16").shmem) == [], "4.16 knows no shared memory"


SHARED = """chosen {{ #address-cells = <1>; #size-cells = <1>;
    guest {{ compatible = "xen,domain"; {cells}
        one {{ compatible = "xen,domain-shared-memory-v1"; {one} }};
        two {{ compatible = "xen,domain-shared-memory-v1"; {two} }};
    }};
}};"""
CELLS = "#address-cells = <1>; #size-cells = <1>;"
GOOD = 'xen,shm-id = "a"; xen,shared-mem = <0x50000000 0x70000000 0x200000>;'


@pytest.mark.parametrize(
    ("two", "release", "code"),
    [
        (GOOD, "4.22", None),  # the same region named twice: an owner and a borrower
        ('xen,shm-id = "b"; xen,shared-mem = <0x60000000 0x70000000 0x200000>;', "4.22", None),
        ('xen,shm-id = "a"; xen,shared-mem = <0x60000000 0x70000000 0x200000>;', "4.22", -22),  # one id, two regions
        ('xen,shm-id = "b"; xen,shared-mem = <0x50000000 0x70000000 0x200000>;', "4.22", -22),  # two ids, one region
        ('xen,shm-id = "b"; xen,shared-mem = <0x50100000 0x70000000 0x200000>;', "4.22", -22),  # overlap
        ('xen,shm-id = "0123456789abcdef"; xen,shared-mem = <0x60000000 0x70000000 0x1000>;', "4.22", -22),
        ('xen,shm-id = "0123456789abcde"; xen,shared-mem = <0x60000000 0x70000000 0x1000>;', "4.22", None),
        ('xen,shm-id = "b"; xen,shared-mem = <0x60000800 0x70000000 0x1000>;', "4.22", -22),
        ('xen,shm-id = "b"; xen,shared-mem = <0x60000000 0x70000000 0x1800>;', "4.22", -22),
        ('xen,shm-id = "b"; xen,shared-mem = <0x60000000 0x70000000 0>;', "4.22", -22),
        ('xen,shm-id = "b"; xen,shared-mem = <0x60000000 0x70000000 0x1000 0>;', "4.22", -22),
        ('xen,shm-id = "b"; xen,shared-mem = <0x70000000 0x1000>;', "4.20", None),  # Xen finds the memory itself
        ('xen,shm-id = "a"; xen,shared-mem = <0x70000000 0x200000>;', "4.20", None),
        ('xen,shm-id = "a"; xen,shared-mem = <0x70000000 0x400000>;', "4.20", -22),
        ('xen,shm-id = "b"; xen,shared-mem = <0x70000000 0x1000>;', "4.19", None),
        ("xen,shared-mem = <0x60000000 0x70000000 0x1000>;", "4.22", -2),
        ('xen,shm-id = "b";', "4.22", -2),
    ],
)
def test_what_a_shared_memory_node_may_say(two: str, release: str, code: int | None) -> None:
    info = scan(SHARED.format(cells=CELLS, one=GOOD, two=two), release)
    assert info.panic == (None if code is None else f"Early FDT parsing failed ({code})")
    assert (info.stopped_at is None) is (code is None)


def test_shared_memory_without_a_host_address_is_new_in_4_19() -> None:
    without = 'xen,shm-id = "b"; xen,shared-mem = <0x70000000 0x1000>;'
    info = scan(SHARED.format(cells=CELLS, one=GOOD, two=without), "4.18")
    assert info.panic is None and info.stopped_at is not None, "the scan ends there without a word"


def test_shared_memory_without_cells() -> None:
    body = SHARED.format(cells="#address-cells = <1>; #size-cells = <0>;", one=GOOD, two=GOOD)
    assert scan(body, "4.22").panic == "Early FDT parsing failed (-22)"


def test_more_reservations_than_banks() -> None:
    children = "".join(
        f"r@{at:x} {{ reg = <0 {at:#x} 0 0x1000>; }};" for at in range(0x50000000, 0x50000000 + 257 * 0x2000, 0x2000)
    )
    body = "reserved-memory { #address-cells = <2>; #size-cells = <2>; ranges; " + children + "};"
    assert scan(body, "4.22").panic == "Max number of supported reserved-memory regions reached."
    many = tuple((0x50000000 + at * 0x2000, 0x1000) for at in range(257))
    assert boot_fdt_info(parse(blob(HEAD, many)), preset("4.22")).panic == "Cannot allocate reserved memory bank"


def test_modules_known_before_count_as_overlapping() -> None:
    known = (Module("Device Tree", 0x50000000, 0x10000, "", False),)
    assert scan(RESERVED, "4.22", modules=known).panic == "Early FDT parsing failed (-22)"
