"""FIT images of any size, read by seeking: their nodes and properties, without the kernels and ramdisks in them.

A FIT image (U-Boot's ``.itb``, ``fitImage``, ``image.fit``) is a flattened tree whose properties may be as large as a root
file system. Of each property only the place in the file is kept; what is small is read when it is asked for.
"""

from __future__ import annotations

import re
import struct
from typing import Final, NamedTuple, Protocol

from dtanalyze.devicetree.format import FDT_BEGIN_NODE, FDT_END, FDT_END_NODE, FDT_MAGIC, FDT_NOP, FDT_PROP
from dtanalyze.errors import BlobError, ContainerError

__all__ = ["FitNode", "Image", "InMemory", "Stored", "read_image"]

_MOST_TOKENS: Final = 1 << 18
_MOST_STRINGS: Final = 1 << 20
_DEEPEST: Final = 64
_LONGEST: Final = 1 << 16
"""Bytes of a property that is read as text or numbers."""
_WINDOW: Final = 1 << 12
_NAME: Final = re.compile(rb"[!-.0-~]{1,255}")


class Stored(Protocol):
    """Bytes that are somewhere, a file or memory."""

    @property
    def size(self) -> int:
        """How many there are."""

    def read(self, at: int, count: int) -> bytes:
        """Return ``count`` bytes from ``at`` on, fewer where they end before."""


class InMemory:
    """Bytes that are at hand."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self._data)

    def read(self, at: int, count: int) -> bytes:
        """Return ``count`` bytes from ``at`` on, fewer where they end before."""
        return self._data[at : at + count]


class Extent(NamedTuple):
    """Where a property's value stands in the file."""

    at: int
    size: int


class FitNode:
    """A node of an image: its name, the nodes below it by name, and where its properties stand."""

    def __init__(self, name: str, path: str, stored: Stored) -> None:
        self.name, self.path = name, path
        self.children: dict[str, FitNode] = {}
        self.extents: dict[str, Extent] = {}
        self._stored = stored

    def value(self, name: str, most: int = _LONGEST) -> bytes | None:
        """Return a property's value, None without it; raise `ContainerError` where it has more than ``most`` bytes."""
        found = self.extents.get(name)
        if found is None:
            return None
        if found.size > most:
            raise ContainerError(f"{self.path}: {name} has more than {most} bytes")
        return self._stored.read(*found)

    def strings(self, name: str) -> tuple[str, ...]:
        """Return a list of strings, nothing for what is none."""
        value = self.value(name)
        if not value or not value.endswith(b"\0"):
            return ()
        return tuple(item.decode("utf-8", "surrogateescape") for item in value[:-1].split(b"\0"))

    def text(self, name: str) -> str | None:
        """Return a string, None without one."""
        return next(iter(self.strings(name)), None)

    def number(self, name: str) -> int | None:
        """Return a 32-bit number, None where the value is none."""
        value = self.value(name)
        return int.from_bytes(value, "big") if value is not None and len(value) == 4 else None


class Image(NamedTuple):
    """A FIT image: its root, the size of the tree (data may follow), and the file."""

    root: FitNode
    totalsize: int
    stored: Stored


def read_image(stored: Stored) -> Image | None:
    """Return the image, None for a tree that is none or for another file; raise `BlobError` for a tree that is broken.

    An image is what has a node ``/images`` with nodes that say ``data`` or ``type``.
    """
    head = stored.read(0, 40)
    if len(head) < 40 or int.from_bytes(head[:4], "big") != FDT_MAGIC:
        return None
    total, structure, strings, _, version, last = struct.unpack_from(">6I", head, 4)
    names, length = struct.unpack_from(">2I", head, 32)
    if version < 17 or last > 17 or structure % 4 or total > stored.size or structure + length > total:
        return None  # the strict reader says what is wrong
    if names > _MOST_STRINGS or strings + names > total:
        return None
    root = _Walk(stored, structure, structure + length, stored.read(strings, names)).root()
    images = root.children.get("images")
    if images is None or not any({"data", "type"} & item.extents.keys() for item in images.children.values()):
        return None
    return Image(root, total, stored)


class _Walk:
    """One pass over the structure block, which seeks past large values."""

    def __init__(self, stored: Stored, start: int, stop: int, strings: bytes) -> None:
        self._stored, self._at, self._stop, self._strings = stored, start, stop, strings
        self._window, self._window_at = b"", 0

    def root(self) -> FitNode:
        """Return the root with all that is below it."""
        stack: list[FitNode] = []
        root: FitNode | None = None
        for _ in range(_MOST_TOKENS):
            at, token = self._at, self._word()
            if token == FDT_BEGIN_NODE and root is None:
                root = FitNode(self._node_name(), "/", self._stored)
                stack.append(root)
            elif token == FDT_BEGIN_NODE and stack and len(stack) < _DEEPEST:
                stack.append(self._child(stack[-1], self._node_name()))
            elif token == FDT_PROP and stack:
                self._property(stack[-1])
            elif token == FDT_END_NODE and stack:
                stack.pop()
            elif token == FDT_END and root is not None and not stack:
                return root
            elif token != FDT_NOP:
                raise BlobError(f"the image's structure has {token:#x} where no such token can stand", at)
        raise BlobError(f"the image's structure has more than {_MOST_TOKENS} tokens", self._at)

    def _child(self, parent: FitNode, name: str) -> FitNode:
        if not name or name in parent.children:
            raise BlobError(f"{parent.path} has two nodes called {name!r}, or one without a name", self._at)
        path = parent.path + name if parent.path == "/" else f"{parent.path}/{name}"
        parent.children[name] = made = FitNode(name, path, self._stored)
        return made

    def _property(self, node: FitNode) -> None:
        at = self._at - 4
        size, name_at = self._word(), self._word()
        stop = self._strings.find(b"\0", name_at)
        name = self._strings[name_at:stop]
        if name_at >= len(self._strings) or stop < 0 or not _NAME.fullmatch(name):
            raise BlobError("a property's name lies outside the strings block, or is no name", at)
        if size > self._stop - self._at:
            raise BlobError(f"property {name.decode('ascii')} runs past the end of the structure block", at)
        if name.decode("ascii") in node.extents:
            raise BlobError(f"property {name.decode('ascii')} stands twice in {node.path}", at)
        node.extents[name.decode("ascii")] = Extent(self._at, size)
        self._at += size + -size % 4

    def _node_name(self) -> str:
        at = self._at
        found = self._bytes(at, min(260, max(self._stop - at, 0)))
        name, end, _ = found.partition(b"\0")
        if not end or (name and not _NAME.fullmatch(name)):
            raise BlobError("a node's name does not end, or is no name", at)
        self._at += len(name) + 1 + -(len(name) + 1) % 4
        return name.decode("ascii")

    def _word(self) -> int:
        if self._at + 4 > self._stop:
            raise BlobError("the image's structure ends too early", self._at)
        found = self._bytes(self._at, 4)
        if len(found) < 4:
            raise BlobError("the file ends inside the image's structure", self._at)
        self._at += 4
        return int.from_bytes(found, "big")

    def _bytes(self, at: int, count: int) -> bytes:
        inside = at - self._window_at
        if inside < 0 or inside + count > len(self._window):
            self._window, self._window_at, inside = self._stored.read(at, _WINDOW), at, 0
        return self._window[inside : inside + count]
