"""Each stage of a boot refuses what upstream's own check refuses, in upstream's words, and nothing beside it.

The lines are copied from the sources named; the trees are one mutation away from one that boots.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dtanalyze.address.range import AddressRange
from dtanalyze.address.units import KIB, MIB
from dtanalyze.analysis.host import check_host
from dtanalyze.analysis.questions import CheckOptions, HostQuestion
from dtanalyze.cli import main
from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.tree import Node
from dtanalyze.errors import InputError
from dtanalyze.linux.boot import Verdict
from dtanalyze.linux.profile import PRESETS
from dtanalyze.rules.stop_advice import stop_advice
from dtanalyze.xen.build import build_named, read_build
from dtanalyze.xen.early_fdt_map import relocate_fdt
from dtanalyze.xen.fdt_sw import bytes_needed
from dtanalyze.xen.options import XenOptions
from dtanalyze.xen.page_alloc import BootAllocator
from dtanalyze.xen.predict import predict, prepare
from dtanalyze.xen.prediction import Prediction
from dtanalyze.xen.profile import preset
from dtanalyze.xen.stage import Open, Passed, Stop
from dtanalyze.xen.start_xen import STAGES
from dtanalyze.xen.vmap import fits_into_vmap
from tests.xen.build import blob

HEAD = """#address-cells = <2>; #size-cells = <2>; interrupt-parent = <1>;
memory@40000000 { device_type = "memory"; reg = <0 0x40000000 0 0x80000000>; };
"""
CPUS = 'cpus { cpu@0 { device_type = "cpu"; compatible = "arm,cortex-a53"; reg = <0>; }; };'
TIMER = 'timer { compatible = "arm,armv8-timer"; interrupts = <1 13 8>, <1 14 8>, <1 11 8>, <1 10 8>; };'
GICV3 = """gic@8000000 { compatible = "arm,gic-v3"; #interrupt-cells = <3>; interrupt-controller; phandle = <1>;
    reg = <0 0x8000000 0 0x10000>, <0 0x80a0000 0 0xf60000>; interrupts = <1 9 4>; };"""
GICV2 = """gic@8000000 { compatible = "arm,gic-400"; #interrupt-cells = <3>; interrupt-controller; phandle = <1>;
    reg = <0 0x8000000 0 0x1000>, <0 0x8010000 0 0x2000>, <0 0x8020000 0 0x2000>, <0 0x8040000 0 0x2000>; interrupts = <1 9 4>; };"""
V2M = """v2m@8080000 { compatible = "arm,gic-v2m-frame"; reg = <0 0x8080000 0 0x1000>; arm,msi-base-spi = <80>; arm,msi-num-spis = <64>; }; };"""
FRAMED = (
    GICV2.replace("interrupts =", "#address-cells = <2>; #size-cells = <2>; ranges; interrupts =").removesuffix("};") + V2M
)
MODULES = """chosen {{ #address-cells = <2>; #size-cells = <2>; {more}
    m@48000000 {{ compatible = "multiboot,kernel", "multiboot,module"; reg = <0 0x48000000 0 {kernel:#x}>; }};
    m@60000000 {{ compatible = "multiboot,ramdisk", "multiboot,module"; reg = <0 0x60000000 0 {ramdisk:#x}>; }};
    pad@0 {{ compatible = "multiboot,module"; reg = <0 0 0 0>; pad = "{pad}"; }}; }};"""
PAD = "x" * 512
"""Room in the host's tree, as boot loaders leave it: what stands in a module's node is not dom0's."""


def boot(*parts: str, release: str = "4.20", **known: Any) -> Prediction:
    options = XenOptions(**known)
    return predict(prepare(parse(blob(HEAD + "".join(parts))), options), preset(release), options)[0]


def stop_of(*parts: str, release: str = "4.20", **known: Any) -> Stop | None:
    return boot(*parts, release=release, **known).stopped_by


def gone(text: str, old: str, new: str = "") -> str:
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize("gic", [GICV3, GICV2, FRAMED])
def test_a_tree_that_boots_passes_every_stage(gic: str) -> None:
    found = boot(CPUS, TIMER, gic)
    assert found.stopped_by is None
    assert [stage for stage, _ in found.stages] == list(STAGES)


NO_RAM = 'memory@40000000 { device_type = "memory"; reg = <0 0x40000000 0 0>; };'
TWO_TOUCH = """reserved-memory { #address-cells = <2>; #size-cells = <2>; ranges;
    a@50000000 { reg = <0 0x50000000 0 0x200000>; }; b@50100000 { reg = <0 0x50100000 0 0x200000>; }; };"""
CELLS = "#address-cells = <2>; #size-cells = <2>; interrupt-parent = <1>;"


@pytest.mark.parametrize(
    ("parts", "empty", "filled"),
    [
        # boot_fdt_info of 4.18 ends at b@50100000 and ignores that (device_tree_for_each_node): RAM is what came before
        ((NO_RAM, TWO_TOUCH), "open", "goes on"),
        ((TWO_TOUCH, NO_RAM), "stops", "stops"),
        ((TWO_TOUCH,), "open", "goes on"),
    ],
)
def test_a_scan_that_ends_early_has_seen_the_ram_before_it(parts: tuple[str, ...], empty: str, filled: str) -> None:
    tree = parse(blob(CELLS + "".join((*parts, CPUS, TIMER, GICV3))))
    for memory, expected in (((), empty), ((AddressRange(0x40000000, 0x80000000),), filled)):
        options = XenOptions(memory=memory)
        stages = predict(prepare(tree, options), preset("4.18"), options)[0].stages
        scan = next(outcome for stage, outcome in stages if stage.upstream == "boot_fdt_info")
        assert {Open: "open", Stop: "stops", Passed: "goes on"}[type(scan)] == expected, memory


def test_what_comes_after_a_stop_does_not_run() -> None:
    found = boot(CPUS, GICV3)
    names = [stage.name for stage, _ in found.stages]
    assert names[-1] == "timer" and names[:1] == ["boot-scan"] and len(names) < len(STAGES)
    assert all(isinstance(outcome, Passed) for _, outcome in found.stages[:-1])


TWICE = 'mem2@60000000 { device_type = "memory"; reg = <0 0x60000000 0 0x10000000>; };'
CHILD = """reserved-memory { #address-cells = <2>; #size-cells = <2>; ranges;
    memory@60000000 { reg = <0 0x60000000 0 0x10000000>; }; };"""


@pytest.mark.parametrize(
    ("release", "line"),
    [
        # booted: 26z, 26z2, 26l and the ExynosAutov920's own tree, each with its own line number
        ("4.16", "Xen BUG at page_alloc.c:281"),
        ("4.17", "Xen BUG at common/page_alloc.c:285"),
        ("4.18", "Xen BUG at common/page_alloc.c:292"),
        ("4.19", "Xen BUG at common/page_alloc.c:293"),
        ("4.20", "Xen BUG at common/page_alloc.c:308"),
        ("4.21", "Xen BUG at common/page_alloc.c:309"),
        ("4.22", "Xen BUG at common/page_alloc.c:309"),
        ("master", "Xen BUG at common/page_alloc.c:308"),
    ],
)
def test_ram_that_is_named_twice(release: str, line: str) -> None:
    twice = TWICE.replace("mem2", "memory")
    stop = stop_of(CPUS, TIMER, GICV3, twice, release=release)
    assert stop is not None and (stop.stage, stop.lines, stop.silent) == ("memory", (line,), True)
    assert stop.because == "/memory@40000000 and /memory@60000000 name the same RAM"
    apart = twice.replace("0x60000000 0 0x10000000", "0xc0000000 0 0x10000000")
    assert stop_of(CPUS, TIMER, GICV3, apart, release=release) is None


@pytest.mark.parametrize(
    ("release", "stopped"), [("4.16", False), ("4.17", True), ("4.18", True), ("4.19", True), ("4.20", False)]
)
def test_a_reservation_that_is_called_memory(release: str, stopped: bool) -> None:
    """Booted as 26R, 16g and on the ZCU102's tree: up to 4.19 it is RAM by its name, and reserved, so that it is mapped twice."""
    stop = stop_of(CPUS, TIMER, GICV3, CHILD, release=release)
    assert (stop is not None) is stopped
    if stop is not None:
        assert (stop.stage, stop.lines, stop.silent) == ("memory", ("Unable to setup the directmap mappings.",), True)
        assert stop.node == "/reserved-memory/memory@60000000"
    assert stop_of(CPUS, TIMER, GICV3, CHILD.replace("memory@6", "buffer@6"), release=release) is None


@pytest.mark.parametrize(("start", "stopped"), [("0x2 0x90000000", True), ("0 0x90000000", False), ("0 0x10000000", True)])
def test_static_memory_beside_ram(start: str, stopped: bool) -> None:
    """Booted as 22hC: the frame table has no entry for it (init_staticmem_pages)."""
    domu = f"""chosen {{ #address-cells = <2>; #size-cells = <2>; d {{ compatible = "xen,domain"; #address-cells = <2>; #size-cells = <2>;
        memory = <0 0x40000>; cpus = <1>; xen,static-mem = <{start} 0 0x10000000>; #xen,static-mem-address-cells = <2>;
        #xen,static-mem-size-cells = <2>; m@48000000 {{ compatible = "multiboot,kernel", "multiboot,module"; reg = <0 0x48000000 0 0x1000>; }}; }}; }};"""
    stop = stop_of(CPUS, TIMER, GICV3, domu, release="4.21")
    assert (stop.lines if stop else None) == (("CPU0: Unexpected Trap: Data Abort",) if stopped else None)


NO_GIC = "Unable to find compatible GIC in the device tree"
NO_INTC = "Unable to find compatible interrupt controller in the device tree"


@pytest.mark.parametrize(
    ("gic", "because"),
    [
        (gone(GICV3, "arm,gic-v3", "qcom,msm-qgic2"), "and the tree has /gic@8000000 (qcom,msm-qgic2)"),
        (gone(GICV3, "interrupt-controller;"), "the tree has no interrupt controller at all"),
        (GICV3.replace("phandle", 'status = "disabled"; phandle'), "/gic@8000000 is not enabled"),
        (GICV3.replace("phandle", "xen,passthrough; phandle"), "/gic@8000000 is to be passed through"),
    ],
)
@pytest.mark.parametrize(("release", "line"), [("4.17", NO_GIC), ("4.19", NO_GIC), ("4.20", NO_INTC), ("4.22", NO_INTC)])
def test_no_interrupt_controller(gic: str, because: str, release: str, line: str) -> None:
    """intc_dt_preinit (common/device-tree/intc.c), gic_dt_preinit (arch/arm/gic.c) before 2e853c1920."""
    stop = stop_of(CPUS, TIMER, gic, release=release)
    assert stop is not None
    assert (stop.stage, stop.lines, stop.silent) == ("interrupt-controller", (line,), True)
    assert because in stop.because


@pytest.mark.parametrize(
    ("gic", "line"),
    [
        # gicv2_dt_init (arch/arm/gic-v2.c)
        (gone(GICV2, "<0 0x8000000 0 0x1000>, <0 0x8010000 0 0x2000>, <0 0x8020000 0 0x2000>, <0 0x8040000 0 0x2000>", "<>"),
         "GICv2: Cannot find a valid address for the distributor"),
        (gone(GICV2, ", <0 0x8010000 0 0x2000>, <0 0x8020000 0 0x2000>, <0 0x8040000 0 0x2000>"),
         "GICv2: Cannot find a valid address for the CPU"),
        (gone(GICV2, ", <0 0x8020000 0 0x2000>, <0 0x8040000 0 0x2000>"),
         "GICv2: Cannot find a valid address for the hypervisor"),
        (gone(GICV2, ", <0 0x8040000 0 0x2000>"), "GICv2: Cannot find a valid address for the virtual CPU"),
        (gone(GICV2, "interrupts = <1 9 4>;"), "GICv2: Cannot find the maintenance IRQ"),
        (gone(GICV2, "0x8040000 0 0x2000", "0x8040000 0 0x1000"),
         "GICv2: Sizes of GICC (0x00000000002000) and GICV (0x00000000001000) don't match"),
        (gone(GICV2, "0x8010000 0 0x2000", "0x8010000 0 0x20000"),
         "GICv2: Sizes of GICC (0x00000000020000) and GICV (0x00000000002000) don't match"),
        (gone(GICV2, "0x8020000", "0x8020800"), "GICv2 interfaces not page aligned"),
        (gone(FRAMED, "<80>", "<31>"), "GICv2: Invalid v2m base SPI:31"),
        (gone(FRAMED, "<64>", "<940>"), "GICv2: Number of v2m SPIs (940) exceed maximum (988)"),
        (gone(FRAMED, "reg = <0 0x8080000 0 0x1000>;"), "GICv2: Cannot find a valid v2m frame address"),
        # gicv3_dt_init (arch/arm/gic-v3.c)
        (gone(GICV3, "reg = <0 0x8000000 0 0x10000>, <0 0x80a0000 0 0xf60000>;"), "GICv3: Cannot find a valid distributor address"),
        (gone(GICV3, "0x8000000 0 0x10000", "0x8000800 0 0x10000"),
         "GICv3:  Found unaligned distributor address 0000000008000800"),
        (gone(GICV3, ", <0 0x80a0000 0 0xf60000>"), "GICv3: No rdist base found for region 0"),
        (gone(GICV3, "phandle", "#redistributor-regions = <2>; phandle"), "GICv3: No rdist base found for region 1"),
        (gone(GICV3, "interrupts = <1 9 4>;"), "GICv3: Cannot find the maintenance IRQ"),
        (gone(GICV3, "interrupts = <1 9 4>", "interrupts = <1 13 4>"), "GICv3: Cannot find the maintenance IRQ"),  # timer: 8
        (gone(GICV2, "interrupts = <1 9 4>", "interrupts = <1 13 4>"), "GICv2: Cannot find the maintenance IRQ"),
        # ioremap_nocache has 1 GiB of addresses (VMAP_VIRT_SIZE): 40g-redistributors-of-1-tib; both sizes have to be equal
        (GICV2.replace("0x8010000 0 0x2000", "0x8010000 0 0x40000000").replace("0x8040000 0 0x2000", "0x8040000 0 0x40000000"),
         "GICv2: Failed to ioremap for GIC CPU interface"),
        (gone(FRAMED, "<80>", "<0>").replace("0x8080000 0 0x1000", "0x8080000 0 0x40000000"),
         "GICv2: Cannot remap v2m register frame"),
        (gone(GICV3, "0 0xf60000", "0 0x40000000"), "GICv3: Failed to ioremap rdist region for region 0"),
        (gone(GICV3, "0 0xf60000>", "0 0x20000000>, <0 0x40000000 0 0x20000000>").replace(
            "phandle", "#redistributor-regions = <2>; phandle"), "GICv3: Failed to ioremap rdist region for region 1"),
        # 40g-redistributor-of-32-kib: the second frame of 64 KiB is not mapped
        (gone(GICV3, "0 0xf60000", "0 0x10000"), "CPU0: Unexpected Trap: Data Abort"),
    ],
)  # fmt: skip
def test_registers_and_interrupt_of_the_controller(gic: str, line: str) -> None:
    stop = stop_of(CPUS, TIMER, gic)
    assert stop is not None
    assert (stop.stage, stop.lines, stop.silent) == ("interrupt-controller", (line,), False)
    assert stop.because.startswith("/gic@8000000: ")


@pytest.mark.parametrize(
    "gic",
    [
        gone(GICV2, "0x8010000 0 0x2000", "0x8010000 0 0x1000"),  # a CPU interface of 4 KiB counts as 8
        gone(FRAMED, "<80>", "<0>"),  # the hardware says
        gone(FRAMED, "<64>", "<912>"),
        gone(GICV3, "<1 9 4>", "<1 11 8>, <1 13 4>"),  # of the timer's type; the second is not asked for
        gone(GICV3, "phandle", "#redistributor-regions = [00 01]; phandle"),  # no 32 bits: as if it were not there
        gone(FRAMED, "<80>", "<0>").replace("0x8080000 0 0x1000", "0x8080000 0 0x10000000"),
        GICV2.replace("0x8010000 0 0x2000", "0x8010000 0 0x3fff7000").replace("0x8040000 0 0x2000", "0x8040000 0 0x3fff7000"),
    ],
)
def test_controllers_that_xen_takes(gic: str) -> None:
    assert stop_of(CPUS, TIMER, gic) is None


def test_no_redistributor_for_the_first_cpu() -> None:
    """gicv3_populate_rdist: as 39c-no-redistributors booted."""
    stop = stop_of(CPUS, TIMER, gone(GICV3, "phandle", "#redistributor-regions = <0>; phandle"))
    assert stop is not None and stop.lines == ("Failed to initialize the GIC drivers",)


def test_an_x_gene_has_its_pages_64_kib_apart() -> None:
    """PLATFORM_QUIRK_GIC_64K_STRIDE (arch/arm/platforms/xgene-storm.c): both sizes are set when the first is small."""
    gic = GICV2.replace("gic-400", "cortex-a15-gic").replace("0x8010000 0 0x2000", "0x8010000 0 0x1000")
    xgene = 'compatible = "apm,xgene-storm";'
    assert stop_of(xgene, CPUS, TIMER, gic.replace("0x8040000 0 0x2000", "0x8040000 0 0x1000")) is None
    old = stop_of(xgene, CPUS, TIMER, gic.replace("0x8000000 0", "0x78010000 0"))
    assert old is not None and old.stage == "platform"
    assert old.lines == (
        "OLD X-Gene Firmware is not supported by Xen.",
        "Please upgrade your firmware to the latest version",
    )
    none = stop_of(xgene, CPUS, TIMER, GICV3)
    assert none is not None and none.lines == ("xgene_check_pirq_eoi: Can not find interrupt controller node",)


NAMED = gone(TIMER, "interrupts =", 'interrupt-names = "virt", "phys", "sec-phys", "hyp-phys"; interrupts =')


@pytest.mark.parametrize(
    ("timer", "release", "line"),
    [
        # preinit_dt_xen_time, init_dt_xen_time (arch/arm/time.c)
        ("", "4.22", "Unable to find a compatible timer in the device tree"),
        (gone(TIMER, ", <1 10 8>"), "4.17", "Timer: Unable to retrieve IRQ 3 from the device tree"),
        (gone(TIMER, ", <1 10 8>"), "4.22", "Timer: Unable to retrieve IRQ 3 from the device tree"),
        (gone(NAMED, "hyp-phys", "hyp-virt"), "4.18", "Timer: Unable to retrieve IRQ 3 from the device tree"),
        (gone(NAMED, "hyp-phys", "hyp-virt"), "4.17", None),  # names are not read
        (NAMED, "4.18", None),
        (gone(TIMER, "interrupts", "clock-frequency = <999>; interrupts"), "4.21", "Timer frequency is less than 1 KHz"),
        (gone(TIMER, "interrupts", "clock-frequency = <999>; interrupts"), "4.22", None),
        (gone(TIMER, "interrupts", "clock-frequency = <499>; interrupts"), "4.22", "Timer frequency is less than 1 KHz"),
        (gone(TIMER, "interrupts", "clock-frequency = <999>; interrupts"), "4.17", None),
        (gone(TIMER, "interrupts", 'status = "disabled"; interrupts'), "4.22", None),
        # domain_vtimer_init (arch/arm/vtimer.c), booted with 4.17.5, 4.20.4 and 4.22.0
        (gone(TIMER, "1 14", "1 13"), "4.17", "Xen BUG at arch/arm/vtimer.c:80"),
        (gone(TIMER, "1 14", "1 13"), "4.22", "Xen BUG at arch/arm/vtimer.c:84"),
        (gone(TIMER, "1 11", "1 14"), "4.20", "Xen BUG at arch/arm/vtimer.c:87"),
        (gone(TIMER, "1 13", "0 960"), "4.20", "Xen BUG at arch/arm/vtimer.c:81"),
        (gone(TIMER, "1 13", "0 100"), "4.20", None),
        (gone(TIMER, "1 10", "1 11"), "4.20", None),  # the hypervisor's own is none of dom0's
        # an empty entry makes way for the one of interrupts (booted with 4.20.4)
        (gone(TIMER, "interrupts =", "interrupts-extended = <0 1 1 14 8 1 1 11 8 1 1 10 8>; interrupts ="), "4.20", None),
        ('timer { compatible = "arm,armv8-timer"; interrupts-extended = <0 1 1 14 8 1 1 11 8 1 1 10 8>; };', "4.20",
         "Timer: Unable to retrieve IRQ 0 from the device tree"),
        # the fifth is asked for since names are read, and settles the trigger type of the GIC's
        (gone(TIMER, "<1 10 8>", "<1 10 8>, <1 9 1>"), "4.17", None),
        (gone(TIMER, "<1 10 8>", "<1 10 8>, <1 10 4>"), "4.22", None),
    ],
)  # fmt: skip
def test_the_timer(timer: str, release: str, line: str | None) -> None:
    stop = stop_of(CPUS, timer, GICV3, release=release)
    assert (stop.lines if stop else None) == ((line,) if line else None)
    assert stop is None or stop.stage == "timer"


SMMU = 'smmu@9000000 { compatible = "arm,mmu-500"; reg = <0 0x9000000 0 0x1000>; #global-interrupts = <1>; interrupts = <0 1 4>, <0 2 4>; };'


@pytest.mark.parametrize(
    ("line", "smmu", "stopped"),
    [
        ("iommu=force", "", True),
        ("iommu=required", "", True),
        ("iommu=verbose,force", "", True),
        ("iommu=no-force", "", False),
        ("iommu=force iommu=force=0", "", False),
        ("iommu=verbose", "", False),
        ("iommu=force", SMMU, False),
        ("iommu=off,force", SMMU, True),
        ("iommu=force", SMMU.replace("reg", 'status = "disabled"; reg'), True),
    ],
)
def test_an_iommu_that_has_to_be_there(line: str, smmu: str, stopped: bool) -> None:
    """iommu_setup (drivers/passthrough/iommu.c), parse_iommu_param."""
    stop = stop_of(CPUS, TIMER, GICV3, smmu, f'chosen {{ xen,xen-bootargs = "{line}"; }};')
    lines = ("Couldn't enable IOMMU and iommu=required/force",)
    assert (stop.lines if stop else None) == (lines if stopped else None)


@pytest.mark.parametrize(
    ("cpus", "because"),
    [
        ("", "the tree has no /cpus"),
        (gone(CPUS, 'device_type = "cpu";'), "no node of /cpus has device_type"),
        (gone(CPUS, 'compatible = "arm,cortex-a53";'), "/cpus/cpu@0 has no compatible"),
    ],
)
def test_cpus_that_dom0_is_told_of(cpus: str, because: str) -> None:
    """make_cpus_node (arch/arm/domain_build.c): -ENOENT, which prepare_dtb_hwdom turns into -EINVAL."""
    stop = stop_of(cpus, TIMER, GICV3, release="4.22")
    assert stop is not None and because in stop.because
    assert stop.lines == ("Device tree generation failed (-2).", "Could not set up d0 guest OS (rc = -22)")


def test_a_dom0_without_a_kernel() -> None:
    """kernel_probe (arch/arm/kernel.c): -ENOENT, which construct_dom0 hands on."""
    only = 'chosen { #address-cells = <2>; #size-cells = <2>; m@1 { compatible = "multiboot,ramdisk", "multiboot,module"; reg = <0 0x48000000 0 0x1000>; }; };'
    for release, last in (("4.17", "Could not set up DOM0 guest OS"), ("4.22", "Could not set up d0 guest OS (rc = -2)")):
        stop = stop_of(CPUS, TIMER, GICV3, only, release=release)
        assert stop is not None and stop.stage == "modules"
        assert stop.lines == ("Missing kernel boot module?", last)
    empty = stop_of(CPUS, TIMER, GICV3, MODULES.format(pad=PAD, more="", kernel=0, ramdisk=0x1000))
    assert empty is not None and empty.because == "the module /chosen/m@48000000 has no bytes"




@pytest.mark.parametrize(
    ("kernel", "ramdisk", "line"),
    [
        # dom0's first bank is 128 MiB; the tree counts as 2 MiB (place_modules, arch/arm/kernel.c)
        (32 * MIB, 94 * MIB, "Unable to find suitable location for dtb+initrd"),  # ramend - modsize is not above the kernel
        (32 * MIB, 95 * MIB, "Not enough memory in the first bank for the kernel+dtb+initrd"),
        (32 * MIB, 92 * MIB, None),
        (1, 0, None),
    ],
)
def test_modules_have_to_fit_into_the_first_bank(kernel: int, ramdisk: int, line: str | None) -> None:
    modules = MODULES.format(pad=PAD, more='xen,xen-bootargs = "dom0_mem=128M";', kernel=kernel, ramdisk=ramdisk)
    stop = stop_of(CPUS, TIMER, GICV3, modules)
    assert (stop.lines if stop else None) == ((line,) if line else None)
    assert stop is None or stop.stage == "dom0-modules"


@pytest.mark.parametrize(("release", "stopped"), [("4.17", True), ("4.21", True), ("4.22", False)])
def test_a_tree_that_outgrows_its_buffer(release: str, stopped: bool) -> None:
    """128 CPUs are told of, where the host has one: more than 144 bytes, and fewer than the 4 KiB of 4.22 (ad6f396a3f)."""
    modules = MODULES.format(pad="", more='xen,xen-bootargs = "dom0_max_vcpus=24";', kernel=MIB, ramdisk=MIB)
    stop = stop_of(CPUS, TIMER, GICV3, modules, release=release)
    assert (stop is not None) is stopped
    if stop is not None:
        assert stop.stage == "dom0-tree" and stop.lines[0] == "Device tree generation failed (-3)."
    loader = modules.replace("multiboot,module", "other")
    assert stop_of(CPUS, TIMER, GICV3, loader, release=release) is None, "a boot loader has yet to add to this tree"


def test_the_size_of_a_tree_as_libfdt_writes_it() -> None:
    """Header 48, one empty reservation 16; per node 8 and its name, per property 12, its value and its name once."""
    root = Node("", None, 0)
    assert bytes_needed(root) == 48 + 16 + (4 + 4 + 4) + 4
    tree = parse(blob('abcd = "x"; reg = <1>; sub { bcd; abcd; reg = <1>; };'))
    structure = 4 + (8 + 4) + (12 + 4) + (12 + 4) + (8 + 4) + 12 + 12 + (12 + 4)
    assert bytes_needed(tree.root) == 48 + 16 + structure + len("abcd\0reg\0"), "bcd is the end of abcd"
    assert bytes_needed(tree.root, 2) == bytes_needed(tree.root) + 32


@pytest.mark.parametrize(
    ("release", "ramdisk", "line"),
    [
        # booted: 26G2 (shared pages), 26G (touching)
        ("4.17", "0x48001000 0 0x2000", "Xen BUG at common/page_alloc.c:1423"),
        ("4.17", "0x48002000 0 0x2000", None),
        ("4.17", "0x48001800 0 0x2000", "Xen BUG at common/page_alloc.c:1423"),  # what is past the first is handed out
        ("4.18", "0x48001000 0 0x2000", None),  # the second is dropped
    ],
)
def test_modules_that_share_pages(release: str, ramdisk: str, line: str | None) -> None:
    body = MODULES.format(pad=PAD, more="", kernel=0x2000, ramdisk=0x1000).replace("0x60000000 0 0x1000", ramdisk)
    stop = stop_of(CPUS, TIMER, GICV3, body, release=release)
    assert (stop.lines if stop else None) == ((line,) if line else None)


SCRUB = 'xen,xen-bootargs = "dom0_mem=128M bootscrub={}";'


def split(*banks: tuple[int, int], scrub: str = "0", kernel: int = 0x48000000, release: str = "4.22", **known: Any) -> Prediction:
    """A boot with RAM in these banks, (start, stop), and a kernel of 128 KiB."""
    reg = ", ".join(f"<0 {start:#x} 0 {stop - start:#x}>" for start, stop in banks)
    head = gone(HEAD, "<0 0x40000000 0 0x80000000>", reg)
    modules = MODULES.format(pad=PAD, more=SCRUB.format(scrub), kernel=128 * KIB, ramdisk=MIB)
    modules = gone(gone(modules, "<0 0x48000000", f"<0 {kernel:#x}"), "<0 0x60000000", "<0 0x4a000000")
    options = XenOptions(**known)
    body = "".join((head, CPUS, TIMER, GICV3, modules))
    return predict(prepare(parse(blob(body)), options), preset(release), options)[0]


@pytest.mark.parametrize(
    ("release", "build", "line"),
    [
        # booted: 4.17.7 and 4.20.4 of Debian, 4.22.0
        ("4.17", "debian", "Xen BUG at common/page_alloc.c:1429"),
        ("4.20", "debian", "Xen BUG at common/page_alloc.c:1486"),
        ("4.22", "stock", "Xen BUG at common/page_alloc.c:1522"),
        # the line of BUG() in mark_page_free of the tags
        ("4.16", "stock", "Xen BUG at page_alloc.c:1419"),
        ("4.18", "stock", "Xen BUG at common/page_alloc.c:1438"),
        ("4.19", "stock", "Xen BUG at common/page_alloc.c:1443"),
        ("4.20", "stock", "Xen BUG at common/page_alloc.c:1480"),
        ("4.20.3", "stock", "Xen BUG at common/page_alloc.c:1473"),
        ("4.21.0", "stock", "Xen BUG at common/page_alloc.c:1502"),
        ("4.21.1", "stock", "Xen BUG at common/page_alloc.c:1503"),
        ("4.21", "stock", "Xen BUG at common/page_alloc.c:1510"),
        ("master", "stock", "Xen BUG at common/page_alloc.c:1532"),
    ],
)
def test_a_kernel_over_the_end_of_a_bank_is_freed_twice(release: str, build: str, line: str) -> None:
    """The second bank touches the first, and nothing keeps the kernel out of it."""
    banks = ((0x40000000, 0x50000000), (0x50000000, 0x70000000))
    found = split(*banks, kernel=0x4FFF0000, release=release, build=build_named(build))
    assert found.stopped_by is not None and found.stopped_by.lines == (line,)
    assert found.stopped_by.node == "/chosen/m@48000000" and "0x40000000-0x4fffffff" in found.stopped_by.because
    assert "within one bank of RAM" in stop_advice(found.stopped_by.stage, found.stopped_by.text)
    ends = split(*banks, kernel=0x4FFE0000, release=release, build=build_named(build))
    assert ends.stopped_by is None, "it ends where the bank does"
    top = split(banks[0], (0x50000000, 0x50010000), kernel=0x4FFF0000, release=release, build=build_named(build))
    assert top.stopped_by is None, "what ends with RAM is not freed: mfn_valid does not know the page after"


def test_a_kernel_over_the_end_of_a_bank_in_what_dom0_got() -> None:
    """The part of the second bank is dom0's by then: Xen boots, and has given away what is not its own."""
    banks = ((0x40000000, 0x50000000), (0x50000000, 0x70000000))
    dom0 = (AddressRange(0x50000000, 128 * MIB),)
    found = split(*banks, kernel=0x4FFF0000, dom0_banks=dom0)
    assert found.stopped_by is None
    assert any("it is dom0's by then, and Xen frees it all the same" in note for note in found.assumed)


ODD = ((0x40000000, 0x50000000), (0x50000800, 0x60001000))
"""The second bank has 0x10000800 bytes from the middle of a page on: 0x10000 pages are mapped, and the last is the next."""
ON = (0x60001000, 0x80000000)
OFF = (0x60002000, 0x80000000)


@pytest.mark.parametrize(
    ("after", "scrub", "stage"),
    [
        # booted with 4.17.7 and 4.22.0
        (ON, "0", None),  # the page is the end of a large block
        (ON, "1", "memory"),  # all that is free is cleaned before dom0 starts
        (ON, "idle", "memory"),  # or after
        (OFF, "0", "memory"),  # alone it is the first page that Xen takes
        ((0x70000000, 0x80000000), "idle", "memory"),
    ],
)
@pytest.mark.parametrize("release", ["4.17", "4.22"])
def test_ram_that_begins_within_a_page_lacks_its_last(release: str, after: tuple[int, int], scrub: str, stage: str | None) -> None:
    found = split(*ODD, after, scrub=scrub, release=release)
    assert (found.stopped_by.stage if found.stopped_by else None) == stage
    if found.stopped_by is not None:
        assert found.stopped_by.lines == ("CPU0: Unexpected Trap: Data Abort",) and "0x60000000" in found.stopped_by.because
        assert "multiple of 4 KiB" in stop_advice(found.stopped_by.stage, found.stopped_by.text)
    else:
        assert any("dies when it touches the last, 0x60000000" in note for note in found.assumed), "nothing says when"


def test_ram_that_begins_within_a_page_as_whole_gib() -> None:
    """4.16 maps whole GiB, so that nothing is missing."""
    assert split(*ODD, ON, scrub="1", release="4.16").stopped_by is None


def test_the_last_page_of_ram_holds_page_tables() -> None:
    """Booted with 4.17.7: as the first table of the direct map nobody reads it again."""
    found = split(*ODD, scrub="1", release="4.17")
    assert found.stopped_by is None


def test_dom0_gets_a_page_that_has_no_address() -> None:
    dom0 = (AddressRange(0x60000000, 128 * MIB),)
    found = split(*ODD, ON, scrub="idle", dom0_banks=dom0)
    assert found.stopped_by is not None and found.stopped_by.stage == "dom0-memory"
    assert "multiple of 4 KiB" in stop_advice("dom0-memory", found.stopped_by.text)
    assert split(*ODD, ON, scrub="1", dom0_banks=dom0).stopped_by is None, "what is dom0's is not cleaned"


def test_the_last_page_of_a_module_is_ram_in_part() -> None:
    """Booted with 4.22.0: the ramdisk's page has 2 KiB of RAM, and goes to the heap."""
    found = split((0x40000000, 0x4FFFF800), (0x50000000, 0x70000000), kernel=0x4FFE0000, scrub="1")
    assert found.stopped_by is not None and found.stopped_by.stage == "memory"
    assert found.stopped_by.node == "/chosen/m@48000000"
    assert "ends within RAM" in stop_advice("memory", found.stopped_by.text)


POLICY = """chosen { #address-cells = <2>; #size-cells = <2>; xen,xen-bootargs = "%s";
    m@48000000 { compatible = "multiboot,kernel", "multiboot,module"; reg = <0 0x48000000 0 0x1000>; };
    p@49000000 { compatible = "%s", "multiboot,module"; reg = <0 0x49000000 0 %s>; pad = "PAD"; }; };""".replace("PAD", PAD)


@pytest.mark.parametrize(
    ("line", "policy", "said"),
    [
        # booted: Debian's 4.17.7 and 4.20.4, and 4.22.0
        ("xsm=flask", "", "Unable to load FLASK policy"),
        ("xsm=flask xsm=other flask=enforcing", "", "Unable to load FLASK policy"),
        ("xsm=flask", "0", "Unable to load FLASK policy"),
        ("xsm=flask flask=x", "0x1000", "Flask: Invalid value for flask= boot parameter."),
        ("xsm=flask no-flask", "", "Flask: Invalid value for flask= boot parameter."),
        ("xsm=flask flask=permissive", "", None),
        ("xsm=flask flask=late", "", None),
        ("xsm=flask flask=disabled", "", None),
        ("xsm=flask", "0x1000", None),  # if it is one
        ("flask=x", "", None),
        ("xsm=flask xsm=silo", "", None),
    ],
)
def test_flask_enforces_a_policy(line: str, policy: str, said: str | None) -> None:
    kind = "xen,xsm-policy" if policy else "multiboot,other"
    modules = POLICY % (line, kind, policy or "0x1000")
    stop = stop_of(CPUS, TIMER, GICV3, modules, build=build_named("debian"))
    assert (stop.lines if stop else None) == ((said,) if said else None)
    if stop is not None:
        assert stop.stage == "xsm" and ("xsm-policy" in stop_advice("xsm", stop.text)) is (said == "Unable to load FLASK policy")
    assert stop_of(CPUS, TIMER, GICV3, modules, build=read_build("# CONFIG_XSM is not set\nCONFIG_GICV3=y")) is None


def test_a_build_may_have_a_policy_and_flask_by_default() -> None:
    modules = POLICY % ("", "multiboot,other", "0x1000")
    off = stop_of(CPUS, TIMER, GICV3, modules, build=read_build("CONFIG_XSM_FLASK_DEFAULT=y"))
    assert off is not None and off.lines == ("Unable to load FLASK policy",)
    own = read_build("CONFIG_XSM_FLASK_DEFAULT=y\nCONFIG_XSM_FLASK_POLICY=y")
    assert stop_of(CPUS, TIMER, GICV3, modules, build=own) is None
    wanted = boot(CPUS, TIMER, GICV3, POLICY % ("xsm=flask", "multiboot,other", "0x1000"))
    assert wanted.stopped_by is None and any("CONFIG_XSM_FLASK_POLICY" in note for note in wanted.assumed)
    assert not any("CONFIG_XSM_FLASK_POLICY" in note for note in boot(CPUS, TIMER, GICV3, modules).assumed)


def test_a_policy_that_nobody_has_read_is_said() -> None:
    """Booted with zeros: Instruction Abort at address 0, with or without xsm=flask."""
    found = boot(CPUS, TIMER, GICV3, POLICY % ("", "xen,xsm-policy", "0x1000"))
    assert any("/chosen/p@49000000: Xen jumps to address 0 over one that is no policy" in note for note in found.assumed)
    empty = boot(CPUS, TIMER, GICV3, POLICY % ("", "xen,xsm-policy", "0"))
    assert not any("policy" in note for note in empty.assumed)


def test_a_module_outside_ram() -> None:
    """Booted as 26G4: Xen copies the ramdisk from where nothing is."""
    body = MODULES.format(pad=PAD, more="", kernel=MIB, ramdisk=MIB).replace("0 0x60000000 0", "0x2 0 0")
    stop = stop_of(CPUS, TIMER, GICV3, body, release="4.22")
    assert stop is not None
    assert (stop.stage, stop.lines) == ("dom0-modules", ("CPU0: Unexpected Trap: Data Abort",))
    assert "/chosen/m@60000000" in stop.because


IN_DOMAIN = """chosen {{ m@48000000 {{ compatible = "multiboot,kernel", "multiboot,module"; reg = <0 0x48000000 0 0x1000>; }};
    d {{ compatible = "xen,domain"; #address-cells = <2>; #size-cells = <2>; cpus = <1>; memory = <0 0x10000>;
        m@1 {{ compatible = "multiboot,kernel", "multiboot,module"; reg = <{kernel} 0x49000000 0 0x1000>; }};
        m@2 {{ compatible = "multiboot,ramdisk", "multiboot,module"; reg = <{ramdisk} 0x4a000000 0 0x1000>; }}; }}; }};"""


@pytest.mark.parametrize(
    ("body", "stage", "node"),
    [
        (MODULES.format(pad=PAD, more="", kernel=MIB, ramdisk=MIB).replace("0 0x48000000 0", "2 0 0"), "modules", "m@48000000"),
        (MODULES.format(pad=PAD, more="", kernel=MIB, ramdisk=MIB).replace("0 0x60000000 0", "2 0 0"), "dom0-modules", "m@60000000"),
        (IN_DOMAIN.format(kernel=2, ramdisk=0), "domains", "d/m@1"),
        (IN_DOMAIN.format(kernel=0, ramdisk=2), "domains", "d/m@2"),
    ],
)
def test_what_lies_behind_an_address_without_ram_is_left_open(body: str, stage: str, node: str) -> None:
    """Xen maps what it is told to read: 26G4 died of it, 40d booted, since the machine has RAM there that its tree hides."""
    found = boot(CPUS, TIMER, GICV3, body)
    assert found.stopped_by is not None and found.stopped_by.stage == stage and f"/chosen/{node} [" in found.stopped_by.because
    assert found.when.startswith("unless the machine has RAM at 0x2")
    (going_on,) = found.others
    assert going_on.stopped_by is None and going_on.when.startswith("if the machine has RAM at 0x2")


def test_the_answer_for_a_module_without_ram_names_both_ends() -> None:
    body = MODULES.format(pad=PAD, more="", kernel=MIB, ramdisk=MIB).replace("0 0x60000000 0", "2 0 0")
    asked = HostQuestion(CheckOptions(PRESETS["7.3"]), (PRESETS["7.3"],), (preset("4.22"),), (False,))
    (result,) = check_host(parse(blob(HEAD + CPUS + TIMER + GICV3 + body)), "host.dtb", asked)
    assert result.verdict is Verdict.NO_BOOT
    assert [(item.verdict, item.when.split()[0], item.dom0_memory) for item in result.alternatives] == [
        (Verdict.NO_BOOT, "unless", ()),
        (Verdict.SCRATCH, "if", ()),
    ]
    assert "it goes on if the machine has RAM at 0x200000000" in result.reason and "in some starts only" not in result.reason


A15 = CPUS.replace("cortex-a53", "cortex-a15")


@pytest.mark.parametrize(
    ("release", "size", "line"),
    [
        ("4.20", 0x40000000, "Unable to map the hwdom initrd"),
        ("4.22", 0x40000000, "Unable to map the d1 initrd"),
        ("4.22", 0x3F000000, None),  # 1008 MiB go beside a GICv3's 15 MiB, as 40f booted
    ],
)
def test_a_domains_ramdisk_is_mapped_whole(release: str, size: int, line: str | None) -> None:
    body = IN_DOMAIN.format(kernel=0, ramdisk=1).replace("0x4a000000 0 0x1000", f"0x4a000000 0 {size:#x}")
    body = body.replace("memory = <0 0x10000>", "memory = <0 0x200000>")
    more = 'memory@100000000 { device_type = "memory"; reg = <1 0 2 0>; };'
    stop = stop_of(CPUS, TIMER, GICV3, more, body, release=release)
    assert (stop.lines if stop else None) == ((line,) if line else None)


def test_what_can_be_mapped_at_once() -> None:
    """2^18 pages, 8 of them for the bitmap that counts them (vm_low), one before each mapping."""
    assert fits_into_vmap(((1 << 18) - 9) * 4096) and not fits_into_vmap(((1 << 18) - 9) * 4096 + 1)
    assert fits_into_vmap(((1 << 18) - 15) * 4096, (4096, 8193)) and not fits_into_vmap(((1 << 18) - 14) * 4096, (4096, 8193))


def test_the_tree_is_copied_into_one_block() -> None:
    """40e: 11 pages are left of a static heap, and a tree of 12 pages takes 16 that lie together; 20,000 bytes take 8."""
    free = BootAllocator()
    free.init_boot_pages(0x50000000, 0x5000B000)
    small, large = (parse(blob(f'{HEAD} pad {{ a = "{"x" * size}"; }};')) for size in (20_000, 40_000))
    assert isinstance(relocate_fdt(small, free), Passed)
    stop = relocate_fdt(large, free)
    assert isinstance(stop, Stop) and stop.silent
    assert stop.lines == ("Unable to allocate memory for relocating the Device-Tree.",)


def test_a_scan_that_ends_names_the_build_only_where_that_is_why() -> None:
    """CONFIG_STATIC_MEMORY off is said of the build; a range that does not fit its cells is the tree's."""
    domain = 'chosen { d { compatible = "xen,domain"; #address-cells = <2>; #size-cells = <2>; xen,static-mem = <0 0x60000000 0 0x1000>; }; };'
    stock = stop_of(CPUS, TIMER, GICV3, domain, build=build_named("stock"))
    assert stock is not None and stock.because == "at /chosen/d: a stock build is without it"
    shm = domain.replace("xen,static-mem", 's { compatible = "xen,domain-shared-memory-v1"; xen,shm-id = "0123456789abcdef"; xen,shared-mem').replace("; }; };", "; }; }; };")
    refused = stop_of(CPUS, TIMER, GICV3, shm)
    assert refused is not None and refused.because == "at /chosen/d/s"


def test_chosen_that_dom0_does_not_get() -> None:
    """40h: with the compatible of a GIC it is kept from dom0, where initrd_load looks for it; without a ramdisk nobody does."""
    body = MODULES.format(pad=PAD, more='compatible = "arm,gic-v3";', kernel=MIB, ramdisk=MIB)
    stop = stop_of(CPUS, TIMER, GICV3, body)
    assert stop is not None and (stop.stage, stop.lines) == ("dom0-modules", ("Cannot find the /chosen node",))
    assert stop_of(CPUS, TIMER, GICV3, body.replace("multiboot,ramdisk", "xen,xsm-policy")) is None


def test_cells_that_wrap() -> None:
    """As booted: 0xed32e844 address cells are a negative number of bytes, so that Xen reads far behind the tree."""
    body = MODULES.format(pad=PAD, more="", kernel=MIB, ramdisk=MIB).replace("#address-cells = <2>", "#address-cells = <0xed32e844>")
    stop = stop_of(CPUS, TIMER, GICV3, body)
    assert stop is not None and stop.lines == ("CPU0: Unexpected Trap: Data Abort",)
    short = stop_of(CPUS, TIMER, GICV3, body.replace("0xed32e844", "5"))
    assert short is not None and short.lines == ("fdt: node `m@48000000': `reg` property length is too short",)


def test_pools_of_cpus_want_chosen() -> None:
    """btcpupools_dtb_parse panics without it; a boot loader adds it with the modules."""
    found = {stage.name: outcome for stage, outcome in boot(CPUS, TIMER, GICV3).stages}
    assert isinstance(found["cpupools"], Open) and "/chosen missing. Boot time cpupools" in found["cpupools"].because
    stock = boot(CPUS, TIMER, GICV3, build=build_named("stock"))
    assert isinstance({stage.name: outcome for stage, outcome in stock.stages}["cpupools"], Passed)


def test_a_32_bit_host_has_no_extended_regions() -> None:
    """make_hypervisor_node: extended regions not supported for 32-bit guests."""
    found = boot(A15, TIMER.replace("armv8", "armv7"), GICV2)
    assert found.stopped_by is None and found.method == "none" and not found.regions.ranges
    assert found.regions.message == "d0: extended regions not supported for 32-bit guests"


def test_a_risc_v_host_is_not_asked_arms_questions() -> None:
    cpus = 'cpus { cpu@0 { device_type = "cpu"; compatible = "riscv"; riscv,isa = "rv64imafdc"; reg = <0>; }; };'
    found = boot(cpus)
    assert (found.arch, found.stages, found.stopped_by, found.blob) == ("riscv", (), None, None)
    tree = parse(blob(HEAD + cpus))
    (result,) = check_host(tree, "board.dtb", HostQuestion(CheckOptions(), (PRESETS["7.3"],), (preset("4.22"),)))
    assert result.verdict is Verdict.NATIVE and "RISC-V" in result.reason


@pytest.mark.parametrize("core", ["PowerPC,8544", "mips,mips24Kc", "loongson,la464"])
def test_other_architectures_are_named_and_not_judged(core: str) -> None:
    cpus = f'cpus {{ cpu@0 {{ device_type = "cpu"; compatible = "{core}"; reg = <0>; }}; }};'
    with pytest.raises(InputError, match="/cpus/cpu@0 is a CPU of "):
        boot(cpus)


def test_how_far_the_answer_reaches(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    board = tmp_path / "board.dtb"
    line = 'chosen { xen,xen-bootargs = "dom0_mem=512M loglvl=all buddy-alloc-size=1M foo"; };'
    board.write_bytes(blob(HEAD + CPUS + TIMER + GICV3 + line))
    for argv, status in (
        (("predict", str(board), "--explain", "--xen", "4.22"), 0),
        (("check", str(board), "--verbose"), 0),
    ):
        with pytest.raises(SystemExit) as left:
            main(list(argv))
        printed = capsys.readouterr().out
        assert (left.value.code or 0) == status
        stages = f"stages {len(STAGES)} of {len(STAGES)}"
        assert f"looked at: {stages}, nodes 7, domains 1, options of Xen's line 2 of 4" in " ".join(printed.split())
    with pytest.raises(SystemExit):
        main(["predict", str(board), "--explain"])
    printed = capsys.readouterr().out
    words = " ".join(printed.split())
    assert "How Xen boots" in words and "interrupt-controller gic_preinit: /gic@8000000 (GICv3)" in words
    board.write_bytes(blob(HEAD + CPUS + TIMER))
    with pytest.raises(SystemExit):
        main(["predict", str(board), "--explain"])
    assert f"gic_preinit: REFUSES: {NO_INTC}" in " ".join(capsys.readouterr().out.split())


def test_modules_that_xens_own_loader_loads() -> None:
    """docs/misc/efi.pandoc: a module names a file, and the loader adds its reg."""
    body = 'chosen { m { compatible = "multiboot,kernel", "multiboot,module"; xen,uefi-binary = "Image"; bootargs = "quiet"; }; };'
    assert stop_of(CPUS, TIMER, GICV3, body, efi=True) is None
    domu = (
        body.removesuffix(" };")
        + """ d { compatible = "xen,domain"; #address-cells = <2>; #size-cells = <2>; cpus = <1>; memory = <0 0x40000>; xen,enhanced;
        k { compatible = "multiboot,kernel", "multiboot,module"; xen,uefi-binary = "guest"; }; }; };"""
    )
    assert stop_of(CPUS, TIMER, GICV3, domu, efi=True) is None, "dom0 has a kernel, and serves xenstore"
    without = stop_of(CPUS, TIMER, GICV3, body)
    assert without is not None and without.lines == ("node m missing `reg' property",)
    named = stop_of(CPUS, TIMER, GICV3, body.replace('xen,uefi-binary = "Image";', ""), efi=True)
    assert named is not None and named.lines == ("node m missing `reg' property",)


def test_a_tree_of_an_emulator_without_el2() -> None:
    """hw/arm/virt.c writes hypervisor registers and the maintenance interrupt only with virtualization=on."""
    virt = """intc@8000000 { compatible = "arm,cortex-a15-gic"; #interrupt-cells = <3>; interrupt-controller; phandle = <1>;
        reg = <0 0x8000000 0 0x10000>, <0 0x8010000 0 0x10000>; };"""
    found = boot(CPUS, TIMER, virt)
    assert found.stopped_by is None
    assert any("virtualization=on" in note for note in found.assumed), "it is said, as an open question"
    for old, new in (
        ("0x8010000 0 0x10000", "0x8010000 0 0x2000"),
        ("cortex-a15-gic", "gic-400"),
        ("reg =", "interrupts = <1 9 4>; reg ="),
    ):
        stop = stop_of(CPUS, TIMER, gone(virt, old, new))
        assert stop is not None and stop.lines == ("GICv2: Cannot find a valid address for the hypervisor",)


def test_an_overlay_is_no_board(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    over = tmp_path / "over.dtbo"
    over.write_bytes(blob('fragment@0 { target-path = "/"; __overlay__ { added; }; };'))
    for command in ("check", "predict"):
        with pytest.raises(SystemExit) as left:
            main([command, str(over), "--memory", "0x40000000+2G"])
        assert left.value.code == 2 and ": an overlay (/fragment@0 has __overlay__)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("release", "depth", "stopped"),
    [
        ("4.17", 16, True), ("4.17", 15, False), ("4.19", 16, True), ("4.20.3", 16, True), ("4.20", 16, False),
        ("4.21.1", 16, True), ("4.21", 16, False), ("4.22", 16, False),
    ],
)  # fmt: skip
def test_a_node_that_is_too_deep(release: str, depth: int, stopped: bool) -> None:
    """device_tree_for_each_node goes on to the same node, before 3b717f57dc."""
    stop = stop_of(CPUS, TIMER, GICV3, "n { " * depth + "}; " * depth, release=release)
    assert (stop is not None) is stopped
    if stop is not None:
        assert stop.lines == ("Warning: device tree node `n' is nested too deep",) and stop.node == "/n" * 16


@pytest.mark.parametrize(
    ("start", "kernel", "at"),
    [
        ("0xb8000000", "0x1000", "0xc0000000"),  # RAM ends at 0xc0000000, where the tree would go: 128 MiB into it
        ("0xb0000000", "0x1000", None),
        ("0xb0000000", "0x8000000", "0xc1e00000"),  # a kernel of 128 MiB: the tree goes to the end
    ],
)
def test_a_domain_is_not_loaded_into_a_hole(start: str, kernel: str, at: str | None) -> None:
    """Booted as 22h6: the frame table covers the hole, the direct map does not."""
    domu = f"""memory@d0000000 {{ device_type = "memory"; reg = <0 0xd0000000 0 0x10000000>; }};
        chosen {{ #address-cells = <2>; #size-cells = <2>; d {{ compatible = "xen,domain"; #address-cells = <2>; #size-cells = <2>;
        memory = <0 0x48000>; cpus = <1>; xen,static-mem = <0 {start} 0 0x12000000>; #xen,static-mem-address-cells = <2>;
        #xen,static-mem-size-cells = <2>; m@48000000 {{ compatible = "multiboot,kernel", "multiboot,module"; reg = <0 0x48000000 0 {kernel}>; }}; }}; }};"""
    stop = stop_of(CPUS, TIMER, GICV3, domu, release="4.21")
    assert (stop.lines if stop else None) == (("CPU0: Unexpected Trap: Data Abort",) if at else None)
    assert stop is None or (stop.stage == "domains" and f"Xen copies a module to {at}" in stop.because)


@pytest.mark.parametrize(("listed", "line"), [(0, None), (0x80000000, "Unable to setup the directmap mappings.")])
def test_a_reservation_is_no_ram_of_a_tree_that_lists_none(listed: int, line: str | None) -> None:
    """Up to 4.19 /reserved-memory/memory@… counts as RAM; what becomes of it is known once the loader's RAM is."""
    memory = gone(HEAD, "0 0x80000000>; };", f"0 {listed:#x}>; }};")
    reserved = "reserved-memory { #address-cells = <2>; #size-cells = <2>; ranges; memory@50000000 { reg = <0 0x50000000 0 0x1000>; }; };"
    options = XenOptions()
    tree = parse(blob(memory + CPUS + TIMER + GICV3 + reserved))
    found = predict(prepare(tree, options), preset("4.18"), options)[0].stopped_by
    assert (found.lines[-1] if found else None) == line


def test_a_tree_that_xen_cannot_map() -> None:
    """early_fdt_map, as booted by 4.20 with the tree padded to 2 MiB and 8 bytes, and put at 0x44000004."""
    said = ("The DTB must be 8-byte aligned and must not exceed 2 MB in size.", "Please check your bootloader.")
    first = "Invalid device tree blob at physical address {:#x}."
    for size, address, expected in (
        (0x200008, None, said),
        (0x200008, 0x44000000, (first.format(0x44000000), *said)),
        (0x200000, 0x44000000, None),
        (0x1000, 0x44000004, (first.format(0x44000004), *said)),
        (0x1000, None, None),
    ):
        raw = bytearray(blob(HEAD + CPUS + TIMER + GICV3))
        raw += bytes(size - len(raw))
        raw[4:8] = len(raw).to_bytes(4, "big")
        options = XenOptions(fdt_address=address)
        stop = predict(prepare(parse(bytes(raw)), options), preset("4.20"), options)[0].stopped_by
        assert (stop.lines if stop else None) == expected, (size, address)
        assert stop is None or (stop.stage == "boot-scan" and stop.silent)


@pytest.mark.parametrize("release", ["4.17", "4.20", "4.22"])
def test_a_command_line_longer_than_xens_room(release: str) -> None:
    """add_boot_cmdline, as booted by 4.17 with 1025 letters and by 4.20 with 1024."""

    def chosen(letters: int, name: str = "m@48000000") -> str:
        return f"""chosen {{ #address-cells = <2>; #size-cells = <2>; {name} {{ bootargs = "{"a" * letters}"; pad = "{PAD}";
            compatible = "multiboot,kernel", "multiboot,module"; reg = <0 0x48000000 0 0x10000>; }}; }};"""

    assert stop_of(CPUS, TIMER, GICV3, chosen(1024), release=release) is None
    stop = stop_of(CPUS, TIMER, GICV3, chosen(1025), release=release)
    assert stop is not None and stop.lines == ("module chosen command line too long",)
    assert (stop.stage, stop.node, stop.silent) == ("boot-scan", "/chosen/m@48000000", True)


def test_a_module_whose_path_is_too_long_is_not_seen() -> None:
    """process_multiboot_node has 92 bytes for it, with its end."""
    for length, seen in ((91, True), (92, False)):
        name = "m" * (length - len("/chosen/"))
        module = f'{name} {{ compatible = "multiboot,kernel", "multiboot,module"; reg = <0 0x48000000 0 0x10000>; }};'
        found = boot(CPUS, TIMER, GICV3, f"chosen {{ #address-cells = <2>; #size-cells = <2>; {module} }};")
        assert [item.node for item in found.info.modules] == ([f"/chosen/{name}"] if seen else [])


@pytest.mark.parametrize(
    ("line", "stops"),
    [
        ("dom0=sve=128", True),
        ("dom0=verbose,sve=-1", True),
        ("dom0=sve=", True),
        ("dom0=sve", False),
        ("dom0=sve=128x", False),
        ("dom0=sve=0x80", False),
        ("no-dom0=sve=128", False),
    ],
)
def test_dom0_with_sve(line: str, stops: bool) -> None:
    """parse_arch_dom0_param: a number to base 10, nothing behind it; the panic comes before the console is up."""
    chosen = f'chosen {{ xen,xen-bootargs = "console=dtuart {line}"; }};'
    for release in ("4.18", "4.20", "4.22"):
        stop = stop_of(CPUS, TIMER, GICV3, chosen, release=release)
        assert (stop is not None) == stops, release
        if stop is not None:
            assert stop.lines == ("'sve' property found, but CONFIG_ARM64_SVE not selected",)
            assert stop.stage == "command-line" and stop.silent
    assert stop_of(CPUS, TIMER, GICV3, chosen, release="4.17") is None
    assert stop_of(CPUS, TIMER, GICV3, chosen, build=read_build("CONFIG_ARM64_SVE=y")) is None
