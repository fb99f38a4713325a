"""Addresses that no ``ranges`` covers: the bus gets an entry, the address is corrected, or what makes it one goes away.

Faults look alike in a log. A window of the bus is missing: it is added. Xen takes the address for an identifier: the bus
gets that very entry. A PCI bridge drops what space it is of: the bridge states its windows. ``reg`` holds the CPU's address
already although the bus moves addresses: it is turned into one of the bus. The address is none of the CPU's at all, as that
of a cell of an NVMEM device on an SPMI bus whose node has ``ranges`` nevertheless: that property goes. No cure maps an
address onto another user.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from dtanalyze.address.range import AddressRange
from dtanalyze.address.rangeset import RangeSet
from dtanalyze.board.bus import XEN, Cells
from dtanalyze.board.model import entry_range
from dtanalyze.board.translate import RegEntry, Translated, Untranslatable, below, translate
from dtanalyze.devicetree.cells import read_number
from dtanalyze.devicetree.tree import Node
from dtanalyze.findings import Cure
from dtanalyze.rules.cures.changes import cells_change, deletion, empty_change, number_cells
from dtanalyze.rules.cures.pci_spaces import bridge_windows, translate_kept
from dtanalyze.rules.cures.windows import Window, Windows, windows_of
from dtanalyze.rules.view import HostView

__all__ = ["address_advice", "address_cures", "bus_cures", "stray_addresses"]

_PAGE: Final = 4096
_PCI_SPACE: Final = 0xC3000000
"""What of the first cell of a PCI address says which space it is of: n, p and ss of IEEE 1275's binding."""
_LONGEST: Final = 1 << 16
_MOST: Final = 64
"""Of a bus that lacks more addresses it is not its windows that are wrong."""
_BY_NEIGHBOUR: Final = "{bus} moves {address:#x} by as much as the entry of its ranges that is nearest."
_WIDER: Final = (
    "Extend `ranges` of {bus} so that it covers the addresses behind it, or remove the nodes that it does not cover."
)
_EXACT: Final = (
    "Add an entry to `ranges` of {bus} for each address behind it, with the same cells, or remove the nodes: on a bus that "
    "is not PCI Xen takes more than two cells for an identifier, not for an address inside an entry."
)
_STATED: Final = (
    "State the windows of {bus} in `ranges` of {bridges}, each onto itself: above empty ones Xen no longer knows whether an "
    "address is memory."
)
_BRIDGES_TOO: Final = "State the windows of the PCI host in `ranges` of {bridges} too: empty ones drop which space it is."
_REMOVE: Final = (
    "Remove `{prop}` from {node}: the addresses below it are places inside that device, which the CPU does not reach."
)
_ON_THE_BUS: Final = "Write `reg` as an address on {bus}: it holds the CPU's, and the bus moves addresses."
_NO_CPU_ADDRESS: Final = "The addresses below {bus} are places inside that device, which the CPU does not reach by address."


def stray_addresses(view: HostView) -> list[tuple[Node, RegEntry]]:
    """Return every address of a node that Xen cannot translate."""
    return [(node, entry) for node, entries in view.entries for entry in entries if isinstance(entry.where, Untranslatable)]


def bus_cures(view: HostView, strays: Iterable[tuple[Node, RegEntry]]) -> dict[str, tuple[Cure, ...]]:
    """Return, for each bus that does not cover an address, its ``ranges`` with entries for all that it does not cover."""
    missing: dict[str, list[tuple[Node, RegEntry]]] = {}
    for node, entry in strays:
        where = entry.where
        if isinstance(where, Untranslatable) and where.chain and where.chain[-1].bus == where.node:
            missing.setdefault(where.node, []).append((node, entry))
    found: dict[str, tuple[Cure, ...]] = {}
    for path, items in missing.items():
        bus = view.board.tree.find(path)
        windows = windows_of(bus) if bus is not None else None
        cure = (_space_kept(windows, items) or _extended(view, windows, items)) if windows is not None else None
        if cure is not None:
            found[path] = (cure,)
    return found


