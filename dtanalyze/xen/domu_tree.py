"""The tree of a dom0less domain, or of a toolstack guest, in the guest layout.

Mirrors prepare_dtb_domU, make_gicv2_domU_node, make_gicv3_domU_node and make_vpl011_uart_node
(arch/arm/dom0less-build.c). Left out: what a passthrough module's partial tree would add beside its ranges.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dtanalyze.address.range import AddressRange
from dtanalyze.board.interrupts import GIC_COMPATIBLE
from dtanalyze.devicetree.cells import CellCounts
from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.devicetree.write import cells, copy_node, new_node, set_property, strings, to_blob
from dtanalyze.xen.dom0less import DomU
from dtanalyze.xen.guest_tree import (
    GIC_PHANDLE,
    LEVEL_HIGH,
    PSCI,
    cpus_node,
    hypervisor_node,
    memory_node,
    reg_of,
    release_of,
    timer_node,
)

__all__ = ["domu_blob"]

_GUEST_EVTCHN_PPI: Final = 15
_GUEST: Final = CellCounts(2, 2)


def domu_blob(
    tree: Tree,
    domu: DomU,
    release: str,
    grant_table: AddressRange,
    regions: Sequence[AddressRange],
) -> bytes:
    """Return the tree of a dom0less domain."""
    version = release_of(release)
    root = Node("", None, 0)
    set_property(root, "#address-cells", cells((2,)))
    set_property(root, "#size-cells", cells((2,)))
    chosen = new_node("chosen", root)
    if domu.bootargs:
        set_property(chosen, "bootargs", strings(domu.bootargs))
    new_node("psci", root, PSCI)
    cpus_node(root, tree, domu.cpus)
    if domu.memory:
        memory_node(f"memory@{domu.memory[0].start:x}", domu.memory, _GUEST, root)
    _guest_gic(root, tree, domu)
    timer_node(root, GIC_PHANDLE)
    if domu.vpl011:
        uart = new_node("sbsa-uart@22000000", root, {"compatible": strings("arm,sbsa-uart")})
        set_property(uart, "reg", reg_of((AddressRange(0x22000000, 0x1000),), _GUEST))
        set_property(uart, "interrupts", cells((0, 0, 0xF << 8 | LEVEL_HIGH)))
        set_property(uart, "interrupt-parent", cells((GIC_PHANDLE,)))
        set_property(uart, "current-speed", cells((115200,)))
    _shared_memory(root, domu)
    _passthrough(root, domu)
    if domu.enhanced:
        hypervisor_node(root, version, (grant_table, *regions), _GUEST, GIC_PHANDLE, _GUEST_EVTCHN_PPI)
    return to_blob(root)


def _shared_memory(root: Node, domu: DomU) -> None:
    """Write /reserved-memory with the static shared memory (make_shm_memory_node)."""
    if not domu.shared:
        return
    parent = new_node("reserved-memory", root, {"ranges": b""})
    set_property(parent, "#address-cells", cells((2,)))
    set_property(parent, "#size-cells", cells((2,)))
    for item in domu.shared:
        node = new_node(f"xen-shmem@{item.start:x}", parent, {"compatible": strings("xen,shared-memory-v1")})
        set_property(node, "reg", reg_of((item,), _GUEST))


def _passthrough(root: Node, domu: DomU) -> None:
    """Write a node for each range passed through: the partial tree that describes it is not in the host's."""
    if not domu.passed_through:
        return
    bus = new_node("passthrough", root, {"compatible": strings("simple-bus"), "ranges": b""})
    set_property(bus, "#address-cells", cells((2,)))
    set_property(bus, "#size-cells", cells((2,)))
    for item in domu.passed_through:
        new_node(f"mmio@{item.start:x}", bus, {"reg": reg_of((item,), _GUEST)})


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
    set_property(node, "reg", reg_of(ranges, _GUEST))
    set_property(node, "linux,phandle", cells((GIC_PHANDLE,)))
    set_property(node, "phandle", cells((GIC_PHANDLE,)))
