"""One release of Xen booting on one host tree: what the stages of that boot find, each worked out once when it is asked for.

Holds no decision of its own: each property is one call of a mirror, with what the tree and the caller say.
"""

from functools import cached_property

from dtanalyze.address.range import AddressRange
from dtanalyze.board.architecture import RISCV, arch_of
from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.xen.assigned import Assigned
from dtanalyze.xen.boot_cpupool import CpuPools, cpu_pools
from dtanalyze.xen.bootfdt import boot_fdt_info
from dtanalyze.xen.bootinfo import BootInfo, Module, boot_cmdline_find_by_name, is_dom0less_mode
from dtanalyze.xen.command_line import xen_command_line
from dtanalyze.xen.device import Machine, mapped_pages
from dtanalyze.xen.dom0_memory import Dom0Placed, free_memory, known_modules, loaded_modules, place_dom0
from dtanalyze.xen.dom0_tree import dom0_blob
from dtanalyze.xen.dom0less import DomU, domu_domains, partial_is_found
from dtanalyze.xen.domu_tree import HostUart
from dtanalyze.xen.drivers import IOMMUS, UARTS
from dtanalyze.xen.dt_uart import Console, console_registers, find_console
from dtanalyze.xen.gnttab_region import find_gnttab_region
from dtanalyze.xen.guest_tree import cpus_failure, with_memory
from dtanalyze.xen.handle_node import HostNodes, handle_host_nodes, host_machine, root_cells_can_be_written
from dtanalyze.xen.host import Host
from dtanalyze.xen.hypervisor_node import dom0_regions
from dtanalyze.xen.iommu import Iommus, iommu_hardware_setup
from dtanalyze.xen.iommu_enabled import Iommu, iommu_enabled
from dtanalyze.xen.kernel import Mapped
from dtanalyze.xen.known_options import Word, words_of
from dtanalyze.xen.llc_coloring import llc_coloring_enabled
from dtanalyze.xen.options import XenOptions
from dtanalyze.xen.own_irqs import OwnIrqs, own_irqs
from dtanalyze.xen.p2m import IpaBits, p2m_ipa_bits
from dtanalyze.xen.page_alloc import BootAllocator, XenBug
from dtanalyze.xen.partial_tree import Copied, PartialTree, copy_partial
from dtanalyze.xen.profile import XenProfile
from dtanalyze.xen.regions import Regions
from dtanalyze.xen.vgic import MAX_VIRT_CPUS

__all__ = ["Boot"]


