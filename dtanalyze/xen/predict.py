"""What one release of Xen does with one host tree, up to the trees it writes for its domains.

Puts the other mirrors together in the order in which they run at boot: the scan of the flat tree, the modules, dom0's
memory, dom0's devices, the extended regions. The regions are computed even when something stops Xen earlier.
"""

from __future__ import annotations

from typing import NamedTuple

from dtanalyze.address.range import AddressRange
from dtanalyze.address.units import KIB, MIB, format_size
from dtanalyze.board.bus import XEN
from dtanalyze.board.cpus import cpu_nodes
from dtanalyze.board.model import entry_range
from dtanalyze.board.translate import reg_entries
from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.tree import Tree
from dtanalyze.xen.allocate_memory import allocate_memory_11, boot_heap
from dtanalyze.xen.boot import Host, XenBoot
from dtanalyze.xen.bootargs import DOM0_MEM_DEFAULT, parse_bootargs, xen_bootargs
from dtanalyze.xen.dom0_tree import dom0_blob
from dtanalyze.xen.dom0less import DomU, domu_domains, what_stops
from dtanalyze.xen.domain_build import (
    GUEST_GNTTAB,
    find_domU_holes,
    find_memory_holes,
    find_unallocated_memory,
)
from dtanalyze.xen.domu_tree import domu_blob
from dtanalyze.xen.guest_tree import with_memory
from dtanalyze.xen.handle_node import console_node, handle_host_nodes, root_cells_can_be_written
from dtanalyze.xen.libxl import extended_regions, guest_memory
from dtanalyze.xen.options import XenOptions
from dtanalyze.xen.platforms import platform_of
from dtanalyze.xen.prediction import Prediction, Stop
from dtanalyze.xen.profile import XenProfile
from dtanalyze.xen.regions import Regions
from dtanalyze.xen.vgic import MAX_VIRT_CPUS, vgic_max_vcpus

__all__ = ["predict", "prepare"]


def prepare(tree: Tree, options: XenOptions) -> Host:
    """Return the host as Xen finds it; ``options.memory``, or the log's RAM, replaces the tree's memory nodes."""
    args = parse_bootargs(xen_bootargs(tree))
    if options.memory:
        tree = parse(with_memory(tree, options.memory))
    return Host(tree, args, handle_host_nodes(tree, args))


def predict(host: Host, profile: XenProfile, options: XenOptions) -> tuple[Prediction, ...]:
    """Return what this release does for each domain: dom0 first, then those in /chosen, then the toolstack's.

    What stops one of them stops them all: Xen panics.
    """
    boot = XenBoot(host, profile, options)
    domus = domu_domains(host.tree, profile)
    found: list[Prediction] = []
    if not domus or any(item.kind == "Kernel" and not item.domu for item in boot.info.modules):
        found.append(_dom0(boot))
    stop = found[0].stopped_by if found else boot.stop
    if stop is None:
        stop = what_stops(domus, boot.info, profile, _console(boot), dom0=bool(found))
        found = [item._replace(stopped_by=stop) for item in found]
    found += [_domu(boot, domu, stop) for domu in domus]
    if stop is None:
        stop = next((crash for item in found if (crash := _search_crash(boot, item.regions, item.domain))), None)
        found = [item._replace(stopped_by=stop) for item in found]
    found += [_libxl(boot, size, stop) for size in options.guests]
    return tuple(found)


