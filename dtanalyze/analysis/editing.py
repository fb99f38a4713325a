"""Changes made in a copy of a tree, and what several of them come to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.devicetree.write import copy_node, new_node, set_property, to_blob
from dtanalyze.facts import Edit
from dtanalyze.findings import Change, Cure

__all__ = ["changed", "edits_of", "unsayable"]

_PATH: Final = re.compile(r"[A-Za-z0-9,._+*#?@/-]+")
"""What a path in an overlay may hold (dtc's lexer)."""


def unsayable(cure: Cure) -> str:
    """Return why no source can say a cure, empty when one can."""
    if all(_PATH.fullmatch(item.node) for item in cure.changes):
        return ""
    return "no overlay can name this node: its path holds characters that dtc does not take"


def changed(data: bytes, changes: Iterable[Change]) -> bytes:
    """Return the tree in ``data`` with the changes made; nodes that it does not have are added."""
    tree = parse(data)
    root = copy_node(tree.root, None)
    for item in changes:
        node = _made(root, item.node)
        if item.value is None:
            node.properties.pop(item.prop, None)
        else:
            set_property(node, item.prop, item.value)
    return to_blob(root, [raw for raw, _ in tree.reservations], tree.boot_cpuid)


def _made(root: Node, path: str) -> Node:
    node = root
    for name in filter(None, path.split("/")):
        node = node.child(name) or new_node(name, node)
    return node


def edits_of(data: bytes, changes: Iterable[Change]) -> tuple[Edit, ...]:
    """Return what becomes of each property of the tree in ``data``: the last of several changes to one counts.

    What ends as it was is no change.
    """
    tree = parse(data)
    last: dict[tuple[str, str], Change] = {}
    for item in changes:
        last[item.node, item.prop] = item
    found = (_edit(tree, item) for item in last.values())
    return tuple(item for item in found if item.change.value != item.old)


def _edit(tree: Tree, change: Change) -> Edit:
    node = tree.find(change.node)
    prop = node.prop(change.prop) if node is not None else None
    anchor = change.node
    while tree.find(anchor) is None:
        anchor = anchor.rpartition("/")[0] or "/"
    return Edit(change, prop.value if prop is not None else None, anchor)
