"""Inputs: folders, patterns, lists, containers, sources, overlays, many at once."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from dtanalyze.cli import main
from dtanalyze.cli.jobs import in_order, shown
from dtanalyze.devicetree.write import new_node, strings, to_blob
from dtanalyze.errors import InputFailure
from dtanalyze.inputs.files import Given
from tests.conftest import FIXTURES
from tests.trees import dtb

GOOD = (FIXTURES / "dtb" / "boots" / "02-dom0-x417-l612.dtb").read_bytes()
BAD = (FIXTURES / "dtb" / "boots" / "11e-is-ram.dtb").read_bytes()


class Desk:
    def __init__(self, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.place, self.capsys = place, capsys

    def write(self, **files: bytes) -> None:
        for name, data in files.items():
            path = self.place / name.replace("__", "/").replace("_dot_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def run(self, *argv: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main(list(argv))
        printed = self.capsys.readouterr()
        return (left.value.code if isinstance(left.value.code, int) else 0), printed.out, printed.err

    def paths(self, *argv: str) -> tuple[int, list[str], list[str]]:
        """Return the exit status, the names of the trees that were read and of those that were not."""
        status, out, _ = self.run("check", "--fail-on", "never", "--format", "json", *argv)
        answer = json.loads(out)
        return status, [item["path"] for item in answer["results"]], [item["path"] for item in answer["errors"]]


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path, capsys)


def test_folders_patterns_and_lists(desk: Desk) -> None:
    desk.write(d__b_dot_dtb=GOOD, d__a_dot_dtb=GOOD, d__deep__c_dot_dtb=GOOD, d__note_dot_txt=b"x", e__f_dot_dtb=GOOD)
    assert desk.paths("d") == (0, ["d/a.dtb", "d/b.dtb", "d/deep/c.dtb"], [])
    assert desk.paths("e", "d/*.dtb") == (0, ["e/f.dtb", "d/a.dtb", "d/b.dtb"], [])
    assert desk.paths("**/c.dtb")[1] == ["d/deep/c.dtb"]
    desk.write(e__list=b"# boards\nf.dtb  # the first\n\n../d/a.dtb\n../d/deep\n@list\nnone.dtb\n")
    assert desk.paths("@e/list") == (2, ["e/f.dtb", "e/../d/a.dtb", "e/../d/deep/c.dtb"], ["e/list", "e/none.dtb"])


def test_a_folder_is_searched_by_content_too(desk: Desk) -> None:
    """Yocto's fitImage and image.fit have no suffix of a tree; overlays are no trees; what is no tree is passed over."""
    overlay = dtb('f { target-path = "/"; __overlay__ { three; }; };')
    desk.write(d__fitImage=GOOD, d__image_dot_fit=GOOD, d__x_dot_dtbo=overlay, d__rootfs=b"x", d__empty=b"")
    os.mkfifo(desk.place / "d" / "pipe")
    assert desk.paths("d") == (0, ["d/fitImage", "d/image.fit"], [])


def test_an_overlay_alone_is_told_apart(desk: Desk) -> None:
    desk.write(x_dot_dtbo=dtb('f { target-path = "/"; __overlay__ { three; }; };'))
    status, _, err = desk.run("check", "x.dtbo")
    assert status == 2 and "an overlay (/f has __overlay__): give its base, the board's tree, and the overlay with --overlay" in err


@pytest.mark.parametrize("command", ["check", "predict", "map", "fix"])
def test_a_partial_tree_alone_is_pointed_to_its_board(command: str, desk: Desk) -> None:
    """ImageBuilder and xl make it for one domain; what is taken for a board's own has CPUs."""
    desk.write(p_dot_dtb=dtb('passthrough { compatible = "simple-bus"; ranges; };'))
    status, out, err = desk.run(command, "p.dtb")
    assert (status, out) == (2, "")
    assert "p.dtb: a domain's partial tree (/passthrough, and no /cpus): check it against its board with --partial --host" in err
    desk.write(b_dot_dtb=dtb("cpus { }; passthrough { };"))
    assert "partial tree" not in "".join(map(str, desk.run(command, "b.dtb")))


def test_nothing_found_costs_only_itself(desk: Desk) -> None:
    desk.write(a_dot_dtb=GOOD)
    (desk.place / "empty").mkdir()
    status, read, failed = desk.paths("empty", "x*.dtb", "@none", "a.dtb")
    assert (status, read, failed) == (2, ["a.dtb"], ["empty", "x*.dtb", "none"])
    err = desk.run("check", "empty", "x*.dtb", "@none", "a.dtb", "-q")[2]
    assert (
        "empty: no tree is in it (.dtb, .itb, .fit, .dts, or by its first bytes)" in err and "x*.dtb: no file matches it" in err and "none: No such file" in err
    )


