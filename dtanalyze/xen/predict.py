"""What one release of Xen does with one host tree, up to the trees it writes for its domains.

Puts the other mirrors together in the order in which they run at boot: the scan of the flat tree, the modules, dom0's
memory, dom0's devices, the extended regions. The regions are computed even when something stops Xen earlier.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from dtanalyze.address.range import AddressRange
from dtanalyze.address.units import KIB, MIB, format_size
from dtanalyze.board.cpus import pa_bits
from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.tree import Tree
from dtanalyze.xen.allocate_memory import allocate_memory_11, boot_heap
from dtanalyze.xen.bootargs import DOM0_MEM_DEFAULT, XenArgs, parse_bootargs, xen_bootargs
from dtanalyze.xen.bootinfo import boot_fdt_info
from dtanalyze.xen.dom0less import DomU, domu_domains
from dtanalyze.xen.domain_build import (
    GUEST_GNTTAB,
    find_domU_holes,
    find_memory_holes,
    find_unallocated_memory,
)
from dtanalyze.xen.guest_tree import dom0_blob, domu_blob, with_memory
from dtanalyze.xen.handle_node import HostNodes, handle_host_nodes, tree_has_iommu
from dtanalyze.xen.libxl import extended_regions, guest_memory
from dtanalyze.xen.options import XenOptions
from dtanalyze.xen.platforms import platform_of
from dtanalyze.xen.prediction import Prediction, Stop
from dtanalyze.xen.profile import XenProfile
from dtanalyze.xen.regions import Regions

__all__ = ["Host", "predict", "prepare"]

_IPMMU_BITS = 40
_XEN_TEXT_OFFSET = 4 * MIB


class Host(NamedTuple):
    """What all releases share: the tree with its RAM filled in, Xen's arguments, the fate of its nodes."""

    tree: Tree
    args: XenArgs
    nodes: HostNodes
    ram_given: bool


def prepare(tree: Tree, options: XenOptions) -> Host:
    """Return the host as Xen finds it; ``options.memory``, or the log's RAM, replaces the tree's memory nodes."""
    args = parse_bootargs(xen_bootargs(tree))
    ram = options.memory
    given = bool(ram)
    if given:
        tree = parse(with_memory(tree, ram))
    return Host(tree, args, handle_host_nodes(tree, args), given)


def predict(host: Host, profile: XenProfile, options: XenOptions) -> tuple[Prediction, ...]:
    """Return what this release does for each domain: dom0 first, then those in /chosen, then the toolstack's."""
    return tuple(_Xen(host, profile, options).domains())


