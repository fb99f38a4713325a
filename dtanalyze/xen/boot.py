"""One release of Xen booting on one host tree: what the stages of that boot find, each worked out once when it is asked for.

Holds no decision of its own: each property is one call of a mirror, with what the tree and the caller say.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Final, NamedTuple

from dtanalyze.address.range import ADDRESS_SPACE, AddressRange
from dtanalyze.address.units import KIB, MIB
from dtanalyze.board.architecture import RISCV, arch_of
from dtanalyze.board.bus import XEN
from dtanalyze.board.cpus import pa_bits
from dtanalyze.board.model import entry_range
from dtanalyze.board.translate import reg_entries
from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.xen.assigned import Assigned
from dtanalyze.xen.boot_cpupool import CpuPools
from dtanalyze.xen.bootfdt import boot_fdt_info
from dtanalyze.xen.bootinfo import DEVICE_TREE, BootInfo, Module, boot_cmdline_find_by_name, dom0_modules_of, loaded_by_efi
from dtanalyze.xen.build import Build
from dtanalyze.xen.command_line import dom0_command_line, xen_command_line
from dtanalyze.xen.device import Machine
from dtanalyze.xen.dom0_memory import XEN_IMAGE, Dom0Placed, free_memory, loaded_modules, place_dom0, xen_at
from dtanalyze.xen.dom0_tree import dom0_blob
from dtanalyze.xen.dom0less import DomU, device_tree_module, domu_domains, find_by_addr_and_kind
from dtanalyze.xen.domu_tree import HostUart
from dtanalyze.xen.drivers import IOMMUS, UARTS, driver_symbol
from dtanalyze.xen.dt_uart import console_node
from dtanalyze.xen.efi_config import EfiConfig
from dtanalyze.xen.efi_stub import efi_notes
from dtanalyze.xen.guest_tree import cpus_failure, with_memory
from dtanalyze.xen.handle_node import HostNodes, handle_host_nodes, host_machine, root_cells_can_be_written, xen_irqs
from dtanalyze.xen.hypervisor_node import dom0_regions
from dtanalyze.xen.iommu import Iommus, iommu_hardware_setup
from dtanalyze.xen.irq import Irqs
from dtanalyze.xen.known_options import Word, words_of
from dtanalyze.xen.options import XenOptions
from dtanalyze.xen.page_alloc import BootAllocator, XenBug
from dtanalyze.xen.parse_params import XenArgs
from dtanalyze.xen.partial_tree import Copied, PartialTree, copy_partial
from dtanalyze.xen.platforms import platform_of
from dtanalyze.xen.profile import XenProfile
from dtanalyze.xen.smpboot import dt_smp_init_cpus
from dtanalyze.xen.vgic import MAX_VIRT_CPUS, gic_node, v2m_frames

__all__ = ["Boot", "Host"]

_IPMMU_BITS: Final = 40
_FEW_LINES: Final = 256
"""Interrupt IDs that the controllers of boards have at least."""
_TEXT_PAGES: Final = 256
"""Pages of Xen's text, which dom0's grant table cannot outgrow (gnttab_dom0_frames): about 1 MiB."""
_LINE_SHOWN: Final = 200
_WORDS_SHOWN: Final = 8
_XEN_SIZE: Final = 2 * MIB
"""What Xen's image takes at most, and its alignment."""
_XEN_TEXT_OFFSET: Final = 4 * MIB
"""Where Xen's text is taken to lie in the lowest RAM bank when nothing says it, as on the machines recorded."""


class Host(NamedTuple):
    """What all releases share: the tree with its RAM filled in, and Xen's arguments.

    ``efi`` is what Xen's EFI loader reads, None where it reads no configuration file.
    """

    tree: Tree
    args: XenArgs
    efi: EfiConfig | None = None


class Known(NamedTuple):
    """A width in bits, and where it comes from."""

    value: int
    note: str


