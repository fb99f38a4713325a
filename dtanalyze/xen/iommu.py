"""Which IOMMUs Xen drives.

Mirrors iommu_hardware_setup (drivers/passthrough/arm/iommu.c).
"""

from __future__ import annotations

from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.xen.command_line import XenArgs
from dtanalyze.xen.drivers import IOMMUS, driver_symbol
from dtanalyze.xen.profile import XenProfile
from dtanalyze.xen.stage import Outcome, Passed, Stop

__all__ = ["iommu_setup", "is_iommu", "tree_has_iommu"]


def is_iommu(node: Node, profile: XenProfile) -> bool:
    """Tell whether Xen has a driver for the node."""
    return driver_symbol(node, IOMMUS, profile) is not None


def tree_has_iommu(tree: Tree, profile: XenProfile) -> bool:
    """Tell whether an available node is one of the IOMMUs that Xen drives."""
    return any(is_iommu(node, profile) and node.available for node in tree.root)


def iommu_setup(args: XenArgs, found: tuple[Node, ...], *, enabled: bool) -> Outcome:
    """Return whether Xen goes on: with ``iommu=force`` or ``required`` an IOMMU has to be there and in use."""
    if args.iommu_force and not enabled:
        why = "the command line switches it off" if args.iommu is False else "none that Xen drives is enabled in the tree"
        return Stop("iommu", ("Couldn't enable IOMMU and iommu=required/force",), f"iommu=force, and {why}")
    return Passed((", ".join(node.path for node in found) if enabled and found else "on" if enabled else "none in use",))
