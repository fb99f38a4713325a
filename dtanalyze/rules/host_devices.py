"""Rules about the nodes and buses of the tree that Xen boots with: what stops it or costs dom0 its regions."""

from collections.abc import Iterator
from typing import Final

from dtanalyze.address.range import AddressRange, RawRange
from dtanalyze.address.units import GIB, format_range
from dtanalyze.board.build import pci_windows
from dtanalyze.board.bus import LINUX, XEN
from dtanalyze.board.translate import RegEntry, Untranslatable
from dtanalyze.devicetree.cells import inherited_cells
from dtanalyze.devicetree.tree import Node
from dtanalyze.findings import Cure, Severity, Source
from dtanalyze.rules.cures.changes import empty_change, string_change
from dtanalyze.rules.cures.memory import placeholder_cures
from dtanalyze.rules.cures.ranges import address_advice, address_cures, bus_cures, stray_addresses
from dtanalyze.rules.examples import IOMMU_ON, host, host_with_whole_holes
from dtanalyze.rules.model import HOST, MOST, QUOTES_XEN, Example, Hit, Hits, Rule, rule
from dtanalyze.rules.view import HostView, property_offset
from dtanalyze.xen.handle_node import Failure, Fate

__all__ = ["HANDLE_NODE", "HOST_DEVICES", "failures_of_kind"]

HANDLE_NODE: Final = Source("Xen", "xen/arch/arm/domain_build.c", "handle_node, handle_device", "4.16 to 4.22")
_HOLES: Final = Source("Xen", "xen/arch/arm/domain_build.c", "find_memory_holes", "4.16 to 4.22")
_NODE_LIMIT: Final = 8


def _root_cells(view: HostView) -> tuple[int | None, int | None]:
    root = view.board.tree.root
    found = (root.prop("#address-cells"), root.prop("#size-cells"))
    return (found[0].u32 if found[0] else None), (found[1].u32 if found[1] else None)


@rule(
    "X18",
    "addresses-cut-to-32-bits",
    Severity.ERROR,
    HOST,
    what="The root has one address cell, but RAM or an extended region lies above 4 GiB.",
    why="Xen writes the guests' nodes with the root's cells and cuts addresses to 32 bits without a message. dom0 then "
    "looks for RAM or regions in the wrong place.",
    advice="Give the root #address-cells = <2> and #size-cells = <2>.",
    sources=(Source("Xen", "xen/common/device-tree/device-tree.c", "dt_set_cell", "4.16 to 4.22"),),
    bad=Example(
        "#address-cells = <1>; #size-cells = <1>; "
        'memory@40000000 { device_type = "memory"; reg = <0x40000000 0x80000000>; }; '
        'interrupt-controller@3001000 { compatible = "arm,gic-v3"; #interrupt-cells = <3>; interrupt-controller; '
        "reg = <0x3001000 0x10000>, <0x3020000 0x1000000>; };",
        asks=IOMMU_ON,
    ),
    good=Example(host_with_whole_holes(), asks=IOMMU_ON),
)
def addresses_cut_to_32_bits(view: HostView) -> Hits:
    if not view.first or _root_cells(view)[0] != 1:
        return
    high = [AddressRange(bank.start, bank.size) for bank in view.prediction.info.mem if bank.stop > 4 * GIB]
    high += [item for item in view.prediction.regions.ranges if item.stop > 4 * GIB]
    if high:
        spans = ", ".join(format_range(item.start, item.stop) for item in high[:_NODE_LIMIT])
        yield Hit(f"the root has #address-cells 1, which cannot say {spans}", "/", tuple(high), property_offset(
            view.board.tree.root, "#address-cells"))  # fmt: skip


@rule(
    "X19",
    "root-cells-unusable",
    Severity.ERROR,
    HOST,
    what="The root's #address-cells or #size-cells is neither 1 nor 2.",
    why='Xen cannot read RAM or write a guest tree with such cells ("Cannot cope with this size"). Linux takes the '
    "first of three cells for flags.",
    advice="Give the root #address-cells = <2> and #size-cells = <2>.",
    sources=(Source("Xen", "xen/common/device-tree/device-tree.c", "dt_next_cell, dt_set_cell", "4.16 to 4.22"),),
    bad=Example(host(cells="#address-cells = <3>; #size-cells = <2>;").replace("<0x0 0x", "<0x0 0x0 0x")),
    good=Example(host()),
)
def root_cells_unusable(view: HostView) -> Hits:
    for name, count in zip(("#address-cells", "#size-cells"), _root_cells(view), strict=True):
        if view.first and count is not None and count not in (1, 2):
            yield Hit(f"the root has {name} {count}", "/", (), property_offset(view.board.tree.root, name))


