"""The domains that /chosen describes: ``xen,domain`` nodes.

Mirrors create_domUs and construct_domU (arch/arm/dom0less-build.c, from 4.20 common/device-tree/dom0less-build.c) as
far as address space goes. Left out: what a passthrough module (a partial tree) contains; its xen,reg ranges can be
given beside the tree.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from dtanalyze.address.range import AddressRange, RawRange
from dtanalyze.address.units import KIB
from dtanalyze.devicetree.cells import CellCounts, inherited_cells, read_number
from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.xen.domain_build import GUEST_RAM_BANKS
from dtanalyze.xen.profile import XenProfile

__all__ = ["DomU", "domu_domains"]

_ENHANCED: Final = ("enabled", "no-xenstore")


class DomU(NamedTuple):
    """One domain. ``memory`` is where its RAM lies in its own address space; ``shared`` and ``passed_through`` likewise.

    ``enhanced`` tells whether it gets a /hypervisor node. ``problem`` is Xen's line when it cannot be built.
    """

    node: Node
    memory: tuple[AddressRange, ...]
    cpus: int = 1
    direct_map: bool = False
    enhanced: bool = False
    passthrough: bool = False
    vpl011: bool = False
    shared: tuple[AddressRange, ...] = ()
    passed_through: tuple[AddressRange, ...] = ()
    p2m_mb: int | None = None
    bootargs: str = ""
    problem: str | None = None


def domu_domains(tree: Tree, profile: XenProfile) -> tuple[DomU, ...]:
    """Return the domains in document order."""
    chosen = tree.root.child("chosen")
    return tuple(_domu(node, profile) for node in (chosen.children if chosen else ()) if node.is_compatible("xen,domain"))


def _domu(node: Node, profile: XenProfile) -> DomU:
    memory = node.prop("memory")
    size = read_number(memory.cells[:2]) * KIB if memory and len(memory.value) >= 8 else None
    cpus = node.prop("cpus")
    static = tuple(_static_mem(node, profile))
    direct_map = node.prop("direct-map") is not None
    problem = None
    if size is None:
        problem = f'Error building DomU: cannot read "memory" property ({node.path})'
    elif cpus is None or cpus.u32 is None:
        problem = f"Missing property 'cpus' for domain {node.name}"
    elif direct_map and not static:
        problem = f"direct-map is not valid for domain {node.name} without static allocation."
    elif static and sum(item.size for item in static) != size:
        problem = f"Failed to allocate/assign requested static memory for domain {node.name}: it is not what memory says"
    total = sum(item.size for item in static) if static else size or 0
    banks = static if direct_map else tuple(_guest_banks(total))
    return DomU(
        node=node,
        memory=banks,
        cpus=(cpus.u32 or 1) if cpus else 1,
        direct_map=direct_map,
        enhanced=_enhanced(node, profile),
        passthrough=_passthrough(node),
        vpl011=node.prop("vpl011") is not None,
        shared=tuple(_shared(node)),
        passed_through=tuple(_xen_reg(node)),
        p2m_mb=_u32(node, "xen,domain-p2m-mem-mb"),
        bootargs=_bootargs(node),
        problem=problem,
    )


def _passthrough(node: Node) -> bool:
    """Tell whether the domain gets an IOMMU: a partial tree says what is passed through, or ``passthrough`` asks for it."""
    prop = node.prop("passthrough")
    asked = prop is not None and prop.string == "enabled"
    return asked or any(child.is_compatible("multiboot,device-tree") for child in node.children)


def _u32(node: Node, name: str) -> int | None:
    prop = node.prop(name)
    return prop.u32 if prop else None


def _guest_banks(size: int) -> Iterator[AddressRange]:
    for bank in GUEST_RAM_BANKS:
        part = min(size, bank.size)
        if part:
            yield AddressRange(bank.start, part)
        size -= part


def _enhanced(node: Node, profile: XenProfile) -> bool:
    if not profile.domu_hypervisor:
        return False
    prop = node.prop("xen,enhanced")
    if prop is None:
        return False
    if not prop.value.endswith(b"\0"):
        return True  # no value, or one that is no string: both mean enabled
    return prop.string in _ENHANCED or (prop.string == "legacy" and profile.enhanced_legacy)


def _counts(node: Node) -> CellCounts:
    parent = node.parent
    return inherited_cells(parent, CellCounts(2, 1)) if parent else CellCounts(2, 1)


def _static_mem(node: Node, profile: XenProfile) -> Iterator[AddressRange]:
    prop = node.prop("xen,static-mem")
    if prop is None:
        return
    counts = _counts(node)
    if profile.static_mem_own_cells:
        address, size = node.prop("#xen,static-mem-address-cells"), node.prop("#xen,static-mem-size-cells")
        counts = CellCounts((address.u32 or 0) if address else 0, (size.u32 or 0) if size else 0)
    width = counts.address + counts.size
    for at in range(0, len(prop.cells) - width + 1, width) if width else ():
        words = prop.cells[at : at + width]
        found = RawRange(read_number(words[: counts.address]), read_number(words[counts.address :])).checked()
        if found is not None:
            yield found


def _shared(node: Node) -> Iterator[AddressRange]:
    """Yield the guest addresses of static shared memory: xen,shared-mem = <host guest size>."""
    for child in node.children:
        prop = child.prop("xen,shared-mem")
        if prop is None or not child.is_compatible("xen,domain-shared-memory-v1"):
            continue
        counts = inherited_cells(node, CellCounts(2, 1))
        width = 2 * counts.address + counts.size
        words = prop.cells
        if len(words) >= width:
            start = read_number(words[counts.address : 2 * counts.address])
            found = RawRange(start, read_number(words[2 * counts.address : width])).checked()
            if found is not None:
                yield found


def _xen_reg(node: Node) -> Iterator[AddressRange]:
    """Yield guest ranges of xen,reg = <host size guest> (two cells each) of passthrough nodes below the domain."""
    for child in node:
        prop = child.prop("xen,reg")
        if prop is None:
            continue
        counts = inherited_cells(child.parent or child, CellCounts(2, 2))
        width = 2 * counts.address + counts.size
        for at in range(0, len(prop.cells) - width + 1, width) if width else ():
            words = prop.cells[at : at + width]
            size = read_number(words[counts.address : counts.address + counts.size])
            found = RawRange(read_number(words[counts.address + counts.size :]), size).checked()
            if found is not None:
                yield found


def _bootargs(node: Node) -> str:
    for child in node.children:
        if child.is_compatible("multiboot,kernel"):
            prop = child.prop("bootargs")
            return (prop.string or "") if prop else ""
    return ""
