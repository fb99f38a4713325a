"""What stops Xen over a domain of /chosen, drawn by hand; the lines are those of recorded boots and of Xen's source."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dtanalyze.cli import main
from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.xen.build import read_build
from dtanalyze.xen.fdt_sw import bytes_needed
from dtanalyze.xen.options import XenOptions
from dtanalyze.xen.partial_tree import PartialTree
from dtanalyze.xen.predict import predict, prepare
from dtanalyze.xen.prediction import Prediction
from dtanalyze.xen.profile import preset
from tests.xen.build import HEAD, blob, host

BOOTS = Path(__file__).parents[2] / "fixtures" / "dtb" / "boots"
GIC = """
interrupt-parent = <1>;
gic@8000000 { compatible = "arm,gic-v3"; #interrupt-cells = <3>; interrupt-controller; phandle = <1>;
    reg = <0 0x8000000 0 0x10000>, <0 0x80a0000 0 0xf60000>; interrupts = <1 9 4>; };
timer { compatible = "arm,armv8-timer"; interrupts = <1 13 8>, <1 14 8>, <1 11 8>, <1 10 8>; };
serial@9000000 { compatible = "arm,pl011"; reg = <0 0x9000000 0 %s>; %s };
"""
UART = GIC % ("0x1000", "interrupts = <0 1 4>;")
CELLS = "#address-cells = <2>; #size-cells = <2>;"
CHOSEN = "chosen {{ " + CELLS + " {args} {dom0} {domains} }};"
MODULE = 'm@{at:x} {{ compatible = "multiboot,{kind}", "multiboot,module"; reg = <0 {at:#x} 0 {size:#x}>; }};'
CONSOLE = 'stdout-path = "/serial@9000000";'
KERNEL = MODULE.format(at=0x48000000, kind="kernel", size=0x10000)
DOM0 = MODULE.format(at=0x4A000000, kind="kernel", size=0x10000)
PLAIN = "memory = <0 0x40000>; cpus = <1>;"
STATIC = PLAIN + " xen,static-mem = <0 0x60000000 0 0x10000000>;"
DIRECT = STATIC + " direct-map;"


def guest(properties: str = PLAIN, children: str = KERNEL, name: str = "domU1") -> str:
    return f'{name} {{ compatible = "xen,domain"; {CELLS} {properties} {children} }};'


def run(
    domains: str, release: str = "4.22", args: str = CONSOLE, dom0: str = "", board: str = UART, more: str = "", **known: Any
) -> tuple[Prediction, ...]:
    options = XenOptions(**known)
    tree = host(board + CHOSEN.format(args=args, dom0=dom0, domains=domains) + more)
    return predict(prepare(tree, options), preset(release), options)


def lines(domains: str, release: str = "4.22", **how: Any) -> tuple[str, ...]:
    stop = run(domains, release, **how)[0].stopped_by
    assert stop is None or stop.stage == "domains", stop
    return stop.lines if stop is not None else ()


def written(found: Prediction) -> Tree:
    assert found.blob is not None
    return parse(found.blob)


def gave_up(rc: int, release: str) -> str:
    return "Could not set up domain domU1" + ("" if release == "4.17" else f" (rc = {rc})")


@pytest.mark.parametrize("release", ["4.17", "4.18", "4.20", "4.21", "4.22"])
def test_a_plain_domain_boots(release: str) -> None:
    assert lines(guest(), release) == ()


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ("cpus = <1>;", ('Error building DomU: cannot read "memory" property', "give up -22")),
        ("memory = <0 0x40000>;", ("Missing property 'cpus' for domain domU1",)),
        ("memory = <0 0>; cpus = <1>;", ("Device tree generation failed (-2).", "give up -22")),
        (PLAIN + " direct-map;", ("direct-map is not valid for domain domU1 without static allocation.",)),
    ],
)
@pytest.mark.parametrize("release", ["4.17", "4.20", "4.22"])
def test_what_a_node_has_to_say(properties: str, expected: tuple[str, ...], release: str) -> None:
    said = tuple(gave_up(-22, release) if item == "give up -22" else item for item in expected)
    assert lines(guest(properties), release) == said


@pytest.mark.parametrize(
    ("properties", "first", "line"),
    [
        ("max_grant_frames = <0x80000000>;", "4.18", "max_grant_frames (2147483648) overflow"),
        ("max_maptrack_frames = <0x80000000>;", "4.18", "max_maptrack_frames (2147483648) overflow"),
        ("max_grant_frames = <0>;", "4.18", "Error creating domain domU1 (rc = -22)"),
        ("max_grant_version = <2>;", "4.18", "Error creating domain domU1 (rc = -22)"),
        ("max_grant_version = <0>;", "4.18", "Error creating domain domU1 (rc = -22)"),
        ("sve = <128>;", "4.18", "'sve' property found, but CONFIG_ARM64_SVE not selected"),
        ('llc-colors = "0-3";', "4.20", "'llc-colors' found, but LLC coloring is disabled"),
        ("nr_spis = <961>;", "4.17", "Error creating domain domU1"),  # booted: 988 too, as ranks are whole
        ("capabilities = <8>;", "4.21", "Invalid capabilities (8)"),
        ("capabilities = <2>;", "4.21", "non-direct mapped hardware domain requires iommu"),
        ("trap-unmapped-accesses = <2>;", "4.21", "trap-unmapped-accesses: supported values are 0 or 1"),
        ('xen,sci_type = "scmi_smc";', "4.21", "Error getting SCI configuration"),
        ('v8r_el1_msa = "mmu";', "4.22", "Error getting v8r_el1_msa configuration"),
    ],
)
def test_what_newer_releases_read(properties: str, first: str, line: str) -> None:
    releases = ["4.17", "4.18", "4.19", "4.20", "4.21", "4.22"]
    for release in releases:
        found = lines(guest(PLAIN + properties), release)
        assert (found[-1:] != ()) == (releases.index(release) >= releases.index(first)), release
        assert not found or found[-1].startswith(line)



def test_what_a_domain_may_ask_for() -> None:
    """More grant frames than gnttab_max_frames too, since b2ea81d2b9 (4.18), as booted."""
    assert lines(guest(PLAIN + "max_grant_frames = <65>; max_maptrack_frames = <2000>; nr_spis = <960>;")) == ()
    assert lines(guest(PLAIN + "max_grant_version = <1>; trap-unmapped-accesses = <1>;")) == ()
    assert lines(guest(PLAIN + 'xen,sci_type = "none";')) == ()


def test_sci_says_what_it_lacks() -> None:
    assert lines(guest(PLAIN + 'xen,sci_type = "scmi_smc";'))[0] == (
        "xen,sci_type=scmi_smc requested, but CONFIG_SCMI_SMC not set"
    )
    built = read_build("CONFIG_SCMI_SMC=y")
    assert lines(guest(PLAIN + 'xen,sci_type = "scmi_smc";'), build=built) == ()
    assert lines(guest(PLAIN + 'xen,sci_type = "psci";'), build=built) == (
        "xen,sci_type in not valid (psci) for domain domU1",
        "Error getting SCI configuration",
    )
    assert lines(guest(PLAIN + "xen,sci_type;")) == ("Error getting SCI configuration",)
    assert lines(guest(PLAIN + "v8r_el1_msa;"))[0] == "v8r_el1_msa not supported on this build for domain /chosen/domU1"


def test_sve_where_it_is_built_is_the_hardwares_question() -> None:
    built = read_build("CONFIG_ARM64_SVE=y")
    assert lines(guest(PLAIN + "sve = <128>;"), build=built) == ()
    assert "not modelled: how long SVE's vectors may be (/chosen/domU1)" in (
        run(guest(PLAIN + "sve = <128>;"), build=built)[0].assumed
    )


def test_static_memory_of_no_piece_is_static_memory() -> None:
    """CDF_staticmem follows from the property, however many ranges it holds: direct-map is not what is refused."""
    found = lines(guest(PLAIN + " xen,static-mem; direct-map;"))
    assert not any("direct-map is not valid" in line for line in found)


def test_a_name_has_no_unit_address() -> None:
    """dt_node_name, as booted: dom@1 is called dom."""
    assert lines(guest("memory = <0 0x40000>;", name="dom@1")) == ("Missing property 'cpus' for domain dom",)
    assert lines(guest("cpus = <1>;", name="dom@1"), "4.20")[-1] == "Could not set up domain dom (rc = -22)"


def test_cache_colours_and_static_memory_do_not_go_together() -> None:
    coloured = 'xen,xen-bootargs = "llc-coloring=on";'
    built = read_build("CONFIG_LLC_COLORING=y\nCONFIG_STATIC_MEMORY=y")
    for release, expected in (("4.20", ("LLC coloring and static memory are incompatible",)), ("4.19", ())):
        assert lines(guest(STATIC), release, args=coloured, build=built) == expected
    assert lines(guest(PLAIN + 'llc-colors = "0-3";'), "4.20", args=coloured, build=built) == ()


@pytest.mark.parametrize(
    ("mib", "release", "expected"),
    [
        (4096, "4.20", ("Failed to allocate P2M pages.", "Could not set up domain domU1 (rc = -12)")),  # booted with 2 GiB
        (4096, "4.17", ("Failed to allocate P2M pages.", "Could not set up domain domU1")),
        (0x1000010, "4.20", ()),  # pages are counted in 32 bits: 16 MiB, as booted
        (64, "4.20", ()),
    ],
)
def test_a_pool_of_page_tables_larger_than_the_host(mib: int, release: str, expected: tuple[str, ...]) -> None:
    assert lines(guest(PLAIN + f"xen,domain-p2m-mem-mb = <{mib}>;"), release) == expected


@pytest.mark.parametrize("release", ["4.17", "4.20", "4.22"])
@pytest.mark.parametrize(
    ("kib", "kernel", "expected"),
    [
        (0x1000, 0x10000, ("Unable to find suitable location for dtb+initrd",)),  # 4 MiB: both, but not one after the other
        (0x400, 0x10000, ("Not enough memory in the first bank for the kernel+dtb+initrd",)),
        (0x1800, 0x10000, ()),
        (0x1800, 0x200001, ("Unable to find suitable location for dtb+initrd",)),
    ],
)
def test_a_domain_too_small_for_its_kernel(kib: int, kernel: int, expected: tuple[str, ...], release: str) -> None:
    """The first two as booted by 4.20 and 4.17."""
    module = MODULE.format(at=0x48000000, kind="kernel", size=kernel)
    assert lines(guest(f"memory = <0 {kib:#x}>; cpus = <1>;", module), release) == expected


def test_the_hardware_domain_is_given_the_hosts_devices() -> None:
    """construct_hwdom: what stops dom0 stops it too, in the name that it has."""
    smmu = """smmu@2b400000 { compatible = "arm,mmu-500"; reg = <0 0x2b400000 0 0x20000>; #global-interrupts = <1>;
        interrupts = <0 100 4>, <0 101 4>; };"""
    shared = "uart2@9100000 { reg = <0 0x9100000 0 0x1000>; interrupts = <0 1 4>; };"
    private = "pmu { interrupts = <1 33 4>; };"
    hardware = guest(PLAIN + " capabilities = <2>;")
    assert lines(hardware, more=smmu) == ()
    assert lines(hardware, more=smmu + shared) == (
        "IRQ 33 is already used by Xen",
        "Unable to map IRQ33 to d1",
        "Device tree generation failed (-16).",
        "Could not set up domain domU1 (rc = -22)",
    )
    assert lines(guest(PLAIN), more=smmu + private) == (), "another domain is given nothing"
    far = "dev@1 { reg = <0x1000000 0 0 0x1000>; };"
    assert lines(hardware, more=smmu + far)[0] == "Unable to map 0x100000000000000 - 0x100000000000fff in domain 1"
    vcpu = VCPU.format("id = <7>;")
    found = lines(guest(PLAIN + " capabilities = <2>;", KERNEL + vcpu), more=smmu)
    assert found == ("Invalid vcpu_id 7 for domain domU1, max_vcpus=1",)


def test_one_xenstore_domain() -> None:
    """dom0 is one itself, from 4.21 (set_xs_domain)."""
    store = PLAIN + " capabilities = <4>;"
    other = guest(store, MODULE.format(at=0x49000000, kind="kernel", size=4096), "domU2")
    assert lines(guest(store)) == ()
    assert lines(guest(store), dom0=DOM0) == ("Only 1 xenstore domain can be specified! (0)",)
    assert lines(guest(store) + other) == ("Only 1 xenstore domain can be specified! (1)",)
    assert lines(guest(store) + other, "4.20") == ()


VCPU = "vcpu0 {{ compatible = \"xen,vcpu\"; {} }};"


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ('id = <0>; hard-affinity = "0-1";', ()),
        ("id = <0>;", ()),
        ('id = <0>; hard-affinity = "0x1";', ()),
        ('id = <0>; hard-affinity = "1,4294967296";', ()),  # unsigned int: 0
        ('hard-affinity = "0";', ("Invalid xen,vcpu node for domain domU1",)),
        ("id = <1>;", ("Invalid vcpu_id 1 for domain domU1, max_vcpus=1",)),
        ('id = <0>; hard-affinity = "2";', ("Invalid pCPU 2 for domain domU1",)),
        ('id = <0>; hard-affinity = "0,2";', ("Invalid pCPU 2 for domain domU1",)),  # the second item is read too
        ('id = <0>; hard-affinity = "0-010";', ("Invalid pCPU 8 for domain domU1",)),
        ('id = <0>; hard-affinity = "0x10,99";', ("Invalid pCPU 16 for domain domU1",)),
        ('id = <0>; hard-affinity = "0 99";', ()),  # read up to the blank
        ('id = <0>; hard-affinity = "1-0";', ("vcpu0: failed (rc=-22) to set hard affinity for domain domU1",)),
    ],
)
def test_where_a_domains_cpus_may_run(properties: str, expected: tuple[str, ...]) -> None:
    """The host has two CPUs; what domain_vcpu_affinity makes of each node was worked out by hand."""
    for release in ("4.21", "4.22"):
        assert lines(guest(PLAIN, KERNEL + VCPU.format(properties)), release) == expected
    assert lines(guest(PLAIN, KERNEL + VCPU.format(properties)), "4.20") == ()


def test_maxcpus_counts() -> None:
    one = VCPU.format('id = <0>; hard-affinity = "1";')
    found = lines(guest(PLAIN, KERNEL + one), args='xen,xen-bootargs = "maxcpus=1";')
    assert found == ("Invalid pCPU 1 for domain domU1",)


def test_the_hardware_domain() -> None:
    hardware = PLAIN + " capabilities = <2>;"
    iommu = 'smmu@2b400000 { compatible = "arm,mmu-500"; reg = <0 0x2b400000 0 0x20000>; };'
    assert lines(guest(hardware), iommu=True, more=iommu) == ()
    assert lines(guest(hardware), dom0=DOM0) == ("Only 1 hardware domain can be specified! (d0)",)
    two = guest(hardware) + guest(hardware, MODULE.format(at=0x49000000, kind="kernel", size=4096), "domU2")
    assert lines(two, iommu=True, more=iommu) == ("Only 1 hardware domain can be specified! (d1)",)
    assert lines(guest(hardware + ' passthrough = "enabled";'), iommu=True) == (
        "Don't specify passthrough for hardware domain",
    )
    assert lines(guest(hardware + " nr_spis = <32>;"), iommu=True) == ("nr_spis cannot be specified for hardware domain",)
    tree = KERNEL + MODULE.format(at=0x4E000000, kind="device-tree", size=0x1000)
    assert lines(guest(hardware, tree), iommu=True) == ('"multiboot,device-tree" incompatible with hardware domain',)


def test_a_kernel_is_found_by_address_and_kind() -> None:
    """Two domains name one module: the second is not registered, and found."""
    other = MODULE.format(at=0x49000000, kind="kernel", size=4096)
    assert lines(guest() + guest(children=KERNEL, name="domU2"), "4.17") == ()
    ramdisk = MODULE.format(at=0x4E000000, kind="ramdisk", size=4096)
    assert lines(guest(children=ramdisk, name="domU1") + guest(children=other, name="domU2")) == (
        "Missing kernel boot module?",
        "Could not set up domain domU1 (rc = -2)",
    )


@pytest.mark.parametrize(
    ("kib", "left"),
    [
        (0x40000, None),
        (0x200000, 0x200000),  # 2 GiB of 1 GiB: the first bank fails whole
        (0x400000, 0x400000),  # 4 GiB: still the first bank, of 3 GiB
        (1, 1),  # below a page: Xen counts down from 2^32 orders and gives up
        (0x40006, 0x40006),
    ],
)
def test_more_ram_than_is_left(kib: int, left: int | None) -> None:
    found = lines(guest(f"memory = <0 {kib:#x}>; cpus = <1>;"))
    said = f"Failed to allocate requested domain memory. {left}KB unallocated. Fix the VMs configurations."
    assert found == (() if left is None else (said,))


def test_the_second_bank_fails_alone() -> None:
    """6 GiB where 5 are: 3 GiB below, 3 GiB above that cannot be had."""
    found = lines(guest("memory = <0 0x600000>; cpus = <1>;"), memory=(_range(0x40000000, 5 << 30),))
    assert found == ("Failed to allocate requested domain memory. 3145728KB unallocated. Fix the VMs configurations.",)


def _range(start: int, size: int) -> Any:
    from dtanalyze.address.range import AddressRange

    return AddressRange(start, size)


def test_a_domain_leaves_less_to_the_next() -> None:
    half = "memory = <0 0x90000>; cpus = <1>;"
    second = guest(half, MODULE.format(at=0x49000000, kind="kernel", size=4096), "domU2")
    stop = run(guest(half) + second)[0].stopped_by
    assert stop is not None and stop.domain == "/chosen/domU2"
    assert run(guest(half))[0].stopped_by is None


@pytest.mark.parametrize("release", ["4.17", "4.20", "4.22"])
def test_static_memory_and_memory_agree(release: str) -> None:
    assert lines(guest(STATIC), release) == ()
    less = STATIC.replace("0 0x10000000>", "0 0x8000000>")
    assert lines(guest(less), release) == (
        'Size of "memory" property doesn\'t match up with the sum-up of "xen,static-mem". Unsupported configuration.',
        "Failed to allocate requested static memory for domain d1.",
    )
    assert lines(guest(less + " direct-map;"), release) == (
        'Size of "memory" property doesn\'t match up with the sum-up of "xen,static-mem".',
        "Failed to assign requested static memory for direct-map domain d1.",
    )


@pytest.mark.parametrize(("release", "stops"), [("4.17", True), ("4.20", True), ("4.21", True), ("4.22", False)])
def test_a_static_bank_of_four_gib(release: str, stops: bool) -> None:
    """It goes on in the guest's second bank, and older releases count only that part."""
    big = "memory = <0 0x400000>; cpus = <1>; xen,static-mem = <0 0x80000000 1 0>;"
    ram = (_range(0x40000000, 5 << 30),)
    assert (lines(guest(big), release, memory=ram) != ()) == stops
    assert lines(guest(big + " direct-map;"), release, memory=ram) == (), "direct-mapped, it is one bank"
    two = big.replace("<0 0x80000000 1 0>", "<0 0x80000000 0 0xc0000000>, <1 0x40000000 0 0x40000000>")
    assert lines(guest(two), release, memory=ram) == (), "banks that end with the guest's"


