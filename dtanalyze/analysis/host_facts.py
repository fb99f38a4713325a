"""The machine that Xen boots on, gathered for reports: RAM, reservations, devices, boot modules, and where Xen stops.

Nothing is decided here: the scan's banks and modules are Xen's mirror's, devices are the board's.
"""

from __future__ import annotations

from collections.abc import Iterator

from dtanalyze.address.range import RawRange
from dtanalyze.analysis.reached import nodes_reached
from dtanalyze.board.model import Board, entry_range
from dtanalyze.facts import HostFacts, HostRange, ModuleUse
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
        scan=tuple(nodes_reached(board, prediction)),
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
