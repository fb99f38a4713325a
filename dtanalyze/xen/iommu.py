"""Which IOMMUs Xen drives.

Mirrors iommu_hardware_setup (drivers/passthrough/arm/iommu.c) and the match tables of the drivers beside it.
"""

from __future__ import annotations

from typing import Final

from dtanalyze.devicetree.tree import Node, Tree

__all__ = ["IOMMU_COMPATIBLE", "is_iommu", "tree_has_iommu"]

IOMMU_COMPATIBLE: Final = (
    "arm,smmu-v1",
    "arm,smmu-v2",
    "arm,smmu-v3",
    "arm,mmu-400",
    "arm,mmu-401",
    "arm,mmu-500",
    "renesas,ipmmu-r8a7795",
    "renesas,ipmmu-r8a7796",
    "renesas,ipmmu-r8a77965",
    "renesas,ipmmu-r8a779f0",
)


def is_iommu(node: Node) -> bool:
    """Tell whether Xen has a driver for the node."""
    return node.is_any_of(IOMMU_COMPATIBLE)


def tree_has_iommu(tree: Tree) -> bool:
    """Tell whether an available node is one of the IOMMUs that Xen drives."""
    return any(is_iommu(node) and node.available for node in tree.root)
