"""Changes in the text of a source: what is replaced, and that all the rest stays byte for byte."""

from __future__ import annotations

import pytest

from dtanalyze.devicetree.source_map import Place
from dtanalyze.devicetree.source_text import added_node, added_property, changed_property, removed_property, spliced
from dtanalyze.errors import SourceTextError


def cells(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(4, "big") for number in numbers)


def changed(text: str, name: str, old: bytes, new: bytes, line: int = 1, last: int | None = None, column: int = 1) -> str:
    place = Place("x", line, column, last or line, 1)
    return spliced(text, [changed_property(text, place, name, old, new, f"{name} = STATED;")])


def test_one_cell_changes_and_its_neighbours_stay_as_they_are_written() -> None:
    text = "reg = <0x0 BASE /* the bus */ 0 0x1000>; // reg\n"
    assert changed(text, "reg", cells(0, 9, 0, 0x1000), cells(0, 9, 0, 0x2000)) == text.replace("0x1000", "0x2000")
    assert changed("a = <1 2>;", "a", cells(1, 2), cells(1, 3)) == "a = <1 3>;"
    assert changed("a = <1 2>;", "a", cells(1, 2), cells(1, 64)) == "a = <1 0x40>;"


def test_the_line_of_a_property_holds_others_of_like_names() -> None:
    text = 's { reg-names = "reg = <7>;"; /* reg = <7>; */ x-reg = <7>; reg = <7>; };'
    assert changed(text, "reg", cells(7), cells(8)) == text.replace(" reg = <7>; }", " reg = <8>; }")


def test_two_of_one_name_on_a_line_are_told_apart_by_the_column() -> None:
    text = "a { reg = <1>; }; b { reg = <1>; };"
    assert changed(text, "reg", cells(1), cells(2), column=text.rindex("reg") + 1) == "a { reg = <1>; }; b { reg = <2>; };"
    with pytest.raises(SourceTextError, match="macro"):
        changed(text, "reg", cells(1), cells(2), column=3)


def test_groups_that_stay_keep_their_words_and_their_separator() -> None:
    text = "reg = <0 A 0 B>,\n\t<0 0xb 0 1>,\n\t<0 0xc 0 1>;\n"
    old = cells(0, 0xA, 0, 5, 0, 0xB, 0, 1, 0, 0xC, 0, 1)
    assert changed(text, "reg", old, cells(0, 0xA, 0, 5, 0, 0xC, 0, 1), last=3) == "reg = <0 A 0 B>,\n\t<0 0xc 0 1>;\n"
    assert changed(text, "reg", old, old + cells(0, 0x10, 0, 1), last=3) == text.replace("1>;", "1>,\n\t<0x0 0x10 0x0 0x1>;")


def test_a_reference_is_never_replaced_by_a_number() -> None:
    text = "interrupts-extended = <&gic 0 1 4>, <&gic 0 2 4>;"
    old = cells(7, 0, 1, 4, 7, 0, 2, 4)
    assert changed(text, "interrupts-extended", old, cells(7, 0, 1, 1, 7, 0, 2, 4)) == text.replace("1 4>,", "1 1>,")
    with pytest.raises(SourceTextError, match="labels"):
        changed(text, "interrupts-extended", old, cells(8, 0, 1, 4, 7, 0, 2, 4))
    with pytest.raises(SourceTextError, match="labels"):
        changed(text, "interrupts-extended", old, old[16:])


def test_what_is_not_cells_is_stated_anew() -> None:
    assert changed('status = "disabled";', "status", b"disabled\0", b"okay\0") == "status = STATED;"
    assert changed("a = /bits/ 8 <1 2 3 4>;", "a", bytes([1, 2, 3, 4]), cells(5)) == "a = STATED;"
    # REG(9) stands for two cells: which word is which cannot be told.
    assert changed("a = <REG(9) 1>;", "a", cells(9, 1, 1), cells(9, 2, 1)) == "a = STATED;"
    # A source that says another number than the blob.
    assert changed("a = <1>;", "a", cells(2), cells(3)) == "a = STATED;"


def test_what_a_macro_makes_is_refused() -> None:
    with pytest.raises(SourceTextError, match="line 2 does not say reg in so many words: a macro makes it"):
        changed("#define R reg = <1>;\nnode { R };\n", "reg", cells(1), cells(2), line=2)
    with pytest.raises(SourceTextError, match="the file ends before line 9"):
        changed("a;\n", "a", b"", b"", line=9)


def removed(text: str, name: str, line: int, *, earlier: bool = False) -> str:
    return spliced(text, [removed_property(text, Place("x", line, 1, line, 1), name, earlier=earlier)])


def test_a_property_goes_with_its_line_when_it_stands_alone() -> None:
    assert removed("a {\n\tranges;\n};\n", "ranges", 2) == "a {\n};\n"
    assert removed("a { ranges; reg = <1>; };\n", "ranges", 1) == "a {  reg = <1>; };\n"
    assert removed("a {\n\tranges; /* bus */\n};\n", "ranges", 2) == "a {\n\t /* bus */\n};\n"
    assert removed("a {\n\tranges;\n};\n", "ranges", 2, earlier=True) == "a {\n\t/delete-property/ ranges;\n};\n"
    with pytest.raises(SourceTextError):
        removed("a {\n\t/delete-property/ ranges;\n};\n", "ranges", 2)


def test_a_property_is_added_before_the_nodes() -> None:
    place = Place("x", 1, 3, 3, 2)
    assert spliced("a {\n\tb { };\n};\n", [added_property("a {\n\tb { };\n};\n", place, "x;")]) == "a {\n\tx;\n\tb { };\n};\n"
    assert spliced("a {\r\n    y;\r\n};\r\n", [added_property("a {\r\n    y;\r\n};\r\n", place, "x;")]) == "a {\r\n    x;\r\n    y;\r\n};\r\n"
    assert spliced("a { y; };", [added_property("a { y; };", place, "x;")]) == "a { x; y; };"
    assert spliced("a { };", [added_property("a { };", place._replace(column=99), "x;")]) == "a { x; };"
    with pytest.raises(SourceTextError, match="macro"):
        added_property("NODE\n", place, "x;")
    with pytest.raises(SourceTextError, match="macro"):
        added_property("a { b { }; };", place._replace(column=1), "x;")


def test_a_node_is_added_behind_the_others() -> None:
    text = "a {\n\tb {\n\t};\n};\n"
    assert spliced(text, [added_node(text, Place("x", 1, 3, 4, 2), ["n {", "\tx;", "};"])]) == "a {\n\tb {\n\t};\n\tn {\n\t\tx;\n\t};\n};\n"
    assert spliced("a { y; };", [added_node("a { y; };", Place("x", 1, 3, 1, 9), ["n {", "\tx;", "};"])]) == "a { y; n { x; }; };"
    with pytest.raises(SourceTextError, match="not closed"):
        added_node("a { y;", Place("x", 1, 3, 1, 9), ["n { };"])


def test_changes_in_one_place_are_refused() -> None:
    text = "a = <1>;"
    splice = changed_property(text, Place("x", 1, 1, 1, 8), "a", cells(1), cells(2), "a = <2>;")
    with pytest.raises(SourceTextError, match="one place"):
        spliced(text, [splice, splice])
