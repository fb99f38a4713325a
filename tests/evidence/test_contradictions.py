"""``check --xen-log``: what the log settles is used, and what it says against the answer is a finding."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import dtanalyze
from dtanalyze.address.range import AddressRange
from dtanalyze.analysis.host_ram import host_ram
from dtanalyze.cli import main
from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.write import to_blob
from dtanalyze.xen.boot_log import read_xen_log
from tests.trees import dtb

FIXTURES = Path(__file__).parents[2] / "fixtures"
STOCK = ("01-dom0-x420-l612", "02-dom0-x417-l612", "05b-2banks-rsv", "08a-smmuv3-2G", "06c-1G-dom0-640M", "14a-dom0-x422")


def log_of(name: str, tmp_path: Path, *changes: tuple[str, str], more: str = "") -> Path:
    """Write what Xen printed in a recorded boot, its IOMMU line among it."""
    boot = json.loads((FIXTURES / "boots" / f"{name}.json").read_text())
    iommu = "enabled" if boot["iommu"] else "disabled"
    text = "\n".join(
        [f"(XEN) Xen version {boot['xen_version']} (x) (gcc)", f"(XEN) I/O virtualisation {iommu}", *boot["xen_messages"]]
    )
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "xen.log"
    path.write_text(text + "\n(XEN) Freed 368kB init memory.\n" + more)
    return path


def check(name: str, log: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    board = FIXTURES / "dtb" / "hosts" / f"{name}.dtb"
    with pytest.raises(SystemExit):
        main(["check", str(board), "--xen-log", str(log), "--linux", "6.12", "--format", "json", *more])
    answer = json.loads(capsys.readouterr().out)
    assert not answer["errors"], answer["errors"]
    result: dict[str, Any] = answer["results"][0]
    return result


def told(result: dict[str, Any]) -> list[str]:
    return [item["message"] for item in result["findings"] if item["rule"] == "E01"]


@pytest.mark.parametrize("name", STOCK)
def test_a_true_log_draws_no_remark(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = check(name, log_of(name, tmp_path), capsys)
    assert told(result) == []
    boot = json.loads((FIXTURES / "boots" / f"{name}.json").read_text())
    assert result["extended_regions"] == boot["extended_regions"]
    assert result["iommu"] is boot["iommu"]


def test_a_moved_region_is_a_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "01-dom0-x420-l612"
    log = log_of(name, tmp_path, ("0x80000000->0xbfe00000", "0x84000000->0xbfe00000"))
    (message,) = told(check(name, log, capsys))
    assert "extended regions of dom0: predicted 0x40600000-0x5fdfffff, 0x80000000-0xbfdfffff" in message
    assert "the log (line 6) says 0x40600000-0x5fdfffff, 0x84000000-0xbfdfffff" in message


def test_the_iommu_of_the_log_stands_above_the_tree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """08a's tree has an SMMUv3; a log that says disabled is another way through Xen, and its regions differ."""
    name = "08a-smmuv3-2G"
    result = check(name, log_of(name, tmp_path, ("virtualisation enabled", "virtualisation disabled")), capsys)
    assert result["iommu"] is False and len(told(result)) == 1


def test_a_stop_that_the_log_does_not_have(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "01-dom0-x420-l612"
    stopped = "(XEN) Panic on CPU 0:\n(XEN) Out of memory\n"
    result = check(name, log_of(name, tmp_path, more=stopped), capsys)
    assert told(result) == ["Xen: predicted starts its domains; the log (line 10) says stops: Out of memory"]


def test_another_boards_ram(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "01-dom0-x420-l612"
    log = log_of(name, tmp_path, ("(XEN) Grant", "(XEN) RAM: 0000000080000000 - 00000000ffffffff\n(XEN) Grant"))
    messages = told(check(name, log, capsys))
    assert any(
        item.startswith("RAM: predicted 0x40000000-0xbfffffff; the log (line 3) says 0x80000000-") for item in messages
    )


BEGUN = "(XEN) Checking for initrd in /chosen"
LOW = "(XEN) RAM: 0000000040000000 - 000000009fffffff"
HIGH = "(XEN) RAM: 00000000c0000000 - 000000013fffffff"
XEN_LOW = "(XEN) MODULE[0]: 0000000040400000 - 00000000405390c8 Xen"
LOWER, UPPER = AddressRange.spanning(0x4000_0000, 0xA000_0000), AddressRange.spanning(0xC000_0000, 0x1_4000_0000)
BOTH = """#address-cells = <1>; #size-cells = <1>;
memory@40000000 { device_type = "memory"; reg = <0x40000000 0x60000000 0xc0000000 0x80000000>; };"""


@pytest.mark.parametrize(
    ("lines", "nodes", "memory", "said"),
    [
        ((BEGUN, LOW), BOTH, (LOWER,), "from the boot log"),
        ((BEGUN, HIGH), "", (UPPER,), "from the boot log"),
        ((LOW, HIGH), BOTH, (), "from the tree's memory nodes"),
        ((HIGH,), BOTH, (), "from the tree's memory nodes: the log begins behind Xen's first lines, and lists a part of it"),
        ((HIGH,), "", (UPPER,), "from the boot log: the log begins behind Xen's first lines, and may lack some of it"),
        ((HIGH, XEN_LOW), "", (), "not as the log lists it: the log begins behind Xen's first lines, and MODULE Xen (line 2)"),
        ((LOW, XEN_LOW), "", (LOWER,), "may lack some of it"),
    ],
)
def test_ram_of_a_log_that_begins_later(lines: tuple[str, ...], nodes: str, memory: tuple[AddressRange, ...], said: str) -> None:
    """Xen prints RAM upwards, right after the first line: a log cut among it lacks the lowest banks."""
    tree = parse(dtb(nodes))
    found = host_ram(tree, (), read_xen_log("\n".join(lines)).console)
    assert found.memory == memory and said in (found.refused or found.source)


def test_a_board_without_ram_is_not_given_half_of_it() -> None:
    tree = parse((FIXTURES / "dtb" / "hosts" / "05b-2banks-rsv.dtb").read_bytes())
    tree.root.children[:] = [node for node in tree.root.children if node.base_name != "memory"]
    log = read_xen_log(f"{HIGH}\n{XEN_LOW}\n")
    (result,) = dtanalyze.check(to_blob(tree.root, ()), host=dtanalyze.XenOptions(log=log))
    assert result.verdict == "unknown" and "--memory" in result.reason
    assert any("MODULE Xen (line 2) lies outside (--memory settles it)" in item for item in result.assumed)
