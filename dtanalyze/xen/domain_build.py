"""Which address space Xen offers a domain as extended regions.

Mirrors find_unallocated_memory, find_memory_holes, find_domU_holes and add_ext_regions (arch/arm/domain_build.c; from
4.20 partly common/device-tree/domain-build.c), each release's defects included. Left out: 32-bit domains, cache colouring.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from dtanalyze.address.range import AddressRange
from dtanalyze.address.units import GIB, MIB
from dtanalyze.board.build import pci_windows
from dtanalyze.board.bus import XEN
from dtanalyze.board.translate import Translated, reg_entries
from dtanalyze.devicetree.tree import Tree
from dtanalyze.xen.bootinfo import BootInfo
from dtanalyze.xen.profile import XenProfile
from dtanalyze.xen.rangeset import NullDereferenceError, Rangeset
from dtanalyze.xen.regions import Regions

__all__ = [
    "GUEST_GNTTAB",
    "GUEST_RAM_BANKS",
    "find_domU_holes",
    "find_memory_holes",
    "find_unallocated_memory",
]

_SZ_2M: Final = 2 * MIB
_MIN_REGION: Final = 64 * MIB
_PAGE_SHIFT: Final = 12
_MASK64: Final = (1 << 64) - 1

GUEST_GNTTAB: Final = AddressRange(0x38000000, 16 * MIB)
GUEST_RAM_BANKS: Final = (AddressRange(0x40000000, 3 * GIB), AddressRange(0x200000000, 1016 * GIB))
"""GUEST_RAM_BANK_BASES and _SIZES (xen/include/public/arch-arm.h)."""


class _SearchError(Exception):
    def __init__(self, error: str, message: str) -> None:
        super().__init__(message)
        self.error = error


class _Space:
    """A rangeset in the release's unit: bytes, or page frames."""

    def __init__(self, profile: XenProfile) -> None:
        self.shift = _PAGE_SHIFT if profile.rangeset_pages else 0
        self.set = Rangeset(removal_extends_lower_range=profile.removal_extends_lower_range)

    def add(self, start: int, stop: int) -> None:
        self.set.add_range(start >> self.shift, ((stop - 1) & _MASK64) >> self.shift)

    def remove(self, start: int, stop: int) -> None:
        self.set.remove_range(start >> self.shift, ((stop - 1) & _MASK64) >> self.shift)

    def report(self, ipa_bits: int, profile: XenProfile) -> tuple[AddressRange, ...]:
        out: list[AddressRange] = []
        for start, end in self.set.report_ranges(0, ((1 << ipa_bits) - 1) >> self.shift):
            found = _add_ext_region(start << self.shift, end, self.shift, profile)
            if found is not None and len(out) < profile.nr_mem_banks:
                out.append(found)
        return tuple(out)


def _add_ext_region(start: int, end: int, shift: int, profile: XenProfile) -> AddressRange | None:
    """Round to 2 MiB and drop what is below 64 MiB; ``end`` is the last unit of the run."""
    if profile.last_page_start_is_end:
        last = end << shift
    else:
        last = ((end + 1) << shift) - 1
    aligned = (start + _SZ_2M - 1) & ~(_SZ_2M - 1)
    if aligned > last:
        return None
    size = (last + 1 - aligned) & ~(_SZ_2M - 1)
    return AddressRange(aligned, size) if size >= _MIN_REGION else None


def find_unallocated_memory(
    info: BootInfo,
    profile: XenProfile,
    ipa_bits: int,
    domain_memory: Iterable[AddressRange],
    grant_table: AddressRange | None,
) -> Regions:
    """Host RAM that is neither the domain's, nor reserved, nor its grant table: the way without an IOMMU."""
    space = _Space(profile)
    steps: list[str] = []
    try:
        for bank in info.mem:
            if bank.wraps:
                raise _SearchError("crash", f"the RAM of {bank.node} wraps around: an assertion of rangeset_add_range fails")
            space.add(bank.start, bank.stop)
            steps.append(f"add RAM {bank.start:#x}-{bank.stop - 1:#x} ({bank.node})")
        for item in domain_memory:
            space.remove(item.start, item.stop)
            steps.append(f"remove the domain's RAM {item.start:#x}-{item.last:#x}")
        for bank in info.reserved_mem + info.shmem:  # up to 4.18 one list
            space.remove(bank.start, bank.stop)
            steps.append(f"remove reserved {bank.start:#x}-{bank.stop - 1:#x} ({bank.node})")
        if grant_table is not None:
            space.remove(grant_table.start, grant_table.stop)
            steps.append(f"remove the grant table {grant_table.start:#x}-{grant_table.last:#x}")
    except NullDereferenceError:
        return _crashed(steps)
    except _SearchError as failure:
        return Regions((), failure.error, str(failure), tuple(steps))
    return _reported(space, ipa_bits, profile, steps)


