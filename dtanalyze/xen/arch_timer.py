"""The generic timer, without which Xen does not start.

Mirrors preinit_dt_xen_time and init_dt_xen_time (arch/arm/time.c). Left out: the frequency that the hardware states where
the tree does not.
"""

from __future__ import annotations

from typing import Final

from dtanalyze.board.interrupts import Phandles
from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.xen.profile import XenProfile
from dtanalyze.xen.stage import Outcome, Passed, Stop

__all__ = ["find_timer", "init_xen_time", "preinit_xen_time", "timer_irqs"]

_STAGE: Final = "timer"
_TIMERS: Final = ("arm,armv7-timer", "arm,armv8-timer")
_NAMES: Final = ("sec-phys", "phys", "virt", "hyp-phys")
"""timer_irq_names, by number; the fifth, ``hyp-virt``, may be missing."""


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


def init_xen_time(tree: Tree, profile: XenProfile) -> Outcome:
    """Ask for the timer's interrupts: four, by name where names are given and this release reads them."""
    node = find_timer(tree)
    if node is None:
        return Passed()
    for number, irq in enumerate(timer_irqs(tree, profile)):
        if irq is None:
            line = f"Timer: Unable to retrieve IRQ {number} from the device tree"
            return Stop(_STAGE, (line,), f'{node.path} has no interrupt "{_NAMES[number]}" at the GIC', node.path)
    return Passed((f"{len(_NAMES)} interrupts of {node.path}",))


def timer_irqs(tree: Tree, profile: XenProfile) -> tuple[int | None, ...]:
    """Return the timer's interrupts as the GIC numbers them: secure, non-secure, virtual, hypervisor's; None for none."""
    node = find_timer(tree)
    if node is None:
        return ()
    found = [item.gic_id for item in Phandles.of(tree).interrupts(node)]
    places: list[int | None] = list(range(len(_NAMES)))
    names = node.prop("interrupt-names")
    if profile.timer_by_name and names is not None:
        words = names.value.rstrip(b"\0").split(b"\0")
        places = [words.index(name.encode()) if name.encode() in words else None for name in _NAMES]
    return tuple(found[place] if place is not None and place < len(found) else None for place in places)
