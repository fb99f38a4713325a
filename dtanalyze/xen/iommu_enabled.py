"""Whether Xen uses an IOMMU (iommu_enabled), and where that is known from.

What decides it in Xen is `iommu`; a caller or a log may know better than the tree.
"""

from __future__ import annotations

from typing import NamedTuple

from dtanalyze.devicetree.tree import Tree
from dtanalyze.xen.build import Build
from dtanalyze.xen.drivers import IOMMUS, driver_symbol
from dtanalyze.xen.dt_property import dt_device_is_available
from dtanalyze.xen.iommu import Iommus
from dtanalyze.xen.options import XenOptions
from dtanalyze.xen.parse_params import XenArgs
from dtanalyze.xen.profile import XenProfile

__all__ = ["Iommu", "iommu_enabled"]


class Iommu(NamedTuple):
    """Whether one is used, and the sentence that says why."""

    on: bool
    note: str


def iommu_enabled(
    tree: Tree, args: XenArgs, profile: XenProfile, options: XenOptions, build: Build, found: Iommus
) -> Iommu:
    """Return whether Xen uses an IOMMU: as given, else as its line and what it ``found`` say."""
    if options.iommu is not None:
        return Iommu(options.iommu, f"IOMMU: {_on(options.iommu)}, as given")
    if options.log is not None and options.log.iommu is not None:
        return Iommu(options.log.iommu, f"IOMMU: {_on(options.log.iommu)}, as the log says")
    if args.iommu is False:
        return Iommu(False, "IOMMU: off, Xen's command line says so")
    if found.failed is not None:
        return Iommu(False, f"IOMMU: off, {found.failed[0].path} cannot be set up")
    if not found.ready:
        return Iommu(False, f"IOMMU: off, {_no_iommu(tree, build, found)}")
    symbol = driver_symbol(found.ready[0], IOMMUS, profile)
    note = "IOMMU: on, an enabled one that Xen drives is in the tree"
    if symbol in build.presumed:
        note += f"; Xen is taken to be built with CONFIG_{symbol}, which is off by default (--xen-build, --xen-config)"
    return Iommu(True, note)


def _no_iommu(tree: Tree, build: Build, found: Iommus) -> str:
    for node, refused in found.passed_over:
        return f"Xen passes over {node.path}: {refused.because} (--iommu on)"
    for node in tree.root:
        symbol = next((IOMMUS[name] for name in node.compatible if name in IOMMUS), None)
        if symbol is not None and dt_device_is_available(node) and not build.has(symbol):
            return f"{node.path} needs CONFIG_{symbol}, which {build.name} lacks (--xen-config FILE, --iommu on)"
    return "no enabled one that Xen drives is in the tree"


def _on(value: bool) -> str:
    return "on" if value else "off"
