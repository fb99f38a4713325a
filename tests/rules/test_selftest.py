"""The self-test: what it tries on shipped boards, and that it can fail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dtanalyze.address.range import AddressRange
from dtanalyze.address.units import GIB
from dtanalyze.analysis import host_selftest as host_module
from dtanalyze.analysis import rules as rules_module
from dtanalyze.analysis import selftest as module
from dtanalyze.analysis.faults import FAULTS, NotApplicable
from dtanalyze.analysis.host_faults import HOST_FAULTS
from dtanalyze.analysis.host_selftest import host_selftest
from dtanalyze.analysis.questions import CheckOptions
from dtanalyze.analysis.selftest import guest_selftest, selftest
from dtanalyze.cli import main
from dtanalyze.linux.profile import PRESETS
from dtanalyze.report.selftest import selftest_text
from dtanalyze.rules.layout import LAYOUT
from dtanalyze.rules.registry import ALL_RULES
from tests.conftest import FIXTURES
from tests.trees import dtb

BOARDS = FIXTURES / "dtb" / "boards"
RULES = {item.code: item for item in ALL_RULES}
ASKED = CheckOptions(linux=PRESETS["6.12"])


def test_every_fault_names_rules_that_exist() -> None:
    codes = {item.code for item in ALL_RULES}
    for fault in FAULTS:
        assert fault.caught_by | fault.beside <= codes
    assert all(fault.caught_by <= codes for fault in HOST_FAULTS)


@pytest.mark.parametrize(
    ("board", "ram"),
    [
        ("xilinx-zynqmp-zcu102-rev1.0", AddressRange(0, 2 * GIB)),
        ("broadcom-bcm2711-rpi-4-b", AddressRange(0, 0x3B400000)),
        ("freescale-imx8mp-evk", AddressRange(0x40000000, 2 * GIB)),
        ("marvell-cn9130-crb-A", AddressRange(0, GIB)),
        ("arm-juno", AddressRange(0x80000000, GIB)),
    ],
)
def test_every_fault_is_told_right(board: str, ram: AddressRange) -> None:
    trials = guest_selftest((BOARDS / f"{board}.dtb").read_bytes(), board, ASKED, (ram,))
    assert [(trial.fault, trial.false) for trial in trials if not trial.passed] == []
    assert sum(not trial.skipped for trial in trials) >= 15
    assert [(trial.fault, trial.remedy) for trial in trials if trial.cured is False] == []
    assert sum(trial.cured is True for trial in trials) >= 9


def test_what_stops_xen_is_told_and_cured() -> None:
    data = (BOARDS / "xilinx-zynqmp-zcu102-rev1.0.dtb").read_bytes()
    trials = [*host_selftest(data, "zcu102", ASKED._replace(memory=(AddressRange(0, 2 * GIB),)))]
    assert [(trial.fault, trial.remedy) for trial in trials if not trial.passed or trial.cured is False] == []
    assert sum(trial.cured is True for trial in trials) >= 14


def test_a_bus_address_is_not_taken_for_the_cpus() -> None:
    data = (BOARDS / "broadcom-bcm2711-rpi-4-b.dtb").read_bytes()
    trials = guest_selftest(data, "rpi4", ASKED, (AddressRange(0, 0x3B400000),))
    (trial,) = [item for item in trials if "bus address of a device" in item.fault]
    assert not trial.skipped and not trial.caught and trial.passed


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("#address-cells = <2>; #size-cells = <2>;", "the tree lists no RAM"),
        ("#address-cells = <3>; #size-cells = <2>;", "the root has #address-cells 3"),
        (
            '#address-cells = <1>; #size-cells = <1>; memory@40000000 { device_type = "memory"; reg = <0x40000000 0xb0000000>; };',
            "no eight free sections",
        ),
    ],
)
def test_trees_without_room(body: str, words: str) -> None:
    trials = selftest(dtb(body), "small", ASKED)
    assert all(words in trial.skipped for trial in trials[: len(FAULTS)]) and all(trial.skipped for trial in trials)


def test_a_fault_without_a_cure_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody offers anything: each fault is caught all the same, and not cured."""
    data = (BOARDS / "arm-juno.dtb").read_bytes()
    bare = RULES["X37"].check
    monkeypatch.setattr(host_module, "HOST_FAULTS", tuple(item for item in HOST_FAULTS if item.caught_by == {"X37"}))
    without = tuple(
        item._replace(check=lambda view: (hit._replace(cures=()) for hit in bare(view))) if item.code == "X37" else item
        for item in LAYOUT
    )
    monkeypatch.setattr(rules_module, "LAYOUT", without)
    (trial,) = host_selftest(data, "juno", ASKED._replace(memory=(AddressRange(0x80000000, GIB),)))
    assert trial.passed and trial.cured is False and "no change of the tree is known" in trial.remedy
    assert "not cured: no change" in selftest_text("juno", (trial,)) and "0 of 1" in selftest_text("juno", (trial,))


def test_a_missed_fault_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def never(_: object) -> bytes:
        raise NotApplicable("not here")

    unchanged = FAULTS[0]._replace(name="nothing at all", seed=lambda bench: bench.blob(bench.root()))
    wrong = FAULTS[0]._replace(name="too small", caught_by=frozenset(), seed=FAULTS[9].seed)
    absent = FAULTS[0]._replace(name="not here", seed=never)
    monkeypatch.setattr(module, "FAULTS", (unchanged, wrong, absent))
    monkeypatch.setattr(host_module, "HOST_FAULTS", ())
    path = tmp_path / "board.dtb"
    path.write_bytes((BOARDS / "arm-juno.dtb").read_bytes())
    with pytest.raises(SystemExit) as left:
        main(["selftest", str(path), "--memory", "0x80000000+1G"])
    out = capsys.readouterr().out
    assert left.value.code == 1
    out = " ".join(out.split())
    assert "missed nothing at all: X01 or X02 did not fire" in out
    assert "false alarm too small: X11" in out and "not tried not here: not here" in out
    with pytest.raises(SystemExit):
        main(["selftest", str(path), "--memory", "0x80000000+1G", "--format", "json"])
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert [item["passed"] for item in result["faults"]] == [False, False, True]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.dtb"
    broken.write_bytes(b"no tree")
    good = str(BOARDS / "arm-juno.dtb")
    with pytest.raises(SystemExit) as left:
        main(["selftest", good, str(broken), "--memory", "0x80000000+1G"])
    printed = capsys.readouterr()
    assert left.value.code == 2 and "broken.dtb" in printed.err
    assert "32 of 32 faults tried are told right" in printed.out
    assert "25 of 25 that `fix` knows a cure for are cured by its offer on this board" in printed.out
    assert max(map(len, printed.out.splitlines())) <= 80
