"""What takes its time or pip's index: the GitHub action with its own installation, the pre-commit hook run by pre-commit itself.

Part of ``make oracle``; skipped aloud where pip has no index.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.conftest import FIXTURES
from tests.integrations.test_github import PARTS, Desk, add_device

ROOT = Path(__file__).parents[2]
GOOD = FIXTURES / "dtb" / "boots" / "01-dom0-x420-l612.dtb"
BAD = FIXTURES / "dtb" / "boots" / "06c-1G-dom0-640M.dtb"


@pytest.mark.skipif(
    any(shutil.which(name) is None for name in ("git", "bash", "dtc", "cpp")), reason="no git, bash, dtc or cpp: NOT run"
)
def test_the_action_installs_the_program(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    add_device(desk)
    status, runner = desk.action(install=True)
    assert status == 1 and "::error file=boards/soc.dtsi,line=10" in runner.said["Check"], runner.said
    assert (runner.temp / "dtanalyze" / "bin" / "dtanalyze").is_file()


@pytest.fixture(scope="module")
def pre_commit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return pre-commit from pip's index, in an environment of its own."""
    place = tmp_path_factory.mktemp("pre-commit")
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    ran = subprocess.run(
        [place / "bin" / "pip", "install", "--quiet", "pre-commit"], capture_output=True, text=True, check=False
    )
    if ran.returncode:
        pytest.skip(f"pre-commit cannot be had, the hook is NOT run by it: {ran.stderr.strip().splitlines()[-1]}")
    return place / "bin" / "pre-commit"


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=n", "-c", "user.email=n@example.invalid", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", *who, *words], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def test_the_hook_in_pre_commit(pre_commit: Path, tmp_path: Path) -> None:
    """Our repository as pre-commit clones it, and one that uses the hook; pre-commit installs the program by itself."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    for part in (*PARTS, ".pre-commit-hooks.yaml"):
        (shutil.copytree if (ROOT / part).is_dir() else shutil.copy)(ROOT / part, ours / part)
    git(ours, "init", "--quiet", "--initial-branch=main")
    git(ours, "add", "--all")
    git(ours, "commit", "--quiet", "--message", "all")
    revision = git(ours, "rev-parse", "HEAD")
    theirs.mkdir()
    git(theirs, "init", "--quiet", "--initial-branch=main")
    hooks = "[{id: dtanalyze, args: [--linux, '6.12']}, {id: dtanalyze-boards, args: [boards, --format, concise]}]"
    hook = f"repos: [{{repo: {ours}, rev: {revision}, hooks: {hooks}}}]\n"
    (theirs / ".pre-commit-config.yaml").write_text(hook)
    shutil.copy(GOOD, theirs / "good.dtb")
    (theirs / "notes.txt").write_text("no tree\n")
    (theirs / "boards").mkdir()
    (theirs / "boards" / "soc.dtsi").write_text("/ { a = <1>; };\n")
    (theirs / "boards" / "board.dts").write_text('/dts-v1/;\n#include "soc.dtsi"\n')
    git(theirs, "add", "--all")
    environment = {**os.environ, "PRE_COMMIT_HOME": str(tmp_path / "home")}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        argv = [str(pre_commit), "run", "--verbose", *words]
        return subprocess.run(argv, cwd=theirs, env=environment, capture_output=True, text=True, check=False)

    ran = run("dtanalyze", "--files", "good.dtb")
    assert ran.returncode == 0 and "good.dtb: scratch" in ran.stdout, ran.stdout + ran.stderr
    ran = run("dtanalyze", "--files", "boards/soc.dtsi", "notes.txt")
    assert ran.returncode == 0 and "no files to check" in ran.stdout
    ran = run("dtanalyze-boards", "--files", "boards/soc.dtsi")
    assert ran.returncode == 1 and "boards/board.dts:1: error: V-no-boot" in ran.stdout, "a tree without a timer"
    assert "no files to check" in run("dtanalyze-boards", "--files", "notes.txt").stdout
    shutil.copy(BAD, theirs / "bad.dtb")
    git(theirs, "add", "--all")
    ran = run("dtanalyze", "--all-files")
    assert ran.returncode == 1 and "bad.dtb: exhausted" in ran.stdout, ran.stdout + ran.stderr


def test_the_source_distribution_is_whole(tmp_path: Path) -> None:
    """What git holds, but for what git itself needs: built from it, the program runs and its own tests pass."""
    copy, made = tmp_path / "copy", tmp_path / "made"
    git(ROOT, "clone", "--quiet", str(ROOT), str(copy))
    build = "import setuptools.build_meta as made, sys; print(made.build_sdist(sys.argv[1]))"
    made.mkdir()
    subprocess.run([sys.executable, "-c", build, made], cwd=copy, check=True, capture_output=True)
    with tarfile.open(next(made.glob("*.tar.gz"))) as packed:
        names = {item.name.partition("/")[2] for item in packed.getmembers() if item.isfile()}
        packed.extractall(made, filter="data")
    wanted = set(git(ROOT, "ls-files").splitlines()) - {".gitignore", ".gitattributes"}
    assert {name for name in wanted - names if not name.startswith(".ci/")} == set()
    assert not any(name.endswith((".pyc", ".so")) or "__pycache__" in name for name in names)
    (unpacked,) = (item for item in made.iterdir() if item.is_dir())
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests/address", "tests/controls", "tests/test_docs.py", "-p", "no:cacheprovider"],
        cwd=unpacked, env={**os.environ, "PYTHONPATH": str(unpacked)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout
