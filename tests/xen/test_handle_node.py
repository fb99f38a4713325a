"""What stops dom0's devices, drawn by hand; the lines are those of recorded boots of 4.17.7, 4.20.4, 4.21.2 and 4.22.0."""

from __future__ import annotations

from typing import Any

import pytest

from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.tree import Tree
from dtanalyze.xen.options import XenOptions
from dtanalyze.xen.predict import predict, prepare
from dtanalyze.xen.prediction import Prediction
from dtanalyze.xen.profile import preset
from tests.xen.build import host

GIC = """
compatible = "%s"; interrupt-parent = <1>;
gic@8000000 { compatible = "arm,gic-v3"; #interrupt-cells = <3>; interrupt-controller; phandle = <1>;
    reg = <0 0x8000000 0 0x10000>, <0 0x80a0000 0 0xf60000>; interrupts = <1 9 4>; };
timer { compatible = "arm,armv8-timer"; interrupts = <1 13 8>, <1 14 8>, <1 11 8>, <1 10 8>; };
"""
GICV2 = """
compatible = "linux,dummy-virt"; interrupt-parent = <1>;
intc@8000000 { compatible = "arm,cortex-a15-gic"; #interrupt-cells = <3>; interrupt-controller; phandle = <1>;
    #address-cells = <2>; #size-cells = <2>; %s
    reg = <0 0x8000000 0 0x10000>, <0 0x8010000 0 0x10000>, <0 0x8030000 0 0x10000>, <0 0x8040000 0 0x10000>; interrupts = <1 9 4>;
    v2m@8020000 { compatible = "arm,gic-v2m-frame"; msi-controller; phandle = <7>; reg = <0 0x8020000 0 0x1000>; %s }; };
timer { compatible = "arm,armv8-timer"; interrupts = <1 13 8>, <1 14 8>, <1 11 8>, <1 10 8>; };
"""
UART = 'serial@9000000 { compatible = "%s"; reg = <0 0x9000000 0 0x1000>; interrupts = <0 1 4>; };'
CONSOLE = 'chosen { stdout-path = "/serial@9000000"; };' + UART % "arm,pl011"


def one(body: str, release: str = "4.22", board: str = "test,board", gic: str = "", **known: Any) -> Prediction:
    options = XenOptions(**known)
    return predict(prepare(host((gic or GIC % board) + body), options), preset(release), options)[0]


def lines(found: Prediction) -> tuple[str, ...]:
    assert found.stopped_by is not None and found.stopped_by.stage == "dom0-devices", found.stopped_by
    return found.stopped_by.lines


def dev(name: str, interrupts: str = "", more: str = "") -> str:
    stated = f"interrupts = {interrupts};" if interrupts else ""
    return f"{name}@a000000 {{ reg = <0 0xa000000 0 0x1000>; {stated} {more} }};"


@pytest.mark.parametrize(
    ("release", "last"),
    [
        ("4.17", "Could not set up DOM0 guest OS"),
        ("4.18", "Could not set up DOM0 guest OS (rc = -22)"),
        ("4.20", "Could not set up DOM0 guest OS (rc = -22)"),
        ("4.21", "Could not set up d0 guest OS (rc = -22)"),
        ("4.22", "Could not set up d0 guest OS (rc = -22)"),
    ],
)
def test_one_interrupt_with_two_trigger_types(release: str, last: str) -> None:
    """Disabled or not; the second interrupt of the second node is the one that is refused."""
    both = dev("one", "<0 40 4>") + dev("two", "<0 41 4>, <0 40 1>", 'status = "disabled";')
    assert lines(one(both, release)) == ("Unable to get irq 1 for /two@a000000", "Device tree generation failed (-1).", last)
    assert one(both.replace("40 1", "40 4"), release).stopped_by is None


def test_a_ppi_hides_its_node_unless_its_type_is_another() -> None:
    """The timer asks for PPI 27 as level low first."""
    found = one(dev("same", "<1 11 8>"))
    assert found.stopped_by is None and parse(found.blob or b"").find("/same@a000000") is None
    assert lines(one(dev("other", "<1 11 4>")))[0] == "Unable to get irq 0 for /other@a000000"
    assert lines(one(dev("maintenance", "<1 9 1>")))[0] == "Unable to get irq 0 for /maintenance@a000000"
    assert one(dev("free", "<1 5 1>")).stopped_by is None


