"""Batches: memory does not grow with the number of trees, and what is kept on disk is what is reported."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dtanalyze.cli.kept import Kept, Seen
from dtanalyze.findings import Severity
from dtanalyze.report import FORMATS, rendered, sarif
from dtanalyze.report.naming import placed
from tests.cli.test_cli import ROOT
from tests.report.made import CONFLICT, NATIVE, report

BOARD = ROOT / "fixtures" / "dtb" / "boots" / "09a-noiommu-rogue-in-ram.dtb"
MEASURED = """
import resource
from dtanalyze.cli import main
try:
    main()
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_a_kept_sequence_is_a_list() -> None:
    kept: Kept[tuple[int, str]] = Kept()
    items = [(number, "x" * number) for number in range(50)]
    for item in items:
        kept.append(item)
    assert list(kept) == list(kept) == items and len(kept) == 50
    assert kept[-1] == items[-1] and kept[20] == items[20] and list(kept[10:30:3]) == items[10:30:3]
    with pytest.raises(IndexError):
        kept[50]
    seen = Seen(kept, lambda item: item[0])
    assert list(seen) == list(range(50)) and len(seen) == 50 and seen[40] == 40 and list(seen[:2]) == [0, 1]
    both = [(one, other) for one, other in zip(kept, kept, strict=True)]
    assert both == list(zip(items, items, strict=True)), "two readers at once"


def run(place: Path, *argv: str) -> int:
    """Run a check; return the most memory that it takes, in KiB."""
    ran = subprocess.run(
        [sys.executable, "-c", MEASURED, "check", "--fail-on", "never", *argv],
        cwd=place, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=True,
    )  # fmt: skip
    return int(ran.stdout)


def test_sixteen_times_the_trees_take_no_more_memory_in_any_format(tmp_path: Path) -> None:
    shutil.copy(BOARD, tmp_path / "board.dtb")
    outputs = [word for name in FORMATS for word in ("--format", name, "-o", f"out.{name}")]
    few, many = (run(tmp_path, *outputs, *["board.dtb"] * count) for count in (12, 192))
    assert many <= 1.25 * few, (few, many)


def test_every_tree_of_a_batch_is_there(tmp_path: Path) -> None:
    for number in range(40):
        shutil.copy(BOARD, tmp_path / f"b{number:02}.dtb")
    run(tmp_path, ".", "--jobs", "2", "--format", "json", "-o", "out")
    answer = json.loads((tmp_path / "out").read_text())
    assert [item["path"] for item in answer["results"]] == [f"./b{number:02}.dtb" for number in range(40)]
    one = answer["results"][0]
    assert all({**item, "path": ""} == {**one, "path": ""} for item in answer["results"])


def test_sarif_keeps_to_what_its_readers_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worst stay; what is left out is counted."""
    monkeypatch.setattr(sarif, "MOST_RESULTS", 3)
    asked = report(NATIVE, CONFLICT, NATIVE, CONFLICT)
    (run,) = json.loads(rendered("sarif", asked))["runs"]
    assert [item["level"] for item in run["results"]] == ["error", "error", "note"]
    (note,) = run["invocations"][0]["toolExecutionNotifications"]
    assert note["level"] == "warning"
    assert note["message"]["text"].startswith("1 results are left out, the least severe: a run holds 3")
    assert [item.finding.severity for item in placed(asked)].count(Severity.INFO) == 2
