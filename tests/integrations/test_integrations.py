"""What builds and CI call, called as they call it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
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


@pytest.mark.parametrize(
    ("trees", "there", "installs"), [("build/*.dtb", False, False), ("boards", False, True), ("a.dts", True, False)]
)
def test_the_gitlab_template_has_a_compiler_where_sources_need_one(
    tmp_path: Path, trees: str, there: bool, installs: bool
) -> None:
    text = (PARTS / "gitlab" / "dtanalyze.yml").read_text()
    (line,) = re.findall(r"^    - (case .*)$", text, re.M)
    (tmp_path / "bin").mkdir()
    for name in ("apt-get", *(("dtc", "cpp") if there else ())):
        (tmp_path / "bin" / name).write_text(f'#!/bin/sh\necho "$@" >> "{tmp_path}/asked"\n')
        (tmp_path / "bin" / name).chmod(0o755)
    assert run("/bin/sh", "-e", "-c", line, cwd=tmp_path, TREES=trees, PATH=str(tmp_path / "bin")).returncode == 0
    asked = (tmp_path / "asked").read_text().splitlines() if (tmp_path / "asked").exists() else []
    wanted = ["-qq update", "-qq install --yes --no-install-recommends device-tree-compiler cpp"]
    assert asked == (wanted if installs else [])


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


def test_the_pre_commit_hooks(tmp_path: Path, trees: Path) -> None:
    """Each hook's own entry and pattern; pre-commit itself runs them in ``make oracle``, where pip has it."""
    text = (ROOT / ".pre-commit-hooks.yaml").read_text()
    (one, boards) = [dict(re.findall(r"^ {2}([a-z_]+): (.*)$", part, re.M)) for part in text.split("- id: ")[1:]]
    assert re.search(one["files"], "boards/a.dts") and not re.search(one["files"], "boards/a.dtsi"), "a .dtsi is no tree"
    assert all(re.search(boards["files"], name) for name in ("a.dts", "b/a.dtsi", "panel.dtso", "limits.h"))
    assert boards["pass_filenames"] == "false"
    shutil.copy(BAD, trees / "bad.dtb")
    argv = one["entry"].replace("dtanalyze", str(PROGRAM), 1).split()
    assert run(*argv, "good.dtb", cwd=trees).returncode == 0
    assert run(*argv, "good.dtb", "bad.dtb", cwd=trees).returncode == 1
    assert run(*boards["entry"].replace("dtanalyze", str(PROGRAM), 1).split(), "trees", cwd=tmp_path).returncode == 1
