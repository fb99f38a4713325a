"""Every way a blob can be malformed: what is said, and at which byte.

The blobs of ``blob()`` have the header at 0, one reserve entry (the terminator) at 40 and the structure block at 56: its
first token, the root's, is at 56, what follows the empty name of the root at 64.
"""

from __future__ import annotations

import re

import pytest

from dtanalyze.devicetree import blob as reader
from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.format import MAX_DEPTH
from dtanalyze.errors import BlobError, DtanalyzeError
from tests.raw_blobs import EMPTY_ROOT, END, END_NODE, NOP, begin, blob, prop, u32

GOOD = blob()
ROOT = 64  # where the content of the root begins

HEADER = {
    "empty file": (b"", "the file is empty, not a flattened devicetree", 0),
    "three bytes": (GOOD[:3], "not a flattened devicetree: it does not begin with the magic 0xd00dfeed", 0),
    "text": (b"/dts-v1/;\n" * 9, "it does not begin with the magic 0xd00dfeed", 0),
    "little endian": (b"\xed\xfe\x0d\xd0" + GOOD[4:], "it does not begin with the magic", 0),
    "magic only": (GOOD[:4], "the header is cut off: 4 bytes of 40", 4),
    "header cut off": (GOOD[:35], "the header is cut off: 35 bytes of 40", 35),
    "version 15": (blob(version=15, last_comp_version=15), "format version 15 (compatible with 15) is not supported", 20),
    "version 3": (blob(version=3, last_comp_version=2), "format version 3 (compatible with 2) is not supported", 20),
    "version 18 only": (blob(version=18, last_comp_version=18), "format version 18 (compatible with 18)", 20),
    "version 16, compatible with 17": (
        blob(version=16, last_comp_version=17),
        "format version 16 (compatible with 17) is not supported",
        20,
    ),
    "cut off by a byte": (GOOD[:-1], "the file is cut off: the header promises 72 bytes, the file has 71", 4),
    "cut off after 36 bytes": (GOOD[:36], "the header promises 72 bytes, the file has 36", 4),
    "totalsize huge": (blob(totalsize=0xFFFFFFFF), "the header promises 4294967295 bytes, the file has 72", 4),
    "totalsize above the cap": (
        blob(totalsize=(16 << 20) + 1, trailing=b"\0" * (16 << 20)),
        "the blob is larger than 16 MiB; real ones stay below one",
        4,
    ),
    "totalsize 8": (blob(totalsize=8), "totalsize 8 is smaller than the header", 4),
    "totalsize 39": (blob(totalsize=39), "totalsize 39 is smaller than the header", 4),
    "totalsize 40": (blob(totalsize=40), "the structure block lies outside the blob", 8),
    "totalsize 36, version 16": (blob(version=16, totalsize=36), "the structure block lies outside the blob", 8),
    "totalsize 35, version 16": (blob(version=16, totalsize=35), "totalsize 35 is smaller than the header", 4),
    "structure unaligned": (blob(off_dt_struct=58), "the structure block starts at 0x3a, which is not a multiple of 4", 8),
    "structure outside": (blob(off_dt_struct=76), "the structure block lies outside the blob", 8),
    "structure outside, version 16": (blob(version=16, off_dt_struct=400), "the structure block lies outside the blob", 8),
    "structure too long": (blob(size_dt_struct=20), "the structure block lies outside the blob", 8),
    "strings outside": (blob(off_dt_strings=73), "the strings block lies outside the blob", 12),
    "strings too long": (blob(size_dt_strings=1), "the strings block lies outside the blob", 12),
    "reserve map unaligned": (
        blob(off_mem_rsvmap=44),
        "the memory reservation block starts at 0x2c, which is not a multiple of 8",
        16,
    ),
}

