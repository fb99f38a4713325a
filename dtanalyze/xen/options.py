"""What a host tree does not say, and the caller may."""

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from dtanalyze.address.range import AddressRange
from dtanalyze.address.units import format_range, format_size
from dtanalyze.errors import UsageError
from dtanalyze.xen.build import DEFAULT, Build

if TYPE_CHECKING:  # only a caller with a log needs its reader
    from dtanalyze.xen.boot_log import XenLog
    from dtanalyze.xen.efi_config import EfiConfig
    from dtanalyze.xen.partial_tree import PartialTree
    from dtanalyze.xen.toolstack import Toolstack

__all__ = ["XenOptions", "usable"]


class XenOptions(NamedTuple):
    """What the tree does not say; None leaves it to the tree, the log or a stated guess.

    ``fdt_address`` is where the boot loader puts the tree; ``efi`` says that Xen is booted through EFI, which matters to
    4.16 only; ``efi_config`` is what its ``xen.cfg`` says.

    ``partial_trees`` are those of domains, each under its node's name or path; ``gic_lines`` is how many interrupt IDs the
    GIC's distributor reports.
    ``build`` is what Xen was built with.

    ``dom0_mem`` is bytes, 0 for none assigned. ``guests`` are the sizes of toolstack guests, ``iomem`` their exclusions;
    ``toolstack`` are guests by their configuration.
    """

    iommu: bool | None = None
    ipa_bits: int | None = None
    memory: tuple[AddressRange, ...] = ()
    dom0_mem: int | None = None
    dom0_banks: tuple[AddressRange, ...] = ()
    grant_table: AddressRange | None = None
    ext_regions: bool | None = None
    log: "XenLog | None" = None
    fdt_address: int | None = None
    efi: bool = False
    guests: tuple[int, ...] = ()
    iomem: tuple[AddressRange, ...] = ()
    gic_lines: int | None = None
    build: Build = DEFAULT
    partial_trees: "tuple[tuple[str, PartialTree], ...]" = ()
    toolstack: "tuple[Toolstack, ...]" = ()
    efi_config: "EfiConfig | None" = None

    @property
    def tells_ram(self) -> bool:
        """Whether RAM is given, or listed by the log."""
        return bool(self.memory or (self.log is not None and self.log.ram))

    @property
    def asked_build(self) -> Build:
        """The build; where the caller says that an IOMMU is used, it has the driver that its kind needs."""
        if self.iommu:
            return self.build._replace(on=self.build.on | {"ARM_SMMU", "ARM_SMMU_V3", "IPMMU_VMSA"})
        return self.build


def usable(options: XenOptions) -> XenOptions:
    """Return the options when each can be meant, dom0's banks sorted; raise `UsageError` when one cannot."""
    # The bank table comes with the whole search for regions, which reading options should not cost.
    from dtanalyze.xen.domain_build import GUEST_RAM_BANKS

    if options.ipa_bits is not None and not 32 <= options.ipa_bits <= 52:
        raise UsageError(f"guest physical addresses have 32 to 52 bits, not {options.ipa_bits}")
    if options.gic_lines is not None and not 32 <= options.gic_lines <= 1020:
        raise UsageError(f"a GIC has 32 to 1020 interrupt IDs, not {options.gic_lines}")
    if options.dom0_mem is not None and options.dom0_mem < 0:
        raise UsageError(f"dom0 cannot have {options.dom0_mem} bytes of RAM")
    room = sum(bank.size for bank in GUEST_RAM_BANKS)
    for size in options.guests:
        if not 0 < size <= room:
            raise UsageError(
                f"a toolstack guest has more than 0 and at most {format_size(room)} of RAM, not {format_size(size)}"
            )
    banks = tuple(sorted(options.dom0_banks))
    for one, other in pairwise(banks):
        if one.overlaps(other):
            raise UsageError(
                f"dom0's banks {format_range(one.start, one.stop)} and {format_range(other.start, other.stop)} overlap"
            )
    return options._replace(dom0_banks=banks)
