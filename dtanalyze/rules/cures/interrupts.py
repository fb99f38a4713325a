"""Interrupts that two want: one trigger type for both, or a device that Xen does not give to dom0.

A device marked ``xen,passthrough`` keeps its node in dom0's tree, disabled (write_properties), and none of its interrupts is
routed; a status of ``disabled`` alone changes nothing, as Xen gives dom0 disabled devices too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from dtanalyze.devicetree.tree import Node
from dtanalyze.findings import Change, Cure
from dtanalyze.rules.cures.changes import cells_change, empty_change
from dtanalyze.xen.dt_irq import Sense
from dtanalyze.xen.irq import Irqs

__all__ = ["passthrough_cure", "trigger_cures"]

_SENSE_MASK: Final = 0xF
_NOT_DOM0S: Final = "dom0 can do without {node}, which it sees disabled then."
_TYPES: Final = {1: "rising edge", 2: "falling edge", 4: "level high", 8: "level low"}


def passthrough_cure(node: Node) -> Cure:
    """Return the change that keeps a device from dom0."""
    return Cure((empty_change(node, "xen,passthrough"),), _NOT_DOM0S.format(node=node.path))


def trigger_cures(node: Node, irqs: Irqs) -> Iterator[Cure]:
    """Yield the node's trigger cells with the type that who asked first has settled."""
    changed: dict[str, list[int]] = {}
    asked: list[str] = []
    for sense in irqs.dt.senses(node):
        settled = irqs.settled_type(sense.irq.irq)
        if settled is None or settled == sense.irq.type:
            continue
        cells = changed.setdefault(sense.prop, list(_cells(node, sense)))
        cells[sense.place] = cells[sense.place] & ~_SENSE_MASK | settled
        asked.append(
            f"interrupt {sense.irq.irq} of {node.path} is {_TYPES.get(settled, f'of type {settled}')}, as "
            f"{irqs.first_asker(sense.irq.irq)} says"
        )
    changes: list[Change] = [cells_change(node, prop, cells) for prop, cells in changed.items()]
    if changes:
        text = " and ".join(dict.fromkeys(asked))
        yield Cure(tuple(changes), f"{text[:1].upper()}{text[1:]}.")


def _cells(node: Node, sense: Sense) -> tuple[int, ...]:
    prop = node.prop(sense.prop)
    return prop.cells if prop is not None else ()
