"""kernel/resource.c: what request and insert accept, which gap is taken, and how the tree is left behind."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dtanalyze.address.range import AddressRange
from dtanalyze.linux.resource import IORESOURCE_END, Candidate, Resource

TOP = (1 << 64) - 1


Operation = Callable[[Resource, Resource], Resource | None]


def shape(root: Resource) -> list[tuple[int, int, int, str]]:
    """Everything below ``root``: depth, start, end, name."""
    return [(depth, item.start, item.end, item.name) for depth, item in root.walk()][1:]


def with_x() -> tuple[Resource, Resource]:
    root = Resource("root", 0x0, 0xFFFF)
    x = Resource("X", 0x4000, 0x7FFF)
    assert root.request_resource(x) is None
    return root, x


# Spec 1.7, one row a shape; the tree is what is below the root afterwards, "X" is 0x4000-0x7fff.
X = (1, 0x4000, 0x7FFF, "X")
UNTOUCHED = [X]

SHAPES = {
    "disjoint below": (0x1000, 0x1FFF, True, "beside"),
    "disjoint above": (0x9000, 0x9FFF, True, "beside"),
    "adjacent below": (0x3000, 0x3FFF, True, "beside"),
    "adjacent above": (0x8000, 0x8FFF, True, "beside"),
    "strictly inside": (0x5000, 0x5FFF, False, "inside"),
    "inside, same start": (0x4000, 0x4FFF, False, "inside"),
    "inside, same end": (0x7000, 0x7FFF, False, "inside"),
    "inside, all but the last byte": (0x4000, 0x7FFE, False, "inside"),
    "strictly around": (0x3000, 0x8FFF, False, "around"),
    "around, same start": (0x4000, 0x8FFF, False, "around"),
    "around, same end": (0x3000, 0x7FFF, False, "around"),
    "equal": (0x4000, 0x7FFF, False, "around"),
    "partial, low": (0x3000, 0x4FFF, False, "busy"),
    "partial, low, one byte": (0x3000, 0x4000, False, "busy"),
    "partial, high": (0x7000, 0x8FFF, False, "busy"),
    "partial, high, one byte": (0x7FFF, 0x8FFF, False, "busy"),
}


@pytest.mark.parametrize(("start", "end", "requested", "_insert"), SHAPES.values(), ids=SHAPES)
def test_request_resource_accepts_only_what_is_disjoint(start: int, end: int, requested: bool, _insert: str) -> None:
    root, x = with_x()
    new = Resource("N", start, end)
    conflict = root.request_resource(new)
    assert conflict is (None if requested else x)
    expected = sorted([X, (1, start, end, "N")], key=lambda item: item[1]) if requested else UNTOUCHED
    assert shape(root) == expected


@pytest.mark.parametrize(("start", "end", "_requested", "insert"), SHAPES.values(), ids=SHAPES)
def test_insert_resource_nests_and_refuses_only_a_partial_overlap(
    start: int, end: int, _requested: bool, insert: str
) -> None:
    root, x = with_x()
    new = Resource("N", start, end)
    conflict = root.insert_resource(new)
    if insert == "busy":
        assert conflict is x
        assert shape(root) == UNTOUCHED
        assert new.parent is None
        return
    assert conflict is None
    if insert == "beside":
        assert shape(root) == sorted([X, (1, start, end, "N")], key=lambda item: item[1])
    elif insert == "inside":
        assert shape(root) == [X, (2, start, end, "N")]
        assert new.parent is x
    else:
        assert shape(root) == [(1, start, end, "N"), (2, 0x4000, 0x7FFF, "X")]
        assert x.parent is new
        assert new.parent is root


@pytest.mark.parametrize("operation", [Resource.request_resource, Resource.insert_resource])
@pytest.mark.parametrize(
    ("start", "end"),
    [(0xFFF, 0x1FFF), (0x1000, 0x10000), (0x0, 0x10000), (0x20000, 0x20FFF), (0x2000, 0x1FFF), (0x3000, 0x1000)],
    ids=["below", "above", "around", "outside", "empty", "reversed"],
)
def test_what_does_not_fit_into_the_root_conflicts_with_the_root(operation: Operation, start: int, end: int) -> None:
    root = Resource("root", 0x1000, 0xFFFF)
    assert operation(root, Resource("N", start, end)) is root
    assert shape(root) == []


def test_insert_descends_through_containers_again_and_again() -> None:
    root = Resource("root", 0, 0xFFFFF)
    a, b, c = Resource("A", 0x10000, 0x1FFFF), Resource("B", 0x12000, 0x17FFF), Resource("C", 0x13000, 0x13FFF)
    for item in (a, b, c):
        assert root.insert_resource(item) is None
    new = Resource("N", 0x13800, 0x138FF)
    assert root.insert_resource(new) is None
    assert [item.name for item in (new.parent, c.parent, b.parent, a.parent) if item] == ["C", "B", "A", "root"]


def test_insert_reports_a_partial_overlap_deep_below() -> None:
    root = Resource("root", 0, 0xFFFFF)
    outer, inner = Resource("outer", 0x10000, 0x1FFFF), Resource("inner", 0x12000, 0x17FFF)
    root.insert_resource(outer)
    root.insert_resource(inner)
    assert root.insert_resource(Resource("N", 0x11000, 0x12FFF)) is inner


def test_insert_takes_several_neighbours_below_itself() -> None:
    root = Resource("root", 0, 0xFFFF)
    for name, start in (("A", 0x1000), ("B", 0x2000), ("C", 0x4000), ("D", 0x6000)):
        root.request_resource(Resource(name, start, start + 0xFFF))
    assert root.insert_resource(Resource("N", 0x2000, 0x4FFF)) is None
    assert shape(root) == [
        (1, 0x1000, 0x1FFF, "A"),
        (1, 0x2000, 0x4FFF, "N"),
        (2, 0x2000, 0x2FFF, "B"),
        (2, 0x4000, 0x4FFF, "C"),
        (1, 0x6000, 0x6FFF, "D"),
    ]


def test_insert_around_one_and_halfway_into_the_next_changes_nothing() -> None:
    root = Resource("root", 0, 0xFFFF)
    for name, start in (("A", 0x1000), ("B", 0x3000)):
        root.request_resource(Resource(name, start, start + 0xFFF))
    before = shape(root)
    conflict = root.insert_resource(Resource("N", 0x1000, 0x3800))
    assert conflict is not None
    assert conflict.name == "B"
    assert shape(root) == before


def test_request_looks_at_direct_children_only() -> None:
    root = Resource("root", 0, 0xFFFF)
    outer = Resource("outer", 0x1000, 0x3FFF)
    root.request_resource(outer)
    assert outer.request_resource(Resource("inner", 0x2000, 0x2FFF)) is None
    conflict = root.request_resource(Resource("N", 0x2000, 0x2FFF))
    assert conflict is outer


def test_release_unlinks_with_everything_below() -> None:
    root, x = with_x()
    x.request_resource(Resource("child", 0x5000, 0x5FFF))
    x.release_resource()
    assert shape(root) == []
    assert x.parent is None
    assert shape(x) == [(1, 0x5000, 0x5FFF, "child")]
    assert root.request_resource(Resource("N", 0x4800, 0x8000)) is None


def test_release_of_what_is_linked_nowhere_raises() -> None:
    root, x = with_x()
    with pytest.raises(ValueError, match="linked nowhere"):
        root.release_resource()
    x.release_resource()
    with pytest.raises(ValueError, match="'X', 0x4000-0x7fff"):
        x.release_resource()


def test_a_resource_knows_its_range_and_that_it_has_none() -> None:
    assert Resource("all", 0, TOP).range == AddressRange(0, 1 << 64)
    assert Resource("one byte", 7, 7).range == AddressRange(7, 1)
    assert Resource("nothing", 0x1000, 0xFFF).range is None
    assert IORESOURCE_END == TOP


def test_overlapping_is_by_inclusive_bounds_and_ascending() -> None:
    root = Resource("root", 0, 0xFFFF)
    for name, start in (("C", 0x3000), ("A", 0x1000), ("B", 0x2000)):
        root.request_resource(Resource(name, start, start + 0x7FF))
    assert [item.name for item in root.overlapping(0x17FF, 0x2000)] == ["A", "B"]
    assert root.overlapping(0x1800, 0x1FFF) == []
    assert [item.name for item in root.children] == ["A", "B", "C"]


@pytest.mark.parametrize(
    ("children", "gaps"),
    [
        ([], [(0x1000, 0xFFFF)]),
        ([(0x2000, 0x2FFF)], [(0x1000, 0x1FFF), (0x3000, 0xFFFF)]),
        ([(0x1000, 0x1FFF)], [(0x2000, 0xFFFF)]),
        ([(0xF000, 0xFFFF)], [(0x1000, 0xEFFF)]),
        ([(0x2000, 0x2FFF), (0x3000, 0x3FFF)], [(0x1000, 0x1FFF), (0x4000, 0xFFFF)]),
        ([(0x1000, 0xFFFF)], []),
        ([(0x1001, 0xFFFF)], [(0x1000, 0x1000)]),
    ],
    ids=["empty", "middle", "child at root.start", "child at root.end", "adjacent children", "full", "one byte"],
)
def test_gaps_lie_between_direct_children(children: list[tuple[int, int]], gaps: list[tuple[int, int]]) -> None:
    root = Resource("root", 0x1000, 0xFFFF)
    for start, end in children:
        assert root.request_resource(Resource("child", start, end)) is None
    assert list(root.gaps()) == gaps


def test_an_empty_root_has_no_gap() -> None:
    assert list(Resource("xen_resource", 0x80000000, 0x7FFFFFFF).gaps()) == []


def test_first_fit_takes_the_lowest_gap_not_the_best() -> None:
    root = Resource("root", 0, 0xFFFF)
    root.request_resource(Resource("A", 0x6000, 0x6FFF))
    root.request_resource(Resource("B", 0x8000, 0x8FFF))
    # The gap 0x7000-0x7fff would fit exactly; 0x0-0x5fff is lower.
    assert root.find_resource_space(0x1000, 0, TOP, 0x1000) == 0x0
    assert root.find_resource_space(0x6001, 0, TOP, 0x1000) == 0x9000
    assert root.find_resource_space(0x7000, 0, TOP, 0x1000) == 0x9000
    assert root.find_resource_space(0x7001, 0, TOP, 0x1000) is None


def test_bounds_clip_every_gap_and_are_inclusive() -> None:
    root = Resource("root", 0, 0xFFFF)
    assert root.find_resource_space(0x1000, 0x2001, TOP, 0x1000) == 0x3000
    assert root.find_resource_space(0x1000, 0x2000, 0x2FFF, 0x1000) == 0x2000
    assert root.find_resource_space(0x1000, 0x2000, 0x2FFE, 0x1000) is None
    assert root.find_resource_space(0x1000, 0x10000, TOP, 0x1000) is None


def test_candidates_name_every_gap_tried_and_stop_at_the_one_taken() -> None:
    root = Resource("root", 0x1800, 0xFFFF)
    root.request_resource(Resource("A", 0x2000, 0x2FFF))
    root.request_resource(Resource("B", 0x4800, 0x4FFF))
    root.request_resource(Resource("C", 0x8000, 0x8FFF))
    assert list(root.candidates(0x2000, 0x0, 0xBFFF, 0x1000)) == [
        Candidate(0x1800, 0x1FFF, 0x1800, 0x1FFF, None, False),
        Candidate(0x3000, 0x47FF, 0x3000, 0x47FF, 0x3000, False),
        Candidate(0x5000, 0x7FFF, 0x5000, 0x7FFF, 0x5000, True),
    ]
    assert list(root.candidates(0x4000, 0x6000, 0xBFFF, 0x1000))[-1] == Candidate(
        0x9000, 0xFFFF, 0x9000, 0xBFFF, 0x9000, False
    )


def test_aligning_past_the_end_of_the_address_space_rejects_the_gap() -> None:
    root = Resource("root", 0, TOP)
    root.request_resource(Resource("all but the tail", 0, TOP - 0x1000))
    # 0xfffffffffffff000 aligned up to 128 MiB is 2^64, which wraps to 0 in the kernel.
    assert root.find_resource_space(0x1000, 0, TOP, 0x8000000) is None
    assert root.find_resource_space(0x1000, 0, TOP, 0x1000) == 0xFFFFFFFFFFFFF000
    assert root.find_resource_space(0x1001, 0, TOP, 0x1000) is None


def test_the_last_section_below_2_to_the_64_can_be_taken() -> None:
    root = Resource("root", 0xFFFFFFFFF0000000, TOP)
    first, second = Resource("Xen scratch", 0, 0), Resource("Xen scratch", 0, 0)
    assert root.allocate_resource(first, 0x8000000, 0, TOP, 0x8000000)
    assert (first.start, first.end) == (0xFFFFFFFFF0000000, 0xFFFFFFFFF7FFFFFF)
    assert root.allocate_resource(second, 0x8000000, 0, TOP, 0x8000000)
    assert (second.start, second.end) == (0xFFFFFFFFF8000000, TOP)
    third = Resource("Xen scratch", 0, 0)
    assert not root.allocate_resource(third, 0x8000000, 0, TOP, 0x8000000)
    assert (third.start, third.end, third.parent) == (0, 0, None)


def test_walk_goes_in_address_order_depth_first() -> None:
    root = Resource("root", 0, 0xFFFF)
    b, a = Resource("b", 0x8000, 0x8FFF), Resource("a", 0x1000, 0x4FFF)
    root.request_resource(b)
    root.request_resource(a)
    a.request_resource(Resource("a2", 0x3000, 0x3FFF))
    a.request_resource(Resource("a1", 0x1000, 0x1FFF))
    assert [(depth, item.name) for depth, item in root.walk()] == [(0, "root"), (1, "a"), (2, "a1"), (2, "a2"), (1, "b")]


# A stupid model: the direct children are a plain list, everything is found byte by byte or by looking at all of it.

LAST = 63
ranges = st.tuples(st.integers(-2, LAST + 2), st.integers(-1, 20)).map(lambda pair: (pair[0], pair[0] + pair[1]))


class Flat:
    """Only direct children, as a list of inclusive ranges."""

    def __init__(self, start: int, end: int) -> None:
        self.start, self.end = start, end
        self.taken: list[tuple[int, int]] = []

    def free(self, address: int) -> bool:
        return self.start <= address <= self.end and not any(a <= address <= b for a, b in self.taken)

    def request(self, start: int, end: int) -> bool:
        if end < start or not all(self.free(address) for address in range(start, end + 1)):
            return False
        self.taken.append((start, end))
        return True

    def first_fit(self, size: int, low: int, high: int, align: int) -> int | None:
        for start in range(0, LAST + 1, align):
            inside = low <= start and start + size - 1 <= high
            if inside and all(self.free(address) for address in range(start, start + size)):
                return start
        return None


@settings(deadline=None)
@given(
    st.tuples(st.integers(0, 20), st.integers(30, LAST)),
    st.lists(ranges, max_size=12),
    st.integers(1, 24),
    st.tuples(st.integers(0, LAST), st.integers(0, LAST)),
    st.sampled_from([1, 2, 4, 8, 16]),
)
def test_requests_and_first_fit_equal_a_linear_scan(
    bounds: tuple[int, int], wanted: list[tuple[int, int]], size: int, limits: tuple[int, int], align: int
) -> None:
    root, model = Resource("root", *bounds), Flat(*bounds)
    for start, end in wanted:
        assert (root.request_resource(Resource("item", start, end)) is None) == model.request(start, end)
    assert [(item.start, item.end) for item in root.children] == sorted(model.taken)
    assert root.find_resource_space(size, *limits, align) == model.first_fit(size, *limits, align)
    covered = [address for start, end in root.gaps() for address in range(start, end + 1)]
    assert covered == [address for address in range(LAST + 1) if model.free(address)]


@settings(deadline=None)
@given(
    st.lists(ranges.filter(lambda item: 0 <= item[0] <= item[1] <= LAST), max_size=10),
    st.integers(1, 8),
    st.sampled_from([1, 4, 8]),
    st.integers(1, 6),
)
def test_allocating_until_refusal_gives_the_sections_of_a_scan(
    wanted: list[tuple[int, int]], size: int, align: int, times: int
) -> None:
    root, model = Resource("root", 0, LAST), Flat(0, LAST)
    for start, end in wanted:
        root.request_resource(Resource("item", start, end))
        model.request(start, end)
    for _ in range(times):
        expected = model.first_fit(size, 0, LAST, align)
        new = Resource("new", 0, 0)
        assert root.allocate_resource(new, size, 0, LAST, align) == (expected is not None)
        if expected is None:
            assert new.parent is None
            return
        assert (new.start, new.end) == (expected, expected + size - 1)
        model.taken.append((new.start, new.end))


class Nested:
    """Insert semantics over a set of ranges: laminar, each range's parent is the smallest one that holds it."""

    def __init__(self) -> None:
        self.items: list[tuple[int, int]] = []

    def insert(self, start: int, end: int) -> bool:
        if end < start or start < 0 or end > LAST:
            return False
        for a, b in self.items:
            apart = end < a or b < start
            within = a <= start and end <= b
            around = start <= a and b <= end
            if not (apart or within or around):
                return False
        self.items.append((start, end))
        return True

    def parents(self) -> dict[tuple[int, int], tuple[int, int]]:
        out: dict[tuple[int, int], tuple[int, int]] = {}
        for item in self.items:
            holders = [other for other in self.items if other != item and other[0] <= item[0] and item[1] <= other[1]]
            out[item] = min(holders, key=lambda other: other[1] - other[0], default=(0, LAST))
        return out


@settings(deadline=None)
@given(st.lists(ranges.filter(lambda item: item != (0, LAST)), max_size=14, unique=True))
def test_insert_keeps_the_tree_laminar(wanted: list[tuple[int, int]]) -> None:
    root, model = Resource("root", 0, LAST), Nested()
    for start, end in wanted:
        assert (root.insert_resource(Resource("item", start, end)) is None) == model.insert(start, end)
    found = {
        (item.start, item.end): (item.parent.start, item.parent.end) for _, item in root.walk() if item.parent is not None
    }
    assert found == model.parents()


def test_equal_ranges_nest_the_later_one_outside() -> None:
    root = Resource("root", 0, LAST)
    for name in ("first", "second", "third"):
        assert root.insert_resource(Resource(name, 8, 15)) is None
    assert [item.name for _, item in root.walk()] == ["root", "third", "second", "first"]