SHM = """shm { compatible = "xen,domain-shared-memory-v1"; xen,shm-id = "s0"; xen,shared-mem = <%s>; };"""


def test_shared_memory_of_a_direct_mapped_domain() -> None:
    """From 4.19 on; before, a host address is needed anyway."""
    short, other = SHM % "0 0x4000000 0 0x1000000", SHM % "0 0x50000000 0 0x4000000 0 0x1000000"
    same = SHM % "0 0x50000000 0 0x50000000 0 0x1000000"
    for release in ("4.19", "4.20", "4.22"):
        assert lines(guest(DIRECT, KERNEL + short), release) == (
            "d1: host and guest physical address must be supplied for direct-mapped domains",
            "Could not set up domain domU1 (rc = -22)",
        )
        assert lines(guest(DIRECT, KERNEL + other), release)[0] == (
            "d1: physical address 0x0000000050000000 and guest address 0x0000000004000000 are not direct-mapped."
        )
        assert lines(guest(DIRECT, KERNEL + same), release) == ()
        assert lines(guest(STATIC, KERNEL + short), release) == ()
    assert lines(guest(DIRECT, KERNEL + other), "4.18") == ()


@pytest.mark.parametrize(
    ("release", "vpl011", "expected"),
    [
        ("4.17", False, ()),
        ("4.17", True, ("vpl011: Unable to re-use the Xen UART information.", "Xen BUG at arch/arm/domain_build.c")),
        ("4.18", False, ("Error getting IRQ number for this serial port 0",)),
        ("4.22", True, ("Error getting IRQ number for this serial port 0",)),
    ],
)
def test_a_direct_mapped_domain_without_a_console(release: str, vpl011: bool, expected: tuple[str, ...]) -> None:
    """It takes Xen's console's interrupt, whether or not it has an emulated UART."""
    properties = DIRECT + (" vpl011;" if vpl011 else "")
    assert lines(guest(properties), release, args='xen,xen-bootargs = "dtuart=/nowhere";') == expected
    assert lines(guest(properties), release) == ()


