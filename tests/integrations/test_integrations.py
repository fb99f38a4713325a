"""What builds and CI call, called as they call it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.conftest import FIXTURES

ROOT = Path(__file__).parents[2]
PARTS = ROOT / "integrations"
GOOD = FIXTURES / "dtb" / "boots" / "01-dom0-x420-l612.dtb"
BAD = FIXTURES / "dtb" / "boots" / "06c-1G-dom0-640M.dtb"
PROGRAM = Path(sys.executable).parent / "dtanalyze"

pytestmark = pytest.mark.skipif(not PROGRAM.is_file(), reason="the program is not installed beside this Python")


def run(*argv: str | Path, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    where = {**os.environ, "DTANALYZE": str(PROGRAM), **env}
    return subprocess.run([str(item) for item in argv], cwd=cwd, env=where, capture_output=True, text=True, check=False)


@pytest.fixture
def trees(tmp_path: Path) -> Path:
    folder = tmp_path / "trees"
    folder.mkdir()
    shutil.copy(GOOD, folder / "good.dtb")
    return folder


def action(tmp_path: Path, paths: str, base: str = "") -> tuple[subprocess.CompletedProcess[str], Path, str]:
    summary, output = tmp_path / "summary.md", tmp_path / "output.txt"
    ran = run(
        "bash", PARTS / "github" / "check.sh",
        cwd=tmp_path, TREES=paths, TREES_BEFORE=base, CHECK_ARGS="--linux 6.12", GITHUB_STEP_SUMMARY=str(summary), GITHUB_OUTPUT=str(output),
    )  # fmt: skip
    return ran, tmp_path / "dtanalyze-out", output.read_text()


def test_the_github_script_annotates_and_leaves_its_files(tmp_path: Path, trees: Path) -> None:
    shutil.copy(BAD, trees / "a b;$(touch pwned).dtb")
    ran, out, output = action(tmp_path, "trees\n\n")
    assert output == "status=1\n" and ran.returncode == 0, "the last step decides, after the uploads"
    assert ran.stdout.startswith("::error file=trees/a b;$(touch pwned).dtb,title=")
    assert json.loads((out / "dtanalyze.sarif").read_text())["version"] == "2.1.0"
    assert ET.parse(out / "dtanalyze.junit.xml").getroot().tag == "testsuites"
    assert (out / "map.html").read_text().startswith("<!doctype html>")
    assert (tmp_path / "summary.md").read_text() == (out / "comment.md").read_text() == (out / "report.md").read_text()
    assert not (tmp_path / "pwned").exists()


def test_the_comment_holds_only_what_the_change_introduced(tmp_path: Path, trees: Path) -> None:
    shutil.copy(BAD, trees / "bad.dtb")
    _, out, _ = action(tmp_path, "trees/bad.dtb", base="trees/good.dtb")
    comment = (out / "comment.md").read_text()
    assert "scratch → **exhausted**" in comment and "new: **error**" in comment
    _, out, _ = action(tmp_path, "trees/bad.dtb", base="trees/bad.dtb")
    assert (
        out / "comment.md"
    ).read_text() == "**dtanalyze** <code>trees/bad.dtb</code>: nothing changed for Xen and Linux.\n"


def test_the_github_script_without_paths(tmp_path: Path) -> None:
    ran, _, output = action(tmp_path, " \n")
    assert output == "status=2\n" and "names no tree" in ran.stdout


def test_the_action_calls_what_is_there() -> None:
    text = (PARTS / "github" / "action.yml").read_text()
    assert 'bash "$GITHUB_ACTION_PATH/check.sh"' in text and (PARTS / "github" / ".." / ".." / "pyproject.toml").is_file()
    named = set(re.findall(r"inputs\.(\w+)", text))
    assert named == {"paths", "base", "args", "output"}, "every input is declared and used"
    assert all(re.search(rf"^  {name}:$", text, re.M) for name in named)


def test_the_gitlab_template(tmp_path: Path, trees: Path) -> None:
    shutil.copy(BAD, trees / "bad.dtb")
    text = (PARTS / "gitlab" / "dtanalyze.yml").read_text()
    (script,) = re.findall(r"^  script:\n(?:    #.*\n)*    - (.*)$", text, re.M)
    ran = run(
        "sh",
        "-c",
        script.replace(".dtanalyze-venv/bin/dtanalyze", str(PROGRAM)),
        cwd=tmp_path,
        TREES="trees/*.dtb",
        CHECK_ARGS="--linux 6.12",
    )
    assert ran.returncode == 1, ran.stderr
    findings = json.loads((tmp_path / "gl-code-quality-report.json").read_text())
    assert "trees/bad.dtb" in {item["location"]["path"] for item in findings}
    assert (tmp_path / "dtanalyze.junit.xml").is_file()
    (after,) = re.findall(r"^  after_script:\n    - (.*)$", text, re.M)
    assert (
        run(
            "sh",
            "-c",
            after.replace(".dtanalyze-venv/bin/dtanalyze", str(PROGRAM)),
            cwd=tmp_path,
            TREES="trees/*.dtb",
            CHECK_ARGS="",
        ).returncode
        == 0
    )
    assert (tmp_path / "dtanalyze-map.html").is_file()


def test_the_yocto_task(tmp_path: Path, trees: Path) -> None:
    """The task's body, with the variables that BitBake would have filled in."""
    text = (PARTS / "yocto" / "classes" / "dtanalyze.bbclass").read_text()
    (body,) = re.findall(r"^do_dtanalyze\(\) \{\n(.*?)^\}$", text, re.M | re.S)
    values = {
        "DTANALYZE": str(PROGRAM),
        "DTANALYZE_CHECK_ARGS": "--linux 6.12",
        "DTANALYZE_REPORT": "report.json",
        "DTANALYZE_TREES": "trees",
    }
    for name, value in values.items():
        body = body.replace(f"${{{name}}}", value)
    assert "${" not in body
    script = f'bbfatal() {{ echo "fatal: $*"; exit 1; }}\n{body}'
    assert run("sh", "-c", script, cwd=tmp_path).returncode == 0
    shutil.copy(BAD, trees / "bad.dtb")
    ran = run("sh", "-c", script, cwd=tmp_path)
    assert ran.returncode == 1 and "fatal: dtanalyze: status 1" in ran.stdout
    assert len(json.loads((tmp_path / "report.json").read_text())["results"]) == 2