def _dom0(boot: XenBoot) -> Prediction:
    host, profile = boot.host, boot.profile
    grant, grant_note = boot.grant_table()
    placed = _dom0_memory(boot, grant)
    vcpus = _dom0_max_vcpus(boot)
    stop = boot.stop or _too_many_cpus(boot, vcpus) or placed.stop
    if stop is None and host.nodes.failure is not None:
        stop = Stop("dom0-devices", host.nodes.failure)
    if not boot.ext_regions:
        method, regions = "none", Regions((), None, "d0: extended regions support is disabled")
    elif boot.iommu:
        method, regions = "holes", find_memory_holes(boot.unflattened(), profile, boot.ipa_bits)
    else:
        method = "unallocated"
        regions = find_unallocated_memory(boot.info, profile, boot.ipa_bits, placed.banks, grant)
    stop = stop or _search_crash(boot, regions, "dom0")
    blob = None
    if boot.ram_known and root_cells_can_be_written(host.tree):
        blob = dom0_blob(host.tree, host.nodes, boot.info, profile, placed.banks, grant, regions.ranges, vcpus)
    return Prediction(
        xen=profile.name,
        iommu=boot.iommu,
        domain="dom0",
        method=method,
        info=boot.info,
        stopped_by=stop,
        memory=placed.banks,
        memory_known=placed.known,
        grant_table=grant,
        regions=_with_message(regions, "d0"),
        blob=blob,
        assumed=(f"Xen {profile.name}", *boot.notes, placed.note, *grant_note, *boot.scan_notes()),
    )


def _dom0_max_vcpus(boot: XenBoot) -> int:
    """Return dom0's CPUs: as many as the host has, unless dom0_max_vcpus= says otherwise."""
    return min(boot.host.args.dom0_max_vcpus or len(cpu_nodes(boot.host.tree)) or 1, MAX_VIRT_CPUS)


def _too_many_cpus(boot: XenBoot, vcpus: int) -> Stop | None:
    """Return what Xen says of a dom0_max_vcpus= beyond what the GIC can serve; the host's own number never is."""
    most = vgic_max_vcpus(boot.host.tree.root)
    if not boot.host.args.dom0_max_vcpus or vcpus <= most:
        return None
    line = f"Error creating domain 0 (rc = -22) (dom0_max_vcpus asks for {vcpus} CPUs, and a domain may have {most})"
    return Stop("modules", line)


def _search_crash(boot: XenBoot, regions: Regions, domain: str) -> Stop | None:
    """Return what Xen does when its search crashes; without RAM nothing is said, as its node may be the cause."""
    if regions.error != "crash" or not boot.ram_known:
        return None
    line = f"Xen crashes while it looks for the extended regions of {domain}: {regions.message}"
    return Stop("dom0-devices", line, None if domain == "dom0" else domain)


class _Placed(NamedTuple):
    """dom0's RAM: where, whether that is known, what stops Xen over it, and where the answer comes from."""

    banks: tuple[AddressRange, ...]
    known: bool
    stop: Stop | None
    note: str


def _dom0_memory(boot: XenBoot, grant_table: AddressRange | None) -> _Placed:
    options, log = boot.options, boot.options.log
    banks = options.dom0_banks or (log.dom0_banks if log else ())
    if banks:
        return _Placed(tuple(sorted(banks)), True, None, "dom0's RAM: as given")
    wanted = options.dom0_mem
    if wanted == 0:
        return _Placed((), True, None, "dom0's RAM: none assigned, as given")
    if wanted is None:
        wanted = boot.host.args.dom0_mem or DOM0_MEM_DEFAULT
    if not boot.ram_known:
        return _Placed((), False, None, "dom0's RAM: not placed, the tree lists none")
    image = AddressRange(grant_table.start, 2 * MIB) if grant_table else None
    bits = platform_of(boot.host.tree).dma_bitsize
    got = allocate_memory_11(boot_heap(boot.info, image), wanted, dma_bits=bits, max_banks=boot.profile.nr_mem_banks)
    note = f"dom0's RAM: {format_size(wanted)}, placed by a model of Xen's allocator (--dom0-bank or --xen-log settles it)"
    stop = None
    if got.unallocated:
        line = f"Failed to allocate requested dom0 memory. {got.unallocated >> 20}MB unallocated"
        stop = Stop("dom0-memory", line)
        if not options.memory:
            note += "; RAM is what the tree lists, which a boot loader may replace (--memory)"
    return _Placed(got.banks, False, stop, note)


def _domu(boot: XenBoot, domu: DomU, stop: Stop | None) -> Prediction:
    method, regions = _domu_regions(boot, domu)
    return Prediction(
        xen=boot.profile.name,
        iommu=boot.iommu,
        domain=domu.node.path,
        method=method,
        info=boot.info,
        stopped_by=stop,
        memory=domu.memory,
        memory_known=True,
        grant_table=GUEST_GNTTAB,
        regions=_with_message(regions, domu.node.name),
        blob=domu_blob(boot.host.tree, domu, boot.profile.name, GUEST_GNTTAB, regions.ranges, _console(boot)),
        assumed=(f"Xen {boot.profile.name}", *boot.notes, _p2m_note(domu), *_unsaid(domu), *boot.scan_notes()),
    )


