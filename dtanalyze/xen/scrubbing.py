"""Where dom0's RAM may land while idle CPUs clean the heap.

By default (``bootscrub=idle``) all of the heap is dirty at first. Each CPU that has nothing to do runs scrub_free_pages
(common/page_alloc.c): it cleans one block after the other, and a clean block moves to the head of its list. CPU 0 builds
dom0 meanwhile, so how far the others have come at each of its requests depends on the start. The same tree then boots with
other banks, or panics, from one start to the next.

What can come out is still countable. The others clean in a fixed order, so each request sees the heap after some number of
steps, at least as many as the request before. Those numbers are tried; where there are too many, some marked ones are.
Left out: a block of which half is clean when it is split.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from dtanalyze.xen.allocate_memory import Dom0Allocation, Dom0Memory
from dtanalyze.xen.page_alloc import MAX_ORDER

__all__ = ["Outcomes", "under_scrubbing"]

_PACE: Final = 3
"""Blocks that the idle CPUs clean while CPU 0 cleans the one that it takes for dom0."""
_MOST_HEAPS: Final = 250
"""Heaps looked at before only some outcomes are named: a few milliseconds."""
_MOST_OUTCOMES: Final = 8
_MOST_BLOCKS: Final = 1024
"""Blocks of a heap beyond which only two outcomes are named: boards with a tebibyte of RAM and more."""
_ALL: Final = 1 << 20


class Outcomes(NamedTuple):
    """What may come out, the likely one first; ``complete`` says that there are no others."""

    found: tuple[Dom0Memory, ...]
    complete: bool


def under_scrubbing(dom0: Dom0Allocation) -> Outcomes:
    """Return what may become of dom0's RAM when other CPUs clean the heap at the same time; ``dom0`` is left as it is.

    The likely one: nothing is clean when CPU 0 takes the first block; while it cleans that one, the others clean three.
    Of 23 recorded boots that ended alike each time 22 had these banks.
    """
    likely = _at_pace(dom0, 0, _PACE)
    if len(dom0.heap.free) > _MOST_BLOCKS:
        return Outcomes(tuple(dict.fromkeys([likely, _at_pace(dom0, 0, 0)])), complete=False)
    found = dict.fromkeys([likely])
    for item in _every(_of_large_blocks(dom0)):
        if item is not None:
            found.setdefault(item)
        if item is None or len(found) > _MOST_OUTCOMES:
            some = dict.fromkeys([likely, *_marked(dom0)])
            return Outcomes(tuple(some)[:_MOST_OUTCOMES], complete=False)
    return Outcomes(tuple(found), complete=True)


def _of_large_blocks(dom0: Dom0Allocation) -> Dom0Allocation:
    """Return the allocation without the blocks that are smaller than any it asks for: how clean those are changes nothing.

    When not all can be had, Xen comes down to 4 MiB.
    """
    trial, least = dom0.copy(), MAX_ORDER
    while (request := trial.request()) is not None:
        least = min(least, request[0])
        if not trial.take(*request):
            break
    return dom0.copy(least if not trial.unassigned else min(least, trial.min_order))


def _at_pace(dom0: Dom0Allocation, ahead: int, each: int) -> Dom0Memory:
    """Return the outcome when ``ahead`` blocks are clean at the start and ``each`` more after every block taken."""
    trial = dom0.copy()
    trial.heap.scrub(ahead)
    while (request := trial.request()) is not None and trial.take(*request):
        trial.heap.scrub(each)
    return trial.result()


def _marked(dom0: Dom0Allocation) -> Iterator[Dom0Memory]:
    """Yield the outcomes at the ends, nothing cleaned and all, and some between."""
    for ahead, each in ((0, 0), (_ALL, 0), (0, 1), (0, _ALL), (1, 0), (2, 1), (3, 0), (6, 0), (9, 0)):
        yield _at_pace(dom0, ahead, each)


def _every(dom0: Dom0Allocation) -> Iterator[Dom0Memory | None]:
    """Yield every outcome, request by request over all numbers of steps; None when there are too many heaps."""
    states, seen = [dom0.copy()], 0
    while states:
        following: dict[object, Dom0Allocation] = {}
        for state in states:
            request = state.request()
            if request is None:
                yield state.result()
                continue
            while True:
                seen += 1
                if seen > _MOST_HEAPS:
                    yield None
                    return
                after = state.copy()
                if after.take(*request):
                    following.setdefault(after.signature(), after)
                else:
                    yield after.result()
                if not state.heap.scrub(1):
                    break
        states = list(following.values())
