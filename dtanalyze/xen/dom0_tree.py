"""dom0's tree: the host's, less what Xen keeps for itself, with what Xen writes anew.

Mirrors handle_node and write_properties (arch/arm/domain_build.c). Left out: where kernel and initrd are placed, which
Xen fills in after the tree is built.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dtanalyze.address.range import AddressRange, RawRange
from dtanalyze.board.bus import XEN
from dtanalyze.board.interrupts import Phandles
from dtanalyze.devicetree.cells import CellCounts, inherited_cells
from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.devicetree.write import cells, new_node, set_property, strings, to_blob
from dtanalyze.xen.arch_timer import find_timer, timer_raw_irqs
from dtanalyze.xen.bootinfo import Bank, BankType, BootInfo
from dtanalyze.xen.command_line import dom0_command_line
from dtanalyze.xen.dt_irq import DtIrqs
from dtanalyze.xen.guest_tree import (
    GUEST_TIMER,
    PSCI,
    cpus_node,
    hypervisor_node,
    memory_node,
    release_of,
    timer_node,
)
from dtanalyze.xen.handle_node import Fate, HostNodes
from dtanalyze.xen.iommu import is_iommu
from dtanalyze.xen.irq import FIRST_PPI, FIRST_SPI
from dtanalyze.xen.platforms import platform_of
from dtanalyze.xen.profile import XenProfile
from dtanalyze.xen.vgic import gic_node, is_gic_v3, used_redistributors, v2m_frames

__all__ = ["dom0_blob"]

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
)
_IOMMU_PROPERTIES: Final = ("iommus", "iommu-map", "iommu-map-mask")


def dom0_blob(
    tree: Tree,
    nodes: HostNodes,
    info: BootInfo,
    profile: XenProfile,
    memory: Sequence[AddressRange],
    grant_table: AddressRange | None,
    regions: Sequence[AddressRange],
    vcpus: int,
) -> bytes:
    """Return dom0's tree."""
    counts = inherited_cells(tree.root, CellCounts(2, 1))
    copy = _HostCopy(tree, nodes, profile, vcpus)
    root = copy.copy(tree.root, None)
    _rewrite_chosen(tree, root, profile)
    gic = gic_node(root)
    phandle = gic.prop("phandle") if gic else None
    ranges = ((grant_table,) if grant_table else ()) + tuple(regions)
    gic_phandle = (phandle.u32 if phandle else None) or 0
    hypervisor_node(root, release_of(profile.name), ranges, counts, gic_phandle, copy.evtchn_ppi())
    new_node("psci", root, PSCI)
    cpus_node(root, tree, vcpus)
    if memory:
        memory_node(f"memory@{memory[0].start:x}", memory, counts, root)
    second = _second_memory(info.reserved_mem)
    if second:
        memory_node(f"memory@{second[0].start:x}", second, counts, root)
    return to_blob(root)


