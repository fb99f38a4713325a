"""A guest that a toolstack makes: its memory and what is passed through."""

from typing import NamedTuple

from dtanalyze.address.range import AddressRange
from dtanalyze.xen.partial_tree import PartialTree

__all__ = ["Iomem", "Toolstack"]


class Iomem(NamedTuple):
    """One range of ``iomem``: host and guest address and size, in bytes."""

    host: int
    guest: int
    size: int

    @property
    def range(self) -> AddressRange | None:
        """The guest's addresses, None when there are none."""
        return AddressRange(self.guest, self.size) if self.size and self.guest + self.size <= 1 << 64 else None


class Toolstack(NamedTuple):
    """A guest of the toolstack. ``size`` is bytes; ``irqs`` are numbers of the GIC, ``dtdev`` paths in the host's tree.

    ``passthrough`` is None where the toolstack decides by what is listed; ``device_tree`` is the file that a partial tree is
    in, ``partial`` its content when it was read.
    """

    name: str
    size: int
    vcpus: int = 1
    iomem: tuple[Iomem, ...] = ()
    irqs: tuple[int, ...] = ()
    dtdev: tuple[str, ...] = ()
    passthrough: bool | None = None
    vuart: bool = False
    device_tree: str | None = None
    partial: PartialTree | None = None
