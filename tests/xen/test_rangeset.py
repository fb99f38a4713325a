"""Xen's rangesets: hand-worked corner cases, the shipped defect, and a set of integers as the stupid model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtanalyze.xen.rangeset import NullDereferenceError, Rangeset


def made(*ranges: tuple[int, int], defect: bool = False) -> Rangeset:
    out = Rangeset(removal_extends_lower_range=defect)
    for start, end in ranges:
        out.add_range(start, end)
    return out


@pytest.mark.parametrize(
    ("before", "removed", "after"),
    [
        pytest.param([(0, 99)], (40, 59), [(0, 39), (60, 99)], id="within"),
        pytest.param([(0, 99)], (0, 9), [(10, 99)], id="bottom"),
        pytest.param([(0, 99)], (90, 99), [(0, 89)], id="top"),
        pytest.param([(0, 99)], (0, 99), [], id="equal"),
        pytest.param([(10, 19)], (0, 99), [], id="around"),
        pytest.param([(10, 19), (30, 39)], (15, 34), [(10, 14), (35, 39)], id="across two"),
        pytest.param([(10, 19), (30, 39), (50, 59)], (15, 54), [(10, 14), (55, 59)], id="across three"),
        pytest.param([(10, 19)], (20, 29), [(10, 19)], id="behind, touching"),
        pytest.param([(10, 19), (30, 39)], (19, 34), [(10, 18), (35, 39)], id="from the last one of a range"),
        pytest.param([(10, 19)], (0, 5), [(10, 19)], id="before"),
        # The gap 20..29 is given back by the defect, and stays out when it is fixed.
        pytest.param([(10, 19), (40, 59)], (30, 49), [(10, 19), (50, 59)], id="from a gap into a later range"),
    ],
)
def test_removal(before: list[tuple[int, int]], removed: tuple[int, int], after: list[tuple[int, int]]) -> None:
    ranges = made(*before)
    ranges.remove_range(*removed)
    assert list(ranges) == after


def test_removal_from_a_gap_gives_it_back_before_the_fix() -> None:
    ranges = made((10, 19), (40, 59), defect=True)
    ranges.remove_range(30, 49)
    assert list(ranges) == [(10, 29), (50, 59)]


def test_removal_of_nothing_inside_a_range_splits_it() -> None:
    ranges = made((0, 99))
    ranges.remove_range(40, 39)
    assert list(ranges) == [(0, 39), (40, 99)]


def test_removal_of_nothing_at_a_start_crashes() -> None:
    ranges = made((10, 19), (40, 59))
    with pytest.raises(NullDereferenceError):
        ranges.remove_range(40, 39)
    with pytest.raises(NullDereferenceError):
        made((10, 19)).remove_range(10, 9)


def test_removal_of_nothing_in_a_gap_does_nothing() -> None:
    ranges = made((10, 19), (40, 59))
    ranges.remove_range(30, 29)
    assert list(ranges) == [(10, 19), (40, 59)]


def test_removal_of_nothing_at_zero_wraps_in_bytes_and_in_pages() -> None:
    in_bytes = made((0, 0xFFF), (0x4000, 0x7FFF))
    in_bytes.remove_range(0, -1)
    assert list(in_bytes) == [(0, 0x7FFF)], "end + 1 wraps to 0, the first range up to the end of the last"
    in_pages = made((0, 0), (4, 7))
    in_pages.remove_range(0, (1 << 52) - 1)
    assert list(in_pages) == []


def test_adding_merges_neighbours() -> None:
    assert list(made((0, 9), (20, 29), (10, 19))) == [(0, 29)]
    assert list(made((0, 9), (20, 29), (5, 24))) == [(0, 29)]
    assert list(made((10, 19), (0, 5))) == [(0, 5), (10, 19)]


def test_adding_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="an empty range is added: 0x5-0x4"):
        made((5, 4))


def test_report_clips() -> None:
    ranges = made((0, 9), (20, 29), (40, 49))
    assert list(ranges.report_ranges(5, 44)) == [(5, 9), (20, 29), (40, 44)]
    assert list(ranges.report_ranges(0, 19)) == [(0, 9)]


SPAN = 40
steps = st.lists(st.tuples(st.booleans(), st.integers(0, SPAN - 1), st.integers(0, 12)), max_size=14)


@given(steps)
def test_agrees_with_a_set_of_integers(actions: list[tuple[bool, int, int]]) -> None:
    ranges, model = Rangeset(), set()
    for add, start, length in actions:
        end = start + length
        if add:
            ranges.add_range(start, end)
            model |= set(range(start, end + 1))
        else:
            ranges.remove_range(start, end)
            model -= set(range(start, end + 1))
    covered = [value for start, end in ranges for value in range(start, end + 1)]
    assert covered == sorted(model)
    assert all(one[1] < two[0] for one, two in zip(list(ranges), list(ranges)[1:], strict=False))


def test_a_range_that_ends_before_it_starts_follows_a_null_pointer_where_nothing_lies_beyond() -> None:
    """rangeset_add_range without its assertion: the range after the last, or the one before the first, is none."""
    top, known = (1 << 52) - 1, Rangeset()
    with pytest.raises(ValueError, match="empty"):
        known.add_range(top, 1)  # an empty set: it becomes its only member
    known.add_range(0x10, 0x1F)
    with pytest.raises(NullDereferenceError):
        known.add_range(top, 1)
    with pytest.raises(NullDereferenceError):
        known.add_range(0x18, 1)
    with pytest.raises(ValueError, match="empty"):
        known.add_range(0x18, 0x11)
    known.add_range(0x30, 0x3F)
    with pytest.raises(NullDereferenceError):
        known.add_range(top, 0x12)
    with pytest.raises(ValueError, match="empty"):
        known.add_range(0x40, 0x12)  # joins the last
    assert list(known) == [(0x10, 0x1F), (0x30, 0x3F)]
