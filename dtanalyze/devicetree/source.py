"""Trees as devicetree source, for people: through the ``fdt`` package.

What a value is meant to be is guessed as dtc guesses it; only the spelling depends on the guess, the bytes stay the same.
"""

from __future__ import annotations

import re
from typing import Final

import fdt

from dtanalyze.devicetree.tree import Node, Property, Tree
from dtanalyze.errors import InputError

__all__ = ["to_dts"]

_NAME: Final = re.compile(r"[A-Za-z0-9,._+?#-]+(@[A-Za-z0-9,._+?#-]+)?")
_TEXT: Final = re.compile(rb"(?:[ -\[\]-~]+\0)+")
"""Strings that need no escape but that of a quotation mark: printable, no backslash, none empty."""


def to_dts(tree: Tree) -> str:
    """Return the source of ``tree``; raise `InputError` when a name in it cannot be written in a source."""
    # Every entry list is handed over: the package's own default is shared between all trees of a process.
    made = fdt.FDT(entries=[{"address": raw.start, "size": raw.size} for raw, _ in tree.reservations])
    made.root = fdt.Node("/")
    stack = [(tree.root, made.root)]
    while stack:
        node, copy = stack.pop()
        # Appended to the lists directly: `append` refuses nodes of equal name, which real trees have.
        copy.props.extend(_property(node, prop) for prop in node.properties.values())
        for child in node.children:
            _refuse_strange(child.name, child)
            below = fdt.Node(child.name)
            copy.nodes.append(below)
            stack.append((child, below))
    return str(made.to_dts())


def _property(node: Node, prop: Property) -> fdt.Property:
    _refuse_strange(prop.name, node)
    value = prop.value
    if not value:
        return fdt.Property(prop.name)
    if _TEXT.fullmatch(value):
        return fdt.PropStrings(prop.name, *prop.strings)
    if len(value) % 4 == 0:
        return fdt.PropWords(prop.name, *prop.cells)
    return fdt.PropBytes(prop.name, data=value)


def _refuse_strange(name: str, node: Node) -> None:
    # The package leaves out properties of such a name, which it uses for itself.
    if not _NAME.fullmatch(name) or name.endswith("_with_references"):
        raise InputError(f"{node.path}: the name {name} cannot be written in a source")
