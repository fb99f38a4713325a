"""The tree of a dom0less domain, or of a toolstack guest, in the guest layout.

Mirrors prepare_dtb_domU, make_gicv2_domU_node, make_gicv3_domU_node and make_vpl011_uart_node
(arch/arm/dom0less-build.c). Left out: what a passthrough module's partial tree would add beside its ranges.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dtanalyze.address.range import AddressRange
from dtanalyze.board.bus import XEN
from dtanalyze.board.model import entry_range
from dtanalyze.board.translate import reg_entries
from dtanalyze.devicetree.cells import CellCounts
from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.devicetree.write import cells, new_node, set_property, strings, to_blob
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
from dtanalyze.xen.vgic import gic_node

__all__ = ["domu_blob"]

_GUEST_EVTCHN_PPI: Final = 15
_GUEST: Final = CellCounts(2, 2)
GUEST_PL011: Final = AddressRange(0x22000000, 0x1000)
_GICV2: Final[tuple[AddressRange, ...]] = (AddressRange(0x3001000, 0x1000), AddressRange(0x3002000, 0x2000))
_GICV3: Final[tuple[AddressRange, ...]] = (AddressRange(0x3001000, 0x10000), AddressRange(0x3020000, 0x1000000))


def domu_blob(
    tree: Tree,
    domu: DomU,
    release: str,
    grant_table: AddressRange,
    regions: Sequence[AddressRange],
    uart: AddressRange | None = None,
) -> bytes:
    """Return the tree of a dom0less domain; a direct-mapped one has its UART where Xen's console, ``uart``, is."""
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
        _uart(root, uart if domu.direct_map and uart is not None else GUEST_PL011)
    _shared_memory(root, domu)
    _passthrough(root, domu)
    if domu.enhanced:
        hypervisor_node(root, version, (grant_table, *regions), _GUEST, GIC_PHANDLE, _GUEST_EVTCHN_PPI)
    return to_blob(root)


def _uart(root: Node, place: AddressRange) -> None:
    """Write the emulated UART (make_vpl011_uart_node)."""
    node = new_node(f"sbsa-uart@{place.start:x}", root, {"compatible": strings("arm,sbsa-uart")})
    set_property(node, "reg", reg_of((AddressRange(place.start, GUEST_PL011.size),), _GUEST))
    set_property(node, "interrupts", cells((0, 0, 0xF << 8 | LEVEL_HIGH)))
    set_property(node, "interrupt-parent", cells((GIC_PHANDLE,)))
    set_property(node, "current-speed", cells((115200,)))


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
    """Write the virtual GIC, of the host's version: in the guest layout, or where the host's is."""
    host = gic_node(tree.root)
    v3 = host is not None and host.is_compatible("arm,gic-v3")
    ranges = _GICV3 if v3 else _GICV2
    if domu.direct_map and host is not None:
        found = [entry_range(entry) for entry in reg_entries(host, XEN)]
        there = [item for item in found if item is not None]
        ranges = tuple(there if v3 else there[:2]) or ranges
    node = new_node(f"interrupt-controller@{ranges[0].start:x}", root)
    set_property(node, "compatible", strings("arm,gic-v3" if v3 else "arm,gic-400"))
    set_property(node, "#address-cells", cells((0,)))
    set_property(node, "#interrupt-cells", cells((3,)))
    set_property(node, "interrupt-controller")
    if v3:
        set_property(node, "#redistributor-regions", cells((len(ranges) - 1 if domu.direct_map else 1,)))
    set_property(node, "reg", reg_of(ranges, _GUEST))
    set_property(node, "linux,phandle", cells((GIC_PHANDLE,)))
    set_property(node, "phandle", cells((GIC_PHANDLE,)))
