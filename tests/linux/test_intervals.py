"""Items by the addresses that they take, against a list that is looked through."""

from hypothesis import event, given
from hypothesis import strategies as st

from dtanalyze.linux.intervals import FEW, Intervals

SPANS = st.lists(st.tuples(st.integers(0, 400), st.integers(1, 40)), max_size=2 * FEW)


@given(SPANS, st.data())
def test_against_a_list(drawn: list[tuple[int, int]], data: st.DataObject) -> None:
    held: Intervals[str] = Intervals()
    plain: list[tuple[int, int, str]] = []
    for number, (start, size) in enumerate(drawn):
        held.add(start, start + size, f"item {number}")
        plain.append((start, start + size, f"item {number}"))
        if number % 3 == 2:
            gone = plain.pop(data.draw(st.integers(0, len(plain) - 1)))
            held.remove(*gone)
    event("in a tree" if len(drawn) * 2 // 3 > FEW else "looked through")
    assert bool(held) is bool(plain)
    assert sorted(held.items()) == sorted(item for _, _, item in plain)
    start_of = {item: start for start, _, item in plain}
    for begin in (0, 1, 57, 200, 399, 439):
        for size in (1, 33):
            found = held.overlapping(begin, begin + size)
            assert sorted(found) == sorted(item for start, stop, item in plain if start < begin + size and begin < stop)
            assert [start_of[item] for item in found] == sorted(start_of[item] for item in found)


def test_what_is_not_there_cannot_be_taken_out() -> None:
    held: Intervals[str] = Intervals()
    held.add(0, 10, "one")
    for wrong in ((0, 10, "other"), (0, 9, "one"), (1, 10, "one")):
        try:
            held.remove(*wrong)
        except ValueError:
            continue
        raise AssertionError(wrong)
