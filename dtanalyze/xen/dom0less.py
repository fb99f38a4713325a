"""The domains that /chosen describes: ``xen,domain`` nodes, as they are read.

Mirrors parse_dom0less_node and what construct_domU reads of a node (arch/arm/domain_build.c in 4.17, then
arch/arm/dom0less-build.c, from 4.21 common/device-tree/dom0less-bindings.c). What becomes of them is `dom0less_build`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from dtanalyze.address.range import ADDRESS_SPACE, AddressRange, RawRange
from dtanalyze.address.units import KIB
from dtanalyze.devicetree.cells import CellCounts, inherited_cells, read_number
from dtanalyze.devicetree.tree import Node, Property, Tree
from dtanalyze.xen.assigned import Assigned, assigned_ranges
from dtanalyze.xen.bootinfo import BootInfo, Module
from dtanalyze.xen.domain_build import GUEST_RAM_BANKS
from dtanalyze.xen.dt_property import EILSEQ, EINVAL, ENODATA, dt_property_read_string
from dtanalyze.xen.profile import XenProfile
from dtanalyze.xen.vgic import vgic_max_vcpus

__all__ = [
    "CAPS_HARDWARE",
    "CAPS_MASK",
    "CAPS_XENSTORE",
    "DomU",
    "SharedMemory",
    "device_tree_module",
    "domu_domains",
    "find_by_addr_and_kind",
    "first_cell",
    "has_device_tree_after",
    "has_iommu",
    "partial_is_found",
    "shared_memory",
]

CAPS_HARDWARE: Final = 1 << 1
CAPS_XENSTORE: Final = 1 << 2
CAPS_MASK: Final = 0b111


class SharedMemory(NamedTuple):
    """Static shared memory of one domain: where it sees it, and at which host address, None when Xen chooses it."""

    node: Node
    name: str
    host: int | None
    guest: AddressRange


class DomU(NamedTuple):
    """One domain. ``memory`` is where its RAM lies in its own address space; ``shared`` and ``passed_through`` likewise.

    ``size`` is its RAM in bytes as ``memory`` says, None without one; ``wanted_cpus`` likewise, ``cpus`` what it can have.
    ``enhanced`` tells whether it gets a /hypervisor node, ``xenstore`` whether it wants a xenstore beside it.
    ``capabilities`` are those of 4.21 and newer; ``static`` are host addresses. ``assigned`` is what is
    passed through to it, ``passthrough`` whether it is to have an IOMMU. ``bootargs`` is what the scan of the flat tree
    kept for it (`bootfdt.boot_cmdline_find_by_name`).
    """

    node: Node
    memory: tuple[AddressRange, ...]
    size: int | None = None
    wanted_cpus: int | None = 1
    cpus: int = 1
    direct_map: bool = False
    enhanced: bool = False
    xenstore: bool = False
    capabilities: int = 0
    static: tuple[AddressRange, ...] = ()
    passthrough: bool = False
    vpl011: bool = False
    shm: tuple[SharedMemory, ...] = ()
    assigned: tuple[Assigned, ...] = ()
    p2m_mb: int | None = None
    nr_spis: int | None = None
    bootargs: str = ""

    @property
    def is_hardware_domain(self) -> bool:
        """Whether ``capabilities`` make it the hardware domain."""
        return bool(self.capabilities & CAPS_HARDWARE)

    @property
    def shared(self) -> tuple[AddressRange, ...]:
        """Where the domain sees its static shared memory."""
        return tuple(item.guest for item in self.shm)

    @property
    def passed_through(self) -> tuple[AddressRange, ...]:
        """Where the domain sees what is passed through to it."""
        return tuple(found for item in self.assigned if (found := item.range) is not None)


def domu_domains(tree: Tree, profile: XenProfile) -> tuple[DomU, ...]:
    """Return the domains in document order."""
    chosen = tree.root.child("chosen")
    most = vgic_max_vcpus(tree.root)
    return tuple(
        _domu(tree, node, profile, most) for node in (chosen.children if chosen else ()) if node.is_compatible("xen,domain")
    )


def has_iommu(domus: tuple[DomU, ...], domu: DomU, profile: XenProfile) -> bool:
    """Tell whether a domain is to have an IOMMU; up to 4.20 one that asks for it asks for all that follow too."""
    if domu.passthrough or not profile.passthrough_sticks:
        return domu.passthrough
    before = domus[: domus.index(domu)]
    return any(_asks_for_iommu(item.node, profile) for item in before)


def partial_is_found(info: BootInfo, node: Node) -> bool:
    """Tell whether Xen finds the module of a domain's partial tree among those that its scan kept, if it names one."""
    module = device_tree_module(node)
    named = module is not None and module.prop("reg") is not None
    return not named or find_by_addr_and_kind(info, node, "DTB") is not None


def device_tree_module(node: Node) -> Node | None:
    """Return the module that holds the domain's partial tree."""
    return next((child for child in node.children if child.is_compatible("multiboot,device-tree")), None)


def has_device_tree_after(tree: Tree, node: Node) -> bool:
    """Tell whether a partial tree follows anywhere in the host's tree: Xen gives such a domain an IOMMU where it has one.

    dt_find_compatible_node begins at the domain and does not end with it, so that a domain counts whose follower has one.
    """
    return node in tree.root.once("before a partial tree", _before_a_partial_tree)


