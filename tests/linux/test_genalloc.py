"""The pool of the xen-troops fork, against pages in a list, and what requests get from it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from dtanalyze.linux.genalloc import GenPool, PageRun
from dtanalyze.linux.profile import FORKS, PRESETS
from tests.linux.build import answer, guest

TROOPS = FORKS["xen-troops"]
S = 0x8000000
TWO = [(0x100000000, S), (0x200000000, 3 * S)]


def taken(*requests: int, regions: list[tuple[int, int]] = TWO) -> list[int | None]:
    result = answer(guest(regions), TROOPS, requests=requests)
    assert result.answer is not None
    return [request.taken.start if request.taken is not None else None for request in result.answer.requests]


def first_pages(*requests: int) -> list[int | None]:
    result = answer(guest(TWO), TROOPS, requests=requests)
    assert result.answer is not None
    return [request.first_page for request in result.answer.requests]


def test_pages_come_ascending_where_the_list_hands_out_the_last_first() -> None:
    assert first_pages(1) == [0x100000000]
    mainline = answer(guest(TWO), PRESETS["6.12"], requests=(1,))
    assert mainline.answer is not None
    assert mainline.answer.requests[0].first_page == 0x107FFF000


def test_a_request_larger_than_any_chunk_asks_for_all_of_its_pages() -> None:
    """The list of mainline would ask for the 32769 pages that it lacks; both are two sections here, three make it differ."""
    assert taken(32768, 65537) == [0x100000000, 0x200000000]
    result = answer(guest(TWO), TROOPS, requests=(32768, 32769))
    assert result.answer is not None
    second = result.answer.requests[1].taken
    assert second is not None
    assert (second.start, second.size) == (0x200000000, 2 * S)
    mainline = answer(guest(TWO), PRESETS["6.12"], requests=(32768, 32769))
    assert mainline.answer is not None
    other = mainline.answer.requests[1].taken
    assert other is not None
    assert (other.start, other.size) == (0x200000000, S)


def test_the_newest_chunk_serves_first() -> None:
    assert taken(32768, 40000, 1) == [0x100000000, 0x200000000, None]
    assert first_pages(32768, 40000, 1)[2] == 0x200000000


def test_what_fits_nowhere_fails_as_in_mainline() -> None:
    result = answer(guest(TWO), TROOPS, requests=(4 * 32768,))
    assert result.answer is not None
    (request,) = result.answer.requests
    assert (request.error, request.message) == ("EBUSY", "Cannot allocate new IOMEM resource")


class Pages:
    """lib/genalloc.c with one flag for each page."""

    def __init__(self) -> None:
        self.chunks: list[tuple[int, list[bool]]] = []

    def add(self, first: int, pages: int) -> None:
        self.chunks.insert(0, (first, [True] * pages))

    def pop(self, pages: int) -> int | None:
        for first, free in self.chunks:
            best: tuple[int, int] | None = None
            at = 0
            while at < len(free):
                end = at
                while end < len(free) and free[end]:
                    end += 1
                if end - at >= pages and (best is None or end - at < best[0]):
                    best = (end - at, at)
                at = max(end, at + 1)
            if best is not None:
                free[best[1] : best[1] + pages] = [False] * pages
                return first + best[1]
        return None

    def push(self, first: int, pages: int) -> None:
        for start, free in self.chunks:
            if start <= first < start + len(free):
                free[first - start : first - start + pages] = [True] * pages


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["add", "pop", "push"]), st.integers(1, 9)), max_size=30))
def test_the_pool_equals_one_flag_for_each_page(steps: list[tuple[str, int]]) -> None:
    pool, model = GenPool(), Pages()
    held: list[PageRun] = []
    top = 0
    for what, number in steps:
        if what == "add":
            pool.add(PageRun(top, number, 1))
            model.add(top, number)
            top += number + number % 3  # chunks may touch and stay chunks
        elif what == "pop":
            runs = pool.pop(number)
            assert [run.first for run in runs] == [first for first in [model.pop(number)] if first is not None]
            assert all((run.pages, run.step) == (number, 1) for run in runs)
            held += runs
        elif held:
            run = held.pop(number % len(held))
            pool.push(run)
            model.push(run.first, run.pages)
        assert pool.count == sum(sum(free) for _, free in model.chunks)
