"""One release of Xen booting on one host tree: what holds for all of its domains.

Mirrors start_xen (arch/arm/setup.c) as far as it decides about domains: the scan of the tree, the modules, the IOMMU, the
width of guest physical addresses, where Xen itself lies.
"""

from typing import Final, NamedTuple

from dtanalyze.address.range import AddressRange
from dtanalyze.address.units import KIB, MIB
from dtanalyze.board.cpus import pa_bits
from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.tree import Tree
from dtanalyze.xen.bootargs import XenArgs
from dtanalyze.xen.bootinfo import DEVICE_TREE, Module, boot_fdt_info
from dtanalyze.xen.guest_tree import with_memory
from dtanalyze.xen.handle_node import HostNodes, tree_has_iommu
from dtanalyze.xen.options import XenOptions
from dtanalyze.xen.prediction import Stop
from dtanalyze.xen.profile import XenProfile

__all__ = ["Host", "XenBoot"]

_IPMMU_BITS: Final = 40
_TEXT_PAGES: Final = 256
"""Pages of Xen's text, which dom0's grant table cannot outgrow (gnttab_dom0_frames): about 1 MiB."""
_XEN_SIZE: Final = 2 * MIB
"""What Xen's image takes at most, and its alignment."""
_XEN_TEXT_OFFSET: Final = 4 * MIB
"""Where Xen's text is taken to lie in the lowest RAM bank when nothing says it, as on the machines recorded."""


class Host(NamedTuple):
    """What all releases share: the tree with its RAM filled in, Xen's arguments, the fate of its nodes."""

    tree: Tree
    args: XenArgs
    nodes: HostNodes


class XenBoot:
    """The state of one boot; ``notes`` say what was assumed."""

    def __init__(self, host: Host, profile: XenProfile, options: XenOptions) -> None:
        self.host = host
        self.profile = profile
        self.options = options
        self.info = boot_fdt_info(host.tree, profile, modules=self._known_modules())
        self.notes: list[str] = []
        self.iommu = self._iommu()
        self.ipa_bits = self._ipa_bits()
        self.ram_known = any(bank.node.count("/") == 1 for bank in self.info.mem)
        self.ext_regions = host.args.ext_regions if options.ext_regions is None else options.ext_regions
        self.stop = self._stop()

    def _known_modules(self) -> tuple[Module, ...]:
        """Return what start_xen registers before it scans the tree: Xen itself and the tree, as far as it is known."""
        known = self.options.log.modules if self.options.log is not None else ()
        address = self.options.fdt_address
        if address is None:
            return known
        known = tuple(item for item in known if item.kind != DEVICE_TREE)
        return (*known, Module(DEVICE_TREE, address, self.host.tree.totalsize, "", False))

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
        wrapping = next((bank.node for bank in self.info.mem if bank.wraps), None)
        if wrapping is not None:
            return Stop(
                "boot-scan", f"the RAM of {wrapping} runs past the end of the address space, where Xen cannot map it"
            )
        kernels = [path for path in self.info.dropped if self._is_kernel(path)]
        if kernels:
            return Stop(
                "modules",
                f"Missing kernel boot module? (the module {kernels[0]} overlaps reserved memory, Xen, the tree itself or "
                "another module, and is dropped)",
            )
        return None

    def _is_kernel(self, path: str) -> bool:
        node = self.host.tree.find(path)
        return node is not None and (node.is_compatible("multiboot,kernel") or node.is_compatible("xen,linux-zimage"))

    def grant_table(self) -> tuple[AddressRange | None, tuple[str, ...]]:
        """Return dom0's grant table (Xen's text, wherever the boot loader put Xen) and what was assumed of it."""
        if self.options.grant_table is not None:
            return self.options.grant_table, ()
        if self.options.log is not None and self.options.log.grant_table is not None:
            return self.options.log.grant_table, ()
        if not self.ram_known:
            return None, ()
        start = self._text_guess()
        note = (
            f"grant table: taken as Xen's text at {start:#x}, {_XEN_TEXT_OFFSET >> 20} MiB into free RAM, a guess "
            "(--grant-table or --xen-log settles it)"
        )
        if self.host.args.max_grant_frames > _TEXT_PAGES:
            note += f"; Xen makes it no larger than its own text, here taken as {_TEXT_PAGES} pages"
        return AddressRange(start, min(self.host.args.max_grant_frames, _TEXT_PAGES) * 4 * KIB), (note,)

    def _text_guess(self) -> int:
        """Return where Xen's text may lie: 4 MiB into RAM, past what is reserved there, since no loader puts Xen on that."""
        start = self.info.mem[0].start + _XEN_TEXT_OFFSET
        for bank in sorted(self.info.reserved_mem, key=lambda item: item.start):
            if bank.start < start + _XEN_SIZE and start < bank.stop:
                start = -(-bank.stop // _XEN_SIZE) * _XEN_SIZE
        return start

    def unflattened(self) -> Tree:
        """Return the tree that the search for holes sees: 4.16 booted through EFI has deleted the memory nodes."""
        if self.options.efi and self.profile.efi_drops_memory_nodes:
            return parse(with_memory(self.host.tree, ()))
        return self.host.tree

    def scan_notes(self) -> list[str]:
        notes: list[str] = []
        if self.info.stopped_at is not None and self.info.panic is None:
            notes.append(f"Xen's scan of the tree ends at {self.info.stopped_at} without a word; what follows is not seen")
        if not self.ram_known and self.iommu:
            notes.append("extended regions: as of the tree without RAM, so they still cover where RAM will be")
        if not any(item.node for item in self.info.modules):
            notes.append("boot modules: none in /chosen; a boot loader adds them")
        elif not any(item.kind == DEVICE_TREE for item in self.info.modules):
            notes.append(
                "boot modules: where Xen and the tree itself lie is not known, so that overlaps with them are not seen "
                "(--fdt-address or --xen-log settles it)"
            )
        if self.info.shmem:
            notes.append("static shared memory: Xen is taken to be built with CONFIG_STATIC_SHM, which is off by default")
        if self.profile.efi_drops_memory_nodes and self.iommu:
            how = (
                "through EFI: this release deletes the memory nodes and offers RAM itself"
                if self.options.efi
                else ("without EFI: through EFI (--efi) this release would offer RAM itself")
            )
            notes.append(f"booted {how} (fixed by 53701ecb8f)")
        return notes


def _on(value: bool) -> str:
    return "on" if value else "off"
