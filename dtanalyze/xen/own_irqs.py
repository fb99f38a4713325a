"""The interrupts that Xen itself asks for, in the order in which its drivers start: console, timer, interrupt controller.

Whoever asks first settles an interrupt's trigger type, so that a later one may go without. Mirrors the order of start_xen
(arch/arm/setup.c).
"""

from __future__ import annotations

from typing import NamedTuple

from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.xen.arch_timer import find_timer, timer_raw_irqs
from dtanalyze.xen.dt_irq import DtIrqs
from dtanalyze.xen.irq import Asked, Irqs
from dtanalyze.xen.platforms import platform_of
from dtanalyze.xen.profile import XenProfile
from dtanalyze.xen.vgic import gic_node

__all__ = ["OwnIrqs", "own_irqs"]


class OwnIrqs(NamedTuple):
    """The descriptors then, what each interrupt of the timer became, and the GIC's maintenance interrupt."""

    irqs: Irqs
    timer: tuple[Asked, ...]
    maintenance: Asked


def own_irqs(tree: Tree, profile: XenProfile, console: Node | None, gic_lines: int | None) -> OwnIrqs:
    """Return who has which interrupt after Xen's console, the timer and the GIC have asked for theirs."""
    gic, timer = gic_node(tree.root), find_timer(tree)
    lines = gic_lines if gic_lines is not None else platform_of(tree).gic_lines(gic)
    irqs = Irqs(DtIrqs.of(tree, gic), profile, lines)
    if console is not None:
        _first(irqs, console)
    raws = timer_raw_irqs(tree, profile, irqs.dt)
    asked = tuple(irqs.ask_for_xen(timer, raw) for raw in raws) if timer is not None else ()
    return OwnIrqs(irqs, asked, _first(irqs, gic) if gic is not None else Asked(None))


def _first(irqs: Irqs, node: Node) -> Asked:
    raw = next(iter(irqs.dt.raw_irqs(node)), None)
    return irqs.ask_for_xen(node, raw) if raw is not None else Asked(None, "it names no interrupt of its own")
