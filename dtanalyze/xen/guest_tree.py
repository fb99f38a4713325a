"""The tree that Xen writes for a domain, built with the ``fdt`` package and read again like any other.

Mirrors handle_node, write_properties, make_hypervisor_node, make_memory_node, make_cpus_node (arch/arm/domain_build.c)
for dom0 and prepare_dtb_domU for dom0less domains, as far as Linux's placement of scratch pages can see them. Left out:
kernel and initrd placement, interrupts other than the event channel's, phandles of nodes that Xen does not reuse.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from dtanalyze.address.range import AddressRange, RawRange
from dtanalyze.board.bus import XEN
from dtanalyze.board.cpus import cpu_nodes
from dtanalyze.board.interrupts import GIC_COMPATIBLE, Phandles
from dtanalyze.devicetree.cells import CellCounts, inherited_cells
from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.devicetree.write import cells, copy_node, new_node, set_property, strings, to_blob
from dtanalyze.xen.bootinfo import Bank, BankType, BootInfo
from dtanalyze.xen.dom0less import DomU
from dtanalyze.xen.handle_node import IOMMU_COMPATIBLE, Fate, HostNodes
from dtanalyze.xen.profile import XenProfile

__all__ = ["dom0_blob", "domu_blob", "with_memory"]

_CHOSEN_DROPPED: Final = (
    "xen,xen-bootargs",
    "linux,initrd-start",
    "linux,initrd-end",
    "stdout-path",
    "linux,uefi-system-table",
    "linux,uefi-mmap-start",
    "linux,uefi-mmap-size",
    "linux,uefi-mmap-desc-size",
    "linux,uefi-mmap-desc-ver",
    "xen,dom0-bootargs",
    "bootargs",
    "xen,static-heap",
)
_GIC_PHANDLE: Final = 65000
_DOM0_EVTCHN_PPI: Final = 0
"""evtchn_allocate takes the first PPI that no node of dom0 uses."""
_GUEST_EVTCHN_PPI: Final = 15
_LEVEL_LOW: Final = 8
_LEVEL_HIGH: Final = 4
_GUEST: Final = CellCounts(2, 2)
_PSCI: Final[dict[str, bytes]] = {
    "compatible": strings("arm,psci-1.0", "arm,psci-0.2", "arm,psci"),
    "method": strings("hvc"),
    "cpu_off": cells((1,)),
    "cpu_on": cells((2,)),
}
_GIC_KEPT: Final[tuple[str, ...]] = (
    "phandle",
    "linux,phandle",
    "#address-cells",
    "#size-cells",
    "#interrupt-cells",
    "interrupt-controller",
    "compatible",
    "#redistributor-regions",
    "redistributor-stride",
    "reg",
)
_IOMMU_PROPERTIES: Final = ("iommus", "iommu-map", "iommu-map-mask")


def with_memory(tree: Tree, ranges: Iterable[AddressRange]) -> bytes:
    """Return the tree with its memory nodes replaced by one node for each of ``ranges``, as a boot loader fills them."""
    counts = inherited_cells(tree.root, CellCounts(2, 1))
    root = copy_node(
        tree.root,
        None,
        lambda node: node.parent is not tree.root or not (node.base_name == "memory" or node.device_type == "memory"),
    )
    made = [_memory_node(f"memory@{item.start:x}", (item,), counts, root) for item in sorted(ranges)]
    root.children[:] = made + [child for child in root.children if child not in made]
    return to_blob(root, [raw for raw, _ in tree.reservations], tree.boot_cpuid)


def _number(value: int, count: int) -> tuple[int, ...]:
    """Return ``value`` in ``count`` cells; with one cell it is silently cut to 32 bits, as dt_set_cell does."""
    return tuple(value >> 32 * (count - 1 - place) & 0xFFFFFFFF for place in range(count))


def _reg(ranges: Iterable[AddressRange | RawRange], counts: CellCounts) -> bytes:
    return cells(
        cell for item in ranges for cell in (*_number(item.start, counts.address), *_number(item.size, counts.size))
    )


def _memory_node(name: str, ranges: Sequence[AddressRange | RawRange], counts: CellCounts, parent: Node) -> Node:
    return new_node(name, parent, {"device_type": strings("memory"), "reg": _reg(ranges, counts)})


def _hypervisor(
    parent: Node, release: str, ranges: Sequence[AddressRange], counts: CellCounts, gic_phandle: int, ppi: int
) -> None:
    node = new_node("hypervisor", parent)
    set_property(node, "compatible", strings(f"xen,xen-{release}", "xen,xen"))
    set_property(node, "reg", _reg(ranges, counts))
    set_property(node, "interrupts", _ppi(ppi))
    set_property(node, "interrupt-parent", cells((gic_phandle,)))


def _release(name: str) -> str:
    """Return the version as the hypervisor node spells it: major and minor."""
    return ".".join(name.split(".")[:2]) if name[0].isdigit() else "4.22"


def dom0_blob(
    tree: Tree,
    nodes: HostNodes,
    info: BootInfo,
    profile: XenProfile,
    memory: Sequence[AddressRange],
    grant_table: AddressRange | None,
    regions: Sequence[AddressRange],
    vcpus: int | None,
) -> bytes:
    """Return dom0's tree."""
    counts = inherited_cells(tree.root, CellCounts(2, 1))
    root = _HostCopy(tree, nodes, profile).copy(tree.root, None)
    _rewrite_chosen(tree, root)
    gic = next((node for node in root if any(node.is_compatible(name) for name in GIC_COMPATIBLE)), None)
    phandle = gic.prop("phandle") if gic else None
    ranges = ((grant_table,) if grant_table else ()) + tuple(regions)
    gic_phandle = (phandle.u32 if phandle else None) or _GIC_PHANDLE
    _hypervisor(root, _release(profile.name), ranges, counts, gic_phandle, _DOM0_EVTCHN_PPI)
    new_node("psci", root, _PSCI)
    _cpus(root, tree, vcpus or len(cpu_nodes(tree)) or 1)
    if memory:
        _memory_node(f"memory@{memory[0].start:x}", memory, counts, root)
    second = _second_memory(info.reserved_mem)
    if second:
        _memory_node(f"memory@{second[0].start:x}", second, counts, root)
    return to_blob(root)