def test_a_file_whose_name_looks_like_a_pattern(desk: Desk) -> None:
    (desk.place / "a[1].dtb").write_bytes(GOOD)
    assert desk.paths("a[1].dtb")[1] == ["a[1].dtb"]


def test_a_folder_that_holds_itself(desk: Desk) -> None:
    desk.write(d__a_dot_dtb=GOOD)
    (desk.place / "d" / "loop").symlink_to(desk.place / "d")
    assert desk.paths("d")[1] == ["d/a.dtb"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read(desk: Desk) -> None:
    desk.write(a_dot_dtb=GOOD)
    (desk.place / "a.dtb").chmod(0)
    assert desk.paths("a.dtb") == (2, [], ["a.dtb"])


def test_containers(desk: Desk) -> None:
    desk.write(all_dot_dtb=GOOD + b"\0" * 12 + BAD, cut_dot_dtb=GOOD + BAD[:100])
    assert desk.paths("all.dtb") == (0, ["all.dtb:#1", "all.dtb:#2"], [])
    assert desk.paths("cut.dtb") == (2, ["cut.dtb:#1"], ["cut.dtb:#2"])
    root = new_node("")
    images = new_node("images", root)
    for name, data in (("fdt-1", GOOD), ("fdt-2", b"no tree"), ("kernel", b"")):
        new_node(name, images, {"type": strings("kernel" if name == "kernel" else "flat_dt"), "data": data})
    desk.write(image_dot_itb=to_blob(root))
    assert desk.paths("image.itb") == (2, ["image.itb:fdt-1"], ["image.itb:fdt-2"])
    desk.write(none_dot_itb=dtb('images { kernel { type = "kernel"; data = "x"; }; };'))
    assert "none.itb: the image holds no devicetree" in desk.run("check", "none.itb")[2]


@pytest.mark.skipif(shutil.which("dtc") is None, reason="dtc is not installed: sources are not tried here")
def test_sources(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.write(
        a_dot_dts=b'/dts-v1/; / { model = "x"; };',
        bad_dot_dts=b"/dts-v1/; / {",
        b_dot_dts=b'#include "c.h"\n/dts-v1/; / { v = <V>; };',
    )
    (desk.place / "c.h").write_text("#define V 3\n")
    assert desk.paths("a.dts", "b.dts", "bad.dts") == (2, ["a.dts", "b.dts"], ["bad.dts"])
    assert "bad.dts: dtc: " in desk.run("check", "bad.dts")[2]
    monkeypatch.setenv("PATH", "")
    assert "dtc is not installed, which a source file needs" in desk.run("check", "a.dts")[2]


OVERLAY = dtb('f { target-path = "/"; __overlay__ { dev@7000000 { compatible = "x"; reg = <0 0x7000000 0 0x1000>; }; }; };')
OVER_REGION = dtb(
    'f { target-path = "/"; __overlay__ { dev@48000000 { compatible = "x"; reg = <0 0x48000000 0 0x1000>; }; }; };'
)
NEEDS = dtb('f { target-path = "/dev"; __overlay__ { more; }; };')


def test_overlays(desk: Desk) -> None:
    desk.write(a_dot_dtb=GOOD, x_dot_dtbo=OVERLAY, y_dot_dtbo=OVER_REGION, z_dot_dtbo=NEEDS)
    assert desk.paths("a.dtb", "--overlay", "x.dtbo", "--overlay", "z.dtbo") == (0, ["a.dtb+x.dtbo+z.dtbo"], [])
    status, out, _ = desk.run("check", "a.dtb", "--overlay", "y.dtbo", "--format", "json", "--linux", "6.12")
    (found,) = [item for item in json.loads(out)["results"][0]["findings"] if item["rule"] == "X01"]
    assert status == 1 and found["node"] == "/dev@48000000" and found["offset"] is None, "only the overlay has the node"
    err = desk.run("check", "a.dtb", "--overlay", "z.dtbo")[2]
    assert "a.dtb+z.dtbo: z.dtbo: /f: the base has no node /dev" in err
    assert "none.dtbo: No such file" in desk.run("check", "a.dtb", "--overlay", "none.dtbo")[2]


def test_every_combination_of_overlays(desk: Desk) -> None:
    desk.write(a_dot_dtb=GOOD, x_dot_dtbo=OVERLAY, z_dot_dtbo=NEEDS)
    found = desk.paths("a.dtb", "--overlay", "x.dtbo", "--overlay", "z.dtbo", "--overlay-matrix")
    assert found == (2, ["a.dtb", "a.dtb+x.dtbo", "a.dtb+x.dtbo+z.dtbo"], ["a.dtb+z.dtbo"])
    assert "--overlay-matrix combines overlays: give some" in desk.run("check", "a.dtb", "--overlay-matrix")[2]
    many = [item for _ in range(13) for item in ("--overlay", "x.dtbo")]
    assert "13 overlays have 8192 combinations, at most 4096" in desk.run("check", "a.dtb", "--overlay-matrix", *many)[2]


def test_several_jobs_say_the_same(desk: Desk) -> None:
    desk.write(d__a_dot_dtb=GOOD, d__b_dot_dtb=b"no tree", d__c_dot_dtb=BAD, d__e_dot_dtb=GOOD)
    for form in ("text", "json", "sarif"):
        one = desk.run("check", "d", "none.dtb", "--format", form)
        two = desk.run("check", "d", "none.dtb", "--format", form, "--jobs", "2")
        assert one == two and one[0] == 2


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--jobs", "0"], "--jobs takes 1 to 256, not 0"),
        (["--jobs", "100000"], "--jobs takes 1 to 256, not 100000"),
        (["--timeout", "0"], "--timeout takes a number of seconds above 0 and up to 1000000, not 0"),
        (["--timeout", "nan"], "--timeout takes a number of seconds above 0 and up to 1000000, not nan"),
        (["--timeout", "inf"], "--timeout takes a number of seconds above 0 and up to 1000000, not inf"),
        (["--memory-limit", "1K"], "--memory-limit takes 64 MiB or more, not '1K'"),
        (["--memory-limit", "much"], "'much' is not a size"),
    ],
)
def test_wrong_numbers(argv: list[str], words: str, desk: Desk) -> None:
    desk.write(a_dot_dtb=GOOD)
    status, _, err = desk.run("check", "a.dtb", *argv)
    assert status == 2 and words in err


