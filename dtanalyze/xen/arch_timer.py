"""The generic timer, without which Xen does not start.

Mirrors preinit_dt_xen_time and init_dt_xen_time (arch/arm/time.c), and for dom0, whose timer has the host's interrupts,
domain_vtimer_init (arch/arm/vtimer.c). Left out: the frequency that the hardware states where the tree does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.xen.dt_irq import DtIrqs, RawIrq
from dtanalyze.xen.irq import FIRST_PPI, Asked
from dtanalyze.xen.profile import XenProfile
from dtanalyze.xen.stage import Outcome, Passed, Stop

__all__ = ["domain_vtimer_init", "find_timer", "init_xen_time", "preinit_xen_time", "timer_raw_irqs"]

_STAGE: Final = "timer"
_TIMERS: Final = ("arm,armv7-timer", "arm,armv8-timer")
_NEEDED: Final = ("sec-phys", "phys", "virt", "hyp-phys")
_NAMES: Final = (*_NEEDED, "hyp-virt")
"""timer_irq_names, by number; the fifth, asked for since names are read, may be missing."""


def find_timer(tree: Tree) -> Node | None:
    """Return the first timer in the tree, whatever its status."""
    return next((node for node in tree.root if node.is_any_of(_TIMERS)), None)


def preinit_xen_time(tree: Tree, profile: XenProfile) -> Outcome:
    """Look for the timer; without one Xen panics before its console is up."""
    node = find_timer(tree)
    if node is None:
        line = "Unable to find a compatible timer in the device tree"
        return Stop(_STAGE, (line,), f"no node is compatible with {' or '.join(_TIMERS)}", silent=True)
    prop = node.prop("clock-frequency")
    least = 500 if profile.timer_khz_rounded else 1000
    if profile.timer_frequency_checked and prop is not None and prop.cells and prop.cells[0] < least:
        because = f"clock-frequency of {node.path} is {prop.cells[0]}"
        return Stop(_STAGE, ("Timer frequency is less than 1 KHz",), because, node.path, silent=True)
    return Passed((node.path,))


def init_xen_time(tree: Tree, asked: Sequence[Asked]) -> Outcome:
    """Ask for the timer's interrupts; without one of the first four Xen panics."""
    node = find_timer(tree)
    if node is None:
        return Passed()
    for number, (irq, because) in enumerate(asked[: len(_NEEDED)]):
        if irq is None:
            line = f"Timer: Unable to retrieve IRQ {number} from the device tree"
            return Stop(_STAGE, (line,), f'{node.path} has no interrupt "{_NAMES[number]}": {because}', node.path)
    return Passed((f"{len(asked)} interrupts of {node.path}",))


def domain_vtimer_init(tree: Tree, profile: XenProfile, asked: Sequence[Asked], lines: int) -> Outcome:
    """Set dom0's timer interrupts aside: each has to be one of its GIC's ``lines``, and another than the ones before."""
    node = find_timer(tree)
    if node is None:
        return Passed()
    irqs = [item.irq for item in asked[: len(profile.vtimer_bug_lines)]]
    for number, irq in enumerate(irqs):
        if irq is None or FIRST_PPI <= irq < lines and irq not in irqs[:number]:
            continue
        because = f'"{_NAMES[number]}" of {node.path} is interrupt {irq}'
        if irq in irqs[:number]:
            because += f', which "{_NAMES[irqs.index(irq)]}" is too'
        return Stop(_STAGE, (f"{profile.vtimer_bug}:{profile.vtimer_bug_lines[number]}",), because, node.path)
    return Passed((f"{len(irqs)} interrupts for dom0's timer",))


def timer_raw_irqs(tree: Tree, profile: XenProfile, dt: DtIrqs) -> tuple[RawIrq | None, ...]:
    """Return the timer's interrupts in the order in which Xen asks for them, by name where names are given and read."""
    node = find_timer(tree)
    if node is None:
        return ()
    found = dt.raw_irqs(node)
    places: list[int | None] = list(range(len(_NAMES if profile.timer_by_name else _NEEDED)))
    names = node.prop("interrupt-names")
    if profile.timer_by_name and names is not None:
        words = names.value.rstrip(b"\0").split(b"\0")
        places = [words.index(name.encode()) if name.encode() in words else None for name in _NAMES]
    return tuple(found[place] if place is not None and place < len(found) else None for place in places)
