"""How wide guest physical addresses are, and what the page tables of a domain span.

Mirrors setup_virt_paging and p2m_restrict_ipa_bits (arch/arm/p2m.c, from 4.19 arch/arm/mmu/p2m.c).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from dtanalyze.board.cpus import most_pa_bits_of, pa_bits, pa_bits_of
from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.xen.options import XenOptions
from dtanalyze.xen.profile import XenProfile

__all__ = ["IpaBits", "p2m_ipa_bits", "p2m_table_orders"]

_IPMMU_BITS: Final = 40


class IpaBits(NamedTuple):
    """A width in bits, and where it comes from; without a note where the caller said it."""

    value: int
    note: str


def p2m_ipa_bits(
    tree: Tree, online: Sequence[Node], profile: XenProfile, options: XenOptions, *, iommu: bool
) -> IpaBits:
    """Return the width: as given, else the least of the CPUs' that are ``online``, the build's and, where used, an IPMMU's.

    CPUs of another kind than the first stay off, so that theirs does not count. One of unknown width bounds nothing.
    """
    if options.ipa_bits is not None:
        return IpaBits(options.ipa_bits, "")
    if options.log is not None and options.log.ipa_bits is not None:
        bits = options.log.ipa_bits
        return IpaBits(bits, f"guest physical addresses: {bits} bits, as the log says")
    widths = [item for item in (most_pa_bits_of(online), profile.ipa_bits_default) if item is not None]
    if iommu and any("renesas,ipmmu" in name for node in tree.root for name in node.compatible):
        widths.append(_IPMMU_BITS)
    chosen = min(widths, default=48)
    return IpaBits(chosen, f"guest physical addresses: {chosen} bits, {_from_where(tree, online)} (--ipa-bits)")


def _from_where(tree: Tree, online: Sequence[Node]) -> str:
    if pa_bits_of(online) is None:
        return "the CPUs' width is not known" if most_pa_bits_of(online) is None else "at most, since one CPU's is not known"
    if pa_bits_of(online) == pa_bits(tree):
        return "as the CPUs have"
    return f"as {online[0].path} has, a guess that Xen boots on it: CPUs of another kind stay off"


def p2m_table_orders(ipa_bits: int) -> tuple[int, ...]:
    """Return what the tables below the root of a domain's page tables span; up to 42 bits the root is a level lower.

    From setup_virt_paging (arch/arm/p2m.c).
    """
    return (27, 18, 9) if ipa_bits > 42 else (18, 9)
