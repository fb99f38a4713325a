"""The domains that /chosen describes: ``xen,domain`` nodes.

Mirrors create_domUs and construct_domU (arch/arm/dom0less-build.c, from 4.20 common/device-tree/dom0less-build.c) as
far as address space goes. Left out: what a passthrough module (a partial tree) contains (its xen,reg ranges can be
given beside the tree), and what is special about a hardware domain made by ``capabilities``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from dtanalyze.address.range import AddressRange, RawRange
from dtanalyze.address.units import KIB
from dtanalyze.devicetree.cells import CellCounts, inherited_cells, read_number
from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.xen.bootfdt import BootInfo
from dtanalyze.xen.domain_build import GUEST_RAM_BANKS
from dtanalyze.xen.profile import XenProfile
from dtanalyze.xen.stage import Stop
from dtanalyze.xen.vgic import vgic_max_vcpus

__all__ = ["DomU", "domu_domains", "what_stops"]

_GUEST_PL011_SIZE: Final = 4 * KIB
_DOMAIN_CAPS_HARDWARE: Final = 1 << 1
_DOMAIN_CAPS_XENSTORE: Final = 1 << 2


class DomU(NamedTuple):
    """One domain. ``memory`` is where its RAM lies in its own address space; ``shared`` and ``passed_through`` likewise.

    ``enhanced`` tells whether it gets a /hypervisor node, ``xenstore`` whether it wants a xenstore beside it.
    ``capabilities`` are those of 4.21 and newer. ``problem`` is Xen's line when the node alone shows that it cannot be
    built; `what_stops` tells what the host adds to that.
    """

    node: Node
    memory: tuple[AddressRange, ...]
    cpus: int = 1
    direct_map: bool = False
    enhanced: bool = False
    xenstore: bool = False
    capabilities: int = 0
    static: bool = False
    passthrough: bool = False
    vpl011: bool = False
    shared: tuple[AddressRange, ...] = ()
    passed_through: tuple[AddressRange, ...] = ()
    p2m_mb: int | None = None
    bootargs: str = ""
    problem: str | None = None

    @property
    def is_hardware_domain(self) -> bool:
        """Whether ``capabilities`` make it the hardware domain."""
        return bool(self.capabilities & _DOMAIN_CAPS_HARDWARE)


def domu_domains(tree: Tree, profile: XenProfile) -> tuple[DomU, ...]:
    """Return the domains in document order."""
    chosen = tree.root.child("chosen")
    most = vgic_max_vcpus(tree.root)
    return tuple(
        _domu(node, profile, most) for node in (chosen.children if chosen else ()) if node.is_compatible("xen,domain")
    )


def what_stops(
    domus: tuple[DomU, ...], info: BootInfo, profile: XenProfile, uart: AddressRange | None, *, dom0: bool
) -> Stop | None:
    """Return what Xen says when one of the domains cannot be built, in the order in which create_domUs meets them.

    ``uart`` is Xen's console, ``dom0`` whether there is one. RAM is judged only where it cannot be enough.
    """
    for domu in domus:
        if domu.problem is None and domu.xenstore and profile.xenstore_needs_dom0 and not dom0:
            return Stop("domains", ("At the moment, Xenstore support requires dom0 to be present",))
        problem = domu.problem or _not_built(domu, info, uart)
        if problem is not None:
            return Stop("domains", (problem,), "", domu.node.path, domu.node.path)
    served = dom0 or any(domu.capabilities & _DOMAIN_CAPS_XENSTORE for domu in domus)
    if any(domu.xenstore for domu in domus) and not served and not profile.xenstore_needs_dom0:
        return Stop("domains", ("xenstore requested, but xenstore domain not present",))
    return None


def _not_built(domu: DomU, info: BootInfo, uart: AddressRange | None) -> str | None:
    """Return Xen's line when construct_domU fails for what the host has."""
    name = domu.node.name
    failure = f"Could not set up domain {name} (rc = "
    kernels = {item.node.rpartition("/")[0] for item in info.modules if item.kind == "Kernel" and item.domu and item.size}
    if info.modules and domu.node.path not in kernels:
        return f"Missing kernel boot module?; {failure}-2)"
    ram, size = (sum(bank.size for bank in banks) for banks in (info.mem, domu.memory))
    if info.mem and not domu.static and size > ram:
        return (
            "Failed to allocate requested domain memory. "
            f"At least {(size - ram) // KIB}KB unallocated. Fix the VMs configurations. ({name})"
        )
    if not (domu.vpl011 and domu.direct_map):
        return None
    if uart is None:
        return f"vpl011: Unable to re-use the Xen UART information.; {failure}-22)"
    if uart.size < _GUEST_PL011_SIZE:
        return f"vpl011: Can't re-use the Xen UART MMIO region as it is too small.; {failure}-22)"
    return None


