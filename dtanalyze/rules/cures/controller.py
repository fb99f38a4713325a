"""Interrupt controllers that Xen could drive: a GICv2 under a name that Xen does not know, a GIC-400 that lacks something.

Linux drives as GICv2 what vendors call otherwise (drivers/irqchip/irq-gic.c); where such a node states all that Xen asks
for, a second compatible is enough. Of a GIC-400 what its manual (Arm DDI 0471) fixes is filled in: the registers lie at
fixed places from one base, distributor 0x1000, CPU interface 0x2000, virtual interface control 0x4000, virtual CPU
interface 0x6000; its maintenance interrupt is always ID 25. Of no other is so much known.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from dtanalyze.board.bus import XEN
from dtanalyze.board.translate import Translated, Untranslatable, reg_entries
from dtanalyze.devicetree.cells import read_number
from dtanalyze.devicetree.tree import Node
from dtanalyze.findings import Change, Cure
from dtanalyze.rules.cures.changes import cells_change, number_cells, strings_change
from dtanalyze.rules.cures.ranges import bus_cures
from dtanalyze.rules.view import HostView
from dtanalyze.xen.vgic import can_be_primary

__all__ = ["gic_cures", "named_cure", "unnamed_gicv2"]

_BLOCKS: Final = ((0x1000, 0x1000), (0x2000, 0x2000), (0x4000, 0x2000), (0x6000, 0x2000))
_MAINTENANCE: Final = (1, 9, 0xF04)
"""PPI 9, which is ID 25, level high."""
_OF_LINUX: Final = ("qcom,msm-qgic2", "qcom,msm-8660-qgic", "arm,cortex-a9-gic", "arm,arm11mp-gic", "arm,pl390")
_OF_XEN: Final = "arm,cortex-a15-gic"
_REGISTERS: Final = 4
_GENUINE: Final = "{node} is a GICv2 with the registers that its node states, and firmware starts Xen at EL2."
_MAP: Final = "{node} is a GIC-400 with the register map of its manual."


def unnamed_gicv2(view: HostView) -> Node | None:
    """Return the controller that Linux drives as a GICv2 and that states what Xen asks of one, under names Xen knows not."""
    for node in view.board.tree.root:
        whole = sum(isinstance(entry.where, Translated) for entry in reg_entries(node, XEN)) >= _REGISTERS
        if node.is_any_of(_OF_LINUX) and can_be_primary(node) and whole and node.prop("interrupts") is not None:
            return node
    return None


def named_cure(node: Node) -> Cure:
    """Return the change that adds a name by which Xen drives a GICv2."""
    return Cure((strings_change(node.path, "compatible", (*node.compatible, _OF_XEN)),), _GENUINE.format(node=node.path))


def gic_cures(view: HostView, node: Node) -> Iterator[Cure]:
    """Yield the cures for a controller: windows for its registers; what a GIC-400 lacks of them, and its interrupt."""
    strays = [(node, entry) for entry in reg_entries(node, XEN) if isinstance(entry.where, Untranslatable)]
    for found in bus_cures(view, strays).values():
        yield from found
    if not node.is_compatible("arm,gic-400") or node.parent is None:
        return
    changes = [*_registers(node, node.parent)]
    width = node.prop("#interrupt-cells")
    if node.prop("interrupts") is None and node.prop("interrupts-extended") is None and width is not None and width.u32 == 3:
        phandle = node.prop("phandle")
        if phandle is not None and phandle.u32 is not None and _parent_number(node) != phandle.u32:
            changes.append(cells_change(node, "interrupt-parent", (phandle.u32,)))
        changes.append(cells_change(node, "interrupts", _MAINTENANCE))
    if changes:
        yield Cure(tuple(changes), _MAP.format(node=node.path))


def _parent_number(node: Node) -> int | None:
    """Return the phandle of the interrupt parent, stated at the node or above."""
    at: Node | None = node
    while at is not None:
        prop = at.prop("interrupt-parent")
        if prop is not None:
            return prop.u32
        at = at.parent
    return None


def _registers(node: Node, parent: Node) -> Iterator[Change]:
    bus, reg = XEN.bus_of(parent), node.prop("reg")
    if bus is None or reg is None:
        return
    counts = XEN.counts(bus, parent)
    width = counts.address + counts.size
    cells = reg.cells
    starts = [read_number(cells[at : at + counts.address]) for at in range(0, len(cells) - width + 1, width)]
    base = starts[0] - _BLOCKS[0][0] if starts else -1
    expected = [base + offset for offset, _ in _BLOCKS]
    if base < 0 or len(starts) < 2 or starts[:4] != expected[: len(starts[:4])]:
        return
    made = [
        cell
        for offset, size in _BLOCKS
        for cell in (*number_cells(base + offset, counts.address), *number_cells(size, counts.size))
    ]
    if tuple(made) != cells[: len(made)]:
        yield cells_change(node, "reg", made)
