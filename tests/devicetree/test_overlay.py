"""Overlays by libfdt's rules: hand-drawn trees with the result written out, and the standard tool where it is installed."""

from __future__ import annotations

import contextlib
import random
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.overlay import apply_overlay
from dtanalyze.devicetree.tree import Tree
from dtanalyze.devicetree.write import new_node, strings, to_blob
from dtanalyze.errors import DtanalyzeError, OverlayError
from tests.trees import dtb, node, tree

BASE = """#address-cells = <1>; #size-cells = <1>;
soc { phandle = <5>; ranges; serial@1000 { phandle = <7>; reg = <0x1000 0x100>; status = "disabled"; }; };
other { phandle = <3>; };
__symbols__ { soc = "/soc"; uart = "/soc/serial@1000"; gone = "/nowhere"; bare = "/__symbols__"; };
"""


def merged(base: str, overlay: str) -> Tree:
    return parse(apply_overlay(tree(base), tree(overlay)))


def test_properties_and_nodes_merge() -> None:
    """A name without unit address fits one that has one; a new node comes first; properties are overwritten."""
    made = merged(
        BASE,
        'fragment@0 { target-path = "/soc"; __overlay__ { serial { status = "okay"; more; }; spi@2000 { reg = <0x2000 4>; }; }; };',
    )
    assert [child.name for child in node(made, "/soc").children] == ["spi@2000", "serial@1000"]
    serial = node(made, "/soc/serial@1000")
    assert serial.properties["status"].string == "okay" and serial.prop("more") is not None
    assert serial.properties["reg"].cells == (0x1000, 0x100)
    assert node(made, "/soc/spi@2000").properties["reg"].cells == (0x2000, 4)


def test_labels_and_phandles() -> None:
    """The base's highest phandle is 7: the overlay's 1 becomes 8, and so does what refers to it."""
    made = merged(
        BASE,
        """fragment@0 { target = <0xffffffff>; __overlay__ { clk { phandle = <1>; linux,phandle = <1>; }; user { clocks = <0 1 2>; uart = <0xffffffff>; }; }; };
        __symbols__ { clk = "/fragment@0/__overlay__/clk"; here = "/fragment@0/__overlay__"; lost = "/fragment@9/elsewhere/x"; odd = "/x"; phandle = <9>; };
        __fixups__ { soc = "/fragment@0:target:0"; uart = "/fragment@0/__overlay__/user:uart:0"; };
        __local_fixups__ { fragment@0 { __overlay__ { user { clocks = <4>; }; }; }; };""",
    )
    assert node(made, "/soc/clk").properties["phandle"].u32 == 8
    assert node(made, "/soc/clk").properties["linux,phandle"].u32 == 8
    assert node(made, "/soc/user").properties["clocks"].cells == (0, 8, 2)
    assert node(made, "/soc/user").properties["uart"].u32 == 7
    symbols = node(made, "/__symbols__").properties
    assert symbols["clk"].string == "/soc/clk" and symbols["here"].string == "/soc"
    assert "lost" not in symbols and "odd" not in symbols


def test_a_fragment_may_be_for_what_an_earlier_one_adds() -> None:
    one = 'f0 { target-path = "/soc"; __overlay__ { spi { }; }; };'
    two = 'f1 { target-path = "/soc/spi"; __overlay__ { flash; }; };'
    assert node(merged(BASE, one + two), "/soc/spi").prop("flash") is not None
    with pytest.raises(OverlayError, match="/f1: the base has no node /soc/spi"):
        merged(BASE, two + one)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ('__symbols__ { l = "/f/__overlay__/a", "/b"; };', "the value of the label l in __symbols__ is not one path"),
        ('__symbols__ { l = "f/__overlay__/a"; };', "the value of the label l in __symbols__ is not one path"),
        ("__symbols__ { l; };", "the value of the label l in __symbols__ is not one path"),
        ('__symbols__ { l = "/g/__overlay__/a"; };', "the label l leads to /g/__overlay__/a, which is in no fragment"),
        ("__fixups__ { soc = <0x2f663a78>; };", "__fixups__ of soc is no list of strings"),
    ],
)
def test_labels_that_lead_nowhere(more: str, words: str) -> None:
    with pytest.raises(OverlayError, match=words):
        merged(BASE, 'f { target-path = "/"; __overlay__ { a { }; }; };' + more)


