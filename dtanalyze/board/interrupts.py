"""Interrupts of a node as the tree states them: controller and specifier cells.

Mirrors dt_irq_find_parent and dt_device_get_raw_irq of Xen (common/device-tree/device-tree.c). Left out: interrupt-map
(an interrupt behind such a nexus is not resolved, and yields nothing).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from dtanalyze.devicetree.tree import Node, Tree

__all__ = ["GIC_COMPATIBLE", "Interrupt", "Phandles"]

GIC_COMPATIBLE = ("arm,gic-v3", "arm,cortex-a15-gic", "arm,cortex-a7-gic", "arm,gic-400")


class Interrupt(NamedTuple):
    """One interrupt: its controller and its specifier."""

    controller: Node
    cells: tuple[int, ...]

    @property
    def gic_id(self) -> int | None:
        """The GIC's interrupt number (PPIs from 16, SPIs from 32), None for another controller's interrupt."""
        if len(self.cells) < 3 or not self.controller.is_any_of(GIC_COMPATIBLE):
            return None
        base = {0: 32, 1: 16}.get(self.cells[0])
        return None if base is None else base + self.cells[1]


class Phandles:
    """The nodes of a tree by phandle, and the interrupts found through them."""

    @classmethod
    def of(cls, tree: Tree) -> Phandles:
        """Return those of ``tree``; of a tree that was read they are worked out once."""
        return tree.root.once("phandles", lambda _: cls(tree))

    def __init__(self, tree: Tree) -> None:
        self._kept = tree.root.known is not None
        self._interrupts: dict[Node, tuple[Interrupt, ...]] = {}
        self._nodes: dict[int, Node] = {}
        for node in tree.root:
            prop = node.prop("phandle") or node.prop("linux,phandle")
            if prop is not None and prop.u32 is not None:
                self._nodes.setdefault(prop.u32, node)

    def items(self) -> Iterator[tuple[int, Node]]:
        """Yield each phandle with its node, in document order."""
        yield from self._nodes.items()

    def node(self, phandle: int) -> Node | None:
        """Return the node with this phandle, or None."""
        return self._nodes.get(phandle)

    def interrupts(self, node: Node) -> tuple[Interrupt, ...]:
        """Return the node's interrupts; ``interrupts-extended`` stands before ``interrupts``, as in Linux and Xen."""
        found = self._interrupts.get(node)
        if found is None:
            found = self._read(node)
            if self._kept:
                self._interrupts[node] = found
        return found

    def _read(self, node: Node) -> tuple[Interrupt, ...]:
        extended = node.prop("interrupts-extended")
        if extended is not None:
            return tuple(self._extended(extended.cells))
        prop = node.prop("interrupts")
        controller = self._parent(node) if prop is not None else None
        width = _cells_of(controller)
        if prop is None or controller is None or not width:
            return ()
        cells = prop.cells
        return tuple(Interrupt(controller, cells[at : at + width]) for at in range(0, len(cells) - width + 1, width))

    def _extended(self, cells: tuple[int, ...]) -> list[Interrupt]:
        out: list[Interrupt] = []
        at = 0
        while at < len(cells):
            controller = self._nodes.get(cells[at])
            width = _cells_of(controller)
            if controller is None or width is None:
                break
            out.append(Interrupt(controller, cells[at + 1 : at + 1 + width]))
            at += 1 + width
        return out

    def _parent(self, node: Node) -> Node | None:
        """Return the interrupt parent: by phandle, else the nearest ancestor with #interrupt-cells."""
        current: Node | None = node
        while current is not None:
            prop = current.prop("interrupt-parent")
            if prop is not None and prop.u32 is not None:
                return self._nodes.get(prop.u32)
            current = current.parent
            if current is not None and current.prop("#interrupt-cells") is not None:
                return current
        return None


def _cells_of(controller: Node | None) -> int | None:
    prop = controller.prop("#interrupt-cells") if controller else None
    return prop.u32 if prop else None