def test_a_compatible_without_an_end() -> None:
    """dt_device_is_compatible reads on; booted with 4.20.4: Data Abort in strcasecmp."""
    assert lines(one(dev("open", more="compatible = [61 63 6d 65 2c 78];"))) == ("CPU0: Unexpected Trap: Data Abort",)
    assert one(dev("whole", more='compatible = "acme,x";')).stopped_by is None


@pytest.mark.parametrize(
    "circle",
    [
        # booted with 4.20.4: no further line after dom0's bank
        "interrupt-parent = <7>; phandle = <7>;",
        "interrupt-parent = <7>; }; n { phandle = <7>; #interrupt-cells = <1>; #address-cells = <0>; interrupt-map = <40 7 40>;",
    ],
)
def test_interrupts_that_lead_round_in_a_circle(circle: str) -> None:
    stop = one(dev("round", "<40>", circle)).stopped_by
    assert stop is not None and stop.lines == () and "/round@a000000 the tree leads round in a circle" in stop.message


def test_a_second_interrupt_of_the_console_is_nobodys() -> None:
    """Its driver asks for the first alone (platform_get_irq), so that a device may have the second of another type."""
    console = CONSOLE.replace("%s", "arm,pl011").replace("<0 1 4>", "<0 1 4>, <0 2 4>")
    assert one(console + dev("same", "<0 2 1>")).stopped_by is None
    assert lines(one(console + dev("first", "<0 1 1>")))[0] == "Unable to get irq 0 for /first@a000000"


@pytest.mark.parametrize(
    ("release", "words"),
    [
        ("4.17", ("the vIRQ number 932 is too high for domain 0 (max = 256)", "Unable to map IRQ932 to dom0")),
        ("4.20", ("the vIRQ number 932 is too high for domain 0 (max = 256)", "Unable to map IRQ932 to d0")),
        ("4.21", ("invalid vIRQ number 932 for domain d0", "Unable to map IRQ932 to d0")),
    ],
)
def test_an_spi_beyond_the_gic(release: str, words: tuple[str, str]) -> None:
    body = dev("far", "<0 900 4>")
    assert lines(one(body, release, "linux,dummy-virt"))[:2] == words
    assert lines(one(body, release, gic_lines=256))[:2] == words
    assert one(body, release).stopped_by is None, "how many lines another board's GIC has is not known"
    assert one(dev("far", "<0 223 4>"), release, gic_lines=256).stopped_by is None
    assert lines(one(dev("far", "<0 224 4>"), release, gic_lines=256))[-2] == "Device tree generation failed (-22)."
    assert one(dev("far", "<0 959 4>"), release).stopped_by is None
    assert lines(one(dev("far", "<0 960 4>"), release)), "no domain's GIC has more than 992 lines"
    assert one(dev("far", "<0 960 4>", "xen,passthrough;"), release).stopped_by is None, "it is not routed to dom0"


@pytest.mark.parametrize("release", ["4.17", "4.20", "4.22"])
def test_an_interrupt_beyond_the_descriptors_crashes_xen(release: str) -> None:
    """Booted on 4.17 and 4.20: SPI 991 is refused as too high, SPI 18416 is a data abort; who asks first is not mapped either."""
    crash = ("CPU0: Unexpected Trap: Data Abort",)
    assert lines(one(dev("far", "<0 992 4>"), release)) == crash
    assert lines(one(dev("far", "<0 900 4>, <0 18416 4>"), release, gic_lines=256)) == crash, "each is asked for before one is mapped"
    assert lines(one(dev("far", "<0 18416 4>", "xen,passthrough;"), release)) == crash
    assert lines(one(dev("far", "<0 991 4>"), release)) != crash


