"""Which interrupt of the GIC a node's interrupts are, as Xen resolves them.

Xen follows each specifier from the node to the controller that it reaches, through ``interrupt-parent`` and
``interrupt-map``, and then asks the GIC's binding for number and trigger type. Mirrors dt_number_of_irq,
dt_device_get_raw_irq, dt_irq_map_raw and dt_for_each_irq_map (common/device-tree/device-tree.c) and gic_irq_xlate
(arch/arm/gic.c). Left out: what C reads past the end of a property that is too short; here that is zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from dtanalyze.board.interrupts import Phandles
from dtanalyze.devicetree.tree import Node, Property, Tree

__all__ = ["DtIrqs", "GicIrq", "RawIrq", "Sense"]

_MAX_IRQ_SPEC: Final = 4
"""DT_MAX_IRQ_SPEC: a specifier of more cells is refused."""
_MAX_HOPS: Final = 64
"""More controllers than any tree chains; a loop of ``interrupt-parent`` would hang Xen."""
_SENSE_MASK: Final = 0xF
_SPI: Final = 0

Cells = tuple[int, ...]


class RawIrq(NamedTuple):
    """A specifier at the controller that it reaches (struct dt_raw_irq)."""

    controller: Node
    cells: Cells


class GicIrq(NamedTuple):
    """An interrupt of the GIC: its ID (PPIs 16 to 31, SPIs from 32) and its trigger type (0, 1, 2, 4 or 8)."""

    irq: int
    type: int


class Sense(NamedTuple):
    """Where a node states the trigger type of one of the GIC's interrupts: the property, and which of its cells."""

    prop: str
    place: int
    irq: GicIrq


class _Nexus(NamedTuple):
    """An ``interrupt-map``: its entries by masked child specifier, cut at the first that cannot be read."""

    mask: Cells
    entries: dict[Cells, tuple[Node, Cells, Cells]]