class _HostCopy:
    """The host's nodes as dom0 gets them: dropped, copied, or written anew."""

    def __init__(self, tree: Tree, nodes: HostNodes, profile: XenProfile) -> None:
        self.nodes = nodes
        self.profile = profile
        self.phandles = Phandles(tree)

    def copy(self, node: Node, parent: Node | None) -> Node:
        """Return the copy of ``node`` below ``parent`` with what dom0 gets of the nodes below it."""
        made = Node(node.name, parent, 0)
        made.properties = dict(node.properties)
        if self._behind_iommu(node):
            for name in _IOMMU_PROPERTIES:
                made.properties.pop(name, None)
        if parent is not None:
            parent.children.append(made)
        for child in node.children:
            fate = self.nodes.fate(child)
            if fate is Fate.KEPT:
                self.copy(child, made)
            elif fate is Fate.GIC:
                self._gic(child, made)
            elif fate is Fate.TIMER:
                _timer(made, self._gic_phandle())
        return made

    def _gic(self, node: Node, parent: Node) -> None:
        """Write the virtual GIC: of a GICv2 only the distributor and the CPU interface."""
        kept = {name: node.properties[name].value for name in _GIC_KEPT if name in node.properties}
        bus = XEN.bus_of(node.parent) if node.parent else None
        if "reg" in kept and bus is not None and node.parent is not None and not node.is_compatible("arm,gic-v3"):
            kept["reg"] = kept["reg"][: 2 * 4 * sum(XEN.counts(bus, node.parent))]
        new_node(node.name if self.profile.gic_node_keeps_name else "interrupt-controller", parent, kept)

    def _behind_iommu(self, node: Node) -> bool:
        """Tell whether the node's IOMMU is one that Xen drives, and so keeps from dom0."""
        for name, at in (("iommus", 0), ("iommu-map", 1)):
            prop = node.prop(name)
            target = self.phandles.node(prop.cells[at]) if prop is not None and len(prop.cells) > at else None
            if target is not None and any(target.is_compatible(item) for item in IOMMU_COMPATIBLE):
                return True
        return False

    def _gic_phandle(self) -> int:
        return next((number for number, node in self.phandles.items() if self.nodes.fate(node) is Fate.GIC), _GIC_PHANDLE)


def _ppi(number: int) -> bytes:
    """Return the specifier of a PPI, active low, for all CPUs."""
    return cells((1, number, 0xF << 8 | _LEVEL_LOW))


def _timer(parent: Node, gic_phandle: int) -> None:
    """Write the architected timer: secure, non-secure and virtual, always the same PPIs."""
    node = new_node("timer", parent, {"compatible": strings("arm,armv8-timer")})
    set_property(node, "interrupts", _ppi(13) + _ppi(14) + _ppi(11))
    set_property(node, "interrupt-parent", cells((gic_phandle,)))


def _second_memory(reserved: Sequence[Bank]) -> list[RawRange]:
    """Return the ranges of the node over reserved memory; nothing when no bank is an ordinary one."""
    first = next((at for at, bank in enumerate(reserved) if bank.type is BankType.DEFAULT), None)
    if first is None:
        return []
    return [
        RawRange(bank.start, bank.size)
        for bank in reserved[first:]
        if bank.type not in (BankType.STATIC_DOMAIN, BankType.FDT_RESVMEM)
    ]


