"""Blobs damaged where readers differ: their tokens, lengths, names, blocks and headers.

A byte changed anywhere is mostly found at once. Here a blob is cut into its tokens, some of them are changed, lost, doubled or
moved, and the pieces are put together again with a header that fits, or nearly.
"""

from __future__ import annotations

import random
import struct
from typing import Final, NamedTuple

from tests.raw_blobs import FIELDS, blob, padded, u32

__all__ = ["Pieces", "damaged", "pieces"]

_EDGES: Final = (0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 18, 36, 39, 40, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFC, 0xFFFFFFFF)
_TOKENS: Final = (0, 1, 2, 3, 4, 5, 9, 0x01000000, 0xFFFFFFFF)
_NAMES: Final = (b"", b"a", b"a@1", b"a/b", b"a b", b"\xff", b"\x07", b"x" * 255, b"x" * 256, b"#a,b._+-?", b"~@@")
_ORDERS: Final = ("rsvmap struct strings", "struct strings rsvmap", "strings rsvmap struct", "struct rsvmap strings")


class Pieces(NamedTuple):
    """A blob taken apart: its tokens with what belongs to each, its strings block, its reservations, its version."""

    tokens: tuple[bytes, ...]
    strings: bytes
    reservations: tuple[tuple[int, int], ...]
    version: int


def pieces(data: bytes) -> Pieces:
    """Take a good blob apart."""
    header = dict(zip(FIELDS, struct.unpack_from(">10I", data), strict=True))
    at, tokens = header["off_dt_struct"], list[bytes]()
    while not tokens or tokens[-1] != u32(9):
        (token,) = struct.unpack_from(">I", data, at)
        width = 4
        if token == 1:
            width = (data.index(0, at + 4) + 4 & ~3) - at
        elif token == 3:
            width = 12 + (struct.unpack_from(">I", data, at + 4)[0] + 3 & ~3)
        tokens.append(data[at : at + width])
        at += width
    start = header["off_dt_strings"]
    entry, reservations = header["off_mem_rsvmap"], list[tuple[int, int]]()
    while (pair := struct.unpack_from(">QQ", data, entry)) != (0, 0):
        reservations.append(pair)
        entry += 16
    strings = data[start : start + header["size_dt_strings"]]
    return Pieces(tuple(tokens), strings, tuple(reservations), header["version"])


def damaged(good: Pieces, chance: random.Random) -> bytes:
    """Return the blob with one to three things wrong with it, or put together in another way that is right."""
    tokens, strings, reservations = list(good.tokens), bytearray(good.strings), list(good.reservations)
    for _ in range(chance.choice((0, 1, 1, 1, 2))):
        where = chance.random()
        if where < 0.75:
            _damage_tokens(tokens, strings, chance)
        elif where < 0.9:
            at = chance.randrange(len(strings) or 1)
            strings[at : at + 1] = chance.choice((b"\0", b"/", b" ", b"\x80", b"", b"\0\0", b"z", b"@"))
        else:
            entry = (chance.choice(_EDGES) << chance.choice((0, 32)), chance.choice((0, 0, 1, 4096, (1 << 64) - 1)))
            reservations.insert(chance.randint(0, len(reservations)), entry)
    version = chance.choice((16, 17, 17, 17, 17))
    order = chance.choice(_ORDERS if version == 17 else tuple(item for item in _ORDERS if item.endswith("struct")))
    data = blob(
        b"".join(tokens), bytes(strings), reservations, order=order, version=version, terminated=chance.random() < 0.98
    )
    for _ in range(chance.choice((0, 0, 1, 1, 2))):
        data = _damage_bytes(data, chance)
    return data


def _damage_tokens(tokens: list[bytes], strings: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(tokens))
    token, kind = tokens[at], chance.randrange(10)
    if kind == 0:
        del tokens[at]
    elif kind == 1:
        tokens.insert(chance.randint(0, len(tokens)), token)
    elif kind == 2:
        tokens.insert(chance.randint(0, len(tokens)), tokens.pop(at))
    elif kind == 3:
        tokens.insert(at, u32(4))
    elif kind == 4:
        tokens[at] = u32(chance.choice(_TOKENS)) + token[4:]
    elif kind == 5:
        begins = [place for place, item in enumerate(tokens) if item[:4] == u32(1)]
        if begins:
            tokens[chance.choice(begins)] = u32(1) + padded(chance.choice(_NAMES) + b"\0")
    elif kind == 6:
        tokens[at] = token[: chance.randrange(len(token) + 1)]
    elif kind == 7:
        tokens[at:at] = [u32(1) + padded(b"deep\0")] * chance.choice((1, 5, 70)) + [u32(2)] * chance.choice((1, 5, 70))
    else:
        _damage_property(tokens, strings, chance)


def _damage_property(tokens: list[bytes], strings: bytearray, chance: random.Random) -> None:
    places = [place for place, item in enumerate(tokens) if item[:4] == u32(3) and len(item) >= 12]
    if not places:
        return
    at = chance.choice(places)
    length, nameoff = struct.unpack_from(">II", tokens[at], 4)
    if chance.random() < 0.5:
        length = chance.choice((length + chance.randint(-5, 5), chance.choice(_EDGES)))
    else:
        nameoff = chance.choice((chance.randint(0, len(strings) + 2), len(strings) - 1, chance.choice(_EDGES)))
    tokens[at] = u32(3, length & 0xFFFFFFFF, nameoff & 0xFFFFFFFF) + tokens[at][12:]


def _damage_bytes(data: bytes, chance: random.Random) -> bytes:
    changed, kind = bytearray(data), chance.randrange(8)
    if kind < 5 and len(data) >= 40:
        field = chance.randrange(10)
        (old,) = struct.unpack_from(">I", data, 4 * field)
        others = struct.unpack_from(">10I", data)
        new = chance.choice(
            (old + chance.choice((-16, -8, -4, -1, 1, 4, 8, 16)), chance.choice(_EDGES), chance.choice(others))
        )
        changed[4 * field : 4 * field + 4] = u32(new & 0xFFFFFFFF)
    elif kind == 5:
        at = chance.randrange(len(data) or 1)
        changed[at : at + 1] = bytes((chance.randrange(256),))
    elif kind == 6:
        del changed[chance.randint(0, len(data)) :]
    else:
        changed += bytes(chance.choice((1, 4, 16)))
    return bytes(changed)
