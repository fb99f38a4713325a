"""One range: what it refuses, its two ends, and how two of them lie to each other."""

from __future__ import annotations

import re

import pytest

from dtanalyze.address.range import ADDRESS_SPACE, AddressRange, RawRange
from tests.trees import strip


def test_the_address_space_is_64_bits() -> None:
    assert ADDRESS_SPACE == 18446744073709551616


@pytest.mark.parametrize(
    ("start", "size", "shown"),
    [
        (0x1000, 0, "start 0x1000, size 0x0"),
        (0x1000, -1, "start 0x1000, size -0x1"),
        (-1, 1, "start -0x1, size 0x1"),
        (1 << 64, 1, "start 0x10000000000000000, size 0x1"),
        ((1 << 64) - 1, 2, "start 0xffffffffffffffff, size 0x2"),
    ],
    ids=["empty", "negative size", "negative start", "starts after the space", "ends after the space"],
)
def test_refused(start: int, size: int, shown: str) -> None:
    with pytest.raises(ValueError, match=f"^not a range of addresses: {re.escape(shown)}$"):
        AddressRange(start, size)


def test_spanning_refuses_what_is_empty() -> None:
    with pytest.raises(ValueError, match="not a range of addresses"):
        AddressRange.spanning(0x2000, 0x2000)


def test_ends() -> None:
    item = AddressRange(0x1000, 0x800)
    assert (item.start, item.size, item.stop, item.last) == (0x1000, 0x800, 0x1800, 0x17FF)
    assert AddressRange.spanning(0x1000, 0x1800) == item


def test_the_whole_space() -> None:
    whole = AddressRange(0, 1 << 64)
    assert (whole.last, whole.stop) == (0xFFFFFFFFFFFFFFFF, 0x10000000000000000)


# One address line each; the answers are read off the drawing, in both orders.
PAIRS = {
    "disjoint": ("##......", "....##..", "........"),
    "adjacent": ("##......", "..##....", "........"),
    "overlap by one": ("###.....", "..###...", "..#....."),
    "within": ("#######.", "..##....", "..##...."),
    "same start": ("####....", "##......", "##......"),
    "same stop": ("####....", "..##....", "..##...."),
    "equal": ("..###...", "..###...", "..###..."),
}


@pytest.mark.parametrize(("left", "right", "common"), PAIRS.values(), ids=PAIRS)
def test_pairs(left: str, right: str, common: str) -> None:
    (a,), (b,), both = strip(left, 0x1000), strip(right, 0x1000), strip(common, 0x1000)
    expected = both[0] if both else None
    assert a.intersection(b) == b.intersection(a) == expected
    assert a.overlaps(b) is b.overlaps(a) is bool(both)
    assert a.covers(b) is (right == common)
    assert b.covers(a) is (left == common)


def test_ordered_by_start_then_size() -> None:
    a, b, c = AddressRange(0, 9), AddressRange(1, 1), AddressRange(1, 2)
    assert sorted([c, a, b]) == [a, b, c]


def test_the_top_of_the_space_overlaps_itself() -> None:
    top = AddressRange((1 << 64) - 0x1000, 0x1000)
    assert top.overlaps(AddressRange((1 << 64) - 1, 1))
    assert AddressRange(0, 1 << 64).covers(top)


@pytest.mark.parametrize(
    ("start", "size", "inside"),
    [
        (0x1000, 0x10, AddressRange(0x1000, 0x10)),
        (0x1000, 0, None),
        ((1 << 64) - 0x1000, 0x2000, AddressRange((1 << 64) - 0x1000, 0x1000)),
        ((1 << 64) - 1, 1 << 64, AddressRange((1 << 64) - 1, 1)),
        (1 << 64, 0x1000, None),
    ],
    ids=["ordinary", "empty", "runs over the top", "almost all above", "above"],
)
def test_raw_range_checked(start: int, size: int, inside: AddressRange | None) -> None:
    assert RawRange(start, size).checked() == inside


def test_raw_range_stop_does_not_wrap() -> None:
    assert RawRange(0xFFFFFFFFFFFFF000, 0x2000).stop == 0x10000000000001000


def test_strip_reads_the_drawing() -> None:
    assert strip("##.. #", 0x1000, start=0x40000000) == [(0x40000000, 0x2000), (0x40004000, 0x1000)]
    assert strip("..a.b", mark="b") == [(4, 1)]
