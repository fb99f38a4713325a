"""Address translation against Xen's own code, on every board whose answers were recorded: ``make oracle``.

Needs the folder ``shared/oracle`` beside the repository, which is not part of it.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.tree import Tree
from tests.board.oracle_addresses import addresses, pci_ranges

ORACLE = Path(__file__).resolve().parents[2].parent / "shared" / "oracle"
RECORDS = ORACLE / "xen-master.jsonl.xz"
BOARDS = ORACLE / "linux-6.12-arm64-dtbs.tar.xz"

pytestmark = pytest.mark.skipif(
    not (RECORDS.is_file() and BOARDS.is_file()),
    reason=f"{ORACLE} is not there: 326 boards NOT compared with Xen's answers",
)

Compared = tuple[dict[str, Any], Tree]


def _compared() -> Iterator[Compared]:
    with lzma.open(RECORDS, "rt") as lines:
        records = {record["dtb"]: record for record in map(json.loads, lines)}
    with tarfile.open(BOARDS, "r|xz") as archive:  # a stream: the whole is never unpacked
        for member in archive:
            record = records.pop(member.name.removeprefix("./"), None)
            if record is not None:
                reader = archive.extractfile(member)
                assert reader is not None
                data = reader.read()
                assert hashlib.sha256(data).hexdigest() == record["sha256"], member.name
                yield record, parse(data)
    assert not records, f"not in the archive: {sorted(records)}"


@pytest.fixture(scope="module")
def compared() -> list[Compared]:
    return list(_compared())


def test_all_boards_are_there(compared: list[Compared]) -> None:
    assert len(compared) == 326


def test_addresses(compared: list[Compared]) -> None:
    wrong: list[str] = []
    total = failing = 0
    for record, tree in compared:
        recorded = record["raw"]["addresses"]
        total += len(recorded)
        failing += sum(rc != 0 for _, _, rc, _, _ in recorded)
        found = addresses(tree)
        if found != recorded:
            differ = [(mine, xen) for mine, xen in zip(found, recorded, strict=False) if mine != xen][:3]
            wrong.append(f"{record['dtb']}: {len(found)} entries, Xen has {len(recorded)}; {differ}")
    assert not wrong, "\n".join(wrong[:20])
    # Counted in the records themselves when this was written: 62 cannot be translated.
    assert (total, failing) == (41983, 62)


def test_pci_ranges(compared: list[Compared]) -> None:
    wrong = [record["dtb"] for record, tree in compared if pci_ranges(tree) != record["raw"]["pci_ranges"]]
    assert not wrong
    assert sum(len(record["raw"]["pci_ranges"]) for record, _ in compared) == 505
