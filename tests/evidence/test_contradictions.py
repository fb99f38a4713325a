"""``check --xen-log``: what the log settles is used, and what it says against the answer is a finding."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dtanalyze.cli import main

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
