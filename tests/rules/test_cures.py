"""What `fix` offers for each cause that stops Xen: the property that is to be changed, worked out by hand, and that it boots.

What Xen does with each kind of tree was booted or stands in its source; the mirrors are held against those boots elsewhere.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from dtanalyze.analysis.editing import edits_of
from dtanalyze.devicetree.blob import parse
from dtanalyze.findings import Change, Cure
from dtanalyze.rules.examples import host
from tests.conftest import FIXTURES
from tests.rules.test_fix import Ran, run
from tests.trees import dtb

SPI = 'spi@{at} {{ compatible = "arm,pl022"; reg = <0x0 0x{at} 0x0 0x1000>; interrupt-parent = <1>; interrupts = {irqs}; {more} }}; '


class Offered(Ran):
    """What one run of `fix` gave, with its JSON answer and the tree that it wrote."""

    def __init__(self, ran: Ran, blob: bytes | None) -> None:
        super().__init__(ran.status, ran.out, ran.err)
        (self.json,) = json.loads(ran.out)["results"]
        self.blob = blob

    @property
    def edits(self) -> dict[str, str]:
        """Each change, by node and property."""
        return {f"{item['node']} {item['property']}": item["dts"] for item in self.json["edits"]}

    @property
    def verdicts(self) -> list[tuple[str, str]]:
        """Before and after, for each domain, kernel and release."""
        return [(item["verdict"]["before"], item["verdict"]["after"]) for item in self.json["results"]]


class Bench:
    """Runs `fix` on trees."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys

    def fix(self, body: str, *args: str) -> Offered:
        """Fix the tree with this body of the root."""
        board, new = self.folder / "board.dtb", self.folder / "new.dtb"
        board.write_bytes(dtb(body))
        new.unlink(missing_ok=True)
        ran = run(self.capsys, "fix", str(board), "--linux", "6.12", "--format", "json", "--apply", str(new), *args)
        assert ran.status in (0, 1), ran.err
        offered = Offered(ran, new.read_bytes() if new.exists() else None)
        if offered.blob is not None and shutil.which("fdtoverlay") is not None:
            self._hold_overlay(offered)
        return offered

    def _hold_overlay(self, offered: Offered) -> None:
        """Whatever is offered: the standard tools make of the overlay the tree that was tried, but for what it leaves out."""
        source, overlay, theirs = (self.folder / name for name in ("fix.dtso", "fix.dtbo", "theirs.dtb"))
        source.write_text(offered.json["overlay"])
        subprocess.run(["dtc", "-q", "-@", "-I", "dts", "-O", "dtb", "-o", overlay, source], check=True)
        subprocess.run(["fdtoverlay", "-i", self.folder / "board.dtb", "-o", theirs, overlay], check=True)
        wanted, before = content(offered.blob or b""), content((self.folder / "board.dtb").read_bytes())
        for edit in offered.json["edits"]:
            place = edit["node"], edit["property"]
            if edit["not_in_overlay"]:
                wanted.pop(place, None)
                wanted.update({place: before[place]} if place in before else {})
        assert content(theirs.read_bytes()) == wanted


def content(blob: bytes) -> dict[tuple[str, str], bytes]:
    return {(node.path, name): prop.value for node in parse(blob).root for name, prop in node.properties.items()}


