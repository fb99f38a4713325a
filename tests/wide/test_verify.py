"""``verify`` over every recorded boot in ``../shared``, from its files alone, and again with the logs damaged.

``python -m tests.wide.verify_truth ROOT...`` prints what differs.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dtanalyze.analysis.verify import Verified
from dtanalyze.errors import DtanalyzeError
from tests.evidence.noise import NOISE
from tests.wide.verify_truth import changed, verified

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
CASES = sorted(path for root in ("truth", "truth2") for path in (SHARED / root / "cases").glob("*"))
KNOWN = 0
"""Cases of an unchanged Xen in which something differs."""

pytestmark = pytest.mark.skipif(not CASES, reason=f"{SHARED}/truth is not there: recorded boots NOT verified")


def _said(folder: Path, noise: str) -> Verified | str:
    try:
        return verified(folder, NOISE[noise])
    except DtanalyzeError as error:
        return str(error)


def test_every_boot_agrees_but_those_that_are_known() -> None:
    differing, looked = [], 0
    for folder in CASES:
        if changed(folder):
            continue
        found = _said(folder, "as it is")
        looked += 1
        if isinstance(found, Verified) and (found.differences or found.wrong_pairing):
            differing.append((folder.name, [item.what for item in found.differences], found.wrong_pairing))
        elif isinstance(found, str):
            # 15c, 15c-…: Xen died without a word, and nothing was recorded.
            assert json.loads((folder / "case.json").read_text())["xen_version"] is None, (folder.name, found)
    assert looked > 780
    assert not [item for item in differing if item[2]], "no log is another board's"
    assert len(differing) <= KNOWN, differing


@pytest.mark.parametrize("noise", ["timestamps since boot, CRLF", "interleaved with dom0's console", "quoted-printable"])
def test_the_state_of_the_log_changes_nothing(noise: str) -> None:
    for folder in CASES[::4]:
        clean, damaged = _said(folder, "as it is"), _said(folder, noise)
        if isinstance(clean, str) or isinstance(damaged, str):
            assert clean == damaged
            continue
        wanted = [(item.what, item.predicted, item.seen, item.agrees) for item in clean.comparisons]
        assert [(item.what, item.predicted, item.seen, item.agrees) for item in damaged.comparisons] == wanted, folder.name
