"""Devices that Xen cannot give to dom0: behind an IOMMU that it does not drive, an interrupt or an address too high."""

from __future__ import annotations

from collections.abc import Iterator

from dtanalyze.board.build import pci_windows
from dtanalyze.board.bus import XEN
from dtanalyze.board.interrupts import Phandles
from dtanalyze.board.translate import RegEntry, Untranslatable
from dtanalyze.devicetree.tree import Node
from dtanalyze.findings import Cure
from dtanalyze.rules.cures.changes import deletion, empty_change, string_change
from dtanalyze.rules.cures.command_line import option_cure
from dtanalyze.rules.cures.interrupts import passthrough_cure
from dtanalyze.rules.cures.ranges import bus_cures
from dtanalyze.rules.view import HostView
from dtanalyze.xen.device import Failure, iommus_of
from dtanalyze.xen.iommu import is_iommu

__all__ = ["beyond_descriptors", "refused_cures"]


def refused_cures(view: HostView, failure: Failure) -> Iterator[Cure]:
    """Yield the cures for a device that stops dom0's construction, the one that costs least first."""
    node = failure.node
    if failure.kind == "iommu":
        yield from _iommu(view, node)
    elif failure.kind == "width" or any("vIRQ" in line for line in failure.lines):
        yield passthrough_cure(node)
    elif failure.kind == "gic" and any("ranges" in line for line in failure.lines):
        yield Cure((empty_change(node, "ranges"),))
    elif beyond_descriptors(failure):
        yield from _without_interrupts(node)
    elif failure.kind == "window":
        yield from _windows(view, node)


def beyond_descriptors(failure: Failure) -> bool:
    """Whether Xen dies of an interrupt that it has no descriptor for."""
    return failure.kind == "crash" and "descriptor" in failure.because


def _without_interrupts(node: Node) -> Iterator[Cure]:
    """Xen looks up the interrupts of every node, also of one that is disabled or passed through: only none is none."""
    given = [name for name in ("interrupts", "interrupts-extended") if node.prop(name) is not None]
    if given:
        yield Cure(tuple(deletion(node, name) for name in given), f"dom0 can do without the interrupts of {node.path}.")


def _iommu(view: HostView, node: Node) -> Iterator[Cure]:
    """A master of an IOMMU that is disabled is left as it is (iommu_add_dt_device); one passed through is not asked for."""
    undriven = [item for item in iommus_of(node, Phandles.of(view.board.tree)) if not is_iommu(item, view.xen)]
    for item in dict.fromkeys(undriven):
        yield Cure(
            (string_change(item.path, "status", "disabled"),),
            f"dom0 uses the devices behind {item.path} without it, or not at all.",
        )
    yield passthrough_cure(node)
    yield option_cure(view.host.tree, "iommu", "no", "No domain but dom0 is given a device that reads and writes memory.")


def _windows(view: HostView, node: Node) -> Iterator[Cure]:
    """A PCI host's windows on the bus above it."""
    parent = node.parent
    if parent is not None and parent.parent is not None and parent.prop("ranges") is None:
        yield Cure((empty_change(parent, "ranges"),), f"The addresses below {parent.path} are the CPU's.")
        return
    strays = [
        (node, RegEntry(node, nth, (), window.size, window.offset, window.where))
        for nth, window in enumerate(pci_windows(node, XEN))
        if isinstance(window.where, Untranslatable)
    ]
    for found in bus_cures(view, strays).values():
        yield from found
