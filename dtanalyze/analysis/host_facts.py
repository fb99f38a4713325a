"""The machine that Xen boots on, gathered for reports: RAM, reservations, devices, boot modules, and where the scan stops.

Nothing is decided here: the scan's banks and modules are Xen's mirror's, devices are the board's. What a scan that ends
early never saw is told from the order of the tree, since Xen reads it once, from front to back.
"""

from __future__ import annotations

from collections.abc import Iterator

from dtanalyze.address.range import RawRange
from dtanalyze.board.model import Board, entry_range
from dtanalyze.board.translate import reg_entries
from dtanalyze.devicetree.tree import Node
from dtanalyze.facts import HostFacts, HostRange, ModuleUse, ScanNode
from dtanalyze.xen.prediction import Prediction

__all__ = ["devices_of", "host_facts"]


def devices_of(board: Board) -> tuple[HostRange, ...]:
    """Return the addresses of every enabled device and the windows of every enabled PCI host bridge, ascending."""
    found = [
        HostRange("device", RawRange(span.start, span.size), device.node.path)
        for device in board.devices
        if device.enabled
        for entry in device.entries
        if (span := entry_range(entry)) is not None
    ]
    found += [
        HostRange("PCI window", RawRange(span.start, span.size), host.node.path)
        for host in board.pci_hosts
        if host.enabled
        for window in host.windows
        if (span := window.range) is not None
    ]
    return tuple(sorted(found, key=lambda item: (item.range.start, item.range.size, item.node)))


def host_facts(board: Board, prediction: Prediction, devices: tuple[HostRange, ...]) -> HostFacts:
    """Return the machine of one boot."""
    info, stop = prediction.info, prediction.stopped_by
    node = (stop.node if stop else None) or info.stopped_at
    return HostFacts(
        ram=tuple(HostRange("ram", RawRange(bank.start, bank.size), bank.node) for bank in info.mem),
        reserved=tuple(HostRange("reserved", RawRange(bank.start, bank.size), bank.node) for bank in info.reserved_mem),
        devices=devices,
        modules=tuple(_modules(prediction)),
        stage=stop.stage if stop else None,
        stop_node=node,
        scan=tuple(_scan(board, info.stopped_at)) if info.stopped_at else (),
        dom0_known=prediction.memory_known,
    )


def _modules(prediction: Prediction) -> Iterator[ModuleUse]:
    """Yield the modules; one that several domains name by the same addresses once, with all of them."""
    users: dict[tuple[str, int, int], tuple[str, list[str]]] = {}
    for item in prediction.info.modules:
        domain = item.node.rpartition("/")[0] if item.domu else "dom0" if item.node else "Xen"
        users.setdefault((item.kind, item.start, item.size), (item.node, []))[1].append(domain)
    for (kind, start, size), (node, found) in users.items():
        yield ModuleUse(kind, RawRange(start, size), node, tuple(dict.fromkeys(found)))


def _scan(board: Board, stopped_at: str) -> Iterator[ScanNode]:
    state = "read"
    for node in board.tree.root:
        kind = _kind(node)
        if node.path == stopped_at:
            yield ScanNode(node.path, kind or "node", _ranges(node, board), "stops")
            state = "not seen"
        elif kind is not None:
            yield ScanNode(node.path, kind, _ranges(node, board), state)


def _kind(node: Node) -> str | None:
    """Return what the scan takes the node for, None for one that it passes by."""
    if node.base_name == "memory" and node.path.count("/") == 1:
        return "memory"
    if node.path.startswith("/reserved-memory/"):
        return "reserved"
    if node.is_compatible("multiboot,module") or node.is_compatible("xen,multiboot-module"):
        return "module"
    return None


def _ranges(node: Node, board: Board) -> tuple[RawRange, ...]:
    return tuple(
        RawRange(entry.address, entry.size) for entry in reg_entries(node, board.rules) if entry.address is not None
    )
