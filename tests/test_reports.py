"""What people reported, each with the right answer (``fixtures/reports``, README there)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import FIXTURES
from tests.reports import unmet

CASES = sorted(path.parent for path in (FIXTURES / "reports").glob("*/expect.json"))
OTHERWISE = {
    # Kept as they came. Neither was booted; the replay of the allocator, which agrees with the boots that were, says otherwise.
    "cmdline-zimage-module": "1 GiB from 0x40000000 on cannot be free: the kernel module lies at 0x50000000",
    "frame-table-with-pdx": "with two CPUs that scrub, one of the possible starts is refused, and the worst start is the verdict",
}


def test_there_are_reports() -> None:
    assert len(CASES) >= 30
    assert set(OTHERWISE) <= {folder.name for folder in CASES}


@pytest.mark.parametrize("folder", CASES, ids=[folder.name for folder in CASES])
def test_a_report_is_answered_as_it_should_be(folder: Path, request: pytest.FixtureRequest) -> None:
    if folder.name in OTHERWISE:
        request.applymarker(pytest.mark.xfail(strict=True, reason=OTHERWISE[folder.name]))
    assert list(unmet(folder)) == []
