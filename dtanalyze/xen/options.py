"""What a host tree does not say, and the caller may."""

from typing import TYPE_CHECKING, NamedTuple

from dtanalyze.address.range import AddressRange

if TYPE_CHECKING:  # only a caller with a log needs its reader
    from dtanalyze.xen.boot_log import XenLog

__all__ = ["XenOptions"]


class XenOptions(NamedTuple):
    """What the tree does not say; None leaves it to the tree, the log or a stated guess.

    ``fdt_address`` is where the boot loader puts the tree; ``efi`` says that Xen is booted through EFI, which matters to
    4.16 only.

    ``dom0_mem`` is bytes, 0 for none assigned. ``guests`` are the sizes of toolstack guests, ``iomem`` their exclusions.
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
