"""What can be asked of a tree. Data only, and cheap to import."""

from typing import TYPE_CHECKING, NamedTuple

from dtanalyze.linux.profile import NEWEST, PRESETS, LinuxProfile

if TYPE_CHECKING:  # only named here; what a question does not use is never imported
    from dtanalyze.address.range import AddressRange
    from dtanalyze.linux.resource import Resource
    from dtanalyze.xen.options import XenOptions
    from dtanalyze.xen.profile import XenProfile

__all__ = ["CheckOptions", "HostQuestion"]


class CheckOptions(NamedTuple):
    """One question. ``tree`` is ``host``, ``dom0``, ``domu`` or None (found out); ``kaslr`` None lets the tree decide.

    ``memory`` replaces the tree's RAM; ``assume_memory`` takes a guess where neither says any, and ``memory_from`` is then
    what it was made from. ``requests`` and ``need`` are pages; ``reuse`` asks who else could be given
    the scratch ranges. ``cpus`` are the board's CPUs, their physical address bits or 0 where they are unknown: the tree that
    Xen writes names its first one for all. None: the tree's own.
    """

    linux: LinuxProfile = PRESETS[NEWEST]
    tree: str | None = None
    kaslr: bool | None = None
    memory: "tuple[AddressRange, ...]" = ()
    requests: tuple[int, ...] = ()
    need: int | None = None
    recorded: "Resource | None" = None
    reuse: bool = False
    assume_memory: bool = False
    memory_from: str = ""
    cpus: int | None = None


class HostQuestion(NamedTuple):
    """Which kernels, which releases of Xen, which IOMMU settings; ``options.linux`` is replaced by each of ``linux``.

    An empty ``xen`` means the newest release; an IOMMU setting of None leaves it to the tree. ``try_others`` asks whether
    other values of what is assumed would change the verdict: two boots more, so that a batch and a sweep do without.
    """

    options: CheckOptions
    linux: tuple[LinuxProfile, ...]
    xen: "tuple[XenProfile, ...]" = ()
    iommu: tuple[bool | None, ...] = (None,)
    host: "XenOptions | None" = None
    try_others: bool = False
