"""The tree as it stands in the blob: names, raw bytes and byte offsets.

Values are never guessed: typed access is explicit and returns None when the bytes do not have that type.
"""

import struct
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeVar

from dtanalyze.address.range import RawRange

__all__ = ["Node", "Property", "Tree"]

T = TypeVar("T")

_SHORT: Final = 512
"""Values up to so many bytes are decoded once; longer ones are rare, and remembering them would cost more than it saves."""


def _decoded(value: bytes) -> tuple[str, ...]:
    body = value[:-1] if value.endswith(b"\0") else value
    return tuple(item.decode("ascii", "backslashreplace") for item in body.split(b"\0")) if value else ()


_strings = lru_cache(maxsize=8192)(_decoded)


@lru_cache(maxsize=8192)
def _lowered(value: bytes) -> frozenset[str]:
    return frozenset(item.lower() for item in _decoded(value))


class Property(NamedTuple):
    """One property: its name, its raw value and where the value begins in the file (bytes)."""

    name: str
    value: bytes
    offset: int

    @property
    def u32(self) -> int | None:
        """The value as one big-endian cell, or None when it is not four bytes long."""
        return int.from_bytes(self.value, "big") if len(self.value) == 4 else None

    @property
    def cells(self) -> tuple[int, ...]:
        """The value as big-endian 32-bit cells; trailing bytes that fill no cell are left out."""
        count = len(self.value) // 4
        return struct.unpack_from(f">{count}I", self.value)

    @property
    def strings(self) -> tuple[str, ...]:
        """The value as a string list; bytes that are not ASCII appear as escapes, so that nothing compares equal."""
        return _strings(self.value) if len(self.value) <= _SHORT else _decoded(self.value)

    @property
    def string(self) -> str | None:
        """The first string of the value, or None when the value is empty."""
        strings = self.strings
        return strings[0] if strings else None


def _compatibles(value: bytes) -> frozenset[str]:
    return _lowered(value) if len(value) <= _SHORT else frozenset(item.lower() for item in _decoded(value))


class Node:
    """One node. ``offset`` is the byte offset of its FDT_BEGIN_NODE token; ``path`` is full, ``/`` for the root.

    Nodes with equal names under one parent stay apart, in document order. A property that stands twice is
    found by name at its first place, as in libfdt and Linux.

    ``known`` is shared by all nodes of a tree that was read: whoever works out what follows from the tree keeps it there,
    so that it is worked out once. A node that is made to be written has none, as it may still change.
    """

    __slots__ = ("children", "known", "name", "offset", "parent", "path", "properties")

    def __init__(self, name: str, parent: "Node | None", offset: int) -> None:
        self.name = name
        self.parent = parent
        self.offset = offset
        self.properties: dict[str, Property] = {}
        self.children: list[Node] = []
        self.known: dict[str, Any] | None = None
        if parent is None:
            self.path = "/"
        else:
            self.known = parent.known
            self.path = parent.path + name if parent.parent is None else f"{parent.path}/{name}"

    def __repr__(self) -> str:
        return f"Node({self.path!r})"

    def __iter__(self) -> "Iterator[Node]":
        """Yield this node and all below it in document order; those of a whole tree that was read are listed once."""
        if self.parent is not None or self.known is None:
            return self._below()
        found: tuple[Node, ...] | None = self.known.get("nodes")
        if found is None:
            found = self.known["nodes"] = tuple(self._below())
        return iter(found)

    def _below(self) -> "Iterator[Node]":
        stack = [self]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(reversed(node.children))

    def once(self, what: str, work: "Callable[[Node], T]") -> T:
        """Return what ``work`` makes of this root, called ``what``; of a tree that was read it is worked out once."""
        if self.known is None:
            return work(self)
        if what not in self.known:
            self.known[what] = work(self)
        found: T = self.known[what]
        return found

    def prop(self, name: str) -> Property | None:
        """Return the property called ``name``, or None."""
        return self.properties.get(name)

    def child(self, name: str) -> "Node | None":
        """Return the first child whose full name (unit address included) is ``name``."""
        return next((child for child in self.children if child.name == name), None)

    @property
    def base_name(self) -> str:
        """The name without its unit address."""
        return self.name.partition("@")[0]

    @property
    def compatible(self) -> tuple[str, ...]:
        """The strings of ``compatible``, () when absent."""
        found = self.properties.get("compatible")
        return found.strings if found else ()

    @property
    def device_type(self) -> str | None:
        """The string of ``device_type``, or None."""
        found = self.properties.get("device_type")
        return found.string if found else None

    def is_compatible(self, wanted: str) -> bool:
        """Tell whether ``wanted`` stands in ``compatible``; case is ignored, as in Linux and Xen."""
        found = self.properties.get("compatible")
        return found is not None and wanted in _compatibles(found.value)

    def is_any_of(self, wanted: Iterable[str]) -> bool:
        """Tell whether one of ``wanted`` stands in ``compatible``; case is ignored."""
        found = self.properties.get("compatible")
        return found is not None and not _compatibles(found.value).isdisjoint(wanted)

    @property
    def available(self) -> bool:
        """Whether ``status`` is absent, ``okay`` or ``ok`` (of_device_is_available); its own status only.

        Compared as a C string: what follows the first NUL does not count.
        """
        status = self.properties.get("status")
        return status is None or status.value.startswith((b"okay\0", b"ok\0"))

    @property
    def path_available(self) -> bool:
        """Whether this node and every node above it is available: a disabled bus is never populated."""
        node: Node | None = self
        while node is not None:
            if not node.available:
                return False
            node = node.parent
        return True


class Tree(NamedTuple):
    """A whole blob: the root node, the memory reservation block and what the header says."""

    root: Node
    reservations: tuple[tuple[RawRange, int], ...]
    """Entries of the reserve map, each with its byte offset."""
    version: int
    boot_cpuid: int
    totalsize: int

    def find(self, path: str) -> Node | None:
        """Return the first node at exactly this full path, or None."""
        node: Node | None = self.root
        for name in path.split("/"):
            if name and node is not None:
                node = node.child(name)
        return node
