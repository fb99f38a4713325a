"""Agreement with the ``fdt`` package on every shipped blob: same nodes, same raw bytes, same order, same reservations."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from pathlib import Path

import fdt
import pytest

from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.tree import Node
from tests.conftest import FIXTURES
from tests.fuzz.flat import pieces
from tests.raw_blobs import NOP

SHIPPED = sorted((FIXTURES / "dtb").rglob("*.dtb"))
# Several boots share one host tree: each content once.
UNIQUE = list({hashlib.sha256(path.read_bytes()).digest(): path for path in reversed(SHIPPED)}.values())[::-1]

Flat = tuple[int, str, list[tuple[str, bytes]]]


def raw(item: object) -> bytes:
    """The bytes behind a value whose type the package guessed."""
    if isinstance(item, fdt.PropStrings):
        return b"".join(text.encode("ascii") + b"\0" for text in item.data)
    if isinstance(item, fdt.PropWords):
        return struct.pack(f">{len(item.data)}I", *item.data)
    if isinstance(item, fdt.PropBytes):
        return bytes(item.data)
    return b""


def theirs(node: fdt.Node, depth: int = 0) -> Iterator[Flat]:
    yield depth, "" if depth == 0 else node.name, [(item.name, raw(item)) for item in node.props]
    for child in node.nodes:
        yield from theirs(child, depth + 1)


def ours(node: Node, depth: int = 0) -> Iterator[Flat]:
    yield depth, node.name, [(item.name, item.value) for item in node.properties.values()]
    for child in node.children:
        yield from ours(child, depth + 1)


def without_nops(data: bytes) -> bytes:
    """The blob with FDT_NOP tokens cut out of its structure block, which the package cannot read."""
    start, size = struct.unpack_from(">I", data, 8)[0], struct.unpack_from(">I", data, 36)[0]
    kept = b"".join(token for token in pieces(data).tokens if token != NOP)
    return data[:start] + kept.ljust(size, b"\xff") + data[start + size :]


def test_there_are_blobs() -> None:
    assert len(SHIPPED) >= 120
    assert {path.parent.name for path in SHIPPED} == {"boards", "boots", "hostile", "hosts"}


@pytest.mark.parametrize("path", UNIQUE, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_same_tree(path: Path) -> None:
    data = path.read_bytes()
    # The package appends the reservations of every tree that it reads in a process to one list: begin with an empty one.
    fdt.FDT().entries.clear()
    other = fdt.parse_dtb(without_nops(data))
    reservations = [(entry["address"], entry["size"]) for entry in other.entries]
    tree = parse(data)
    assert list(ours(tree.root)) == list(theirs(other.root))
    assert [(item.start, item.size) for item, _ in tree.reservations] == reservations
    assert [node.path for node in tree.root][1:] == list(paths(other.root))
    assert (tree.version, tree.boot_cpuid) == (other.header.version, other.header.boot_cpuid_phys)


def paths(node: fdt.Node, above: str = "") -> Iterator[str]:
    for child in node.nodes:
        yield f"{above}/{child.name}"
        yield from paths(child, f"{above}/{child.name}")
