"""Changes that remove findings: each overlay is compiled and applied by the standard tools where they are installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from unittest.mock import patch

import pytest

from dtanalyze.cli import main
from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.write import new_node, strings, to_blob
from tests.conftest import FIXTURES
from tests.trees import dtb

DTB = FIXTURES / "dtb"
SOC = """soc {{ compatible = "simple-bus"; #address-cells = <1>; #size-cells = <1>; ranges = {ranges};
    spi@20000000 {{ reg = <0x20000000 0x1000>; }}; uart@30000000 {{ reg = <0x30000000 0x1800>; }}; }};"""
HOST = """#address-cells = <2>; #size-cells = <2>;
cpus {{ #address-cells = <1>; #size-cells = <0>; cpu@0 {{ device_type = "cpu"; compatible = "arm,cortex-a53"; reg = <0>; }}; }};
memory@40000000 {{ device_type = "memory"; reg = <0 0x40000000 0 0x80000000>; }};
gic@3001000 {{ compatible = "arm,gic-v3"; #interrupt-cells = <3>; interrupt-controller; phandle = <1>;
    reg = <0 0x3001000 0 0x10000>, <0 0x3020000 0 0x1000000>; interrupt-parent = <1>; interrupts = <1 9 4>; }};
timer {{ compatible = "arm,armv8-timer"; interrupt-parent = <1>; interrupts = <1 13 8>, <1 14 8>, <1 11 8>, <1 10 8>; }};
chosen {{ {chosen} }}; {more}"""


class Ran:
    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> Ran:
    with patch("dtanalyze.cli.fix.columns", return_value=10_000), pytest.raises(SystemExit) as left:
        main(list(argv))  # wide enough that no sentence is broken
    printed = capsys.readouterr()
    return Ran(left.value.code if isinstance(left.value.code, int) else 0, printed.out, printed.err)


def test_a_ranges_entry_covers_a_stray_reg(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The bus moves addresses up by 2^32; both stray entries get an entry of whole pages that moves them alike."""
    board = tmp_path / "board.dtb"
    board.write_bytes(dtb(HOST.format(chosen="", more=SOC.format(ranges="<0x0 0x1 0x0 0x10000000>"))))
    ran = run(capsys, "fix", str(board), "--linux", "6.12")
    assert ran.status == 0 and "no-boot (2 errors, 0 warnings) -> scratch (0 errors" in ran.err
    assert (
        ran.out
        == """/dts-v1/;
/plugin/;

&{/soc} {
\tranges = <0x0 0x1 0x0 0x10000000 0x20000000 0x1 0x20000000 0x1000 0x30000000 0x1 0x30000000 0x2000>;
};
"""
    )


@pytest.mark.parametrize(
    "ranges",
    [
        "<0x30001000 0x0 0x1000 0x1000>",  # moving 0x20000000 alike would end below zero
        "<0x0 0x0 0x30000000 0x1000>",  # 0x20000000 would become 0x50000000, where RAM is
        "<0x0 0xffffffff 0xf0000000 0x1000>",  # it would end past the last address
    ],
)
def test_where_a_bus_moves_addresses_to_is_not_guessed(
    ranges: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    board = tmp_path / "board.dtb"
    board.write_bytes(dtb(HOST.format(chosen="", more=SOC.format(ranges=ranges))))
    ran = run(capsys, "fix", str(board))
    assert ran.status == 1 and "nothing to change" in ran.out and "left: X34" in ran.err


def test_the_nearest_entry_tells_where_a_bus_moves_an_address(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two entries that move addresses differently, each near one of the strays: +0 below 0x2000_0000, +2^32 above."""
    ranges = "<0x1f000000 0x0 0x1f000000 0x1000>, <0x2f000000 0x1 0x2f000000 0x1000>"
    board = tmp_path / "board.dtb"
    board.write_bytes(dtb(HOST.format(chosen="", more=SOC.format(ranges=ranges))))
    ran = run(capsys, "fix", str(board), "--linux", "6.12")
    assert (
        ran.status == 0 and "assumed: /soc moves 0x20000000 by as much as the entry of its ranges that is nearest" in ran.err
    )
    assert ran.out.endswith(" 0x20000000 0x0 0x20000000 0x1000 0x30000000 0x1 0x30000000 0x2000>;\n};\n")


def test_a_pci_host_gets_its_type(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pcie = """pcie@10000000 { compatible = "pci-host-ecam-generic"; interrupt-parent = <1>; #address-cells = <3>; #size-cells = <2>;
        reg = <0 0x10000000 0 0x1000000>; ranges = <0x2000000 0 0x20000000 0 0x20000000 0 0x8000000>; };"""
    board = tmp_path / "board.dtb"
    board.write_bytes(dtb(HOST.format(chosen="", more=pcie)))
    ran = run(capsys, "fix", str(board), "--iommu", "on", "--linux", "6.12")
    assert ran.status == 0 and '&{/pcie@10000000} {\n\tdevice_type = "pci";\n};' in ran.out


def test_a_bus_gets_its_ranges(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soc = """soc { compatible = "simple-bus"; #address-cells = <2>; #size-cells = <2>; spi@5000000 { reg = <0 0x5000000 0 0x1000>; }; };"""
    board = tmp_path / "board.dtb"
    board.write_bytes(dtb(HOST.format(chosen="", more=soc)))
    assert "&{/soc} {\n\tranges;\n};" in run(capsys, "fix", str(board), "--linux", "6.12").out


@pytest.mark.parametrize(("name", "before"), [("06a-1G-dom0-896M", "no-boot"), ("06c-1G-dom0-640M", "exhausted")])
def test_dom0_mem_leaves_room(name: str, before: str, capsys: pytest.CaptureFixture[str]) -> None:
    """1 GiB from 0x40000000: 512 MiB for dom0 leave two whole sections, 576 MiB do not."""
    ran = run(capsys, "fix", str(DTB / "hosts" / f"{name}.dtb"), "--xen", "4.20", "--linux", "6.12")
    assert ran.status == 0 and 'dom0_mem=512M dom0_max_vcpus=2"' in ran.out
    assert f"dom0: {before} " in ran.err and "-> scratch (0 errors" in ran.err


@pytest.mark.parametrize(
    ("name", "reg"),
    [
        ("11d-overlap", "0x0 0x40400000 0x0 0x40000 0x0 0x80000000 0x0 0x30000000"),  # merged
        ("11e2-half-ram", "0x0 0x40400000 0x0 0x40000 0x0 0x80000000 0x0 0x10000000"),  # the half that is no RAM
        (
            "06f-small-banks-64M",
            "0x0 0x40400000 0x0 0x40000 0x0 0x90000000 0x0 0x8000000 0x0 0xa0000000 0x0 0x8000000",
        ),  # grown
    ],
)
def test_regions_become_whole_free_sections(name: str, reg: str, capsys: pytest.CaptureFixture[str]) -> None:
    ran = run(capsys, "fix", str(DTB / "boots" / f"{name}.dtb"), "--linux", "6.12")
    assert ran.status == 0 and f"reg = <{reg}>;" in ran.out
    assert "-> scratch (0 errors, 0 warnings)" in ran.err and "make sure that nobody uses it" in ran.err


def test_a_tree_that_works_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    ran = run(capsys, "fix", str(DTB / "boots" / "02-dom0-x417-l612.dtb"))
    assert ran.status == 0 and "nothing to change" in ran.out and "0 changes" in ran.err


def test_the_input_is_never_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    board = tmp_path / "board.dtb"
    data = (DTB / "boots" / "11d-overlap.dtb").read_bytes()
    board.write_bytes(data)
    for option in ("-o", "--emit-dtb"):
        ran = run(capsys, "fix", str(board), option, str(board))
        assert ran.status == 2 and "is an input, which is never written" in ran.err
    assert "No such file" in run(capsys, "fix", str(board), "-o", str(tmp_path / "no" / "where")).err
    assert run(capsys, "fix", str(tmp_path / "none.dtb")).status == 2
    assert board.read_bytes() == data
    made = tmp_path / "fixed.dtb"
    run(capsys, "fix", str(board), "-o", str(tmp_path / "fix.dtso"), "--emit-dtb", str(made))
    assert (tmp_path / "fix.dtso").read_text().startswith("/dts-v1/;\n/plugin/;\n")
    assert run(capsys, "check", str(made), "--linux", "6.12", "--fail-on", "warning").status == 0


@pytest.mark.skipif(shutil.which("fdtoverlay") is None, reason="dtc and fdtoverlay are not installed: not shown here")
def test_the_standard_tools_apply_the_overlay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    board = DTB / "boots" / "11d-overlap.dtb"
    source, overlay, ours, theirs = (tmp_path / name for name in ("fix.dtso", "fix.dtbo", "ours.dtb", "theirs.dtb"))
    run(capsys, "fix", str(board), "-o", str(source), "--emit-dtb", str(ours))
    subprocess.run(["dtc", "-q", "-I", "dts", "-O", "dtb", "-o", str(overlay), str(source)], check=True)
    subprocess.run(["fdtoverlay", "-i", str(board), "-o", str(theirs), str(overlay)], check=True)
    trees = [parse(path.read_bytes()) for path in (ours, theirs)]
    flat = [
        [(node.path, name, prop.value) for node in tree.root for name, prop in node.properties.items()] for tree in trees
    ]
    assert sorted(flat[0]) == sorted(flat[1])


# Trees on which a change once offered did not boot, or was no overlay (fixtures/fix): what is offered now, and what is not.
WRONG_ONCE = {
    "a13-absolute-reg": (1, "scratch"),
    "a14-ranges-partial": (1, "scratch"),
    "b3-overram": (0, "scratch"),
    "d5-quote": (1, "scratch"),
    "dlim-4G": (1, "scratch"),
    "nokernel": (2, "scratch"),
    "r31": (1, "scratch"),
    "v2m": (1, "scratch"),
}
ASKED = ("--xen", "4.20", "--ipa-bits", "44", "--linux", "6.12")


@pytest.mark.skipif(
    shutil.which("dtc") is None, reason="dtc is not installed (Debian: device-tree-compiler): overlays are NOT compiled"
)
@pytest.mark.parametrize("name", WRONG_ONCE)
def test_what_is_offered_compiles_applies_and_boots(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree, source, overlay, applied = (
        FIXTURES / "fix" / f"{name}.dtb",
        tmp_path / "o.dtso",
        tmp_path / "o.dtbo",
        tmp_path / "new.dtb",
    )
    ran = run(capsys, "fix", str(tree), *ASKED, "-o", str(source))
    count, verdict = WRONG_ONCE[name]
    assert f"{tree}: {count} change" in ran.err
    subprocess.run(["dtc", "-q", "-@", "-I", "dts", "-O", "dtb", "-o", overlay, source], check=True)
    subprocess.run(["fdtoverlay", "-i", tree, "-o", applied, overlay], check=True)
    assert f": {verdict}: " in run(capsys, "check", str(applied), *ASKED, "--quiet").out


def test_a_change_that_brings_an_error_is_not_offered(capsys: pytest.CaptureFixture[str]) -> None:
    ran = run(capsys, "fix", str(FIXTURES / "fix" / "b3-overram.dtb"), *ASKED)
    assert "not offered: /soc: ranges;: it would bring O01 ram-over-device" in ran.err
    assert ran.out.endswith("/ {\n};\n"), "an overlay that changes nothing, and compiles"


def test_a_finding_without_a_change_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    board = tmp_path / "board.dtb"
    board.write_bytes(dtb(HOST.format(chosen="", more="").replace("arm,gic-v3", "vendor,controller")))
    ran = run(capsys, "fix", str(board), *ASKED)
    assert "V-no-boot" in ran.err and "no change of the tree is known for it: " in ran.err


def test_a_node_that_no_overlay_can_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    board, new = tmp_path / "board.dtb", tmp_path / "new.dtb"
    blob = dtb(HOST.format(chosen="", more=SOC.format(ranges="<0x0 0x1 0x0 0x10000000>")))
    board.write_bytes(blob.replace(b"soc\0", b'"c"\0'))
    ran = run(capsys, "fix", str(board), "--linux", "6.12", "--apply", str(new))
    assert "its path holds characters that dtc does not take" in ran.err and '&{/"c"}' not in ran.out
    node = parse(new.read_bytes()).find('/"c"')
    assert node is not None and node.properties["ranges"].value != b""


def test_a_tree_in_a_fit_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A configuration of a board's tree and an overlay: what is offered is for the two together."""
    root = new_node("")
    images, configurations = new_node("images", root), new_node("configurations", root)
    broken = dtb(HOST.format(chosen="", more=SOC.format(ranges="<0x0 0x1 0x0 0x10000000>")))
    overlay = dtb('fragment@0 { target-path = "/soc"; __overlay__ { adc@40000000 { reg = <0x40000000 0x1000>; }; }; };')
    for name, data in (("fdt-1", broken), ("fdt-2", overlay)):
        new_node(name, images, {"type": strings("flat_dt"), "data": data})
    new_node("conf-1", configurations, {"fdt": strings("fdt-1", "fdt-2")})
    image, new = tmp_path / "fit.itb", tmp_path / "new.dtb"
    image.write_bytes(to_blob(root))
    ran = run(capsys, "fix", str(image), "--linux", "6.12", "--apply", str(new))
    assert ran.status == 0 and "0x40000000 0x1 0x40000000 0x1000>;" in ran.out
    assert ": scratch: " in run(capsys, "check", str(new), "--linux", "6.12", "--quiet").out


def test_nothing_is_written_where_nothing_is_offered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    board, new = tmp_path / "board.dtb", tmp_path / "new.dtb"
    board.write_bytes(dtb(HOST.format(chosen="", more="").replace("arm,gic-v3", "vendor,controller")))
    ran = run(capsys, "fix", str(board), "--apply", str(new))
    assert ran.status == 1 and not new.exists() and f"{new}: not written, there is nothing to change" in ran.err
    ran = run(capsys, "fix", str(board), "--format", "sarif")
    assert ran.status == 2 and "no format is called 'sarif'" in ran.err


def test_other_cures_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    board = tmp_path / "board.dtb"
    board.write_bytes(dtb(HOST.format(chosen='xen,xen-bootargs = "dom0_mem=1900M";', more="")))
    ran = run(capsys, "fix", str(board), "--linux", "6.12", "--alternatives")
    assert "cures B03" in ran.err and 'or: /chosen: xen,xen-bootargs = "dom0_mem=512M"' in ran.err
    assert "or: " not in run(capsys, "fix", str(board), "--linux", "6.12").err