def test_the_advice_names_dtuart() -> None:
    stop = run(guest(DIRECT), args='xen,xen-bootargs = "dtuart=/nowhere";')[0].stopped_by
    assert stop is not None and "dtuart=/nowhere names no node" in stop.because
    stop = run(guest(DIRECT), board=GIC % ("0x1000", ""))[0].stopped_by
    assert stop is not None and "names /serial@9000000, which has no interrupt" in stop.because


def test_an_spi_count_of_its_own_needs_no_console() -> None:
    assert lines(guest(DIRECT + " nr_spis = <64>;"), args="") == ()
    found = lines(guest(DIRECT + " nr_spis = <64>; vpl011;"), args="")
    assert found[0] == "vpl011: Unable to re-use the Xen UART information."


@pytest.mark.parametrize(("release", "stops"), [("4.17", False), ("4.18", True), ("4.22", True)])
def test_a_host_uart_smaller_than_the_emulated_one(release: str, stops: bool) -> None:
    found = lines(guest(DIRECT + " vpl011;"), release, board=GIC % ("0x400", "interrupts = <0 1 4>;"))
    assert (found[:1] == ("vpl011: Can't re-use the Xen UART MMIO region as it is too small.",)) == stops


def test_as_many_cpus_as_the_tree_has_room_for() -> None:
    """A tree of 4 KiB, up to 4.21, and 96 bytes for each CPU: 33 fit, 34 do not; 4.22 has room for 128."""
    for release in ("4.20", "4.21"):
        assert lines(guest("memory = <0 0x40000>; cpus = <33>;"), release) == ()
        assert lines(guest("memory = <0 0x40000>; cpus = <34>;"), release) == (
            "Device tree generation failed (-3).",
            "Could not set up domain domU1 (rc = -22)",
        )
    assert lines(guest("memory = <0 0x40000>; cpus = <128>; vpl011;"), "4.22") == ()