def test_the_console_keeps_its_interrupt_where_xen_drives_it() -> None:
    shared = CONSOLE + dev("spi", "<0 1 4>")
    assert lines(one(shared)) == (
        "IRQ 33 is already used by Xen",
        "Unable to map IRQ33 to d0",
        "Device tree generation failed (-16).",
        "Could not set up d0 guest OS (rc = -22)",
    )
    assert one(shared.replace("reg = <0 0xa0", "xen,passthrough; reg = <0 0xa0")).stopped_by is None
    assert one(shared.replace("arm,pl011", "some,uart")).stopped_by is None, "a UART without a driver is dom0's"


@pytest.mark.parametrize(
    ("uart", "first", "last"),
    [
        ("arm,sbsa-uart", "4.18", "master"),
        ("renesas,hscif", "4.17", "master"),
        ("ti,am654-uart", "4.19", "master"),
        ("ti,omap4-uart", "4.19", "master"),
        ("fsl,imx8qxp-lpuart", "4.19", "master"),
        ("fsl,imx8qm-lpuart", "4.17", "4.18"),
        ("nxp,s32g2-linflexuart", "4.20", "master"),
        ("fsl,imx6q-uart", "master", "master"),
        ("samsung,exynos4210-uart", None, None),
        ("xlnx,xuartps", None, None),
        ("ns16550a", "4.16", "master"),
    ],
)
def test_which_uarts_a_release_drives(uart: str, first: str | None, last: str | None) -> None:
    releases = ["4.16", "4.17", "4.18", "4.19", "4.20", "4.21", "4.22", "master"]
    body = 'chosen { stdout-path = "/serial@9000000"; };' + UART % uart
    driven = [name for name in releases if parse(one(body, name).blob or b"").find("/serial@9000000") is None]
    expected = releases[releases.index(first) : releases.index(last or "") + 1] if first else []
    assert driven == expected


SMMU = """
smmu@2b400000 { compatible = "arm,mmu-500"; reg = <0 0x2b400000 0 0x20000>; #iommu-cells = <1>; #global-interrupts = <1>;
    interrupts = <0 50 4>, <0 51 4>; phandle = <3>; };
smmu@2b600000 { compatible = "qcom,smmu-v2"; reg = <0 0x2b600000 0 0x20000>; #iommu-cells = <1>; phandle = <2>; %s };
"""


@pytest.mark.parametrize("release", ["4.17", "4.20", "4.22"])
def test_a_master_of_an_iommu_that_xen_does_not_drive(release: str) -> None:
    body = SMMU % "" + dev("gpu", more='iommus = <2 0>; status = "disabled";')
    found = one(body, release, iommu=True)
    assert lines(found)[:2] == ("Failed to add /gpu@a000000 to the IOMMU", "Device tree generation failed (-6).")
    assert one(body, release, iommu=False).stopped_by is None
    assert one(SMMU % 'status = "disabled";' + dev("gpu", more="iommus = <2 0>;"), release, iommu=True).stopped_by is None
    assert one(SMMU % "" + dev("gpu", more="iommus = <3 0>;"), release, iommu=True).stopped_by is None
    assert one(SMMU % "" + dev("gpu", more="iommus = <2 0>; xen,passthrough;"), release, iommu=True).stopped_by is None
    assert one(SMMU % "" + dev("gpu", more="iommus = <99 0>;"), release, iommu=True).stopped_by is None, "it names nothing"


def test_two_iommus_of_one_device() -> None:
    body = SMMU % "" + dev("gpu", more="iommus = <3 0>, <2 0>;")
    assert lines(one(body, iommu=True))[1] == "Device tree generation failed (-22).", "iommu_fwspec_init takes one"
    late = SMMU.replace('"qcom,smmu-v2"', '"arm,mmu-500"') % 'status = "disabled";'
    assert one(late + dev("gpu", more="iommus = <3 0>, <2 0>;"), iommu=True).stopped_by is None


