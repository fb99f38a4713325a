"""The shipped boards against the recorded answers of the real Xen code, five releases."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from dtanalyze.xen.profile import preset
from tests.xen.oracle import disagreements

FIXTURES = Path(__file__).parents[2] / "fixtures"
RELEASES = sorted(path.stem for path in (FIXTURES / "oracle").glob("*.jsonl"))


def _records(release: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FIXTURES / "oracle" / f"{release}.jsonl").read_text().splitlines()]


def _blob(record: dict[str, Any]) -> bytes:
    vendor, name = record["dtb"].split("/")[-2:]
    return (FIXTURES / "dtb" / "boards" / f"{vendor}-{name}").read_bytes()


def test_five_releases_are_shipped() -> None:
    assert RELEASES == ["4.17.7", "4.18.6", "4.19.6", "4.20.4", "master"]


@pytest.mark.parametrize("release", RELEASES)
def test_every_recorded_answer_agrees(release: str) -> None:
    records = _records(release)
    assert len(records) >= 12
    tally: Counter[str] = Counter()
    found = [line for record in records for line in disagreements(record, _blob(record), preset(release), tally)]
    assert found == []
    assert tally["holes"] >= 3 * len(records)
