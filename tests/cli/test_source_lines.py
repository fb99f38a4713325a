"""Findings at the line that caused them: sources, includes, overridden properties, a blob with its source."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest

import dtanalyze
from dtanalyze.cli import main

pytestmark = pytest.mark.skipif(
    shutil.which("dtc") is None or shutil.which("cpp") is None, reason="no dtc or cpp (Debian: device-tree-compiler, cpp): sources are NOT tested"
)  # fmt: skip

# A guest's tree whose regions overlap (lines 9 and 10 of the board) and a device of the include under one (line 4).
DTSI = """/ {
	soc: bus@90000000 {
		#address-cells = <2>; #size-cells = <2>; compatible = "simple-bus"; ranges;
		device@90000000 { reg = <0x0 DEVICE 0x0 0x1000>; };
	};
};
"""
BAD_REGION, GOOD_REGION = "<0 0x88000000 0 0x20000000>", "<1 0 0 0x20000000>"
BOARD = """/dts-v1/;
#include "soc.dtsi"
/ {
	#address-cells = <2>;
	#size-cells = <2>;
	memory@40000000 { device_type = "memory"; reg = <0 0x40000000 0 0x40000000>; };
	hypervisor {
		compatible = "xen,xen-4.20", "xen,xen";
		reg = <0 0x38000000 0 0x1000000>, <0 0x80000000 0 0x20000000>,
			<0 0x88000000 0 0x20000000>;
	};
};
&soc { status = "okay"; };
"""


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "boards").mkdir()
    (tmp_path / "boards" / "soc.dtsi").write_text(DTSI)
    (tmp_path / "boards" / "board.dts").write_text(BOARD)
    monkeypatch.chdir(tmp_path)
    return Path("boards/board.dts")


def said(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    with pytest.raises(SystemExit):
        main(["check", *argv])
    return capsys.readouterr().out


def test_every_format_names_the_line(board: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = (str(board), "-D", "DEVICE=0x90000000")
    results = json.loads(said(capsys, *argv, "--format", "json"))["results"]
    found = {item["rule"]: item["source"] for result in results for item in result["findings"] if "source" in item}
    assert found["X08"] == {"file": "boards/board.dts", "line": 9, "column": 3, "last_line": 10, "last_column": 31}
    assert "boards/board.dts:9:3: " in said(capsys, *argv, "--format", "concise")
    assert "boards/board.dts:9:3: " in said(capsys, *argv)
    assert "source: boards/board.dts:9:3" in said(capsys, *argv, "--format", "junit")
    assert "in <code>boards/board.dts:9:3</code>" in said(capsys, *argv, "--format", "markdown")
    with pytest.raises(SystemExit):
        main(["map", *argv, "--html", "-"])
    assert "<p><code>boards/board.dts:9:3</code> Extended region 1" in capsys.readouterr().out
    assert "::error file=boards/board.dts,line=9,endLine=10,title=X08" in said(capsys, *argv, "--format", "github")
    gitlab = json.loads(said(capsys, *argv, "--format", "gitlab"))
    assert {
        (item["location"]["path"], item["location"]["lines"]["begin"]) for item in gitlab if item["check_name"] == "X08"
    } == {("boards/board.dts", 9)}
    (run,) = json.loads(said(capsys, *argv, "--format", "sarif"))["runs"]
    (x08,) = [item for item in run["results"] if item["ruleId"] == "X08"]
    place = x08["locations"][0]["physicalLocation"]
    assert place == {
        "artifactLocation": {"uri": "boards/board.dts"},
        "region": {"startLine": 9, "startColumn": 3, "endLine": 10, "endColumn": 32},
    }
    assert x08["relatedLocations"][0]["physicalLocation"]["region"]["byteOffset"] > 0


def schema_holds(log: object) -> None:
    path = Path(__file__).parents[1] / "report" / "sarif-2.1.0-rtm.5.json"
    fastjsonschema.compile(json.loads(path.read_text(encoding="utf-8")), use_default=False)(log)


def test_an_overlap_shows_both_sides_and_what_moved_them(board: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The device's reg in the include, the bus's ranges there, and the region in the board's own file."""
    (board.parent / "soc.dtsi").write_text(DTSI.replace("ranges;", "ranges = <0 0 0 0x80000000 0 0x80000000>;"))
    board.write_text(BOARD.replace(BAD_REGION, GOOD_REGION))
    argv = (str(board), "-D", "DEVICE=0x10000000")
    log = json.loads(said(capsys, *argv, "--format", "sarif"))
    schema_holds(log)
    (x01,) = [item for item in log["runs"][0]["results"] if item["ruleId"] == "X01"]

    def at(location: dict[str, Any]) -> tuple[str, int, str]:
        place = location["physicalLocation"]
        return place["artifactLocation"]["uri"], place["region"]["startLine"], location["message"]["text"]

    flows = [[at(step["location"]) for step in flow["threadFlows"][0]["locations"]] for flow in x01["codeFlows"]]
    device, bus = "/bus@90000000/device@90000000", "/bus@90000000"
    assert flows == [
        [("boards/soc.dtsi", 4, f"{device} has its addresses here"), ("boards/soc.dtsi", 3, f"ranges of {bus} moves them")],
        [("boards/board.dts", 9, "/hypervisor has its addresses here")],
    ]
    assert [(item["id"], *at(item)[:2]) for item in x01["relatedLocations"][1:]] == [(2, "boards/soc.dtsi", 3), (3, "boards/board.dts", 9)]
    (result,) = json.loads(said(capsys, *argv, "--format", "json"))["results"]
    (found,) = [item for item in result["findings"] if item["rule"] == "X01"]
    assert [[step["line"] for step in flow] for flow in found["flows"]] == [[4, 3], [9]]


