"""The iomem_resource view at the time a first backend maps a grant.

Mirrors request_standard_resources and reserve_memblock_reserved_regions (arch/arm64/kernel/setup.c),
gic_of_init of the GICv3 driver (drivers/irqchip/irq-gic-v3.c), of_platform_bus_create and of_amba_device_create
(drivers/of/platform.c), and for generic PCI hosts what pci_host_common_probe asks for: the windows
(devm_of_pci_get_host_bridge_resources and devm_request_pci_bus_resources, drivers/pci), then pci_ecam_create.

A claim is *certain* when the kernel makes it without asking whether a driver binds: RAM, no-map memory, the GICv3,
AMBA devices, and the memory windows and ECAM of a generic PCI host. Every other enabled device is *possible*: it is in
iomem_resource only once its driver has requested it, which no tree can tell. That holds for a vendor's PCI bridge too
(a ZCU102's is enabled in its tree and absent from a recorded /proc/iomem), and for GICv2, which maps its registers
without requesting them. A generic PCI host is *idle* when no driver ever takes it: the kernel enters no bus that leads to
it, or a window or its ECAM is refused, which makes the probe fail and gives back what it had. Left out: kernel code and
data, what the kernel reserves for itself, buses that a driver of their own populates.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from dtanalyze.address.lookup import Lookup
from dtanalyze.address.range import AddressRange
from dtanalyze.address.rangeset import RangeSet
from dtanalyze.board.model import Board, Device, Window, entry_range
from dtanalyze.board.translate import Hop, Translated
from dtanalyze.devicetree.tree import Node
from dtanalyze.linux.memblock import Claimed, Memblock
from dtanalyze.linux.resource import IORESOURCE_END, Resource

__all__ = ["Idle", "Iomem", "Unseen", "build_iomem", "new_root", "unseen_users"]

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


class Idle(NamedTuple):
    """A generic PCI host that no driver takes, and why: nothing of it is claimed, and nothing uses it."""

    source: str
    reason: str


class Iomem(NamedTuple):
    """The tree of certain claims, and the possible ones beside it; ``notes`` say what could not be entered."""

    root: Resource
    possible: tuple[Unseen, ...]
    notes: tuple[str, ...]
    idle: tuple[Idle, ...] = ()


def new_root() -> Resource:
    """Return an empty iomem_resource, called as the kernel calls it."""
    return Resource("PCI mem", 0, IORESOURCE_END)


def build_iomem(board: Board, memory: Memblock, recorded: Resource | None = None) -> Iomem:
    """Return iomem_resource as ``board`` and ``memory`` make it, or as it was ``recorded``.

    A record settles what is claimed. What it lacks is no less there: such devices are possible ones.
    """
    root = new_root()
    notes: list[str] = []
    _system_ram(root, memory)
    claimed: set[tuple[int, int]] = set()
    for node, index, resource in _kernel_claims(board):
        conflict = root.request_resource(resource)
        if conflict is None:
            claimed.add((id(node), index))
        else:
            notes.append(f"{node.path}: {_refused(resource, conflict)}")
    idle = tuple(_generic_hosts(board, root, claimed))
    if recorded is not None:
        return Iomem(recorded, tuple(_possible(board, set(), idle)), (), idle)
    notes.extend(f"{item.source}: {item.reason}" for item in idle)
    return Iomem(root, tuple(_possible(board, claimed, idle)), tuple(notes), idle)


def _refused(resource: Resource, conflict: Resource) -> str:
    return f"{resource.name} [{resource.start:#x}-{resource.end:#x}] is refused by {conflict.name}"


def _system_ram(root: Resource, memory: Memblock) -> None:
    banks, claims = Lookup(memory.banks), Lookup(memory.reserved)
    for run in memory.memory.difference(memory.nomap):
        root.insert_resource(_resource("System RAM", run, _source(run, banks), system_ram=True))
    for run in memory.nomap:
        root.insert_resource(_resource("reserved", run, _source(run, claims)))
    reserved = RangeSet(item.range for item in memory.reserved)
    for ram in root.children:
        if not ram.system_ram:
            continue
        for run in reserved.intersection([AddressRange.spanning(ram.start, ram.end + 1)]):
            ram.insert_resource(_resource("reserved", run, _source(run, claims)))


def _source(run: AddressRange, claims: Lookup[Claimed]) -> str | None:
    return next((claim.source for claim in claims.touching(run)), None)


def _resource(name: str, run: AddressRange, source: str | None, *, system_ram: bool = False) -> Resource:
    return Resource(name, run.start, run.last, source=source, system_ram=system_ram)


def _kernel_claims(board: Board) -> Iterator[tuple[Node, int, Resource]]:
    """Yield what the kernel requests by itself before any driver, in boot order: interrupt controller, AMBA devices.

    With each the node and the index of its ``reg`` entry.
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