def test_a_global_interrupt_of_an_smmu_is_xens() -> None:
    body = SMMU % "" + dev("near", "<0 50 4>")
    assert lines(one(body, iommu=True))[0] == "IRQ 82 is already used by Xen"
    assert one(body, iommu=False).stopped_by is None
    assert one(SMMU % "" + dev("near", "<0 51 4>"), iommu=True).stopped_by is None, "a context's is taken later"
    assert lines(one(SMMU % "" + dev("near", "<0 51 1>"), iommu=True))[0] == "Unable to get irq 0 for /near@a000000"


@pytest.mark.parametrize(
    ("base", "bits", "stops"),
    [(1 << 47, 44, False), (1 << 48, 44, True), ((1 << 40) - 0x1000, 40, False), (1 << 40, 40, True), (1 << 42, 42, True)],
)
def test_a_register_beyond_the_page_tables(base: int, bits: int, stops: bool) -> None:
    """With 44 bits the root is a level 0 table, which holds 48: a boot showed 2^47 mapped and 2^48 refused."""
    body = f"d@0 {{ reg = <{base >> 32:#x} {base & 0xFFFFFFFF:#x} 0 0x1000>; }};"
    found = one(body, ipa_bits=bits)
    assert (found.stopped_by is not None) == stops
    if stops:
        assert lines(found)[0] == f"Unable to map {base:#x} - {base + 0xFFF:#x} in domain 0"


PCI = """soc { compatible = "simple-bus"; #address-cells = <2>; #size-cells = <2>; %s
    pcie@a000000 { device_type = "pci"; #address-cells = <3>; #size-cells = <2>; reg = <0 0xa000000 0 0x1000000>;
        %s }; };"""
RANGES = "ranges = <0x2000000 0 0x20000000 0 %s 0 0x10000000>;"
IDENTITY = "ranges = <0 0 0 0 1 0>;"


def test_the_windows_of_a_pci_host() -> None:
    assert one(PCI % (IDENTITY, RANGES % "0x20000000")).stopped_by is None
    outside = PCI % ("ranges = <0 0xa000000 0 0xa000000 0 0x1000000>;", RANGES % "0x20000000")
    for release in ("4.18", "4.20", "4.22"):
        assert lines(one(outside, release))[:2] == (
            "/soc/pcie@a000000: [0xffffffffffffffff, 0xfffffff] exceeds the maximum allowed PA width (48 bits)",
            "Device tree generation failed (-34).",
        )
    assert lines(one(outside, "4.17"))[0].startswith("Unable to map 0xfffffffffffff000")
    assert lines(one(PCI % (IDENTITY, "")))[0] == "DT: no ranges; cannot enumerate /soc/pcie@a000000"
    assert one(PCI % (IDENTITY, "ranges;")).stopped_by is None


@pytest.mark.parametrize("release", ["4.17", "4.20", "4.22"])
def test_a_pci_host_below_a_bus_without_ranges(release: str) -> None:
    """As booted on 4.20 and 4.22: its own registers do not count there, its windows do."""
    found = lines(one(PCI % ("", RANGES % "0x20000000"), release))
    assert found[:2] == ("DT: /soc is not a valid bus", "Device tree generation failed (-22).")


@pytest.mark.parametrize(
    ("entry", "first"),
    [
        ("<0 0 0 1 1 0 60 4>", None),
        ("<0 0 0 1 1 0 60 1>", "pcie: Unable to setup IRQ92 to d0"),
        ("<0 0 0 1 1 1 5 4>", "pcie: IRQ21 is not a SPI"),
        ("<0 0 0 1 1 0 1 4>", "IRQ 33 is already used by Xen"),
        ("<0 0 0 1 99 0 60 4>", "Device tree generation failed (-22)."),
        ("<0 0 0 1 5 7>", None),
    ],
)
def test_the_interrupt_map_of_a_pci_host(entry: str, first: str | None) -> None:
    """Lines of other controllers mean nothing to Xen; a parent that is not there stops it."""
    other = "pic { interrupt-controller; #interrupt-cells = <1>; phandle = <5>; };" + dev("owner", "<0 60 4>") + CONSOLE
    body = other + PCI % (IDENTITY, RANGES % "0x20000000" + f"#interrupt-cells = <1>; interrupt-map = {entry};")
    found = one(body)
    assert (found.stopped_by.lines[0] if found.stopped_by else None) == first


