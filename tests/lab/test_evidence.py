"""docs/evidence.md is what a run over the recorded boots says, and only changed builds of Xen differ."""

from __future__ import annotations

import re
from pathlib import Path

from lab.evidence import document

ROOT = Path(__file__).parents[2]


def test_the_page_is_not_stale_and_only_changed_builds_differ() -> None:
    page = document()
    assert (ROOT / "docs" / "evidence.md").read_text() == page, "make docs"
    releases = re.findall(r"^\| ([^|]+) \| (\d+) \| (\d+) \|$", page, re.MULTILINE)
    assert sum(int(boots) for _, boots, _ in releases) >= 50
    assert [name for name, boots, agree in releases if boots != agree and "changed" not in name] == []
