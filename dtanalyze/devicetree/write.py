"""Trees back into bytes, through the ``fdt`` package.

Values are written as the raw bytes they are. Nodes are built with `new_node`, `copy_node` and `set_property`; what is
written is read again by `blob.parse`, so that every offset refers to real bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence

import fdt

from dtanalyze.address.range import RawRange
from dtanalyze.devicetree.tree import Node, Property

__all__ = ["cells", "copy_node", "new_node", "set_property", "strings", "to_blob"]


def new_node(name: str, parent: Node | None = None, properties: Mapping[str, bytes] | None = None) -> Node:
    """Return a new node with these properties, appended to ``parent``."""
    node = Node(name, parent, 0)
    for key, value in (properties or {}).items():
        set_property(node, key, value)
    if parent is not None:
        parent.children.append(node)
    return node


def set_property(node: Node, name: str, value: bytes = b"") -> None:
    """Set a property, in its old place when it exists."""
    node.properties[name] = Property(name, value, 0)


def copy_node(node: Node, parent: Node | None, keep: Callable[[Node], bool] = lambda _: True) -> Node:
    """Return a copy of ``node`` below ``parent`` with those descendants that ``keep`` accepts, subtree by subtree."""
    made = Node(node.name, parent, 0)
    made.properties = dict(node.properties)
    if parent is not None:
        parent.children.append(made)
    for child in node.children:
        if keep(child):
            copy_node(child, made, keep)
    return made


def cells(values: Iterable[int]) -> bytes:
    """Return 32-bit big-endian cells."""
    return b"".join(struct.pack(">I", value & 0xFFFFFFFF) for value in values)


def strings(*values: str) -> bytes:
    """Return a string list."""
    return b"".join(value.encode("ascii") + b"\0" for value in values)


def to_blob(root: Node, reservations: Sequence[RawRange] = (), boot_cpuid: int = 0) -> bytes:
    """Return the flattened tree, version 17."""
    # Every entry list is handed over: the package's own default is shared between all trees of a process.
    blob = fdt.FDT(entries=[{"address": item.start, "size": item.size} for item in reservations])
    blob.header.boot_cpuid_phys = boot_cpuid
    blob.root = _converted(root, "/")
    return bytes(blob.to_dtb(version=17, last_comp_version=16, boot_cpuid_phys=boot_cpuid))


def _converted(node: Node, name: str) -> fdt.Node:
    made = fdt.Node(name)
    # Appended to the lists directly: `append` refuses nodes of equal name, which real trees have, and is quadratic.
    for prop in node.properties.values():
        made.props.append(fdt.PropBytes(prop.name, data=prop.value) if prop.value else fdt.Property(prop.name))
    for child in node.children:
        made.nodes.append(_converted(child, child.name))
    return made
