"""What Xen does with a host tree beyond memory: its arguments, its console, dom0's nodes, the domains in /chosen."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import fdt
import pytest

from dtanalyze.address.range import AddressRange
from dtanalyze.address.units import GIB, MIB
from dtanalyze.analysis.host import check_host, predict_host
from dtanalyze.analysis.questions import CheckOptions, HostQuestion
from dtanalyze.cli import main
from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.tree import Tree
from dtanalyze.errors import InputError, UsageError
from dtanalyze.linux.boot import Verdict
from dtanalyze.linux.profile import PRESETS as LINUX
from dtanalyze.xen.boot_log import read_xen_log
from dtanalyze.xen.command_line import xen_bootargs
from dtanalyze.xen.libxl import extended_regions, guest_memory
from dtanalyze.xen.options import XenOptions
from dtanalyze.xen.parse_params import parse_bootargs
from dtanalyze.xen.predict import predict, prepare
from dtanalyze.xen.prediction import Prediction
from dtanalyze.xen.profile import PRESETS, preset
from tests.xen.build import HEAD, blob, host

GIC = """
interrupt-controller@8000000 { compatible = "arm,gic-v3"; #interrupt-cells = <3>; interrupt-controller; phandle = <1>; #address-cells = <2>; #size-cells = <2>; ranges;
    reg = <0 0x8000000 0 0x10000>, <0 0x80a0000 0 0xf60000>; interrupt-parent = <1>; interrupts = <1 9 4>;
    its@8080000 { compatible = "arm,gic-v3-its"; reg = <0 0x8080000 0 0x20000>; };
};
timer { compatible = "arm,armv8-timer"; interrupt-parent = <1>; interrupts = <1 13 4>, <1 14 4>, <1 11 4>, <1 10 4>; };
"""


CPUS = 'cpus { cpu@0 { device_type = "cpu"; compatible = "arm,cortex-a53"; reg = <0>; }; };'


def one(body: str, release: str = "4.20", **known: Any) -> Prediction:
    options = XenOptions(**known)
    found = predict(prepare(host(GIC + body), options), preset(release), options)
    assert len(found) == 1
    return found[0]


def written(prediction: Prediction) -> Tree:
    assert prediction.blob is not None
    return parse(prediction.blob)


def test_arguments() -> None:
    args = parse_bootargs("dom0_mem=1G ext_regions=0 iommu=off,verbose dtuart=serial0 gnttab_max_frames=128 other=1")
    assert (args.dom0_mem, args.ext_regions, args.iommu, args.dtuart, args.max_grant_frames) == (
        GIB,
        False,
        False,
        "serial0",
        128,
    )
    assert parse_bootargs("").dom0_mem is None
    assert parse_bootargs("dom0_mem=524288").dom0_mem == 512 * MIB, "a bare number is KiB"
    assert parse_bootargs("no-ext_regions").ext_regions is False
    assert parse_bootargs("ext_regions=0 ext_regions").ext_regions is True, "the last one counts"
    assert parse_bootargs("iommu=1").iommu is True
    assert parse_bootargs("dom0_mem=huge").dom0_mem == 0, "no digits: zero, for which Xen takes its default"
    assert parse_bootargs("dom0_mem=0512M").dom0_mem == 0o512 * MIB, "a leading zero is octal"
    assert parse_bootargs("dom0_mem=0x200M").dom0_mem == 512 * MIB
    assert parse_bootargs("dom0_mem=089M").dom0_mem == 0, "the octal digits end at the 8, which is no unit either"
    assert parse_bootargs("gnttab_max_frames=0x80").max_grant_frames == 128
    assert parse_bootargs("gnttab_max_frames=12x").max_grant_frames == 64, "a tail makes it unreadable"
    assert parse_bootargs("gnttab_max_frames=2147483648").max_grant_frames == 64, "parse_gnttab_limit: -ERANGE above INT_MAX"
    assert parse_bootargs("gnttab_max_frames=2147483647").max_grant_frames == 2147483647
    assert parse_bootargs("dom0_max_vcpus=2").dom0_max_vcpus == 2
    assert parse_bootargs("no-dom0_mem=1").dom0_mem is None


@pytest.mark.parametrize(
    ("text", "on"),
    [
        ("iommu=force,off", False),
        ("iommu=off,on", True),
        ("iommu=force", None),
        ("no-iommu", False),
        ("iommu=off,verbose", False),
    ],
)
def test_every_item_of_iommu_counts(text: str, on: bool | None) -> None:
    assert parse_bootargs(text).iommu is on


@pytest.mark.parametrize(
    ("text", "on"),
    [("no-ext_regions=0", True), ("no-ext_regions=1", False), ("ext_regions=maybe", True), ("ext_regions=", True)],
)
def test_booleans_turn_round(text: str, on: bool) -> None:
    assert parse_bootargs(text).ext_regions is on


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ('xen,xen-bootargs = "a"; bootargs = "b";', "a"),
        ('xen,dom0-bootargs = "a"; bootargs = "b";', "b"),
        ('bootargs = "b";', ""),
        ('bootargs = "b"; m@1 { compatible = "multiboot,kernel", "multiboot,module"; bootargs = "c"; };', "b"),
        ('bootargs = "b"; m@1 { compatible = "multiboot,kernel"; bootargs = "c"; };', ""),  # no module without the word
        ('bootargs = "b"; m@1 { compatible = "xen,linux-zimage", "xen,multiboot-module"; bootargs = "c"; };', "b"),
        (
            'bootargs = "b"; m@1 { compatible = "multiboot,module"; bootargs = "c"; };',
            "b",
        ),  # the first of no kind is a kernel
        ('bootargs = "b"; m@1 { compatible = "multiboot,ramdisk", "multiboot,module"; bootargs = "c"; };', ""),
        ('bootargs = "b"; d { m@1 { compatible = "multiboot,kernel", "multiboot,module"; bootargs = "c"; }; };', "b"),
        (
            'bootargs = "b"; d { compatible = "xen,domain"; m@1 { compatible = "multiboot,kernel", "multiboot,module"; bootargs = "c"; }; };',
            "",
        ),
        ("", ""),
    ],
)
def test_which_property_holds_the_arguments(chosen: str, expected: str) -> None:
    assert xen_bootargs(host("chosen { " + chosen + " };")) == expected


def test_no_chosen_no_arguments() -> None:
    assert xen_bootargs(host("")) == ""


def test_ext_regions_off() -> None:
    found = one('chosen { xen,xen-bootargs = "ext_regions=0"; };')
    assert (found.method, found.regions.ranges) == ("none", ())
    assert found.regions.message == "d0: extended regions support is disabled"
    assert one('chosen { xen,xen-bootargs = "ext_regions=0"; };', ext_regions=True).method == "unallocated"


SMMU = """smmu@9000000 { compatible = "arm,mmu-500"; reg = <0 0x9000000 0 0x20000>; #global-interrupts = <1>;
    interrupts-extended = <1 0 100 4>, <1 0 101 4>; };