def test_what_4_17_does_not_look_at() -> None:
    body = CONSOLE + PCI % (IDENTITY, RANGES % "0x20000000" + "#interrupt-cells = <1>; interrupt-map = <0 0 0 1 1 0 1 4>;")
    assert one(body, "4.17").stopped_by is None
    assert lines(one(body, "4.18"))[0] == "IRQ 33 is already used by Xen"


def test_a_pci_host_without_an_interrupt_parent() -> None:
    machine = (GIC % "b").replace("interrupt-parent = <1>;", "", 1)
    body = machine.replace("interrupts = <1", "interrupt-parent = <1>; interrupts = <1") + PCI % (
        IDENTITY,
        RANGES % "0x20000000",
    )
    assert lines(one(body, gic=" "))[0] == "Device tree generation failed (-22)."


def test_interrupts_behind_a_nexus_are_followed() -> None:
    """An interrupt-map of a bus leads to SPI 60, which another node has as edge."""
    nexus = """bus { #address-cells = <1>; #size-cells = <1>; ranges = <0 0 0xb000000 0x10000>; #interrupt-cells = <1>;
        interrupt-map-mask = <0 0xff>; interrupt-map = <0 3 1 0 60 4>; phandle = <6>;
        d@1000 { reg = <0x1000 0x100>; interrupt-parent = <6>; interrupts = <%s>; }; };"""
    edge = dev("edge", "<0 60 1>")
    assert one(nexus % "3").stopped_by is None
    assert lines(one(edge + nexus % "3"))[0] == "Unable to get irq 0 for /bus/d@1000"
    assert lines(one(edge + nexus % "0x103"))[0] == "Unable to get irq 0 for /bus/d@1000", "the mask leaves 3"
    assert lines(one(edge + nexus % "4"))[0] == "Unable to retrieve irq 0 for /bus/d@1000", "no entry"


def test_msi_frames_of_a_gicv2() -> None:
    """The virt machine's frame has interrupts 80 to 143: SPIs 48 and 111 as level stopped Xen, 112 booted."""
    board = GICV2 % ("ranges;", "")
    for spi, stops in ((47, False), (48, True), (111, True), (112, False)):
        found = one(dev("level", f"<0 {spi} 4>"), gic=board)
        assert (found.stopped_by is not None) == stops, spi
        assert not stops or lines(found)[0] == "Unable to get irq 0 for /level@a000000"
    assert one(dev("edge", "<0 48 1>"), gic=board).stopped_by is None
    stated = GICV2 % ("ranges;", "arm,msi-base-spi = <200>; arm,msi-num-spis = <8>;")
    assert one(dev("level", "<0 48 4>"), gic=stated).stopped_by is None, "the tree overrides the hardware"
    assert lines(one(dev("level", "<0 170 4>"), gic=stated))[0] == "Unable to get irq 0 for /level@a000000"
    console = CONSOLE.replace("<0 1 4>", "<0 50 4>")
    assert lines(one(console, gic=board))[0] == "GICv2: Failed to set v2m MSI SPI[82] type."
    assert lines(one(console.replace("50 4", "50 1"), gic=board))[:2] == (
        "IRQ 82 is already used by Xen",
        "GICv2: Failed to route v2m MSI SPI[82] to Dom0.",
    )
    untranslated = one("", gic=GICV2 % ("", "")).stopped_by
    assert untranslated is not None, "gicv2_extension_dt_init asks for the address before dom0's node is written"
    assert untranslated.lines == ("GICv2: Cannot find a valid v2m frame address",)


def written(found: Prediction) -> Tree:
    assert found.blob is not None
    return parse(found.blob)


def test_the_msi_frame_in_dom0s_tree() -> None:
    tree = written(one("", gic=GICV2 % ("ranges;", "")))
    frame = tree.find("/intc@8000000/v2m")
    assert frame is not None and {name: prop.value.hex() for name, prop in frame.properties.items()} == {
        "compatible": b"arm,gic-v2m-frame\0".hex(),
        "msi-controller": "",
        "phandle": "00000007",
        "reg": "00000000080200000000000000001000",
        "arm,msi-base-spi": "00000050",
        "arm,msi-num-spis": "00000040",
    }
    intc = tree.find("/intc@8000000")
    assert intc is not None and intc.prop("ranges") is not None and len(intc.properties["reg"].value) == 32


