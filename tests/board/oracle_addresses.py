"""Our answers in the form in which Xen's were recorded (``fixtures/README.md``, ``addresses`` and ``pci_ranges``)."""

from __future__ import annotations

from dtanalyze.board.build import pci_windows
from dtanalyze.board.bus import XEN
from dtanalyze.board.translate import Translated, reg_entries
from dtanalyze.devicetree.tree import Tree

EINVAL = -22


def addresses(tree: Tree) -> list[list[object]]:
    """``[path, index, rc, address, size]`` of every entry Xen is asked for, in document order."""
    return [
        [node.path, entry.nth, EINVAL, None, None]
        if entry.address is None
        else [node.path, entry.nth, 0, hex(entry.address), hex(entry.size)]
        for node in tree.root
        for entry in reg_entries(node, XEN)
    ]


def pci_ranges(tree: Tree) -> list[list[object]]:
    """``[path, rc, [[address, length]]]`` of every node with ``device_type`` pci and ``ranges``; rc is always 0."""
    return [
        [
            node.path,
            0,
            [
                [hex(item.where.address), hex(item.size)]
                for item in pci_windows(node, XEN)
                if isinstance(item.where, Translated)
            ],
        ]
        for node in tree.root
        if node.device_type == "pci" and node.prop("ranges") is not None
    ]