def _gicv3(device: Device) -> Iterator[tuple[Node, int, Resource]]:
    regions = device.node.prop("#redistributor-regions")
    count = (regions.u32 if regions else None) or 1
    for entry in device.entries[: 1 + count]:
        found = entry_range(entry)
        if found is not None:
            yield device.node, entry.nth, _resource("GICR" if entry.nth else "GICD", found, device.node.path)


def _populated(node: Node) -> bool:
    """Tell whether of_platform_populate reaches the node: every node above it is a bus that Linux descends into."""
    return _closed_bus(node) is None


def _closed_bus(node: Node) -> Node | None:
    """Return the nearest node above that of_platform_bus_create does not enter, None when there is none."""
    parent = node.parent
    while parent is not None and parent.parent is not None:
        if not parent.is_any_of(_POPULATED_BUSES) or parent.is_compatible("arm,primecell"):
            return parent
        parent = parent.parent
    return None


def _is_generic(node: Node) -> bool:
    return bool(_GENERIC_HOSTS.intersection(node.compatible))


def _generic_hosts(board: Board, root: Resource, claimed: set[tuple[int, int]]) -> Iterator[Idle]:
    """Probe the generic PCI hosts in document order; yield those that no driver takes.

    A host that is no PCI bus to drivers/of/address.c (called ``pci``, without device_type) claims its ECAM all the same:
    its windows have no type there, and are passed over.
    """
    windows = {id(host.node): host.windows for host in board.pci_hosts}
    regs = {id(device.node): device for device in board.devices}
    bridges = (host.node for host in board.pci_hosts if host.enabled)
    devices = (device.node for device in board.devices if device.enabled and _is_generic(device.node))
    for node in {id(node): node for node in (*devices, *bridges) if _is_generic(node)}.values():
        closed = _closed_bus(node)
        if closed is not None:
            yield Idle(node.path, f"Linux does not enter {closed.path} by itself, so no driver takes this PCI host")
            continue
        refusal = _probe(node, windows.get(id(node), ()), regs.get(id(node)), root)
        if refusal is not None:
            yield Idle(node.path, f"{refusal}, so the probe of this PCI host fails and it claims nothing")
        else:
            claimed.add((id(node), 0))


def _probe(node: Node, windows: tuple[Window, ...], device: Device | None, root: Resource) -> str | None:
    """Request windows and ECAM; return what is refused, after everything before it was released again."""
    ecam = entry_range(device.entries[0]) if device is not None else None
    wanted = [
        _resource(node.name, found, node.path)
        for window in _merged(windows)
        if window.space == "mem" and (found := window.range) is not None
    ]
    if ecam is not None:
        wanted.append(_resource("PCI ECAM", ecam, node.path))
    for place, resource in enumerate(wanted):
        conflict = root.request_resource(resource)
        if conflict is not None:
            for before in wanted[:place]:
                before.release_resource()
            return _refused(resource, conflict)
    if ecam is None:
        for before in wanted:
            before.release_resource()
        return "it has no configuration space (reg)"
    return None


def _merged(windows: tuple[Window, ...]) -> list[Window]:
    """Join windows that continue each other on both buses, as of_pci_range_parser_one does."""
    out: list[Window] = []
    for window in windows:
        last = out[-1] if out else None
        if (
            last is not None
            and _kind(last) == _kind(window)
            and isinstance(last.where, Translated)
            and isinstance(window.where, Translated)
            and last.bus_address + last.size == window.bus_address
            and last.where.address + last.size == window.where.address
        ):
            out[-1] = last._replace(size=last.size + window.size)
        else:
            out.append(window)
    return out


def _kind(window: Window) -> int:
    """Return what of a PCI address's first cell makes resource flags: prefetchable or not, and the space."""
    return window.flags & 0x43000000


def _possible(board: Board, claimed: set[tuple[int, int]], idle: tuple[Idle, ...]) -> Iterator[Unseen]:
    unused = {item.source for item in idle}
    for device in board.devices:
        if not device.enabled or (unused and _is_generic(device.node) and device.node.path in unused):
            continue
        for entry in device.entries:
            found = entry_range(entry)
            if found is not None and (id(device.node), entry.nth) not in claimed:
                where = entry.where
                chain = where.chain if isinstance(where, Translated) and len(where.chain) > 1 else ()
                yield Unseen("device", found, device.node.path, entry.offset, chain)
    for host in board.pci_hosts:
        if not host.enabled or host.node.path in unused:
            continue
        for window in host.windows:
            if window.range is None or (window.space == "mem" and (id(host.node), 0) in claimed):
                continue
            if window.space is not None:
                kind = "PCI window" if window.space == "mem" else "PCI I/O window"
                yield Unseen(kind, window.range, host.node.path, window.offset)


def unseen_users(iomem: Iomem, memory: Memblock, grant_table: Unseen | None) -> tuple[Unseen, ...]:
    """Return all that scratch pages could land on without the kernel noticing, ascending."""
    stray = (Unseen("reservation", item.range, item.source, item.offset) for item in memory.stray)
    grant = (grant_table,) if grant_table else ()
    return tuple(sorted((*iomem.possible, *stray, *grant), key=lambda item: (item.range, item.source)))