RESERVE_MAP = {
    "outside": (blob(off_mem_rsvmap=4096), "the memory reservation block has no terminating zero entry", 72),
    "last 8 bytes only": (blob(off_mem_rsvmap=64), "the memory reservation block has no terminating zero entry", 64),
    "no terminator": (
        blob(reservations=[(0x1000, 0x10)], terminated=False, order="struct strings rsvmap"),
        "the memory reservation block has no terminating zero entry",
        72,
    ),
    "size zero": (blob(reservations=[(0x1000, 0x10), (0x2000, 0)]), "memory reservation 1 at 0x2000 has size zero", 56),
}

NAMES = {
    "name offset at the end": (blob(begin() + prop(2) + END_NODE + END, b"a\0"), "name offset 0x2", ROOT),
    "name offset huge": (
        blob(begin() + prop(0xFFFFFFFF) + END_NODE + END, b"a\0"),
        "a property's name lies outside the strings block (name offset 0xffffffff)",
        ROOT,
    ),
    "no strings at all": (blob(begin() + prop(0) + END_NODE + END), "lies outside the strings block", ROOT),
    "property name without NUL": (
        blob(begin() + prop(2) + END_NODE + END, b"a\0bc"),
        "a property's name runs past the end of the strings block",
        88 + 2,
    ),
    "property name empty": (blob(begin() + prop(1) + END_NODE + END, b"a\0"), "a property has an empty name", 88 + 1),
    "property name empty at the start": (
        blob(begin() + prop(0) + END_NODE + END, b"\0"),
        "a property has an empty name",
        88,
    ),
    "property name of 256": (
        blob(begin() + prop(0) + END_NODE + END, b"x" * 256 + b"\0"),
        "a property's name is longer than 255 characters",
        88,
    ),
    "node name empty": (blob(begin() + begin() + END_NODE * 2 + END), "a node has an empty name", ROOT + 4),
    "node name of 256": (
        blob(begin() + begin(b"n" * 256) + END_NODE * 2 + END),
        "a node's name is longer than 255 characters",
        ROOT + 4,
    ),
    "node name without NUL": (
        blob(begin() + u32(1) + b"abcd"),
        "a node's name runs past the end of the structure block",
        ROOT,
    ),
    "root name without NUL": (blob(u32(1) + b"abcd"), "a node's name runs past the end of the structure block", 56),
}
BAD_CHARACTERS = {
    "control": b"a\x01",
    "newline": b"a\nb",
    "delete": b"a\x7f",
    "Latin-1": b"\xe9",
    "UTF-8": "é".encode(),
    "blank": b"a b",
    "slash": b"a/b",
}
for _what, _name in BAD_CHARACTERS.items():
    _says = f"name has a character that no name may have: {_name!r}"
    NAMES[f"{_what} in a node's name"] = (blob(begin() + begin(_name) + END_NODE * 2 + END), f"a node's {_says}", ROOT + 4)
    NAMES[f"{_what} in a property's name"] = (
        blob(begin() + prop(0) + END_NODE + END, _name + b"\0"),
        f"a property's {_says}",
        88,
    )