def test_as_many_redistributors_as_dom0_needs() -> None:
    """Two regions for two CPUs each; dom0 with two CPUs gets one."""
    gic = (GIC % "b").replace("0 0x80a0000 0 0xf60000>", "0 0x80a0000 0 0x40000>, <0 0x90a0000 0 0x40000>").replace(
        "phandle = <1>;", "phandle = <1>; #redistributor-regions = <2>;"
    )  # fmt: skip
    for vcpus, regions in ((2, 1), (3, 2)):
        node = written(one(f'chosen {{ xen,xen-bootargs = "dom0_max_vcpus={vcpus}"; }};', gic=gic)).find("/gic@8000000")
        assert node is not None and node.properties["#redistributor-regions"].u32 == regions
        assert len(node.properties["reg"].value) == 16 * (1 + regions)
    more = 'chosen { xen,xen-bootargs = "dom0_max_vcpus=5"; };'
    tree = "Device tree generation failed (-53)."
    cpu = "Failed to allocate d0v4"
    for release, first in (("4.17", tree), ("4.20.3", tree), ("4.20.4", cpu), ("4.21.1", tree), ("4.21.2", cpu)):
        stop = one(more, release, gic=gic).stopped_by
        assert stop is not None and stop.lines[0] == first, release
    stop = one(more, "4.21.2", gic=gic).stopped_by
    assert stop is not None and (stop.stage, stop.lines[1]) == ("dom0-cpus", "Could not set up d0 guest OS (rc = -12)")
    assert one(more.replace("5", "4"), "4.21.2", gic=gic).stopped_by is None


def test_a_direct_mapped_domain_has_the_hosts_redistributors() -> None:
    """vgic_v3_domain_init copies the host's regions where the domain has the host's layout; a guest's own has room for 128."""
    gic = (GIC % "b").replace("0xf60000", "0x40000")
    uart = UART % "arm,pl011"
    domain = """chosen { stdout-path = "/serial@9000000"; m@48000000 { compatible = "multiboot,kernel", "multiboot,module"; reg = <0 0x48000000 0 0x1000>; };
        d { compatible = "xen,domain"; #address-cells = <2>; #size-cells = <2>; cpus = <%d>; memory = <0 0x10000>; %s
            m@49000000 { compatible = "multiboot,kernel", "multiboot,module"; reg = <0 0x49000000 0 0x1000>; }; }; };"""
    direct = "direct-map; xen,static-mem = <0 0x60000000 0 0x4000000>;"
    last = "Could not set up domain d (rc = -12)"
    for cpus, layout, release, said in (
        (2, direct, "4.22", None),
        (2, direct, "4.20.3", None),
        (3, "", "4.20.3", None),
        (3, direct, "4.17", None),  # booted with 4.17.5, 4.18.5 and 4.19.4: the third region in its tree is heap
        (3, direct, "4.22", ("Failed to allocate d1v2", last)),
        (3, direct, "4.20.4", ("Failed to allocate d1v2", last)),
        (3, direct, "4.20.3", None),  # no one looks at what vgic_v3_vcpu_init returns
        (3, "", "4.22", None),
    ):
        found = one(uart + domain % (cpus, layout), release, gic=gic)
        stop = found.stopped_by
        assert (stop.lines if stop else None) == said, (cpus, layout, release)
        told = any("3 CPUs, of which the redistributors of the host's" in note for note in found.assumed)
        assert told is (cpus == 3 and layout == direct and stop is None), (cpus, layout, release)
    none = one(uart + domain % (1, direct), "4.22", gic=gic.replace("0x40000", "0x1f000")).stopped_by
    assert none is not None and none.lines == ("Error creating d0v0",)


