"""RAM and reservations that share addresses: one of the two is cut, and a node that is no memory is made to say so.

Xen takes each bank and each reservation for a piece of its own: what two nodes name is mapped, freed or kept twice. The
larger one loses what the other has, as that costs it least; what is left of it on the far side becomes a node of its own,
since Linux from 7.3 on reads only the first entry of a reservation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from dtanalyze.address.range import AddressRange, RawRange
from dtanalyze.address.units import MIB
from dtanalyze.devicetree.cells import CellCounts, inherited_cells, read_number
from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.findings import Change, Cure
from dtanalyze.rules.cures.changes import cells_change, deletion, empty_change, number_cells, string_change

__all__ = [
    "cut_banks_cure",
    "disjoint_cures",
    "no_bank_cures",
    "placeholder_cures",
    "renamed_cures",
    "reserved_memory_cure",
    "uncounted_cures",
]

_CLUSTER: Final = 128 * MIB
"""Devices no farther apart are cut out of RAM together: RAM between them gives no section."""
_ALIGN: Final = 2 * MIB
_MOST: Final = 32
"""A node that were cut into more pieces is described wrongly as a whole."""
_LONGEST: Final = 1024
"""Bytes of a reg: each entry of one is compared with each of another."""
_SIBLINGS: Final = 512
_FLAGS: Final = ("no-map", "reusable")
_ROOT: Final = CellCounts(2, 1)


def _counts(node: Node) -> CellCounts:
    return inherited_cells(node.parent, _ROOT) if node.parent is not None else _ROOT


def _entries(node: Node) -> list[RawRange]:
    """Return the ``reg`` of a node as numbers, as the scan of the flat tree reads it."""
    prop, counts = node.prop("reg"), _counts(node)
    width = counts.address + counts.size
    if prop is None or not counts.address or not counts.size:
        return []
    cells = prop.cells
    return [
        RawRange(read_number(cells[at : at + counts.address]), read_number(cells[at + counts.address : at + width]))
        for at in range(0, len(cells) - width + 1, width)
    ]


def _reg(node: Node, entries: Iterable[RawRange], path: str = "") -> Change:
    counts = _counts(node)
    cells = [
        cell
        for item in entries
        for cell in (*number_cells(item.start, counts.address), *number_cells(item.size, counts.size))
    ]
    made = cells_change(node, "reg", cells)
    return made._replace(node=path) if path else made


def disjoint_cures(one: Node, other: Node) -> Iterator[Cure]:
    """Yield the cures for two nodes whose ``reg`` share addresses: the larger entry leaves them to the other."""
    if any(len(prop.value) > _LONGEST for node in (one, other) if (prop := node.prop("reg")) is not None):
        return
    pairs = [
        (mine, theirs)
        for mine in _entries(one)
        for theirs in _entries(other)
        if mine.start < theirs.stop and theirs.start < mine.stop
    ]
    if one is other:
        yield from _own_overlap(one)
        return
    for mine, theirs in pairs[:1]:
        if (mine.start, mine.size) == (theirs.start, theirs.size):
            assumes = f"{one.path} and {other.path} are one and the same: who uses {one.path} can use the other."
            yield Cure((string_change(one.path, "status", "disabled"),), assumes)
            yield Cure((_reg(one, [RawRange(mine.start, 0)]),), assumes)
        elif mine.size >= theirs.size:
            yield from _without(one, mine, other)
        else:
            yield from _without(other, theirs, one)


def _own_overlap(node: Node) -> Iterator[Cure]:
    """Within one node the entries are merged: they say the same RAM."""
    merged: list[RawRange] = []
    for item in sorted(_entries(node), key=lambda item: (item.start, item.stop)):
        if merged and item.start <= merged[-1].stop:
            merged[-1] = RawRange(merged[-1].start, max(merged[-1].stop, item.stop) - merged[-1].start)
        else:
            merged.append(item)
    yield Cure((_reg(node, merged),))


def _without(node: Node, entry: RawRange, owner: Node) -> Iterator[Cure]:
    """Yield the cure that cuts out of one entry what ``owner`` has, and what other, smaller ones beside it have."""
    if node.parent is not None and len(node.parent.children) > _SIBLINGS:
        return
    pieces, owners = [entry], []
    for other in node.parent.children if node.parent is not None else []:
        for taken in _entries(other) if other is not node and other.available else []:
            if taken.size and _meet(entry, taken) and (other is owner or taken.size < entry.size):
                pieces = [left for item in pieces for left in (_pieces(item, taken) if _meet(item, taken) else [item])]
                owners.append(other.path)
        if len(owners) > _MOST:
            return
    rest = [item for item in _entries(node) if item != entry]
    assumes = f"{node.path} does not use what {', '.join(dict.fromkeys(owners))} has of it."
    if node.parent is None or node.parent.path != "/reserved-memory" or len(pieces) < 2:
        yield Cure((_reg(node, [*pieces, *rest]),), assumes)
        return
    more = [change for item in pieces[1:] for change in _sibling(node, item)]
    yield Cure((_reg(node, [pieces[0], *rest]), *more), assumes)


def _sibling(node: Node, span: RawRange, name: str = "") -> Iterator[Change]:
    """Yield the properties of a new node beside ``node`` that reserves ``span`` in the same way."""
    above = node.path.rpartition("/")[0]
    path = f"{above}/{name or node.base_name}@{span.start:x}"
    yield _reg(node, [span], path)
    for flag in _FLAGS:
        if node.prop(flag) is not None:
            yield empty_change(node, flag)._replace(node=path)


def _pieces(entry: RawRange, taken: RawRange) -> list[RawRange]:
    sides = ((entry.start, min(entry.stop, taken.start)), (max(entry.start, taken.stop), entry.stop))
    return [RawRange(start, stop - start) for start, stop in sides if start < stop]


def cut_banks_cure(tree: Tree, bank: AddressRange, source: str, devices: Iterable[AddressRange]) -> Cure | None:
    """Return the cure that leaves devices out of a bank of RAM: with what lies between those that are near each other."""
    node = tree.find(source)
    entries = _entries(node) if node is not None else []
    whole = next((item for item in entries if item.start <= bank.start and bank.stop <= item.stop), None)
    if node is None or whole is None:
        return None
    pieces, clusters = [whole], _clusters(devices)
    if len(clusters) > _MOST:
        return None
    for span in clusters:
        taken = RawRange(span.start // _ALIGN * _ALIGN, -(-span.stop // _ALIGN) * _ALIGN - span.start // _ALIGN * _ALIGN)
        pieces = [left for item in pieces for left in (_pieces(item, taken) if _meet(item, taken) else [item])]
    # A sliver above the devices is no RAM either: boards list RAM in round numbers, over whatever lies at its end.
    pieces = [item for item in pieces if item.start == whole.start or item.size >= _CLUSTER]
    rest = [item for item in entries if item != whole]
    return Cure((_reg(node, [*pieces, *rest]),), "The board has no RAM behind the devices.") if pieces or rest else None


def _meet(one: RawRange, other: RawRange) -> bool:
    return one.start < other.stop and other.start < one.stop


def _clusters(devices: Iterable[AddressRange]) -> list[AddressRange]:
    found: list[AddressRange] = []
    for item in sorted(devices):
        if found and item.start - found[-1].stop < _CLUSTER:
            found[-1] = AddressRange.spanning(found[-1].start, max(found[-1].stop, item.stop))
        else:
            found.append(item)
    return found


def no_bank_cures(node: Node) -> Iterator[Cure]:
    """Yield the cures for a node that Xen takes for memory and that has no ``reg``: one of size 0, or none at all."""
    counts = _counts(node)
    if counts.address and counts.size and node.prop("reg") is None:
        yield Cure((_reg(node, [RawRange(0, 0)]),), f"Nobody reads reg of {node.path}.")
    yield Cure((string_change(node.path, "status", "disabled"),), f"Linux does without {node.path}.")


def uncounted_cures(node: Node) -> Iterator[Cure]:
    """Yield the cure for a disabled node whose RAM or reservation counts all the same: nothing is left to count."""
    entries = _entries(node)
    if entries:
        yield Cure((_reg(node, [RawRange(item.start, 0) for item in entries]),))


def placeholder_cures(node: Node) -> Iterator[Cure]:
    """Yield the cure for a ``reg`` whose entries are all of size zero: it goes, as whoever fills it in sets it anew."""
    prop = node.prop("reg")
    if prop is not None and not any(item.size for item in _entries(node)) and _entries(node):
        yield Cure((deletion(node, "reg"),), f"Whoever fills in reg of {node.path} does without a placeholder.")


def renamed_cures(node: Node, tree: Tree) -> Iterator[Cure]:
    """Yield the cures for a reservation that counts as RAM by its name: one of another name in its stead."""
    users = _users(node, tree)
    assumes = f"{', '.join(users)}, whose memory-region names it, can do without." if users else ""
    new = [change for item in _entries(node)[:1] for change in _sibling(node, item, "reserved")]
    empty = _reg(node, [RawRange(item.start, 0) for item in _entries(node)])
    if new:
        yield Cure((string_change(node.path, "status", "disabled"), *new), assumes)
        yield Cure((empty, *new), assumes)


def _users(node: Node, tree: Tree) -> list[str]:
    phandle = node.prop("phandle")
    number = phandle.u32 if phandle is not None else None
    regions = ((user, user.prop("memory-region")) for user in tree.root)
    return [user.path for user, prop in regions if number is not None and prop is not None and number in prop.cells]


def reserved_memory_cure(node: Node) -> Cure | None:
    """Return what makes Linux read /reserved-memory: the root's cells, in its children too, and empty ``ranges``."""
    root = node.parent
    if root is None:
        return None
    wanted, own = inherited_cells(root, _ROOT), inherited_cells(node, _ROOT)
    ranges = node.prop("ranges")
    changes = [empty_change(node, "ranges")] if ranges is None or ranges.value else []
    for name, count in (("#address-cells", wanted.address), ("#size-cells", wanted.size)):
        prop = node.prop(name)
        if prop is None or prop.u32 != count:
            changes.append(cells_change(node, name, (count,)))
    if own != wanted:
        converted = [_converted(child, own, wanted) for child in node.children]
        if any(item is None for item in converted):
            return None
        changes += [change for item in converted if item for change in item]
    return Cure(tuple(changes)) if changes else None


def _converted(node: Node, own: CellCounts, wanted: CellCounts) -> list[Change] | None:
    """Return a reservation's properties in other cells; None where a number does not fit."""
    out = []
    for name, kinds in (("reg", "as"), ("alloc-ranges", "as"), ("size", "s"), ("alignment", "s")):
        prop = node.prop(name)
        if prop is None:
            continue
        widths = [getattr(own, "address" if kind == "a" else "size") for kind in kinds]
        target = [getattr(wanted, "address" if kind == "a" else "size") for kind in kinds]
        numbers = list(_numbers(prop.cells, widths))
        if len(prop.cells) % sum(widths) or any(value >> 32 * target[at % len(target)] for at, value in enumerate(numbers)):
            return None
        cells = [cell for at, value in enumerate(numbers) for cell in number_cells(value, target[at % len(target)])]
        out.append(cells_change(node, name, cells))
    return out


def _numbers(cells: tuple[int, ...], widths: list[int]) -> Iterator[int]:
    at = 0
    while at + sum(widths) <= len(cells):
        for width in widths:
            yield read_number(cells[at : at + width])
            at += width
