"""``fix --diff`` and ``--write``: the change in the file that says it, or a sentence that says why not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest

from dtanalyze.analysis.source_edits import rewritten
from dtanalyze.cli import main
from dtanalyze.devicetree.source_map import Place, SourceMap
from dtanalyze.facts import Edit
from dtanalyze.findings import Change

pytestmark = pytest.mark.skipif(
    shutil.which("dtc") is None or shutil.which("cpp") is None, reason="no dtc or cpp (Debian: device-tree-compiler, cpp): sources are NOT tested"
)  # fmt: skip

# A bus whose ranges cover neither of its devices: Xen stops at both.
DTSI = """/ {
	soc: soc {
		compatible = "simple-bus"; #address-cells = <1>; #size-cells = <1>;
		ranges = <0x0 0x1 0x0 0x10000000>;	/* low */
		spi@20000000 { reg = <0x20000000 0x1000>; };
		uart@30000000 { reg = <0x30000000 0x1800>; };
	};
};
"""
BEFORE = "<0x0 0x1 0x0 0x10000000>;"
AFTER = "<0x0 0x1 0x0 0x10000000>, <0x20000000 0x1 0x20000000 0x1000>, <0x30000000 0x1 0x30000000 0x2000>;"
BOARD = """/dts-v1/;
/ {
	#address-cells = <2>;
	#size-cells = <2>;
	cpus { #address-cells = <1>; #size-cells = <0>; cpu@0 { device_type = "cpu"; compatible = "arm,cortex-a53"; reg = <0>; }; };
	memory@40000000 { device_type = "memory"; reg = <0 0x40000000 0 0x80000000>; };
	gic: gic@3001000 { compatible = "arm,gic-v3"; #interrupt-cells = <3>; interrupt-controller;
		reg = <0 0x3001000 0 0x10000>, <0 0x3020000 0 0x1000000>; interrupt-parent = <&gic>; interrupts = <1 9 4>; };
	timer { compatible = "arm,armv8-timer"; interrupt-parent = <&gic>; interrupts = <1 13 8>, <1 14 8>, <1 11 8>, <1 10 8>; };
	chosen { };
};
#include "soc.dtsi"
"""
KERNEL = ("--linux", "6.12")


class Ran:
    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> Ran:
    with pytest.raises(SystemExit) as left:
        main(list(argv))
    printed = capsys.readouterr()
    return Ran(left.value.code if isinstance(left.value.code, int) else 0, printed.out, printed.err)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "boards").mkdir()
    (tmp_path / "boards" / "soc.dtsi").write_text(DTSI)
    (tmp_path / "boards" / "board.dts").write_text(BOARD)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_diff_is_one_that_patch_takes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ran = run(capsys, "fix", "boards/board.dts", *KERNEL, "--diff")
    assert ran.status == 0 and "+++ b/boards/soc.dtsi\n" in ran.out
    assert (folder / "boards" / "soc.dtsi").read_text() == DTSI, "--diff alone changes nothing"
    git = shutil.which("git")
    assert git is not None
    subprocess.run([git, "apply", "-"], input=ran.out, text=True, check=True, cwd=folder)
    assert (folder / "boards" / "soc.dtsi").read_text() == DTSI.replace(BEFORE, AFTER)


def test_write_changes_the_include_and_nothing_else(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dtsi = folder / "boards" / "soc.dtsi"
    dtsi.chmod(0o640)
    assert run(capsys, "check", "boards/board.dts", *KERNEL).status == 1
    ran = run(capsys, "fix", "boards/board.dts", *KERNEL, "--write")
    assert (ran.status, ran.out) == (0, "") and "written: boards/soc.dtsi" in ran.err
    assert dtsi.read_text() == DTSI.replace(BEFORE, AFTER) and dtsi.stat().st_mode & 0o777 == 0o640
    assert (folder / "boards" / "board.dts").read_text() == BOARD
    assert sorted(item.name for item in (folder / "boards").iterdir()) == ["board.dts", "soc.dtsi"]
    assert run(capsys, "check", "boards/board.dts", *KERNEL).status == 0
    again = run(capsys, "fix", "boards/board.dts", *KERNEL, "--write", "--diff")
    assert (again.status, again.out) == (0, "") and "written" not in again.err


def test_a_blob_with_its_source(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = BOARD.replace("#include", "/include/").encode()
    (folder / "board.dtb").write_bytes(subprocess.run(["dtc", "-q", "-@", "-i", "boards"], input=text, capture_output=True, check=True).stdout)
    assert run(capsys, "fix", "board.dtb", *KERNEL, "--write", "--source", "boards/board.dts").status == 0
    assert AFTER in (folder / "boards" / "soc.dtsi").read_text()
    stale = run(capsys, "fix", "board.dtb", *KERNEL, "--write", "--source", "boards/board.dts")
    assert stale.status == 2 and "compiled from another version" in stale.err


def test_a_blob_alone_has_no_source_to_change(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("--diff", "--write"):
        ran = run(capsys, "fix", "board.dtb", option)
        assert ran.status == 2 and "give the .dts, or --source" in ran.err


def test_a_file_outside_of_the_working_folder_is_shown_and_not_written(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The include lies beside the working folder; so it does behind a link that looks like a file of ours."""
    (folder / "vendor").mkdir()
    (folder / "boards" / "soc.dtsi").rename(folder / "vendor" / "soc.dtsi")
    monkeypatch.chdir(folder / "boards")
    argv = ("fix", "board.dts", *KERNEL, "-I", "../vendor")
    ran = run(capsys, *argv, "--diff", "--write")
    assert ran.status == 2 and AFTER in ran.out
    assert "nothing is written" in ran.err and "soc.dtsi lies outside of the working folder" in ran.err
    Path("soc.dtsi").symlink_to("../vendor/soc.dtsi")
    ran = run(capsys, *argv, "--write")
    assert ran.status == 2 and "lies outside of the working folder" in ran.err
    assert (folder / "vendor" / "soc.dtsi").read_text() == DTSI


def test_a_line_that_serves_two_nodes_is_left_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both buses are made by one file: a line more in it would be one in both."""
    (folder / "boards" / "bus.dtsi").write_text(DTSI.replace("soc: soc", "NAME"))
    (folder / "boards" / "soc.dtsi").write_text(
        '#define NAME soc\n#include "bus.dtsi"\n#undef NAME\n#define NAME other\n#include "bus.dtsi"\n/ { other { ranges = <0x0 0x2 0x0 0x40000000>; }; };\n'
    )
    ran = run(capsys, "fix", "boards/board.dts", *KERNEL, "--write")
    assert ran.status == 0, "the other bus states its own ranges behind the line, so that the change is good for one"
    (folder / "boards" / "bus.dtsi").write_text(DTSI.replace("soc: soc", "NAME"))
    (folder / "boards" / "soc.dtsi").write_text(
        '#define NAME soc\n#include "bus.dtsi"\n#undef NAME\n#define NAME other\n#include "bus.dtsi"\n/ { other { spi@20000000 { /delete-property/ reg; }; uart@30000000 { /delete-property/ reg; }; }; };\n'
    )
    before = (folder / "boards" / "bus.dtsi").read_text()
    ran = run(capsys, "fix", "boards/board.dts", *KERNEL, "--write")
    assert ran.status == 2 and "the line serves other nodes too" in ran.err
    assert (folder / "boards" / "bus.dtsi").read_text() == before


def test_what_a_macro_makes_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dtsi = folder / "boards" / "soc.dtsi"
    dtsi.write_text("#define LOW ranges = <0x0 0x1 0x0 0x10000000>\n" + DTSI.replace(f"ranges = {BEFORE}", "LOW;"))
    ran = run(capsys, "fix", "boards/board.dts", *KERNEL, "--write", "--format", "json")
    assert ran.status == 2 and "line 5 does not say ranges in so many words: a macro makes it" in ran.err
    (result,) = json.loads(ran.out)["results"]
    assert result["source"]["files"] == [] and result["source"]["refused"][0]["property"] == "ranges"


NVMEM = """/ {
	bus@7000 { reg = <0x0 0x7000 0x0 0x1000>; #address-cells = <2>; #size-cells = <0>;
		pmic@0 { reg = <0 0>; #address-cells = <1>; #size-cells = <0>;
			nvram@7100 {
				reg = <0x7100>; #address-cells = <1>; #size-cells = <1>;
				ranges = <0 0x7100 0x100>;
				cell@48 { reg = <0x48 1>; };
			};
		};
	};
};
"""
RANGES = "\t\t\t\tranges = <0 0x7100 0x100>;\n"


def test_a_property_is_taken_out_of_the_source(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Places inside a device are no addresses: its ranges go, with their line."""
    (folder / "boards" / "soc.dtsi").write_text(NVMEM)
    assert run(capsys, "fix", "boards/board.dts", *KERNEL, "--write").status == 0
    assert (folder / "boards" / "soc.dtsi").read_text() == NVMEM.replace(RANGES, "")


def test_a_property_that_another_line_gave_before_is_deleted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    later = '/ { bus@7000 { pmic@0 { nvram@7100 {\n\tranges = <0 0x7100 0x100>;\n}; }; }; };\n'
    (folder / "boards" / "base.dtsi").write_text(NVMEM)
    (folder / "boards" / "soc.dtsi").write_text('#include "base.dtsi"\n' + later)
    assert run(capsys, "fix", "boards/board.dts", *KERNEL, "--write").status == 0
    assert (folder / "boards" / "base.dtsi").read_text() == NVMEM
    assert "{\n\t/delete-property/ ranges;\n}" in (folder / "boards" / "soc.dtsi").read_text()


SMMU = (
    'smmu@a000000 { compatible = "arm,smmu-v2"; reg = <0 0xa000000 0 0x10000>; #iommu-cells = <1>;'
    " #global-interrupts = <0>; interrupt-parent = <&gic>; interrupts = <0 100 4>; };"
    " gpu@c000000 { reg = <0 0xc000000 0 0x1000>; iommus = <&{/mmu@b000000} 0>; };"
)
MMU = 'mmu@b000000 { compatible = "vendor,mmu"; reg = <0 0xb000000 0 0x1000>; #iommu-cells = <1>; };'


@pytest.mark.parametrize(
    ("soc", "board", "new"),
    [
        # What the board says of the node already is where more of it belongs; only there.
        ("/ { %s mmu: %s };\n&mmu { x; };\n", "&mmu {\n\ty;\n};\n", '&mmu {\n\tstatus = "disabled";\n\ty;\n};\n'),
        # The board has not named it yet.
        ("/ { %s mmu: %s };\n", "", '\n&mmu {\n\tstatus = "disabled";\n};\n'),
        ("/ { %s mmu: other: %s };\n", "", '\n&other {\n\tstatus = "disabled";\n};\n'),
        ("/ { %s %s };\n", "// end", '// end\n\n&{/mmu@b000000} {\n\tstatus = "disabled";\n};\n'),
        # A macro makes the name: there is no label to be read.
        ("#define OPEN mmu: mmu@b000000 {\n/ { %s OPEN\n %s; };\n", "", '\n&{/mmu@b000000} {\n\tstatus = "disabled";\n};\n'),
    ],
)
def test_a_property_is_added_in_the_boards_own_file(
    soc: str, board: str, new: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An IOMMU that Xen has no driver for, and its master: other boards include the SoC's file too."""
    text = soc % (SMMU, MMU.partition("{")[2].removesuffix(";") if "OPEN" in soc else MMU)
    (folder / "boards" / "soc.dtsi").write_text(text)
    (folder / "boards" / "board.dts").write_text(BOARD + board)
    ran = run(capsys, "fix", "boards/board.dts", *KERNEL, "--iommu", "on", "--write")
    assert ran.status == 0 and "is an include" not in ran.err, ran.err
    assert (folder / "boards" / "soc.dtsi").read_text() == text
    assert (folder / "boards" / "board.dts").read_text() == BOARD + new


def test_what_is_added_to_one_node_stands_in_one_block() -> None:
    """A property, and below it two nodes, one in the other; the include that wrote the node stays."""
    places = SourceMap({"/soc": (Place("soc.dtsi", 2, 6, 3, 2),)}, {})
    wanted = [("/soc", "dma-ranges"), ("/soc/a", "b"), ("/soc/a/c", "d")]
    edits = [Edit(Change(node, prop, b"", ""), None, "/soc") for node, prop in wanted]
    files = {"soc.dtsi": b"/ {\nsoc: soc {\n}; };\n", "board.dts": b"/dts-v1/;\r\n"}
    (made,) = rewritten(edits, places, files, frozenset(), "board.dts")
    lines = ["", "&soc {", "\tdma-ranges;", "\ta {", "\t\tb;", "\t\tc {", "\t\t\td;", "\t\t};", "\t};", "};", ""]
    assert made.file == "board.dts" and made.new == files["board.dts"] + "\r\n".join(lines).encode()


def test_a_file_that_changed_meanwhile_stays(folder: Path) -> None:
    from dtanalyze.cli.replacing import rewrite_file
    from dtanalyze.errors import UsageError

    path = folder / "boards" / "soc.dtsi"
    with pytest.raises(UsageError, match="has changed since"):
        rewrite_file(str(path), b"what was read", b"new")
    assert path.read_text() == DTSI and len(os.listdir(folder / "boards")) == 2


def test_hostile_text_in_the_source_is_shown_as_escapes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dtsi = folder / "boards" / "soc.dtsi"
    dtsi.write_bytes(DTSI.replace("/* low */", "/* \x1b[2J::error::x \xff */").encode("latin-1"))
    ran = run(capsys, "fix", "boards/board.dts", *KERNEL, "--diff")
    assert "\x1b" not in ran.out and "\\x1b[2J" in ran.out
    assert run(capsys, "fix", "boards/board.dts", *KERNEL, "--diff", "-o", "out.diff").status == 0
    assert b"\x1b[2J::error::x \xff */" in (folder / "out.diff").read_bytes()
    assert run(capsys, "fix", "boards/board.dts", *KERNEL, "--write").status == 0
    assert b"\x1b[2J::error::x \xff */" in dtsi.read_bytes()


def applied(text: str, replacements: list[dict[str, Any]]) -> str:
    """Make the replacements of SARIF in a text, the last first (3.57: a region's end column is behind it)."""
    lines = text.split("\n")
    starts = [sum(len(line) + 1 for line in lines[:number]) for number in range(len(lines))]
    for item in reversed(replacements):
        region = item["deletedRegion"]
        begin = starts[region["startLine"] - 1] + region["startColumn"] - 1
        end = starts[region["endLine"] - 1] + region["endColumn"] - 1
        text = text[:begin] + item.get("insertedContent", {}).get("text", "") + text[end:]
    return text


@pytest.mark.parametrize("end", ["\n", "", "\r\n"])
def test_sarif_has_the_change_of_the_source(folder: Path, capsys: pytest.CaptureFixture[str], end: str) -> None:
    """The same change as --write makes, as its readers make it: the text of the include, worked out by hand."""
    source = "\n".join(DTSI.splitlines()).replace("\n", end or "\n") + end
    with (folder / "boards" / "soc.dtsi").open("w", newline="") as file:
        file.write(source)
    log = json.loads(run(capsys, "check", "boards/board.dts", *KERNEL, "--format", "sarif").out)
    schema = json.loads((Path(__file__).parents[1] / "report" / "sarif-2.1.0-rtm.5.json").read_text(encoding="utf-8"))
    fastjsonschema.compile(schema, use_default=False)(log)
    fixes = [item["fixes"] for item in log["runs"][0]["results"] if item["ruleId"] == "X34"]
    assert fixes and all(item == fixes[0] for item in fixes), "one change cures all devices of the bus"
    (only,) = fixes[0]
    assert only["description"]["text"].startswith("Set ranges of /soc.")
    (change,) = only["artifactChanges"]
    assert change["artifactLocation"] == {"uri": "boards/soc.dtsi"}
    assert applied(source, change["replacements"]) == source.replace(BEFORE, AFTER)
    assert (folder / "boards" / "soc.dtsi").read_bytes().decode() == source, "nothing was written"


def test_sarif_has_no_change_that_the_source_cannot_say(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two nodes of one macro, of which one would have to change."""
    text = DTSI.replace("ranges = <0x0 0x1 0x0 0x10000000>;", "RANGES").replace("/ {", "#define RANGES ranges = <0x0 0x1 0x0 0x10000000>;\n/ {", 1)
    (folder / "boards" / "soc.dtsi").write_text(text)
    log = json.loads(run(capsys, "check", "boards/board.dts", *KERNEL, "--format", "sarif").out)
    found = [item for item in log["runs"][0]["results"] if item["ruleId"] == "X34"]
    assert found and not any("fixes" in item for item in found)


def test_after_write_nothing_is_left_to_apply(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "to apply: dtanalyze fix boards/board.dts" in run(capsys, "fix", "boards/board.dts", *KERNEL, "--diff").err
    assert "to apply" not in run(capsys, "fix", "boards/board.dts", *KERNEL, "--write").err


def test_a_report_names_the_change_in_the_source(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, "check", "boards/board.dts", *KERNEL).out
    assert "The change in the source: dtanalyze fix boards/board.dts --linux 6.12 --diff" in " ".join(out.split())


def test_a_change_that_other_boards_share_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = "  boards/soc.dtsi is an include: every board that includes it changes\n"
    assert said in run(capsys, "fix", "boards/board.dts", *KERNEL, "--diff").err
    (folder / "boards" / "board.dts").write_text(BOARD.replace('#include "soc.dtsi"', DTSI))
    assert "is an include" not in run(capsys, "fix", "boards/board.dts", *KERNEL, "--diff").err


def test_the_last_line_of_a_file_without_a_newline() -> None:
    """SARIF has no line behind the last: the region ends behind its last letter."""
    from dtanalyze.cli.source_offers import rewrites_of
    from dtanalyze.facts import Rewritten
    from dtanalyze.findings import Rewrite

    assert list(rewrites_of(Rewritten("f", b"a\nbcd", b"a\nx"))) == [Rewrite("f", 2, 2, 4, "x")]
    assert list(rewrites_of(Rewritten("f", b"a\nbcd\n", b"a\nx\n"))) == [Rewrite("f", 2, 3, 1, "x\n")]
    assert list(rewrites_of(Rewritten("f", b"a\nb\n", b"a\nx\nb\n"))) == [Rewrite("f", 2, 2, 1, "x\n")]