def test_a_node_of_both_keeps_the_bases_phandle() -> None:
    made = merged(
        BASE,
        """fragment@0 { target-path = "/soc"; __overlay__ { serial@1000 { phandle = <1>; }; user { ref = <1>; }; }; };
        __local_fixups__ { fragment@0 { __overlay__ { user { ref = <0>; }; }; }; };""",
    )
    assert node(made, "/soc/serial@1000").properties["phandle"].u32 == 7
    assert node(made, "/soc/user").properties["ref"].u32 == 7


def test_a_base_without_symbols_gets_those_of_the_overlay() -> None:
    made = merged(
        "a { };",
        'fragment@0 { target-path = "/"; __overlay__ { b { }; }; }; __symbols__ { b = "/fragment@0/__overlay__/b"; };',
    )
    assert node(made, "/__symbols__").properties["b"].string == "/b"


def test_neither_tree_is_changed_and_reservations_stay() -> None:
    base = tree("a { };", [(0x1000, 0x2000)])
    over = tree('f { target-path = "/a"; __overlay__ { x; }; };')
    made = parse(apply_overlay(base, over))
    assert node(base, "/a").prop("x") is None and node(made, "/a").prop("x") is not None
    assert [(raw.start, raw.size) for raw, _ in made.reservations] == [(0x1000, 0x2000)]


@pytest.mark.parametrize(
    ("base", "overlay", "words"),
    [
        (BASE, "a { };", "it has no fragment with __overlay__"),
        (BASE, "f { __overlay__ { }; };", "/f has neither target nor target-path"),
        (BASE, 'f { target-path = "/no"; __overlay__ { }; };', "/f: the base has no node /no"),
        (BASE, 'f { target-path = "no"; __overlay__ { }; };', "/f: the base has no node no"),
        (BASE, "f { target = <99>; __overlay__ { }; };", "the base has no node with the phandle 0x63 of its target"),
        (BASE, 'f { target = <1>; __overlay__ { }; }; __fixups__ { x = "/f:target:0"; };', "the base has no label x"),
        (
            BASE,
            'f { target = <1>; __overlay__ { }; }; __fixups__ { gone = "/f:target:0"; };',
            "leads to /nowhere, which has no phandle",
        ),
        (BASE, 'f { target = <1>; __overlay__ { }; }; __fixups__ { bare = "/f:target:0"; };', "which has no phandle"),
        (
            BASE,
            'f { target = <1>; __overlay__ { }; }; __fixups__ { soc = "/f:target:2"; };',
            "names /f:target:2, which is not there",
        ),
        (
            BASE,
            'f { target = <1>; __overlay__ { }; }; __fixups__ { soc = "/g:target:0"; };',
            "names /g:target:0, which is not there",
        ),
        (BASE, 'f { target = <1>; __overlay__ { }; }; __fixups__ { soc = "/f"; };', "names /f, which is not there"),
        (
            "a { };",
            'f { target = <1>; __overlay__ { }; }; __fixups__ { soc = "/f:target:0"; };',
            "build the base with dtc -@",
        ),
        (BASE, 'f { target-path = "/"; __overlay__ { a { phandle = <0xfffffffc>; }; }; };', "cannot be moved past"),
        (BASE, 'f { target-path = "/"; __overlay__ { a { phandle = "x"; }; }; };', "cannot be moved past"),
        (BASE, 'f { target-path = "/"; __overlay__ { }; }; __local_fixups__ { g { }; };', "names /g, which is not there"),
        (
            BASE,
            'f { target-path = "/"; __overlay__ { }; }; __local_fixups__ { f { y = <0>; }; };',
            "names /f: y, which is not there",
        ),
        (
            BASE,
            'f { target-path = "/"; y = <1>; __overlay__ { }; }; __local_fixups__ { f { y = <4>; }; };',
            "names offset 4 of /f: y, which has 4 bytes",
        ),
    ],
)
def test_what_does_not_resolve(base: str, overlay: str, words: str) -> None:
    with pytest.raises(OverlayError, match=words.replace("(", r"\(")):
        merged(base, overlay)


