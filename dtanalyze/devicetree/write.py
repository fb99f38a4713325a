"""Trees back into bytes, in time and memory that grow with the tree.

Values are written as the raw bytes they are. Nodes are built with `new_node`, `copy_node` and `set_property`; what is
written is read again by `blob.parse`, so that every offset refers to real bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from dtanalyze.address.range import RawRange
from dtanalyze.devicetree.format import FDT_BEGIN_NODE, FDT_END, FDT_END_NODE, FDT_MAGIC, FDT_PROP
from dtanalyze.devicetree.tree import Node, Property

__all__ = ["cells", "copy_node", "new_node", "set_property", "strings", "to_blob"]

_HEADER: Final = struct.Struct(">10I")
_PROPERTY: Final = struct.Struct(">III")
_BEGIN_NODE: Final = struct.pack(">I", FDT_BEGIN_NODE)
_END_NODE: Final = struct.pack(">I", FDT_END_NODE)
_END: Final = struct.pack(">I", FDT_END)


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
    if parent is not None:
        parent.children.append(made)
    stack = [(node, made)]
    while stack:
        source, copy = stack.pop()
        copy.properties = dict(source.properties)
        for child in source.children:
            if keep(child):
                below = Node(child.name, copy, 0)
                copy.children.append(below)
                stack.append((child, below))
    return made


def cells(values: Iterable[int]) -> bytes:
    """Return 32-bit big-endian cells."""
    numbers = [value & 0xFFFFFFFF for value in values]
    return struct.pack(f">{len(numbers)}I", *numbers)


def strings(*values: str) -> bytes:
    """Return a string list."""
    return b"".join(value.encode("ascii") + b"\0" for value in values)


def to_blob(root: Node, reservations: Sequence[RawRange] = (), boot_cpuid: int = 0) -> bytes:
    """Return the flattened tree, version 17."""
    names = _Names()
    structure = b"".join(_structure(root, names))
    reserve_map = b"".join(struct.pack(">QQ", item.start, item.size) for item in (*reservations, RawRange(0, 0)))
    off_structure = _HEADER.size + len(reserve_map)
    off_names = off_structure + len(structure)
    total = off_names + len(names.block)
    header = _HEADER.pack(
        FDT_MAGIC, total, off_structure, off_names, _HEADER.size, 17, 16, boot_cpuid, len(names.block), len(structure)
    )
    return header + reserve_map + structure + names.block


class _Names:
    """The strings block: each property name once, in the order in which they come."""

    def __init__(self) -> None:
        self.block = bytearray()
        self._offsets: dict[str, int] = {}

    def offset(self, name: str) -> int:
        found = self._offsets.get(name)
        if found is None:
            found = self._offsets[name] = len(self.block)
            self.block += name.encode("ascii") + b"\0"
        return found


def _structure(root: Node, names: _Names) -> Iterator[bytes]:
    """Yield the structure block token by token, without recursion; None on the stack closes a node."""
    stack: list[Node | None] = [root]
    while stack:
        node = stack.pop()
        if node is None:
            yield _END_NODE
            continue
        yield _BEGIN_NODE + _padded(node.name.encode("ascii") + b"\0")
        for prop in node.properties.values():
            yield _PROPERTY.pack(FDT_PROP, len(prop.value), names.offset(prop.name)) + _padded(prop.value)
        stack.append(None)
        stack.extend(reversed(node.children))
    yield _END


def _padded(value: bytes) -> bytes:
    return value + bytes(-len(value) % 4)
