"""The container file and the Yocto class as their own tools read them: a container builder, and BitBake.

Neither is a part of this repository's environment. BitBake is found on PATH; a container builder needs the base image of
the container file in its store, since nothing is fetched here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BOOTS = ROOT / "fixtures" / "dtb" / "boots"
GOOD, BAD = BOOTS / "01-dom0-x420-l612.dtb", BOOTS / "11e-is-ram.dtb"
CONTAINERFILE = ROOT / "integrations" / "Containerfile"
BUILDER = next(filter(None, map(shutil.which, ("podman", "buildah"))), None)
BITBAKE = shutil.which("bitbake")


def run(*words: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=cwd, env={**os.environ, **more}, capture_output=True, text=True, timeout=900, check=False)


@pytest.mark.skipif(BUILDER is None, reason="no podman and no buildah: the container file is NOT built")
def test_the_container_file(tmp_path: Path) -> None:
    assert BUILDER is not None
    (base,) = re.findall(r"^FROM (\S+)$", CONTAINERFILE.read_text(), re.M)
    if run(BUILDER, "inspect", "--type", "image", base, cwd=tmp_path).returncode:
        pytest.skip(f"no image {base} in the store of {BUILDER}: the container file is NOT built")
    build = ("build", "--pull=never") if BUILDER.endswith("podman") else ("bud", "--pull-never")
    made = run(BUILDER, *build, "--network", "host", "-f", str(CONTAINERFILE), "-t", "dtanalyze-test", str(ROOT), cwd=tmp_path)
    assert made.returncode == 0, made.stdout + made.stderr
    shutil.copy(BAD, tmp_path / "bad.dtb")
    tmp_path.chmod(0o755)  # the program runs as a user of its own
    if BUILDER.endswith("podman"):
        start: tuple[str, ...] = ("run", "--rm", "--network", "none", "-v", f"{tmp_path}:/in:ro", "dtanalyze-test")
    else:
        name = run(BUILDER, "from", "dtanalyze-test", cwd=tmp_path).stdout.strip()
        start = ("run", "--volume", f"{tmp_path}:/in:ro", name, "--", "dtanalyze")
    ran = run(BUILDER, *start, "check", "/in/bad.dtb", "--quiet", cwd=tmp_path)
    assert ran.returncode == 1 and ran.stdout.startswith("/in/bad.dtb: conflict"), ran.stdout + ran.stderr


LAYER = """BBPATH .= ":${LAYERDIR}"
BBFILES += "${LAYERDIR}/*.bb"
BBFILE_COLLECTIONS += "test"
BBFILE_PATTERN_test := "^${LAYERDIR}/"
LAYERSERIES_CORENAMES = "test"
LAYERSERIES_COMPAT_test = "test"
"""
BASE = """bbfatal() {
    echo "ERROR: $*"
    exit 1
}
do_image_complete() {
    mkdir -p ${IMGDEPLOYDIR}
}
addtask image_complete
do_build() {
    :
}
addtask build after do_image_complete
"""


@pytest.mark.skipif(BITBAKE is None, reason="no bitbake on PATH: the Yocto class is NOT read by BitBake")
def test_the_class_in_bitbake(tmp_path: Path) -> None:
    """As small a layer as BitBake takes: the task runs behind the image, in every build, and fails it."""
    assert BITBAKE is not None
    for name in ("conf", "classes", "trees"):
        (tmp_path / name).mkdir()
    machine = f'MACHINE = "m"\nTARGET_OS = "linux"\nTARGET_ARCH = "arm64"\nDEPLOY_DIR_IMAGE = "{tmp_path}/trees"\n'
    image = 'IMGDEPLOYDIR = "${WORKDIR}/deploy"\nIMAGE_NAME = "image-m"\n'
    tools = f'PATH = "{Path(sys.executable).parent}:/usr/bin:/bin"\n'
    own = (Path(BITBAKE).resolve().parents[1] / "conf" / "bitbake.conf").read_text()
    (tmp_path / "conf" / "bitbake.conf").write_text(own + machine + image + tools)
    (tmp_path / "conf" / "layer.conf").write_text(LAYER)
    (tmp_path / "conf" / "bblayers.conf").write_text(f'BBPATH := "${{TOPDIR}}"\nBBFILES ?= ""\nBBLAYERS = "{tmp_path}"\n')
    (tmp_path / "classes" / "base.bbclass").write_text(BASE)
    shutil.copy(ROOT / "integrations" / "yocto" / "classes" / "dtanalyze.bbclass", tmp_path / "classes")
    (tmp_path / "image_1.0.bb").write_text('DTANALYZE_CHECK_ARGS = "--linux 6.12"\ninherit dtanalyze\n')
    shutil.copy(GOOD, tmp_path / "trees" / "good.dtb")

    def build() -> subprocess.CompletedProcess[str]:
        return run(BITBAKE or "", "image", cwd=tmp_path, BBPATH=str(tmp_path), LC_ALL="C.UTF-8")

    first = build()
    if "en_US.UTF-8" in first.stdout + first.stderr:
        pytest.skip("BitBake wants the locale en_US.UTF-8: the Yocto class is NOT read by it")
    assert first.returncode == 0, first.stdout + first.stderr
    assert first.stdout.index("do_image_complete: Succeeded") < first.stdout.index("do_dtanalyze: Started")
    assert list(tmp_path.rglob("image-m.dtanalyze.json"))
    shutil.copy(BAD, tmp_path / "trees" / "bad.dtb")  # deployed by another recipe: nothing of this one has changed
    second = build()
    assert second.returncode == 1 and "do_dtanalyze: Failed" in second.stdout, second.stdout