STRUCTURE = {
    "empty": (blob(b""), "the structure block ends without an FDT_END token", 56),
    "no FDT_END": (blob(begin() + END_NODE), "the structure block ends without an FDT_END token", 68),
    "half a token": (blob(begin() + END_NODE + b"\0\0"), "the structure block ends without an FDT_END token", 70),
    "size too small": (blob(size_dt_struct=8), "the structure block ends without an FDT_END token", 64),
    "only FDT_END": (blob(END), "the tree has no root node", 56),
    "only NOPs": (blob(NOP * 3 + END), "the tree has no root node", 68),
    "NOP after the root": (
        blob(begin() + END_NODE + NOP + END),
        "an FDT_NOP token follows the root node, where libfdt and dtc take FDT_END only",
        68,
    ),
    "property before the root": (blob(prop(0) + EMPTY_ROOT, b"a\0"), "a property stands outside every node", 56),
    "property after the root": (
        blob(begin() + END_NODE + prop(0) + END, b"a\0"),
        "a property stands outside every node",
        68,
    ),
    "property header cut off": (
        blob(begin() + u32(3, 0)),
        "a property of / is cut off by the end of the structure block",
        ROOT,
    ),
    "property header fills the block": (
        blob(begin() + prop(0), b"a\0"),
        "the structure block ends without an FDT_END token",
        76,
    ),
    "property longer than the block": (
        blob(begin() + u32(3, 9, 0) + END_NODE + END, b"a\0"),
        "a property of / claims 9 bytes, more than the structure block has left",
        ROOT,
    ),
    "property length 2^32-1": (
        blob(begin() + begin(b"n") + u32(3, 0xFFFFFFFF, 0) + END_NODE * 2 + END, b"a\0"),
        "a property of /n claims 4294967295 bytes",
        72,
    ),
    "property swallows all tokens": (
        blob(begin() + u32(3, 8, 0) + END_NODE + END, b"a\0"),
        "the structure block ends without an FDT_END token",
        84,
    ),
    "property after a subnode": (
        blob(begin() + begin(b"n") + END_NODE + prop(0) + END_NODE + END, b"a\0"),
        "a property of / follows its subnodes",
        76,
    ),
    "second root": (blob(begin() + END_NODE + begin() + END_NODE + END), "the tree has a second root node", 68),
    "named root": (blob(begin(b"foo") + END_NODE + END), "the root node is called b'foo'; its name must be empty", 56),
    "root called /": (blob(begin(b"/") + END_NODE + END), "the root node is called b'/'", 56),
    "one END_NODE too many": (blob(begin() + END_NODE * 2 + END), "a node ends that never began", 68),
    "END_NODE first": (blob(END_NODE + END), "a node ends that never began", 56),
    "END_NODE missing": (blob(begin() + END), "the tree ends inside /", ROOT),
    "END_NODE of a child missing": (
        blob(begin() + begin(b"a") + begin(b"b") + END_NODE * 2 + END),
        "the tree ends inside /",
        88,
    ),
    "ends in a grandchild": (blob(begin() + begin(b"a") + begin(b"b") + END), "the tree ends inside /a/b", 80),
    "token 0": (blob(begin() + u32(0)), "unknown token 0x0 in the structure block", ROOT),
    "token 5": (blob(begin() + u32(5)), "unknown token 0x5 in the structure block", ROOT),
    "garbage": (blob(b"\xff" * 8), "unknown token 0xffffffff in the structure block", 56),
}

OVERLAPS = {
    "reserve map in the header": (
        # An entry at 24, made of last_comp_version, boot_cpuid_phys and the two sizes; the terminator at 40.
        blob(off_mem_rsvmap=24),
        "the header and the memory reservation block overlap",
        24,
    ),
    "strings in the structure": (
        blob(begin() + prop(0, b"abc\0") + END_NODE + END, off_dt_strings=76, size_dt_strings=4),
        "the structure block and the strings block overlap",
        76,
    ),
    "strings in the last token": (
        blob(off_dt_strings=68, size_dt_strings=4),
        "the structure block and the strings block overlap",
        68,
    ),
    "strings in the last word of the header": (
        blob(off_dt_strings=36, size_dt_strings=4),
        "the strings block starts at 0x24, inside the header",
        12,
    ),
    "strings in the reserve map": (
        blob(off_dt_strings=48, size_dt_strings=4),
        "the memory reservation block and the strings block overlap",
        48,
    ),
    "strings in the header": (blob(off_dt_strings=0, size_dt_strings=4), "starts at 0x0, inside the header", 12),
    "empty strings in the header": (blob(off_dt_strings=39), "the strings block starts at 0x27, inside the header", 12),
    "reserve map in the strings": (
        blob(EMPTY_ROOT, b"\0" * 24, off_mem_rsvmap=80),
        "the strings block and the memory reservation block overlap",
        80,
    ),
    "structure in the header, version 16": (
        # The block starts at 32, where size_dt_strings stands: 1, the token FDT_BEGIN_NODE; then padding, its empty name.
        blob(END_NODE + END, b"x", version=16, order="struct strings rsvmap", off_dt_struct=32),
        "the header and the structure block overlap",
        32,
    ),
}

