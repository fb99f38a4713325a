"""How far Xen came through the nodes of the host's tree: those that it read, the one that stops it, those it never comes to.

Xen goes through the tree more than once. Its first scan looks for RAM, reservations and modules, front to back (bootfdt.c).
Much later dom0 gets the devices in document order (handle_node in domain_build.c), then the domains of /chosen are built
one by one (create_domUs). A stop between the two, at the timer for example, leaves all devices and domains undone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dtanalyze.address.range import RawRange
from dtanalyze.board.model import Board
from dtanalyze.board.translate import RegEntry, reg_entries
from dtanalyze.devicetree.tree import Node
from dtanalyze.facts import ScanNode
from dtanalyze.xen.handle_node import Fate
from dtanalyze.xen.prediction import Prediction
from dtanalyze.xen.stage import Stop

__all__ = ["nodes_reached"]

_DEVICES, _DOMAINS = "dom0-devices", "domains"


def nodes_reached(board: Board, prediction: Prediction) -> Iterator[ScanNode]:
    """Yield the nodes of the walk that a stop ends, in Xen's order; none where nothing stops Xen."""
    if prediction.info.stopped_at:
        yield from _boot_scan(board, prediction.info.stopped_at)
    elif prediction.stopped_by is not None and prediction.stages:
        yield from _construction(board, prediction, prediction.stopped_by)


def _boot_scan(board: Board, stopped_at: str) -> Iterator[ScanNode]:
    state = "read"
    for node in board.tree.root:
        kind = _scanned_as(node)
        if node.path == stopped_at:
            yield ScanNode(node.path, kind or "node", _stated(node, board), "stops")
            state = "not seen"
        elif kind is not None:
            yield ScanNode(node.path, kind, _stated(node, board), state)


def _scanned_as(node: Node) -> str | None:
    """Return what the scan takes the node for, None for one that it passes by."""
    if node.base_name == "memory" and node.path.count("/") == 1:
        return "memory"
    if node.path.startswith("/reserved-memory/"):
        return "reserved"
    if node.is_compatible("multiboot,module") or node.is_compatible("xen,multiboot-module"):
        return "module"
    return None


def _stated(node: Node, board: Board) -> tuple[RawRange, ...]:
    """Return the ranges as the node states them: the scan takes them so, below whichever node (device_tree_get_reg)."""
    entries = reg_entries(node, board.rules)
    return tuple(RawRange(entry.where.chain[0].address, entry.size) for entry in entries if entry.where.chain)


def _construction(board: Board, prediction: Prediction, stop: Stop) -> Iterator[ScanNode]:
    """Yield dom0's devices and the domains of /chosen, with the node of the stop where Xen comes to it."""
    known = {id(device.node): _raw(device.entries) for device in board.devices}
    devices = list(_devices(board, prediction, stop, known)) if prediction.has_dom0 else []
    domains = [node for node in (board.chosen.children if board.chosen else ()) if node.is_compatible("xen,domain")]
    order = [(node, "device") for node in devices] + [(node, "domain") for node in domains]
    done = _done(prediction, stop, devices, domains)
    at = stop.domain or stop.node
    for place, (node, kind) in enumerate(order):
        if place == done and at is not None and node.path != at:
            yield _elsewhere(board, at)
        state = "read" if place < done else "stops" if node.path == at and place == done else "not seen"
        yield ScanNode(node.path, kind, known.get(id(node), ()), state)
    if done == len(order) and at is not None:
        yield _elsewhere(board, at)


def _elsewhere(board: Board, path: str) -> ScanNode:
    """Return a node that is neither a device for dom0 nor a domain and stops Xen: its timer, a module, the root."""
    node = next((node for node in board.tree.root if node.path == path), None)
    return ScanNode(path, "node", _ranges(node, board) if node is not None else (), "stops")


def _devices(
    board: Board, prediction: Prediction, stop: Stop, known: dict[int, tuple[RawRange, ...]]
) -> Iterator[Node]:
    """Yield the nodes with CPU addresses that dom0 gets, whatever their status, and the one that stops the walk."""
    for node in board.tree.root:
        fate = prediction.nodes.fate(node)
        stops = node.path == stop.node and fate is not Fate.DROPPED and node.parent is not None
        if stops or (fate is Fate.KEPT and known.get(id(node))):
            yield node


def _done(prediction: Prediction, stop: Stop, devices: list[Node], domains: list[Node]) -> int:
    """Return how many of the devices, then of the domains, Xen is done with."""
    ran = [stage.name for stage, _ in prediction.stages]
    if _DEVICES not in ran:
        return 0
    if ran[-1] == _DEVICES:
        # Xen writes its own node after all those of the host.
        own = not prediction.nodes.failures or prediction.nodes.failures[0].kind == "cells"
        return len(devices) if own else _place(devices, stop.node, 0)
    if ran[-1] == _DOMAINS:
        return len(devices) + _place(domains, stop.domain or stop.node, len(domains))
    return len(devices) + (len(domains) if _DOMAINS in ran else 0)


def _place(nodes: list[Node], path: str | None, otherwise: int) -> int:
    return next((place for place, node in enumerate(nodes) if node.path == path), otherwise)


def _ranges(node: Node, board: Board) -> tuple[RawRange, ...]:
    return _raw(reg_entries(node, board.rules))


def _raw(entries: Iterable[RegEntry]) -> tuple[RawRange, ...]:
    return tuple(RawRange(entry.address, entry.size) for entry in entries if entry.address is not None)