class _HostCopy:
    """The host's nodes as dom0 gets them: dropped, copied, or written anew."""

    def __init__(self, tree: Tree, nodes: HostNodes, profile: XenProfile, vcpus: int) -> None:
        self.tree = tree
        self.nodes = nodes
        self.vcpus = vcpus
        self.v2m_spis = platform_of(tree).v2m_spis
        self.profile = profile
        self.phandles = Phandles.of(tree)

    def copy(self, node: Node, parent: Node | None) -> Node:
        """Return the copy of ``node`` below ``parent`` with what dom0 gets of the nodes below it."""
        made = Node(node.name, parent, 0)
        made.properties = dict(node.properties)
        if made.properties.pop("xen,passthrough", None) is not None:
            set_property(made, "status", strings("disabled"))
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
                timer_node(made, self._gic_phandle(), find_timer(self.tree), self._timer_irqs())
        return made

    def evtchn_ppi(self) -> int:
        """evtchn_allocate takes the first PPI that dom0's timer leaves."""
        taken = self._timer_irqs()
        return next(irq for irq in range(FIRST_PPI, FIRST_SPI) if irq not in taken) - FIRST_PPI

    def _timer_irqs(self) -> tuple[int, ...]:
        """Return the first three of the host's timer; where it lacks one, Xen does not come so far."""
        dt = DtIrqs.of(self.tree, gic_node(self.tree.root))
        raws = timer_raw_irqs(self.tree, self.profile, dt)[: len(GUEST_TIMER)]
        found = [wanted.irq for wanted in map(dt.gic_irq, raws) if wanted is not None]
        return tuple(found) if len(found) == len(GUEST_TIMER) else GUEST_TIMER

    def _gic(self, node: Node, parent: Node) -> None:
        """Write the virtual GIC (make_gic_node): of a GICv2 only the distributor and the CPU interface."""
        made = new_node(node.name if self.profile.gic_node_keeps_name else "interrupt-controller", parent)
        phandle = node.prop("phandle") or node.prop("linux,phandle")
        if phandle is not None:
            set_property(made, "phandle", phandle.value)
        for name in ("#address-cells", "#size-cells"):
            _copy(node, made, name)
        set_property(made, "#interrupt-cells", cells((3,)))  # whatever the host's has
        set_property(made, "interrupt-controller")
        _copy(node, made, "compatible")
        bus = XEN.bus_of(node.parent) if node.parent else None
        entry = 4 * sum(XEN.counts(bus, node.parent)) if bus is not None and node.parent is not None else 0
        regions = len(used_redistributors(node, self.vcpus))
        if is_gic_v3(node):
            set_property(made, "#redistributor-regions", cells((regions,)))
        reg = node.prop("reg")
        set_property(made, "reg", reg.value[: entry * (1 + regions if is_gic_v3(node) else 2)] if reg is not None else b"")
        self._v2m(node, made)

    def _v2m(self, node: Node, made: Node) -> None:
        """Write the MSI frames of a GICv2 with the SPIs that the hardware names (gicv2m_make_dt_node)."""
        frames = v2m_frames(node, self.v2m_spis)
        if frames:
            _copy(node, made, "ranges")
        for frame in frames:
            child = new_node(frame.node.base_name, made)
            set_property(child, "compatible", strings("arm,gic-v2m-frame"))
            set_property(child, "msi-controller")
            for name in ("phandle", "reg"):
                _copy(frame.node, child, name)
            if frame.spis:
                set_property(child, "arm,msi-base-spi", cells((frame.first,)))
                set_property(child, "arm,msi-num-spis", cells((frame.spis,)))

    def _behind_iommu(self, node: Node) -> bool:
        """Tell whether the node's IOMMU is one that Xen drives, and so keeps from dom0."""
        target = self._phandle(node, "iommus", 0)
        if target is None and self.profile.iommu_map_hidden:
            target = self._phandle(node, "iommu-map", 1)
        return target is not None and is_iommu(target, self.profile)

    def _phandle(self, node: Node, name: str, at: int) -> Node | None:
        """dt_parse_phandle: the node that a cell of the property names."""
        prop = node.prop(name)
        return self.phandles.node(prop.cells[at]) if prop is not None and len(prop.cells) > at else None

    def _gic_phandle(self) -> int:
        return next((number for number, node in self.phandles.items() if self.nodes.fate(node) is Fate.GIC), 0)


def _copy(source: Node, made: Node, name: str) -> None:
    prop = source.prop(name)
    if prop is not None:
        set_property(made, name, prop.value)


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


def _rewrite_chosen(tree: Tree, root: Node, profile: XenProfile) -> None:
    chosen = root.child("chosen")
    source = tree.root.child("chosen")
    if chosen is None or source is None:
        return
    args = dom0_command_line(tree)
    for name in (*_CHOSEN_DROPPED, *(("xen,static-heap",) if profile.dom0less_nodes_skipped else ())):
        chosen.properties.pop(name, None)
    if args.where:
        set_property(chosen, "bootargs", strings(args.text))
