"""Where findings of a tree that was made from another stand in that other one."""

from __future__ import annotations

from collections.abc import Iterable

from dtanalyze.devicetree.source_map import SourceMap
from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.findings import Finding

__all__ = ["offset_of", "placed_in", "written_in"]


def placed_in(tree: Tree, found: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings with offsets into the host's own file: those found lie in a tree that was made of it."""
    return tuple(item._replace(offset=offset_of(tree, item.node)) for item in found)


def offset_of(tree: Tree, path: str | None) -> int | None:
    """Return where the node at ``path`` has its addresses, or begins; None when only Xen's tree has it."""
    node = tree.find(path) if path is not None and path.startswith("/") else None
    if node is None:
        return None
    reg = node.prop("reg")
    return reg.offset if reg is not None else node.offset


def written_in(tree: Tree, places: SourceMap, found: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings with the places in the sources: the property that the offset points into, else the node."""
    from dtanalyze.analysis.flows import flows_of  # blobs have no places

    out = []
    for item in found:
        node = tree.find(item.node) if item.node is not None and item.node.startswith("/") else None
        name = _property_at(node, item.offset) if node is not None else None
        flows = flows_of(tree, places, item)
        out.append(item if item.node is None else item._replace(place=places.place(item.node, name), flows=flows))
    return tuple(out)


def _property_at(node: Node, offset: int | None) -> str | None:
    """Return the name of the property whose value holds the byte at ``offset``; ``reg`` where there is no such offset."""
    if offset is None:
        return "reg" if node.prop("reg") is not None else None
    held = (name for name, prop in node.properties.items() if prop.offset <= offset <= prop.offset + len(prop.value))
    return next(held, None)
