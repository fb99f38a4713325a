"""Damaged blobs: whatever the bytes, the answer is a tree or one `BlobError` whose offset lies in the file.

Seeded mutations of shipped blobs (the same on every run), and Hypothesis on small ones.
"""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.errors import BlobError
from tests.conftest import FIXTURES
from tests.raw_blobs import END, END_NODE, NOP, begin, blob, prop, u32

SEEDS = ("boards/cavium-thunder-88xx", "boots/07a-domU-256M", "boots/01-dom0-x420-l612")
PER_BLOB = 1000


def outcome(data: bytes) -> Tree | BlobError:
    try:
        return parse(data)
    except BlobError as error:
        assert error.offset is not None
        assert 0 <= error.offset <= len(data), str(error)
        assert str(error).endswith(f"(at byte offset {error.offset:#x})")
        return error


def mutated(original: bytes, chance: random.Random) -> bytes:
    """One or two random damages, mostly single bytes: the rest is found out early."""
    data = bytearray(original)
    for _ in range(chance.randint(1, 2)):
        at = chance.randrange(max(len(data), 1))
        kind = chance.choice((0,) * 12 + tuple(range(9)))
        if kind == 0:  # a byte anywhere
            data[at : at + 1] = bytes([chance.randrange(256)])
        elif kind == 1:  # a bit in the header
            data[at % 40 : at % 40 + 1] = bytes([data[at % 40] ^ 1 << chance.randrange(8) if len(data) > 40 else 0])
        elif kind == 2:  # a header field: edges of integers, or a little off
            field = 4 * chance.randrange(10)
            old = int.from_bytes(data[field : field + 4], "big")
            data[field : field + 4] = u32(
                chance.choice((0, 1, 7, 0x7FFFFFFF, 0xFFFFFFFF, old + 4, old - 4, old + 1, len(data))) & 0xFFFFFFFF
            )
        elif kind == 3:  # a word becomes a token or a length
            word = at & ~3
            data[word : word + 4] = u32(chance.choice((0, 1, 2, 3, 4, 9, 0xFFFFFFFF, 0x80000000)))
        elif kind == 4:  # cut off
            del data[at:]
        elif kind == 5:  # a hole
            del data[at : at + chance.choice((1, 4, 8, 100))]
        elif kind == 6:  # something inserted
            data[at:at] = bytes(chance.choice((1, 4, 16)))
        elif kind == 7:  # a block repeated elsewhere
            begin_ = chance.randrange(len(data) or 1)
            data[at : at + 64] = data[begin_ : begin_ + 64]
        else:  # random bytes
            data[at : at + 16] = chance.randbytes(16)
    return bytes(data)


@pytest.mark.parametrize("name", SEEDS)
def test_mutations(name: str) -> None:
    original = (FIXTURES / "dtb" / f"{name}.dtb").read_bytes()
    chance = random.Random(f"dtanalyze {name}")
    seen = Counter(type(outcome(mutated(original, chance))) for _ in range(PER_BLOB))
    # Both must be frequent, or the mutations test nothing.
    assert seen[Tree] > PER_BLOB // 20
    assert seen[BlobError] > PER_BLOB // 4


@pytest.mark.parametrize("name", SEEDS)
def test_every_truncation_of_the_first_kilobyte(name: str) -> None:
    original = (FIXTURES / "dtb" / f"{name}.dtb").read_bytes()
    for length in range(1024):
        assert isinstance(outcome(original[:length]), BlobError)


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    assert isinstance(outcome(data), BlobError)


tokens = st.lists(
    st.one_of(
        st.sampled_from([END_NODE, NOP, END, begin(), begin(b"n"), begin(b"node@1"), u32(3), b"\0"]),
        st.builds(prop, st.integers(0, 12), st.binary(max_size=9)),
        st.binary(min_size=4, max_size=8),
    ),
    max_size=12,
)


@settings(max_examples=200)
@given(tokens, st.booleans())
def test_any_tokens(pieces: list[bytes], framed: bool) -> None:
    body = b"".join(pieces)
    if framed:
        body = begin() + body + END_NODE + END
    outcome(blob(body, b"reg\0status\0"))


Drawn = tuple[str, list[tuple[str, bytes]], list["Drawn"]]
"""Name, properties and children."""


@st.composite
def trees(draw: st.DrawFn, depth: int = 0) -> Drawn:
    name = "" if depth == 0 else draw(st.sampled_from(["a", "b@1", "soc", "uart@1000"]))
    item = st.tuples(st.sampled_from(["reg", "status"]), st.binary(max_size=6))
    properties = draw(st.lists(item, max_size=2, unique_by=lambda pair: pair[0]))
    children = draw(st.lists(trees(depth + 1), max_size=2)) if depth < 3 else []
    return name, properties, children


NAME_OFFSETS = {"reg": 0, "status": 4}


def encoded(tree: Drawn) -> bytes:
    name, properties, children = tree
    inside = b"".join(prop(NAME_OFFSETS[key], value) for key, value in properties)
    return begin(name.encode()) + inside + b"".join(encoded(child) for child in children) + END_NODE


def decoded(node: Node) -> Drawn:
    return (
        node.name,
        [(item.name, item.value) for item in node.properties.values()],
        [decoded(child) for child in node.children],
    )


@settings(max_examples=100)
@given(trees())
def test_any_good_tree_comes_back(tree: Drawn) -> None:
    assert decoded(parse(blob(encoded(tree) + END, b"reg\0status\0")).root) == tree
