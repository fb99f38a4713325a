"""iomem_resource when a first grant is mapped: who is in it for certain, who may be, and who never is (spec 4.2, 4.4)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from dtanalyze.linux.boot import Verdict, grant_table
from dtanalyze.linux.iomem import Iomem, Unseen, build_iomem, new_root, unseen_users
from dtanalyze.linux.memblock import memblock
from dtanalyze.linux.profile import PRESETS
from tests.linux.build import ROOT, answer, board, guest, reg, words

RAM = 'memory@40000000 { device_type = "memory"; reg = <0 0x40000000 0 0x40000000>; };'
GICV3 = 'compatible = "arm,gic-v3"; interrupt-controller;'


def built(body: str, linux: str = "6.12", reservations: Sequence[tuple[int, int]] = ()) -> Iomem:
    made = board(ROOT + body, linux, reservations)
    return build_iomem(made, memblock(made, PRESETS[linux]))


def certain(body: str, linux: str = "6.12", reservations: Sequence[tuple[int, int]] = ()) -> list[tuple[int, int, int, str]]:
    """Depth, start, end and name of everything below the root."""
    root = built(body, linux, reservations).root
    return [(depth, item.start, item.end, item.name) for depth, item in root.walk()][1:]


def possible(body: str) -> list[tuple[str, int, int, str]]:
    return [(user.kind, user.range.start, user.range.last, user.source) for user in built(body).possible]


def test_an_empty_tree_leaves_an_empty_root() -> None:
    root = new_root()
    assert (root.name, root.start, root.end, root.children) == ("PCI mem", 0, (1 << 64) - 1, [])
    assert certain("") == []


# RAM and reservations, 4.2.


def test_no_map_splits_system_ram_and_stands_beside_it() -> None:
    body = (
        RAM
        + f"""
        reserved-memory {{ {ROOT} ranges;
            fw@50000000 {{ {reg([(0x50000000, 0x1000)])} no-map; }};
            fb@60000000 {{ {reg([(0x60000000, 0x2000)])} }};
            out@90000000 {{ {reg([(0x90000000, 0x1000)])} no-map; }};
        }};"""
    )
    assert certain(body) == [
        (1, 0x40000000, 0x4FFFFFFF, "System RAM"),
        (1, 0x50000000, 0x50000FFF, "reserved"),
        (1, 0x50001000, 0x7FFFFFFF, "System RAM"),
        (2, 0x60000000, 0x60001FFF, "reserved"),
    ]
    root = built(body).root
    assert [(item.system_ram, item.source) for item in root.children] == [
        (True, "/memory@40000000"),
        (False, "/reserved-memory/fw@50000000"),
        (True, "/memory@40000000"),
    ]


def test_touching_banks_are_one_system_ram() -> None:
    body = RAM + 'memory@80000000 { device_type = "memory"; reg = <0 0x80000000 0 0x1000>; };'
    assert certain(body) == [(1, 0x40000000, 0x80000FFF, "System RAM")]


def test_the_reserve_map_nests_in_ram() -> None:
    assert certain(RAM, reservations=[(0x7FFFF000, 0x2000)]) == [
        (1, 0x40000000, 0x7FFFFFFF, "System RAM"),
        (2, 0x7FFFF000, 0x7FFFFFFF, "reserved"),
    ]


# Interrupt controllers.


def test_gicv3_requests_distributor_and_redistributors_and_nothing_more() -> None:
    pairs = [(0x8000000, 0x10000), (0x80A0000, 0xF60000), (0x8010000, 0x1000)]
    assert certain(f"gic@8000000 {{ {GICV3} {reg(pairs)} }};") == [
        (1, 0x8000000, 0x800FFFF, "GICD"),
        (1, 0x80A0000, 0x8FFFFFF, "GICR"),
    ]
    assert possible(f"gic@8000000 {{ {GICV3} {reg(pairs)} }};") == [
        ("device", 0x8010000, 0x8010FFF, "/gic@8000000"),
    ]


def test_gicv3_with_two_redistributor_regions() -> None:
    pairs = [(0x8000000, 0x10000), (0x9000000, 0x1000), (0xA000000, 0x1000), (0xB000000, 0x1000)]
    body = f"gic@8000000 {{ {GICV3} #redistributor-regions = <2>; {reg(pairs)} }};"
    assert [(start, name) for _, start, _, name in certain(body)] == [
        (0x8000000, "GICD"),
        (0x9000000, "GICR"),
        (0xA000000, "GICR"),
    ]
    assert possible(body) == [("device", 0xB000000, 0xB000FFF, "/gic@8000000")]


def test_gicv2_is_mapped_without_a_request() -> None:
    body = f'gic@8000000 {{ compatible = "arm,cortex-a15-gic"; {reg([(0x8000000, 0x1000), (0x8010000, 0x2000)])} }};'
    assert certain(body) == []
    assert [start for _, start, _, _ in possible(body)] == [0x8000000, 0x8010000]


def test_a_disabled_gic_claims_nothing() -> None:
    body = f'gic@8000000 {{ {GICV3} status = "disabled"; {reg([(0x8000000, 0x10000), (0x80A0000, 0x1000)])} }};'
    assert (certain(body), possible(body)) == ([], [])


# AMBA.


def pl031(extra: str = "", pairs: Sequence[tuple[int, int]] = ((0x9010000, 0x1000),)) -> str:
    return f'pl031@9010000 {{ compatible = "arm,pl031", "arm,primecell"; {reg(pairs)} {extra} }};'


def test_an_amba_device_is_claimed_at_enumeration_first_reg_only() -> None:
    body = pl031(pairs=[(0x9010000, 0x1000), (0x9020000, 0x1000)])
    assert certain(body) == [(1, 0x9010000, 0x9010FFF, "pl031@9010000")]
    assert possible(body) == [("device", 0x9020000, 0x9020FFF, "/pl031@9010000")]


@pytest.mark.parametrize(
    ("bus", "claimed"),
    [
        ('compatible = "simple-bus";', True),
        ('compatible = "simple-mfd";', True),
        ('compatible = "vendor,mfd", "simple-mfd";', True),
        ('compatible = "isa";', True),
        ('compatible = "arm,amba-bus";', True),
        ('compatible = "vendor,bus";', False),
        ("", False),
    ],
)
def test_an_amba_device_on_a_bus_that_nobody_populates_is_only_possible(bus: str, claimed: bool) -> None:
    body = f"soc {{ {bus} {ROOT} ranges; {pl031()} }};"
    assert bool(certain(body)) is claimed
    assert bool(possible(body)) is not claimed


def test_every_bus_above_must_be_populated() -> None:
    body = f'a {{ {ROOT} ranges; b {{ compatible = "simple-bus"; {ROOT} ranges; {pl031()} }}; }};'
    assert certain(body) == []


@pytest.mark.parametrize("where", ["device", "bus"])
def test_a_disabled_amba_device_is_invisible(where: str) -> None:
    off = 'status = "disabled";'
    inner = pl031(off if where == "device" else "")
    body = f'soc {{ compatible = "simple-bus"; {off if where == "bus" else ""} {ROOT} ranges; {inner} }};'
    assert (certain(body), possible(body)) == ([], [])


def test_an_amba_device_below_a_moving_bus_is_where_it_really_is() -> None:
    body = f'soc {{ compatible = "simple-bus"; {ROOT} ranges = {words((0, 0x700000000, 0x40000000))}; {pl031()} }};'
    assert certain(body) == [(1, 0x709010000, 0x709010FFF, "pl031@9010000")]


def test_a_claim_over_another_is_refused_and_said() -> None:
    other = f'uart@9010800 {{ compatible = "arm,primecell"; {reg([(0x9010800, 0x1000)])} }};'
    found = built(pl031() + other)
    assert [item.name for item in found.root.children] == ["pl031@9010000"]
    assert found.notes == ("/uart@9010800: uart@9010800 [0x9010800-0x90117ff] is refused by pl031@9010000",)
    assert [user.source for user in found.possible] == ["/uart@9010800"]


def test_a_plain_device_is_possible_only_when_enabled() -> None:
    def device(extra: str) -> str:
        return f'eth@a000000 {{ compatible = "vendor,eth"; {reg([(0xA000000, 0x1000), (0xA002000, 0)])} {extra} }};'

    assert certain(device("")) == []
    assert possible(device("")) == [("device", 0xA000000, 0xA000FFF, "/eth@a000000")]
    assert possible(device('status = "disabled";')) == []
    assert possible("i2c { #address-cells = <1>; #size-cells = <0>; chip@50 { reg = <0x50>; }; };") == []
    closed = f"soc {{ {ROOT} {device('')} }};"
    assert possible(closed) == []


# PCI.

RANGES = (
    (0x01000000, 0, 0, 0, 0x3EFF0000, 0, 0x10000),
    (0x02000000, 0, 0x10000000, 0, 0x10000000, 0, 0x2EFF0000),
    (0x03000000, 0x80, 0, 0x80, 0, 0x80, 0),
)


def pcie(compatible: str, ranges: Sequence[Sequence[int]] = RANGES, extra: str = "") -> str:
    flat = [value for entry in ranges for value in entry]
    return f"""pcie@10000000 {{ compatible = {compatible}; device_type = "pci"; #address-cells = <3>; #size-cells = <2>;
        {reg([(0x4010000000, 0x10000000)])} ranges = {words(flat, 1)}; {extra} }};"""


@pytest.mark.parametrize(
    "compatible",
    ['"pci-host-ecam-generic"', '"pci-host-cam-generic"', '"vendor,pcie", "pci-host-ecam-generic"', '"snps,dw-pcie-ecam"'],
)
def test_a_generic_host_claims_its_windows_and_ecam(compatible: str) -> None:
    assert certain(pcie(compatible)) == [
        (1, 0x10000000, 0x3EFEFFFF, "pcie@10000000"),
        (1, 0x4010000000, 0x401FFFFFFF, "PCI ECAM"),
        (1, 0x8000000000, 0xFFFFFFFFFF, "pcie@10000000"),
    ]
    # The I/O window is port space to Linux; nothing of it is in iomem_resource.
    assert possible(pcie(compatible)) == [("PCI I/O window", 0x3EFF0000, 0x3EFFFFFF, "/pcie@10000000")]


def test_a_vendors_host_is_only_possible() -> None:
    body = pcie('"xlnx,nwl-pcie-2.11"')
    assert certain(body) == []
    assert sorted(possible(body)) == [
        ("PCI I/O window", 0x3EFF0000, 0x3EFFFFFF, "/pcie@10000000"),
        ("PCI window", 0x10000000, 0x3EFEFFFF, "/pcie@10000000"),
        ("PCI window", 0x8000000000, 0xFFFFFFFFFF, "/pcie@10000000"),
        ("device", 0x4010000000, 0x401FFFFFFF, "/pcie@10000000"),
    ]


def test_a_disabled_host_is_nowhere() -> None:
    body = pcie('"pci-host-ecam-generic"', extra='status = "disabled";')
    assert (certain(body), possible(body)) == ([], [])


def test_windows_that_continue_each_other_are_one() -> None:
    ranges = [
        (0x02000000, 0, 0x10000000, 0, 0x10000000, 0, 0x8000000),
        (0x02000000, 0, 0x18000000, 0, 0x18000000, 0, 0x8000000),
        (0x02000000, 0, 0x30000000, 0, 0x20000000, 0, 0x8000000),
        (0x42000000, 0, 0x38000000, 0, 0x28000000, 0, 0x8000000),
    ]
    assert [
        (start, end) for _, start, end, name in certain(pcie('"pci-host-ecam-generic"', ranges)) if name != "PCI ECAM"
    ] == [
        (0x10000000, 0x1FFFFFFF),
        (0x20000000, 0x27FFFFFF),
        (0x28000000, 0x2FFFFFFF),
    ]


def test_configuration_space_in_ranges_is_no_window() -> None:
    ranges = [(0x00000000, 0, 0, 0, 0x50000000, 0, 0x1000000)]
    body = pcie('"xlnx,nwl-pcie-2.11"', ranges)
    assert [kind for kind, *_ in possible(body)] == ["device"]


# Which generic hosts a driver takes: pci_host_common_probe, of_platform_bus_create, the PCI row of of_busses.

GENERIC = '"pci-host-ecam-generic"'


def idle(body: str) -> list[tuple[str, str]]:
    return [(item.source, item.reason) for item in built(body).idle]


@pytest.mark.parametrize("bus", ['compatible = "vendor,bus";', "", 'compatible = "simple-bus", "arm,primecell";'])
def test_a_generic_host_below_a_bus_that_linux_does_not_enter_is_taken_by_nobody(bus: str) -> None:
    body = f"soc {{ {bus} {ROOT} ranges; {pcie(GENERIC)} }};"
    assert (certain(body), possible(body)) == ([], [])
    assert [source for source, _ in idle(body)] == ["/soc/pcie@10000000"]
    entered = f'soc {{ compatible = "simple-bus"; {ROOT} ranges; {pcie(GENERIC)} }};'
    assert (len(certain(entered)), idle(entered)) == (3, [])


def test_a_host_called_pcie_is_a_pci_bus_without_device_type() -> None:
    body = pcie(GENERIC).replace('device_type = "pci";', "")
    assert certain(body) == certain(pcie(GENERIC))


def test_a_host_called_pci_without_device_type_claims_its_ecam_only() -> None:
    body = pcie(GENERIC).replace('device_type = "pci";', "").replace("pcie@", "pci@")
    assert certain(body) == [(1, 0x4010000000, 0x401FFFFFFF, "PCI ECAM")]
    assert possible(body) == []


@pytest.mark.parametrize(
    ("ram", "refused"),
    [
        ((0x20000000, 0x10000000), "pcie@10000000 [0x10000000-0x3efeffff] is refused by System RAM"),  # the first window
        ((0x9000000000, 0x40000000), "pcie@10000000 [0x8000000000-0xffffffffff] is refused by System RAM"),  # the second
        ((0x4018000000, 0x8000000), "PCI ECAM [0x4010000000-0x401fffffff] is refused by System RAM"),
    ],
)
def test_one_refused_window_releases_all_of_a_host(ram: tuple[int, int], refused: str) -> None:
    """devm_request_pci_bus_resources returns at the first that is refused, and devres gives the others back."""
    body = f'memory@1 {{ device_type = "memory"; {reg([ram])} }};' + pcie(GENERIC)
    assert [name for _, _, _, name in certain(body)] == ["System RAM"]
    assert possible(body) == []
    assert idle(body) == [
        ("/pcie@10000000", f"{refused}, so the probe of this PCI host fails and it claims nothing"),
    ]


def test_two_hosts_with_the_same_window_the_first_one_has_it() -> None:
    other = pcie(GENERIC).replace("pcie@10000000", "pcie@2").replace("0x40 0x10000000", "0x50 0x10000000")
    found = built(pcie(GENERIC) + other)
    assert [item.source for item in found.root.children] == ["/pcie@10000000"] * 3
    assert [item.source for item in found.idle] == ["/pcie@2"]


def test_a_host_without_registers_has_no_probe_that_succeeds() -> None:
    body = pcie(GENERIC).replace(reg([(0x4010000000, 0x10000000)]), "")
    assert certain(body) == []
    assert [reason.split(",")[0] for _, reason in idle(body)] == ["it has no configuration space (reg)"]


def test_windows_are_joined_by_what_their_first_cell_means() -> None:
    """of_bus_pci_get_flags looks at the space and the prefetch bit; n, bus and device numbers are no flags."""
    ranges = [
        (0x82000000, 0, 0x10000000, 0, 0x10000000, 0, 0x8000000),
        (0x02000000, 0, 0x18000000, 0, 0x18000000, 0, 0x8000000),
    ]
    assert [start for _, start, _, name in certain(pcie(GENERIC, ranges)) if name != "PCI ECAM"] == [0x10000000]


def test_an_idle_hosts_ranges_are_a_warning() -> None:
    host = pcie(GENERIC, [(0x02000000, 0, 0x10000000, 1, 0x10000000, 0, 0x1000000)])
    regions = [(0x100000000, 0x40000000)]
    closed = answer(guest(regions, f'soc {{ compatible = "vendor,bus"; {ROOT} ranges; {host} }};'))
    assert closed.verdict is Verdict.SCRATCH
    assert [str(item.severity) for item in closed.findings if item.rule == "X02"] == ["warning"]
    assert answer(guest(regions, host)).verdict is Verdict.CONFLICT


# All that scratch pages could land on.


def test_unseen_users_are_sorted_and_of_every_kind() -> None:
    body = guest(
        [(0x100000000, 0x40000000)],
        f'eth@a000000 {{ compatible = "vendor,eth"; {reg([(0xA000000, 0x1000)])} }};'
        f"reserved-memory {{ {ROOT} ranges; fw@9000 {{ {reg([(0x9000, 0x1000)])} }}; }};"
        + pcie('"vendor,pcie"', RANGES[:2]),
    )
    made = board(body)
    memory = memblock(made, PRESETS["6.12"])
    found = unseen_users(build_iomem(made, memory), memory, grant_table(made))
    assert [(user.kind, user.range.start) for user in found] == [
        ("reservation", 0x9000),
        ("device", 0xA000000),
        ("PCI window", 0x10000000),
        ("grant table", 0x38000000),
        ("PCI I/O window", 0x3EFF0000),
        ("device", 0x4010000000),
    ]
    without = unseen_users(build_iomem(made, memory), memory, None)
    assert {user.kind for user in found} - {user.kind for user in without} == {"grant table"}


def test_every_unseen_user_points_into_the_file() -> None:
    made = board(ROOT + f"eth@a000000 {{ {reg([(0xA000000, 0x1000), (0xB000000, 0x1000)])} }};")
    found = build_iomem(made, memblock(made, PRESETS["6.12"])).possible
    assert found[1].offset - found[0].offset == 16  # one entry of four cells on


@pytest.mark.parametrize(
    ("extra", "verdict"),
    [
        (f'eth@102000000 {{ compatible = "vendor,eth"; {reg([(0x102000000, 0x1000)])} }};', Verdict.HAZARD),
        (f'eth@102000000 {{ compatible = "arm,primecell"; {reg([(0x102000000, 0x1000)])} }};', Verdict.CONFLICT),
        (
            f'eth@102000000 {{ compatible = "vendor,eth"; status = "disabled"; {reg([(0x102000000, 0x1000)])} }};',
            Verdict.SCRATCH,
        ),
        (f"reserved-memory {{ {ROOT} ranges; fw {{ {reg([(0x102000000, 0x1000)])} }}; }};", Verdict.HAZARD),
    ],
    ids=["unclaimed", "claimed", "disabled", "stray reservation"],
)
def test_what_it_means_for_a_region(extra: str, verdict: Verdict) -> None:
    assert answer(guest([(0x100000000, 0x8000000)], extra)).verdict is verdict


def test_an_unseen_user_is_a_plain_tuple() -> None:
    made = board(ROOT + f"eth@a000000 {{ {reg([(0xA000000, 0x1000)])} }};")
    (user,) = build_iomem(made, memblock(made, PRESETS["6.12"])).possible
    assert isinstance(user, Unseen)
    assert (user.range.start, user.range.size) == (0xA000000, 0x1000)
