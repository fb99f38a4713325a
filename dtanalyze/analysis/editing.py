"""Changes made in a copy of a tree, and what several of them come to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.overlay import reached
from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.devicetree.write import copy_node, new_node, set_property, to_blob
from dtanalyze.facts import Edit
from dtanalyze.findings import Change, Cure

__all__ = ["changed", "edits_of"]

_PATH: Final = re.compile(r"[A-Za-z0-9,._+*#?@/-]+")
"""What a path in an overlay may hold (dtc's lexer)."""
_HALF: Final = "it goes together with a change that no overlay says"


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


def edits_of(data: bytes, cures: Sequence[Cure]) -> tuple[Edit, ...]:
    """Return what becomes of each property of the tree in ``data``: the last of several changes to one counts.

    What ends as it was is no change. A cure of which an overlay can say only a part is left out of it as a whole: half of a
    change was never tried.
    """
    tree = parse(data)
    last = {(item.node, item.prop): item for cure in cures for item in cure.changes}
    edits = {place: _edit(tree, item) for place, item in last.items()}
    edits = {place: edit for place, edit in edits.items() if edit.change.value != edit.old}
    together = [[place for item in cure.changes if (place := (item.node, item.prop)) in edits] for cure in cures]
    while half := next((places for places in together if len({not edits[place].unsaid for place in places}) > 1), None):
        edits.update((place, edits[place]._replace(unsaid=edits[place].unsaid or _HALF)) for place in half)
    return tuple(edits.values())


def _edit(tree: Tree, change: Change) -> Edit:
    node = tree.find(change.node)
    prop = node.prop(change.prop) if node is not None else None
    anchor = change.node
    while tree.find(anchor) is None:
        anchor = anchor.rpartition("/")[0] or "/"
    return Edit(change, prop.value if prop is not None else None, anchor, _unsaid(tree, change, anchor))


def _unsaid(tree: Tree, change: Change, anchor: str) -> str:
    """Return why no overlay says a change: it adds and replaces properties, of the node that libfdt finds at a path."""
    if change.value is None:
        return "an overlay takes no property away"
    if not _PATH.fullmatch(change.node):
        return "its path holds characters that dtc does not take"
    # The first node below the anchor is made; libfdt would rather take one that stands there by that name and an address.
    name = change.node[len(anchor.rstrip("/")) :].split("/")[:2]
    found = reached(tree.root, anchor.rstrip("/") + "/".join(name))
    if found is not (tree.find(change.node) if anchor == change.node else None):
        return f"an overlay that names {change.node} changes {found.path if found is not None else 'nothing'}"
    return ""