class Boot:
    """One boot. What it finds does not depend on whether an earlier stage refuses.

    ``more_ram`` takes it that there is RAM behind addresses of modules that the tree does not list as such.
    """

    def __init__(self, host: Host, profile: XenProfile, options: XenOptions, *, more_ram: bool = False) -> None:
        self.host = host
        self.options = options
        self.more_ram = more_ram
        self.build = options.asked_build
        # A driver that is not built is none: a release that has it and a build that lacks it look alike from here on.
        missing = {name for name, symbol in (UARTS | IOMMUS).items() if not self.build.has(symbol)}
        self.profile = profile._replace(no_driver=profile.no_driver | missing)

    @cached_property
    def arch(self) -> str:
        """The architecture of the host's CPUs."""
        return arch_of(self.host.tree)

    @cached_property
    def info(self) -> BootInfo:
        """What the scan of the flat tree leaves."""
        tree = self.host.tree
        known = known_modules(self.options, self._known_text(), tree.totalsize)
        return boot_fdt_info(tree, self.profile, modules=known, build=self.build, efi=self.options.efi)

    def _known_text(self) -> AddressRange | None:
        """Return dom0's grant table, which is Xen's text, where somebody says it."""
        said = self.options.log.grant_table if self.options.log is not None else None
        return self.options.grant_table or said

    @cached_property
    def ram_known(self) -> bool:
        """Whether the tree lists RAM: a boot loader may fill it in."""
        return self.info.ram_known

    @cached_property
    def iommu_known(self) -> Iommu:
        """Whether Xen uses an IOMMU, and where that comes from."""
        return iommu_enabled(self.host.tree, self.host.args, self.profile, self.options, self.build, self.iommus)

    @cached_property
    def iommus(self) -> Iommus:
        """What becomes of the IOMMUs of the tree when Xen tries them."""
        return iommu_hardware_setup(self.host.tree, self.profile, self._own_irqs().irqs)

    @cached_property
    def own_irqs(self) -> OwnIrqs:
        """What Xen's console, the timer and the interrupt controller got of the interrupts that they ask for."""
        return self._own_irqs()

    def _own_irqs(self) -> OwnIrqs:
        return own_irqs(self.host.tree, self.profile, self.console, self.options.gic_lines)

    @property
    def iommu(self) -> bool:
        """Whether Xen uses an IOMMU."""
        return self.iommu_known.on

    @cached_property
    def p2m_ipa_bits(self) -> IpaBits:
        """The width of guest physical addresses, and where it comes from."""
        return p2m_ipa_bits(
            self.host.tree, self.cpupools.online, self.profile, self.options, iommu=self.iommu
        )

    @property
    def ipa_bits(self) -> int:
        """The width of guest physical addresses."""
        return self.p2m_ipa_bits.value

    @property
    def ext_regions(self) -> bool:
        """Whether Xen looks for extended regions at all."""
        return self.host.args.ext_regions if self.options.ext_regions is None else self.options.ext_regions

    @cached_property
    def console_found(self) -> Console:
        """The UART that Xen keeps for its console, or why there is none."""
        return find_console(self.host.tree, self.host.args, self.profile)

    @property
    def console(self) -> Node | None:
        """The UART that Xen keeps for its console."""
        return self.console_found.node

    @cached_property
    def nodes(self) -> HostNodes:
        """What becomes of the host's nodes in dom0."""
        return handle_host_nodes(self.host.tree, self.machine, self.console, self.dom0_vcpus)

    def hardware_nodes(self, domu: DomU) -> HostNodes:
        """What becomes of the host's nodes in a hardware domain of /chosen."""
        return handle_host_nodes(self.host.tree, self._new_machine(), self.console, domu.cpus, self.called(domu))

    @cached_property
    def machine(self) -> Machine:
        """What devices are given to dom0 with, and then to the domains after it."""
        return self._new_machine()

    def _new_machine(self) -> Machine:
        used = self.iommus if self.iommu else Iommus()
        return host_machine(self.host.tree, self.profile, self._own_irqs().irqs, used, self.ipa_bits)

    @cached_property
    def domus(self) -> tuple[DomU, ...]:
        """The domains that /chosen describes, each with what its partial tree has mapped."""
        return tuple(domu._replace(assigned=domu.assigned + self._mapped(domu)) for domu in self._described)

    @cached_property
    def _described(self) -> tuple[DomU, ...]:
        found = tuple(
            domu._replace(bootargs=boot_cmdline_find_by_name(self.info, domu.node))
            for domu in domu_domains(self.host.tree, self.profile)
        )
        if self.build.has("STATIC_SHM"):
            return found
        # What is not built in is not read: releases that do not refuse such a tree (4.17) share nothing.
        return tuple(domu._replace(shm=()) for domu in found)

    def _mapped(self, domu: DomU) -> tuple[Assigned, ...]:
        copied = self.partials.get(domu.node.path)
        return copied[1].assigned if copied is not None else ()

    @cached_property
    def partials(self) -> dict[str, tuple[Node, Copied]]:
        """What is copied of each partial tree that is given, by the path of its domain, below a root of its own."""
        if self.has_dom0:
            _ = self.nodes  # dom0 takes its devices first
        machine = self.machine if self.has_dom0 else self._new_machine()
        out = {}
        for domu in self._described:
            partial = self.partial_of(domu)
            if partial is not None:
                root = Node("", None, 0)
                if domu.nr_spis is not None:
                    machine.irqs.limit(self.called(domu), domu.nr_spis)
                out[domu.node.path] = root, copy_partial(partial, root, self.host.tree, machine, self.called(domu))
        return out

    def partial_of(self, domu: DomU) -> PartialTree | None:
        """Return the partial tree that is given for a domain, by the node's name or path.

        Xen finds it among the modules that its scan kept: a node that it took for none adds nothing.
        """
        if not partial_is_found(self.info, domu.node):
            return None
        given = self.options.partial_trees
        return next((tree for name, tree in given if name in (domu.node.name, domu.node.path)), None)

    def called(self, domu: DomU) -> str:
        """Return what Xen calls a domain: ``d1`` for the first in /chosen."""
        return f"d{next(at for at, item in enumerate(self._described, 1) if item.node is domu.node)}"

    @cached_property
    def has_dom0(self) -> bool:
        """Whether there is a dom0: with domains in /chosen, only when a kernel is given for it (is_dom0less_mode)."""
        return not self._described or not is_dom0less_mode(self.host.tree, self.info, efi=self.options.efi)

    @cached_property
    def console_uart(self) -> HostUart | None:
        """The registers and the interrupt of Xen's console; None where it has no UART, or one without either."""
        where = console_registers(self.console)
        return HostUart(where, self.console_irq) if where is not None and self.console_irq is not None else None

    @cached_property
    def console_irq(self) -> int | None:
        """The interrupt of Xen's console (serial_irq)."""
        dt = self.machine.irqs.dt
        first = next(iter(dt.raw_irqs(self.console)), None) if self.console is not None else None
        found = dt.gic_irq(first)
        return found.irq if found is not None else None

    @cached_property
    def cpus_failure(self) -> str | None:
        """Why no tree of a domain can describe its CPUs."""
        return cpus_failure(self.host.tree)

    @cached_property
    def dom0_vcpus(self) -> int:
        """dom0's CPUs: as many as the host has, unless dom0_max_vcpus= says otherwise."""
        return min(self.host.args.dom0_max_vcpus or self.cpus, MAX_VIRT_CPUS)

    @cached_property
    def cpus(self) -> int:
        """CPUs that Xen uses: those of the kind of the first, unless hmp-unsafe is set, and no more than maxcpus."""
        return len(self.cpupools.online) or 1

    @property
    def possible_cpus(self) -> int:
        """CPUs that Xen counts (nr_cpu_ids), used or not."""
        return len(self.cpupools.possible) or 1

    @cached_property
    def cpupools(self) -> CpuPools:
        """The host's CPUs, and the pools that the tree makes of them."""
        read = self.build.has("BOOT_TIME_CPUPOOLS") and self.profile.boot_cpupools
        numbered = self.profile.unstarted_cpus_numbered
        return cpu_pools(self.host.tree, self.build, self.host.args, read=read, unstarted_numbered=numbered)

    @property
    def llc_coloring(self) -> bool:
        """Whether Xen colours the last-level cache."""
        return llc_coloring_enabled(self.host.args, self.profile, self.build)

    @cached_property
    def dom0_memory(self) -> Dom0Placed:
        """Where dom0's RAM lies."""
        return place_dom0(
            self.host.tree,
            self.info,
            self.profile,
            self.options,
            self.host.args,
            self.free_memory,
            self._loaded,
            self.grant_table[0],
            self.ipa_bits,
        )

    @cached_property
    def _loaded(self) -> tuple[Module, ...]:
        """Xen's image and the tree, where they are taken to lie."""
        return loaded_modules(self.info, self.grant_table[0], self.host.tree)

    @cached_property
    def free_memory(self) -> BootAllocator | XenBug:
        """What is free when the heap is made, or what Xen dies of before."""
        return free_memory(self.host.tree, self.info, self.profile, self.host.args, self._loaded)

    @property
    def other_starts(self) -> tuple["Boot", ...]:
        """The same boot with dom0's RAM at each of the other places that it may have."""
        _ = self.domus  # devices are taken once: dom0's, then the domains'
        return tuple(self._with(placed) for placed in self.dom0_memory.others)

    def _with(self, placed: Dom0Placed) -> "Boot":
        other = Boot(self.host, self.profile, self.options)
        reached = ("dom0_memory", "dom0_blob") if self.iommu else ("dom0_memory", "dom0_blob", "dom0_regions")
        vars(other).update({name: found for name, found in vars(self).items() if name not in reached}, dom0_memory=placed)
        return other

    @cached_property
    def grant_table(self) -> tuple[AddressRange | None, tuple[str, ...]]:
        """dom0's grant table (Xen's text, wherever the boot loader put Xen) and what was assumed of it."""
        return find_gnttab_region(self._known_text(), self.info, self.host.args.max_grant_frames)

    @cached_property
    def unflattened(self) -> Tree:
        """The tree that the search for holes sees: 4.16 booted through EFI has deleted the memory nodes."""
        if self.options.efi and self.profile.efi_drops_memory_nodes:
            return parse(with_memory(self.host.tree, ()))
        return self.host.tree

    @cached_property
    def dom0_regions(self) -> tuple[str, Regions]:
        """How dom0's extended regions are searched for, and what is found."""
        return dom0_regions(self)

    @cached_property
    def dom0_mapped(self) -> tuple[Mapped, ...]:
        """The pages that dom0's devices are mapped at."""
        kept = (node for node in self.host.tree.root if self.nodes.is_kept(node))
        return tuple(Mapped(start, stop, node.path) for node in kept for start, stop in mapped_pages(node))

    @cached_property
    def dom0_blob(self) -> bytes | None:
        """The tree that Xen writes for dom0; None when there is nothing to write, or no way to."""
        if self.arch == RISCV or not self.ram_known or not root_cells_can_be_written(self.host.tree):
            return None
        tree, banks, grant = self.host.tree, self.dom0_memory.banks, self.grant_table[0]
        ranges = self.dom0_regions[1].ranges
        return dom0_blob(tree, self.nodes, self.info, self.profile, banks, grant, ranges, self.dom0_vcpus)

    @cached_property
    def words(self) -> tuple[Word, ...]:
        """The words of Xen's command line."""
        return words_of(xen_command_line(self.host.tree).text)
