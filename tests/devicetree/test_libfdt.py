"""The reader against libfdt's full check: never laxer, stricter in named ways only, the same tree where both take a blob.

``python -m tests.fuzz.agreement`` goes on from here.
"""

from __future__ import annotations

import random
from collections import Counter

import pytest

from tests.conftest import FIXTURES
from tests.fuzz.agreement import STRICTER, DisagreementError, compared
from tests.fuzz.flat import damaged, pieces
from tests.fuzz.libfdt import Flat, Libfdt, library
from tests.raw_blobs import EMPTY_ROOT, END, END_NODE, NOP, begin, blob, prop

SMALL = "boots/07a-domU-256M"
MUTANTS = 250
LIBRARY = library()
needs_libfdt = pytest.mark.skipif(
    LIBRARY is None, reason="libfdt is not there (Debian: libfdt1): the reader is not compared with it"
)

LAXER = {
    "format versions below 16": blob(version=15, last_comp_version=15),
    "names that are no printable ASCII": blob(begin() + begin(b"a\x7f") + END_NODE * 2 + END),
    "empty names": blob(begin() + prop(1) + END_NODE + END, b"a\0"),
    "names above 255 characters": blob(begin() + begin(b"n" * 256) + END_NODE * 2 + END),
    "names outside the strings block": blob(
        begin() + prop(0) + END_NODE + END, b"a\0", version=16, order="rsvmap strings struct", size_dt_strings=1
    ),
    "properties behind subnodes": blob(begin() + begin(b"a") + END_NODE + prop(0) + END_NODE + END, b"a\0"),
    "properties outside the root": blob(prop(0) + EMPTY_ROOT, b"a\0"),
    "no root at all": blob(NOP + END),
    "reservations of size zero": blob(reservations=[(0x1000, 0)]),
    "a reservation block at an odd place": blob(
        EMPTY_ROOT, bytes(28), order="struct strings rsvmap", off_mem_rsvmap=60, size_dt_strings=0
    ),
    "blocks that overlap": blob(EMPTY_ROOT, bytes(16), off_mem_rsvmap=72),
    "more than a real tree has": blob(begin() + begin(b"n") * 64 + END_NODE * 65 + END),
}
"""A blob of each kind, the smallest that is wrong in that way alone."""


@needs_libfdt
@pytest.mark.parametrize(("kind", "data"), LAXER.items(), ids=LAXER)
def test_each_strictness_is_one_that_libfdt_has_not(kind: str, data: bytes) -> None:
    assert LIBRARY is not None and compared(data, LIBRARY) == kind


def test_each_strictness_is_told_with_its_reason() -> None:
    page = (FIXTURES.parent / "docs" / "safety.md").read_text()
    rows = [
        line.split("|")[1].strip() for line in page.partition("## Stricter than libfdt")[2].splitlines() if line[:1] == "|"
    ]
    assert list(STRICTER) == list(LAXER) == rows[2:]


@needs_libfdt
@pytest.mark.parametrize(
    "data",
    [
        blob(version=16, last_comp_version=17),
        blob(begin() + END_NODE + NOP + END),
        blob(off_dt_strings=36, size_dt_strings=0),
        blob(begin() + prop(2) + END_NODE + END, b"a\0"),
    ],
    ids=["version", "token", "block", "name"],
)
def test_what_libfdt_refuses_is_refused(data: bytes) -> None:
    assert LIBRARY is not None and compared(data, LIBRARY) == "both refuse"


@needs_libfdt
def test_on_damaged_blobs() -> None:
    assert LIBRARY is not None
    good, chance = pieces((FIXTURES / "dtb" / f"{SMALL}.dtb").read_bytes()), random.Random("libfdt")
    seen = Counter(compared(damaged(good, chance), LIBRARY) for _ in range(MUTANTS))
    assert seen["same"] > MUTANTS // 10 and seen["both refuse"] > MUTANTS // 10
    assert len(seen) > 5, "the damages are all of one kind"


class Other(Libfdt):
    """A library that says what it is told to."""

    def __init__(self, error: int) -> None:
        self.error = error

    def check(self, data: bytes) -> int:
        return self.error

    def read(self, data: bytes) -> Flat:
        return Flat((), (), 0)


def test_a_disagreement_is_seen() -> None:
    with pytest.raises(DisagreementError, match="the reader takes it"):
        compared(blob(), Other(11))
    with pytest.raises(DisagreementError, match="different trees"):
        compared(blob(), Other(0))
    with pytest.raises(DisagreementError, match="no kind of strictness holds"):
        compared(b"", Other(0))
