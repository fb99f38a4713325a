"""Ranges that several nodes name: which of these overlaps are meant, and why.

Real trees share ranges on purpose. The table below holds the reasons; what none of them explains is left to the rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from dtanalyze.address.range import AddressRange
from dtanalyze.board.model import Board, Device, entry_range
from dtanalyze.board.translate import RegEntry
from dtanalyze.devicetree.tree import Node

__all__ = ["MOST_AT_ONE_PLACE", "Overlap", "Side", "device_overlaps", "device_sides", "sits_in_ram"]

MOST_AT_ONE_PLACE: Final = 16
_SHARED_BLOCKS: Final = ("syscon", "simple-mfd", "simple-bus")
_IN_RAM: Final = (
    "ramoops",
    "simple-framebuffer",
    "shared-dma-pool",
    "arm,scmi-shmem",
    "arm,scp-shmem",
    "qcom,smem",
    "qcom,cmd-db",
    "qcom,rmtfs-mem",
    "pmem-region",
    "phram",
    "mtd-ram",
    "linaro,optee-tz",
    "nvidia,tegra210-emc-table",
    "raspberrypi,bootloader-config",
    "amlogic,meson-gxbb-scp-shmem",
)


class Side(NamedTuple):
    """One entry of a device's addresses, in CPU addresses, of ``entries`` that the device has."""

    node: Node
    entry: RegEntry
    range: AddressRange
    entries: int = 1


class Overlap(NamedTuple):
    """Two entries that share addresses. ``reason`` says why that is meant; empty when nothing explains it.

    ``shape`` is ``equal``, ``inside`` (one holds the other) or ``partial``.
    """

    one: Side
    other: Side
    shape: str
    reason: str


def device_sides(board: Board, *, enabled: bool = True) -> tuple[Side, ...]:
    """Return the entries with CPU addresses of devices that are ``enabled`` or not, ascending, larger ones first."""
    what = f"sides {board.rules.name} {enabled}"
    return board.tree.root.once(what, lambda _: _device_sides(board.devices, enabled=enabled))


def _device_sides(devices: Iterable[Device], *, enabled: bool) -> tuple[Side, ...]:
    sides = [
        Side(device.node, entry, found, len(device.entries))
        for device in devices
        if device.enabled is enabled
        for entry in device.entries
        if (found := entry_range(entry)) is not None
    ]
    return tuple(sorted(sides, key=lambda side: (side.range.start, -side.range.size)))


def device_overlaps(board: Board) -> Iterator[Overlap]:
    """Yield each pair of enabled devices that share addresses, ascending.

    Where more than `MOST_AT_ONE_PLACE` share one address, each is paired with those that reach farthest.
    """
    active: list[Side] = []
    for side in device_sides(board):
        active = [item for item in active if item.range.stop > side.range.start]
        for before in active:
            if before.node is not side.node:
                yield _overlap(before, side)
        active.append(side)
        if len(active) > MOST_AT_ONE_PLACE:
            del active[min(range(len(active)), key=lambda at: active[at].range.stop)]


def _overlap(one: Side, other: Side) -> Overlap:
    if one.range == other.range:
        shape = "equal"
    elif one.range.covers(other.range) or other.range.covers(one.range):
        shape = "inside"
    else:
        shape = "partial"
    return Overlap(one, other, shape, _reason(one, other, shape))


def _reason(one: Side, other: Side, shape: str) -> str:
    """Return why two devices share addresses on purpose; the first reason that holds."""
    if _below(one.node, other.node) or _below(other.node, one.node):
        return "one node lies below the other: a block and a part of it"
    for side in (one, other):
        block = _shared_block(side.node)
        if block is not None and shape != "partial":
            return f"{block.path} is a block of registers that several drivers share ({_kind(block)})"
    names = _entry_name(one), _entry_name(other)
    if shape == "equal" and names[0] and names[0] == names[1]:
        return f"both nodes call this entry {names[0]}: one shared part of two blocks"
    if _family(one.node) & _family(other.node) and one.node.parent is other.node.parent and shape == "equal":
        return "two instances of one kind of device on the same registers"
    if shape != "partial" and max(one.entries, other.entries) > 1:
        return "a block with several drivers: one of its entries and the other node's are one part of it"
    return ""


def _below(node: Node, above: Node) -> bool:
    current: Node | None = node
    while current is not None:
        if current is above:
            return True
        current = current.parent
    return False


def _shared_block(node: Node) -> Node | None:
    """Return the nearest node from ``node`` upward, the root and its buses aside, that is shared by design."""
    current: Node | None = node
    while current is not None and current.parent is not None:
        if _kind(current) and current.prop("reg") is not None:
            return current
        current = current.parent
    return None


def _kind(node: Node) -> str:
    return next((name for name in _SHARED_BLOCKS if node.is_compatible(name)), "")


def _entry_name(side: Side) -> str:
    names = side.node.prop("reg-names")
    listed = names.strings if names is not None else ()
    return listed[side.entry.nth] if side.entry.nth < len(listed) else ""


def _family(node: Node) -> set[str]:
    return set(node.compatible)


def sits_in_ram(node: Node) -> str:
    """Return why a node with addresses in RAM is meant so, or an empty string."""
    found = next((name for name in _IN_RAM if node.is_compatible(name)), "")
    if found:
        return f"{found} describes a piece of RAM"
    if node.prop("memory-region") is not None:
        return "the node names reserved memory of its own"
    return ""
