"""Who has which interrupt, and with which trigger type.

Xen keeps one descriptor for each interrupt: the first who asks settles the trigger type, and whoever asks with another is
refused; an SPI goes to Xen or to one domain. Mirrors platform_get_irq, irq_set_type and route_irq_to_guest
(arch/arm/irq.c) with map_irq_to_domain (arch/arm/device.c). Left out: priorities, targets, LPIs and extended SPIs.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from dtanalyze.devicetree.tree import Node
from dtanalyze.xen.dt_irq import DtIrqs, GicIrq, RawIrq
from dtanalyze.xen.profile import XenProfile

__all__ = ["EDGE_RISING", "FIRST_PPI", "FIRST_SPI", "MAX_LINES", "NR_IRQS", "Asked", "Irqs", "Refused"]

EDGE_RISING: Final = 1
FIRST_PPI: Final = 16
FIRST_SPI: Final = 32
MAX_LINES: Final = 992
"""VGIC_MAX_IRQS: a domain's GIC has no more, whatever the host's has."""
NR_IRQS: Final = 1024
"""How many interrupts Xen has a descriptor for (asm/irq.h); platform_get_irq looks up whatever number it is given."""


class Refused(NamedTuple):
    """Why an interrupt is not to be had: Xen's lines, its return code, and the cause in our words."""

    lines: tuple[str, ...]
    rc: int
    because: str


class Asked(NamedTuple):
    """What a driver of Xen gets that asks for one interrupt: its number, or None and why not in our words."""

    irq: int | None
    because: str = ""


class Irqs:
    """The descriptors. ``lines`` is how many interrupt IDs the GIC has, None when that is not known."""

    def __init__(self, dt: DtIrqs, profile: XenProfile, lines: int | None) -> None:
        self.dt = dt
        self.profile = profile
        self.lines = min(lines or MAX_LINES, MAX_LINES)
        self._types: dict[int, tuple[int, str]] = {}
        self._owners: dict[int, tuple[str, str]] = {}
        self._lines_of: dict[str, int] = {}

    def limit(self, domain: str, spis: int) -> None:
        """Give a domain's own GIC so many SPIs, in whole ranks of 32 (domain_vgic_init)."""
        self._lines_of[domain] = FIRST_SPI + -(-spis // FIRST_SPI) * FIRST_SPI

    def get(self, raw: RawIrq | None, asker: str) -> GicIrq | None:
        """Return the interrupt when its trigger type can be had (platform_get_irq), else None."""
        found = self.dt.gic_irq(raw)
        return found if found is not None and self.set_type(found, asker) else None

    def set_type(self, wanted: GicIrq, asker: str) -> bool:
        """Settle the trigger type; False when it is settled otherwise (irq_set_type)."""
        return self._types.setdefault(wanted.irq, (wanted.type, asker))[0] == wanted.type

    def ask_for_xen(self, node: Node, raw: RawIrq | None) -> Asked:
        """Let a driver of Xen have one interrupt of the node (platform_get_irq)."""
        wanted = self.dt.gic_irq(raw)
        if wanted is None:
            return Asked(None, "it is none of the interrupt controller's")
        if not self.set_type(wanted, node.path):
            return Asked(None, f"{self.first_asker(wanted.irq)} has interrupt {wanted.irq} with another trigger type")
        self._owners.setdefault(wanted.irq, ("Xen", node.path))
        return Asked(wanted.irq)

    def take_for_xen(self, node: Node, first: int) -> None:
        """Let a driver of Xen ask for all of the node's interrupts, the ``first`` of which it uses itself."""
        for number, raw in enumerate(self.dt.raw_irqs(node)):
            if number < first:
                self.ask_for_xen(node, raw)
            else:
                self.get(raw, node.path)

    def first_asker(self, irq: int) -> str:
        """Return who settled the trigger type of an interrupt."""
        return self._types[irq][1]

    def settled_type(self, irq: int) -> int | None:
        """Return the trigger type of an interrupt, None when nobody has asked for it."""
        found = self._types.get(irq)
        return found[0] if found is not None else None

    def owner(self, irq: int) -> tuple[str, str] | None:
        """Return who has the interrupt (``Xen``, ``d0``, …) and for which node."""
        return self._owners.get(irq)

    def map_to_domain(self, irq: int, domain: str, node: Node) -> Refused | None:
        """Give an interrupt to a domain (map_irq_to_domain); return why not."""
        refused = self._route(irq, domain, node)
        if refused is None:
            self._owners.setdefault(irq, (domain, node.path))
            return None
        called = domain if self.profile.domains_called_d else f"dom{domain.removeprefix('d')}"
        return refused._replace(lines=(*refused.lines, f"Unable to map IRQ{irq} to {called}"))

    def _route(self, irq: int, domain: str, node: Node) -> Refused | None:
        """route_irq_to_guest: the virtual interrupt has the physical one's number."""
        lines = self._lines_of.get(domain, self.lines)
        if irq >= lines:
            number = domain.removeprefix("d")
            line = f"the vIRQ number {irq} is too high for domain {number} (max = {lines})"
            if self.profile.virq_is_invalid:
                line = f"invalid vIRQ number {irq} for domain {domain}"
            return Refused((line,), -22, f"the interrupt controller of {domain} has {lines} lines")
        if irq < FIRST_SPI:
            return Refused(("IRQ can only be routed to an SPI",), -22, f"interrupt {irq} is private to a CPU")
        owner = self._owners.get(irq)
        if owner is None or owner[0] == domain:
            return None
        if owner[0] == "Xen":
            because = f"{node.path} shares it with {owner[1]}, which Xen uses itself"
            return Refused((f"IRQ {irq} is already used by Xen",), -16, because)
        line = f"IRQ {irq} is already used by domain {owner[0].removeprefix('d')}"
        return Refused((line,), -16, f"{node.path} shares it with {owner[1]}, which {owner[0]} has")