def test_a_host_without_cpus() -> None:
    board = UART + CHOSEN.format(args="", dom0="", domains=guest())
    tree = parse(blob(CELLS + 'memory@40000000 { device_type = "memory"; reg = <0 0x40000000 0 0x40000000>; };' + board))
    stop = predict(prepare(tree, XenOptions()), preset("4.22"), XenOptions())[0].stopped_by
    assert stop is not None and stop.lines[0] == "Device tree generation failed (-2)."


@pytest.mark.parametrize(
    "path", sorted(path for path in BOOTS.glob("*.dtb") if b"xen,xen-" in path.read_bytes()), ids=lambda path: path.stem
)
def test_the_size_of_a_tree_is_that_of_the_one_xen_wrote(path: Path) -> None:
    data = path.read_bytes()
    assert bytes_needed(parse(data).root) == int.from_bytes(data[4:8], "big")


def test_the_size_of_a_tree_is_counted_as_libfdt_writes_it() -> None:
    """By hand: 48 header, 16 reserve map, 4 end; root 12; node `ab` 12; two properties 12 + 4 and 12; names `reg`, `xreg`."""
    root = Node("", None, 0)
    inner = Node("ab", root, 0)
    root.children.append(inner)
    assert bytes_needed(root) == 48 + 16 + 4 + 12 + 12
    from dtanalyze.devicetree.write import set_property

    set_property(inner, "xreg", b"\0\0\0\1")
    set_property(inner, "reg", b"")
    assert bytes_needed(root) == 92 + 16 + 12 + len("xreg") + 1, "reg is the end of xreg"


