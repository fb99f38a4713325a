"""How many CPUs a domain may have.

Mirrors vgic_max_vcpus (arch/arm/vgic.c), as arch_sanitise_domain_config asks for it (arch/arm/domain.c): a domain's GIC is
of the host's version.
"""

from __future__ import annotations

from typing import Final

from dtanalyze.board.interrupts import GIC_COMPATIBLE
from dtanalyze.devicetree.tree import Node

__all__ = ["MAX_VIRT_CPUS", "gic_node", "vgic_max_vcpus"]

MAX_VIRT_CPUS: Final = 128
"""Of arm64; dom0_max_vcpus= is cut to it, a domain that wants more is refused."""
_VGIC_V2_MAX_CPUS: Final = 8


def gic_node(root: Node) -> Node | None:
    """Return the interrupt controller that Xen drives, the first in the tree."""
    return next((node for node in root if node.is_any_of(GIC_COMPATIBLE)), None)


def vgic_max_vcpus(root: Node) -> int:
    """Return the most CPUs that a domain may have; without a known controller, what Xen is built for."""
    gic = gic_node(root)
    return MAX_VIRT_CPUS if gic is None or gic.is_compatible("arm,gic-v3") else _VGIC_V2_MAX_CPUS
