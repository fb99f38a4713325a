"""Where RAM begins on a board whose tree leaves its size to the boot loader, and which sizes fit there.

A kernel's .dtb names the base in the unit address (``memory@40000000``) and writes size zero, or has no memory node at all;
then reservations show the gigabyte that RAM has to lie in. The size is the board's and no tree tells it: usual ones are
offered, as far as they do not run into the first device above.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from dtanalyze.address.range import AddressRange, RawRange
from dtanalyze.address.units import GIB, format_size
from dtanalyze.board.model import Board, entry_range
from dtanalyze.board.translate import reg_entries
from dtanalyze.devicetree.cells import CellCounts, inherited_cells
from dtanalyze.devicetree.tree import Node

__all__ = ["NO_HINT", "MemoryHint", "contradicting", "memory_hint"]

_SIZES: Final = (GIB // 2, GIB, 2 * GIB, 4 * GIB, 8 * GIB)
_USUAL: Final = 2 * GIB
NO_HINT: Final = "--memory BASE+SIZE, the board's RAM (nothing in the tree shows where it begins; repeatable)"


class MemoryHint(NamedTuple):
    """``base`` is where RAM begins, ``source`` the node that shows it, ``sizes`` what fits below the first device above,
    empty when nothing usual does.

    ``stated`` tells that a memory node names the base; else it is the gigabyte of the lowest reservation that RAM can hold.
    """

    base: int
    source: str
    sizes: tuple[int, ...]
    stated: bool

    @property
    def guess(self) -> AddressRange | None:
        """RAM as ``--assume-memory auto`` takes it: 2 GiB, or the largest size below; None when each covers a device."""
        return AddressRange(self.base, max(size for size in self.sizes if size <= _USUAL)) if self.sizes else None

    def __str__(self) -> str:
        """Return what to write on the command line, and what else it can be."""
        written = [_short(size) for size in self.sizes]
        others = f"; by the board's size {', '.join(f'+{item}' for item in written)}" if len(written) > 1 else ""
        shown = "from" if self.stated else "near"
        size = self.guess.size if self.guess is not None else _SIZES[0]
        return f"--memory {self.base:#x}+{_short(size)} ({shown} {self.source}{others})"


def _short(size: int) -> str:
    return format_size(size).replace(" ", "").replace("iB", "")


def memory_hint(board: Board) -> MemoryHint | None:
    """Return where RAM begins, None when nothing in the tree shows it."""
    for node, base in _bases(board):
        return MemoryHint(base, node.path, _fitting(board, base), stated=True)
    reserved = sorted(_reserved(board), key=lambda found: (found[0].start, found[1])) or list(_allocated(board))
    bases = [(found.start // GIB * GIB, found.stop, path) for found, path in reserved]
    hints = [(MemoryHint(base, path, _fitting(board, base), stated=False), stop) for base, stop, path in bases]
    # Some boards reserve memory of their devices too: where devices are, RAM does not begin, nor where it cannot reach what
    # is reserved.
    reaching = [hint for hint, stop in hints if any(hint.base + size >= stop for size in hint.sizes)]
    sized = [hint for hint, _ in hints if hint.sizes]
    return next(iter([*reaching, *sized, *(hint for hint, _ in hints)]), None)


def _reserved(board: Board) -> Iterator[tuple[AddressRange, str]]:
    """Yield what is reserved at a place that the tree states, with its node."""
    for item in board.reservations:
        for entry in item.entries:
            if (found := entry_range(entry)) is not None:
                yield found, item.node.path


def _allocated(board: Board) -> Iterator[tuple[AddressRange, str]]:
    """Yield where Linux is to choose a place (``alloc-ranges``), which is RAM too, as far as a first section of it goes."""
    for item in board.reservations:
        for entry in reg_entries(item.node, board.rules, prop_name="alloc-ranges"):
            if (found := entry_range(entry)) is not None:
                yield found._replace(size=min(found.size, GIB // 2)), item.node.path


def _bases(board: Board) -> Iterator[tuple[Node, int]]:
    """Yield the memory nodes of the root that are enabled, with where each begins, lowest first."""
    found = []
    for item in board.memory:
        if item.enabled and item.node.path.count("/") == 1:
            base = _base_of(item.node, board)
            if base is not None:
                found.append((base, item.node.path, item.node))
    yield from ((node, base) for base, _, node in sorted(found, key=lambda entry: entry[:2]))


def _base_of(node: Node, board: Board) -> int | None:
    for entry in reg_entries(node, board.rules):
        if entry.address is not None:
            return entry.address
    unit = node.name.partition("@")[2].replace(",", "")
    return int(unit, 16) if re.fullmatch("[0-9a-fA-F]{1,16}", unit) else None


def _fitting(board: Board, base: int) -> tuple[int, ...]:
    """Return the sizes that end below the next device or PCI window above ``base``, and that the root's cells can say."""
    starts = [
        found.start
        for device in board.devices
        if device.enabled
        for entry in device.entries
        if (found := entry_range(entry)) is not None and found.stop > base
    ]
    starts += [
        window.range.start
        for host in board.pci_hosts
        if host.enabled
        for window in host.windows
        if window.range is not None and window.range.stop > base
    ]
    said = 1 << 32 * min(inherited_cells(board.tree.root, CellCounts(2, 1)).address, 2)
    room = min((*starts, said)) - base
    return tuple(size for size in _SIZES if size <= room)


def contradicting(board: Board, given: Iterable[AddressRange]) -> tuple[str, RawRange] | None:
    """Return the memory node, and what it says, that none of the ranges given touches; None when all of them agree."""
    listed = tuple(given)
    for node, base in _bases(board):
        entry = next(iter(reg_entries(node, board.rules)), None)
        size = entry.size if entry is not None else 0
        if not any(item.start < base + max(size, 1) and base < item.stop for item in listed):
            return node.path, RawRange(base, size)
    return None
