"""``diff`` of two folders or patterns: each tree with its counterpart, by the place below them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from dtanalyze.cli import main
from tests.conftest import FIXTURES

BOOTS = FIXTURES / "dtb" / "boots"
GOOD = BOOTS / "01-dom0-x420-l612.dtb"
BAD = BOOTS / "06c-1G-dom0-640M.dtb"
"""By their recorded boots: one gets scratch pages, in the other every mapping fails."""


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Before: same, worse, gone. After: same, worse (which is bad now), new (bad)."""
    for name, source in (
        ("old/same", GOOD),
        ("old/soc/worse", GOOD),
        ("old/gone", BAD),
        ("new/same", GOOD),
        ("new/soc/worse", BAD),
        ("new/new", BAD),
    ):
        place = tmp_path / f"{name}.dtb"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, place)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def diff(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main(["diff", *argv])
    printed = capsys.readouterr()
    return (left.value.code if isinstance(left.value.code, int) else 0), printed.out, printed.err


def trees(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, dict[str, Any]]:
    status, out, _ = diff(capsys, *argv, "--format", "json")
    return status, json.loads(out)


def test_each_tree_has_its_counterpart(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, answer = trees(capsys, "old", "new")
    assert [(item["name"], item["old"], item["new"]) for item in answer["trees"]] == [
        ("gone.dtb", "old/gone.dtb", None),
        ("new.dtb", None, "new/new.dtb"),
        ("same.dtb", "old/same.dtb", "new/same.dtb"),
        ("soc/worse.dtb", "old/soc/worse.dtb", "new/soc/worse.dtb"),
    ]
    verdicts = {item["name"]: [change["verdict"] for change in item["changes"]] for item in answer["trees"]}
    assert verdicts == {
        "gone.dtb": [{"old": "exhausted", "new": None}],
        "new.dtb": [{"old": None, "new": "exhausted"}],
        "same.dtb": [{"old": "scratch", "new": "scratch"}],
        "soc/worse.dtb": [{"old": "scratch", "new": "exhausted"}],
    }
    assert (status, answer["errors"]) == (1, [])


def test_patterns_pair_below_their_fixed_part(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, answer = trees(capsys, "old/soc/*.dtb", "new/soc/*.dtb")
    assert status == 1 and [item["name"] for item in answer["trees"]] == ["worse.dtb"]


def test_text_and_comment_hold_what_changed(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (two / "old" / "gone.dtb").unlink()
    (two / "new" / "new.dtb").unlink()
    _, out, _ = diff(capsys, "old", "new")
    assert (
        out.startswith("soc/worse.dtb:\n  dom0, ")
        and "scratch -> exhausted" in out
        and out.endswith("\n1 tree without a change\n")
    )
    _, out, _ = diff(capsys, "old", "new", "--format", "markdown")
    assert out.startswith("#### dtanalyze: <code>new/soc/worse.dtb</code>") and "scratch → **exhausted**" in out
    assert out.endswith("**dtanalyze**: nothing changed for Xen and Linux in 1 tree.\n") and "same" not in out


@pytest.mark.parametrize(("kept", "status"), [("same", 0), ("gone", 0), ("new", 1), ("soc/worse", 1)])
def test_what_makes_it_worse(two: Path, capsys: pytest.CaptureFixture[str], kept: str, status: int) -> None:
    """A tree that is taken away makes nothing worse; a new one does by its findings."""
    for path in [
        item
        for side in ("old", "new")
        for item in (two / side).rglob("*.dtb")
        if item.relative_to(two / side) != Path(f"{kept}.dtb")
    ]:
        path.unlink()
    for side in ("old", "new"):  # so that neither folder is without a tree
        shutil.copy(GOOD, two / side / "other.dtb")
    assert diff(capsys, "old", "new")[0] == status


def test_a_tree_that_cannot_be_read_is_not_compared(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (two / "old" / "same.dtb").write_bytes(b"no tree")
    status, answer = trees(capsys, "old", "new")
    assert status == 2 and [item["path"] for item in answer["errors"]] == ["old/same.dtb"]
    assert "same.dtb" not in [item["name"] for item in answer["trees"]] and len(answer["trees"]) == 3


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("old", "new/same.dtb"), "diff compares folders with folders: old is one or a pattern, new/same.dtb is a file"),
        (("gone", "new"), "gone: No such file or directory"),
        (("nothing*", "new"), "nothing*: no file matches it"),
    ],
)
def test_what_has_no_counterpart(two: Path, capsys: pytest.CaptureFixture[str], argv: tuple[str, ...], said: str) -> None:
    status, _, err = diff(capsys, *argv)
    assert status == 2 and err == f"dtanalyze: {said}\n"


SOURCE = """/dts-v1/;
#include "limits.h"
/ {
	#address-cells = <2>;
	#size-cells = <2>;
	memory@40000000 { device_type = "memory"; reg = <0 0x40000000 0 0x40000000>; };
	gic: gic { compatible = "arm,gic-v3"; #interrupt-cells = <3>; interrupt-controller; reg = <0 0x3001000 0 0x1000>; };
	hypervisor {
		compatible = "xen,xen-4.22", "xen,xen"; interrupts = <1 15 8>; interrupt-parent = <&gic>;
		reg = <0 0x38000000 0 0x1000000>, <0 0x80000000 0 SIZE>;
	};
};
"""


@pytest.mark.skipif(
    shutil.which("dtc") is None or shutil.which("cpp") is None, reason="no dtc or cpp: sources are NOT compared"
)
@pytest.mark.parametrize("boards", [("boards", "boards"), ("boards/a.dts", "boards/a.dts")])
def test_the_includes_of_before_are_those_of_before(
    boards: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The change stands in a folder that -I names: 0x20000000 hold four sections of 128 MiB, 0x4000000 hold none."""
    for side, size in (("before", "0x20000000"), ("now", "0x4000000")):
        for folder in ("boards", "include"):
            (tmp_path / side / folder).mkdir(parents=True)
        (tmp_path / side / "boards" / "a.dts").write_text(SOURCE)
        (tmp_path / side / "include" / "limits.h").write_text(f"#define SIZE {size}\n")
    monkeypatch.chdir(tmp_path / "now")
    status, out, _ = diff(capsys, *boards, "--old-root", "../before", "-I", "include")
    assert status == 1 and "scratch -> exhausted" in out and "sections lost: 4 -> 0" in out
    assert diff(capsys, *boards, "-I", "include")[0] == 0, "both of now"


def test_a_file_that_was_not_there_before_is_new(
    two: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(two / "new")
    status, out, _ = diff(capsys, "new.dtb", "new.dtb", "--old-root", "../old")
    assert status == 1 and "not there -> exhausted" in out
    status, _, err = diff(capsys, "new.dtb", "new.dtb", "--old-root", "../gone")
    assert status == 2 and err == "dtanalyze: --old-root ../gone: no such folder\n"
    assert diff(capsys, "../old/new.dtb", "new.dtb")[0] == 2, "without it a file has to be there"
