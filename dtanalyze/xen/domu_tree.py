"""The tree of a dom0less domain, or of a toolstack guest, in the guest layout.

Mirrors prepare_dtb_domU, make_gicv2_domU_node, make_gicv3_domU_node, make_vpl011_uart_node and make_resv_memory_node
(arch/arm/dom0less-build.c, from 4.21 common/device-tree too). Left out: where the ramdisk lies, which Xen fills in once the
kernel is placed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from dtanalyze.address.range import AddressRange
from dtanalyze.board.bus import XEN
from dtanalyze.board.model import entry_range
from dtanalyze.board.translate import reg_entries
from dtanalyze.devicetree.cells import CellCounts
from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.devicetree.write import cells, new_node, set_property, strings, to_blob
from dtanalyze.xen.dom0less import DomU, SharedMemory
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
from dtanalyze.xen.partial_tree import Copied
from dtanalyze.xen.profile import XenProfile
from dtanalyze.xen.vgic import gic_node, is_gic_v3, used_redistributors

__all__ = ["GUEST_PL011", "HostUart", "domu_blob", "domu_tree", "guest_gic"]

_GUEST_EVTCHN_PPI: Final = 15
_GUEST: Final = CellCounts(2, 2)
GUEST_PL011: Final = AddressRange(0x22000000, 0x1000)
_GICV2: Final[tuple[AddressRange, ...]] = (AddressRange(0x3001000, 0x1000), AddressRange(0x3002000, 0x2000))
_GICV3: Final[tuple[AddressRange, ...]] = (AddressRange(0x3001000, 0x10000), AddressRange(0x3020000, 0x1000000))


class HostUart(NamedTuple):
    """The registers and the interrupt of Xen's console, which a direct-mapped domain's emulated UART takes over."""

    range: AddressRange
    irq: int


def domu_tree(
    tree: Tree,
    domu: DomU,
    profile: XenProfile,
    grant_table: AddressRange,
    regions: Sequence[AddressRange],
    uart: HostUart | None = None,
    partial: tuple[Node, Copied] | None = None,
) -> Node:
    """Return the root of the tree of a dom0less domain.

    ``partial`` is what was copied of a partial tree, below a root of its own. A release that leaves a node open there writes
    what follows into that node.
    """
    root = Node("", None, 0)
    set_property(root, "#address-cells", cells((2,)))
    set_property(root, "#size-cells", cells((2,)))
    at, phandle = root, partial[1].gic_phandle if partial else GIC_PHANDLE
    if profile.partial_tree_first and partial is not None:
        at = _with_partial(root, *partial)
    chosen = new_node("chosen", at)
    if domu.bootargs:
        set_property(chosen, "bootargs", strings(domu.bootargs))
    if profile.psci_before_cpus:
        new_node("psci", at, PSCI)
    cpus_node(at, tree, domu.cpus)
    _memory(at, domu, profile)
    _shared_memory(at, domu.shm)
    if not profile.partial_tree_first and partial is not None:
        at = _with_partial(root, *partial)
    if partial is None:
        _passthrough(at, domu)
    _guest_gic(at, tree, domu, profile, phandle)
    timer_node(at, phandle)
    _last_nodes(at, domu, profile, grant_table, regions, uart, phandle)
    return root


def domu_blob(root: Node) -> bytes:
    """Return the tree as bytes."""
    return to_blob(root)


def _last_nodes(
    at: Node,
    domu: DomU,
    profile: XenProfile,
    grant_table: AddressRange,
    regions: Sequence[AddressRange],
    uart: HostUart | None,
    phandle: int,
) -> None:
    own = HostUart(GUEST_PL011, 32) if not domu.direct_map or uart is None else uart
    if profile.psci_before_cpus and domu.vpl011:
        _uart(at, own, profile, phandle)
    if domu.enhanced:
        version = release_of(profile.name)
        hypervisor_node(at, version, (grant_table, *regions), _GUEST, phandle, _GUEST_EVTCHN_PPI)
    if not profile.psci_before_cpus:
        new_node("psci", at, PSCI)
        if domu.vpl011:
            _uart(at, own, profile, phandle)


def _with_partial(root: Node, copied_root: Node, copied: Copied) -> Node:
    """Move what was copied below ``root``; return the node in which Xen goes on."""
    for child in copied_root.children:
        child.parent = root
        root.children.append(child)
    return root if copied.at is copied_root else copied.at


def _passthrough(at: Node, domu: DomU) -> None:
    """Write a node for each range that is passed through where its partial tree is not known."""
    if not domu.passed_through:
        return
    bus = new_node("passthrough", at, {"compatible": strings("simple-bus"), "ranges": b""})
    set_property(bus, "#address-cells", cells((2,)))
    set_property(bus, "#size-cells", cells((2,)))
    for item in domu.passed_through:
        new_node(f"mmio@{item.start:x}", bus, {"reg": reg_of((item,), _GUEST)})


def _memory(at: Node, domu: DomU, profile: XenProfile) -> None:
    """Write the memory node, static shared memory included (shm_mem_node_fill_reg_range)."""
    shared = domu.shared if profile.shm_in_memory_node else ()
    if domu.memory:
        memory_node(f"memory@{domu.memory[0].start:x}", (*domu.memory, *shared), _GUEST, at)


def _named(name: str, address: int, profile: XenProfile) -> str:
    return f"{name}@{address:x}" if profile.domu_names_computed else f"{name}@{address:#010x}ULL"


def _uart(at: Node, uart: HostUart, profile: XenProfile, phandle: int) -> None:
    """Write the emulated UART (make_vpl011_uart_node)."""
    node = new_node(_named("sbsa-uart", uart.range.start, profile), at, {"compatible": strings("arm,sbsa-uart")})
    set_property(node, "reg", reg_of((AddressRange(uart.range.start, GUEST_PL011.size),), _GUEST))
    set_property(node, "interrupts", cells((0, uart.irq - 32, 0xF << 8 | LEVEL_HIGH)))
    set_property(node, "interrupt-parent", cells((phandle,)))
    set_property(node, "current-speed", cells((115200,)))


def _shared_memory(at: Node, shm: Sequence[SharedMemory]) -> None:
    """Write /reserved-memory with the static shared memory (make_shm_memory_node)."""
    if not shm:
        return
    parent = new_node("reserved-memory", at, {"ranges": b""})
    set_property(parent, "#address-cells", cells((2,)))
    set_property(parent, "#size-cells", cells((2,)))
    for item in shm:
        node = new_node(f"xen-shmem@{item.guest.start:x}", parent, {"compatible": strings("xen,shared-memory-v1")})
        set_property(node, "reg", reg_of((item.guest,), _GUEST))
        set_property(node, "xen,id", strings(item.name))
        set_property(node, "xen,offset", cells((0, 0)))


def guest_gic(tree: Tree, domu: DomU) -> tuple[AddressRange, ...]:
    """Return where a domain's virtual GIC lies, the distributor first: in the guest layout, or where the host's is."""
    host = gic_node(tree.root)
    layout = _GICV3 if is_gic_v3(host) else _GICV2
    if not domu.direct_map or host is None:
        return layout
    found = [entry_range(entry) for entry in reg_entries(host, XEN)]
    starts = [item.start for item in found[:2] if item is not None]
    if is_gic_v3(host) and starts:
        return AddressRange(starts[0], layout[0].size), *used_redistributors(host, domu.cpus)
    return tuple(AddressRange(start, item.size) for start, item in zip(starts, layout, strict=False)) or layout


def _guest_gic(at: Node, tree: Tree, domu: DomU, profile: XenProfile, phandle: int) -> None:
    """Write the virtual GIC, of the host's version."""
    v3 = is_gic_v3(gic_node(tree.root))
    ranges = guest_gic(tree, domu)
    node = new_node(_named("interrupt-controller", ranges[0].start, profile), at)
    set_property(node, "#address-cells", cells((0,)))
    set_property(node, "#interrupt-cells", cells((3,)))
    set_property(node, "interrupt-controller")
    set_property(node, "compatible", strings("arm,gic-v3" if v3 else "arm,gic-400"))
    if v3 and profile.domu_redistributors_said:
        set_property(node, "#redistributor-regions", cells((len(ranges) - 1,)))
    set_property(node, "reg", reg_of(ranges, _GUEST))
    set_property(node, "linux,phandle", cells((phandle,)))
    set_property(node, "phandle", cells((phandle,)))
