"""The strict reader of flattened devicetrees: bytes to `Tree` in one validated pass.

Versions 16 and 17 of the format (and later ones that declare themselves compatible), NOP tokens, the reserve map
and any order of the blocks. Every malformed input is one `BlobError` with a byte offset. What libfdt's full check refuses
is refused. Stricter where a sloppy blob would be read differently by different readers: blocks may not overlap, a property
may not follow a subnode, names are printable ASCII, a reserve entry of size zero ends the map only when its address is zero
too; docs/safety.md lists each such difference. Bytes after ``totalsize`` are ignored, as firmware pads.
"""

import re
import struct
from typing import Final, NamedTuple

from dtanalyze.address.range import RawRange
from dtanalyze.devicetree.format import FDT_BEGIN_NODE, FDT_END, FDT_END_NODE, FDT_MAGIC, FDT_NOP, FDT_PROP, MAX_DEPTH
from dtanalyze.devicetree.tree import Node, Property, Tree
from dtanalyze.errors import BlobError

__all__ = ["parse"]

# The caps keep a hostile blob from costing more than a real one. Largest seen in 1,600 kernel trees: 152 kB, depth 11,
# 1,112 nodes, 219 siblings, 564 properties in a node, names of 46 characters.
MAX_SIZE: Final = 16 << 20
MAX_NODES: Final = 1 << 17
MAX_PROPERTIES_PER_NODE: Final = 1 << 14
MAX_RESERVATIONS: Final = 1 << 12
MAX_NAME: Final = 255

_NAME: Final = re.compile(rb"[!-.0-~]+")
"""Printable ASCII, no blank and no slash."""
_U32: Final = struct.Struct(">I")
_TWO: Final = struct.Struct(">II")
_RESERVE: Final = struct.Struct(">QQ")


class _Header(NamedTuple):
    totalsize: int
    off_dt_struct: int
    off_dt_strings: int
    off_mem_rsvmap: int
    version: int
    boot_cpuid: int
    size_dt_strings: int
    size_dt_struct: int


def parse(data: bytes) -> Tree:
    """Return the tree that ``data`` holds; raise `BlobError` at the first byte that is wrong."""
    data = bytes(data)  # of anything like bytes; slices of it are bytes
    header = _header(data)
    reservations, rsvmap_stop = _reserve_map(data, header)
    strings = _Strings(data, header)
    root, struct_stop = _structure(data, header, strings)
    _refuse_overlap(
        ("header", 0, _header_size(header.version)),
        ("memory reservation block", header.off_mem_rsvmap, rsvmap_stop),
        ("structure block", header.off_dt_struct, struct_stop),
        ("strings block", header.off_dt_strings, header.off_dt_strings + header.size_dt_strings),
    )
    return Tree(root, reservations, header.version, header.boot_cpuid, header.totalsize)


def _header_size(version: int) -> int:
    return 40 if version >= 17 else 36


def _header(data: bytes) -> _Header:
    if not data:
        raise BlobError("the file is empty, not a flattened devicetree", 0)
    if len(data) < 4 or _U32.unpack_from(data)[0] != FDT_MAGIC:
        raise BlobError(f"not a flattened devicetree: it does not begin with the magic {FDT_MAGIC:#x}", 0)
    if len(data) < 36:
        raise BlobError(f"the header is cut off: {len(data)} bytes of 40", len(data))
    _, totalsize, off_struct, off_strings, off_rsvmap, version, last_comp, cpuid, size_strings = struct.unpack_from(
        ">9I", data
    )
    if version < 16 or last_comp > 17 or version < last_comp:
        raise BlobError(f"format version {version} (compatible with {last_comp}) is not supported, only 16 and 17", 20)
    if totalsize > len(data):
        raise BlobError(f"the file is cut off: the header promises {totalsize} bytes, the file has {len(data)}", 4)
    if totalsize > MAX_SIZE:
        raise BlobError(f"the blob is larger than {MAX_SIZE >> 20} MiB; real ones stay below one", 4)
    size = _header_size(version)
    if totalsize < size:
        raise BlobError(f"totalsize {totalsize} is smaller than the header", 4)
    size_struct = _U32.unpack_from(data, 36)[0] if version >= 17 else totalsize - off_struct
    if off_struct % 4:
        raise BlobError(f"the structure block starts at {off_struct:#x}, which is not a multiple of 4", 8)
    if off_struct > totalsize or size_struct > totalsize - off_struct:
        raise BlobError("the structure block lies outside the blob", 8)
    if off_strings < size:  # also when it is empty, as libfdt has it
        raise BlobError(f"the strings block starts at {off_strings:#x}, inside the header", 12)
    if off_strings > totalsize or size_strings > totalsize - off_strings:
        raise BlobError("the strings block lies outside the blob", 12)
    if off_rsvmap % 8:
        raise BlobError(f"the memory reservation block starts at {off_rsvmap:#x}, which is not a multiple of 8", 16)
    return _Header(totalsize, off_struct, off_strings, off_rsvmap, version, cpuid, size_strings, size_struct)


