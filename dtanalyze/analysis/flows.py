"""How an address that a finding speaks of came about: the lines that state it and those that move it, for each node.

An overlap has two sides, each written in a place of its own, and the ``ranges`` of every bus above a node move what its
``reg`` says. With sources at hand each of those is a line that somebody can look at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from dtanalyze.devicetree.source_map import SourceMap
from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.findings import Finding, Step

__all__ = ["flows_of"]

_MENTIONED: Final = re.compile(r"(?<![\w.])/[^\s,;()'\"\[\]]+")
_REGION: Final = re.compile(r"\bextended regions?\b")
_MOST: Final = 8
"""So many nodes of one finding are followed."""


def flows_of(tree: Tree, places: SourceMap, finding: Finding) -> tuple[tuple[Step, ...], ...]:
    """Return one flow for each node that the finding speaks of, its own first; none for a finding without addresses."""
    if not finding.ranges:
        return ()
    flows = (tuple(_steps(node, places)) for node in _nodes(tree, finding)[:_MOST])
    return tuple(flow for flow in flows if flow)


def _nodes(tree: Tree, finding: Finding) -> list[Node]:
    named = [finding.node or "", *(item.rstrip(".:") for item in _MENTIONED.findall(finding.message))]
    if _REGION.search(finding.message):
        named.append("/hypervisor")
    found = (tree.find(name) for name in dict.fromkeys(named) if name.startswith("/"))
    return [node for node in found if node is not None]


def _steps(node: Node, places: SourceMap) -> Iterator[Step]:
    own = places.properties.get((node.path, "reg"))
    if own is None:
        return
    yield Step(f"{node.path} has its addresses here", own)
    above = node.parent
    while above is not None and above.parent is not None:
        ranges = above.prop("ranges")
        place = places.properties.get((above.path, "ranges"))
        if ranges is not None and ranges.value and place is not None:
            yield Step(f"ranges of {above.path} moves them", place)
        above = above.parent
