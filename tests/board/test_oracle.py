"""What Xen's own code answered for the shipped boards: every address of every node, every PCI range."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from dtanalyze.devicetree.blob import parse
from tests.board.oracle_addresses import addresses, pci_ranges
from tests.conftest import FIXTURES

with (FIXTURES / "oracle" / "master.jsonl").open() as _lines:
    RECORDS: list[dict[str, Any]] = [json.loads(line) for line in _lines]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record["dtb"].removeprefix("6.12/"))
def test_shipped_board(record: dict[str, Any]) -> None:
    name = record["dtb"].removeprefix("6.12/").replace("/", "-")
    data = (FIXTURES / "dtb" / "boards" / name).read_bytes()
    assert hashlib.sha256(data).hexdigest() == record["sha256"]
    tree = parse(data)
    assert addresses(tree) == record["raw"]["addresses"]
    assert pci_ranges(tree) == record["raw"]["pci_ranges"]


def test_there_is_something_to_compare() -> None:
    counted = [item for record in RECORDS for item in record["raw"]["addresses"]]
    assert len(RECORDS) == 14
    assert len(counted) > 1000
    assert sum(rc != 0 for _, _, rc, _, _ in counted) >= 4
