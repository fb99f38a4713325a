"""Overlays among the sources: what an overlay says stands at its own lines, and what came without a source at none."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

import dtanalyze
from dtanalyze.cli import main

pytestmark = pytest.mark.skipif(
    shutil.which("dtc") is None or shutil.which("cpp") is None, reason="no dtc or cpp (Debian: device-tree-compiler, cpp): sources are NOT tested"
)  # fmt: skip

# Extended region 0 is 0x80000000-0x9fffffff; the board's own device lies clear of it.
BOARD = """/dts-v1/;
/ {
	#address-cells = <2>;
	#size-cells = <2>;
	memory@40000000 { device_type = "memory"; reg = <0 0x40000000 0 0x40000000>; };
	hypervisor {
		compatible = "xen,xen-4.20", "xen,xen";
		reg = <0 0x38000000 0 0x1000000>, <0 0x80000000 0 0x20000000>;
	};
	soc: bus {
		#address-cells = <2>; #size-cells = <2>; compatible = "simple-bus"; ranges;
		uart: serial@70000000 { reg = <0 0x30000000 0 0x1000>; };
	};
};
"""
# A new device in the region, line 7 and 8, and the board's device moved into it, line 12.
ADDED = """/dts-v1/;
/plugin/;
#include "where.h"

/* the panel's own bus */
&soc {
	spi@90000000 {
		reg = <0 SPI 0 0x1000>;
	};
};

&uart { reg = <0 0x98000000 0 0x1000>; };
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "board.dts").write_text(BOARD)
    (tmp_path / "overlays").mkdir()
    (tmp_path / "overlays" / "panel.dtso").write_text(ADDED)
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "where.h").write_text("#define SPI (0x80000000 + OFFSET)\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


ARGV = ("--overlay", "overlays/panel.dtso", "-I", "include", "-D", "OFFSET=0x10000000")


def places(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, tuple[str, int, int] | None]:
    """Return the place of X01 (a region over a device), by the device's node."""
    with pytest.raises(SystemExit):
        main(["check", *argv, "--format", "json"])
    found: dict[str, tuple[str, int, int] | None] = {}
    for item in json.loads(capsys.readouterr().out)["results"][0]["findings"]:
        if item["rule"] == "X01":
            said = item.get("source")
            found[item["node"]] = (said["file"], said["line"], said["column"]) if said else None
    return found


def compiled(text: str, name: str) -> None:
    made = subprocess.run(["dtc", "-q", "-@", "-O", "dtb"], input=text.encode(), capture_output=True, check=True).stdout
    Path(name).write_bytes(made)


SPI, UART = "/bus/spi@90000000", "/bus/serial@70000000"


def test_what_an_overlay_says_stands_in_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert places(capsys, "board.dts", *ARGV) == {SPI: ("overlays/panel.dtso", 8, 3), UART: ("overlays/panel.dtso", 12, 9)}


def test_the_text_of_an_address_keeps_the_files_own_letters(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "board.dts").write_text(BOARD.replace("<0 0x30000000", "<0 0x90000000"))
    with pytest.raises(SystemExit):
        main(["check", "board.dts", "--verbose"])
    out = capsys.readouterr().out
    assert "board.dts:12:27: Extended region 0" in out.replace("\n     ", " ") and "Board.dts" not in out


def test_a_base_without_its_source_has_no_lines(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compiled(BOARD.replace("<0 0x30000000", "<0 0x91000000"), "board.dtb")
    text = ADDED.replace("&uart { reg = <0 0x98000000 0 0x1000>; };", '&uart { status = "okay"; };')
    (folder / "overlays" / "panel.dtso").write_text(text)
    assert places(capsys, "board.dtb", *ARGV) == {SPI: ("overlays/panel.dtso", 8, 3), UART: None}


def test_an_overlay_without_its_source_has_no_lines(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compiled(ADDED.replace('#include "where.h"', "").replace("SPI", "0x90000000"), "panel.dtbo")
    assert places(capsys, "board.dts", "--overlay", "panel.dtbo") == {SPI: None, UART: None}


def test_the_last_overlay_decides(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again = "/dts-v1/;\n/plugin/;\n&{/bus/serial@70000000} { reg = <0 0x99000000 0 0x1000>; };\n"
    (folder / "again.dtso").write_text(again)
    found = places(capsys, "board.dts", *ARGV, "--overlay", "again.dtso")
    assert found == {SPI: ("overlays/panel.dtso", 8, 3), UART: ("again.dtso", 3, 27)}
    compiled(again, "again.dtbo")
    assert places(capsys, "board.dts", *ARGV, "--overlay", "again.dtbo")[UART] is None


def test_a_suppression_may_stand_in_an_overlay(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overlay = folder / "overlays" / "panel.dtso"
    overlay.write_text(ADDED.replace("0x1000>;\n\t};", "0x1000>; /* dtanalyze: suppress X01: the panel is off */\n\t};"))
    with pytest.raises(SystemExit):
        main(["check", "board.dts", *ARGV, "--format", "json"])
    answer = json.loads(capsys.readouterr().out)
    assert len(answer["suppressed"]) == 1
    assert places(capsys, "board.dts", *ARGV) == {UART: ("overlays/panel.dtso", 12, 9)}


def test_the_library_names_the_overlays_lines_too(folder: Path) -> None:
    (folder / "overlays" / "panel.dtso").write_text(ADDED.replace('#include "where.h"', "").replace("SPI", "0x90000000"))
    tree = dtanalyze.load("board.dts", overlays=["overlays/panel.dtso"])
    found = {item.node: str(item.place) for item in dtanalyze.check(tree).findings if item.rule == "X01"}
    assert found == {SPI: "overlays/panel.dtso:8:3", UART: "overlays/panel.dtso:12:9"}


def test_an_overlays_source_as_a_tree_asks_for_its_base(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["check", "overlays/panel.dtso", "-I", "include", "-D", "OFFSET=0"])
    assert (
        left.value.code == 2 and "give its base, the board's tree, and the overlay with --overlay" in capsys.readouterr().err
    )


def test_a_cache_knows_the_overlays_lines(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A comment moves lines and leaves the blob as it is: the answer has to move with them."""
    compiled(BOARD, "board.dtb")
    argv = ("board.dtb", *ARGV, "--cache", "cache")
    assert places(capsys, *argv)[SPI] == ("overlays/panel.dtso", 8, 3)
    (folder / "overlays" / "panel.dtso").write_text(ADDED.replace("/* the", "\n/* the"))
    assert places(capsys, *argv)[SPI] == ("overlays/panel.dtso", 9, 3)


def test_a_cache_is_not_asked_beside_a_source(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = BOARD.replace("<0 0x30000000", "<0 0x91000000")
    (folder / "board.dts").write_text(text)
    compiled(text, "board.dtb")
    argv = ("board.dtb", "--source", "board.dts", "--cache", "cache")
    assert places(capsys, *argv)[UART] == ("board.dts", 12, 27)
    (folder / "board.dts").write_text(text.replace("/ {", "// one line more\n/ {", 1))
    assert places(capsys, *argv)[UART] == ("board.dts", 13, 27)