def address_advice(view: HostView, where: Untranslatable, cures: tuple[Cure, ...]) -> str:
    """Say what the first cure does, or what is missing where there is none; empty where the rule's own advice says it."""
    changes = cures[0].changes if cures else ()
    for change in changes:
        if change.value is None:
            return _REMOVE.format(prop=change.prop, node=change.node)
        if change.prop == "reg":
            return _ON_THE_BUS.format(bus=where.node)
    bus = view.board.tree.find(where.node)
    windows = windows_of(bus) if bus is not None and where.chain and where.chain[-1].bus == where.node else None
    if windows is None:
        return ""
    bridges = ", ".join(change.node for change in changes if change.node != where.node)
    if windows.bus.flag_cells:
        return _STATED.format(bus=where.node, bridges=bridges) if bridges else _WIDER.format(bus=where.node)
    exact = _EXACT.format(bus=where.node) if windows.child.address > 2 else _WIDER.format(bus=where.node)
    return f"{exact} {_BRIDGES_TOO.format(bridges=bridges)}" if bridges else exact


def _space_kept(windows: Windows, items: list[tuple[Node, RegEntry]]) -> Cure | None:
    """Return the cure for addresses of which bridges below a PCI host have dropped the space; None where that is not it."""
    if not windows.bus.flag_cells:
        return None
    dropped = [node for node, entry in items if isinstance(translate_kept(node, entry.bus_cells), Translated)]
    changes = tuple(dict.fromkeys(change for node in dropped for change in bridge_windows(node.parent)))
    return Cure(changes) if changes else None


def address_cures(view: HostView, node: Node, entry: RegEntry, of_bus: dict[str, tuple[Cure, ...]]) -> tuple[Cure, ...]:
    """Return the cures for one address that Xen cannot translate, the one that fits the tree best first."""
    where = entry.where
    bus = view.board.tree.find(where.node) if isinstance(where, Untranslatable) else None
    ranges = bus.prop("ranges") if bus is not None else None
    if ranges is not None and len(ranges.value) > _LONGEST:
        return ()
    if not isinstance(where, Untranslatable) or bus is None:
        return ()
    if where.chain and where.chain[-1].bus == where.node:
        return (*_own_address(view, node, entry, bus), *of_bus.get(where.node, ()))
    return (*_bus_made(bus), *_no_address(node))


def _bus_made(bus: Node) -> Iterator[Cure]:
    """Empty ``ranges`` make a bus of a node, where its addresses can be the CPU's: they have a size."""
    counts = XEN.counts(XEN.buses[-1], bus)
    if bus.prop("ranges") is None and counts.size and 1 <= counts.address <= 2 and bus.parent is not None:
        yield Cure((empty_change(bus, "ranges"),), f"The addresses below {bus.path} are the CPU's.")


def _no_address(node: Node) -> Iterator[Cure]:
    parent = node.parent
    if parent is not None and parent.parent is not None and parent.prop("ranges") is not None and parent.device_type is None:
        yield Cure((deletion(parent, "ranges"),), _NO_CPU_ADDRESS.format(bus=parent.path))


def _own_address(view: HostView, node: Node, entry: RegEntry, bus: Node) -> Iterator[Cure]:
    """Where ``reg`` holds the CPU's address of a place inside a window, the same as an address of the bus."""
    windows, reg = windows_of(bus), node.prop("reg")
    if windows is None or reg is None or node.parent is not bus or windows.child.address > 2:
        return
    at = entry.nth * (windows.child.address + windows.child.size)
    number = read_number(reg.cells[at : at + windows.child.address])
    for window in windows.entries:
        if window.shift and window.parent <= number and number + max(entry.size, 1) <= window.parent + window.size:
            cells = list(reg.cells)
            cells[at : at + windows.child.address] = number_cells(number - window.shift, windows.child.address)
            if not _is_taken(view, bus, tuple(number_cells(number, windows.outer.address)), entry.size, (node,)):
                yield Cure((cells_change(node, "reg", cells),), f"reg of {node.path} states the CPU's address.")
            return


def _is_taken(view: HostView, bus: Node, parent: Cells, size: int, strays: Iterable[Node]) -> bool:
    """Tell whether somebody has the CPU addresses that ``parent``, above the bus, becomes; so has who is not to be told.

    The bus itself, what it stands on and the devices in question do not count.
    """
    where = translate_kept(bus, parent)
    if not isinstance(where, Translated) or where.address + max(size, 1) > 1 << 64:
        return True
    span = AddressRange(where.address, max(size, 1))
    if any(span.start < bank.stop and bank.start < span.stop for bank in view.prediction.info.mem):
        return True
    own = {id(node) for node in strays}
    holding = {id(bus), *map(id, _above(bus))}
    for other, entries in view.entries:
        if any(found is not None and found.overlaps(span) for found in map(entry_range, entries)):
            inside = id(other) in own or any(id(node) in own for node in _above(other))
            if not inside and id(other) not in holding:
                return True
    return False