class DtIrqs:
    """The interrupts of one tree. ``gic`` is the interrupt controller that Xen drives, None when it drives none."""

    @classmethod
    def of(cls, tree: Tree, gic: Node | None) -> DtIrqs:
        """Return those of ``tree``; of a tree that was read they are worked out once for all boots that are tried."""
        known = tree.root.known
        if known is None:
            return cls(tree, gic)
        kept: dict[Node | None, DtIrqs] = known.setdefault("interrupts of Xen", {})
        if gic not in kept:
            kept[gic] = cls(tree, gic)
        return kept[gic]

    def __init__(self, tree: Tree, gic: Node | None) -> None:
        self.gic = gic
        self._kept = tree.root.known is not None
        self._raw: dict[Node, tuple[RawIrq | None, ...]] = {}
        self._phandles = Phandles.of(tree)
        held = ("phandle", "linux,phandle")
        self._without_phandle = next((node for node in tree.root if not any(node.prop(name) for name in held)), None)
        self._extended: dict[int, list[RawIrq | None] | None] = {}
        self._nexus: dict[tuple[int, int, int], _Nexus] = {}
        self._rounds = 0
        self._going_round: set[Node] = set()

    def goes_round(self, node: Node) -> bool:
        """Tell whether the way from the node's interrupts to a controller is a circle, which Xen follows for ever."""
        self.raw_irqs(node)
        return node in self._going_round

    def raw_irqs(self, node: Node) -> tuple[RawIrq | None, ...]:
        """Return each interrupt of the node at its controller, None for one that does not resolve (-EINVAL)."""
        found = self._raw.get(node)
        if found is None:
            address, rounds = _cells(node.prop("reg")), self._rounds
            found = tuple(self._map_raw(start, cells, address) if start else None for start, cells in self._specifiers(node))
            if self._rounds > rounds:
                self._going_round.add(node)
            if self._kept:
                self._raw[node] = found
        return found

    def gic_irq(self, raw: RawIrq | None) -> GicIrq | None:
        """Return what the GIC's binding makes of a specifier, None when it is no interrupt of the GIC (gic_irq_xlate)."""
        if raw is None or raw.controller is not self.gic or len(raw.cells) < 3:
            return None
        irq = raw.cells[1] + (32 if raw.cells[0] == _SPI else 16)
        return GicIrq(irq & 0xFFFFFFFF, raw.cells[2] & _SENSE_MASK)

    def senses(self, node: Node) -> Iterator[Sense]:
        """Yield the trigger cells of the GIC's interrupts that stand at the node itself, in ``interrupt-map`` too.

        What a specifier becomes on its way through another node's ``interrupt-map`` stands there, not here.
        """
        for prop, at, raw in (*self._stated(node), *self._mapped(node)):
            found = self.gic_irq(raw)
            if found is not None:
                yield Sense(prop, at + 2, found)

    def _stated(self, node: Node) -> Iterator[tuple[str, int, RawIrq | None]]:
        extended = self._parse_extended(node)
        at = 0
        if extended is not None:
            for item in extended:
                yield "interrupts-extended", at + 1, item
                at += 1 + (len(item.cells) if item else 0)
            return
        for start, cells in self._specifiers(node):
            yield "interrupts", at, RawIrq(start, cells) if start else None
            at += len(cells)

    def _mapped(self, node: Node) -> Iterator[tuple[str, int, RawIrq | None]]:
        found, prop = self._own_cells(node), node.prop("interrupt-map")
        at = 0
        for child, parent, raw in self._entries(prop.cells, *found) if found and prop is not None else ():
            at += len(child) + 1 + len(parent)
            yield "interrupt-map", at, raw
            at += len(raw.cells) if raw else 0

    def irq_map(self, node: Node) -> Iterator[GicIrq | None]:
        """Yield the GIC's interrupts in the ``interrupt-map`` of a bus; None, as the last, where it cannot be read."""
        found = self._own_cells(node)
        prop = node.prop("interrupt-map")
        if found is None:
            yield None
        elif prop is not None:
            yield from self._irq_map(prop, *found)

    def _irq_map(self, prop: Property, address: int, width: int) -> Iterator[GicIrq | None]:
        for _, _, raw in self._entries(prop.cells, address, width):
            if raw is None or len(raw.cells) > _MAX_IRQ_SPEC:
                yield None
                return
            if raw.controller is self.gic:
                found = self.gic_irq(raw)
                yield found
                if found is None:
                    return

    def _own_cells(self, node: Node) -> tuple[int, int] | None:
        """Return #address-cells and #interrupt-cells that hold at ``node`` or at the parent that its specifiers mean."""
        at: Node | None = node
        for _ in range(_MAX_HOPS):
            if at is None:
                return None
            width = _u32(at, "#interrupt-cells")
            if width is not None:
                return (_address_cells(at), width) if width <= _MAX_IRQ_SPEC else None
            at = self._parent(at)
        return None

    def _specifiers(self, node: Node) -> Iterator[tuple[Node | None, Cells]]:
        """Yield where each specifier starts, and its cells: ``interrupts-extended`` before ``interrupts``.

        An empty entry of the first makes way for the one of the second with its number (dt_device_get_raw_irq).
        """
        extended = self._parse_extended(node)
        if extended is None:
            yield from self._plain(node)
            return
        plain = list(self._plain(node)) if None in extended else []
        for number, item in enumerate(extended):
            if item is not None:
                yield item.controller, item.cells
            else:
                yield plain[number] if number < len(plain) else (None, ())

    def _plain(self, node: Node) -> Iterator[tuple[Node | None, Cells]]:
        prop = node.prop("interrupts")
        parent = self._parent(node) if prop is not None else None
        width = _u32(parent, "#interrupt-cells") if parent else None
        if prop is None or not width:
            return
        cells = prop.cells
        for at in range(0, len(cells) - width + 1, width):
            yield parent, cells[at : at + width]

    def _parse_extended(self, node: Node) -> list[RawIrq | None] | None:
        """Return the entries of ``interrupts-extended``, None for an empty one; None when absent or malformed."""
        prop = node.prop("interrupts-extended")
        if prop is None:
            return None
        out: list[RawIrq | None] = []
        cells, at = prop.cells, 0
        while at < len(cells):
            if not cells[at]:
                out.append(None)
                at += 1
                continue
            target = self._phandles.node(cells[at])
            width = _u32(target, "#interrupt-cells") if target else None
            if target is None or width is None or at + 1 + width > len(cells):
                return None
            out.append(RawIrq(target, cells[at + 1 : at + 1 + width]))
            at += 1 + width
        return out

    def _parent(self, node: Node) -> Node | None:
        """Return the interrupt parent: the next node, by phandle or upward, that has #interrupt-cells."""
        at: Node | None = node
        for _ in range(_MAX_HOPS):
            if at is None:
                return None
            prop = at.prop("interrupt-parent")
            at = at.parent if prop is None else self._find_by_phandle(prop.cells[0]) if prop.cells else None
            if at is not None and at.prop("#interrupt-cells") is not None:
                return at
        self._rounds += 1
        return None

    def _find_by_phandle(self, phandle: int) -> Node | None:
        """Return the node with this phandle; for 0 the first that has none (dt_find_node_by_phandle), mostly the root."""
        return self._phandles.node(phandle) or (None if phandle else self._without_phandle)

    def _map_raw(self, start: Node, cells: Cells, address: Cells) -> RawIrq | None:
        """Follow a specifier to an interrupt controller (dt_irq_map_raw)."""
        at: Node | None = start
        width = _u32(start, "#interrupt-cells")
        if width != len(cells):
            return None
        address_cells = _address_cells(start)
        has_address = bool(address)
        for _ in range(_MAX_HOPS):
            if at is None:
                return None
            if at.prop("interrupt-controller") is not None:
                return RawIrq(at, cells) if len(cells) <= _MAX_IRQ_SPEC else None
            prop = at.prop("interrupt-map")
            if prop is None:
                at = self._parent(at)
                continue
            if address_cells and not has_address:
                return None
            found = self._match(at, prop, _padded(address, address_cells), cells)
            if found is None:
                return None
            at, address, cells = found
            address_cells, has_address = len(address), True
        self._rounds += 1
        return None

    def _match(self, nexus: Node, prop: Property, address: Cells, cells: Cells) -> tuple[Node, Cells, Cells] | None:
        key = (id(nexus), len(address), len(cells))
        known = self._nexus.get(key)
        if known is None:
            known = self._nexus[key] = self._read_nexus(nexus, prop, len(address), len(cells))
        return known.entries.get(tuple(a & m for a, m in zip(address + cells, known.mask, strict=True)))

    def _read_nexus(self, nexus: Node, prop: Property, address: int, width: int) -> _Nexus:
        stated = nexus.prop("interrupt-map-mask")
        mask = (0xFFFFFFFF,) * (address + width) if stated is None else _padded(stated.cells, address + width)
        entries: dict[Cells, tuple[Node, Cells, Cells]] = {}
        for child, parent_address, raw in self._entries(prop.cells, address, width):
            if raw is None:
                break
            masked = tuple(a & m for a, m in zip(child, mask, strict=True))
            entries.setdefault(masked, (raw.controller, parent_address, raw.cells))
        return _Nexus(mask, entries)

    def _entries(self, cells: Cells, address: int, width: int) -> Iterator[tuple[Cells, Cells, RawIrq | None]]:
        """Yield child specifier, parent address and parent specifier; the last is None where an entry cannot be read."""
        at, child = 0, address + width
        while len(cells) - at > child + 1:
            parent = self._phandles.node(cells[at + child])
            parent_width = _u32(parent, "#interrupt-cells") if parent else None
            parent_address = (_u32(parent, "#address-cells") or 0) if parent else 0
            stop = at + child + 1 + parent_address + (parent_width or 0)
            if parent is None or parent_width is None or stop > len(cells):
                yield cells[at : at + child], (), None
                return
            middle = at + child + 1 + parent_address
            yield cells[at : at + child], cells[at + child + 1 : middle], RawIrq(parent, cells[middle:stop])
            at = stop


def _cells(prop: Property | None) -> Cells:
    return prop.cells if prop is not None else ()


def _padded(cells: Cells, count: int) -> Cells:
    return (cells + (0,) * count)[:count]


def _u32(node: Node, name: str) -> int | None:
    prop = node.prop(name)
    return int.from_bytes(prop.value[:4], "big") if prop is not None and len(prop.value) >= 4 else None


def _address_cells(node: Node) -> int:
    """Return #address-cells of the node or of the nearest one above it that states them, else 2."""
    at: Node | None = node
    while at is not None:
        found = _u32(at, "#address-cells")
        if found is not None:
            return min(found, 16)
        at = at.parent
    return 2
