"""How wide guest physical addresses are, and what the page tables of a domain span.

Mirrors setup_virt_paging and p2m_restrict_ipa_bits (arch/arm/p2m.c, from 4.19 arch/arm/mmu/p2m.c).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from dtanalyze.board.cpus import pa_bits
from dtanalyze.devicetree.tree import Tree
from dtanalyze.xen.options import XenOptions
from dtanalyze.xen.profile import XenProfile

__all__ = ["IpaBits", "p2m_ipa_bits", "p2m_table_orders"]

_IPMMU_BITS: Final = 40


class IpaBits(NamedTuple):
    """A width in bits, and where it comes from; without a note where the caller said it."""

    value: int
    note: str


def p2m_ipa_bits(tree: Tree, profile: XenProfile, options: XenOptions, *, iommu: bool) -> IpaBits:
    """Return the width: as given, else the least of the CPUs', the build's and, where it is used, an IPMMU's."""
    if options.ipa_bits is not None:
        return IpaBits(options.ipa_bits, "")
    if options.log is not None and options.log.ipa_bits is not None:
        bits = options.log.ipa_bits
        return IpaBits(bits, f"guest physical addresses: {bits} bits, as the log says")
    widths = [item for item in (pa_bits(tree), profile.ipa_bits_default) if item is not None]
    if iommu and any("renesas,ipmmu" in name for node in tree.root for name in node.compatible):
        widths.append(_IPMMU_BITS)
    chosen = min(widths, default=48)
    known = "as the CPUs have" if pa_bits(tree) is not None else "the CPUs' width is not known"
    return IpaBits(chosen, f"guest physical addresses: {chosen} bits, {known} (--ipa-bits)")


def p2m_table_orders(ipa_bits: int) -> tuple[int, ...]:
    """Return what the tables below the root of a domain's page tables span; up to 42 bits the root is a level lower.

    From setup_virt_paging (arch/arm/p2m.c).
    """
    return (27, 18, 9) if ipa_bits > 42 else (18, 9)
