"""Trees as source: what a compiler makes of it is the tree again, byte for byte of every value."""

from __future__ import annotations

import shutil
import subprocess

import fdt
import pytest

from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.source import to_dts
from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.devicetree.write import cells, new_node, to_blob
from dtanalyze.errors import InputError
from tests.conftest import FIXTURES
from tests.trees import tree

Flat = list[tuple[str, list[tuple[str, bytes]]]]


def flat(root: Node) -> Flat:
    return [(item.path, [(prop.name, prop.value) for prop in item.properties.values()]) for item in root]


def compiled(source: str) -> Tree:
    dtc = shutil.which("dtc")
    if dtc is None:
        pytest.skip("dtc is not installed: whether it reads the source is not shown here")
    ran = subprocess.run([dtc, "-q", "-I", "dts", "-O", "dtb"], input=source.encode(), capture_output=True, check=True)
    return parse(ran.stdout)


def made(**properties: bytes) -> Tree:
    return parse(to_blob(new_node("", None, properties)))


def test_each_value_is_spelled_as_what_it_is() -> None:
    source = to_dts(
        made(text=b'a "b"\0c\0', words=cells([1, 0xFFFFFFFF]), odd=b"\1\2\3", nothing=b"", slash=b"a\\b\0", gap=b"a\0\0b\0")
    )
    assert [line.strip() for line in source.splitlines() if "=" in line or line.strip() == "nothing;"] == [
        r'text = "a \"b\"", "c";', "words = <0x1 0xFFFFFFFF>;", "odd = [01 02 03];", "nothing;", "slash = <0x615C6200>;", "gap = [61 00 00 62 00];",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["boards/arm-juno", "boots/10a-plain", "boots/07a-domU-256M"])
def test_a_real_tree_comes_back(name: str) -> None:
    original = parse((FIXTURES / "dtb" / f"{name}.dtb").read_bytes())
    again = compiled(to_dts(original))
    assert flat(again.root) == flat(original.root)
    assert [raw for raw, _ in again.reservations] == [raw for raw, _ in original.reservations]


def test_the_package_reads_it_too() -> None:
    source = to_dts(tree('soc { reg = <1 2>; uart@1000 { status = "okay"; }; };', [(0x80000000, 0x1000)]))
    assert fdt.parse_dts(source).get_property("status", "/soc/uart@1000").value == "okay"


@pytest.mark.parametrize("name", ["a=b", 'x"', "a;b", "mine_with_references"])
def test_a_name_that_no_source_can_say(name: str) -> None:
    with pytest.raises(InputError, match="/: the name .* cannot be written in a source"):
        to_dts(made(**{name: b""}))
