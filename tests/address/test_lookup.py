"""Items found by the addresses that they share, against looking at each."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from dtanalyze.address.lookup import Lookup
from dtanalyze.address.range import AddressRange


class Item(NamedTuple):
    name: int
    range: AddressRange


RANGES = st.builds(AddressRange, st.integers(0, 30), st.integers(1, 12))


@given(st.lists(RANGES, max_size=12), RANGES)
def test_what_touches_a_range(ranges: list[AddressRange], span: AddressRange) -> None:
    items = [Item(name, item) for name, item in enumerate(ranges)]
    found = list(Lookup(items).touching(span))
    assert sorted(item.name for item in found) == [item.name for item in items if item.range.overlaps(span)]
    assert [item.range.start for item in found] == sorted(item.range.start for item in found)


def test_equal_starts_keep_their_order_and_adjacent_ranges_do_not_touch() -> None:
    items = [Item(2, AddressRange(4, 4)), Item(1, AddressRange(4, 2)), Item(0, AddressRange(0, 4))]
    assert [item.name for item in Lookup(items).touching(AddressRange(4, 1))] == [2, 1]
    assert [item.name for item in Lookup(items).touching(AddressRange(8, 4))] == []


def test_what_ends_where_the_span_begins_is_left_out_behind_a_longer_one() -> None:
    """0..100 reaches behind 20, so that 10..20 is looked at; it ends before 20, and shares nothing with 20..30."""
    items = [Item(0, AddressRange(0, 100)), Item(1, AddressRange(10, 10))]
    assert [item.name for item in Lookup(items).touching(AddressRange(20, 10))] == [0]
