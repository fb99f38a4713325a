"""What may come out when idle CPUs clean the heap while dom0 is built."""

from __future__ import annotations

import time

from dtanalyze.address.units import GIB, MIB
from dtanalyze.xen.allocate_memory import Dom0Allocation
from dtanalyze.xen.scrubbing import Outcomes, under_scrubbing
from tests.xen.test_allocate_memory import heap_of, spelled


def outcomes(*free: tuple[int, int], wanted: int) -> Outcomes:
    """Return what may become of a dom0 in this heap, all of it dirty at first."""
    return under_scrubbing(Dom0Allocation(heap_of(*free, need_scrub=True), wanted, 32, 256))


def starts(found: Outcomes) -> list[list[int]]:
    """Return where the banks of each outcome begin, in MiB."""
    return sorted([start // MIB for start, _ in spelled(item)] for item in found.found)


def test_one_block_is_one_outcome() -> None:
    found = outcomes((0x40000000, 0x60000000), (0x80000000, 0x100000000), wanted=512 * MIB)
    assert found.complete
    assert starts(found) == [[1024]], "the lowest zone has one block of 512 MiB"


def test_a_clean_larger_block_is_preferred_to_a_dirty_one_of_the_right_size() -> None:
    """512 MiB at 0xc0000000, or the upper half of the GiB below once that is clean: orders are cleaned from the largest down."""
    found = outcomes((0x80000000, 0xE0000000), wanted=512 * MIB)
    assert found.complete
    assert starts(found) == [[0xA00], [0xC00]]


def test_two_equal_blocks_are_two_outcomes() -> None:
    """The list is 0x80000000, 0xc0000000; the search that fails turns it, the cleaning takes its tail."""
    found = outcomes((0x80000000, 0xA0000000), (0xC0000000, 0xE0000000), wanted=512 * MIB)
    assert starts(found) == [[0x800], [0xC00]]


def test_a_start_may_panic_and_the_next_may_not() -> None:
    """64 MiB below bank 0 are refused: where bank 0 is the upper block, what is left of the lower does not help."""
    found = outcomes((0x80000000, 0x88000000), (0xA0000000, 0xA4000000), (0xC0000000, 0xC8000000), wanted=192 * MIB)
    assert found.complete
    assert {item.unallocated // MIB for item in found.found} == {0, 64}


def test_many_combinations_are_told_by_some_and_in_time() -> None:
    regions = [(0x40000000 + at * 0x5000000, 0x44300000 + at * 0x5000000) for at in range(24)]
    started = time.monotonic()
    found = outcomes(*regions, wanted=495 * MIB)
    assert time.monotonic() - started < 2
    assert not found.complete
    assert 2 <= len(found.found) <= 8
    assert len(set(found.found)) == len(found.found)


def test_the_heap_that_is_asked_about_is_left_alone() -> None:
    heap = heap_of((0x80000000, 0xE0000000), need_scrub=True)
    before = heap.signature()
    under_scrubbing(Dom0Allocation(heap, GIB, 32, 256))
    assert heap.signature() == before


def test_a_heap_of_tebibytes_is_answered_in_time() -> None:
    started = time.monotonic()
    found = outcomes((0x40000000, 2 << 40), wanted=495 * MIB)
    assert time.monotonic() - started < 2
    assert not found.complete
    assert len(found.found) <= 2