@rule(
    "X27",
    "node-that-xen-adds-is-there",
    Severity.WARNING,
    HOST,
    what="The host tree already has a /hypervisor or /psci node, and Xen copies it.",
    why="Xen warns, copies the node, and adds its own beside it. dom0 gets two nodes with one path and reads whichever "
    "comes first.",
    advice="Remove the node from the host tree.",
    sources=(HANDLE_NODE,),
    bad=Example(host('psci { method = "smc"; };')),
    good=Example(host('psci { compatible = "arm,psci-1.0"; method = "smc"; };')),
)
def node_that_xen_adds_is_there(view: HostView) -> Hits:
    for name in ("hypervisor", "psci"):
        node = view.board.tree.root.child(name)
        if view.first and node is not None and view.prediction.nodes.fate(node) is Fate.KEPT:
            yield Hit(f"Xen copies {node.path} into dom0's tree, beside the one that it adds", node.path, (), node.offset)


def _zero_sized(view: HostView) -> Iterator[tuple[Node, RegEntry]]:
    for node, entries in view.entries:
        for entry in entries:
            if entry.size == 0 and entry.address is not None:
                yield node, entry


_FIRMWARE: Final = "firmware@0 {{ reg = <0x0 0x0 0x0 {size}>; }};"


@rule(
    "X33",
    "reg-of-size-zero",
    Severity.ERROR,
    HOST,
    what="A reg has size zero, and Xen looks for holes in the address space (an IOMMU is on).",
    why="At address 0 Xen's removal of the range wraps and deletes the whole address space: Xen finds no region. Elsewhere "
    "it splits the hole, or a release build of Xen reads through a NULL pointer.",
    advice="Remove the placeholder, or let the boot loader fill it in before Xen starts.",
    sources=(_HOLES, Source("Xen", "xen/common/rangeset.c", "rangeset_remove_range", "4.16 to 4.22")),
    bad=Example(host_with_whole_holes(_FIRMWARE.format(size="0x0")), asks=IOMMU_ON),
    good=Example(host_with_whole_holes(_FIRMWARE.format(size="0x8000000")), asks=IOMMU_ON),
)
def reg_of_size_zero(view: HostView) -> Hits:
    if not view.first or not view.looks_for_holes:
        return
    regions = view.prediction.regions
    if regions.error in ("EINVAL", "ERANGE"):
        return  # the search ends for another reason
    filled = any(bank.node.count("/") == 1 for bank in view.prediction.info.mem)
    for node, entry in _zero_sized(view):
        if node.device_type == "memory" and not filled:
            continue  # the placeholder that a boot loader fills in
        found = RawRange(entry.address or 0, 0)
        if regions.error is None:
            text = "which splits the hole around it"
        elif regions.error == "crash":
            text = "and Xen crashes there in its search for holes"
        else:
            text = "and Xen's search for holes finds none"
        severity = Severity.WARNING if regions.error is None else None
        said = f"{node.path} has an entry of size zero at {found.start:#x}, {text}"
        yield Hit(said, node.path, (found,), entry.offset, severity, cures=tuple(placeholder_cures(node)))


def failures_of_kind(view: HostView, kind: str) -> list[Failure]:
    """Return what would stop dom0's construction for one kind of reason."""
    dom0 = view.first and view.prediction.domain == "dom0"
    return [item for item in view.prediction.nodes.failures if item.kind == kind] if dom0 else []


_SOC: Final = (
    'soc {{ compatible = "simple-bus"; #address-cells = <1>; #size-cells = <1>; ranges = <0x0 0x0 0x0 0x10000000>; '
    "spi@{at} {{ reg = <0x{at} 0x1000>; }}; }};"
)


@rule(
    "X34",
    "address-not-covered-by-ranges",
    Severity.ERROR,
    HOST,
    what="The ranges of the buses above a node do not cover its address.",
    why="Xen maps every node into dom0, disabled or not, and panics at the first address that it cannot translate. With an "
    "IOMMU the search for holes ends there too, even at nodes that Xen keeps from dom0.",
    advice="Extend the bus's `ranges` so that it covers the address, or remove the node.",
    sources=(HANDLE_NODE, _HOLES),
    bad=Example(host(_SOC.format(at="20000000"))),
    good=Example(host(_SOC.format(at="5000000"))),
)
def address_not_covered_by_ranges(view: HostView) -> Hits:
    lines = {id(item.node): "; ".join(item.lines) for item in failures_of_kind(view, "address")}
    if not lines and not (view.first and view.looks_for_holes):
        return
    stray = stray_addresses(view)
    of_bus = bus_cures(view, stray)
    told: set[int] = set()
    for node, entry in stray:
        where = entry.where
        if id(node) in told or not isinstance(where, Untranslatable) or (id(node) not in lines and not view.looks_for_holes):
            continue
        told.add(id(node))
        line = lines.get(id(node))
        cures = address_cures(view, node, entry, of_bus) if len(told) <= MOST else ()
        then = f"{QUOTES_XEN}{line}" if line else "; Xen's search for holes ends there and dom0 gets no extended region"
        yield Hit(
            f"{node.path} (reg[{entry.nth}]): {where.reason}{then}",
            node.path,
            (),
            entry.offset,
            advice=address_advice(view, where, cures),
            cures=cures,
        )


