"""The story from a fresh install to a green pull request, played as its script plays it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    any(shutil.which(name) is None for name in ("git", "bash", "dtc", "cpp")), reason="no git, bash, dtc or cpp: the story is NOT played"
)  # fmt: skip


def test_the_story(tmp_path: Path) -> None:
    kept = tmp_path / "story"
    ran = subprocess.run(
        [sys.executable, str(ROOT / "integrations" / "story.py"), "--keep", str(kept)], capture_output=True, text=True, check=False
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.findall(r"^(\d) .* \d+\.\d s$", ran.stdout, re.M) == ["1", "2", "3", "4", "5"], "each step with its time"
    # The device of the pull request stands in line 10 of the include; its reg begins behind "\t\tuart@30000000 { ".
    assert "::error file=boards/soc.dtsi,line=10,endLine=10,col=19,endColumn=44,title=X34" in ran.stdout
    log = subprocess.run(["git", "log", "--format=%s", "-p", "-1", "--unified=0"], cwd=kept / "project", capture_output=True, text=True, check=True).stdout
    changed = [line for line in log.splitlines() if re.match(r"[+-]\t", line)]
    # 0x30000000-0x300017ff in whole pages, moved up by 4 GiB as the bus moves the other.
    assert changed == ["-\t\tranges = <0x0 0x1 0x0 0x10000000>;", "+\t\tranges = <0x0 0x1 0x0 0x10000000>, <0x30000000 0x1 0x30000000 0x2000>;"]
    assert "nothing changed for Xen and Linux" in (kept / "out" / "comment.md").read_text()