def _work(item: Given) -> tuple[list[str], list[InputFailure]]:
    if item.name == "dies":
        os._exit(3)
    return [item.name], []


def items(*names: str) -> list[Given | InputFailure]:
    return [InputFailure(name, "bad", None) if name == "bad" else Given(name) for name in names]


def collected(jobs: int, *names: str) -> tuple[list[str], list[InputFailure]]:
    results: list[str] = []
    failures: list[InputFailure] = []
    for found, failed in in_order(iter(items(*names)), _work, jobs):
        results += found
        failures += failed
    return results, failures


def test_a_worker_that_dies_costs_only_its_input() -> None:
    names = ["a", "dies", *(f"t{number}" for number in range(12)), "bad", "dies", "z"]
    results, failures = collected(2, *names)
    assert results == [name for name in names if name not in ("dies", "bad")]
    assert [item.path for item in failures] == ["dies", "bad", "dies"]
    assert failures[0].message == "the process that looked at it has died"


def test_workers_are_gone_when_their_work_is() -> None:
    running = in_order(iter(items(*"abcdefgh")), _work, 2)
    next(running)
    assert isinstance(running, Generator)
    running.close()  # as when the reader of the report has left
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_progress_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(shown(iter("ab"), 2)) == ["a", "b"]
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert list(shown(iter("ab"), 2)) == ["a", "b"]
    assert "trees" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="this system has no pseudo-terminals")
def test_progress_says_count_rate_and_time_left(desk: Desk) -> None:
    desk.write(**{f"d__{name}_dot_dtb": GOOD for name in "abcdefgh"})
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "dtanalyze", "check", "d", "--timeout", "60"],
        cwd=desk.place, stdout=subprocess.DEVNULL, stderr=theirs, env={**os.environ, "PYTHONPATH": str(FIXTURES.parent)},
    ) as process:  # fmt: skip
        os.close(theirs)
        seen = b""
        with contextlib.suppress(OSError):  # how a terminal says that nobody writes to it any more
            while part := os.read(ours, 4096):
                seen += part
        os.close(ours)
    assert process.returncode == 0
    assert re.search(rb"trees  \[#+-*\]  [1-7]/8 .* \d+/s", seen)
    assert re.search(rb"\[#+\]  8/8 .*[1-9]\d*/s", seen)


def test_summary_and_statistics(desk: Desk) -> None:
    desk.write(d__a_dot_dtb=GOOD, d__b_dot_dtb=b"no tree", d__c_dot_dtb=BAD)
    out = desk.run("check", "d", "--linux", "6.12", "--statistics")[1]
    assert (
        "Summary: 2 trees, 1 unreadable: 1 conflict, 1 scratch\n  All with findings: dom0, " in out
        and "\n    1 error    0 warnings  conflict   d/c.dtb\n" in out
    )
    assert "  rule      X03                      1 in 1 tree\n" in out and "  verdict   scratch                  1\n" in out
    assert "Summary" not in desk.run("check", "d/a.dtb")[1]
    assert "Summary" not in desk.run("check", "d/a.dtb", "d/c.dtb", "-q")[1]


def test_one_tree_is_asked_for(desk: Desk) -> None:
    desk.write(all_dot_dtb=GOOD + BAD)
    assert "fix changes one tree, not 2" in desk.run("fix", "all.dtb")[2]
    assert "diff compares one tree with one, not 4" in desk.run("diff", "all.dtb", "all.dtb")[2]