@pytest.fixture
def bench(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Bench:
    return Bench(tmp_path, capsys)


def spi(at: str, irqs: str, more: str = "") -> str:
    return SPI.format(at=at, irqs=irqs, more=more)


def test_a_device_with_the_consoles_interrupt_is_kept_from_dom0(bench: Bench) -> None:
    """Booted: with xen,passthrough; Xen goes on, with status = "disabled" it does not."""
    found = bench.fix(host(spi("9010000", "<0 1 4>") + spi("9020000", "<0 1 4>", 'status = "disabled";')))
    assert found.edits == {"/spi@9010000 xen,passthrough": "", "/spi@9020000 xen,passthrough": ""}
    assert found.verdicts == [("no-boot", "scratch")]


def test_a_domain_that_takes_no_device_is_no_reason_to_keep_one(bench: Bench) -> None:
    """Nobody is given the device that is kept from dom0: no partial tree names any."""
    kernel = 'module@{} {{ compatible = "multiboot,kernel", "multiboot,module"; reg = <0x0 0x{} 0x0 0x1000>; }};'
    domain = 'domU1 { compatible = "xen,domain"; #address-cells = <2>; #size-cells = <2>; memory = <0 0x40000>; cpus = <1>; %s };'
    chosen = kernel.format("4a000000", "4a000000") + domain % kernel.format("4b000000", "4b000000")
    found = bench.fix(host(spi("9010000", "<0 1 4>"), chosen=chosen))
    assert found.edits == {"/spi@9010000 xen,passthrough": ""}


def test_one_trigger_type_for_all(bench: Bench) -> None:
    """The first node settles level (4); of the second only the cell of that interrupt changes, its other bits stay."""
    second = spi("9020000", "<0 7 1>, <0 2 0xf01>")
    found = bench.fix(host(spi("9010000", "<0 2 4>") + second))
    assert found.edits == {"/spi@9020000 interrupts": "<0x0 0x7 0x1 0x0 0x2 0xf04>"}
    assert found.verdicts == [("no-boot", "scratch")]


def test_the_trigger_cell_of_interrupts_extended_and_of_an_interrupt_map(bench: Bench) -> None:
    extended = (
        'spi@9020000 { compatible = "arm,pl022"; reg = <0x0 0x9020000 0x0 0x1000>; interrupts-extended = <1 0 2 1>; };'
    )
    found = bench.fix(host(spi("9010000", "<0 2 4>") + extended))
    assert found.edits == {"/spi@9020000 interrupts-extended": "<0x1 0x0 0x2 0x4>"}
    pcie = """pcie@10000000 { compatible = "pci-host-ecam-generic"; device_type = "pci"; #address-cells = <3>; #size-cells = <2>;
        #interrupt-cells = <1>; reg = <0x0 0x10000000 0x0 0x1000000>; ranges = <0x2000000 0x0 0x20000000 0x0 0x20000000 0x0 0x8000000>;
        interrupt-map-mask = <0 0 0 7>; interrupt-map = <0 0 0 1 1 0 2 1>, <0 0 0 2 1 0 3 4>; };"""
    found = bench.fix(host(spi("9010000", "<0 2 4>") + pcie))
    assert found.edits == {
        "/pcie@10000000 interrupt-map": "<0x0 0x0 0x0 0x1 0x1 0x0 0x2 0x4 0x0 0x0 0x0 0x2 0x1 0x0 0x3 0x4>"
    }


IOMMUS = """smmu@a000000 { compatible = "arm,smmu-v2"; reg = <0x0 0xa000000 0x0 0x10000>; #iommu-cells = <1>; phandle = <7>;
        #global-interrupts = <1>; interrupt-parent = <1>; interrupts = <0 40 4>, <0 41 4>; };
    gpummu@b000000 { compatible = "vendor,gpu-mmu"; reg = <0x0 0xb000000 0x0 0x10000>; #iommu-cells = <1>; phandle = <8>; };
    gpu@c000000 { reg = <0x0 0xc000000 0x0 0x1000>; iommus = <8 0>; }; gmu@d000000 { reg = <0x0 0xd000000 0x0 0x1000>; iommus = <8 5>; };"""


def test_an_iommu_without_a_driver_is_disabled(bench: Bench) -> None:
    """find_smmu finds none for the GPU's: -ENXIO. One change for both masters; the other cures are named on request."""
    found = bench.fix(host(IOMMUS), "--alternatives")
    assert found.edits == {"/gpummu@b000000 status": '"disabled"'}
    (offer,) = found.json["offers"]
    assert [item["node"] for item in offer["cures"]] == ["/gmu@d000000", "/gpu@c000000"]
    others = {item["changes"][0]["property"]: item["refused"] for item in offer["alternatives"]}
    assert others["xen,xen-bootargs"] is None  # iommu=no cures both as well
    assert set(others) == {"xen,passthrough", "xen,xen-bootargs"}


NVMEM = """bus@7000 { compatible = "vendor,spmi"; reg = <0x0 0x7000 0x0 0x1000>; #address-cells = <2>; #size-cells = <0>;
    pmic@0 { reg = <0 0>; #address-cells = <1>; #size-cells = <0>;
        nvram@7100 { reg = <0x7100>; #address-cells = <1>; #size-cells = <1>; ranges = <0 0x7100 0x100>; cell@48 { reg = <0x48 1>; }; };
    }; };"""


def test_places_inside_a_device_are_no_addresses_of_the_cpu(bench: Bench) -> None:
    """Kernel trees have such nodes: ranges of an NVMEM device on SPMI. It goes, which only a written tree can say."""
    found = bench.fix(host(NVMEM))
    (edit,) = found.json["edits"]
    assert (edit["node"], edit["property"], edit["deleted"]) == ("/bus@7000/pmic@0/nvram@7100", "ranges", True)
    assert edit["not_in_overlay"] == "an overlay takes no property away" in found.err and found.verdicts == [
        ("no-boot", "scratch")
    ]
    assert found.blob is not None
    node = parse(found.blob).find("/bus@7000/pmic@0/nvram@7100")
    assert node is not None and node.prop("ranges") is None and node.prop("reg") is not None


BUS = """bus@b000000 {{ compatible = "simple-bus"; #address-cells = <1>; #size-cells = <1>; ranges = {ranges};
    dev@{at} {{ reg = <0x{at} 0x1000>; }}; }}; {more}"""


@pytest.mark.parametrize(
    ("ranges", "at", "more", "edits"),
    [
        # The address is the CPU's already, inside the window 0xb000000-0xb00ffff.
        ("<0x0 0x0 0xb000000 0x10000>", "b001000", "", {"/bus@b000000/dev@b001000 reg": "<0x1000 0x1000>"}),
        # One entry and a cell: the cell goes, and the missing window comes.
        (
            "<0x0 0x0 0xb000000 0x10000 0x0>",
            "20000",
            "",
            {"/bus@b000000 ranges": "<0x0 0x0 0xb000000 0x10000 0x20000 0x0 0xb020000 0x1000>"},
        ),
        # The extended window would lie on another device: nothing is offered.
        ("<0x0 0x0 0xb000000 0x10000>", "20000", "dma@b020800 { reg = <0x0 0xb020800 0x0 0x100>; };", {}),
        # … or on the interrupt controller.
        ("<0x0 0x0 0x3000000 0x1000>", "20000", "", {}),
    ],
)
def test_an_address_that_the_bus_does_not_cover(
    ranges: str, at: str, more: str, edits: dict[str, str], bench: Bench
) -> None:
    found = bench.fix(host(BUS.format(ranges=ranges, at=at, more=more)))
    assert found.edits == edits
    assert found.verdicts == [("no-boot", "scratch" if edits else "no-boot")]
    assert (found.blob is None) == (not edits)


def test_an_address_two_buses_below_one_of_three_cells(bench: Bench) -> None:
    """Xen takes three cells for a name: the entry repeats what the address has become on the way there, as on a PCI endpoint.

    dt_bus_default_translate keeps 64 bits of what it adds up: of three cells the first is 0 then, whatever the entry said.
    """
    body = """outer@10000000 { compatible = "vendor,endpoint"; #address-cells = <3>; #size-cells = <2>;
        ranges = <0x1 0x0 0x0 0x0 0x10000000 0x0 0x400000>;
        inner { compatible = "simple-bus"; #address-cells = <2>; #size-cells = <2>;
            ranges = <0x0 0x40000000 0x1 0x0 0x0 0x0 0x400000>; dev@40018000 { reg = <0x0 0x40018000 0x0 0x1000>; }; }; };"""
    found = bench.fix(host(body))
    assert found.edits == {
        "/outer@10000000 ranges": "<0x1 0x0 0x0 0x0 0x10000000 0x0 0x400000 0x0 0x0 0x18000 0x0 0x10018000 0x0 0x1000>"
    }
    assert found.verdicts == [("no-boot", "scratch")]


PCIE = """pcie@10000000 {{ device_type = "pci"; interrupt-parent = <1>; #address-cells = <3>; #size-cells = <2>; reg = <0x0 0x10000000 0x0 0x1000>;
    ranges = <0x2000000 0x0 0x0 0x0 0x11000000 0x0 0x100000>; pci@0,0 {{ device_type = "pci"; #address-cells = <3>;
    #size-cells = <2>; reg = <0 0 0 0 0>; ranges; {below} }}; }};"""
ENDPOINT = """dev@0,0 { #address-cells = <3>; #size-cells = <2>; reg = <0x10000 0 0 0 0>;
    ranges = <0x1 0x0 0x0 0x82010000 0x0 0x0 0x0 0x100000>; bus@1 { compatible = "simple-bus"; #address-cells = <2>;
    #size-cells = <2>; ranges = <0x0 0x40000000 0x1 0x0 0x0 0x0 0x100000>; dev@40018000 { reg = <0x0 0x40018000 0x0 0x1000>; }; }; };"""
BRIDGED = {"/pcie@10000000/pci@0,0 ranges": "<0x2000000 0x0 0x0 0x2000000 0x0 0x0 0x0 0x100000>"}


@pytest.mark.parametrize(
    ("below", "edits", "advice"),
    [
        (
            "dev@0,0 { reg = <0x10000 0 0 0 0>; assigned-addresses = <0x82010010 0 0x2000 0 0x1000>; };",
            BRIDGED,
            "State the windows of /pcie@10000000 in `ranges` of /pcie@10000000/pci@0,0, each onto itself",
        ),
        (
            ENDPOINT,
            {
                "/pcie@10000000/pci@0,0/dev@0,0 ranges": "<0x1 0x0 0x0 0x82010000 0x0 0x0 0x0 0x100000 "
                "0x0 0x0 0x18000 0x82010000 0x0 0x18000 0x0 0x1000>",
                **BRIDGED,
            },
            "Add an entry to `ranges` of /pcie@10000000/pci@0,0/dev@0,0 for each address behind it, with the same cells",
        ),
    ],
)
def test_what_lies_below_a_pci_bridge(below: str, edits: dict[str, str], advice: str, bench: Bench) -> None:
    """Booted (lab/faults.toml): Xen forgets at empty ranges that an address is memory, and matches three cells exactly."""
    found = bench.fix(host(PCIE.format(below=below)))
    assert found.edits == edits and found.verdicts == [("no-boot", "scratch")]
    assert found.json["offers"][0]["cures"][0]["advice"].startswith(advice)


def test_an_address_of_a_space_that_no_window_has(bench: Bench) -> None:
    """I/O space below a host with a window of memory only: nothing near it tells where that would be."""
    below = "dev@0,0 { reg = <0x10000 0 0 0 0>; assigned-addresses = <0x81010010 0 0x2000 0 0x1000>; };"
    found = bench.fix(host(PCIE.format(below=below)))
    assert found.edits == {} and "cover 0x2000, but not as configuration space" in found.json["left"][0]["message"]


def test_of_a_long_property_what_changes_is_shown(bench: Bench) -> None:
    """Forty entries alike on both sides: four words of either end stay, and the entry that is added."""
    windows = " ".join(f"{at:#x} 0x0 {0xB000000 + at:#x} 0x1000" for at in range(0, 0x50000, 0x2000))
    found = bench.fix(host(BUS.format(ranges=f"<{windows}>", at="1000", more="")))
    said = " ".join(found.err.split())
    assert "- ranges = <0x0 0x0 … 153 more … 0x1000 0x4e000 0x0 0xb04e000 0x1000>;" in said
    assert "+ ranges = <0x0 0x0 … 153 more … 0x1000 0x4e000 0x0 0xb04e000 0x1000 0x1000 0x0 0xb001000 0x1000>;" in said


def test_an_iommu_that_cannot_be_set_up_is_no_fault_of_the_option(bench: Bench) -> None:
    """smmu: Invalid resource; the line has no iommu= at all."""
    smmu = 'smmu@2b400000 { compatible = "arm,mmu-500"; #iommu-cells = <1>; #global-interrupts = <1>; interrupts = <0 90 4>, <0 91 4>; };'
    found = bench.fix(host(smmu))
    (left,) = found.json["left"]
    assert left["rule"] == "V-no-boot" and "or boot Xen with `iommu=no`" in left["advice"] and found.edits == {}


def test_no_ram_goes_from_under_xen(bench: Bench) -> None:
    """Booted: where a memory node no longer lists the RAM that Xen lies in, it dies of its first look there."""
    body = host("dev@40000000 { reg = <0x0 0x40000000 0x0 0x1000000>; };")
    assert bench.fix(body).edits == {"/memory@40000000 reg": "<0x0 0x41000000 0x0 0x7f000000>"}
    found = bench.fix(body, "--grant-table", "0x40400000+256K", "--fdt-address", "0x44000000")
    assert found.edits == {} and "from under Xen, or the tree, at 0x40400000" in found.err


QGIC2 = """intc@3000000 {{ compatible = "qcom,msm-qgic2"; #interrupt-cells = <3>; interrupt-controller; phandle = <1>;
    interrupt-parent = <1>; interrupts = <1 0 0xf04>; reg = <0x0 0x3000000 0x0 0x1000>, <0x0 0x3002000 0x0 0x2000>{more}; }};"""
VIRTUAL = ", <0x0 0x3001000 0x0 0x1000>, <0x0 0x3004000 0x0 0x2000>"


def test_a_gicv2_under_a_name_that_xen_does_not_know(bench: Bench) -> None:
    """Booted with QEMU's GICv2 called so: Xen looks for three names only, Linux's driver takes this one too."""
    found = bench.fix(host(gic=QGIC2.format(more=VIRTUAL)))
    assert found.edits == {"/intc@3000000 compatible": '"qcom,msm-qgic2", "arm,cortex-a15-gic"'}
    assert found.verdicts == [("no-boot", "scratch")]
    without = bench.fix(host(gic=QGIC2.format(more="")))
    assert without.edits == {} and "Use another board" in without.json["left"][0]["advice"]


def test_an_interrupt_without_a_descriptor(bench: Bench) -> None:
    """GIC interrupt 32 + 1058 is above NR_IRQS, 1024. Xen asks for the interrupts of disabled nodes too: they have to go."""
    found = bench.fix(host(spi("20000000", "<0 1058 4>", 'status = "disabled";')))
    (edit,) = found.json["edits"]
    assert (edit["node"], edit["property"], edit["deleted"]) == ("/spi@20000000", "interrupts", True)
    assert found.verdicts == [("no-boot", "scratch")]
    (offer,) = found.json["offers"]
    assert offer["cures"][0]["advice"].startswith("Remove `interrupts` from the node")


def test_a_register_that_runs_past_the_last_address_has_no_cure(bench: Bench) -> None:
    """Recorded: Xen 4.17 dies of it; what the register is to be, nobody can tell."""
    tree = FIXTURES / "host-boots/38f-registers-wrap-x417/host.dtb"
    ran = run(bench.capsys, "fix", str(tree), "--xen", "4.17", "--grant-table", "0x40400000-0x40440000", "--format", "json")
    found = Offered(ran, None)
    assert found.edits == {} and [(item["rule"], item["node"]) for item in found.json["left"]] == [("B04", "/d@1")]
    assert found.json["left"][0]["advice"].startswith("Correct `reg`")


def test_what_a_stop_has_hidden_is_told(bench: Bench) -> None:
    """Among holes Xen finds regions that end amid a section: warnings and infos of the guest's tree, once there is one."""
    found = bench.fix(host(spi("20000000", "<0 1058 4>")), "--iommu", "on")
    (result,) = found.json["results"]
    told = {(item["severity"], item["rule"]) for item in result["new"]}
    assert {severity for severity, _ in told} == {"warning", "info"} and result["verdict"]["before"] == "no-boot"
    for severity, rule in told:
        assert f"seen now that Xen boots: {severity} {rule}" in found.err or f"{rule} " in found.err.split("for information: ")[1]


def test_a_bus_of_three_cells_gets_the_exact_entry(bench: Bench) -> None:
    """Xen compares the address cells with those of the entry (booted): only an entry with the same start maps the address."""
    bus = """bus@b000000 { compatible = "simple-bus"; #address-cells = <3>; #size-cells = <1>; ranges = <0 0 0 0 0xb000000 0x10000>;
        dev@1000 { reg = <0 0 0x1000 0x100>; }; };"""
    found = bench.fix(host(bus))
    assert found.edits == {"/bus@b000000 ranges": "<0x0 0x0 0x0 0x0 0xb000000 0x10000 0x0 0x0 0x1000 0x0 0xb001000 0x100>"}
    assert found.verdicts == [("no-boot", "scratch")]


RSV = "reserved-memory {{ #address-cells = <2>; #size-cells = <2>; ranges; {children} }};"
ONE = "{name}@{at} {{ reg = <0x0 0x{at} 0x0 {size}>; {more} }};"


def reserved(*children: tuple[str, str, str, str]) -> str:
    return RSV.format(
        children="".join(ONE.format(name=name, at=at, size=size, more=more) for name, at, size, more in children)
    )


@pytest.mark.parametrize("linux", ["6.12", "7.3"])
def test_a_reservation_leaves_out_what_is_in_it(linux: str, bench: Bench) -> None:
    """##..####: the larger keeps what lies before; what lies behind is a node of its own, since 7.3 reads one entry only."""
    body = host(reserved(("big", "50000000", "0x1000000", "no-map;"), ("small", "50400000", "0x200000", "")))
    found = bench.fix(body, "--linux", linux)
    assert found.edits == {
        "/reserved-memory/big@50000000 reg": "<0x0 0x50000000 0x0 0x400000>",
        "/reserved-memory/big@50600000 reg": "<0x0 0x50600000 0x0 0xa00000>",
        "/reserved-memory/big@50600000 no-map": "",
    }
    assert found.verdicts == [("no-boot", "scratch")]
    overlay = found.json["overlay"]
    assert "\n&{/reserved-memory} {\n\tbig@50600000 {\n\t\treg = <" in overlay  # a node that is made stands in the one above


def test_reservations_that_overlap_in_part_and_that_are_equal(bench: Bench) -> None:
    part = reserved(("one", "50000000", "0x100000", ""), ("two", "50080000", "0x200000", ""))
    assert bench.fix(host(part)).edits == {"/reserved-memory/two@50080000 reg": "<0x0 0x50100000 0x0 0x180000>"}
    same = reserved(("one", "50000000", "0x100000", ""), ("two", "50000000", "0x100000", ""))
    assert bench.fix(host(same)).edits == {"/reserved-memory/two@50000000 status": '"disabled"'}
    # Up to 4.18 a disabled one counts (c419d2dd35): an empty one where the other begins does not (meminfo_overlap_check).
    assert bench.fix(host(same), "--xen", "4.18").edits == {"/reserved-memory/two@50000000 reg": "<0x0 0x50000000 0x0 0x0>"}


def test_several_in_one_reservation(bench: Bench) -> None:
    small = [("a", "50100000", "0x100000", ""), ("b", "50300000", "0x100000", "")]
    found = bench.fix(host(reserved(("big", "50000000", "0x500000", ""), *small)))
    assert found.edits == {
        "/reserved-memory/big@50000000 reg": "<0x0 0x50000000 0x0 0x100000>",
        "/reserved-memory/big@50200000 reg": "<0x0 0x50200000 0x0 0x100000>",
        "/reserved-memory/big@50400000 reg": "<0x0 0x50400000 0x0 0x100000>",
    }
    assert found.verdicts == [("no-boot", "scratch")]


MEMORY = 'memory@{at} {{ device_type = "memory"; reg = {reg}; }};'


def test_ram_that_is_named_twice(bench: Bench) -> None:
    """Booted: equal or overlapping banks die in bootmem_region_add, in every release."""
    two = MEMORY.format(at="40000000", reg="<0 0x40000000 0 0x80000000>") + MEMORY.format(
        at="b0000000", reg="<0 0xb0000000 0 0x20000000>"
    )
    found = bench.fix(host(memory=two))
    assert found.edits == {"/memory@40000000 reg": "<0x0 0x40000000 0x0 0x70000000>"}
    assert found.verdicts == [("no-boot", "scratch")]
    one = MEMORY.format(at="40000000", reg="<0 0x40000000 0 0x60000000>, <0 0x80000000 0 0x40000000>")
    assert bench.fix(host(memory=one)).edits == {"/memory@40000000 reg": "<0x0 0x40000000 0x0 0x80000000>"}


def test_a_reservation_called_memory(bench: Bench) -> None:
    """Booted: 4.17 to 4.19 take it for a second bank. From 4.19 on a disabled one is passed over, before only an empty one."""
    body = host(reserved(("memory", "50000000", "0x100000", "no-map;")))
    new = {
        "/reserved-memory/reserved@50000000 reg": "<0x0 0x50000000 0x0 0x100000>",
        "/reserved-memory/reserved@50000000 no-map": "",
    }
    assert bench.fix(body, "--xen", "4.19").edits == {"/reserved-memory/memory@50000000 status": '"disabled"', **new}
    assert bench.fix(body, "--xen", "4.17").edits == {
        "/reserved-memory/memory@50000000 reg": "<0x0 0x50000000 0x0 0x0>",
        **new,
    }
    assert bench.fix(body, "--xen", "4.20").edits == bench.fix(body, "--xen", "4.16").edits == {}  # 4.16 boots (on virt)


def test_ram_over_devices(bench: Bench) -> None:
    """Two devices 16 MiB apart in RAM: one gap of whole 2 MiB around both."""
    devices = 'serial@50100000 { compatible = "ns16550a"; reg = <0x0 0x50100000 0x0 0x1000>; }; dma@51000000 { reg = <0x0 0x51000000 0x0 0x1000>; };'
    found = bench.fix(host(devices))
    assert found.edits == {"/memory@40000000 reg": "<0x0 0x40000000 0x0 0x10000000 0x0 0x51200000 0x0 0x6ee00000>"}
    assert not [item for item in found.json["left"] if item["rule"] == "O01"]
    at_the_end = 'serial@bf000000 { compatible = "ns16550a"; reg = <0x0 0xbf000000 0x0 0x1000>; };'
    assert bench.fix(host(at_the_end)).edits == {"/memory@40000000 reg": "<0x0 0x40000000 0x0 0x7f000000>"}


def test_reserved_memory_that_linux_ignores(bench: Bench) -> None:
    ignored = "reserved-memory { #address-cells = <1>; #size-cells = <1>; fw@50000000 { reg = <0x50000000 0x100000>; no-map; }; cma { size = <0x1000000>; }; };"
    found = bench.fix(host(ignored))
    assert found.edits == {
        "/reserved-memory ranges": "",
        "/reserved-memory #address-cells": "<0x2>",
        "/reserved-memory #size-cells": "<0x2>",
        "/reserved-memory/fw@50000000 reg": "<0x0 0x50000000 0x0 0x100000>",
        "/reserved-memory/cma size": "<0x0 0x1000000>",
    }


def test_a_memory_node_without_reg(bench: Bench) -> None:
    """Up to 4.19 any node called memory counts: 4.18 has no use for its status."""
    body = host("soc { #address-cells = <1>; #size-cells = <1>; memory@0 { }; };")
    assert bench.fix(body, "--xen", "4.18").edits == {"/soc/memory@0 reg": "<0x0 0x0>"}
    assert bench.fix(body, "--xen", "4.22").edits == {}
    body = host("soc { #address-cells = <1>; #size-cells = <0>; memory@0 { }; };")
    assert bench.fix(body, "--xen", "4.19").edits == {"/soc/memory@0 status": '"disabled"'}


def test_a_node_whose_name_another_one_answers_to(bench: Bench) -> None:
    """Booted: libfdt finds memory@40000000 for /memory where that stands first, and the overlay took the board's RAM."""
    bare = 'memory { device_type = "memory"; };'
    found = bench.fix(host(bare))
    (edit,) = found.json["edits"]
    assert edit["node"] == "/memory" and found.verdicts == [("no-boot", "scratch")]
    assert edit["not_in_overlay"] == "an overlay that names /memory changes /memory@40000000"
    assert "not in the overlay: 1 of 1 change" in found.err and "&{/memory}" not in found.json["overlay"]
    (edit,) = bench.fix(f"{bare} {host()}").json["edits"]
    assert edit["node"] == "/memory" and edit["not_in_overlay"] is None


def test_half_of_a_change_is_not_in_an_overlay() -> None:
    """One cure of two properties, of which one goes: an overlay says neither, and still says another cure."""
    tree = dtb("a { x; y; }; b { };")
    gone, set_, other = Change("/a", "x", None, ""), Change("/a", "y", b"\1", "[01]"), Change("/b", "z", b"", "")
    found = edits_of(tree, [Cure((gone, set_)), Cure((other,))])
    assert [(item.change.prop, bool(item.unsaid)) for item in found] == [("x", True), ("y", True), ("z", False)]
    assert edits_of(tree, [Cure((set_._replace(value=b"", text=""),))]) == ()


@pytest.mark.parametrize(
    ("node", "why"),
    [
        ("/soc@1/new", ""),
        ("/soc@1/new@2/deep", ""),
        ("/soc@1/dev", "an overlay that names /soc@1/dev changes /soc@1/dev@5"),
        ("/soc@1/dev/deep", "an overlay that names /soc@1/dev/deep changes /soc@1/dev@5"),
        ('/soc@1/"q"', "its path holds characters that dtc does not take"),
    ],
)
def test_a_node_that_is_made(node: str, why: str) -> None:
    (edit,) = edits_of(dtb("soc@1 { dev@5 { }; };"), [Cure((Change(node, "p", b"", ""),))])
    assert (edit.anchor, edit.unsaid) == ("/soc@1", why)


CHOSEN = 'xen,xen-bootargs = "{}";'


@pytest.mark.parametrize(
    ("line", "new"),
    [
        ("iommu=force,verbose", "iommu=verbose"),
        ("iommu=required noreboot", "noreboot"),
        ("gnttab_max_frames=0", "gnttab_max_frames=64"),
        ("dom0_men=1G", "dom0_mem=1G"),
    ],
)
def test_a_word_of_xens_line(line: str, new: str, bench: Bench) -> None:
    found = bench.fix(host(chosen=CHOSEN.format(line)))
    assert found.edits == {"/chosen xen,xen-bootargs": f'"{new}"'}
    assert found.verdicts[0][1] == "scratch"


GICV2 = (
    "0x3001000 0x0 0x10000>, <0x0 0x3020000 0x0 0x1000000>",
    "0x3001000 0x0 0x1000>, <0x0 0x3002000 0x0 0x2000>, <0x0 0x3004000 0x0 0x2000>, <0x0 0x3006000 0x0 0x2000>",
)


def test_more_cpus_than_a_gicv2_serves(bench: Bench) -> None:
    """Booted: a GICv2 serves eight. The host has one, which is what dom0 gets."""
    body = host(chosen=CHOSEN.format("console=dtuart dom0_max_vcpus=9 sched=null")).replace("arm,gic-v3", "arm,gic-400")
    found = bench.fix(body.replace(*GICV2))
    assert found.edits == {"/chosen xen,xen-bootargs": '"console=dtuart dom0_max_vcpus=1 sched=null"'}
    assert found.verdicts == [("no-boot", "scratch")]


def test_xens_line_may_stand_in_bootargs(bench: Bench) -> None:
    """With dom0's arguments apart, bootargs is Xen's (boot_fdt_cmdline)."""
    found = bench.fix(host(chosen='bootargs = "iommu=force"; xen,dom0-bootargs = "root=/dev/x";'))
    assert found.edits == {"/chosen bootargs": '""'}


KERNEL = 'module@48000000 { compatible = "multiboot,kernel", "multiboot,module"; reg = <0x0 0x48000000 0x0 0x1000000>; };'
RAMDISK = 'module@48800000 { compatible = "multiboot,ramdisk", "multiboot,module"; reg = <0x0 0x48800000 0x0 0x1000000>; };'


def test_a_module_moves_to_free_ram(bench: Bench) -> None:
    """The ramdisk moves behind the kernel, to 16 MiB that nobody has; the boot loader is told."""
    found = bench.fix(host(chosen=KERNEL + RAMDISK))
    assert found.edits == {"/chosen/module@48800000 reg": "<0x0 0x49000000 0x0 0x1000000>"}
    assert found.verdicts == [("no-boot", "scratch")] or found.verdicts == [("scratch", "scratch")]
    (offer,) = found.json["offers"]
    assert offer["besides"] == "The boot loader has to load the module of /chosen/module@48800000 at 0x49000000."
    rsv = "reserved-memory { #address-cells = <2>; #size-cells = <2>; ranges; fw@49000000 { reg = <0x0 0x49000000 0x0 0x400000>; }; };"
    assert bench.fix(host(rsv, chosen=KERNEL + RAMDISK)).edits == {
        "/chosen/module@48800000 reg": "<0x0 0x49400000 0x0 0x1000000>"
    }


def test_a_module_that_xen_does_not_see(bench: Bench) -> None:
    outside = "modules { #address-cells = <1>; #size-cells = <1>; module@4a000000 "
    outside += '{ compatible = "multiboot,ramdisk", "multiboot,module"; reg = <0x4a000000 0x100000>; }; };'
    found = bench.fix(host(outside, chosen=KERNEL))
    assert found.edits == {
        "/chosen/module@4a000000 compatible": '"multiboot,ramdisk", "multiboot,module"',
        "/chosen/module@4a000000 reg": "<0x0 0x4a000000 0x0 0x100000>",
        "/modules/module@4a000000 status": '"disabled"',
    }


@pytest.mark.parametrize(
    ("words", "right"),
    [
        ('"xen,xsm-policy", "multiboot-module"', '"xen,xsm-policy", "multiboot,module"'),
        ('"xen,xsm-policy"', '"xen,xsm-policy", "multiboot,module"'),
        ('"xen,xsm-policy multiboot,module"', '"xen,xsm-policy", "multiboot,module"'),
    ],
)
def test_a_misspelt_module(words: str, right: str, bench: Bench) -> None:
    policy = f"policy@4c000000 {{ compatible = {words}; reg = <0x0 0x4c000000 0x0 0x4000>; }};"
    assert bench.fix(host(chosen=KERNEL + policy)).edits == {"/chosen/policy@4c000000 compatible": right}


def test_modules_whose_reg_has_other_cells(bench: Bench) -> None:
    body = host(chosen="").replace("#address-cells = <2>; #size-cells = <2>; stdout", "stdout")
    inner = 'modules { module@48000000 { compatible = "multiboot,kernel", "multiboot,module"; reg = <0x48000000 0x1000000>; }; };'
    found = bench.fix(body.replace("stdout-path", inner + " stdout-path"))
    assert found.edits == {"/chosen/modules #address-cells": "<0x1>", "/chosen/modules #size-cells": "<0x1>"}
    assert found.verdicts == [("no-boot", "scratch")]


GUEST = """guest {{ compatible = "xen,domain"; #address-cells = <2>; #size-cells = <2>; {properties}
    module@4a000000 {{ compatible = "multiboot,kernel", "multiboot,module"; reg = <0x0 0x4a000000 0x0 0x1000000>; }}; }};"""
PLAIN = 'cpus = <1>; xen,enhanced = "no-xenstore"; '


@pytest.mark.parametrize(
    ("properties", "edits"),
    [
        ("memory = <0x0 0x40000>;", {"cpus": "<0x1>"}),
        ("memory = <0x0 0x40000>; cpus = <0>;", {"cpus": "<0x1>"}),
        ("memory = <0x0 0x40000>; cpus = <200>;", {"cpus": "<0x20>"}),  # 128 of a GICv3, and 32 fit into Xen's 4 KiB
        ("cpus = <1>;", {"memory": "<0x0 0x40000>"}),
        (PLAIN + "memory = <0x0 0x0>;", {"memory": "<0x0 0x40000>"}),
        (PLAIN + "memory = <0x0 0x300000>;", {"memory": "<0x0 0x100000>"}),  # 3 GiB asked, 2 GiB there in all
        (
            PLAIN
            + "memory = <0x0 0x10000>; xen,static-mem = <0x0 0x60000000 0x0 0x10000000>, <0x0 0x78000000 0x0 0x4000000>;",
            {"memory": "<0x0 0x50000>"},  # 256 and 64 MiB
        ),
        ("memory = <0x0 0x40000>; cpus = <1>; xen,enhanced;", {"xen,enhanced": '"no-xenstore"'}),
        (PLAIN + "memory = <0x0 0x40000>; nr_spis = <1000>;", {"nr_spis": "<0x3c0>"}),  # whole 32s below 1020 - 32
    ],
)
def test_what_a_domain_cannot_have(properties: str, edits: dict[str, str], bench: Bench) -> None:
    """Each line but the last two stands in xen-boot records; the numbers are worked out from the tree."""
    found = bench.fix(host(chosen=GUEST.format(properties=properties)), "--xen", "4.20")
    assert found.edits == {f"/chosen/guest {name}": text for name, text in edits.items()}
    assert all(old == "no-boot" and new != "no-boot" for old, new in found.verdicts)


def test_a_first_bank_that_holds_kernel_and_ramdisk(bench: Bench) -> None:
    """16 MiB of kernel and 320 MiB of ramdisk: 256 MiB are too few, the next power of two is enough."""
    ramdisk = (
        'module@4a000000 { compatible = "multiboot,ramdisk", "multiboot,module"; reg = <0x0 0x4a000000 0x0 0x14000000>; };'
    )
    found = bench.fix(host(chosen=KERNEL + ramdisk + CHOSEN.format("dom0_mem=256M")))
    assert found.edits == {"/chosen xen,xen-bootargs": '"dom0_mem=512M"'}
    assert found.verdicts == [("no-boot", "scratch")]


@pytest.mark.parametrize(("option", "most"), [("--need", "1200M"), ("--request", "262144")])
def test_dom0_mem_leaves_what_is_asked_for(option: str, most: str, bench: Bench) -> None:
    """dom0 has half of 2 GiB. What cannot be mapped then can with a smaller power of two; 256 MiB can as it is."""
    body = host(chosen=CHOSEN.format("dom0_mem=1G"))
    assert bench.fix(body, "--need", "256M").edits == {}
    found = bench.fix(body, option, most)
    (line,) = found.edits.values()
    assert line in ('"dom0_mem=512M"', '"dom0_mem=256M"', '"dom0_mem=128M"') and found.status == 0
    assert [item["rule"] for offer in found.json["offers"] for item in offer["cures"]][0] in ("V-need", "V-request")
    assert bench.fix(body.replace("dom0_mem=1G", line.strip('"')), option, most).edits == {}


GIC400 = """gic@3000000 {{ compatible = "arm,gic-400"; #interrupt-cells = <3>; interrupt-controller; phandle = <1>; {irq}
    reg = <0x0 0x{base}1000 0x0 0x1000>, <0x0 0x{second} 0x0 0x100>; }};"""


def test_what_a_gic_400_has_by_its_manual(bench: Bench) -> None:
    """Arm DDI 0471: four blocks from one base, ID 25 for maintenance. Of another layout nothing is known."""
    body = host(gic=GIC400.format(base="300", second="3002000", irq=""))
    found = bench.fix(body)
    assert found.edits == {
        "/gic@3000000 reg": "<0x0 0x3001000 0x0 0x1000 0x0 0x3002000 0x0 0x2000 0x0 0x3004000 0x0 0x2000 0x0 0x3006000 0x0 0x2000>",
        "/gic@3000000 interrupt-parent": "<0x1>",
        "/gic@3000000 interrupts": "<0x1 0x9 0xf04>",
    }
    assert found.verdicts == [("no-boot", "scratch")]
    assert not bench.fix(host(gic=GIC400.format(base="300", second="3010000", irq=""))).edits.get("/gic@3000000 reg")
    assert bench.fix(body.replace("arm,gic-400", "arm,cortex-a15-gic")).edits == {}


def test_the_bus_above_a_gic_400_covers_what_it_gets(bench: Bench) -> None:
    """Broadcom's kernel trees end the bus's window behind the two registers that they list."""
    gic = (
        'axi@3000000 { compatible = "simple-bus"; #address-cells = <1>; #size-cells = <1>; ranges = <0x0 0x0 0x3000000 0x4000>; '
        'gic@1000 { compatible = "arm,gic-400"; #interrupt-cells = <3>; interrupt-controller; phandle = <1>; '
        "#address-cells = <0>; interrupt-parent = <1>; interrupts = <1 9 4>; reg = <0x1000 0x1000 0x2000 0x2000>; }; };"
    )
    found = bench.fix(host(gic=gic))
    assert found.edits == {
        "/axi@3000000/gic@1000 reg": "<0x1000 0x1000 0x2000 0x2000 0x4000 0x2000 0x6000 0x2000>",
        "/axi@3000000 ranges": "<0x0 0x0 0x3000000 0x4000 0x4000 0x0 0x3004000 0x4000>",
    }
    assert found.verdicts == [("no-boot", "scratch")]


def test_another_dom0_mem_where_something_else_stops_xen_too(bench: Bench) -> None:
    """Drawn by the lab, and booted with both changes: each hides the other from whoever looks at the verdict alone."""
    domain = (
        'module@50000000 { compatible = "multiboot,kernel", "multiboot,module"; reg = <0 0x50000000 0 0x1000>; }; domU1 { compatible = "xen,domain"; #address-cells = <2>; #size-cells = <2>; cpus = <1>; module@54000000 { '
        'compatible = "multiboot,kernel", "multiboot,module"; reg = <0 0x54000000 0 0x1000>; }; };'
    )
    found = bench.fix(host(chosen=CHOSEN.format("dom0_mem=16G") + domain))
    assert set(found.edits) == {"/chosen xen,xen-bootargs", "/chosen/domU1 memory"}
    assert found.verdicts[0] == ("no-boot", "scratch")


def test_every_error_has_an_offer_or_a_reason(bench: Bench) -> None:
    found = bench.fix(host().replace("arm,gic-v3", "vendor,controller"))
    (left,) = found.json["left"]
    assert found.blob is None and found.json["overlay"] is None
    assert left["advice"].startswith("Use another board: this one has no interrupt controller that Xen drives")


def test_a_module_under_a_reservation_moves(bench: Bench) -> None:
    """The module is seen first, the reservation that it lies in stops the scan: the module moves past both reservations."""
    more = ("fw", "48800000", "0x1000000", "no-map;"), ("next", "49800000", "0x200000", "")
    body = host(reserved(*more), chosen=KERNEL)
    found = bench.fix(body)
    assert found.edits == {"/chosen/module@48000000 reg": "<0x0 0x49a00000 0x0 0x1000000>"}
    assert found.verdicts == [("no-boot", "scratch")]


def test_placeholders_of_size_zero(bench: Bench) -> None:
    """With an IOMMU the search for holes wraps at address 0: no regions. The placeholder's reg goes, in a written tree."""
    found = bench.fix(host("firmware@0 { reg = <0x0 0x0 0x0 0x0>; };"), "--iommu", "on")
    (edit,) = found.json["edits"]
    assert (edit["node"], edit["property"], edit["deleted"]) == ("/firmware@0", "reg", True)
    assert not [item for item in found.json["left"] if item["rule"] == "X33"]


def test_more_cpus_than_redistributors(bench: Bench) -> None:
    """Booted (4.17): -53, where the redistributors serve fewer CPUs than dom0 is to have. 0x1000000 bytes serve 128."""
    body = host(chosen=CHOSEN.format("dom0_max_vcpus=100")).replace("0x3020000 0x0 0x1000000", "0x3020000 0x0 0x40000")
    found = bench.fix(body, "--xen", "4.17")
    assert found.edits == {"/chosen xen,xen-bootargs": '"dom0_max_vcpus=1"'}
    assert found.verdicts[0][0] == "no-boot" and found.verdicts[0][1] != "no-boot"


def test_one_cure_undone_by_another_is_said(bench: Bench) -> None:
    """Two reservations hold each other's middle (##-- and -##-): each cut is made once, and nothing goes round in circles."""
    both = reserved(("one", "50000000", "0x300000", ""), ("two", "50100000", "0x300000", ""))
    found = bench.fix(host(both))
    assert len(found.edits) == 1 and found.verdicts == [("no-boot", "scratch")]


def test_an_overlay_for_a_tree_without_symbols(bench: Bench) -> None:
    """Nodes are named by path, so that no label is needed; several changes to one property are one."""
    lines = CHOSEN.format("iommu=force dom0_men=1G gnttab_max_frames=0")
    found = bench.fix(host(chosen=lines))
    assert found.edits == {"/chosen xen,xen-bootargs": '"dom0_mem=1G gnttab_max_frames=64"'}
    assert found.json["overlay"].count("xen,xen-bootargs") == 1 and "__symbols__" not in found.json["overlay"]
    assert len(found.json["offers"]) == 3


def test_every_release_asked_about_has_to_agree(bench: Bench) -> None:
    """A disabled reservation is passed over from 4.19 on only: over 4.18 and 4.22 the empty one is what works for both."""
    same = host(reserved(("one", "50000000", "0x100000", ""), ("two", "50000000", "0x100000", "")))
    found = bench.fix(same, "--xen", "4.18,4.22")
    assert found.edits == {"/reserved-memory/two@50000000 reg": "<0x0 0x50000000 0x0 0x0>"}