class _Xen:
    def __init__(self, host: Host, profile: XenProfile, options: XenOptions) -> None:
        self.host = host
        self.profile = profile
        self.options = options
        self.info = boot_fdt_info(host.tree, profile)
        self.notes: list[str] = []
        self.iommu = self._iommu()
        self.ipa_bits = self._ipa_bits()
        self.ext_regions = host.args.ext_regions if options.ext_regions is None else options.ext_regions

    def domains(self) -> Iterator[Prediction]:
        domus = domu_domains(self.host.tree, self.profile)
        if not domus or any(item.kind == "Kernel" and not item.domu for item in self.info.modules):
            yield self._dom0()
        for domu in domus:
            yield self._domu(domu)
        for size in self.options.guests:
            yield self._libxl(size)

    def _iommu(self) -> bool:
        if self.options.iommu is not None:
            self.notes.append(f"IOMMU: {_on(self.options.iommu)}, as given")
            return self.options.iommu
        if self.host.args.iommu is False:
            self.notes.append("IOMMU: off, Xen's command line says so")
            return False
        found = tree_has_iommu(self.host.tree)
        what = "an enabled one that Xen drives is in the tree" if found else "no enabled one that Xen drives is in the tree"
        self.notes.append(f"IOMMU: {_on(found)}, {what}")
        return found

    def _ipa_bits(self) -> int:
        if self.options.ipa_bits is not None:
            return self.options.ipa_bits
        bits = [item for item in (pa_bits(self.host.tree), self.profile.ipa_bits_default) if item is not None]
        if self.iommu and any("renesas,ipmmu" in name for node in self.host.tree.root for name in node.compatible):
            bits.append(_IPMMU_BITS)
        chosen = min(bits, default=48)
        known = "as the CPUs have" if pa_bits(self.host.tree) is not None else "the CPUs' width is not known"
        self.notes.append(f"guest physical addresses: {chosen} bits, {known} (--ipa-bits)")
        return chosen

    def _stop(self) -> Stop | None:
        """Return what stops Xen before it looks at a domain."""
        if self.info.panic is not None:
            at = f", at {self.info.stopped_at}" if self.info.stopped_at else ""
            quiet = "; it dies before the console is up, so that nothing is printed" if self.info.stopped_at else ""
            return Stop("boot-scan", f"{self.info.panic}{at}{quiet}")
        if self.info.stopped_at is not None and not self.info.mem:
            return Stop(
                "boot-scan", f"the scan of the tree ends at {self.info.stopped_at} without a word, and no RAM is seen"
            )
        kernels = [path for path in self.info.dropped if self._is_kernel(path)]
        if kernels:
            return Stop("modules", f"the boot module {kernels[0]} overlaps reserved memory or another module and is dropped")
        return None

    def _is_kernel(self, path: str) -> bool:
        node = self.host.tree.find(path)
        return node is not None and (node.is_compatible("multiboot,kernel") or node.is_compatible("xen,linux-zimage"))

    def _grant_table(self) -> AddressRange | None:
        """Return dom0's grant table: Xen's text, wherever the boot loader put Xen."""
        if self.options.grant_table is not None:
            return self.options.grant_table
        if self.options.log is not None and self.options.log.grant_table is not None:
            return self.options.log.grant_table
        if not self.info.mem:
            return None
        start = self.info.mem[0].start + _XEN_TEXT_OFFSET
        return AddressRange(start, self.host.args.max_grant_frames * 4 * KIB)

    def _dom0_memory(self, grant_table: AddressRange | None) -> tuple[tuple[AddressRange, ...], bool, Stop | None, str]:
        log = self.options.log
        banks = self.options.dom0_banks or (log.dom0_banks if log else ())
        if banks:
            return tuple(sorted(banks)), True, None, "dom0's RAM: as given"
        wanted = self.options.dom0_mem
        if wanted == 0:
            return (), True, None, "dom0's RAM: none assigned, as given"
        if wanted is None:
            wanted = self.host.args.dom0_mem or DOM0_MEM_DEFAULT
        if not self.info.mem:
            return (), False, None, "dom0's RAM: not placed, the tree lists none"
        image = AddressRange(grant_table.start, 2 * MIB) if grant_table else None
        bits = platform_of(self.host.tree).dma_bitsize
        got = allocate_memory_11(boot_heap(self.info, image), wanted, dma_bits=bits, max_banks=self.profile.nr_mem_banks)
        note = (
            f"dom0's RAM: {format_size(wanted)}, placed by a model of Xen's allocator (--dom0-bank or --xen-log settles it)"
        )
        stop = None
        if got.unallocated:
            stop = Stop("dom0-memory", f"Failed to allocate requested dom0 memory. {got.unallocated >> 20}MB unallocated")
        return got.banks, False, stop, note

    def _dom0(self) -> Prediction:
        grant = self._grant_table()
        memory, known, memory_stop, memory_note = self._dom0_memory(grant)
        stop = self._stop() or memory_stop
        failure = self.host.nodes.failure
        if stop is None and failure is not None:
            stop = Stop("dom0-devices", failure)
        if not self.ext_regions:
            method, regions = "none", Regions((), None, "d0: extended regions support is disabled")
        elif self.iommu:
            method, regions = "holes", find_memory_holes(self._unflattened(), self.profile, self.ipa_bits)
        else:
            method = "unallocated"
            regions = find_unallocated_memory(self.info, self.profile, self.ipa_bits, memory, grant)
        regions = _with_message(regions, "d0")
        blob = None
        if self.info.mem:
            blob = dom0_blob(
                self.host.tree, self.host.nodes, self.info, self.profile.name, memory, grant, regions.ranges, None
            )
        notes = [f"Xen {self.profile.name}", *self.notes, memory_note]
        if (
            grant is not None
            and self.options.grant_table is None
            and not (self.options.log and self.options.log.grant_table)
        ):
            notes.append(
                f"grant table: taken as Xen's text at {grant.start:#x}, {_XEN_TEXT_OFFSET >> 20} MiB into RAM, a guess "
                "(--grant-table or --xen-log settles it)"
            )
        notes += self._scan_notes()
        return Prediction(
            self.profile.name, self.iommu, "dom0", method, self.info, stop, memory, known, grant, regions, blob, tuple(notes)
        )

    def _unflattened(self) -> Tree:
        """Return the tree that the search for holes sees: 4.16 booted through EFI has deleted the memory nodes."""
        if self.options.efi and self.profile.efi_drops_memory_nodes:
            return parse(with_memory(self.host.tree, ()))
        return self.host.tree

    def _scan_notes(self) -> list[str]:
        notes: list[str] = []
        if self.info.stopped_at is not None and self.info.panic is None:
            notes.append(f"Xen's scan of the tree ends at {self.info.stopped_at} without a word; what follows is not seen")
        if not self.info.modules:
            notes.append("boot modules: none in /chosen; a boot loader adds them")
        if self.profile.efi_drops_memory_nodes and self.iommu:
            how = (
                "through EFI: this release deletes the memory nodes and offers RAM itself"
                if self.options.efi
                else ("without EFI: through EFI (--efi) this release would offer RAM itself")
            )
            notes.append(f"booted {how} (fixed by 53701ecb8f)")
        return notes

    def _domu(self, domu: DomU) -> Prediction:
        memory = domu.memory
        excluded = self._domu_excluded(domu)
        if not domu.enhanced:
            why = (
                "no xen,enhanced: the domain gets no hypervisor node"
                if self.profile.domu_hypervisor
                else ("this release writes no hypervisor node for dom0less domains")
            )
            method, regions = "none", Regions((), None, why)
        elif not self.ext_regions:
            method, regions = "none", Regions((), None, "extended regions support is disabled")
        elif domu.direct_map and domu.passthrough and self.iommu:
            method = "holes"
            regions = find_memory_holes(self.host.tree, self.profile, self.ipa_bits, excluded=excluded)
        elif domu.direct_map:
            method = "unallocated"
            regions = find_unallocated_memory(self.info, self.profile, self.ipa_bits, memory, GUEST_GNTTAB)
        else:
            method = "guest-layout"
            regions = find_domU_holes(self.profile, self.ipa_bits, memory, excluded=excluded)
        regions = _with_message(regions, domu.node.name)
        stop = self._stop() or (Stop("modules", domu.problem) if domu.problem else None)
        blob = domu_blob(self.host.tree, domu, self.profile.name, GUEST_GNTTAB, regions.ranges)
        notes = (f"Xen {self.profile.name}", *self.notes, _p2m_note(domu), *self._scan_notes())
        return Prediction(
            self.profile.name,
            self.iommu,
            domu.node.path,
            method,
            self.info,
            stop,
            memory,
            True,
            GUEST_GNTTAB,
            regions,
            blob,
            notes,
        )

    def _domu_excluded(self, domu: DomU) -> tuple[AddressRange, ...]:
        shared = domu.shared if self.profile.shm_excluded else ()
        return shared + (domu.passed_through if self.profile.xen_reg_excluded else ())

    def _libxl(self, size: int) -> Prediction:
        memory = guest_memory(size)
        regions = extended_regions(self.profile, memory, self.options.iomem, self.ipa_bits)
        domu = DomU(
            node=self.host.tree.root,
            memory=memory,
            cpus=1,
            direct_map=False,
            enhanced=True,
            passthrough=False,
            vpl011=False,
            shared=(),
            passed_through=self.options.iomem,
            p2m_mb=None,
            bootargs="",
            problem=None,
        )
        blob = domu_blob(self.host.tree, domu, self.profile.name, GUEST_GNTTAB, regions.ranges)
        return Prediction(
            xen=self.profile.name,
            iommu=self.iommu,
            domain=f"libxl:{format_size(size).replace(' ', '')}",
            method="guest-layout",
            info=self.info,
            stopped_by=self._stop(),
            memory=memory,
            memory_known=True,
            grant_table=GUEST_GNTTAB,
            regions=regions,
            blob=blob,
            assumed=(f"Xen {self.profile.name}, a guest of the toolstack", *self.notes),
        )


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


def _on(value: bool) -> str:
    return "on" if value else "off"