def test_random_bytes_are_never_more_than_an_error() -> None:
    good = bytearray(
        dtb(
            """fragment@0 { target = <0xffffffff>; __overlay__ { clk { phandle = <1>; }; user { clocks = <0 1 2>; }; }; };
            __symbols__ { clk = "/fragment@0/__overlay__/clk"; };
            __fixups__ { soc = "/fragment@0:target:0"; };
            __local_fixups__ { fragment@0 { __overlay__ { user { clocks = <4>; }; }; }; };"""
        )
    )
    base, dice = tree(BASE), random.Random(7)
    for _ in range(400):
        data = bytearray(good)
        for _ in range(dice.randint(1, 6)):
            data[dice.randrange(40, len(data))] = dice.randrange(256)
        with contextlib.suppress(DtanalyzeError):
            parse(apply_overlay(base, parse(bytes(data))))


SOURCE = """/dts-v1/; / { #address-cells = <1>; #size-cells = <1>;
    soc: soc { ranges; uart: serial@1000 { reg = <0x1000 0x100>; status = "disabled"; }; clk: clk { }; }; use { c = <&clk>; }; };"""
OVERLAY = """/dts-v1/; /plugin/;
&uart { status = "okay"; clocks = <&pll 1>, <&clk>; };
&soc { pll: pll { x = <&pll>; }; serial@1000 { more = <1>; }; extra@2000 { reg = <0x2000 4>; }; };
&{/use} { d = <&uart &pll>; };"""


@pytest.mark.skipif(shutil.which("fdtoverlay") is None, reason="dtc and fdtoverlay are not installed: not compared here")
def test_as_the_standard_tool_does(tmp_path: Path) -> None:
    blobs = []
    for name, text in (("base", SOURCE), ("over", OVERLAY)):
        path = tmp_path / f"{name}.dtb"
        subprocess.run(["dtc", "-q", "-@", "-I", "dts", "-O", "dtb", "-o", str(path), "-"], input=text.encode(), check=True)
        blobs.append(path)
    made = tmp_path / "made.dtb"
    subprocess.run(["fdtoverlay", "-i", str(blobs[0]), "-o", str(made), str(blobs[1])], check=True)
    ours = parse(apply_overlay(parse(blobs[0].read_bytes()), parse(blobs[1].read_bytes())))
    theirs = parse(made.read_bytes())
    # Nodes in document order; the order of properties means nothing.
    flat = [
        [(item.path, sorted((name, prop.value) for name, prop in item.properties.items())) for item in one.root]
        for one in (ours, theirs)
    ]
    assert flat[0] == flat[1]


def test_children_of_one_node_are_found_as_fdt_subnode_offset_finds_them() -> None:
    """A name without a unit address means the first child of that base name, one that was just added before the old ones."""
    base = parse(dtb("a@1 { one; }; a@2 { two; };"))
    overlay = parse(dtb('f { target-path = "/"; __overlay__ { a { three; }; b@7 { x; }; b { y; }; a@2 { four; }; }; };'))
    made = parse(apply_overlay(base, overlay))
    assert {node.path: list(node.properties) for node in made.root if node.path != "/"} == {
        "/b@7": ["x", "y"],
        "/a@1": ["one", "three"],
        "/a@2": ["two", "four"],
    }


def test_thousands_of_children_take_no_time() -> None:
    """Each was looked for among all the others: 8,000 took ten seconds, 131,072 are let through by the reader."""
    root = new_node("")
    content = new_node("__overlay__", new_node("f", root, {"target-path": strings("/")}))
    for number in range(8000):
        new_node(f"k{number}", content, {"a": b""})
    overlay = parse(to_blob(root))
    began = time.process_time()
    made = parse(apply_overlay(parse(dtb("")), overlay))
    assert len(made.root.children) == 8000 and time.process_time() - began < 5
