"""What is said of the hypervisor node depends on who reads the tree."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dtanalyze.cli import main
from dtanalyze.rules.registry import ALL_RULES
from tests.trees import dtb


@pytest.mark.parametrize(("chosen", "severity"), [("", "error"), ("chosen { zephyr,sram = &ram; };", "info")])
def test_zephyrs_node_has_a_unit_address(
    chosen: str, severity: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = next(rule for rule in ALL_RULES if rule.code == "X23").bad.dts
    tree = tmp_path / "guest.dtb"
    tree.write_bytes(dtb(body + chosen.replace("&ram", "<1>")))
    with pytest.raises(SystemExit) as left:
        main(["check", str(tree), "--format", "json", "--no-config"])
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert [item["severity"] for item in result["findings"] if item["rule"] == "X23"] == [severity]
    assert (left.value.code or 0) == (1 if severity == "error" else 0)
