"""The list of upstream's commits to the mirrored files, over a repository made here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parent.parent.parent / "docs" / "upstream.py"


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *argv], capture_output=True, text=True, check=False)


def git(folder: Path, *argv: str) -> None:
    name = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run(["git", "-C", str(folder), *name, *argv], check=True, capture_output=True)


def test_only_commits_to_mirrored_files_are_listed(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    for name, subject in (
        ("xen/arch/arm/setup.c", "first"),
        ("xen/arch/arm/gic-v2.c", "arm/gic: change"),
        ("xen/arch/x86/setup.c", "x86: change"),
        ("xen/common/page_alloc.c", "mm: change"),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(subject)
        git(tmp_path, "add", "-A")
        git(tmp_path, "commit", "-q", "-m", subject)
    found = run(str(tmp_path), "--since", "HEAD~3")
    assert [line.split(" ", 2)[2] for line in found.stdout.splitlines()] == ["arm/gic: change", "mm: change"]
    assert found.returncode == 0


def test_a_folder_that_is_no_clone(tmp_path: Path) -> None:
    found = run(str(tmp_path))
    assert found.returncode == 2 and "not a git repository" in found.stderr and "Traceback" not in found.stderr
