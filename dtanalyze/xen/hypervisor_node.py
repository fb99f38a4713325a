"""Which search the extended regions of a domain come from, and the tree that says them to a guest.

Mirrors make_hypervisor_node (arch/arm/domain_build.c).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dtanalyze.board.architecture import ARM64, RISCV
from dtanalyze.devicetree.tree import Node
from dtanalyze.xen.dom0less import DomU, has_iommu
from dtanalyze.xen.domain_build import GUEST_GNTTAB, find_domU_holes, find_memory_holes, find_unallocated_memory
from dtanalyze.xen.domu_tree import domu_tree
from dtanalyze.xen.regions import Regions
from dtanalyze.xen.stage import DATA_ABORT, Stop

if TYPE_CHECKING:
    from dtanalyze.xen.boot import Boot

__all__ = ["dom0_regions", "domu_regions", "search_crash", "written_domu_tree"]


def dom0_regions(boot: Boot) -> tuple[str, Regions]:
    """Return the method and dom0's regions; they do not depend on whether something stops Xen."""
    if not boot.ext_regions:
        return "none", Regions((), None, "d0: extended regions support is disabled")
    if boot.arch != ARM64:
        return "none", Regions((), None, _not_for(boot, "d0"))
    if boot.iommu:
        return "holes", _named(find_memory_holes(boot.unflattened, boot.profile, boot.ipa_bits), "d0")
    banks, grant = boot.dom0_memory.banks, boot.grant_table[0]
    return "unallocated", _named(find_unallocated_memory(boot.info, boot.profile, boot.ipa_bits, banks, grant), "d0")


def search_crash(boot: Boot, regions: Regions, domain: str) -> Stop | None:
    """Return what Xen does when its search crashes; without RAM nothing is said, as its node may be the cause."""
    if regions.error != "crash" or not boot.ram_known:
        return None
    because = f"Xen crashes while it looks for the extended regions of {domain}: {regions.message}"
    return Stop("dom0-devices", (DATA_ABORT,), because, domain=None if domain == "dom0" else domain)


def domu_regions(boot: Boot, domu: DomU) -> tuple[str, Regions]:
    """Return the method and the regions of a domain; it has an IOMMU when something is passed through to it."""
    profile = boot.profile
    if not profile.domu_hypervisor:
        return "none", Regions((), None, "this release writes no hypervisor node for dom0less domains")
    if not domu.enhanced:
        return "none", Regions((), None, "no xen,enhanced: the domain gets no hypervisor node")
    if not boot.ext_regions:
        return "none", Regions((), None, "extended regions support is disabled")
    if boot.arch != ARM64:
        return "none", Regions((), None, _not_for(boot, domu.node.name))
    method, regions = _found(boot, domu)
    return method, _named(regions, domu.node.name)


def _found(boot: Boot, domu: DomU) -> tuple[str, Regions]:
    profile = boot.profile
    shared = domu.shared if profile.shm_excluded else ()
    passed = domu.passed_through if profile.xen_reg_excluded else ()
    if domu.direct_map and has_iommu(boot.domus, domu, profile) and boot.iommu:
        return "holes", find_memory_holes(boot.host.tree, profile, boot.ipa_bits, excluded=shared + passed)
    if domu.direct_map:
        # Shared memory of the host is left out of the host's RAM already.
        taken = (*domu.memory, *passed)
        return "unallocated", find_unallocated_memory(boot.info, profile, boot.ipa_bits, taken, GUEST_GNTTAB)
    return "guest-layout", find_domU_holes(profile, boot.ipa_bits, domu.memory, excluded=shared + passed)


def written_domu_tree(boot: Boot, domu: DomU) -> Node:
    """Return the root of the tree that Xen writes for a domain, or would write if nothing stopped it."""
    regions = domu_regions(boot, domu)[1].ranges
    partial = boot.partials.get(domu.node.path)
    tree = boot.host.tree
    return domu_tree(tree, domu, boot.profile, GUEST_GNTTAB, regions, boot.console_uart, partial)


def _not_for(boot: Boot, domain: str) -> str:
    if boot.arch == RISCV:
        return "Xen for RISC-V writes no hypervisor node"
    return f"{domain}: extended regions not supported for 32-bit guests"


def _named(regions: Regions, domain: str) -> Regions:
    if regions.error is None or regions.message is not None:
        return regions
    return regions._replace(message=f"{domain}: failed to allocate extended regions")