_PCIE: Final = (
    'pcie@10000000 {{ compatible = "pci-host-ecam-generic"; {kind} interrupt-parent = <1>; '
    "#address-cells = <3>; #size-cells = <2>; reg = <0x0 0x10000000 0x0 0x1000000>; "
    "ranges = <0x2000000 0x0 0x20000000 0x0 0x20000000 0x0 0x8000000>; }};"
)
_IS_PCI: Final = 'device_type = "pci";'


@rule(
    "X35",
    "pci-host-without-device-type",
    Severity.ERROR,
    HOST,
    what='A PCI host bridge has no device_type = "pci".',
    why="Linux knows the bridge by its name. Xen's search for holes goes by device_type, and offers the bridge's windows "
    "as unused space. Scratch pages then land on PCI devices.",
    advice='Add `device_type = "pci";` to the node in the tree that Xen gets.',
    sources=(_HOLES,),
    bad=Example(host(_PCIE.format(kind="")), asks=IOMMU_ON),
    good=Example(
        host_with_whole_holes(
            _PCIE.format(kind=_IS_PCI).replace("10000000", "46000000").replace("0x20000000", "0x48000000")
        ),
        asks=IOMMU_ON,
    ),
)
def pci_host_without_device_type(view: HostView) -> Hits:
    if not view.first:
        return
    for node in view.board.tree.root:
        if node.device_type == "pci" or not _looks_like_pci_host(node):
            continue
        windows = tuple(found for window in pci_windows(node, LINUX) if window.space and (found := window.range) is not None)
        offered = [item for item in windows if any(item.overlaps(region) for region in view.prediction.regions.ranges)]
        if windows and view.looks_for_holes:
            yield Hit(
                f'{node.path} is a PCI host bridge without device_type = "pci": Xen does not leave out its windows '
                + ", ".join(format_range(item.start, item.stop) for item in windows),
                node.path,
                windows,
                property_offset(node, "ranges"),
                None if offered else Severity.WARNING,
                cures=(Cure((string_change(node.path, "device_type", "pci"),)),),
            )


def _looks_like_pci_host(node: Node) -> bool:
    return node.base_name in ("pcie", "pci") and node.prop("ranges") is not None and node.available and (
        node.prop("bus-range") is not None or any("pci" in name for name in node.compatible)
    )  # fmt: skip


_BUS: Final = (
    'soc {{ compatible = "simple-bus"; #address-cells = <1>; #size-cells = <1>; {ranges} '
    "spi@5000000 {{ reg = <0x5000000 0x1000>; }}; }};"
)


@rule(
    "X36",
    "bus-without-ranges",
    Severity.WARNING,
    HOST,
    what="Enabled devices lie behind a simple-bus that has no ranges.",
    why="Without ranges Xen sees no CPU addresses for these devices. It neither leaves them out of the regions nor maps "
    "them into dom0.",
    advice="Add an empty `ranges;` to the bus if its addresses are the CPU's.",
    sources=(HANDLE_NODE, _HOLES),
    bad=Example(host(_BUS.format(ranges=""))),
    good=Example(host(_BUS.format(ranges="ranges;"))),
)
def bus_without_ranges(view: HostView) -> Hits:
    if not view.first:
        return
    for node in view.board.tree.root:
        if node.parent is None or node.prop("ranges") is not None or not node.is_compatible("simple-bus"):
            continue
        counts = inherited_cells(node, XEN.root_default)
        hidden = [child for child in node.children if child.available and child.prop("reg") is not None]
        if counts.size and hidden and node.path_available:
            names = ", ".join(child.path for child in hidden[:_NODE_LIMIT])
            yield Hit(
                f"{node.path} has no ranges, so Xen does not see {names}",
                node.path,
                (),
                node.offset,
                cures=(Cure((empty_change(node, "ranges"),), f"The addresses below {node.path} are the CPU's."),),
            )


HOST_DEVICES: Final[tuple[Rule, ...]] = (
    addresses_cut_to_32_bits,
    root_cells_unusable,
    node_that_xen_adds_is_there,
    reg_of_size_zero,
    address_not_covered_by_ranges,
    pci_host_without_device_type,
    bus_without_ranges,
)
