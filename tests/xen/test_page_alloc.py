"""The two allocators: cases worked out by hand, and agreement with a replay page by page."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dtanalyze.address.units import MIB
from dtanalyze.xen.page_alloc import MAX_ORDER, BootAllocator, Heap, XenBug, bits_to_zone


def boot_of(*regions: tuple[int, int]) -> BootAllocator:
    """Return a boot allocator with these regions, in page frames."""
    boot = BootAllocator()
    for first, last in regions:
        boot.init_boot_pages(first << 12, last << 12)
    return boot


def blocks(heap: Heap) -> dict[tuple[int, int], list[int]]:
    """Return the lists that hold something, head first."""
    return {key: list(found) for key, found in heap.lists.items() if found}


def test_regions_are_whole_pages_in_ascending_order_and_stay_apart() -> None:
    boot = BootAllocator()
    for start, stop in ((0x5800, 0x8FFF), (0x1000, 0x3000), (0x3000, 0x4000), (0x9100, 0x9F00), (0xB000, 0xA000)):
        boot.init_boot_pages(start, stop)
    assert boot.regions == [(1, 3), (3, 4), (6, 8)]


@pytest.mark.parametrize("again", [(1, 2), (2, 6), (4, 9), (1, 9)])
def test_a_region_twice_is_a_bug(again: tuple[int, int]) -> None:
    with pytest.raises(XenBug, match=r"^Xen BUG at common/page_alloc\.c:308$"):
        boot_of((1, 3), (5, 8), again)


def test_there_is_room_for_256_regions() -> None:
    boot = boot_of(*((at * 4, at * 4 + 1) for at in range(1, 257)))
    with pytest.raises(XenBug):
        boot.init_boot_pages(0x2000, 0x3000)


def test_boot_pages_come_from_the_end_of_the_highest_region_that_fits() -> None:
    boot = boot_of((0x10, 0x40), (0x50, 0x58))
    assert boot.alloc_boot_pages(1) == 0x57
    assert boot.alloc_boot_pages(0x10) == 0x30, "seven pages are too few"
    assert boot.alloc_boot_pages(4, 4) == 0x50
    assert boot.regions == [(0x10, 0x30), (0x50, 0x50), (0x54, 0x57)], "what alignment left is a region of its own"
    assert boot.alloc_boot_pages(3) == 0x54
    assert boot.alloc_boot_pages(0x20) == 0x10
    with pytest.raises(XenBug):
        boot.alloc_boot_pages(1)


def test_the_lowest_region_goes_first_and_the_others_from_the_highest_down() -> None:
    heap = boot_of((0x100, 0x101), (0x110, 0x111), (0x120, 0x121)).end_boot_allocator(need_scrub=False)
    assert blocks(heap) == {(9, 0): [0x110, 0x120, 0x100]}, "each went to the head"
    heap = boot_of((0x100, 0x101), (0x110, 0x111), (0x120, 0x121)).end_boot_allocator(need_scrub=True)
    assert blocks(heap) == {(9, 0): [0x100, 0x120, 0x110]}, "dirty ones go to the tail"


def test_a_region_is_cut_at_its_alignment() -> None:
    heap = boot_of((0x103, 0x121)).end_boot_allocator(need_scrub=False)
    assert blocks(heap) == {(9, 0): [0x120, 0x103], (9, 2): [0x104], (9, 3): [0x108], (9, 4): [0x110]}


def test_frame_0_is_no_heap_and_no_block_is_larger_than_a_gib() -> None:
    heap = boot_of((0, 4), (0x80000, 0x100000)).end_boot_allocator(need_scrub=False)
    assert blocks(heap) == {(1, 0): [1], (2, 1): [2], (20, MAX_ORDER): [0xC0000, 0x80000]}


def test_buddies_become_one_block_and_others_do_not() -> None:
    heap = Heap()
    heap.free_heap_pages(0x101, 0, need_scrub=False)
    heap.free_heap_pages(0x102, 0, need_scrub=False)
    assert blocks(heap) == {(9, 0): [0x102, 0x101]}
    heap.free_heap_pages(0x100, 0, need_scrub=False)
    assert blocks(heap) == {(9, 0): [0x102], (9, 1): [0x100]}
    heap.free_heap_pages(0x103, 0, need_scrub=True)
    assert blocks(heap) == {(9, 2): [0x100]}
    assert heap.free[0x100].first_dirty == 3


def test_a_larger_block_is_halved_and_its_upper_end_handed_out() -> None:
    heap = boot_of((0x200, 0x208)).end_boot_allocator(need_scrub=False)
    assert heap.alloc_heap_pages(20, 1) == 0x206
    assert blocks(heap) == {(10, 1): [0x204], (10, 2): [0x200]}


def test_the_highest_zone_first_and_in_it_the_smallest_block() -> None:
    heap = boot_of((0x200, 0x202), (0x400, 0x404), (0x410, 0x412)).end_boot_allocator(need_scrub=False)
    assert [heap.alloc_heap_pages(20, 1) for _ in range(4)] == [0x410, 0x402, 0x400, 0x200]
    assert heap.alloc_heap_pages(20, 1) is None


def test_no_zone_above_the_allowed_one() -> None:
    heap = boot_of((0x200, 0x202), (0x400, 0x404)).end_boot_allocator(need_scrub=False)
    assert heap.alloc_heap_pages(10, 0) == 0x201
    assert heap.alloc_heap_pages(10, 1) is None
    assert (bits_to_zone(32), bits_to_zone(13), bits_to_zone(3)) == (20, 1, 1)


def test_each_search_for_clean_blocks_turns_the_lists_by_one() -> None:
    heap = boot_of((0x100, 0x102), (0x110, 0x112), (0x120, 0x122)).end_boot_allocator(need_scrub=True)
    assert blocks(heap) == {(9, 1): [0x100, 0x120, 0x110]}
    assert heap.alloc_heap_pages(20, 1) == 0x120, "the first look put 0x100 behind the others"
    assert heap.alloc_heap_pages(20, 1) == 0x100, "and the second 0x110"
    assert heap.alloc_heap_pages(20, 1) == 0x110


def test_single_pages_and_xens_own_are_taken_dirty() -> None:
    heap = boot_of((0x100, 0x101), (0x110, 0x111)).end_boot_allocator(need_scrub=True)
    assert heap.alloc_heap_pages(20, 0) == 0x100
    heap = boot_of((0x100, 0x102), (0x110, 0x112)).end_boot_allocator(need_scrub=True)
    assert heap.alloc_heap_pages(20, 1, no_scrub=True) == 0x100


def test_a_clean_block_is_preferred_wherever_it_is() -> None:
    heap = boot_of((0x100, 0x104), (0x200, 0x202)).end_boot_allocator(need_scrub=True)
    assert heap.scrub(1)
    assert heap.alloc_heap_pages(20, 1) == 0x102, "a lower zone, and a larger block"
    assert heap.alloc_heap_pages(20, 1) == 0x100


def test_scrubbing_begins_with_the_lowest_zone_the_largest_order_and_the_tail() -> None:
    heap = boot_of((0x100, 0x102), (0x110, 0x112), (0x120, 0x124), (0x200, 0x208)).end_boot_allocator(need_scrub=True)
    order = []
    while heap.scrub(1):
        order += [mfn for mfn, buddy in heap.free.items() if buddy.first_dirty is None and mfn not in order]
    assert order == [0x120, 0x110, 0x100, 0x200]
    assert not heap.scrub(1)
    assert blocks(heap)[9, 1] == [0x100, 0x110], "what is clean lies at the head, the last one first"


def test_the_dirty_part_of_a_block_stays_what_it_is_when_it_is_split() -> None:
    heap = Heap()
    for mfn, need_scrub in ((0x200, False), (0x204, True)):
        heap.free_heap_pages(mfn, 2, need_scrub=need_scrub)
    assert heap.free[0x200].first_dirty == 4
    assert heap.alloc_heap_pages(20, 1) == 0x206
    assert {mfn: buddy.first_dirty for mfn, buddy in heap.free.items()} == {0x200: None, 0x204: 0}


def test_a_copy_is_another_heap() -> None:
    heap = boot_of((0x100, 0x103)).end_boot_allocator(need_scrub=False)
    other = heap.copy()
    assert other.signature() == heap.signature()
    other.alloc_heap_pages(20, 0)
    assert other.signature() != heap.signature()
    assert blocks(heap.copy(1)) == {(9, 1): [0x100]}


PAGES = 64 * MIB >> 12
BASE = 0xC000
"""64 MiB from 0xc000000 to 0x10000000: two zones, and blocks up to order 14."""


class PageByPage:
    """The stupid model: every page has a state, and blocks are found by looking at all of their pages."""

    def __init__(self) -> None:
        self.free = [False] * PAGES
        self.dirty = [False] * PAGES
        self.order: dict[int, int] = {}
        self.lists: dict[tuple[int, int], list[int]] = {}

    def zone(self, page: int) -> int:
        return (BASE + page).bit_length()

    def add(self, page: int, order: int) -> None:
        self.order[page] = order
        found = self.lists.setdefault((self.zone(page), order), [])
        found.insert(len(found) if any(self.dirty[page : page + (1 << order)]) else 0, page)

    def give(self, page: int, dirty: bool) -> None:
        """Free one page, as releases up to 4.16 do with all of the heap."""
        self.free[page], self.dirty[page], order = True, dirty, 0
        while order < MAX_ORDER:
            buddy = (BASE + page ^ 1 << order) - BASE
            if not 0 <= buddy < PAGES or self.order.get(buddy) != order:
                break
            self.lists[self.zone(buddy), order].remove(buddy)
            del self.order[buddy]
            page, order = min(page, buddy), order + 1
        self.add(page, order)

    def take(self, zone_hi: int, order: int) -> int | None:
        for dirty_too in (False, True):
            for zone in range(zone_hi, 0, -1):
                for have in range(order, MAX_ORDER + 1):
                    found = self.lists.get((zone, have))
                    if not found:
                        continue
                    page = found.pop(0)
                    if dirty_too or order == 0 or not any(self.dirty[page : page + (1 << have)]):
                        return self.split(page, have, order)
                    found.append(page)
        return None

    def split(self, page: int, have: int, order: int) -> int:
        del self.order[page]
        while have > order:
            have -= 1
            self.add(page, have)
            page += 1 << have
        for at in range(page, page + (1 << order)):
            self.free[at] = self.dirty[at] = False
        return page


REGIONS = st.lists(st.integers(0, PAGES), min_size=2, max_size=10, unique=True).map(sorted)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.integers(13, 17), st.integers(0, 14)),
        st.tuples(st.just("give"), st.booleans(), st.integers(0, 20)),
    ),
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@given(REGIONS, STEPS, st.booleans())
def test_the_replay_by_blocks_is_that_by_pages(
    edges: list[int], steps: list[tuple[str, int, int]], need_scrub: bool
) -> None:
    regions = list(zip(edges[::2], edges[1::2], strict=False))
    boot = boot_of(*((BASE + first, BASE + last) for first, last in regions))
    heap, model = boot.end_boot_allocator(need_scrub=need_scrub), PageByPage()
    for first, last in (*regions[:1], *reversed(regions[1:])):
        for page in range(first, last):
            model.give(page, need_scrub)
    taken: list[tuple[int, int]] = []
    for what, one, other in steps:
        if what == "take":
            mine, theirs = heap.alloc_heap_pages(one, other), model.take(one, other)
            assert mine == (None if theirs is None else BASE + theirs)
            if mine is not None:
                taken.append((mine, other))
        elif taken:
            mfn, order = taken.pop(other % len(taken))
            heap.free_heap_pages(mfn, order, need_scrub=bool(one))
            for at in range(1 << order):
                model.give(mfn - BASE + at, bool(one))
        same = {key: [BASE + page for page in found] for key, found in model.lists.items() if found}
        assert blocks(heap) == same


def test_bad_pages_are_taken_out_of_every_region() -> None:
    """badpage= is looked at after each region: whole, at either end, in the middle, past it."""
    boot = BootAllocator(bad=((0x10, 0x12), (0x1F, 0x25), (0x30, 0x40), (0x47, 0x48)))
    for first, last in ((0x10, 0x20), (0x24, 0x28), (0x31, 0x3F), (0x44, 0x4A)):
        boot.init_boot_pages(first << 12, last << 12)
    assert [item for item in boot.regions if item[0] < item[1]] == [(0x12, 0x1F), (0x25, 0x28), (0x44, 0x47), (0x48, 0x4A)]
    with pytest.raises(XenBug, match=r":463$"):
        boot.alloc_boot_pages(0x20)
    with pytest.raises(XenBug, match=r":429$"):
        BootAllocator().alloc_boot_pages(1)
