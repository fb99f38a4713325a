"""What got worse from one tree to another, and which region is another one now."""

from __future__ import annotations

import pytest

from dtanalyze.controls.difference import Moved, changes
from dtanalyze.facts import CheckResult
from dtanalyze.findings import Severity
from tests.linux.build import answer, guest

MIB = 1 << 20
FREE = [(0x80000000, 512 * MIB)]
ROGUE = "dev@90000000 { reg = <0 0x90000000 0 0x1000>; };"


def worse(old: list[CheckResult], new: list[CheckResult], threshold: Severity | None = Severity.ERROR) -> bool:
    return any(item.is_worse(threshold) for item in changes(old, new))


def test_a_domain_that_comes_or_goes() -> None:
    """A domain that is gone is worse; one that comes is worse when it brings findings."""
    good, bad = answer(guest(FREE))._replace(findings=()), answer(guest(FREE, ROGUE))
    assert not worse([good], [good, good._replace(domain="/chosen/a")])
    assert worse([good], [good, bad._replace(domain="/chosen/a")])
    assert worse([good, good._replace(domain="/chosen/a")], [good])
    assert [item.is_empty for item in changes([good], [good, good._replace(domain="/chosen/a")])] == [True, False]


def test_never_means_never() -> None:
    good, bad = answer(guest(FREE))._replace(findings=()), answer(guest(FREE, ROGUE))
    assert worse([good], [bad])
    assert not worse([good], [bad], None)
    assert not worse([good], [], None)
    assert not worse([bad], [good])


@pytest.mark.parametrize(
    ("old", "new", "gained", "lost", "moved"),
    [
        pytest.param([(8, 4)], [(8, 4)], 0, 0, 0, id="the same"),
        pytest.param([(8, 4)], [(16, 4)], 0, 0, 1, id="elsewhere, as large"),
        pytest.param([(8, 4)], [(10, 6)], 0, 0, 1, id="larger, over the old one"),
        pytest.param([(8, 4)], [(12, 2)], 1, 1, 0, id="beside the old one, of another size"),
        pytest.param([(12, 2)], [(8, 4)], 1, 1, 0, id="before the old one, of another size"),
        pytest.param([(8, 4)], [(8, 4), (16, 2)], 1, 0, 0, id="one more"),
        pytest.param([(8, 4), (16, 2)], [(8, 4)], 0, 1, 0, id="one less"),
    ],
)
def test_regions(old: list[tuple[int, int]], new: list[tuple[int, int]], gained: int, lost: int, moved: int) -> None:
    """In units of 256 MiB."""
    before, after = (answer(guest([(at << 28, size << 28) for at, size in regions])) for regions in (old, new))
    (found,) = changes([before], [after])
    assert (len(found.gained), len(found.lost), len(found.moved)) == (gained, lost, moved)
    assert all(isinstance(item, Moved) and item.old != item.new for item in found.moved)