def names(tree: Tree) -> list[str]:
    return [child.name for child in tree.root.children]


def test_the_order_of_a_domains_tree() -> None:
    enhanced = PLAIN + ' xen,enhanced = "no-xenstore"; vpl011;'
    older = [
        "chosen",
        "psci",
        "cpus",
        "memory@40000000",
        "interrupt-controller@3001000",
        "timer",
        "sbsa-uart@22000000",
        "hypervisor",
    ]
    newer = [
        "chosen",
        "cpus",
        "memory@40000000",
        "interrupt-controller@3001000",
        "timer",
        "hypervisor",
        "psci",
        "sbsa-uart@22000000",
    ]
    for release, order in (("4.17", older), ("4.20", older), ("4.21", newer), ("4.22", newer)):
        assert names(written(run(guest(enhanced), release)[0])) == order


def test_what_is_new_in_a_domains_tree() -> None:
    shm = KERNEL + SHM % "0 0x50000000 0 0x70000000 0 0x1000000"
    for release, listed, regions in (("4.18", False, False), ("4.19", True, False), ("4.20", True, True)):
        tree = written(run(guest(PLAIN, shm), release)[0])
        memory, gic = tree.find("/memory@40000000"), tree.find("/interrupt-controller@3001000")
        assert memory is not None and (len(memory.properties["reg"].cells) == 8) == listed, release
        assert gic is not None and (gic.prop("#redistributor-regions") is not None) == regions, release
        shared = tree.find("/reserved-memory/xen-shmem@70000000")
        assert shared is not None and shared.properties["xen,id"].string == "s0"
        assert shared.properties["xen,offset"].value == bytes(8)


