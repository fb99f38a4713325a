"""Sets of ranges: drawn cases, then agreement with plain sets of integers."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtanalyze.address.range import AddressRange
from dtanalyze.address.rangeset import RangeSet
from tests.trees import strip

UNIT = 0x1000


def drawn(line: str) -> RangeSet:
    return RangeSet(strip(line, UNIT))


def runs(line: str) -> list[AddressRange]:
    return strip(line, UNIT)


MERGES = {
    "nothing": ([], "........"),
    "one": (["..##...."], "..##...."),
    "adjacent become one": (["##......", "..##...."], "####...."),
    "overlapping become one": (["###.....", "..###..."], "#####..."),
    "within disappears": (["######..", "..##...."], "######.."),
    "twice": (["..##....", "..##...."], "..##...."),
    "a gap of one stays": (["##......", "...##..."], "##.##..."),
    "unsorted": (["......##", "##......", "...##..."], "##.##.##"),
    "same start, longer last": (["##......", "####...."], "####...."),
    "bridge": (["##......", "....##..", "..##...."], "######.."),
}


@pytest.mark.parametrize(("pieces", "merged"), MERGES.values(), ids=MERGES)
def test_merging(pieces: list[str], merged: str) -> None:
    assert list(RangeSet(item for line in pieces for item in runs(line))) == runs(merged)


#             a           b           union       intersection  difference a - b
OPERATIONS = {
    "disjoint": ("##......", "....##..", "##..##..", "........", "##......"),
    "adjacent": ("##......", "..##....", "####....", "........", "##......"),
    "overlap": ("####....", "..####..", "######..", "..##....", "##......"),
    "hole": ("########", "..###...", "########", "..###...", "##...###"),
    "comb": ("########", "#.#.#.#.", "########", "#.#.#.#.", ".#.#.#.#"),
    "two teeth in one": ("##.##.##", ".######.", "########", ".#.##.#.", "#......#"),
    "swallowed": ("..##....", ".#####..", ".#####..", "..##....", "........"),
    "with nothing": ("..##....", "........", "..##....", "........", "..##...."),
    "from nothing": ("........", "..##....", "..##....", "........", "........"),
    "same": ("#.##.#..", "#.##.#..", "#.##.#..", "#.##.#..", "........"),
}


@pytest.mark.parametrize(("a", "b", "union", "common", "left"), OPERATIONS.values(), ids=OPERATIONS)
def test_operations(a: str, b: str, union: str, common: str, left: str) -> None:
    one, other = drawn(a), drawn(b)
    assert list(one.union(other)) == list(other.union(one)) == runs(union)
    assert list(one.intersection(other)) == list(other.intersection(one)) == runs(common)
    assert list(one.difference(other)) == runs(left)
    # A plain list of ranges serves as well as a set.
    assert list(one.union(runs(b))) == runs(union)
    assert list(one.intersection(runs(b))) == runs(common)
    assert list(one.difference(runs(b))) == runs(left)


@pytest.mark.parametrize(
    ("line", "asked", "found"),
    [
        ("##.##.##", "...##...", "...##..."),
        ("##.##.##", "..#.....", "........"),
        ("##.##.##", ".######.", "##.##.##"),
        ("##.##.##", "#.......", "##......"),
        ("........", "########", "........"),
        ("..##....", "####....", "..##...."),
        ("####....", "..##....", "####...."),
        ("..####..", "##......", "........"),
        ("..####..", "......##", "........"),
    ],
)
def test_overlapping_yields_whole_runs(line: str, asked: str, found: str) -> None:
    (question,) = runs(asked)
    assert list(drawn(line).overlapping(question)) == runs(found)
    assert drawn(line).touches(question) is ("#" in found)


def test_size_and_length() -> None:
    assert (drawn("##.##.#.").size, len(drawn("##.##.#."))) == (5 * UNIT, 3)
    assert (RangeSet().size, len(RangeSet())) == (0, 0)


def test_equality_is_by_content() -> None:
    assert drawn("####....") == RangeSet([*runs("##......"), *runs("..##....")])
    assert hash(drawn("####....")) == hash(RangeSet([*runs("##......"), *runs("..##....")]))
    assert drawn("####....") != drawn("###.....")
    assert drawn("####....") != runs("####....")


def test_repr_shows_inclusive_ranges() -> None:
    assert repr(drawn("##..#...")) == "RangeSet(0x0-0x1fff, 0x4000-0x4fff)"


def test_the_top_of_the_space() -> None:
    top = AddressRange((1 << 64) - 0x1000, 0x1000)
    assert list(RangeSet([AddressRange(0, 1 << 64)]).difference([top])) == [AddressRange(0, (1 << 64) - 0x1000)]


# The model: a set of integers.
pieces = st.lists(st.builds(AddressRange, st.integers(0, 30), st.integers(1, 12)), max_size=8)


def members(ranges: Iterable[AddressRange]) -> set[int]:
    return {address for item in ranges for address in range(item.start, item.start + item.size)}


@given(pieces, pieces)
def test_agrees_with_sets_of_integers(left: list[AddressRange], right: list[AddressRange]) -> None:
    a, b = members(left), members(right)
    one, other = RangeSet(left), RangeSet(right)
    for made, wanted in (
        (one, a),
        (one.union(other), a | b),
        (one.intersection(other), a & b),
        (one.difference(other), a - b),
    ):
        assert members(made) == wanted
        assert made.size == len(wanted)
        # Sorted, disjoint and never adjacent: as many runs as there are addresses without a predecessor.
        assert len(made) == sum(address - 1 not in wanted for address in wanted)
        assert [item.start for item in made] == sorted(address for address in wanted if address - 1 not in wanted)


@given(pieces, st.integers(0, 40), st.integers(1, 8))
def test_touches_agrees_with_sets_of_integers(ranges: list[AddressRange], start: int, size: int) -> None:
    assert RangeSet(ranges).touches(AddressRange(start, size)) is bool(members(ranges) & set(range(start, start + size)))
