"""A baseline holds through moved addresses and edits elsewhere; what is new counts, what is gone is said."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from dtanalyze.cli import main
from tests.trees import dtb

BODY = """#address-cells = <2>; #size-cells = <2>;
memory@40000000 { device_type = "memory"; reg = <0 0x40000000 0 0x40000000>; };
gic { compatible = "arm,gic-v3"; #interrupt-cells = <3>; interrupt-controller; phandle = <1>; reg = <0 0x3001000 0 0x1000>; };
hypervisor { compatible = "xen,xen-4.22", "xen,xen"; interrupts = <1 15 8>; interrupt-parent = <1>;
    reg = <0 0x38000000 0 0x1000000>, <0 0x80000000 0 0x20000000>; };
"""


def device(at: int, name: str = "serial") -> str:
    return f'{name}@{at:x} {{ compatible = "ns16550a"; reg = <0 {at:#x} 0 0x1000>; }};'


class Folder:
    def __init__(self, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.place, self.capsys = place, capsys

    def write(self, *more: str) -> None:
        (self.place / "board.dtb").write_bytes(dtb(BODY + "".join(more)))

    def check(self, *argv: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main(["check", "board.dtb", *argv])
        printed = self.capsys.readouterr()
        return (left.value.code if isinstance(left.value.code, int) else 0), printed.out, printed.err

    def rules(self, *argv: str) -> list[str]:
        return [item["rule"] for item in json.loads(self.check("--format", "json", *argv)[1])["results"][0]["findings"]]


@pytest.fixture
def folder(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.chdir(tmp_path)
    return Folder(tmp_path, capsys)


def test_known_findings_do_not_count(folder: Folder) -> None:
    folder.write(device(0x88000000))
    assert folder.check("--write-baseline", "known.json")[0] == 1
    status, out, _ = folder.check("--baseline", "known.json")
    assert status == 0 and "Baseline: 2 known, 0 gone" in out and "Findings" not in out
    assert "Its cause is known or not selected, and left out: error X01 region-over-device at /serial@88000000." in " ".join(out.split())
    written = (folder.place / "known.json").read_bytes()
    folder.check("--write-baseline", "known.json")
    assert (folder.place / "known.json").read_bytes() == written
    assert [item["path"] for item in json.loads(written)["findings"]] == ["board.dtb", "board.dtb"]


def test_they_survive_a_moved_device_and_an_edit_elsewhere(folder: Folder) -> None:
    folder.write(device(0x88000000))
    folder.check("--write-baseline", "known.json")
    folder.write(device(0x7000000, "spi"), device(0x98000000))
    assert folder.check("--baseline", "known.json")[0] == 0


def test_one_more_of_a_kind_is_new(folder: Folder) -> None:
    folder.write(device(0x88000000))
    folder.check("--write-baseline", "known.json")
    folder.write(device(0x88000000), device(0x98000000))
    assert folder.rules("--baseline", "known.json") == ["X01"]
    assert folder.check("--baseline", "known.json")[0] == 1


def test_what_is_gone_is_said(folder: Folder) -> None:
    folder.write(device(0x88000000))
    folder.check("--write-baseline", "known.json")
    folder.write()
    status, out, _ = folder.check("--baseline", "known.json")
    assert status == 0 and "Baseline: 0 known, 2 gone" in out and "gone: X01 /serial (board.dtb, dom" in out
    answer = json.loads(folder.check("--baseline", "known.json", "--format", "json")[1])
    assert answer["baseline"]["known"] == 0
    assert {item["rule"] for item in answer["baseline"]["absent"]} == {"V-hazard", "X01"}


def test_states_in_sarif(folder: Folder) -> None:
    folder.write(device(0x88000000))
    folder.check("--write-baseline", "known.json", "--ignore", "V-hazard")
    folder.write(device(0x88000000), device(0x98000000, "spi"))
    text = folder.check("--baseline", "known.json", "--format", "sarif")[1]
    states = sorted((item["ruleId"], item["baselineState"]) for item in json.loads(text)["runs"][0]["results"])
    assert states == [("V-hazard", "new"), ("X01", "new"), ("X01", "unchanged")]
    folder.write()
    text = folder.check("--baseline", "known.json", "--format", "sarif")[1]
    assert [item["baselineState"] for item in json.loads(text)["runs"][0]["results"]] == ["absent"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "known.json: not a baseline: Expecting"),
        ("[]", "known.json: not a baseline of version 1"),
        ('{"baseline_version": 2, "findings": []}', "not a baseline of version 1"),
        ('{"baseline_version": 1, "findings": [{}]}', "entry 0 has to have exactly path, cell, rule, node, number"),
        (
            '{"baseline_version": 1, "findings": [{"path": "", "cell": "", "rule": "", "node": "", "number": "1"}]}',
            "entry 0 has a value of the wrong type",
        ),
    ],
)
def test_what_is_no_baseline(text: str, words: str, folder: Folder) -> None:
    folder.write()
    (folder.place / "known.json").write_text(text)
    status, out, err = folder.check("--baseline", "known.json")
    assert (status, out) == (2, "") and re.search(re.escape(words), err)


def test_files_that_are_not_there(folder: Folder) -> None:
    folder.write()
    assert "nowhere.json: No such file" in folder.check("--baseline", "nowhere.json")[2]
    status, _, err = folder.check("--write-baseline", "nowhere/known.json")
    assert status == 2 and "--write-baseline: nowhere/known.json: No such file" in err


def test_the_difference_of_two_trees(folder: Folder) -> None:
    def diff(*argv: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main(["diff", "old.dtb", "board.dtb", "--linux", "6.12", *argv])
        printed = folder.capsys.readouterr()
        return (left.value.code if isinstance(left.value.code, int) else 0), printed.out, printed.err

    folder.write()
    (folder.place / "board.dtb").rename(folder.place / "old.dtb")
    folder.write()
    assert diff()[:2] == (0, "domu, Linux 6.12, Xen 4.22: scratch (no change)\n")
    folder.write(device(0x88000000))
    status, out, _ = diff()
    assert status == 1 and "scratch -> hazard" in out and "  new    error X01 region-over-device: " in out
    assert max(map(len, out.splitlines())) <= 80
    (folder.place / "board.dtb").write_bytes(dtb(BODY.replace("0x80000000 0 0x20000000", "0x88000000 0 0x10000000")))
    status, out, _ = diff()
    assert status == 1 and "sections lost: 4 -> 2" in out
    assert "region changed 0x80000000-0x9fffffff (512 MiB) -> 0x88000000-0x97ffffff (256 MiB)" in " ".join(out.split())
    grown = BODY.replace("0x80000000 0 0x20000000", "0x80000000 0 0x20000000>, <1 0 0 0x8000000")
    (folder.place / "board.dtb").write_bytes(dtb(grown))
    status, out, _ = diff("--format", "json")
    (change,) = json.loads(out)["changes"]
    assert status == 0 and change["regions"]["gained"] == [["0x100000000", "0x108000000"]]
    assert change["sections"] == {"old": 4, "new": 5}
    more = BODY.replace("0x40000000 0 0x40000000", "0x40000000 0 0x30000000")
    (folder.place / "board.dtb").write_bytes(dtb(more))
    assert "RAM lost       0x70000000-0x7fffffff (256 MiB)" in diff("--fail-on", "never")[1]
    (folder.place / "board.dtb").write_bytes(b"no tree")
    assert diff()[0] == 2
    folder.write(device(0x88000000))
    (folder.place / "board.dtb").rename(folder.place / "bad.dtb")
    folder.write()
    (folder.place / "bad.dtb").rename(folder.place / "old.dtb")
    status, out, _ = diff()
    assert status == 0 and "  fixed  error X01 region-over-device" in out and "hazard -> scratch" in out


def as_of(folder: Folder, **defaults: str) -> None:
    """Make the baseline one that an older program wrote, whose newest releases were others."""
    path = folder.place / "known.json"
    data = json.loads(path.read_text())
    assert data["defaults"] == {"linux": "7.3", "xen": "4.22"}
    text = json.dumps({**data, "defaults": {**data["defaults"], **defaults}})
    path.write_text(text.replace("linux 7.3", f"linux {defaults['linux']}").replace("xen 4.22", f"xen {defaults['xen']}"))


def test_a_baseline_outlives_a_new_default_release(folder: Folder) -> None:
    folder.write(device(0x88000000))
    folder.check("--write-baseline", "known.json")
    as_of(folder, linux="7.1", xen="4.21")
    status, out, _ = folder.check("--baseline", "known.json")
    assert status == 0 and "Baseline: 2 known, 0 gone\n  Linux 7.3 counts as Linux 7.1, the default when" in out
    answer = json.loads(folder.check("--baseline", "known.json", "--format", "json")[1])
    assert answer["baseline"] == {"known": 2, "absent": [], "renamed": {"linux 7.3": "linux 7.1", "xen 4.22": "xen 4.21"}}
    # Whoever names a release asks about that one.
    assert folder.check("--baseline", "known.json", "--linux", "7.3")[0] == 1


def test_a_baseline_about_a_release_stays_with_it(folder: Folder) -> None:
    folder.write(device(0x88000000))
    folder.check("--linux", "6.12", "--write-baseline", "known.json")
    assert json.loads((folder.place / "known.json").read_text())["defaults"] == {"linux": None, "xen": "4.22"}
    assert folder.check("--linux", "6.12", "--baseline", "known.json")[0] == 0
    assert folder.check("--baseline", "known.json")[0] == 1, "another kernel was asked about"


def test_a_host_trees_baseline_outlives_a_new_release_of_xen(folder: Folder) -> None:
    (folder.place / "board.dtb").write_bytes(
        dtb("#address-cells = <1>; #size-cells = <1>; memory@0 { reg = <0 0x10000000>; };")
    )
    assert folder.check("--write-baseline", "known.json")[0] == 1
    as_of(folder, linux="7.2", xen="4.21")
    status, out, _ = folder.check("--baseline", "known.json")
    assert status == 0 and "Xen 4.22 counts as Xen 4.21" in out


@pytest.mark.parametrize("defaults", [[], {"linux": 7}, {"kernel": "7.3"}, "7.3"])
def test_defaults_that_are_none(folder: Folder, defaults: object) -> None:
    folder.write()
    (folder.place / "known.json").write_text(json.dumps({"baseline_version": 1, "defaults": defaults, "findings": []}))
    status, _, err = folder.check("--baseline", "known.json")
    assert status == 2 and err.startswith("dtanalyze: ") and "baseline: defaults" in err