def test_the_seventeenth_cpu_is_the_first_of_the_next_cluster() -> None:
    tree = written(run(guest("memory = <0 0x40000>; cpus = <18>;"))[0])
    cpus = tree.root.child("cpus")
    assert cpus is not None and [node.name for node in cpus.children][15:] == ["cpu@f", "cpu@100", "cpu@101"]


def test_4_19_and_4_20_hand_an_iommu_on_to_the_next_domain() -> None:
    """Seen in the method: a direct-mapped domain with an IOMMU looks for holes."""
    second = guest(
        DIRECT.replace("0x60000000", "0x50000000") + ' xen,enhanced = "no-xenstore";',
        MODULE.format(at=0x49000000, kind="kernel", size=4096),
        "domU2",
    )
    for release, method in (("4.18", "unallocated"), ("4.19", "holes"), ("4.20", "holes"), ("4.21", "unallocated")):
        found = run(guest(PLAIN + ' passthrough = "enabled";') + second, release, iommu=True)
        assert found[1].method == method, release


PARTIAL = """
#address-cells = <2>; #size-cells = <2>;
gic { #interrupt-cells = <3>; interrupt-controller; phandle = <%s>; };
aliases { net = "/passthrough/eth@60000000"; };
%s
"""
PASSTHROUGH = 'passthrough { compatible = "simple-bus"; ranges; #address-cells = <2>; #size-cells = <2>; %s };'
ETH = 'eth@60000000 { compatible = "acme,pt"; reg = <0 0x60000000 0 0x1000>; %s interrupts = <0 100 4>; };'
GIVEN = 'xen,reg = <0 0xb000000 0 0x1000 0 0x60000000>; xen,path = "/eth@b000000";'
FORCED = GIVEN + " xen,force-assign-without-iommu;"
DEVICE = "eth@b000000 { reg = <0 0xb000000 0 0x1000>; interrupts = <0 100 4>; %s };"
WITH_TREE = KERNEL + MODULE.format(at=0x4E000000, kind="device-tree", size=0x1000)


def partial(nodes: str, phandle: str = "0x2000") -> dict[str, Any]:
    data = blob(PARTIAL % (phandle, nodes))
    return {"partial_trees": (("domU1", PartialTree(parse(data), len(data), "pfdt.dtb")),)}


def given(special: str = FORCED, device: str = "xen,passthrough;", release: str = "4.20", dom0: str = "", **how: Any) -> Any:
    enhanced = PLAIN + ' xen,enhanced = "no-xenstore";'
    more = DEVICE % device
    return run(guest(enhanced, WITH_TREE), release, dom0=dom0, more=more, **partial(PASSTHROUGH % (ETH % special)), **how)


def refused(found: tuple[Prediction, ...]) -> tuple[str, ...]:
    stop = found[0].stopped_by
    return stop.lines if stop is not None else ()


@pytest.mark.parametrize("release", ["4.17", "4.18", "4.20", "4.21", "4.22"])
def test_a_partial_tree_is_copied_less_what_speaks_to_xen(release: str) -> None:
    (found,) = given(release=release)
    assert refused((found,)) == ()
    tree = written(found)
    eth = tree.find("/passthrough/eth@60000000")
    assert eth is not None and sorted(eth.properties) == ["compatible", "interrupts", "reg"]
    gic = tree.find("/interrupt-controller@3001000")
    assert gic is not None and gic.properties["phandle"].u32 == 0x2000, "as /gic of the partial tree says"
    assert tree.find("/gic") is None and tree.find("/aliases") is not None


def test_a_device_behind_an_iommu_needs_no_force() -> None:
    """iommu_assign_dt_device takes a device that iommu_add_dt_device has added, and Xen's is the one that ``iommus`` names."""
    smmu = """smmu@2b400000 { compatible = "arm,mmu-500"; reg = <0 0x2b400000 0 0x20000>; #global-interrupts = <1>; phandle = <7>;
        #iommu-cells = <1>; interrupts = <0 110 4>, <0 111 4>; };"""
    other = 'mmu@2b500000 { compatible = "acme,mmu"; phandle = <8>; #iommu-cells = <1>; };'
    enhanced = PLAIN + ' xen,enhanced = "no-xenstore";'
    trees = partial(PASSTHROUGH % (ETH % GIVEN))
    for iommus, passed in (("iommus = <7 1>;", True), ("", False), ("iommus = <8 1>;", False)):
        more = DEVICE % f"xen,passthrough; {iommus}" + smmu + other
        found = run(guest(enhanced, WITH_TREE), "4.20", more=more, iommu=True, **trees)
        assert (refused(found) == ()) is passed, iommus


def test_where_a_partial_tree_stands() -> None:
    assert names(written(given(release="4.22")[0]))[:3] == ["aliases", "passthrough", "chosen"]
    assert names(written(given(release="4.20")[0]))[4:6] == ["aliases", "passthrough"]


def test_regions_and_what_is_passed_through() -> None:
    """From 4.21 on they leave it out; before, they lie over it (booted: 0x50000000-0x60000000 and 0x60200000 on)."""
    over = given(release="4.20")[0].regions.ranges
    assert any(item.start <= 0x60000000 < item.stop for item in over)
    beside = [(item.start, item.stop) for item in given(release="4.21")[0].regions.ranges]
    assert beside[:2] == [(0x50000000, 0x60000000), (0x60200000, 0x100000000)]


