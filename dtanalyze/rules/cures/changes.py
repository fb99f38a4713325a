"""One property's new value, as bytes and as the DTS that says it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dtanalyze.devicetree.tree import Node
from dtanalyze.findings import Change

__all__ = [
    "body_lines",
    "cells_change",
    "deletion",
    "dts_string",
    "empty_change",
    "number_cells",
    "stated_value",
    "string_change",
    "strings_change",
]


def cells_change(node: Node, prop: str, values: Sequence[int]) -> Change:
    """Return the change of a property to 32-bit cells."""
    value = b"".join(item.to_bytes(4, "big") for item in values)
    return Change(node.path, prop, value, "<" + " ".join(hex(item) for item in values) + ">" if values else "")


def empty_change(node: Node, prop: str) -> Change:
    """Return the change that gives a node a property without a value."""
    return Change(node.path, prop, b"", "")


def deletion(node: Node, prop: str) -> Change:
    """Return the change that takes a property away."""
    return Change(node.path, prop, None, "")


def string_change(path: str, prop: str, text: str) -> Change:
    """Return the change of a property to one string."""
    return strings_change(path, prop, (text,))


def strings_change(path: str, prop: str, texts: Sequence[str]) -> Change:
    """Return the change of a property to a list of strings."""
    value = b"".join(text.encode("utf-8", "surrogateescape") + b"\0" for text in texts)
    return Change(path, prop, value, ", ".join(dts_string(text) for text in texts))


def dts_string(text: str) -> str:
    """Return a string as a source says it: quotes, backslashes and what cannot be printed escaped."""
    data = text.encode("utf-8", "surrogateescape")
    return '"' + "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\x{byte:02x}" for byte in data) + '"'


def number_cells(value: int, count: int) -> Iterator[int]:
    """Yield a number as ``count`` 32-bit cells, the highest first."""
    return (value >> 32 * (count - 1 - place) & 0xFFFFFFFF for place in range(count))


def stated_value(value: bytes) -> str:
    """Return bytes as a source would say them: strings where they can be that, else cells, else bytes."""
    body = value[:-1]
    if value.endswith(b"\0") and all(item and all(32 <= byte < 127 for byte in item) for item in body.split(b"\0")):
        return ", ".join(dts_string(item.decode("ascii")) for item in body.split(b"\0"))
    if not value:
        return ""
    if len(value) % 4 == 0:
        numbers = (int.from_bytes(value[at : at + 4], "big") for at in range(0, len(value), 4))
        return "<" + " ".join(map(hex, numbers)) + ">"
    return "[" + " ".join(f"{byte:02x}" for byte in value) + "]"


def body_lines(path: str, changes: Sequence[Change]) -> Iterator[str]:
    """Yield what a source says in the node at ``path``: its properties, then the nodes below it, a tab for each level."""
    yield from (item.statement for item in changes if item.node == path)
    below = path.rstrip("/") + "/"
    names = dict.fromkeys(item.node[len(below) :].split("/")[0] for item in changes if item.node.startswith(below))
    for name in filter(None, names):
        child = below + name
        yield f"{name} {{"
        inside = [item for item in changes if item.node == child or item.node.startswith(child + "/")]
        yield from (f"\t{line}" for line in body_lines(child, inside))
        yield "};"