gic@8000000 { compatible = "arm,gic-v3"; #interrupt-cells = <3>; interrupt-controller; phandle = <1>; };"""


@pytest.mark.parametrize(
    ("body", "known", "iommu"),
    [
        ("", {}, False),
        (SMMU, {}, True),
        (SMMU.replace("reg =", 'status = "disabled"; reg ='), {}, False),
        (SMMU + 'chosen { xen,xen-bootargs = "iommu=no"; };', {}, False),
        ("", {"iommu": True}, True),
    ],
)
def test_iommu(body: str, known: dict[str, Any], iommu: bool) -> None:
    found = one(body, **known)
    assert (found.iommu, found.method) == (iommu, "holes" if iommu else "unallocated")


@pytest.mark.parametrize(
    ("body", "known", "bits"),
    [
        ("", {}, 40),
        ("", {"ipa_bits": 36}, 36),
        ('mmu@9000000 { compatible = "renesas,ipmmu-r8a7795"; reg = <0 0x9000000 0 0x1000>; };', {"iommu": True}, 40),
    ],
)
def test_ipa_bits_bound_the_holes(body: str, known: dict[str, Any], bits: int) -> None:
    assert one(body, "4.22", **{"iommu": True, **known}).regions.ranges[-1].stop == 1 << bits


def test_console_and_its_shared_interrupt() -> None:
    uarts = """
    aliases { serial0 = "/uart@9000000"; };
    chosen { stdout-path = "serial0:115200n8"; };
    uart@9000000 { compatible = "arm,pl011"; reg = <0 0x9000000 0 0x1000>; interrupt-parent = <1>; interrupts = <0 121 4>; };
    """
    assert one(uarts).stopped_by is None
    shared = uarts + "spi@9001000 { reg = <0 0x9001000 0 0x1000>; interrupts-extended = <1 0 121 4>; };"
    stop = one(shared).stopped_by
    assert stop is not None and stop.stage == "dom0-devices"
    assert stop.lines == (
        "IRQ 153 is already used by Xen",
        "Unable to map IRQ153 to d0",
        "Device tree generation failed (-16).",
        "Could not set up DOM0 guest OS (rc = -22)",
    ), "the code is that of the whole: -22, whatever was refused"
    assert stop.node == "/spi@9001000"
    elsewhere = shared.replace("stdout-path", 'xen,xen-bootargs = "dtuart=/nowhere"; stdout-path')
    assert one(elsewhere).stopped_by is None, "the command line names the console first"
    assert written(one(uarts)).find("/uart@9000000") is None, "dom0 does not get Xen's console"


def test_a_console_asks_for_its_interrupts_before_devices_do() -> None:
    """So it is the device that is refused, wherever it stands; SPI 0 is an interrupt like others."""
    body = """chosen { stdout-path = "/serial@9000000"; };
        spi@9010000 { reg = <0 0x9010000 0 0x1000>; interrupt-parent = <1>; interrupts = <0 0 %s>; };
        serial@9000000 { compatible = "arm,pl011"; reg = <0 0x9000000 0 0x1000>; interrupt-parent = <1>; interrupts = <0 0 4>; };"""
    for sense, words in (("1", "Unable to get irq 0 for /spi@9010000"), ("4", "IRQ 32 is already used by Xen")):
        stop = one(body % sense).stopped_by
        assert stop is not None and stop.lines[0] == words


@pytest.mark.parametrize(
    ("cells", "release"),
    [
        ("<0 0x48000000 0 0x70000000 0 0x200000>", "4.21"),
        ("<0 0x48000000 0 0x70000000 0 0x200000>", "4.22"),
        ("<0 0x70000000 0 0x200000>", "4.22"),  # Xen finds the memory itself
    ],
)
def test_static_shared_memory_is_kept_out_at_the_guests_address(cells: str, release: str) -> None:
    shared = f'shm {{ compatible = "xen,domain-shared-memory-v1"; xen,shm-id = "a"; xen,shared-mem = {cells}; }};'
    found = domu("memory = <0 0x40000>; cpus = <1>; xen,enhanced;", release, shared)
    assert [(item.start, item.stop) for item in found.regions.ranges][:2] == [
        (0x50000000, 0x70000000),
        (0x70200000, 0x100000000),
    ]


def test_a_raspberry_pi_4_keeps_the_neighbours_of_its_console() -> None:
    body = """compatible = "brcm,bcm2711";
    chosen { stdout-path = "/uart@9215040"; };
    uart@9215040 { compatible = "brcm,bcm2835-aux-uart"; reg = <0 0x9215040 0 0x40>; interrupt-parent = <1>; interrupts = <0 93 4>; };
    spi@9215080 { compatible = "brcm,bcm2835-aux-spi"; reg = <0 0x9215080 0 0x40>; interrupt-parent = <1>; interrupts = <0 93 4>; };
    """
    found = one(body)
    assert found.stopped_by is None
    assert written(found).find("/spi@9215080") is None


def test_untranslatable_reg_stops_dom0_unless_its_node_is_skipped() -> None:
    bus = "bus {{ #address-cells = <1>; #size-cells = <1>; ranges = <0 0 0x9000000 0x1000>; dev@5000 {{ {0} reg = <0x5000 0x10>; }}; }};"
    stop = one(bus.format('status = "disabled";')).stopped_by
    assert stop is not None
    assert stop[:2] == (
        "dom0-devices",
        (
            "Unable to retrieve address 0 for /bus/dev@5000",
            "Device tree generation failed (-22).",
            "Could not set up DOM0 guest OS (rc = -22)",
        ),
    )
    assert one(bus.format('compatible = "arm,armv8-pmuv3";')).stopped_by is None
    assert one(bus.format("interrupt-parent = <1>; interrupts = <1 7 4>;")).stopped_by is None, "a node with a PPI"


def test_dom0_tree() -> None:
    body = """
    psci { compatible = "arm,psci-1.0"; method = "smc"; };
    dev@a000000 { reg = <0 0xa000000 0 0x1000>; status = "disabled"; };
    reserved-memory { #address-cells = <2>; #size-cells = <2>; ranges; r@78000000 { reg = <0 0x78000000 0 0x1000000>; }; };
    chosen { xen,xen-bootargs = "dom0_mem=256M"; xen,dom0-bootargs = "root=/dev/x"; kaslr-seed = <1 2>; stdout-path = "x";
        #address-cells = <2>; #size-cells = <2>;
        m@48000000 { compatible = "multiboot,kernel", "multiboot,module"; reg = <0 0x48000000 0 0x1000>; };
    };"""
    found = one(
        body, "4.20", dom0_banks=(AddressRange(0x60000000, 256 * MIB),), grant_table=AddressRange(0x40200000, 0x40000)
    )
    tree = written(found)
    hypervisor = tree.root.child("hypervisor")
    assert hypervisor is not None
    assert hypervisor.compatible == ("xen,xen-4.20", "xen,xen")
    reg = hypervisor.prop("reg")
    # grant table; RAM before, behind dom0's, behind the reservation, each 2 MiB short
    assert reg is not None and [hex(cell) for cell in reg.cells] == [
        "0x0", "0x40200000", "0x0", "0x40000",
        "0x0", "0x40400000", "0x0", "0x1fa00000",
        "0x0", "0x70000000", "0x0", "0x7e00000",
        "0x0", "0x79000000", "0x0", "0x6e00000",
    ]  # fmt: skip
    memory = [(node.name, node.properties["reg"].cells) for node in tree.root.children if node.device_type == "memory"]
    assert memory == [
        ("memory@60000000", (0, 0x60000000, 0, 0x10000000)),
        ("memory@78000000", (0, 0x78000000, 0, 0x1000000)),
    ]
    chosen = tree.root.child("chosen")
    assert chosen is not None and chosen.children == []
    assert sorted(chosen.properties) == ["#address-cells", "#size-cells", "bootargs", "kaslr-seed"]
    assert chosen.properties["bootargs"].string == "root=/dev/x"
    gic = tree.find("/interrupt-controller")
    assert gic is not None and gic.children == []
    disabled = tree.find("/dev@a000000")
    assert disabled is not None and not disabled.available
    psci = tree.root.child("psci")
    assert psci is not None and psci.properties["method"].string == "hvc"
    cpus = tree.root.child("cpus")
    assert cpus is not None and [cpu.compatible for cpu in cpus.children] == [("arm,cortex-a53",)] * 2


def test_fdt_and_dtc_read_what_is_written(tmp_path: Path) -> None:
    found = one("")
    assert found.blob is not None
    assert fdt.parse_dtb(found.blob).get_node("/hypervisor").name == "hypervisor"
    dtc = shutil.which("dtc")
    if dtc is None:
        pytest.skip("dtc is not installed: whether it reads the tree is not shown here")
    path = tmp_path / "dom0.dtb"
    path.write_bytes(found.blob)
    # Xen names the node without a unit address; dtc says so of Xen's own trees too.
    ran = subprocess.run(
        [dtc, "-I", "dtb", "-O", "dtb", "-o", "/dev/null", "-W", "no-unit_address_vs_reg", str(path)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ran.stderr == ""


def test_one_cell_cuts_addresses_to_32_bits() -> None:
    body = '#address-cells = <1>; #size-cells = <1>; memory@40000000 { device_type = "memory"; reg = <0x40000000 0x40000000>; };'
    options = XenOptions(iommu=True, ipa_bits=34, dom0_mem=0)
    found = predict(prepare(parse(blob(body)), options), preset("4.22"), options)[0]
    assert [item.start for item in found.regions.ranges] == [0, 0x80000000]
    hypervisor = written(found).root.child("hypervisor")
    assert hypervisor is not None
    reg = hypervisor.properties["reg"].cells
    assert reg[-2:] == (0x80000000, 0x80000000), "0x380000000 in one cell"


def test_memory_replaces_the_tree_and_disappears_with_efi_in_4_16() -> None:
    ram = (AddressRange(0x80000000, GIB),)
    assert [(bank.start, bank.size) for bank in one("", memory=ram).info.mem] == [(0x80000000, GIB)]
    without = one("", "4.16", iommu=True, ipa_bits=33).regions.ranges
    through_efi = one("", "4.16", iommu=True, ipa_bits=33, efi=True).regions.ranges
    assert not any(item.overlaps(AddressRange(0x40000000, GIB)) for item in without)
    assert any(item.covers(AddressRange(0x40000000, GIB)) for item in through_efi), "RAM is offered"
    fixed = one("", "4.17", iommu=True, ipa_bits=33, efi=True).regions.ranges
    assert not any(item.overlaps(AddressRange(0x40000000, GIB)) for item in fixed)


DOMAINS = """
chosen {{ #address-cells = <2>; #size-cells = <2>;
    {name} {{ compatible = "xen,domain"; #address-cells = <2>; #size-cells = <2>; {properties}
        m@48000000 {{ compatible = "multiboot,kernel", "multiboot,module"; reg = <0 0x48000000 0 0x1000>; bootargs = "x"; }};
        {children}
    }};
}};
"""


def domu(properties: str, release: str = "4.20", children: str = "", **known: Any) -> Prediction:
    return one(DOMAINS.format(name="guest", properties=properties, children=children), release, **known)


@pytest.mark.parametrize(
    ("enhanced", "release", "method"),
    [
        ("xen,enhanced;", "4.17", "guest-layout"),
        ("xen,enhanced;", "4.16", "none"),
        ('xen,enhanced = "enabled";', "4.20", "guest-layout"),
        ('xen,enhanced = "no-xenstore";', "4.20", "guest-layout"),
        ('xen,enhanced = "legacy";', "4.20", "none"),
        ('xen,enhanced = "legacy";', "4.21", "guest-layout"),
        ('xen,enhanced = "disabled";', "4.22", "none"),
        ("", "4.22", "none"),
    ],
)
def test_who_gets_a_hypervisor_node(enhanced: str, release: str, method: str) -> None:
    found = domu(f"memory = <0 0x40000>; cpus = <1>; {enhanced}", release)
    assert (found.domain, found.method) == ("/chosen/guest", method)
    assert (written(found).root.child("hypervisor") is not None) is (method != "none")


def test_domu_memory_and_tree() -> None:
    found = domu("memory = <0 0x400000>; cpus = <2>; vpl011; xen,enhanced; xen,domain-p2m-mem-mb = <32>;")
    assert found.memory == (AddressRange(0x40000000, 3 * GIB), AddressRange(0x200000000, GIB))
    assert [item.start for item in found.regions.ranges] == [0x240000000]
    # 32 MiB = 8192 tables, less 256 for each vCPU and one for each of 4096 MiB: 3584 of 2 MiB each.
    assert any("P2M pool: 32 MiB, about 7 GiB of scratch" in note for note in found.assumed)
    tree = written(found)
    assert [node.name for node in tree.root.children] == [
        "chosen",
        "psci",
        "cpus",
        "memory@40000000",
        "interrupt-controller@3001000",
        "timer",
        "sbsa-uart@22000000",
        "hypervisor",
    ]
    gic = tree.root.child("interrupt-controller@3001000")
    assert gic is not None and gic.properties["reg"].cells == (0, 0x3001000, 0, 0x10000, 0, 0x3020000, 0, 0x1000000)
    chosen = tree.root.child("chosen")
    assert chosen is not None and chosen.properties["bootargs"].string == "x"


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        ("cpus = <1>; xen,enhanced;", "Could not set up domain guest (rc = -22)"),
        ("memory = <0 0x40000>; xen,enhanced;", "Missing property 'cpus' for domain guest"),
        ("memory = <0 0x40000>; cpus = <1>; direct-map; xen,enhanced;", "direct-map is not valid for domain guest"),
        ("memory = <0 0x40000>; direct-map; xen,enhanced;", "direct-map is not valid for domain guest"),
        (
            "memory = <0 0x40000>; cpus = <0>;",
            "Error creating domain guest (rc = -22)",
        ),
        ("memory = <0 0x40000>; cpus = <129>;", "Error creating domain guest (rc = -22)"),
        ("cpus = <0xffffffff>;", "Error creating domain guest (rc = -22)"),
    ],
)
def test_domains_that_cannot_be_built(properties: str, words: str) -> None:
    stop = domu(properties).stopped_by
    assert stop is not None and words in stop.message


GICV2 = (
    GIC.replace("arm,gic-v3", "arm,gic-400")
    .replace("its@8080000", "v2m@8080000")
    .replace("arm,v2m-its", "arm,gic-v2m-frame")
    .replace("<0 0x80a0000 0 0xf60000>", "<0 0x8010000 0 0x2000>, <0 0x8020000 0 0x2000>, <0 0x8040000 0 0x2000>")
)


_TOO_MANY = "Error creating domain 0 (rc = -22)"
_UNSERVED = "Failed to allocate d0v123"


# vgic_max_vcpus (arch/arm/vgic.c): 8 with a GICv2, MAX_VIRT_CPUS otherwise; dom0_max_vcpus= is cut to the latter first.
# 0xf60000 bytes of redistributors serve 123 CPUs (vgic_v3_vcpu_init, 4.20.4).
@pytest.mark.parametrize(
    ("gic", "asked", "refused"),
    [(GIC, 123, ""), (GIC, 128, _UNSERVED), (GIC, 4294967295, _UNSERVED), (GICV2, 8, ""), (GICV2, 9, _TOO_MANY)],
)
def test_dom0_max_vcpus(gic: str, asked: int, refused: str) -> None:
    tree = host(gic + f'chosen {{ xen,xen-bootargs = "dom0_max_vcpus={asked}"; }};')
    (found,) = predict(prepare(tree, XenOptions()), preset("4.20"), XenOptions())
    if refused:
        assert found.stopped_by is not None
        assert found.stopped_by.message.startswith(refused)
    else:
        assert found.stopped_by is None
        cpus = written(found).root.child("cpus")
        assert cpus is not None and len(cpus.children) == asked


def test_what_a_domain_says_of_its_memory() -> None:
    """64 bits of KiB, and whatever follows is not looked at; less is none."""
    for cells, size in (("<0 0x40000>", 256 * MIB), ("<0 0x40000 7>", 256 * MIB)):
        assert sum(item.size for item in domu(f"memory = {cells}; cpus = <1>;").memory) == size


def test_a_domain_has_at_most_eight_cpus_with_a_gicv2() -> None:
    body = 'chosen { guest { compatible = "xen,domain"; memory = <0 0x40000>; cpus = <%d>; }; };'
    for count, words in ((8, None), (9, "Error creating domain guest (rc = -22)")):
        options = XenOptions()
        found = predict(prepare(host(GICV2 + body % count), options), preset("4.20"), options)
        assert {item.stopped_by.message if item.stopped_by else None for item in found} == {words}


def test_direct_map_means_nothing_before_4_17() -> None:
    properties = "memory = <0 0x40000>; cpus = <1>; direct-map; xen,static-mem = <0 0x60000000 0 0x10000000>;"
    own_cells = "#xen,static-mem-address-cells = <2>; #xen,static-mem-size-cells = <2>;"
    assert domu(properties + own_cells, "4.16").memory == (AddressRange(0x40000000, 256 * MIB),), "the guest layout's"
    assert domu(properties, "4.17").memory == (AddressRange(0x60000000, 256 * MIB),)


def test_direct_map_uses_the_host_and_static_memory() -> None:
    properties = "memory = <0 0x40000>; cpus = <1>; direct-map; xen,enhanced; xen,static-mem = <0 0x60000000 0 0x10000000>;"
    found = domu(properties, "4.22")
    assert found.method == "unallocated"
    assert found.memory == (AddressRange(0x60000000, 256 * MIB),)
    assert [(item.start, item.stop) for item in found.regions.ranges] == [(0x40000000, 0x60000000), (0x70000000, 0x80000000)]
    through = domu(
        properties, "4.22", 'p@4c000000 { compatible = "multiboot,device-tree", "multiboot,module"; reg = <0 0x4c000000 0 0x1000>; };',
        iommu=True, ipa_bits=33,
    )  # fmt: skip
    assert through.method == "holes"


def test_static_memory_without_direct_map_stays_in_the_guest_layout() -> None:
    found = domu("memory = <0 0x40000>; cpus = <1>; xen,enhanced; xen,static-mem = <0 0x60000000 0 0x10000000>;")
    assert (found.method, found.memory) == ("guest-layout", (AddressRange(0x40000000, 256 * MIB),))


SHM = """shm@50000000 { compatible = "xen,domain-shared-memory-v1"; xen,shm-id = "a"; xen,shared-mem = <0 0x70000000 0 0xa0000000 0 0x10000000>; };"""


@pytest.mark.parametrize(("release", "count"), [("4.18", 2), ("4.19", 3), ("4.22", 3)])
def test_shared_memory_is_kept_out_from_4_19(release: str, count: int) -> None:
    found = domu("memory = <0 0x40000>; cpus = <1>; xen,enhanced;", release, SHM)
    assert len(found.regions.ranges) == count


PASSED = (
    "pass { #address-cells = <2>; #size-cells = <2>; uart@a0001000 { xen,reg = <0 0xff010000 0 0x1000 0 0xa0001000>; }; };"
)


@pytest.mark.parametrize(("release", "found"), [("4.17", True), ("4.20", True), ("4.21", False), ("4.22", False)])
def test_region_over_passed_through_mmio(release: str, found: bool) -> None:
    """The defect of May 2025: a guest's extended region over the device that it was given."""
    body = DOMAINS.format(
        name="guest", properties='memory = <0 0x40000>; cpus = <1>; xen,enhanced = "no-xenstore";', children=PASSED
    )
    options = CheckOptions(linux=LINUX["6.12"])
    question = HostQuestion(options, (options.linux,), (preset(release),))
    (result,) = check_host(host(GIC + body), "board.dtb", question)
    defects = [item for item in result.findings if item.rule == "D10"]
    assert bool(defects) is found
    assert (result.verdict is Verdict.HAZARD) is found
    if found:
        assert all(commit in defects[0].advice for commit in ("fba1b0974d", "3af8a6ed8e", "108308feef"))


@pytest.mark.parametrize(
    ("release", "starts"), [("4.20", [0x50000000, 0x200000000]), ("4.21", [0x50000000, 0xA0002000, 0x200000000])]
)
def test_toolstack_guests(release: str, starts: list[int]) -> None:
    found = extended_regions(preset(release), guest_memory(256 * MIB), [AddressRange(0xA0001000, 0x1000)], 40)
    assert [item.start for item in found.ranges] == starts
    options = XenOptions(guests=(256 * MIB,), iomem=(AddressRange(0xA0001000, 0x1000),))
    predictions = predict(prepare(host(GIC), options), preset(release), options)
    assert [item.domain for item in predictions] == ["dom0", "libxl:256MiB"]
    assert [item.start for item in predictions[1].regions.ranges] == starts


def test_a_toolstack_guest_gets_no_region_below_64_mib() -> None:
    # 3 GiB from 1 GiB on: RAM ends 64 MiB before the bank does, then 2 MiB later; a hole of exactly 64 MiB counts.
    for memory, starts in ((3 * GIB - 64 * MIB, [0xFC000000]), (3 * GIB - 62 * MIB, [])):
        found = extended_regions(preset("4.22"), guest_memory(memory), [], 33)
        assert [item.start for item in found.ranges] == starts
    cut = AddressRange(0xFC000000, 0x1000)
    assert extended_regions(preset("4.22"), guest_memory(3 * GIB - 128 * MIB), [cut], 33).ranges == (
        AddressRange(0xF8000000, 64 * MIB),
    )


def test_toolstack_guest_without_room() -> None:
    assert extended_regions(preset("4.22"), guest_memory(4 * GIB), [], 33).error == "ENOENT"


def test_dom0_and_domains_together() -> None:
    body = """chosen { #address-cells = <2>; #size-cells = <2>;
        m@48000000 { compatible = "multiboot,kernel", "multiboot,module"; reg = <0 0x48000000 0 0x1000>; };
        guest { compatible = "xen,domain"; memory = <0 0x40000>; cpus = <1>; };
    };"""
    options = XenOptions()
    found = predict(prepare(host(GIC + body), options), preset("4.22"), options)
    assert [item.domain for item in found] == ["dom0", "/chosen/guest"]


def test_dropped_kernel_stops_xen() -> None:
    body = """chosen { #address-cells = <2>; #size-cells = <2>;
        r@48000000 { compatible = "multiboot,ramdisk", "multiboot,module"; reg = <0 0x48000000 0 0x10000>; };
        m@48000000 { compatible = "multiboot,kernel", "multiboot,module"; reg = <0 0x48000000 0 0x1000>; };
    };"""
    stop = one(body, "4.22").stopped_by
    assert stop is not None and stop.stage == "modules" and "/chosen/m@48000000" in stop.because
    older = one(body, "4.17").stopped_by
    assert older is not None and older.lines == ("Xen BUG at common/page_alloc.c:1423",), "both in, and freed twice: 26G2"


def test_dom0_mem_options() -> None:
    assert one("", dom0_mem=0).memory == ()
    assert sum(item.size for item in one("", dom0_mem=128 * MIB).memory) == 128 * MIB
    assert sum(item.size for item in one("").memory) == 512 * MIB, "Xen's default without dom0_mem"
    stop = one("", dom0_mem=2 * GIB).stopped_by
    assert stop is not None and stop.message.startswith("Failed to allocate requested dom0 memory. ")


def test_ram_smaller_than_a_page_is_too_little() -> None:
    tree = parse(blob(HEAD.replace("0 0x40000000>;", "0 0x800>;")))
    (found,) = predict(prepare(tree, XenOptions()), preset("4.20"), XenOptions())
    assert (found.memory, found.stopped_by is not None) == ((), True)


def test_ram_that_wraps_around_cannot_be_mapped() -> None:
    tree = parse(blob(HEAD.replace("0 0x40000000>;", "0xffffffff 0xd0000000>;")))
    for iommu, error in ((False, "crash"), (True, None)):
        options = XenOptions(iommu=iommu)
        (found,) = predict(prepare(tree, options), preset("4.20"), options)
        assert found.stopped_by is not None
        assert found.stopped_by.stage == "boot-scan"
        assert "the RAM of /memory@40000000 runs past the end of the address space" in found.stopped_by.message
        assert found.regions.error == error


def test_a_search_that_crashes_stops_xen() -> None:
    """A removal of size zero at a hole's start dereferences NULL; without an IOMMU no holes are looked for."""
    body = "stub { reg = <0 0x80000000 0 0>; };"
    for iommu in (False, True):
        found = one(body, iommu=iommu)
        assert (found.stopped_by is not None) is iommu
    assert found.stopped_by is not None
    assert found.stopped_by.stage == "dom0-devices"
    assert found.stopped_by.lines == ("CPU0: Unexpected Trap: Data Abort",), "as 36h-r93 and 36h-r117 booted"
    assert found.stopped_by.because.startswith("Xen crashes while it looks for the extended regions of dom0: ")
    # dom0 comes before the domains in /chosen.
    domain = 'chosen { bad { compatible = "xen,domain"; memory = <0 0x40000>; }; };'
    kernel = "chosen { #address-cells = <2>; #size-cells = <2>; " + KERNEL.format(at=0x48000000)
    both = host(GIC + body + domain.replace("chosen {", kernel))
    found, other = predict(prepare(both, XenOptions(iommu=True)), preset("4.20"), XenOptions(iommu=True))
    assert found.stopped_by == other.stopped_by
    assert found.stopped_by is not None and found.stopped_by.because.startswith("Xen crashes while")
    # A placeholder for RAM, where a hole starts behind the device.
    empty = HEAD.replace("0 0x40000000>;", "0 0>;").replace("memory@", "dev@0 { reg = <0 0 0 0x40000000>; };\nmemory@")
    options = XenOptions(iommu=True)
    (found,) = predict(prepare(parse(blob(empty + GIC)), options), preset("4.20"), options)
    assert (found.regions.error, found.stopped_by) == ("crash", None), "a boot loader fills it in"


# make_hypervisor_node (arch/arm/domain_build.c): "addresses and sizes which do not take up exactly 4 or 8 bytes are not
# supported", asked after all nodes of the host were handled.
@pytest.mark.parametrize(
    ("cells", "reg"), [((3, 2), "<0 0 0x40000000 0 0x40000000>"), ((2, 3), "<0 0x40000000 0 0 0x40000000>")]
)
@pytest.mark.parametrize("release", ["4.16", "4.22"])
def test_root_cells_that_xen_cannot_write(cells: tuple[int, int], reg: str, release: str) -> None:
    head = f"#address-cells = <{cells[0]}>; #size-cells = <{cells[1]}>;"
    zeros = {3: "0 0", 2: "0"}[cells[0]], {3: "0 0", 2: "0"}[cells[1]]
    gic = f"<{zeros[0]} 0x8000000 {zeros[1]} 0x10000>, <{zeros[0]} 0x80a0000 {zeros[1]} 0xf60000>"
    machine = CPUS + GIC.replace("<0 0x8000000 0 0x10000>, <0 0x80a0000 0 0xf60000>", gic)
    tree = parse(blob(f'{head} {machine} memory@40000000 {{ device_type = "memory"; reg = {reg}; }};'))
    (found,) = predict(prepare(tree, XenOptions()), preset(release), XenOptions())
    assert found.stopped_by is not None
    assert (found.stopped_by.stage, found.stopped_by.lines[0]) == ("dom0-devices", "Cannot cope with this size")
    assert found.blob is None
    high = "0 " * (cells[0] - 1)
    bus = f"bus {{ #address-cells = <1>; #size-cells = <1>; ranges = <0 {high}0x10000000 0x1000>; dev@2000 {{ reg = <0x2000 0x10>; }}; }};"
    tree = parse(blob(f'{head} {machine} memory@40000000 {{ device_type = "memory"; reg = {reg}; }}; {bus}'))
    (found,) = predict(prepare(tree, XenOptions()), preset(release), XenOptions())
    assert found.stopped_by is not None
    assert found.stopped_by.lines[0] == "Unable to retrieve address 0 for /bus/dev@2000", "the host's nodes come first"


@pytest.mark.parametrize(
    ("cells", "ram"),
    [
        ((1, 1), AddressRange(0x100000000, GIB)),
        ((0, 1), AddressRange(0x40000000, GIB)),
        ((2, 0), AddressRange(0x40000000, GIB)),
        ((0x80000000, 2), AddressRange(0x40000000, GIB)),
        ((2, 0x80000000), AddressRange(0x40000000, GIB)),
    ],
)
def test_ram_that_the_root_cells_cannot_say(cells: tuple[int, int], ram: AddressRange) -> None:
    tree = parse(blob(f"#address-cells = <{cells[0]}>; #size-cells = <{cells[1]}>;"))
    with pytest.raises(UsageError, match=f"cannot be said in this tree: its root has #address-cells {cells[0]} and"):
        prepare(tree, XenOptions(memory=(ram,)))


LOG = """(XEN) Xen version 4.20.4 (root@) (gcc) debug=n
(XEN) RAM: 0000000040000000 - 00000000bfffffff
(XEN) Grant table range: 0x00000040400000-0x00000040440000
(XEN) BANK[0] 0x00000060000000-0x00000080000000 (512MB)
(XEN) d0: extended region 0: 0x40600000->0x5fe00000
"""


KERNEL = 'm@48000000 {{ compatible = "multiboot,kernel", "multiboot,module"; reg = <0 {at:#x} 0 0x1000>; }};'
SMALL = "#address-cells = <2>; #size-cells = <2>; memory = <0 0x40000>; cpus = <1>; "


def dom0less(guests: dict[str, str], release: str, *, dom0: bool = False, more: str = "") -> str | None:
    """Return what stops Xen with these domains, each with a kernel of its own."""
    kernels = {name: KERNEL.format(at=0x49000000 + 0x100000 * at) for at, name in enumerate(guests)}
    nodes = "".join(
        f'{name} {{ compatible = "xen,domain"; {SMALL} {text} {kernels[name]} }};' for name, text in guests.items()
    )
    body = f"chosen {{ #address-cells = <2>; #size-cells = <2>; {KERNEL.format(at=0x48000000) if dom0 else ''} {nodes} }}; {more}"
    options = XenOptions()
    found = predict(prepare(host(GIC + body), options), preset(release), options)
    stops = {item.stopped_by for item in found}
    assert len(stops) == 1, "what stops one stops them all"
    stop = stops.pop()
    return stop.message if stop else None


REQUIRES_DOM0 = "At the moment, Xenstore support requires dom0 to be present"
NOT_PRESENT = "xenstore requested, but xenstore domain not present"


@pytest.mark.parametrize(
    ("enhanced", "release", "dom0", "message"),
    [
        ("xen,enhanced;", "4.17", False, REQUIRES_DOM0),
        ('xen,enhanced = "enabled";', "4.20", False, REQUIRES_DOM0),
        ('xen,enhanced = "enabled";', "4.20", True, None),
        ('xen,enhanced = "no-xenstore";', "4.20", False, None),
        ('xen,enhanced = "legacy";', "4.20", False, None),
        ('xen,enhanced = "legacy";', "4.21", False, NOT_PRESENT),
        ("xen,enhanced;", "4.22", False, NOT_PRESENT),
        ("xen,enhanced;", "4.22", True, None),
        ("xen,enhanced;", "4.16", False, None),
    ],
)
def test_xenstore_needs_someone_to_serve_it(enhanced: str, release: str, dom0: bool, message: str | None) -> None:
    assert dom0less({"guest": enhanced}, release, dom0=dom0) == message


def test_a_xenstore_domain_serves_the_others_from_4_21() -> None:
    guests = {"store": "capabilities = <4>;", "guest": "xen,enhanced;"}
    assert dom0less(guests, "4.21") is None
    assert dom0less(guests, "4.20") == REQUIRES_DOM0
    hardware = domu('memory = <0 0x40000>; cpus = <1>; capabilities = <2>; xen,enhanced = "no-xenstore";', "4.22")
    assert any(note.startswith("not modelled: RAM, regions and tree of a hardware domain") for note in hardware.assumed)


def test_a_domain_without_a_kernel() -> None:
    body = f"""chosen {{ #address-cells = <2>; #size-cells = <2>; {KERNEL.format(at=0x48000000)}
        guest {{ compatible = "xen,domain"; {SMALL} }}; }};"""
    options = XenOptions()
    found = predict(prepare(host(GIC + body), options), preset("4.22"), options)
    assert [(item.stopped_by.stage, item.stopped_by.domain) for item in found if item.stopped_by] == [
        ("domains", "/chosen/guest")
    ] * 2
    assert found[0].stopped_by is not None
    assert "Missing kernel boot module?" in found[0].stopped_by.text
    assert "Could not set up domain guest (rc = -2)" in found[0].stopped_by.text
    bare = f'chosen {{ guest {{ compatible = "xen,domain"; {SMALL} }}; }};'
    found = predict(prepare(host(GIC + bare), options), preset("4.22"), options)
    assert all(item.stopped_by is None for item in found), "a boot loader may add the modules"


def test_more_ram_than_the_host_has() -> None:
    """The host has 1 GiB; memory is in KiB, and the page tables of the first take some MiB more."""
    options = XenOptions()
    for memory, stopped in (("0xf0000", False), ("0x100400", True)):
        body = DOMAINS.format(name="guest", properties=f"memory = <0 {memory}>; cpus = <1>;", children="")
        (found,) = predict(prepare(host(GIC + body), options), preset("4.22"), options)
        assert (found.stopped_by is not None) is stopped
        if found.stopped_by is not None:
            assert found.stopped_by.message.startswith(
                "Failed to allocate requested domain memory. 1049600KB unallocated. Fix the VMs configurations."
            )


@pytest.mark.parametrize(
    ("size", "console", "message"),
    [
        ("0x1000", True, None),
        ("0x1000", False, "Error getting IRQ number for this serial port 0"),
        (
            "0x400",
            True,
            "vpl011: Can't re-use the Xen UART MMIO region as it is too small.; Could not set up domain guest (rc = -22)",
        ),
    ],
)
def test_the_uart_of_a_direct_mapped_domain(size: str, console: bool, message: str | None) -> None:
    uart = f'uart@9000000 {{ compatible = "arm,pl011"; reg = <0 0x9000000 0 {size}>; interrupt-parent = <1>; interrupts = <0 5 4>; }};'
    path = 'xen,xen-bootargs = "dtuart=/uart@9000000";' if console else ""
    guest = f"""chosen {{ #address-cells = <2>; #size-cells = <2>; {path}
        guest {{ compatible = "xen,domain"; {SMALL} direct-map; vpl011; xen,static-mem = <0 0x60000000 0 0x10000000>;
            {KERNEL.format(at=0x48000000)} }}; }};"""
    options = XenOptions()
    (found,) = predict(prepare(host(GIC + guest + uart), options), preset("4.22"), options)
    assert (found.stopped_by.message if found.stopped_by else None) == message
    assert any(
        note.startswith("static memory: Xen is taken to be built with CONFIG_STATIC_MEMORY") for note in found.assumed
    )


def test_the_event_channels_get_the_first_ppi_that_the_timer_leaves() -> None:
    """Booted with 4.17.5, 4.20.4 and 4.22.0: a timer of PPIs 0, 1 and 3 leaves PPI 2."""

    def ppi(found: Prediction) -> int:
        hypervisor = written(found).find("/hypervisor")
        assert hypervisor is not None
        return hypervisor.properties["interrupts"].cells[1]

    options = XenOptions()
    low = host(GIC.replace("<1 13 4>, <1 14 4>, <1 11 4>", "<1 0 4>, <1 1 4>, <1 3 4>"))
    assert ppi(predict(prepare(low, options), preset("4.20"), options)[0]) == 2
    assert ppi(one("")) == 0


def test_consoles_without_a_uart_leave_it_to_dom0() -> None:
    body = """chosen { stdout-path = "/uart@9000000"; xen,xen-bootargs = "console=null"; };
    uart@9000000 { compatible = "arm,pl011"; reg = <0 0x9000000 0 0x1000>; interrupt-parent = <1>; interrupts = <0 1 4>; };"""
    assert written(one(body)).find("/uart@9000000") is not None
    assert written(one(body.replace("=null", "=null,dtuart"))).find("/uart@9000000") is None


MODULE = "chosen { #address-cells = <2>; #size-cells = <2>; " + KERNEL.format(at=0x48000000) + " };"


@pytest.mark.parametrize(
    ("release", "address", "stage"),
    [
        ("4.22", 0x48000000, "modules"),
        ("4.18", 0x48000800, "modules"),
        ("4.17", 0x48000000, "modules"),  # nothing is compared up to 4.17: both are freed
        ("4.22", 0x48001000, None),
        ("4.22", 0x44000000, None),
    ],
)
def test_a_module_over_the_tree_itself(release: str, address: int, stage: str | None) -> None:
    found = one(MODULE, release, fdt_address=address)
    assert (found.stopped_by.stage if found.stopped_by else None) == stage
    if found.stopped_by is not None and release != "4.17":
        assert found.stopped_by.text.startswith("Missing kernel boot module?; Could not set up ")
        assert "(rc = -2) (the module /chosen/m@48000000 overlaps" in found.stopped_by.text
        assert found.stopped_by.lines[0] == ("Missing kernel boot module?")
    unknown = one(MODULE, release)
    assert unknown.stopped_by is None
    assert any("overlaps with them are not seen (--fdt-address" in note for note in unknown.assumed)


def test_a_log_tells_where_xen_and_the_tree_lie() -> None:
    text = LOG + (
        "(XEN) MODULE[0]: 0000000040400000 - 000000004055f000 Xen         \n"
        "(XEN) MODULE[1]: 0000000047ffff00 - 0000000048000100 Device Tree \n"
        "(XEN) MODULE[2]: 0000000048000000 - 0000000048001000 Kernel      \n"
    )
    log = read_xen_log(text)
    assert [(item.kind, item.start, item.size) for item in log.modules] == [
        ("Xen", 0x40400000, 0x15F000),
        ("Device Tree", 0x47FFFF00, 0x200),
    ]
    stop = one(MODULE, "4.22", log=log).stopped_by
    assert stop is not None and stop.stage == "modules"
    assert one(MODULE, "4.22", log=log, fdt_address=0x46000000).stopped_by is None, "what is given stands above the log"


def test_ram_that_is_too_small_may_be_a_placeholder() -> None:
    words = "RAM is what the tree lists, which a boot loader may replace (--memory)"
    assert any(words in note for note in one("", dom0_mem=4 * GIB).assumed)
    given = one("", dom0_mem=4 * GIB, memory=(AddressRange(0x40000000, GIB),))
    assert given.stopped_by is not None and not any(words in note for note in given.assumed)


def test_a_grant_table_is_no_larger_than_xens_text() -> None:
    found = one('chosen { xen,xen-bootargs = "gnttab_max_frames=1024"; };')
    assert found.grant_table is not None and found.grant_table.size == MIB
    assert any("no larger than its own text" in note for note in found.assumed)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--domu", "0"], "a toolstack guest has more than 0"),
        (["--domu", "2T"], "at most 1019 GiB of RAM, not 2 TiB"),
        (["--fdt-address", "there"], "--fdt-address takes an address such as 0x44000000, not 'there'"),
        (
            ["--dom0-bank", "0x50000000+512M", "--dom0-bank", "0x40000000+512M"],
            "dom0's banks 0x40000000-0x5fffffff and 0x50000000-0x6fffffff overlap",
        ),
    ],
)
def test_options_that_cannot_be(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    board = tmp_path / "board.dtb"
    board.write_bytes(blob(HEAD))
    with pytest.raises(SystemExit) as left:
        main(["check", str(board), *arguments])
    assert left.value.code == 2 and words in capsys.readouterr().err


def test_boot_log() -> None:
    log = read_xen_log(LOG)
    assert log.version == "4.20.4"
    assert log.ram == (AddressRange(0x40000000, 2 * GIB),)
    assert log.grant_table == AddressRange(0x40400000, 0x40000)
    assert log.dom0_banks == (AddressRange(0x60000000, 512 * MIB),)
    assert log.extended_regions == (AddressRange.spanning(0x40600000, 0x5FE00000),)
    found = one("", log=log)
    assert (found.memory, found.memory_known, found.grant_table) == (log.dom0_banks, True, log.grant_table)


def test_a_boot_log_without_the_grant_table_leaves_it_a_guess() -> None:
    log = read_xen_log("\n".join(line for line in LOG.splitlines() if "rant table" not in line))
    assert log.grant_table is None
    found = one("", log=log)
    assert found.grant_table == AddressRange(0x40400000, 0x40000), "4 MiB into RAM"
    assert any("a guess" in item for item in found.assumed)


def test_only_given_ram_is_known() -> None:
    """dom0_memory_known: a placement that a model made is none."""
    assert not one("").memory_known
    assert one("", dom0_banks=(AddressRange(0x60000000, 128 * MIB),)).memory_known
    empty = parse(blob(HEAD.replace("0 0x40000000>;", "0 0>;")))
    assert not predict(prepare(empty, XenOptions()), preset("4.20"), XenOptions())[0].memory_known


@pytest.mark.parametrize(
    ("text", "words"),
    [("hello", "not a Xen boot log"), ("(XEN) RAM: 40000000 - 3ffffff0", "line 1: the range 40000000-3ffffff0 is empty")],
)
def test_boot_log_that_is_none(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_xen_log(text)


def test_presets() -> None:
    assert preset("4.19.1").removal_extends_lower_range and not preset("4.19.3").removal_extends_lower_range
    assert preset("4.20.0").removal_extends_lower_range and not preset("4.20.3").removal_extends_lower_range
    assert preset("4.18.2") == PRESETS["4.18"]._replace(name="4.18.2")
    for name in ("4.15", "4", "trunk", "4.23.1"):
        with pytest.raises(UsageError, match=f"no Xen release is called '{name}'"):
            preset(name)


def test_without_ram_the_answer_asks_for_it_and_gives_the_rest() -> None:
    tree = parse(
        blob("#address-cells = <2>; #size-cells = <2>; " + CPUS + GIC + "dev@a000000 { reg = <0 0xa000000 0 0x1000>; };")
    )
    options = CheckOptions()
    (found,) = predict_host(tree, "board.dtb", HostQuestion(options, (options.linux,), (), (True,)))
    assert found.host.verdict is Verdict.UNKNOWN and "--memory" in found.host.reason
    assert found.prediction.regions.ranges != () and found.guest is None
    given = options._replace(memory=(AddressRange(0x40000000, GIB),))
    (answered,) = predict_host(tree, "board.dtb", HostQuestion(given, (given.linux,), (), (True,)))
    assert answered.host.verdict is Verdict.SCRATCH


def test_unknown_kaslr_gives_both_answers_when_they_differ() -> None:
    """dom0's RAM above the host's only free space: without KASLR that lies below the linear map."""
    bank = (AddressRange(0x80000000, GIB),)
    tree = parse(
        blob(
            "#address-cells = <2>; #size-cells = <2>; "
            + CPUS
            + GIC
            + 'memory@40000000 { device_type = "memory"; reg = <0 0x40000000 0 0x80000000>; };'
        )
    )
    options = CheckOptions(linux=LINUX["6.12"])
    question = HostQuestion(options, (options.linux,), (), (False,), XenOptions(dom0_banks=bank))
    (result,) = check_host(tree, "board.dtb", question)
    assert result.kaslr is None and result.verdict is Verdict.EXHAUSTED
    assert [(item.kaslr, item.verdict, item.sections) for item in result.alternatives] == [
        (False, Verdict.EXHAUSTED, 0),
        (True, Verdict.SCRATCH, 7),
    ]
    newer = question._replace(linux=(LINUX["7.3"],))
    assert check_host(tree, "board.dtb", newer)[0].alternatives == (), "7.3 does not move the linear map"


def test_an_interrupt_with_two_trigger_types_stops_dom0() -> None:
    """Level for a device and edge for the controller behind it: the second is refused, disabled or not."""
    body = """pcie@9000000 { reg = <0 0x9000000 0 0x1000>; interrupt-parent = <1>; interrupts = <0 72 4>;
        legacy { status = "disabled"; interrupts-extended = <1 0 72 %s>; };
    };"""
    assert one(body % "4").stopped_by is None
    stop = one(body % "1").stopped_by
    assert stop is not None and stop.stage == "dom0-devices"
    assert stop.lines == (
        "Unable to get irq 0 for /pcie@9000000/legacy",
        "Device tree generation failed (-1).",
        "Could not set up DOM0 guest OS (rc = -22)",
    )


def test_a_domain_that_cannot_be_built_stops_all() -> None:
    body = """chosen { #address-cells = <2>; #size-cells = <2>;
        m@48000000 { compatible = "multiboot,kernel", "multiboot,module"; reg = <0 0x48000000 0 0x1000>; };
        good { compatible = "xen,domain"; #address-cells = <2>; #size-cells = <2>; memory = <0 0x40000>; cpus = <1>;
            m@48100000 { compatible = "multiboot,kernel", "multiboot,module"; reg = <0 0x48100000 0 0x1000>; }; };
        bad { compatible = "xen,domain"; memory = <0 0x40000>; };
    };"""
    options = XenOptions()
    found = predict(prepare(host(GIC + body), options), preset("4.22"), options)
    assert [item.domain for item in found] == ["dom0", "/chosen/good", "/chosen/bad"]
    stops = {(item.stopped_by.stage, item.stopped_by.message, item.stopped_by.domain) for item in found if item.stopped_by}
    assert stops == {("domains", "Missing property 'cpus' for domain bad", "/chosen/bad")}
    assert all(item.stopped_by for item in found)


@pytest.mark.parametrize(
    ("properties", "stopped"),
    [
        ("memory = <0x40000>; cpus = <1>;", True),
        ("memory = <0 0x40000>; cpus = <1>;", False),
        ("memory = <0 0x40000>; cpus = <1>; xen,static-mem = <0 0x60000000 0 0x10000000>;", False),
        ("memory = <0 0x20000>; cpus = <1>; xen,static-mem = <0 0x60000000 0 0x10000000>;", True),
    ],
)
def test_memory_of_a_domain(properties: str, stopped: bool) -> None:
    assert (domu(properties).stopped_by is not None) is stopped


def test_an_empty_string_does_not_enhance() -> None:
    assert domu("memory = <0 0x40000>; cpus = <1>; xen,enhanced = [00];").method == "none"


def test_passed_through_devices_are_disabled_for_dom0_and_keep_their_interrupts() -> None:
    body = """aliases { serial0 = "/uart@9000000"; };
    chosen { stdout-path = "serial0"; };
    uart@9000000 { compatible = "arm,pl011"; reg = <0 0x9000000 0 0x1000>; interrupt-parent = <1>; interrupts = <0 121 4>; };
    uart@9001000 { compatible = "arm,pl011"; reg = <0 0x9001000 0 0x1000>; interrupt-parent = <1>; interrupts = <0 121 4>; xen,passthrough; };
    """
    found = one(body)
    assert found.stopped_by is None
    node = written(found).find("/uart@9001000")
    assert node is not None and not node.available and node.prop("xen,passthrough") is None


def test_shared_memory_is_in_the_domains_tree() -> None:
    """4.17 and 4.18 put regions over it: Linux then finds scratch space on a reservation that it does not know."""
    body = DOMAINS.format(
        name="guest", properties='memory = <0 0x40000>; cpus = <1>; xen,enhanced = "no-xenstore";', children=SHM
    )
    options = CheckOptions(linux=LINUX["6.12"])
    for release, verdict in (("4.17", Verdict.HAZARD), ("4.22", Verdict.SCRATCH)):
        (result,) = check_host(host(GIC + body), "board.dtb", HostQuestion(options, (options.linux,), (preset(release),)))
        assert result.verdict is verdict


def test_memory_that_one_cell_cannot_say() -> None:
    one_cell = parse(blob('#address-cells = <2>; #size-cells = <1>; memory@0 { device_type = "memory"; reg = <0 0 0>; };'))
    options = XenOptions(memory=(AddressRange(0x40000000, 8 * GIB),))
    (found,) = predict(prepare(one_cell, options), preset("4.22"), options)
    assert sum(bank.size for bank in found.info.mem) == 8 * GIB
    narrow = parse(blob("#address-cells = <1>; #size-cells = <1>;"))
    with pytest.raises(UsageError, match="its root has #address-cells 1"):
        prepare(narrow, options)


def test_a_log_of_a_development_version(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "xen.log"
    log.write_text(LOG.replace("4.20.4", "4.99-unstable"))
    board = tmp_path / "board.dtb"
    board.write_bytes(blob(HEAD))
    with pytest.raises(SystemExit):
        main(["predict", "-q", "--xen-log", str(log), str(board)])
    assert "dom0, Xen master:" in capsys.readouterr().out


def test_two_trees_of_one_name_are_not_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = []
    for folder, extra in (("a", ""), ("b", "dev@a000000 { reg = <0 0xa000000 0 0x1000>; };")):
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / "board.dtb"
        path.write_bytes(blob(HEAD + GIC + extra))
        paths.append(str(path))
    with pytest.raises(SystemExit) as left:
        main(["predict", "-q", *paths, "--emit-dtb", str(tmp_path / "out")])
    assert left.value.code == 2 and "two different trees would both be called" in capsys.readouterr().err
    one_file = tmp_path / "dom0.dtb"
    with pytest.raises(SystemExit) as left:
        main(["predict", "-q", paths[0], "--linux", "6.1,6.12", "--emit-dtb", str(one_file)])
    assert not left.value.code and one_file.is_file()
    source = tmp_path / "dom0.dts"
    with pytest.raises(SystemExit):
        main(["predict", "-q", paths[0], "--emit-dtb", str(source)])
    assert fdt.parse_dts(source.read_text()).get_property("compatible", "/hypervisor").data[-1] == "xen,xen"


def test_a_direct_mapped_domain_has_its_devices_where_the_host_has_them() -> None:
    """The host's GIC sits behind a one-cell bus; the emulated UART takes the place of Xen's console."""
    body = """aliases { serial0 = "/soc/uart@9000000"; };
    soc { compatible = "simple-bus"; #address-cells = <1>; #size-cells = <1>; ranges = <0 0 0x10000000 0x10000000>;
        gic@100000 { compatible = "arm,gic-400"; #interrupt-cells = <3>; interrupt-controller; phandle = <1>;
            reg = <0x100000 0x1000>, <0x102000 0x2000>, <0x104000 0x2000>, <0x106000 0x2000>; };
        uart@9000000 { compatible = "arm,pl011"; reg = <0x9000000 0x1000>; interrupt-parent = <1>; interrupts = <0 5 4>; };
    };
    chosen { #address-cells = <2>; #size-cells = <2>; stdout-path = "serial0";
        guest { compatible = "xen,domain"; memory = <0 0x40000>; cpus = <1>; direct-map; vpl011; xen,enhanced;
            xen,static-mem = <0 0x60000000 0 0x10000000>; };
    };"""
    options = XenOptions()
    (found,) = predict(prepare(host(body), options), preset("4.22"), options)
    tree = written(found)
    gic = tree.root.child("interrupt-controller@10100000")
    assert gic is not None and gic.properties["reg"].cells == (0, 0x10100000, 0, 0x1000, 0, 0x10102000, 0, 0x2000)
    uart = tree.root.child("sbsa-uart@19000000")
    assert uart is not None and uart.properties["reg"].cells == (0, 0x19000000, 0, 0x1000)
    assert uart.properties["interrupts"].cells == (0, 5, 0xF04), "the host's SPI"