@pytest.mark.parametrize(
    ("special", "lines_before"),
    [
        ("xen,reg = <0 0xb000000 0 0x1000 0 0x60000000>;", ("xen,reg or xen,path missing for d1",)),
        ('xen,path = "/eth@b000000";', ("xen,reg or xen,path missing for d1",)),
        ('xen,path = "/eth@b000000"; xen,force-assign-without-iommu;', ("xen,reg or xen,path missing for d1",)),
        (
            FORCED.replace("0x1000", "0x800"),
            ("DomU passthrough config has not page aligned addresses/sizes", "Failed to assign device to d1"),
        ),
        (
            FORCED.replace("/eth@b000000", "/no/such"),
            ("Couldn't find node /no/such in host_dt!", "Failed to assign device to d1"),
        ),
        (GIVEN, ("Failed to assign device to d1",)),  # Xen uses no IOMMU, and nothing says that it does not matter
        (
            FORCED.replace("0 0x60000000>", "0x10000 0x60000000>"),
            (
                "Failed to map 000000000b000000 to the guest at0001000060000000",
                "Failed to assign device to d1",
            ),
        ),
    ],
)
def test_what_a_partial_tree_may_not_say(special: str, lines_before: tuple[str, ...]) -> None:
    for release in ("4.18", "4.20", "4.21", "4.22"):
        rc = -14 if "guest at" in lines_before[0] else -22
        last = (f"Device tree generation failed ({rc}).", "Could not set up domain domU1 (rc = -22)")
        assert refused(given(special, release=release)) == (*lines_before, *last), release


def test_4_17_prints_and_goes_on_in_the_node_that_it_left_open() -> None:
    """So the guest's GIC, timer and hypervisor node stand inside /passthrough, where Linux does not look for them."""
    (found,) = given("xen,reg = <0 0xb000000 0 0x1000 0 0x60000000>;", release="4.17")
    assert found.stopped_by is None
    tree = written(found)
    assert tree.find("/hypervisor") is None and tree.find("/passthrough/hypervisor") is not None
    assert any("xen,reg or xen,path missing for d1" in item for item in found.assumed)


def test_an_interrupt_that_is_still_dom0s() -> None:
    """The device is not marked xen,passthrough, so that dom0 has it: nothing is said before the boot."""
    assert refused(given(device="", dom0=DOM0)) == (
        "IRQ 132 is already used by domain 0",
        "Unable to map IRQ132 to d1",
        "Failed to assign device to d1",
        "Device tree generation failed (-16).",
        "Could not set up domain domU1 (rc = -22)",
    )
    assert refused(given(dom0=DOM0)) == ()


def test_one_device_for_two_domains() -> None:
    enhanced = PLAIN + ' xen,enhanced = "no-xenstore";'
    second = MODULE.format(at=0x49000000, kind="kernel", size=4096) + MODULE.format(
        at=0x4F000000, kind="device-tree", size=4096
    )
    domains = guest(enhanced, WITH_TREE) + guest(enhanced, second, "domU2")
    tree = partial(PASSTHROUGH % (ETH % FORCED))["partial_trees"][0][1]
    found = run(domains, more=DEVICE % "xen,passthrough;", partial_trees=(("domU1", tree), ("/chosen/domU2", tree)))
    assert refused(found)[:3] == (
        "IRQ 132 is already used by domain 1",
        "Unable to map IRQ132 to d2",
        "Failed to assign device to d2",
    )


@pytest.mark.parametrize(("phandle", "stops"), [("64998", False), ("64999", True), ("65000", True)])
def test_phandles_that_xen_counts_on_from(phandle: str, stops: bool) -> None:
    for release, refuses in (("4.21", False), ("4.22", stops)):
        found = run(guest(PLAIN, WITH_TREE), release, **partial("", phandle))
        expected = ("Device tree generation failed (-75).", "Could not set up domain domU1 (rc = -22)")
        assert refused(found) == (expected if refuses else ()), release


@pytest.mark.parametrize(("release", "phandle"), [("4.17", 0), ("4.19", 0), ("4.20", 65000), ("4.22", 65000)])
def test_a_gic_without_a_phandle(release: str, phandle: int) -> None:
    data = blob(CELLS + " gic { interrupt-controller; };")
    trees = (("domU1", PartialTree(parse(data), len(data), "p.dtb")),)
    gic = written(run(guest(PLAIN, WITH_TREE), release, partial_trees=trees)[0]).find("/interrupt-controller@3001000")
    assert gic is not None and gic.properties["phandle"].u32 == phandle


@pytest.mark.parametrize(
    ("release", "stops"), [("4.20.3", False), ("4.20", True), ("4.21.1", False), ("4.21.2", True), ("4.22", True)]
)
def test_cells_of_xen_reg(release: str, stops: bool) -> None:
    nodes = (PASSTHROUGH % (ETH % FORCED)).replace("#address-cells = <2>", "#address-cells = <3>")
    found = run(guest(PLAIN, WITH_TREE), release, more=DEVICE % "xen,passthrough;", **partial(nodes))
    assert (refused(found)[:1] == ("Invalid address_cells 3 or size_cells 2",)) == stops


def test_a_module_leaves_room_for_itself() -> None:
    """4.17 writes into 4 KiB whatever the partial tree holds; 4.18 adds the module's size."""
    nodes = PASSTHROUGH % ("blob { data = <" + " ".join(["1"] * 900) + ">; };")
    assert refused(run(guest(PLAIN, WITH_TREE), "4.17", **partial(nodes)))[-1] == "Could not set up domain domU1"
    assert refused(run(guest(PLAIN, WITH_TREE), "4.18", **partial(nodes))) == ()


