"""Places after overlays, and of a blob beside its source: what has no line is given none, not that of the node above."""

from __future__ import annotations

from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.joined_places import joined
from dtanalyze.devicetree.overlaid_places import Landed, with_overlay
from dtanalyze.devicetree.source_map import Place, SourceMap
from tests.trees import dtb

ROOT, BUS, REG = Place("a.dts", 2, 3, 9, 2), Place("a.dts", 3, 7, 5, 2), Place("a.dts", 4, 3, 4, 20)
BASE = SourceMap({"/": (ROOT,), "/bus": (BUS,)}, {("/bus", "reg"): REG})
OPENED = ROOT._replace(last_line=2, last_column=3)


def test_a_node_of_an_overlays_blob_stands_nowhere() -> None:
    tree = parse(dtb("bus { dev { x; }; };"))
    overlay = parse(dtb("fragment { __overlay__ { dev { x; }; }; };"))
    made = Landed(overlay.root.children[0].children[0].children[0], tree.root.children[0].children[0], made=True)
    places = with_overlay(BASE, [made], None)
    assert places is not None
    assert places.place("/bus/dev") is None and places.place("/bus/dev", "y") is None
    assert places.place("/bus", "reg") == REG and places.place("/other") == OPENED


def test_what_a_source_does_not_have_stands_nowhere() -> None:
    source, tree = parse(dtb("bus { reg = <1>; };")), parse(dtb("bus { reg = <2>; added; dev { x; }; };"))
    places = joined(BASE, source, tree)
    assert places.place("/bus/dev") is None and places.place("/bus/dev", "x") is None and places.place("/bus", "added") is None
    assert places.place("/bus", "reg") == REG, "a value may have changed, as phandles do"
    assert places.place("/of-xen-alone") == OPENED
