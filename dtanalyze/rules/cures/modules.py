"""Boot modules that Xen does not see, cannot use or finds on top of each other.

A module's node only says where the boot loader has put something. A change of its address is half of the cure, and the
other half is said beside it: what has to be loaded where.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from dtanalyze.address.range import AddressRange, RawRange
from dtanalyze.address.rangeset import RangeSet
from dtanalyze.address.units import MIB, format_size
from dtanalyze.devicetree.cells import CellCounts, inherited_cells, read_number
from dtanalyze.devicetree.tree import Node
from dtanalyze.findings import Change, Cure
from dtanalyze.rules.cures.changes import cells_change, number_cells, stated_value, string_change, strings_change
from dtanalyze.rules.view import HostView
from dtanalyze.xen.bootinfo import MAX_MODULES, Module
from dtanalyze.xen.dom0_memory import loaded_modules

__all__ = ["MODULE", "cells_cures", "kernel_cures", "moved_cures", "named_cures", "placed_cures"]

MODULE: Final = "multiboot,module"
_ALIGN: Final = 2 * MIB
_KERNEL_SIZE: Final = 32 * MIB
_LONGEST: Final = 64
"""No kind of module has a longer name."""
_ROOT: Final = CellCounts(2, 1)
_UNUSED: Final = "The boot loader has nothing else there, neither Xen nor the tree nor itself."
_LOADS: Final = "The boot loader has to load {what} at {address:#x}."


def moved_cures(view: HostView, modules: tuple[Module, ...]) -> Iterator[Cure]:
    """Yield the cures that put one of the modules where nothing else is, for the first of them that the tree places."""
    if len(view.prediction.info.dropped) > MAX_MODULES:
        return
    for module in modules:
        node = view.board.tree.find(module.node) if module.node else None
        start = _free_place(view, module.size, module) if node is not None else None
        if node is not None and start is not None:
            besides = _LOADS.format(what=f"the module of {node.path}", address=start)
            yield Cure((_reg(node, start, module.size),), _UNUSED, besides)
            return


def _reg(node: Node, start: int, size: int) -> Change:
    counts = inherited_cells(node.parent or node, _ROOT)
    return cells_change(node, "reg", [*number_cells(start, counts.address), *number_cells(size, counts.size)])


def _free_place(view: HostView, size: int, module: Module | None = None) -> int | None:
    """Return where so many bytes of RAM belong to nobody, no lower than the module stands; else the lowest place."""
    info = view.prediction.info
    ram = RangeSet(found for bank in info.mem if (found := RawRange(bank.start, bank.size).checked()) is not None)
    taken = [RawRange(item.start, item.size) for item in (*info.reserved_mem, *info.shmem)]
    taken += [RawRange(item.start, item.size) for item in info.modules if item != module]
    # A scan that ends early has not seen all of them.
    taken += [RawRange(entry.address or 0, entry.size) for item in view.board.reservations for entry in item.entries]
    taken += [RawRange(*item) for item in _dropped(view, module.node if module is not None else "")]
    # Xen's image and the tree itself, where they are taken to lie when nothing says it.
    loaded = loaded_modules(info, view.prediction.grant_table, view.board.tree)
    taken += [RawRange(item.start, item.size) for item in loaded]
    free = ram.difference([found for item in taken if (found := item.checked()) is not None])
    places = [start for run in free for start in _aligned(run, size)]
    known = [item.start + item.size for item in info.modules]
    wanted = module.start if module is not None else max(known, default=0)
    return next((start for start in places if start >= wanted), next(iter(places), None))


def _aligned(run: AddressRange, size: int) -> Iterator[int]:
    start = -(-run.start // _ALIGN) * _ALIGN
    if start + max(size, 1) <= run.stop:
        yield start


def _dropped(view: HostView, but: str) -> Iterator[tuple[int, int]]:
    for path in view.prediction.info.dropped:
        if path == but:
            continue
        node = view.board.tree.find(path)
        prop = node.prop("reg") if node is not None else None
        if node is not None and prop is not None:
            counts = inherited_cells(node.parent or node, _ROOT)
            width = counts.address + counts.size
            if len(prop.cells) >= width:
                yield read_number(prop.cells[: counts.address]), read_number(prop.cells[counts.address : width])


def named_cures(node: Node) -> Iterator[Cure]:
    """Yield the cure for a node that is meant to be a module: the word that Xen looks for."""
    from difflib import get_close_matches  # needed where a word is unknown

    words = [word for item in node.compatible for word in item.split() if len(word) <= _LONGEST]
    if MODULE in words:
        yield Cure((strings_change(node.path, "compatible", words),))
        return
    near = get_close_matches(MODULE, words, 1, 0.75)
    words = [MODULE if word in near else word for word in words] if near else [*words, MODULE]
    yield Cure((strings_change(node.path, "compatible", words),))


def cells_cures(node: Node) -> Iterator[Cure]:
    """Yield the cures for modules whose ``reg`` does not fit the cells that hold there: those with which all of them fit."""
    parent = node.parent
    prop = node.prop("reg")
    if parent is None or prop is None:
        return
    lengths = {len(reg.value) for child in parent.children if (reg := child.prop("reg")) is not None}
    for counts in (CellCounts(2, 2), CellCounts(2, 1), CellCounts(1, 1)):
        if lengths == {4 * (counts.address + counts.size)}:
            stated = (("#address-cells", counts.address), ("#size-cells", counts.size))
            yield Cure(tuple(cells_change(parent, name, (count,)) for name, count in stated))


def placed_cures(view: HostView, node: Node) -> Iterator[Cure]:
    """Yield the cure for a module where Xen does not look: the same below /chosen, and the old one disabled."""
    prop, parent = node.prop("reg"), node.parent
    chosen = view.board.tree.root.child("chosen")
    if prop is None or parent is None:
        return
    counts = inherited_cells(parent, _ROOT)
    if len(prop.value) != 4 * (counts.address + counts.size):
        return
    path = f"/chosen/{node.name}"
    numbers = read_number(prop.cells[: counts.address]), read_number(prop.cells[counts.address :])
    if view.board.tree.find(path) is not None or chosen is None:
        return
    below = inherited_cells(chosen, _ROOT)
    cells = [*number_cells(numbers[0], below.address), *number_cells(numbers[1], below.size)]
    if any(number >> 32 * count for number, count in zip(numbers, below, strict=True)):
        return
    left = ("reg", "phandle", "linux,phandle", "status")
    kept = [item for item in node.properties.values() if item.name not in left]
    copied = [Change(path, item.name, item.value, stated_value(item.value)) for item in kept]
    made = (*copied, cells_change(node, "reg", cells)._replace(node=path), string_change(node.path, "status", "disabled"))
    yield Cure(made)


def kernel_cures(view: HostView, parent: Node) -> Iterator[Cure]:
    """Yield the cure for a domain without a kernel: a module for one at a free place, which has to be loaded there."""
    start = _free_place(view, _KERNEL_SIZE)
    if start is None:
        return
    counts = inherited_cells(parent, _ROOT)
    if start >> 32 * counts.address:
        return
    path = f"{parent.path}/module@{start:x}"
    cells = [*number_cells(start, counts.address), *number_cells(_KERNEL_SIZE, counts.size)]
    what = f"a kernel of at most {format_size(_KERNEL_SIZE)}"
    besides = f"{_LOADS.format(what=what, address=start)} Its real size belongs into reg."
    compatible = strings_change(path, "compatible", ("multiboot,kernel", MODULE))
    yield Cure((compatible, cells_change(parent, "reg", cells)._replace(node=path)), _UNUSED, besides)
