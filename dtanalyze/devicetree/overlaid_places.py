"""Where nodes and properties were written once overlays have been applied to a tree.

What an overlay adds stands in the overlay's source, what it replaces does so too. Where the overlay came without its source,
nothing is known of either: the base's own line would be the wrong one. A node of a base that came without its source
stays without a line, though an overlay opens it: what the base says there stands elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from dtanalyze.devicetree.source_map import Place, SourceMap
from dtanalyze.devicetree.tree import Node

__all__ = ["Landed", "with_overlay"]


class Landed(NamedTuple):
    """A node of an overlay, the node of the tree that it was merged into, and whether the overlay has made that one."""

    written: Node
    node: Node
    made: bool


def with_overlay(base: SourceMap | None, landed: Iterable[Landed], overlay: SourceMap | None) -> SourceMap | None:
    """Return the places of a tree with an overlay applied; ``base`` and ``overlay`` are None without a source.
    """
    if base is None and overlay is None:
        return None
    nodes = dict(base.nodes) if base is not None else {}
    properties = dict(base.properties) if base is not None else {}
    unknown = set(base.unknown) if base is not None else set[tuple[str, str]]()
    for item in landed:
        path = item.node.path
        opened = overlay.nodes.get(item.written.path, ()) if overlay is not None else ()
        if item.made:
            _put(unknown, (path, ""), known=bool(opened))
            nodes[path] = opened
        elif opened and path in nodes:
            nodes[path] = (*nodes[path], *opened)
        for name in item.written.properties:
            place = overlay.properties.get((item.written.path, name)) if overlay is not None else None
            _put(unknown, (path, name), known=place is not None)
            _set(properties, (path, name), place)
    remarks = (*(base.remarks if base is not None else ()), *(overlay.remarks if overlay is not None else ()))
    return SourceMap(nodes, properties, remarks, frozenset(unknown))


def _put(unknown: set[tuple[str, str]], key: tuple[str, str], *, known: bool) -> None:
    if known:
        unknown.discard(key)
    else:
        unknown.add(key)


def _set(properties: dict[tuple[str, str], Place], key: tuple[str, str], place: Place | None) -> None:
    if place is None:
        properties.pop(key, None)
    else:
        properties[key] = place