def test_a_partial_tree_that_is_not_given_is_said() -> None:
    (found,) = run(guest(PLAIN, WITH_TREE))
    assert any("partial tree" in item and "--partial-dtb domU1=FILE" in item for item in found.assumed)
    assert not any("--partial-dtb" in item for item in given()[0].assumed)


def findings(tmp_path: Path, capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, list[dict[str, Any]], str]:
    with pytest.raises(SystemExit) as left:
        main(["check", *argv, "--format", "json", "--no-config"])
    printed = capsys.readouterr()
    results = json.loads(printed.out)["results"] if printed.out else []
    return int(left.value.code or 0), results, printed.err


BOARD = (
    HEAD + UART + DEVICE % "xen,passthrough;" + "other@c000000 { reg = <0 0xc000000 0 0x1000>; interrupts = <0 101 4>; };"
)


def test_a_partial_tree_alone_against_a_board(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As if a domain of 256 MiB had it: regions over the device up to 4.20, what is refused, what is dom0's."""
    board, tree = tmp_path / "board.dtb", tmp_path / "pfdt.dtb"
    board.write_bytes(blob(BOARD))
    asked = ("--partial", str(tree), "--host", str(board))
    tree.write_bytes(blob(PARTIAL % ("1", PASSTHROUGH % (ETH % FORCED))))
    status, results, _ = findings(tmp_path, capsys, *asked, "--xen", "4.20,4.21")
    assert status == 1 and [(item["xen"], item["verdict"]) for item in results] == [("4.20", "hazard"), ("4.21", "scratch")]
    assert [item["rule"] for item in results[0]["findings"] if item["severity"] == "error"] == ["D10", "X01"]
    assert results[0]["path"] == str(tree) and all(item["offset"] is None for item in results[0]["findings"])
    tree.write_bytes(blob(PARTIAL % ("1", PASSTHROUGH % (ETH % GIVEN.replace("xen,path", "x,path")))))
    _, results, _ = findings(tmp_path, capsys, *asked)
    assert results[0]["verdict"] == "no-boot" and "xen,reg or xen,path missing for d1" in results[0]["reason"]
    kept = FORCED.replace("0xb000000", "0xc000000").replace("eth@b000000", "other@c000000")
    tree.write_bytes(blob(PARTIAL % ("65000", PASSTHROUGH % (ETH % kept))))
    _, results, _ = findings(tmp_path, capsys, *asked, "--xen", "4.21")
    assert {"D05", "D15", "D17"} <= {item["rule"] for item in results[0]["findings"]}
    assert "IRQ 133 is already used by domain 0" in results[0]["reason"]


def test_what_a_partial_tree_alone_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    board, tree = tmp_path / "board.dtb", tmp_path / "pfdt.dtb"
    tree.write_bytes(blob(PARTIAL % ("1", "")))
    whole, guest_ = tmp_path / "whole.dtb", tmp_path / "guest.dtb"
    whole.write_bytes(blob(BOARD))
    guest_.write_bytes(blob(BOARD + "hypervisor { };"))
    board.write_bytes(
        blob('#address-cells = <2>; #size-cells = <2>; memory@0 { device_type = "memory"; reg = <0 0 0 0>; };')
    )
    for argv, words in (
        (("--partial", str(tree)), "--partial and --host go together"),
        ((str(tree), "--host", str(board)), "--partial and --host go together"),
        (("--partial", str(tree), "--host", str(tmp_path / "none")), "none: No such file"),
        (("--partial", str(tree), "--host", str(board)), "board.dtb: it lists no RAM that is free; --memory gives"),
        (("--partial", str(board), "--host", str(Path(__file__))), "test_dom0less.py: not a flattened devicetree"),
        (("--partial", str(whole), "--host", str(board)), "whole.dtb: it has /cpus and no /passthrough: a whole tree"),
        (("--partial", str(tree), "--host", str(guest_)), "guest.dtb: it has a /hypervisor node, as a guest's tree"),
    ):
        status, _, err = findings(tmp_path, capsys, *argv)
        assert status == 2 and words in err, (argv, err)
    status, results, _ = findings(
        tmp_path, capsys, "--partial", str(tree), "--host", str(board), "--memory", "0x40000000+1G"
    )
    assert len(results) == 1


def test_what_is_given_to_the_domain_is_no_conflict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The device and its interrupt go from nobody to the domain: nothing to report."""
    board, tree = tmp_path / "board.dtb", tmp_path / "pfdt.dtb"
    tree.write_bytes(blob(PARTIAL % ("1", PASSTHROUGH % (ETH % FORCED))))
    chosen = CHOSEN.format(args=CONSOLE, dom0=DOM0, domains=guest(PLAIN + ' xen,enhanced = "no-xenstore";', WITH_TREE))
    board.write_bytes(blob(BOARD + chosen))
    _, results, _ = findings(tmp_path, capsys, str(board), "--partial-dtb", f"domU1={tree}")
    assert not [item for result in results for item in result["findings"] if item["rule"].startswith("D1")]
    shared = BOARD.replace("<0 101 4>", "<0 100 4>")
    board.write_bytes(blob(shared + chosen))
    _, results, _ = findings(tmp_path, capsys, str(board), "--partial-dtb", f"domU1={tree}")
    assert {"D05", "D14"} <= {item["rule"] for item in results[0]["findings"]}