def _rewrite_chosen(tree: Tree, root: Node) -> None:
    chosen = root.child("chosen")
    source = tree.root.child("chosen")
    if chosen is None or source is None:
        return
    args = _dom0_bootargs(source)
    for name in _CHOSEN_DROPPED:
        chosen.properties.pop(name, None)
    if args is not None:
        set_property(chosen, "bootargs", strings(args))


def _dom0_bootargs(chosen: Node) -> str | None:
    for node in chosen.children:
        prop = node.prop("bootargs")
        if node.is_compatible("multiboot,kernel") and prop is not None and prop.string:
            return prop.string
    found = chosen.prop("xen,dom0-bootargs") or chosen.prop("bootargs")
    return found.string if found else None


def _cpus(root: Node, tree: Tree, count: int) -> None:
    host = next(iter(cpu_nodes(tree)), None)
    compatible = host.prop("compatible") if host else None
    cpus = new_node("cpus", root)
    set_property(cpus, "#address-cells", cells((1,)))
    set_property(cpus, "#size-cells", cells((0,)))
    for cpu in range(count):
        node = new_node(f"cpu@{cpu:x}", cpus)
        if compatible is not None:
            set_property(node, "compatible", compatible.value)
        set_property(node, "device_type", strings("cpu"))
        set_property(node, "reg", cells((cpu,)))
        set_property(node, "enable-method", strings("psci"))


def domu_blob(
    tree: Tree,
    domu: DomU,
    release: str,
    grant_table: AddressRange,
    regions: Sequence[AddressRange],
) -> bytes:
    """Return the tree of a dom0less domain."""
    version = _release(release)
    root = Node("", None, 0)
    set_property(root, "#address-cells", cells((2,)))
    set_property(root, "#size-cells", cells((2,)))
    chosen = new_node("chosen", root)
    if domu.bootargs:
        set_property(chosen, "bootargs", strings(domu.bootargs))
    new_node("psci", root, _PSCI)
    _cpus(root, tree, domu.cpus)
    if domu.memory:
        _memory_node(f"memory@{domu.memory[0].start:x}", domu.memory, _GUEST, root)
    _guest_gic(root, tree, domu)
    _timer(root, _GIC_PHANDLE)
    if domu.vpl011:
        uart = new_node("sbsa-uart@22000000", root, {"compatible": strings("arm,sbsa-uart")})
        set_property(uart, "reg", _reg((AddressRange(0x22000000, 0x1000),), _GUEST))
        set_property(uart, "interrupts", cells((0, 0, 0xF << 8 | _LEVEL_HIGH)))
        set_property(uart, "interrupt-parent", cells((_GIC_PHANDLE,)))
        set_property(uart, "current-speed", cells((115200,)))
    _passthrough(root, domu)
    if domu.enhanced:
        _hypervisor(root, version, (grant_table, *regions), _GUEST, _GIC_PHANDLE, _GUEST_EVTCHN_PPI)
    return to_blob(root)


def _passthrough(root: Node, domu: DomU) -> None:
    """Write a node for each range passed through: the partial tree that describes it is not in the host's."""
    if not domu.passed_through:
        return
    bus = new_node("passthrough", root, {"compatible": strings("simple-bus"), "ranges": b""})
    set_property(bus, "#address-cells", cells((2,)))
    set_property(bus, "#size-cells", cells((2,)))
    for item in domu.passed_through:
        new_node(f"mmio@{item.start:x}", bus, {"reg": _reg((item,), _GUEST)})


def _guest_gic(root: Node, tree: Tree, domu: DomU) -> None:
    """Write the virtual GIC at its place in the guest layout, of the host's version."""
    v3 = any(node.is_compatible("arm,gic-v3") for node in tree.root)
    if v3:
        ranges = (AddressRange(0x3001000, 0x10000), AddressRange(0x3020000, 0x1000000))
    else:
        ranges = (AddressRange(0x3001000, 0x1000), AddressRange(0x3002000, 0x2000))
    if domu.direct_map:
        host = next((node for node in tree.root if any(node.is_compatible(name) for name in GIC_COMPATIBLE)), None)
        if host is not None:
            copy = copy_node(host, root)
            copy.children.clear()
            return
    node = new_node("interrupt-controller@3001000", root)
    set_property(node, "compatible", strings("arm,gic-v3" if v3 else "arm,gic-400"))
    set_property(node, "#address-cells", cells((0,)))
    set_property(node, "#interrupt-cells", cells((3,)))
    set_property(node, "interrupt-controller")
    if v3:
        set_property(node, "#redistributor-regions", cells((1,)))
    set_property(node, "reg", _reg(ranges, _GUEST))
    set_property(node, "linux,phandle", cells((_GIC_PHANDLE,)))
    set_property(node, "phandle", cells((_GIC_PHANDLE,)))
