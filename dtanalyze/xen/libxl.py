"""The guests of the toolstack: libxl's memory layout, extended regions and partial trees.

Mirrors finalize_hypervisor_node and copy_partial_fdt (tools/libs/light/libxl_arm.c). Left out: everything of the guest's
tree that does not concern address space.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from dtanalyze.address.range import AddressRange
from dtanalyze.address.rangeset import RangeSet
from dtanalyze.address.units import MIB
from dtanalyze.devicetree.tree import Node
from dtanalyze.devicetree.write import copy_node
from dtanalyze.xen.assigned import Assigned
from dtanalyze.xen.dom0less import DomU
from dtanalyze.xen.domain_build import GUEST_RAM_BANKS
from dtanalyze.xen.partial_tree import GUEST_PHANDLE_GIC, Copied
from dtanalyze.xen.profile import XenProfile
from dtanalyze.xen.regions import Regions
from dtanalyze.xen.toolstack import Toolstack

__all__ = ["extended_regions", "guest_memory", "toolstack_domu"]

_MIN_REGION: Final = 64 * MIB
_MAX_REGIONS: Final = 256
_PAGE: Final = 4096


def guest_memory(size: int) -> tuple[AddressRange, ...]:
    """Return where ``size`` bytes of RAM lie: 3 GiB from 1 GiB on, the rest from 8 GiB on."""
    out: list[AddressRange] = []
    for bank in GUEST_RAM_BANKS:
        part = min(size, bank.size)
        if part:
            out.append(AddressRange(bank.start, part))
        size -= part
    return tuple(out)


def extended_regions(
    profile: XenProfile, memory: Iterable[AddressRange], iomem: Iterable[AddressRange], gpaddr_bits: int
) -> Regions:
    """Return the regions behind the guest's RAM; ``iomem=`` is kept out only by releases that look at it."""
    banks = list(memory)
    free = [item for bank in GUEST_RAM_BANKS for item in _behind(bank, banks, gpaddr_bits)]
    if profile.libxl_excludes_iomem:
        left = RangeSet(free).difference(_whole_pages(iomem))
        free = [item for item in left if item.size >= _MIN_REGION]
    return Regions(tuple(free[:_MAX_REGIONS]), None if free else "ENOENT", None)


def toolstack_domu(guest: Toolstack) -> tuple[DomU, tuple[Node, Copied] | None]:
    """Return a guest as a domain, and what is copied of its partial tree: /aliases and /passthrough, as they stand."""
    node = Node(guest.name, None, 0)
    given = tuple(Assigned(node, item.host, item.guest, item.size) for item in guest.iomem)
    domu = DomU(
        node,
        guest_memory(guest.size),
        size=guest.size,
        wanted_cpus=guest.vcpus,
        cpus=guest.vcpus,
        enhanced=True,
        xenstore=True,
        vpl011=guest.vuart,
        assigned=given,
    )
    if guest.partial is None:
        return domu, None
    root = Node("", None, 0)
    for child in guest.partial.tree.root.children:
        if child.name in ("aliases", "passthrough"):
            copy_node(child, root)
    return domu, (root, Copied(root, GUEST_PHANDLE_GIC, (), ()))


def _behind(bank: AddressRange, memory: list[AddressRange], gpaddr_bits: int) -> Iterator[AddressRange]:
    used = sum(item.size for item in memory if bank.covers(item))
    start = -(-(bank.start + used) // (2 * MIB)) * 2 * MIB
    stop = min(bank.stop, 1 << gpaddr_bits)
    if stop - start >= _MIN_REGION:
        yield AddressRange.spanning(start, stop)


def _whole_pages(ranges: Iterable[AddressRange]) -> list[AddressRange]:
    return [AddressRange.spanning(item.start // _PAGE * _PAGE, -(-item.stop // _PAGE) * _PAGE) for item in ranges]