def test_only_the_first_gic_is_written() -> None:
    second = 'gic@7000000 { compatible = "arm,gic-v3"; #interrupt-cells = <3>; interrupt-controller; reg = <0 0x7000000 0 0x1000>; };'
    tree = written(one(second))
    assert tree.find("/gic@8000000") is not None and tree.find("/gic@7000000") is None


@pytest.mark.parametrize(("release", "kept"), [("4.17", True), ("4.18", False), ("4.22", False)])
def test_domains_and_the_static_heap_in_dom0s_chosen(release: str, kept: bool) -> None:
    chosen = """chosen { #address-cells = <2>; #size-cells = <2>; xen,static-heap = <0 0x50000000 0 0x10000000>;
        m@48000000 { compatible = "multiboot,kernel", "multiboot,module"; reg = <0 0x48000000 0 0x1000>; };
        guest { compatible = "xen,domain"; #address-cells = <2>; #size-cells = <2>; cpus = <1>; memory = <0 0x40000>;
            k@48100000 { compatible = "multiboot,kernel", "multiboot,module"; reg = <0 0x48100000 0 0x1000>; }; }; };"""
    tree = written(one(chosen, release))
    found = tree.root.child("chosen")
    assert found is not None and (found.prop("xen,static-heap") is not None) == kept
    assert (tree.find("/chosen/guest") is not None) == kept and tree.find("/chosen/m@48000000") is None


def test_what_only_the_registers_of_the_gic_say_is_assumed_aloud() -> None:
    far = dev("far", "<0 300 4>")
    assert any("taken to serve interrupt 332" in item for item in one(far).assumed)
    assert not any("taken to serve" in item for item in one(far, gic_lines=512).assumed)
    frame = GICV2.replace("linux,dummy-virt", "other,board") % ("ranges;", "")
    assert any("MSI frame /intc@8000000/v2m@8020000" in item for item in one("", gic=frame).assumed)
    assert not any("MSI frame" in item for item in one("", gic=GICV2 % ("ranges;", "")).assumed)


@pytest.mark.parametrize(("release", "kept"), [("4.16", True), ("4.17", True), ("4.18", True), ("4.19", False), ("4.22", False)])
def test_what_leads_to_the_iommu_is_kept_from_dom0(release: str, *, kept: bool) -> None:
    """A host bridge has iommu-map alone; up to 4.18 only iommus is looked at (Layerscape's and Marvell's trees, on 4.17 and 4.20)."""
    smmu = 'smmu@b000000 { compatible = "arm,mmu-500"; reg = <0 0xb000000 0 0x10000>; #iommu-cells = <1>; phandle = <77>; };'
    other = "other@b100000 { reg = <0 0xb100000 0 0x1000>; #iommu-cells = <1>; phandle = <78>; };"
    mapped = dev("bridge", more="iommu-map = <0 77 0 1>; iommu-map-mask = <7>;")
    both = dev("both", more="iommu-map = <0 77 0 1>; iommus = <78 1>;").replace("a000000", "a100000")
    found = one(smmu + other + mapped + both, release, iommu=False)
    assert found.stopped_by is None
    tree = parse(found.blob or b"")
    bridge, first = tree.find("/bridge@a000000"), tree.find("/both@a100000")
    assert bridge is not None and first is not None
    assert [bridge.prop(name) is not None for name in ("iommu-map", "iommu-map-mask")] == [kept, kept]
    assert first.prop("iommu-map") is not None, "iommus, where there is one, is what decides"


def test_a_controller_is_a_node_that_says_so() -> None:
    """A driver is asked only for nodes with interrupt-controller; a name alone, before the real one, hides nothing (booted on 4.20)."""
    stray = 'pins { compatible = "arm,cortex-a15-gic"; };'
    shared = CONSOLE + dev("spi", "<0 1 4>")
    gic = stray + GIC % "test,board"
    assert lines(one(shared, gic=gic))[0] == "IRQ 33 is already used by Xen"
    found = one(dev("ppi", "<1 5 4>") + dev("spi", "<0 2 4>").replace("a000000", "a100000"), gic=gic)
    assert found.stopped_by is None and found.blob is not None
    assert parse(found.blob).find("/spi@a100000") is not None