class Boot:
    """One boot. What it finds does not depend on whether an earlier stage refuses.

    ``more_ram`` takes it that there is RAM behind addresses of modules that the tree does not list as such.
    """

    def __init__(self, host: Host, profile: XenProfile, options: XenOptions, *, more_ram: bool = False) -> None:
        self.host = host
        self.options = options
        self.more_ram = more_ram
        self.build = _asked_for(options)
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
        return boot_fdt_info(
            self.host.tree, self.profile, modules=self._known_modules(), build=self.build, efi=self.options.efi
        )

    def _known_modules(self) -> tuple[Module, ...]:
        """Return what start_xen registers before it scans the tree: Xen itself and the tree, as far as it is known."""
        known = self.options.log.modules if self.options.log is not None else ()
        text, address = self._known_text(), self.options.fdt_address
        if text is not None and all(item.kind != XEN_IMAGE for item in known):
            known = (xen_at(text), *known)
        if address is None:
            return known
        known = tuple(item for item in known if item.kind != DEVICE_TREE)
        return (*known, Module(DEVICE_TREE, address, self.host.tree.totalsize, "", False))

    def _known_text(self) -> AddressRange | None:
        """Return dom0's grant table, which is Xen's text, where somebody says it."""
        said = self.options.log.grant_table if self.options.log is not None else None
        return self.options.grant_table or said

    @cached_property
    def ram_known(self) -> bool:
        """Whether the tree lists RAM: a boot loader may fill it in."""
        return self.info.ram_known

    @cached_property
    def _iommu(self) -> tuple[bool, str]:
        if self.options.iommu is not None:
            return self.options.iommu, f"IOMMU: {_on(self.options.iommu)}, as given"
        if self.options.log is not None and self.options.log.iommu is not None:
            return self.options.log.iommu, f"IOMMU: {_on(self.options.log.iommu)}, as the log says"
        if self.host.args.iommu is False:
            return False, "IOMMU: off, Xen's command line says so"
        if self.iommus.failed is not None:
            return False, f"IOMMU: off, {self.iommus.failed[0].path} cannot be set up"
        if not self.iommus.ready:
            return False, f"IOMMU: off, {self._no_iommu()}"
        symbol = driver_symbol(self.iommus.ready[0], IOMMUS, self.profile)
        note = "IOMMU: on, an enabled one that Xen drives is in the tree"
        if symbol in self.build.presumed:
            note += f"; Xen is taken to be built with CONFIG_{symbol}, which is off by default (--xen-build, --xen-config)"
        return True, note

    def _no_iommu(self) -> str:
        for node, refused in self.iommus.passed_over:
            return f"Xen passes over {node.path}: {refused.because} (--iommu on)"
        for node in self.host.tree.root:
            symbol = next((IOMMUS[name] for name in node.compatible if name in IOMMUS), None)
            if symbol is not None and node.available and not self.build.has(symbol):
                return f"{node.path} needs CONFIG_{symbol}, which {self.build.name} lacks (--xen-config FILE, --iommu on)"
        return "no enabled one that Xen drives is in the tree"

    @cached_property
    def iommus(self) -> Iommus:
        """What becomes of the IOMMUs of the tree when Xen tries them."""
        return iommu_hardware_setup(self.host.tree, self.profile, self._xen_irqs())

    def _xen_irqs(self) -> Irqs:
        return xen_irqs(self.host.tree, self.profile, self.console, self.options.gic_lines)

    @property
    def iommu(self) -> bool:
        """Whether Xen uses an IOMMU."""
        return self._iommu[0]

    @cached_property
    def _ipa_bits(self) -> Known:
        if self.options.ipa_bits is not None:
            return Known(self.options.ipa_bits, "")
        if self.options.log is not None and self.options.log.ipa_bits is not None:
            bits = self.options.log.ipa_bits
            return Known(bits, f"guest physical addresses: {bits} bits, as the log says")
        widths = [item for item in (pa_bits(self.host.tree), self.profile.ipa_bits_default) if item is not None]
        if self.iommu and any("renesas,ipmmu" in name for node in self.host.tree.root for name in node.compatible):
            widths.append(_IPMMU_BITS)
        chosen = min(widths, default=48)
        known = "as the CPUs have" if pa_bits(self.host.tree) is not None else "the CPUs' width is not known"
        return Known(chosen, f"guest physical addresses: {chosen} bits, {known} (--ipa-bits)")

    @property
    def ipa_bits(self) -> int:
        """The width of guest physical addresses."""
        return self._ipa_bits.value

    @property
    def ext_regions(self) -> bool:
        """Whether Xen looks for extended regions at all."""
        return self.host.args.ext_regions if self.options.ext_regions is None else self.options.ext_regions

    @cached_property
    def console(self) -> Node | None:
        """The UART that Xen keeps for its console."""
        return console_node(self.host.tree, self.host.args, self.profile)

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
        return host_machine(self.host.tree, self.profile, self._xen_irqs(), used, self.ipa_bits)

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
        module = device_tree_module(domu.node)
        named = module is not None and module.prop("reg") is not None
        if named and find_by_addr_and_kind(self.info, domu.node, "DTB") is None:
            return None
        given = self.options.partial_trees
        return next((tree for name, tree in given if name in (domu.node.name, domu.node.path)), None)

    def called(self, domu: DomU) -> str:
        """Return what Xen calls a domain: ``d1`` for the first in /chosen."""
        return f"d{next(at for at, item in enumerate(self._described, 1) if item.node is domu.node)}"

    @cached_property
    def node_count(self) -> int:
        """How many nodes the host tree has."""
        return sum(1 for _ in self.host.tree.root)

    @cached_property
    def has_dom0(self) -> bool:
        """Whether there is a dom0: with domains in /chosen, only when a kernel is given for it (is_dom0less_mode)."""
        own = [node for node, kind in dom0_modules_of(self.host.tree) if kind == "Kernel"]
        if any(loaded_by_efi(node, efi=self.options.efi) for node in own):
            return True
        listed = any(item.node for item in self.info.modules) or bool(self.info.dropped)
        kernels = [item for item in self.info.modules if item.kind == "Kernel"]
        return not self._described or any(not item.domu for item in kernels) or (listed and not kernels)

    @cached_property
    def console_uart(self) -> HostUart | None:
        """The registers and the interrupt of Xen's console; None where it has no UART, or one without either."""
        entry = next(iter(reg_entries(self.console, XEN)), None) if self.console is not None else None
        where = entry_range(entry) if entry is not None else None
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
        possible = dt_smp_init_cpus(self.host.tree)
        possible = possible[: self.host.args.max_cpus or len(possible)]
        alike = tuple(node for node in possible if node.compatible == possible[0].compatible)
        online = possible if self.host.args.hmp_unsafe else alike
        read = self.build.has("BOOT_TIME_CPUPOOLS") and self.profile.boot_cpupools
        return CpuPools(self.host.tree, self.build, possible, online, read)

    @property
    def llc_coloring(self) -> bool:
        """Whether Xen colours the last-level cache."""
        return self.host.args.llc_coloring and self.profile.llc_coloring and self.build.has("LLC_COLORING")

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
        return tuple(self._with(placed) for placed in self.dom0_memory.others)

    def _with(self, placed: Dom0Placed) -> "Boot":
        other = Boot(self.host, self.profile, self.options)
        kept = ("info", "nodes", "domus", "grant_table")
        vars(other).update({name: vars(self)[name] for name in kept if name in vars(self)}, dom0_memory=placed)
        return other

    @cached_property
    def grant_table(self) -> tuple[AddressRange | None, tuple[str, ...]]:
        """dom0's grant table (Xen's text, wherever the boot loader put Xen) and what was assumed of it."""
        known = self._known_text()
        if known is not None:
            return known, ()
        if not self.ram_known:
            return None, ()
        frames = min(self.host.args.max_grant_frames, _TEXT_PAGES)
        if not frames:
            return None, ()  # grant_table_init refuses it, and no domain is made
        start = self._text_guess()
        if start + frames * 4 * KIB > ADDRESS_SPACE:
            return None, ("grant table: not known, Xen would have to lie above 2^64 (--grant-table or --xen-log gives it)",)
        note = (
            f"grant table: taken as Xen's text at {start:#x}, {_XEN_TEXT_OFFSET >> 20} MiB into free RAM, a guess "
            "(--grant-table or --xen-log settles it)"
        )
        if self.host.args.max_grant_frames > _TEXT_PAGES:
            note += f"; Xen makes it no larger than its own text, here taken as {_TEXT_PAGES} pages"
        return AddressRange(start, frames * 4 * KIB), (note,)

    def _text_guess(self) -> int:
        """Return where Xen's text may lie: 4 MiB into RAM, past what is reserved there, since no loader puts Xen on that."""
        start = self.info.mem[0].start + _XEN_TEXT_OFFSET
        for bank in sorted(self.info.reserved_mem, key=lambda item: item.start):
            if bank.start < start + _XEN_SIZE and start < bank.stop:
                start = -(-bank.stop // _XEN_SIZE) * _XEN_SIZE
        return start

    @cached_property
    def unflattened(self) -> Tree:
        """The tree that the search for holes sees: 4.16 booted through EFI has deleted the memory nodes."""
        if self.options.efi and self.profile.efi_drops_memory_nodes:
            return parse(with_memory(self.host.tree, ()))
        return self.host.tree

    @cached_property
    def dom0_blob(self) -> bytes | None:
        """The tree that Xen writes for dom0; None when there is nothing to write, or no way to."""
        if self.arch == RISCV or not self.ram_known or not root_cells_can_be_written(self.host.tree):
            return None
        tree, banks, grant = self.host.tree, self.dom0_memory.banks, self.grant_table[0]
        ranges = dom0_regions(self)[1].ranges
        return dom0_blob(tree, self.nodes, self.info, self.profile, banks, grant, ranges, self.dom0_vcpus)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed, whatever the domain."""
        return tuple(item for item in (*self._line_notes(), self._iommu[1], self._ipa_bits.note) if item)

    def _line_notes(self) -> Iterator[str]:
        """Quote the command lines, and name the words that are not modelled."""
        printed = self.options.log.console.command_line if self.options.log is not None else None
        for whose, line in (("Xen's", xen_command_line(self.host.tree)), ("dom0's", dom0_command_line(self.host.tree))):
            if line.where:
                logged = whose == "Xen's" and printed is not None and printed.value == line.text
                where = f"line {printed.line} of the log" if printed is not None and logged else line.where
                text = line.text if len(line.text) <= _LINE_SHOWN else line.text[:_LINE_SHOWN] + "…"
                yield f'{whose} command line: "{text}" ({where})'
            elif whose == "Xen's":
                yield "Xen's command line: none in /chosen"
        words = [word.text for word in self.words if word.standing == "not modelled"]
        if words:
            yield f"not modelled of Xen's command line: {', '.join(words[:_WORDS_SHOWN])}"

    @cached_property
    def words(self) -> tuple[Word, ...]:
        """The words of Xen's command line."""
        return words_of(xen_command_line(self.host.tree).text)

    @property
    def scan_notes(self) -> list[str]:
        """What was assumed of the scan and what it finds."""
        notes = list(efi_notes(self.host.efi, self.options.efi_config))
        if self.info.stopped_at is not None and self.info.panic is None:
            notes.append(f"Xen's scan of the tree ends at {self.info.stopped_at} without a word; what follows is not seen")
        if not self.ram_known and self.iommu:
            notes.append("extended regions: as of the tree without RAM, so they still cover where RAM will be")
        if self.host.efi is None and not any(item.node for item in self.info.modules):
            notes.append("boot modules: none in /chosen; a boot loader adds them")
        elif not any(item.kind == DEVICE_TREE for item in self.info.modules):
            notes.append(
                "boot modules: where Xen and the tree itself lie is not known, so that overlaps with them are not seen "
                "(--fdt-address or --xen-log settles it)"
            )
        notes.extend(self._gic_notes())
        if self.cpupools.nodes and "BOOT_TIME_CPUPOOLS" in self.build.presumed:
            notes.append(
                "pools of CPUs: Xen is taken to be built with CONFIG_BOOT_TIME_CPUPOOLS, which is off by default "
                "(--xen-build stock or --xen-config FILE)"
            )
        if self.info.shmem and "STATIC_SHM" in self.build.presumed:
            notes.append(
                "static shared memory: Xen is taken to be built with CONFIG_STATIC_SHM, which is off by default "
                "(--xen-build stock or --xen-config FILE)"
            )
        if self.profile.efi_drops_memory_nodes and self.iommu:
            how = (
                "through EFI: this release deletes the memory nodes and offers RAM itself"
                if self.options.efi
                else ("without EFI: through EFI (--efi) this release would offer RAM itself")
            )
            notes.append(f"booted {how} (fixed by 53701ecb8f)")
        return notes

    def _gic_notes(self) -> Iterator[str]:
        """Say what only the interrupt controller's registers tell."""
        gic, platform = gic_node(self.host.tree.root), platform_of(self.host.tree)
        highest, known = self.nodes.spi, self.options.gic_lines is not None or platform.gic_lines(gic) is not None
        if not known and highest >= _FEW_LINES:
            yield f"interrupt controller: taken to serve interrupt {highest}, the highest that the tree names (--gic-lines)"
        for frame in v2m_frames(gic, platform.v2m_spis) if gic is not None else ():
            if not frame.spis:
                yield (
                    f"MSI frame {frame.node.path}: its registers say which SPIs it has, the tree does not; a device with a "
                    "level interrupt among them would stop Xen"
                )


def _asked_for(options: XenOptions) -> Build:
    """Return the build; where the caller says that an IOMMU is used, it has the driver that its kind needs."""
    if options.iommu:
        return options.build._replace(on=options.build.on | {"ARM_SMMU", "ARM_SMMU_V3", "IPMMU_VMSA"})
    return options.build


def _on(value: bool) -> str:
    return "on" if value else "off"
