"""Which IOMMUs Xen drives.

Mirrors iommu_hardware_setup (drivers/passthrough/arm/iommu.c).
"""

from __future__ import annotations

from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.xen.drivers import IOMMUS, driver_symbol
from dtanalyze.xen.profile import XenProfile

__all__ = ["is_iommu", "tree_has_iommu"]


def is_iommu(node: Node, profile: XenProfile) -> bool:
    """Tell whether Xen has a driver for the node."""
    return driver_symbol(node, IOMMUS, profile) is not None


def tree_has_iommu(tree: Tree, profile: XenProfile) -> bool:
    """Tell whether an available node is one of the IOMMUs that Xen drives."""
    return any(is_iommu(node, profile) and node.available for node in tree.root)