def _reserve_map(data: bytes, header: _Header) -> tuple[tuple[tuple[RawRange, int], ...], int]:
    """Return the entries before the terminator and the offset after it."""
    entries: list[tuple[RawRange, int]] = []
    offset = header.off_mem_rsvmap
    while True:
        if offset + 16 > header.totalsize:
            raise BlobError("the memory reservation block has no terminating zero entry", min(offset, header.totalsize))
        address, size = _RESERVE.unpack_from(data, offset)
        if size == 0 and address == 0:
            return tuple(entries), offset + 16
        if size == 0:
            raise BlobError(f"memory reservation {len(entries)} at {address:#x} has size zero", offset)
        if len(entries) == MAX_RESERVATIONS:
            raise BlobError(f"more than {MAX_RESERVATIONS} memory reservations", offset)
        entries.append((RawRange(address, size), offset))
        offset += 16


class _Strings:
    """Property names by their offset in the strings block, each checked once."""

    def __init__(self, data: bytes, header: _Header) -> None:
        self._base = header.off_dt_strings
        self._block = data[self._base : self._base + header.size_dt_strings]
        self.names: dict[int, str] = {}
        """Those that were read."""

    def name(self, nameoff: int, offset: int) -> str:
        if nameoff >= len(self._block):
            raise BlobError(f"a property's name lies outside the strings block (name offset {nameoff:#x})", offset)
        stop = self._block.find(0, nameoff)
        if stop < 0:
            raise BlobError("a property's name runs past the end of the strings block", self._base + nameoff)
        name = _text(self._block[nameoff:stop], "property", self._base + nameoff)
        self.names[nameoff] = name
        return name


def _text(raw: bytes, what: str, offset: int) -> str:
    if len(raw) <= MAX_NAME and _NAME.fullmatch(raw):
        return raw.decode("ascii")
    if not raw:
        raise BlobError(f"a {what} has an empty name", offset)
    if len(raw) > MAX_NAME:
        raise BlobError(f"a {what}'s name is longer than {MAX_NAME} characters", offset)
    raise BlobError(f"a {what}'s name has a character that no name may have: {raw!r}", offset)


def _structure(data: bytes, header: _Header, strings: _Strings) -> tuple[Node, int]:
    """Walk the structure block once; return the root and the offset after FDT_END."""
    walk = _Walk(data, header, strings)
    offset, limit, u32 = header.off_dt_struct, walk.limit, _U32.unpack_from
    while True:
        if offset + 4 > limit:
            raise BlobError("the structure block ends without an FDT_END token", limit)
        (token,) = u32(data, offset)
        if token == FDT_PROP:  # most tokens are
            offset = walk.add_properties(offset)
        elif token == FDT_BEGIN_NODE:
            offset = walk.begin_node(offset)
        elif token == FDT_END_NODE:
            offset = walk.end_node(offset)
        elif token == FDT_NOP:
            offset = walk.nop(offset)
        elif token == FDT_END:
            return walk.end(offset), offset + 4
        else:
            raise BlobError(f"unknown token {token:#x} in the structure block", offset)


