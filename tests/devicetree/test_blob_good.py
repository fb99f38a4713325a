"""What the reader accepts: versions, NOPs, any order of the blocks, padding; and the bytes and offsets it reports."""

from __future__ import annotations

import itertools

import pytest

from dtanalyze.address.range import RawRange
from dtanalyze.devicetree.blob import parse
from tests.raw_blobs import END, END_NODE, NOP, begin, blob, padded, prop, u32

STRINGS = b"reg\0model\0status\0"
REG, MODEL, STATUS, TAIL_OF_MODEL = 0, 4, 10, 6
BODY = (
    begin()
    + prop(MODEL, b"board\0")
    + begin(b"soc")
    + begin(b"uart@1000")
    + prop(REG, u32(0x1000, 0x100))
    + prop(STATUS, b"okay\0")
    + END_NODE
    + END_NODE
    + begin(b"empty")
    + END_NODE
    + END_NODE
    + END
)


def content(data: bytes) -> list[tuple[str, list[tuple[str, bytes]]]]:
    return [(node.path, [(p.name, p.value) for p in node.properties.values()]) for node in parse(data).root]


EXPECTED = [
    ("/", [("model", b"board\0")]),
    ("/soc", []),
    ("/soc/uart@1000", [("reg", b"\0\0\x10\0\0\0\x01\0"), ("status", b"okay\0")]),
    ("/empty", []),
]


@pytest.mark.parametrize(("version", "last_comp"), [(16, 16), (17, 16), (17, 17), (18, 16), (18, 17), (99, 16)])
def test_versions(version: int, last_comp: int) -> None:
    data = blob(BODY, STRINGS, version=version, last_comp_version=last_comp)
    assert content(data) == EXPECTED
    assert parse(data).version == version


@pytest.mark.parametrize("order", [" ".join(names) for names in itertools.permutations(("rsvmap", "struct", "strings"))])
def test_blocks_in_any_order(order: str) -> None:
    data = blob(BODY, STRINGS, [(0x1000, 0x10)], order=order)
    assert content(data) == EXPECTED
    assert [raw for raw, _ in parse(data).reservations] == [(0x1000, 0x10)]


def test_version_16_has_no_size_of_the_structure_block() -> None:
    # The word after the header's 36 bytes belongs to the first block: here FDT_BEGIN_NODE.
    data = blob(BODY, STRINGS, version=16, order="struct strings rsvmap", off_dt_struct=40)
    data = data[:36] + u32(0xFFFFFFFF) + data[40:]
    assert content(data) == EXPECTED


def test_nops_anywhere_before_the_end_of_the_root() -> None:
    body = (
        NOP * 2
        + begin()
        + NOP
        + prop(MODEL, b"board\0")
        + NOP
        + begin(b"soc")
        + NOP
        + begin(b"uart@1000")
        + prop(REG, u32(0x1000, 0x100))
        + NOP * 3
        + prop(STATUS, b"okay\0")
        + NOP
        + END_NODE
        + NOP
        + END_NODE
        + begin(b"empty")
        + END_NODE
        + NOP
        + END_NODE
        + END
    )
    assert content(blob(body, STRINGS)) == EXPECTED


def test_a_nop_inside_a_value_is_data() -> None:
    assert content(blob(begin() + prop(REG, NOP) + END_NODE + END, STRINGS)) == [("/", [("reg", b"\0\0\0\x04")])]


def test_bytes_after_totalsize_are_ignored() -> None:
    data = blob(BODY, STRINGS)
    assert content(data + b"\xff" * 4096) == EXPECTED
    assert parse(data + b"\xff" * 4096).totalsize == len(data)


def test_bytes_after_fdt_end_are_ignored() -> None:
    assert content(blob(BODY + u32(0xFFFFFFFF), STRINGS)) == EXPECTED


def test_one_string_can_be_the_tail_of_another() -> None:
    assert content(blob(begin() + prop(TAIL_OF_MODEL, b"x") + END_NODE + END, STRINGS)) == [("/", [("del", b"x")])]


def test_values_of_every_length_and_padding() -> None:
    body = b"".join(prop(2 * size, bytes(range(size))) for size in range(9))
    strings = b"".join(b"%c\0" % (97 + size) for size in range(9))
    (root,) = content(blob(begin() + body + END_NODE + END, strings))
    assert root[1] == [(chr(97 + size), bytes(range(size))) for size in range(9)]


@pytest.mark.parametrize("length", range(1, 10))
def test_node_names_of_every_padding(length: int) -> None:
    data = blob(begin() + begin(b"n" * length) + END_NODE * 2 + END)
    assert [path for path, _ in content(data)] == ["/", "/" + "n" * length]


def test_offsets_point_at_the_bytes() -> None:
    data = blob(BODY, STRINGS)
    for node in parse(data).root:
        assert data[node.offset : node.offset + 4] == u32(1)
        assert data[node.offset + 4 :].startswith(node.name.encode() + b"\0")
        for item in node.properties.values():
            assert data[item.offset : item.offset + len(item.value)] == item.value
            assert data[item.offset - 12 : item.offset - 4] == u32(3, len(item.value))


def test_reserve_map() -> None:
    entries = [(0x80000000, 0x10000), (0, 0x1000), (0xFFFFFFFFFFFFF000, 0x2000)]
    tree = parse(blob(BODY, STRINGS, entries))
    assert tree.reservations == (
        (RawRange(0x80000000, 0x10000), 40),
        (RawRange(0, 0x1000), 56),
        (RawRange(0xFFFFFFFFFFFFF000, 0x2000), 72),
    )
    assert parse(blob()).reservations == ()


def test_header_fields() -> None:
    data = blob(BODY, STRINGS, boot_cpuid_phys=3)
    tree = parse(data)
    assert (tree.version, tree.boot_cpuid, tree.totalsize) == (17, 3, len(data))


def test_equal_names_stay_apart_in_document_order() -> None:
    body = begin() + begin(b"n") + prop(REG, u32(1)) + END_NODE + begin(b"n") + prop(REG, u32(2)) + END_NODE * 2 + END
    tree = parse(blob(body, STRINGS))
    assert [(node.path, node.properties["reg"].value) for node in tree.root.children] == [("/n", u32(1)), ("/n", u32(2))]
    first = tree.find("/n")
    assert first is tree.root.children[0]


def test_a_property_that_stands_twice_is_its_first() -> None:
    data = blob(begin() + prop(REG, u32(1)) + prop(REG, u32(2)) + END_NODE + END, STRINGS)
    assert content(data) == [("/", [("reg", u32(1))])]


@pytest.mark.parametrize("name", [b"a", b"a@0", b"#size-cells", b"x,y.z_w+v-u?", b"~!$%^&*()"])
def test_names_of_printable_ascii(name: bytes) -> None:
    root = parse(blob(begin() + prop(0) + begin(name) + END_NODE * 2 + END, padded(name + b"\0"))).root
    assert list(root.properties) == [name.decode()]
    assert root.children[0].name == name.decode()


def test_empty_root() -> None:
    assert content(blob()) == [("/", [])]


def test_an_empty_block_overlaps_nothing() -> None:
    assert content(blob(off_dt_strings=60, size_dt_strings=0)) == [("/", [])]


def test_blocks_may_touch() -> None:
    # Version 16 has a header of 36 bytes: the strings may begin where version 17 has one more field.
    data = blob(begin() + prop(0, b"x") + END_NODE + END, version=16, off_dt_strings=36, size_dt_strings=4)
    assert content(data[:36] + b"reg\0" + data[40:]) == [("/", [("reg", b"x")])]