def test_the_buildroot_script(tmp_path: Path, trees: Path) -> None:
    script = PARTS / "buildroot" / "post-image.sh"
    ran = run("sh", script, trees, "--linux", "6.12", cwd=tmp_path, BINARIES_DIR=str(trees))
    assert ran.returncode == 0 and json.loads((trees / "dtanalyze.json").read_text())["results"][0]["linux"] == "6.12"
    shutil.copy(BAD, trees / "bad.dtb")
    assert run("sh", script, trees, cwd=tmp_path).returncode == 1
    assert run("sh", script, cwd=tmp_path).returncode == 2


def test_the_make_fragment(tmp_path: Path, trees: Path) -> None:
    make = shutil.which("make")
    if make is None:
        pytest.skip("no make: the fragment is NOT tested")
    (trees / "Makefile").write_text(f"DTBS := good.dtb\ninclude {PARTS}/kbuild/dtanalyze.mk\n")
    environment = {"MAKEFLAGS": "", "MAKELEVEL": ""}
    assert run(make, "dtanalyze", cwd=trees, **environment).returncode == 0
    assert "Nothing to be done" in run(make, "dtanalyze", cwd=trees, **environment).stdout, (
        "only what changed is checked again"
    )
    shutil.copy(BAD, trees / "bad.dtb")
    assert run(make, "dtanalyze", "DTBS=bad.dtb", cwd=trees, **environment).returncode == 2


def test_the_pre_commit_hook(tmp_path: Path, trees: Path) -> None:
    """The hook's own entry and pattern on a repository made here; pre-commit itself runs it where it is installed."""
    text = (ROOT / ".pre-commit-hooks.yaml").read_text()
    (entry,) = re.findall(r"^  entry: (.*)$", text, re.M)
    (pattern,) = re.findall(r"^  files: (.*)$", text, re.M)
    assert re.search(pattern, "boards/a.dts") and not re.search(pattern, "boards/a.dtsi"), "a .dtsi is no tree"
    shutil.copy(BAD, trees / "bad.dtb")
    argv = entry.replace("dtanalyze", str(PROGRAM), 1).split()
    assert run(*argv, "good.dtb", cwd=trees).returncode == 0
    assert run(*argv, "good.dtb", "bad.dtb", cwd=trees).returncode == 1
