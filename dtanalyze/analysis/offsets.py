"""Where findings of a tree that was made from another stand in that other one."""

from __future__ import annotations

from collections.abc import Iterable

from dtanalyze.devicetree.tree import Tree
from dtanalyze.findings import Finding

__all__ = ["offset_of", "placed_in"]


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