def _above(node: Node) -> Iterator[Node]:
    while node.parent is not None:
        node = node.parent
        yield node


def _extended(view: HostView, windows: Windows, items: list[tuple[Node, RegEntry]]) -> Cure | None:
    """Return ``ranges`` with an entry for each address that is missing, moved as the nearest entry moves; None if one is
    taken."""
    if len(items) > _MOST or not (windows.entries or _rest_entry(windows)):
        return None
    made, assumed, bridges = list(windows.cells), [], {}
    for start, size, cells in _missing(windows, items):
        nearest = _nearest(windows, start, cells)
        if nearest is None:
            return None
        parent, width = start + nearest.shift, windows.outer.address - len(nearest.flags)
        if parent < 0 or parent + size > 1 << 32 * min(width, 2) or size >= 1 << 32 * windows.child.size:
            return None
        above = (*nearest.flags, *number_cells(parent, width))
        if _is_taken(view, windows.node, above, size, [node for node, _ in items]):
            return None
        if isinstance(translate(windows.node, above, XEN), Untranslatable):
            bridges.update(dict.fromkeys(bridge_windows(windows.node.parent)))
        made += [*cells, *above, *number_cells(size, windows.child.size)]
        assumed.append(_BY_NEIGHBOUR.format(bus=windows.node.path, address=start))
    if len(made) == len(windows.cells):
        return None
    same = len({item.shift for item in windows.entries}) == 1
    return Cure((cells_change(windows.node, "ranges", made), *bridges), "" if same else " ".join(assumed))


def _missing(windows: Windows, items: list[tuple[Node, RegEntry]]) -> Iterator[tuple[int, int, tuple[int, ...]]]:
    """Yield start, size and the cells of the start: whole pages, each once; the very address where three cells state it.

    Xen takes an address of three cells for an identifier that the entry has to repeat (dt_bus_default_map).
    """
    if windows.child.address > 2:
        stated = {cells: entry.size for node, entry in items if (cells := _cells_on(windows, node, entry))}
        yield from ((read_number(cells[windows.bus.flag_cells :]), max(size, 1), cells) for cells, size in stated.items())
        return
    spans = []
    for _, entry in items:
        where = entry.where
        if isinstance(where, Untranslatable):
            start = where.chain[-1].address // _PAGE * _PAGE
            stop = -(-(where.chain[-1].address + max(entry.size, 1)) // _PAGE) * _PAGE
            if stop <= 1 << 64:
                spans.append(AddressRange.spanning(start, stop))
    for span in RangeSet(spans):
        yield span.start, span.size, tuple(number_cells(span.start, windows.child.address))


def _cells_on(windows: Windows, node: Node, entry: RegEntry) -> Cells:
    """Return the cells of an address on a bus above its node; none where it does not come so far.

    On PCI which device it is of, and which of its registers says so, is left out.
    """
    cells, at = entry.bus_cells, node.parent
    while cells and at is not None and at is not windows.node:
        moved = below(at, XEN).moved(cells)
        cells, at = () if isinstance(moved, str) else moved, at.parent
    if at is not windows.node or not cells:
        return ()
    return (cells[0] & _PCI_SPACE, *cells[1:]) if windows.bus.flag_cells else cells


def _nearest(windows: Windows, address: int, cells: Cells) -> Window | None:
    """Return the entry, of the address's kind, that begins or ends nearest to it."""
    kind = windows.bus.alike(cells) if windows.bus.flag_cells else None
    entries = [item for item in windows.entries or (_rest_entry(windows),) if item is not None and item.kind == kind]
    return min(entries, key=lambda item: (item.distance(address), item.child > address), default=None)


def _rest_entry(windows: Windows) -> Window | None:
    """Return what a part of an entry says, where it holds both addresses: how the bus moves them."""
    both = windows.child.address + windows.outer.address
    if len(windows.rest) < both or windows.child.address > 2:
        return None
    child, parent = windows.rest[: windows.child.address], windows.rest[windows.child.address : both]
    return Window(read_number(child), read_number(parent), 0)