def _console(boot: XenBoot) -> AddressRange | None:
    """Return where Xen's console is, for a direct-mapped domain's emulated UART."""
    node = console_node(boot.host.tree, boot.host.args)
    entry = next(iter(reg_entries(node, XEN)), None) if node is not None else None
    return entry_range(entry) if entry is not None else None


def _domu_regions(boot: XenBoot, domu: DomU) -> tuple[str, Regions]:
    """Choose as make_hypervisor_node does; a domain has an IOMMU when something is passed through to it."""
    profile = boot.profile
    if not profile.domu_hypervisor:
        return "none", Regions((), None, "this release writes no hypervisor node for dom0less domains")
    if not domu.enhanced:
        return "none", Regions((), None, "no xen,enhanced: the domain gets no hypervisor node")
    if not boot.ext_regions:
        return "none", Regions((), None, "extended regions support is disabled")
    shared = domu.shared if profile.shm_excluded else ()
    passed = domu.passed_through if profile.xen_reg_excluded else ()
    if domu.direct_map and domu.passthrough and boot.iommu:
        return "holes", find_memory_holes(boot.host.tree, profile, boot.ipa_bits, excluded=shared + passed)
    if domu.direct_map:
        # Shared memory of the host is left out of the host's RAM already.
        taken = (*domu.memory, *passed)
        return "unallocated", find_unallocated_memory(boot.info, profile, boot.ipa_bits, taken, GUEST_GNTTAB)
    return "guest-layout", find_domU_holes(profile, boot.ipa_bits, domu.memory, excluded=shared + passed)


def _libxl(boot: XenBoot, size: int, stop: Stop | None) -> Prediction:
    iomem = boot.options.iomem
    memory = guest_memory(size)
    regions = extended_regions(boot.profile, memory, iomem, boot.ipa_bits)
    domu = DomU(boot.host.tree.root, memory, enhanced=True, passed_through=iomem)
    return Prediction(
        xen=boot.profile.name,
        iommu=boot.iommu,
        domain=f"libxl:{format_size(size).replace(' ', '')}",
        method="guest-layout",
        info=boot.info,
        stopped_by=stop,
        memory=memory,
        memory_known=True,
        grant_table=GUEST_GNTTAB,
        regions=regions,
        blob=domu_blob(boot.host.tree, domu, boot.profile.name, GUEST_GNTTAB, regions.ranges),
        assumed=(f"Xen {boot.profile.name}, a guest of the toolstack", *boot.notes),
    )


def _unsaid(domu: DomU) -> list[str]:
    """Say what is taken for granted of this domain."""
    notes = []
    if domu.static:
        notes.append("static memory: Xen is taken to be built with CONFIG_STATIC_MEMORY, which is off by default")
    if domu.is_hardware_domain:
        notes.append("hardware domain: answered like any other domain; that it gets the host's devices is not modelled")
    return notes


def _p2m_note(domu: DomU) -> str:
    """Say how much scratch space the domain's P2M pool can map: one page table page for each 2 MiB of it.

    domain_p2m_pages sets 256 pages for each vCPU, one for each MiB of RAM and 128 for extended regions.
    """
    if domu.p2m_mb is None:
        return "P2M pool: Xen's default, which holds page tables for 256 MiB of scratch mappings (xen,domain-p2m-mem-mb)"
    tables = domu.p2m_mb * MIB // (4 * KIB) - 256 * domu.cpus - sum(item.size for item in domu.memory) // MIB
    return f"P2M pool: {domu.p2m_mb} MiB, about {format_size(max(tables, 0) * 2 * MIB)} of scratch mappings beside the rest"


def _with_message(regions: Regions, domain: str) -> Regions:
    if regions.error is None or regions.message is not None:
        return regions
    return regions._replace(message=f"{domain}: failed to allocate extended regions")
