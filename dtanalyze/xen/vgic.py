"""The GIC of the host as far as it shapes those of the domains: which one, how many CPUs, which parts.

Mirrors vgic_max_vcpus (arch/arm/vgic.c), as arch_sanitise_domain_config asks for it (arch/arm/domain.c), vgic_v3_domain_init
and vgic_v3_vcpu_init (arch/arm/vgic-v3.c) and gicv2_extension_dt_init (arch/arm/gic-v2.c): a domain's GIC is of the host's
version.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from dtanalyze.address.range import AddressRange
from dtanalyze.board.bus import XEN
from dtanalyze.board.interrupts import GIC_COMPATIBLE
from dtanalyze.board.model import entry_range
from dtanalyze.board.translate import reg_entries
from dtanalyze.devicetree.tree import Node
from dtanalyze.xen.dt_property import dt_device_is_available

__all__ = [
    "MAX_VIRT_CPUS",
    "Redistributor",
    "V2mFrame",
    "can_be_primary",
    "gic_node",
    "is_gic_v3",
    "redistributors",
    "used_redistributors",
    "v2m_frames",
    "vgic_max_vcpus",
    "vgic_v3_served",
]

MAX_VIRT_CPUS: Final = 128
"""Of arm64; dom0_max_vcpus= is cut to it, a domain that wants more is refused."""
_VGIC_V2_MAX_CPUS: Final = 8
_GICR_SIZE: Final = 0x20000
"""GICV3_GICR_SIZE: what one CPU's redistributor takes."""


class V2mFrame(NamedTuple):
    """A frame of MSIs of a GICv2: it has ``spis`` interrupt IDs from ``first``; 0 where the tree does not say it."""

    node: Node
    first: int
    spis: int


class Redistributor(NamedTuple):
    """One region of redistributors of a GICv3, and how many CPUs it serves."""

    range: AddressRange
    cpus: int


def can_be_primary(node: Node) -> bool:
    """Tell whether a driver is asked for the node at all (gic_dt_preinit, device_init)."""
    return (
        node.prop("interrupt-controller") is not None
        and node.parent is not None
        and dt_device_is_available(node)
        and node.prop("xen,passthrough") is None
    )


def gic_node(root: Node) -> Node | None:
    """Return the interrupt controller that Xen drives, the first in the tree that can be one."""
    return root.once("gic", _gic_node)


def _gic_node(root: Node) -> Node | None:
    return next((node for node in root if node.is_any_of(GIC_COMPATIBLE) and can_be_primary(node)), None)


def is_gic_v3(gic: Node | None) -> bool:
    """Tell whether the controller is a GICv3."""
    return gic is not None and gic.is_compatible("arm,gic-v3")


def vgic_max_vcpus(root: Node) -> int:
    """Return the most CPUs that a domain may have; without a known controller, what Xen is built for."""
    gic = gic_node(root)
    return MAX_VIRT_CPUS if gic is None or is_gic_v3(gic) else _VGIC_V2_MAX_CPUS


def redistributors(gic: Node) -> tuple[Redistributor, ...]:
    """Return the redistributors of a GICv3: as many entries after the distributor as #redistributor-regions says."""
    if not is_gic_v3(gic):
        return ()
    stated = gic.prop("#redistributor-regions")
    count = stated.u32 if stated is not None and stated.u32 is not None else 1
    found = [entry_range(entry) for entry in reg_entries(gic, XEN)]
    return tuple(Redistributor(item, item.size // _GICR_SIZE) for item in found[1 : 1 + count] if item is not None)


def vgic_v3_served(root: Node) -> int | None:
    """Return how many CPUs of a domain with the host's layout find a redistributor; None where its GIC needs none."""
    gic = gic_node(root)
    return sum(item.cpus for item in redistributors(gic)) if gic is not None and is_gic_v3(gic) else None


def used_redistributors(gic: Node, vcpus: int) -> tuple[AddressRange, ...]:
    """Return the regions that a domain with the host's layout gets: as many as its CPUs need."""
    out: list[AddressRange] = []
    served = 0
    for item in redistributors(gic):
        out.append(item.range)
        served += item.cpus
        if served >= vcpus:
            break
    return tuple(out)


def v2m_frames(gic: Node, hardware: tuple[int, int] | None) -> tuple[V2mFrame, ...]:
    """Return the MSI frames below a GICv2. ``hardware`` is what their registers say, which the tree may override."""
    if is_gic_v3(gic):
        return ()
    return tuple(_v2m_frame(node, hardware) for node in gic.children if node.is_compatible("arm,gic-v2m-frame"))


def _v2m_frame(node: Node, hardware: tuple[int, int] | None) -> V2mFrame:
    base, count = node.prop("arm,msi-base-spi"), node.prop("arm,msi-num-spis")
    stated = ((base.u32 or 0) if base else 0, (count.u32 or 0) if count else 0)
    return V2mFrame(node, *(stated if all(stated) else hardware or (0, 0)))
