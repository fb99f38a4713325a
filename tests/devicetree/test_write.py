"""Trees back into bytes: what is written is what a reader, ours or another, finds there."""

from __future__ import annotations

import fdt
import pytest

from dtanalyze.address.range import RawRange
from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.tree import Node
from dtanalyze.devicetree.write import cells, copy_node, new_node, set_property, strings, to_blob
from tests.conftest import FIXTURES
from tests.trees import node, tree


def flat(root: Node) -> list[tuple[str, list[tuple[str, bytes]]]]:
    return [(item.path, [(p.name, p.value) for p in item.properties.values()]) for item in root]


def test_cells_and_strings() -> None:
    assert cells([1, 0xFFFFFFFF]) == b"\0\0\0\1\xff\xff\xff\xff"
    assert cells([]) == b""
    assert strings("a,b", "c") == b"a,b\0c\0"


def test_a_small_tree() -> None:
    root = new_node("", None, {"model": b"board\0"})
    soc = new_node("soc", root, {"ranges": b""})
    new_node("uart@1000", soc, {"reg": b"\0\0\x10\0", "odd": b"\1\2\3"})
    data = to_blob(root, [RawRange(0x80000000, 0x1000)], boot_cpuid=2)
    made = parse(data)
    assert flat(made.root) == [
        ("/", [("model", b"board\0")]),
        ("/soc", [("ranges", b"")]),
        ("/soc/uart@1000", [("reg", b"\0\0\x10\0"), ("odd", b"\1\2\3")]),
    ]
    assert [raw for raw, _ in made.reservations] == [(0x80000000, 0x1000)]
    assert (made.version, made.boot_cpuid) == (17, 2)
    assert fdt.parse_dtb(data).get_property("reg", "/soc/uart@1000").value == 0x1000


def test_reservations_of_one_tree_are_not_those_of_the_next() -> None:
    to_blob(new_node(""), [RawRange(1, 1)])
    assert parse(to_blob(new_node(""))).reservations == ()


def test_equal_names_survive() -> None:
    root = new_node("")
    new_node("n", root, {"reg": cells([1])})
    new_node("n", root, {"reg": cells([2])})
    assert [item.properties["reg"].u32 for item in parse(to_blob(root)).root.children] == [1, 2]


def test_set_property_keeps_its_place() -> None:
    item = new_node("n", None, {"a": b"1", "b": b"2"})
    set_property(item, "a", b"3")
    set_property(item, "c")
    assert [(p.name, p.value) for p in item.properties.values()] == [("a", b"3"), ("b", b"2"), ("c", b"")]


def test_copy_keeps_what_is_asked_for() -> None:
    board = tree("soc { a = <1>; drop { inner { }; }; keep { inner { }; }; }; other { };")
    made = copy_node(board.root, None, lambda item: item.name != "drop")
    assert [item.path for item in made] == ["/", "/soc", "/soc/keep", "/soc/keep/inner", "/other"]
    set_property(node(board, "/soc"), "a", b"changed")
    assert [item.properties["a"].value for item in made if item.name == "soc"] == [b"\0\0\0\1"]


@pytest.mark.parametrize("name", ["boards/arm-juno", "boots/10a-plain", "boots/07a-domU-256M"])
def test_a_real_tree_comes_back(name: str) -> None:
    original = parse((FIXTURES / "dtb" / f"{name}.dtb").read_bytes())
    again = parse(to_blob(original.root, [raw for raw, _ in original.reservations], original.boot_cpuid))
    assert flat(again.root) == flat(original.root)
    assert [raw for raw, _ in again.reservations] == [raw for raw, _ in original.reservations]


def test_the_fdt_package_writes_the_same_tree() -> None:
    original = parse((FIXTURES / "dtb" / "boards" / "arm-juno.dtb").read_bytes())
    theirs = fdt.FDT(entries=[])
    theirs.root = fdt.Node("/")
    pairs = [(original.root, theirs.root)]
    for source, copy in pairs:
        copy.props.extend(
            fdt.PropBytes(p.name, data=p.value) if p.value else fdt.Property(p.name) for p in source.properties.values()
        )
        for child in source.children:
            copy.nodes.append(fdt.Node(child.name))
            pairs.append((child, copy.nodes[-1]))
    data = bytes(theirs.to_dtb(version=17, last_comp_version=16, boot_cpuid_phys=0))
    ours = to_blob(original.root)
    assert flat(parse(ours).root) == flat(parse(data).root)
    # The structure blocks differ in nothing but where names stand: the package lets one end in another, as dtc does.
    assert parse(ours).root.children[-1].offset == parse(data).root.children[-1].offset


def test_a_name_that_the_fdt_package_would_leave_out() -> None:
    made = parse(to_blob(new_node("", None, {"x_with_references": b"1"})))
    assert [*made.root.properties] == ["x_with_references"]


def test_nesting_needs_no_stack() -> None:
    """The reader takes 64 levels; a copy and a write take any number."""
    inner = root = new_node("")
    for _ in range(5000):
        inner = new_node("n", inner)
    assert to_blob(copy_node(root, None)).count(b"\0\0\0\1n\0\0\0") == 5000
