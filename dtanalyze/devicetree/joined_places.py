"""A blob joined with a source that it may have been compiled from: which of the source's places speak of the blob.

A blob lives on after it was compiled: boot loaders and overlays add nodes and properties, and a source is edited. What the
source does not have stands at none of its lines, also not at that of the node above. Values are not compared: phandles are
numbered anew by each run of dtc.
"""

from __future__ import annotations

from dtanalyze.devicetree.source_map import SourceMap
from dtanalyze.devicetree.tree import Tree
from dtanalyze.errors import InputError

__all__ = ["joined"]


def joined(places: SourceMap, source: Tree, tree: Tree) -> SourceMap:
    """Return the places of ``source`` that speak of ``tree``; raise `InputError` where they are two boards."""
    ours, theirs = (item.root.prop("compatible") for item in (tree, source))
    if ours is not None and theirs is not None and not set(ours.strings) & set(theirs.strings):
        raise InputError(f"it is the source of {theirs.strings[0]}, and the tree is of {ours.strings[0]}")
    known = {node.path: node for node in source.root}
    unknown = set[tuple[str, str]]()
    for node in tree.root:
        written = known.get(node.path)
        if written is None:
            unknown.add((node.path, ""))
        unknown |= {(node.path, name) for name in node.properties if written is None or name not in written.properties}
    return places._replace(unknown=places.unknown | unknown)
