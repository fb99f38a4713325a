"""PCI bridges whose empty ``ranges`` drop which kind of space an address is of, and the windows that keep it.

Empty ``ranges`` hand on the number alone in Xen (dt_translate_one): above them every address is of configuration space,
which no window of a host holds. Where the bridge states the host's windows, each onto itself, the kind stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from dtanalyze.board.bus import XEN, Cells
from dtanalyze.board.translate import Translated, Untranslatable, translate
from dtanalyze.devicetree.tree import Node
from dtanalyze.findings import Change
from dtanalyze.rules.cures.changes import cells_change
from dtanalyze.rules.cures.windows import Windows, windows_of

__all__ = ["bridge_windows", "translate_kept"]

_KEPT: Final = XEN._replace(name="xen, spaces kept", keeps_flags=True)
"""Xen as it reads the tree once bridges state their windows."""


def translate_kept(node: Node, address: Cells) -> Translated | Untranslatable:
    """Translate an address of ``node`` as it is once the bridges above state their windows."""
    return translate(node, address, _KEPT)


def bridge_windows(bridge: Node | None) -> tuple[Change, ...]:
    """Return the ``ranges`` of each PCI bridge from ``bridge`` up that has empty ones: the windows of its host.

    What is no PCI bus below the first bridge is passed over.
    """
    bridges: list[Node] = []
    while bridge is not None and not _is_pci(bridge):
        bridge = bridge.parent
    while bridge is not None and _is_pci(bridge) and bridge.prop("ranges") is not None:
        windows = windows_of(bridge)
        if windows is not None:
            stated = list(_onto_themselves(windows))
            return tuple(cells_change(item, "ranges", stated) for item in bridges)
        bridges.append(bridge)
        bridge = bridge.parent
    return ()


def _is_pci(node: Node) -> bool:
    bus = XEN.bus_of(node)
    return bus is not None and bus.flag_cells > 0


def _onto_themselves(windows: Windows) -> Iterator[int]:
    """Yield the cells of each window as one that begins at the same address above as below."""
    child, outer = windows.child.address, windows.outer.address
    for at in range(0, len(windows.cells), windows.width):
        start = windows.cells[at : at + child]
        yield from (*start, *start, *windows.cells[at + child + outer : at + windows.width])