ALL = {
    f"{group}: {reason}": case
    for group, cases in (
        ("header", HEADER),
        ("reserve map", RESERVE_MAP),
        ("names", NAMES),
        ("structure", STRUCTURE),
        ("overlap", OVERLAPS),
    )
    for reason, case in cases.items()
}


@pytest.mark.parametrize(("data", "message", "offset"), ALL.values(), ids=ALL)
def test_malformed(data: bytes, message: str, offset: int) -> None:
    with pytest.raises(BlobError, match=re.escape(message)) as caught:
        parse(data)
    assert caught.value.offset == offset
    assert str(caught.value).endswith(f" (at byte offset {offset:#x})")
    assert isinstance(caught.value, DtanalyzeError)


# The caps, each at its edge: the last good one and the first refused.


def nested(depth: int) -> bytes:
    return blob(begin() + begin(b"n") * (depth - 1) + END_NODE * depth + END)


def test_depth() -> None:
    deepest = list(parse(nested(64)).root)[-1]
    assert deepest.path == "/n" * 63
    with pytest.raises(BlobError, match="nodes are nested deeper than 64") as caught:
        parse(nested(65))
    assert caught.value.offset == 56 + 64 * 8


def test_depth_counts_open_nodes_only() -> None:
    closed = begin(b"n") * 32 + END_NODE * 32
    assert len(list(parse(blob(begin() + closed * 3 + END_NODE + END)).root)) == 1 + 3 * 32
    with pytest.raises(BlobError, match="nodes are nested deeper than 64"):
        parse(blob(begin() + closed + begin(b"n") * 64))


def test_nodes() -> None:
    most = 1 << 17
    assert len(parse(blob(begin() + (begin(b"n") + END_NODE) * (most - 1) + END_NODE + END)).root.children) == most - 1
    with pytest.raises(BlobError, match="the tree has more than 131072 nodes") as caught:
        parse(blob(begin() + (begin(b"n") + END_NODE) * most + END_NODE + END))
    assert caught.value.offset == ROOT + (most - 1) * 12


def test_size() -> None:
    data = blob(totalsize=16 << 20, trailing=b"\0" * (16 << 20))
    assert parse(data).totalsize == 16 << 20


def test_properties_of_a_node() -> None:
    def with_properties(count: int) -> bytes:
        strings = b"".join(b"%05x\0" % number for number in range(count))
        return blob(begin() + b"".join(prop(6 * number) for number in range(count)) + END_NODE + END, strings)

    assert len(parse(with_properties(1 << 14)).root.properties) == 16384
    with pytest.raises(BlobError, match="/ has more than 16384 properties") as caught:
        parse(with_properties((1 << 14) + 1))
    assert caught.value.offset == ROOT + 12 * 16384


def test_reservations() -> None:
    assert len(parse(blob(reservations=[(1, 1)] * 4096)).reservations) == 4096
    with pytest.raises(BlobError, match="more than 4096 memory reservations") as caught:
        parse(blob(reservations=[(1, 1)] * 4097))
    assert caught.value.offset == 40 + 16 * 4096


def test_name_length() -> None:
    root = parse(blob(begin() + prop(0) + begin(b"n" * 255) + END_NODE * 2 + END, b"p" * 255 + b"\0")).root
    assert root.children[0].name == "n" * 255
    assert list(root.properties) == ["p" * 255]


def test_the_caps_are_far_above_real_trees() -> None:
    # Largest of 1,600 kernel trees: 152 kB, depth 11, 1,112 nodes, 564 properties in a node, names of 46 characters.
    assert reader.MAX_SIZE >= 10 * 152_000
    assert MAX_DEPTH >= 5 * 11
    assert reader.MAX_NODES >= 10 * 1_112
    assert reader.MAX_PROPERTIES_PER_NODE >= 10 * 564
    assert reader.MAX_NAME >= 5 * 46