class _Walk:
    """The nodes that are open while the structure block is read; each step returns the offset of the next token."""

    __slots__ = ("count", "data", "depth", "limit", "node", "root", "strings")

    def __init__(self, data: bytes, header: _Header, strings: _Strings) -> None:
        self.data = data
        self.limit = header.off_dt_struct + header.size_dt_struct
        self.strings = strings
        self.root: Node | None = None
        self.node: Node | None = None
        self.depth = self.count = 0

    def add_properties(self, offset: int) -> int:
        """Read the properties that follow each other: most of a tree, so that all of them share what is looked up."""
        node, data, limit, names = self.node, self.data, self.limit, self.strings.names
        if node is None:
            raise BlobError("a property stands outside every node", offset)
        properties, made = node.properties, tuple.__new__  # as `Property` itself does, less a call for each of thousands
        token, length, nameoff = FDT_PROP, 0, 0
        while token == FDT_PROP:
            value = offset + 12
            if value > limit:
                raise BlobError(f"a property of {node.path} is cut off by the end of the structure block", offset)
            length, nameoff = _TWO.unpack_from(data, offset + 4)
            if length > limit - value:
                what = f"claims {length} bytes, more than the structure block has left"
                raise BlobError(f"a property of {node.path} {what}", offset)
            if node.children:
                raise BlobError(f"a property of {node.path} follows its subnodes", offset)
            name = names.get(nameoff) or self.strings.name(nameoff, offset)
            if len(properties) == MAX_PROPERTIES_PER_NODE:
                raise BlobError(f"{node.path} has more than {MAX_PROPERTIES_PER_NODE} properties", offset)
            if name not in properties:
                properties[name] = made(Property, (name, data[value : value + length], value))
            offset = value + (length + 3 & ~3)
            if offset + 4 > limit:
                break
            (token,) = _U32.unpack_from(data, offset)
        return offset

    def begin_node(self, offset: int) -> int:
        stop = self.data.find(b"\0", offset + 4, self.limit)
        if stop < 0:
            raise BlobError("a node's name runs past the end of the structure block", offset)
        self.count += 1
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise BlobError(f"nodes are nested deeper than {MAX_DEPTH}", offset)
        if self.count > MAX_NODES:
            raise BlobError(f"the tree has more than {MAX_NODES} nodes", offset)
        raw = self.data[offset + 4 : stop]
        if self.node is None:
            self.root = self.node = self._root(raw, offset)
        else:
            child = Node(_text(raw, "node", offset + 4), self.node, offset)
            self.node.children.append(child)
            self.node = child
        return stop + 4 & ~3

    def _root(self, raw: bytes, offset: int) -> Node:
        if self.root is not None:
            raise BlobError("the tree has a second root node", offset)
        if raw:
            raise BlobError(f"the root node is called {raw!r}; its name must be empty", offset)
        root = Node("", None, offset)
        root.known = {}
        return root

    def end_node(self, offset: int) -> int:
        if self.node is None:
            raise BlobError("a node ends that never began", offset)
        self.node = self.node.parent
        self.depth -= 1
        return offset + 4

    def nop(self, offset: int) -> int:
        if self.node is None and self.root is not None:
            raise BlobError("an FDT_NOP token follows the root node, where libfdt and dtc take FDT_END only", offset)
        return offset + 4

    def end(self, offset: int) -> Node:
        """Return the root, once everything is closed."""
        if self.node is not None:
            raise BlobError(f"the tree ends inside {self.node.path}", offset)
        if self.root is None:
            raise BlobError("the tree has no root node", offset)
        return self.root


def _refuse_overlap(*blocks: tuple[str, int, int]) -> None:
    ordered = sorted((start, stop, name) for name, start, stop in blocks if stop > start)
    for (_, stop, name), (start, _, other) in zip(ordered, ordered[1:], strict=False):
        if start < stop:
            raise BlobError(f"the {name} and the {other} overlap", start)