def test_a_fault_in_an_include_is_told_there(board: Path, capsys: pytest.CaptureFixture[str]) -> None:
    board.write_text(BOARD.replace(BAD_REGION, GOOD_REGION))
    out = said(capsys, str(board), "-D", "DEVICE=0x90000000", "--format", "concise")
    assert "boards/soc.dtsi:4:21: error: X01" in out


def test_a_blob_with_its_source(board: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = subprocess.run(
        ["cpp", "-nostdinc", "-undef", "-x", "assembler-with-cpp", "-DDEVICE=0x90000000", board],
        capture_output=True,
        check=True,
    ).stdout
    Path("board.dtb").write_bytes(subprocess.run(["dtc", "-q", "-@"], input=text, capture_output=True, check=True).stdout)
    assert said(capsys, "board.dtb", "--format", "concise").startswith("board.dtb:1: error: ")
    out = said(capsys, "board.dtb", "--source", str(board), "-D", "DEVICE=0x90000000", "--format", "concise")
    assert "boards/board.dts:9:3: error: X08" in out
    assert "unreadable: --source boards/board.dts: dtc: " in said(
        capsys, "board.dtb", "--source", str(board), "--format", "concise"
    )


def test_a_macro_that_is_none(board: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["check", str(board), "-D", "-fplugin=x"])
    assert left.value.code == 2 and "is no macro" in capsys.readouterr().err


def test_a_missing_include_says_how_it_is_given(board: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (board.parent / "soc.dtsi").unlink()
    with pytest.raises(SystemExit):
        main(["check", str(board)])
    err = capsys.readouterr().err
    assert "soc.dtsi: No such file or directory (-I FOLDER names where it lies)" in err


def test_the_library_names_the_line_too(board: Path) -> None:
    board.write_text(BOARD.replace("#include", "#define DEVICE 0x90000000\n#include"))
    places = [item.place for item in dtanalyze.check(str(board)).findings if item.rule == "X08"]
    assert [str(place) for place in places] == ["boards/board.dts:10:3"]


def test_a_source_in_a_kernel_tree_finds_its_includes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As in Linux: arch/arm64/boot/dts/VENDOR, with include-prefixes full of links."""
    top = tmp_path / "linux"
    vendor, bindings, prefixes = (
        top / "arch/arm64/boot/dts/acme",
        top / "include/dt-bindings",
        top / "scripts/dtc/include-prefixes",
    )
    for folder in (vendor, bindings, prefixes):
        folder.mkdir(parents=True)
    (prefixes / "dt-bindings").symlink_to("../../../include/dt-bindings")
    (bindings / "acme.h").write_text("#define DEVICE 0x90000000\n")
    (vendor / "soc.dtsi").write_text(DTSI)
    (vendor / "board.dts").write_text(
        BOARD.replace(BAD_REGION, GOOD_REGION).replace("#include", "#include <dt-bindings/acme.h>\n#include")
    )
    out = said(capsys, str(vendor / "board.dts"), "--format", "concise")
    assert f"{vendor}/soc.dtsi:4:21: error: X01" in out


def test_a_kernel_tree_lets_nothing_in_from_outside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    top = tmp_path / "linux"
    vendor, prefixes = top / "arch/arm64/boot/dts/acme", top / "scripts/dtc/include-prefixes"
    for folder in (vendor, prefixes):
        folder.mkdir(parents=True)
    (tmp_path / "secret.h").write_text("secret\n")
    (prefixes / "out").symlink_to(tmp_path)
    (vendor / "board.dts").write_text("#include <out/secret.h>\n/dts-v1/; / { };\n")
    with pytest.raises(SystemExit):
        main(["check", str(vendor / "board.dts")])
    said_ = capsys.readouterr()
    assert "out/secret.h, which is in no folder that was named" in said_.err and "secret\n" not in said_.out


def blob(text: str, name: str) -> None:
    Path(name).write_bytes(subprocess.run(["dtc", "-q", "-@"], input=text.encode(), capture_output=True, check=True).stdout)


def places_of(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[dict[str, tuple[str, int] | None], str]:
    with pytest.raises(SystemExit):
        main(["check", *argv, "--format", "json"])
    printed = capsys.readouterr()
    findings = json.loads(printed.out)["results"][0]["findings"]
    said = {item["node"]: item.get("source") for item in findings if item["rule"] == "X01"}
    return {node: (place["file"], place["line"]) if place else None for node, place in said.items()}, printed.err


def test_what_the_source_does_not_have_stands_at_no_line_of_it(board: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A boot loader has added a device to the bus: the line of the bus is not the cause."""
    text = BOARD.replace('#include "soc.dtsi"\n', DTSI.replace("DEVICE", "0x90000000"))
    Path("one.dts").write_text(text)
    added = "\t\tadded@91000000 { reg = <0x0 0x91000000 0x0 0x1000>; };\n"
    blob(text.replace("\t\tdevice@90000000", f"{added}\t\tdevice@90000000"), "one.dtb")
    places, err = places_of(capsys, "one.dtb", "--source", "one.dts")
    assert places == {"/bus@90000000/device@90000000": ("one.dts", 5), "/bus@90000000/added@91000000": None}
    assert "--source one.dts: no line of it for 2 findings: the tree's own offset stands there" in err
    places, err = places_of(capsys, "one.dtb")
    assert set(places.values()) == {None} and err == "", "nobody asked for lines"


def test_the_source_of_another_board_is_refused(board: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = BOARD.replace('#include "soc.dtsi"\n', DTSI.replace("DEVICE", "0x90000000"))
    blob(text.replace("\tmemory@", '\tcompatible = "maker,board-a", "maker,soc";\n\tmemory@'), "a.dtb")
    Path("b.dts").write_text(text.replace("\tmemory@", '\tcompatible = "other,board-b";\n\tmemory@'))
    with pytest.raises(SystemExit) as left:
        main(["check", "a.dtb", "--source", "b.dts"])
    said = "dtanalyze: a.dtb: --source b.dts: it is the source of other,board-b, and the tree is of maker,board-a\n"
    assert left.value.code == 2 and capsys.readouterr().err == said
    Path("b.dts").write_text(text.replace("\tmemory@", '\tcompatible = "maker,board-a-rev2", "maker,soc";\n\tmemory@'))
    assert places_of(capsys, "a.dtb", "--source", "b.dts")[0] == {"/bus@90000000/device@90000000": ("b.dts", 5)}