def _before_a_partial_tree(root: Node) -> frozenset[Node]:
    nodes = tuple(root)
    last = max((place for place, node in enumerate(nodes) if node.is_compatible("multiboot,device-tree")), default=0)
    return frozenset(nodes[:last])


def find_by_addr_and_kind(info: BootInfo, domain: Node, kind: str) -> Module | None:
    """Return the module that Xen takes for a domain's ``kind``: the last such node's address, whoever's module it is."""
    names = {"Kernel": "multiboot,kernel", "Ramdisk": "multiboot,ramdisk", "DTB": "multiboot,device-tree"}
    child = next((item for item in reversed(domain.children) if item.is_compatible(names[kind])), None)
    prop = child.prop("reg") if child is not None else None
    if prop is None:
        return None
    start = read_number(prop.cells[: inherited_cells(domain, CellCounts(2, 1)).address])
    return next((item for item in info.modules if item.kind == kind and item.start == start), None)


def first_cell(node: Node, name: str) -> int | None:
    """Return the first cell of a property, None when it is absent or shorter (dt_property_read_u32)."""
    prop = node.prop(name)
    return prop.cells[0] if prop is not None and prop.cells else None


def _domu(tree: Tree, node: Node, profile: XenProfile, most_cpus: int) -> DomU:
    memory = node.prop("memory")
    size = read_number(memory.cells[:2]) * KIB % ADDRESS_SPACE if memory and len(memory.value) >= 8 else None
    cpus = first_cell(node, "cpus")
    static = tuple(_static_mem(node, profile))
    direct_map = profile.domu_direct_map and node.prop("direct-map") is not None
    total = sum(item.size for item in static) if static else size or 0
    enhanced = _enhanced(node, profile)
    return DomU(
        node=node,
        memory=static if direct_map else tuple(_guest_banks(total)),
        size=size,
        wanted_cpus=cpus,
        cpus=max(1, min(cpus or 1, most_cpus)),
        direct_map=direct_map,
        enhanced=enhanced is not None,
        xenstore=enhanced in ("enabled", "legacy"),
        capabilities=(first_cell(node, "capabilities") or 0) if profile.domain_capabilities else 0,
        static=static,
        passthrough=_asks_for_iommu(node, profile) or has_device_tree_after(tree, node),
        vpl011=node.prop("vpl011") is not None,
        shm=tuple(_shared(node, profile)),
        assigned=tuple(_xen_reg(node)),
        p2m_mb=first_cell(node, "xen,domain-p2m-mem-mb"),
        nr_spis=first_cell(node, "nr_spis"),
    )


def _asks_for_iommu(node: Node, profile: XenProfile) -> bool:
    value = dt_property_read_string(node, "passthrough") if profile.passthrough_property else EINVAL
    hardware = profile.domain_capabilities and bool((first_cell(node, "capabilities") or 0) & CAPS_HARDWARE)
    return hardware or value == "enabled"


def _guest_banks(size: int) -> Iterator[AddressRange]:
    for bank in GUEST_RAM_BANKS:
        part = min(size, bank.size)
        if part:
            yield AddressRange(bank.start, part)
        size -= part


def _enhanced(node: Node, profile: XenProfile) -> str | None:
    """Return which services a domain gets: ``enabled``, ``legacy``, ``no-xenstore``, or None."""
    value = dt_property_read_string(node, "xen,enhanced") if profile.domu_hypervisor else EINVAL
    if value in (EILSEQ, ENODATA):
        return "enabled"
    known = ("enabled", "no-xenstore", "legacy") if profile.enhanced_legacy else ("enabled", "no-xenstore")
    return value if isinstance(value, str) and value in known else None


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


def shared_memory(node: Node) -> Iterator[tuple[Node, Property]]:
    """Yield the nodes of a domain that describe static shared memory, each with the property that does."""
    for child in node.children:
        prop = child.prop("xen,shared-mem")
        if prop is not None and child.is_compatible("xen,domain-shared-memory-v1"):
            yield child, prop


def _shared(node: Node, profile: XenProfile) -> Iterator[SharedMemory]:
    """Yield static shared memory: xen,shared-mem = <host guest size>, later also <guest size>."""
    for child, prop in shared_memory(node) if profile.static_shm else ():
        counts = inherited_cells(node, CellCounts(2, 1))
        words, short = prop.cells, counts.address + counts.size
        host = None if profile.shm_without_host_address and len(words) == short else read_number(words[: counts.address])
        words = words if host is None else words[counts.address :]
        if len(words) >= short:
            found = RawRange(read_number(words[: counts.address]), read_number(words[counts.address : short])).checked()
            name = child.prop("xen,shm-id")
            if found is not None:
                yield SharedMemory(child, (name.string or "") if name else "", host, found)


def _xen_reg(node: Node) -> Iterator[Assigned]:
    """Yield what xen,reg of nodes below the domain gives it: a partial tree that is kept in the host's."""
    for child in node:
        prop = child.prop("xen,reg")
        if prop is not None:
            yield from assigned_ranges(child, prop, inherited_cells(child.parent or child, CellCounts(2, 2)))
