"""The iomem_resource view at the time a first backend maps a grant.

Mirrors request_standard_resources and reserve_memblock_reserved_regions (arch/arm64/kernel/setup.c),
gic_of_init of the GICv3 driver (drivers/irqchip/irq-gic-v3.c), of_amba_device_create (drivers/of/platform.c),
devm_of_pci_get_host_bridge_resources (drivers/pci/of.c) and pci_ecam_create (drivers/pci/ecam.c).

A claim is *certain* when the kernel makes it without asking whether a driver binds: RAM, no-map memory, the GICv3,
AMBA devices, and the memory windows and ECAM of a generic PCI host. Every other enabled device is *possible*: it is in
iomem_resource only once its driver has requested it, which no tree can tell. That holds for a vendor's PCI bridge too
(a ZCU102's is enabled in its tree and absent from a recorded /proc/iomem), and for GICv2, which maps its registers
without requesting them. Left out: kernel code and data, what the kernel reserves for itself.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from dtanalyze.address.range import AddressRange
from dtanalyze.address.rangeset import RangeSet
from dtanalyze.board.model import Board, Device, PciHost, Window, entry_range
from dtanalyze.board.translate import Hop, Translated
from dtanalyze.devicetree.tree import Node
from dtanalyze.linux.memblock import Claimed, Memblock
from dtanalyze.linux.resource import IORESOURCE_END, Resource

__all__ = ["Iomem", "Unseen", "build_iomem", "new_root", "unseen_users"]

_POPULATED_BUSES: Final = ("simple-bus", "simple-mfd", "isa", "arm,amba-bus")
# The table of drivers/pci/controller/pci-host-generic.c, which arm64 kernels have built in.
_GENERIC_HOSTS: Final = frozenset(
    {
        "pci-host-ecam-generic",
        "pci-host-cam-generic",
        "marvell,armada8k-pcie-ecam",
        "socionext,synquacer-pcie-ecam",
        "snps,dw-pcie-ecam",
    }
)


class Unseen(NamedTuple):
    """A range that something uses and that Linux cannot know of when it looks for scratch space.

    ``kind`` is ``device``, ``PCI window``, ``PCI I/O window``, ``reservation`` or ``grant table``.
    """

    kind: str
    range: AddressRange
    source: str
    offset: int
    chain: tuple[Hop, ...] = ()
    """The buses that led to the addresses, from the node outward; empty where no bus moves them."""


class Iomem(NamedTuple):
    """The tree of certain claims, and the possible ones beside it; ``notes`` say what could not be entered."""

    root: Resource
    possible: tuple[Unseen, ...]
    notes: tuple[str, ...]


def new_root() -> Resource:
    """Return an empty iomem_resource, called as the kernel calls it."""
    return Resource("PCI mem", 0, IORESOURCE_END)


def build_iomem(board: Board, memory: Memblock) -> Iomem:
    """Return iomem_resource as ``board`` and ``memory`` make it."""
    root = new_root()
    notes: list[str] = []
    _system_ram(root, memory)
    claimed: set[tuple[int, int]] = set()
    for node, index, resource in _kernel_claims(board):
        conflict = root.request_resource(resource)
        if conflict is None:
            claimed.add((id(node), index))
        else:
            notes.append(
                f"{node.path}: {resource.name} [{resource.start:#x}-{resource.end:#x}] is refused by {conflict.name}"
            )
    return Iomem(root, tuple(_possible(board, claimed)), tuple(notes))


def _system_ram(root: Resource, memory: Memblock) -> None:
    for run in memory.memory.difference(memory.nomap):
        root.insert_resource(_resource("System RAM", run, _source(run, memory.banks), system_ram=True))
    for run in memory.nomap:
        root.insert_resource(_resource("reserved", run, _source(run, memory.reserved)))
    reserved = RangeSet(item.range for item in memory.reserved)
    for ram in root.children:
        if not ram.system_ram:
            continue
        for run in reserved.intersection([AddressRange.spanning(ram.start, ram.end + 1)]):
            ram.insert_resource(_resource("reserved", run, _source(run, memory.reserved)))


def _source(run: AddressRange, claims: tuple[Claimed, ...]) -> str | None:
    return next((claim.source for claim in claims if claim.range.overlaps(run)), None)


def _resource(name: str, run: AddressRange, source: str | None, *, system_ram: bool = False) -> Resource:
    return Resource(name, run.start, run.last, source=source, system_ram=system_ram)


def _kernel_claims(board: Board) -> Iterator[tuple[Node, int, Resource]]:
    """Yield what the kernel requests by itself, in boot order: interrupt controller, AMBA devices, PCI hosts.

    With each the node and the index of its ``reg`` entry, -1 for a window.
    """
    enabled = [device for device in board.devices if device.enabled]
    for device in enabled:
        if device.node.is_compatible("arm,gic-v3"):
            yield from _gicv3(device)
    for device in enabled:
        if device.node.is_compatible("arm,primecell") and _populated(device.node):
            found = entry_range(device.entries[0])
            if found is not None:
                yield device.node, 0, _resource(device.node.name, found, device.node.path)
    regs = {id(device.node): device for device in enabled}
    for host in board.pci_hosts:
        if host.enabled and _is_generic(host):
            yield from _pci_host(host, regs.get(id(host.node)))


def _gicv3(device: Device) -> Iterator[tuple[Node, int, Resource]]:
    regions = device.node.prop("#redistributor-regions")
    count = (regions.u32 if regions else None) or 1
    for entry in device.entries[: 1 + count]:
        found = entry_range(entry)
        if found is not None:
            yield device.node, entry.nth, _resource("GICR" if entry.nth else "GICD", found, device.node.path)


def _populated(node: Node) -> bool:
    """Tell whether of_platform_populate reaches the node: every node above it is a bus that Linux descends into."""
    parent = node.parent
    while parent is not None and parent.parent is not None:
        if not parent.is_any_of(_POPULATED_BUSES):
            return False
        parent = parent.parent
    return True


def _is_generic(host: PciHost) -> bool:
    return bool(_GENERIC_HOSTS.intersection(host.node.compatible))


def _pci_host(host: PciHost, device: Device | None) -> Iterator[tuple[Node, int, Resource]]:
    for window in _merged(host.windows):
        found = window.range
        if window.space == "mem" and found is not None:
            yield host.node, -1, _resource(host.node.name, found, host.node.path)
    if device is not None:
        found = entry_range(device.entries[0])
        if found is not None:
            yield host.node, 0, _resource("PCI ECAM", found, host.node.path)


def _merged(windows: tuple[Window, ...]) -> list[Window]:
    """Join windows that continue each other on both buses, as of_pci_range_parser_one does."""
    out: list[Window] = []
    for window in windows:
        last = out[-1] if out else None
        if (
            last is not None
            and last.flags == window.flags
            and isinstance(last.where, Translated)
            and isinstance(window.where, Translated)
            and last.bus_address + last.size == window.bus_address
            and last.where.address + last.size == window.where.address
        ):
            out[-1] = last._replace(size=last.size + window.size)
        else:
            out.append(window)
    return out


def _possible(board: Board, claimed: set[tuple[int, int]]) -> Iterator[Unseen]:
    for device in board.devices:
        if not device.enabled:
            continue
        for entry in device.entries:
            found = entry_range(entry)
            if found is not None and (id(device.node), entry.nth) not in claimed:
                where = entry.where
                chain = where.chain if isinstance(where, Translated) and len(where.chain) > 1 else ()
                yield Unseen("device", found, device.node.path, entry.offset, chain)
    for host in board.pci_hosts:
        for window in host.windows if host.enabled else ():
            if window.range is None or (window.space == "mem" and _is_generic(host)):
                continue
            if window.space is not None:
                kind = "PCI window" if window.space == "mem" else "PCI I/O window"
                yield Unseen(kind, window.range, host.node.path, window.offset)


def unseen_users(iomem: Iomem, memory: Memblock, grant_table: Unseen | None) -> tuple[Unseen, ...]:
    """Return all that scratch pages could land on without the kernel noticing, ascending."""
    stray = (Unseen("reservation", item.range, item.source, item.offset) for item in memory.stray)
    grant = (grant_table,) if grant_table else ()
    return tuple(sorted((*iomem.possible, *stray, *grant), key=lambda item: (item.range, item.source)))