def find_memory_holes(tree: Tree, profile: XenProfile, ipa_bits: int, *, excluded: Iterable[AddressRange] = ()) -> Regions:
    """The physical space that no ``reg`` and no PCI window of any node names: the way with an IOMMU.

    Disabled nodes count. One address that cannot be translated and there is no region at all.
    """
    space = _Space(profile)
    steps: list[str] = []
    try:
        space.add(0, 1 << ipa_bits)
        for item in excluded:
            space.remove(item.start, item.stop)
        for start, stop, what in _host_ranges(tree, profile):
            space.remove(start, stop)
            steps.append(f"remove {start:#x}-{(stop - 1) & _MASK64:#x} ({what})")
    except NullDereferenceError:
        return _crashed(steps)
    except _SearchError as failure:
        return Regions((), failure.error, str(failure), tuple(steps))
    return _reported(space, ipa_bits, profile, steps)


def _host_ranges(tree: Tree, profile: XenProfile) -> Iterable[tuple[int, int, str]]:
    for node in tree.root:
        for entry in reg_entries(node, XEN):
            if not isinstance(entry.where, Translated):
                raise _SearchError("EINVAL", f"Unable to retrieve address {entry.nth} for {node.path}")
            yield *_pages(entry.where.address, entry.size), node.path
        if node.device_type == "pci" and node.prop("ranges") is not None:
            for window in pci_windows(node, XEN):
                address = window.where.address if isinstance(window.where, Translated) else _MASK64
                if profile.pci_range_checked and _MASK64 - address < window.size:
                    raise _SearchError(
                        "ERANGE", f"{node.path}: [{address:#x}, {(address + window.size) & _MASK64:#x}] is not usable"
                    )
                yield *_pages(address, window.size), f"{node.path}, PCI window"


def _pages(address: int, size: int) -> tuple[int, int]:
    """Round outward to pages in 64 bits."""
    return address & ~0xFFF, (address + size + 0xFFF) & _MASK64 & ~0xFFF


def find_domU_holes(  # noqa: N802  # upstream's name
    profile: XenProfile, ipa_bits: int, memory: Iterable[AddressRange], *, excluded: Iterable[AddressRange] = ()
) -> Regions:
    """What the guest layout's two RAM banks leave free behind the domain's RAM.

    ``excluded`` (static shared memory, passed-through MMIO) counts only in releases that look at it; going through
    add_ext_regions then also brings that function's defect.
    """
    found: list[AddressRange] = []
    sizes = [sum(item.size for item in memory if bank.covers(item)) for bank in GUEST_RAM_BANKS]
    avoid = list(excluded)
    for bank, used in zip(GUEST_RAM_BANKS, sizes, strict=True):
        start = (bank.start + used + _SZ_2M - 1) & ~(_SZ_2M - 1)
        last = min(bank.last, (1 << ipa_bits) - 1)
        if last > start and last - start + 1 >= _MIN_REGION:
            found.append(AddressRange.spanning(start, last + 1))
    if avoid or profile.xen_reg_excluded:
        return _without(found, avoid, profile, ipa_bits)
    return Regions(tuple(found), None if found else "ENOENT", None)


def _without(found: list[AddressRange], avoid: list[AddressRange], profile: XenProfile, ipa_bits: int) -> Regions:
    space = _Space(profile)
    steps: list[str] = []
    try:
        for item in found:
            space.add(item.start, item.stop)
        for item in avoid:
            space.remove(*_pages(item.start, item.size))
            steps.append(f"remove {item.start:#x}-{item.last:#x}")
    except NullDereferenceError:
        return _crashed(steps)
    return _reported(space, ipa_bits, profile, steps)


def _crashed(steps: list[str]) -> Regions:
    line = "a removal of size zero at the start of a hole: the hypervisor dereferences NULL"
    return Regions((), "crash", line, tuple(steps))


def _reported(space: _Space, ipa_bits: int, profile: XenProfile, steps: list[str]) -> Regions:
    ranges = space.report(ipa_bits, profile)
    return Regions(ranges, None if ranges else "ENOENT", None, tuple(steps))