def _domu(node: Node, profile: XenProfile, most_cpus: int) -> DomU:
    memory = node.prop("memory")
    size = read_number(memory.cells[:2]) * KIB if memory and len(memory.value) >= 8 else None
    cpus = _u32(node, "cpus")
    static = tuple(_static_mem(node, profile))
    direct_map = profile.domu_direct_map and node.prop("direct-map") is not None
    total = sum(item.size for item in static) if static else size or 0
    enhanced = _enhanced(node, profile)
    return DomU(
        node=node,
        memory=static if direct_map else tuple(_guest_banks(total)),
        cpus=max(1, min(cpus or 1, most_cpus)),
        direct_map=direct_map,
        enhanced=enhanced is not None,
        xenstore=enhanced in ("enabled", "legacy"),
        capabilities=(_u32(node, "capabilities") or 0) if profile.domain_capabilities else 0,
        static=bool(static),
        passthrough=_passthrough(node),
        vpl011=node.prop("vpl011") is not None,
        shared=tuple(_shared(node, profile)),
        passed_through=tuple(_xen_reg(node)),
        p2m_mb=_u32(node, "xen,domain-p2m-mem-mb"),
        bootargs=_bootargs(node),
        problem=_problem(node, size, cpus, most_cpus, direct_map, static),
    )


def _problem(
    node: Node, size: int | None, cpus: int | None, most_cpus: int, direct_map: bool, static: tuple[AddressRange, ...]
) -> str | None:
    if direct_map and not static:
        return f"direct-map is not valid for domain {node.name} without static allocation."
    if cpus is None:
        return f"Missing property 'cpus' for domain {node.name}"
    if not 1 <= cpus <= most_cpus:
        return f"Error creating domain {node.name} (rc = -22) (it has {cpus} CPUs, and may have 1 to {most_cpus})"
    if size is None:
        return f'Error building DomU: cannot read "memory" property ({node.path})'
    if static and sum(item.size for item in static) != size:
        return f"Failed to allocate/assign requested static memory for domain {node.name}: it is not what memory says"
    return None


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


def _enhanced(node: Node, profile: XenProfile) -> str | None:
    """Return which services a domain gets: ``enabled``, ``legacy``, ``no-xenstore``, or None."""
    prop = node.prop("xen,enhanced") if profile.domu_hypervisor else None
    if prop is None:
        return None
    if not prop.value.endswith(b"\0"):
        return "enabled"  # no value, or one that is no string: both mean enabled
    known = ("enabled", "no-xenstore", "legacy") if profile.enhanced_legacy else ("enabled", "no-xenstore")
    return prop.string if prop.string in known else None


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


def _shared(node: Node, profile: XenProfile) -> Iterator[AddressRange]:
    """Yield the guest addresses of static shared memory: xen,shared-mem = <host guest size>, from 4.20 also <guest size>."""
    for child in node.children:
        prop = child.prop("xen,shared-mem")
        if prop is None or not profile.static_shm or not child.is_compatible("xen,domain-shared-memory-v1"):
            continue
        counts = inherited_cells(node, CellCounts(2, 1))
        words = prop.cells
        if not profile.shm_without_host_address or len(words) != counts.address + counts.size:
            words = words[counts.address :]
        if len(words) >= counts.address + counts.size:
            start, size = words[: counts.address], words[counts.address : counts.address + counts.size]
            found = RawRange(read_number(start), read_number(size)).checked()
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
