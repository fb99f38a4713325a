"""A tree of which one start may differ from the next, through the whole chain: verdict, alternatives, what is assumed.

Worked by hand: RAM in three pieces below 4 GiB, of 128, 64 and 128 MiB, beside one for Xen and one for the frame table. With
dom0_mem=192M bank 0 is one of the two pieces of 128 MiB, whichever the idle CPUs have left where. With the lower one, dom0
gets the 64 MiB above it, or half of the upper piece where that is clean already. With the upper one, the 64 MiB below are
refused, and what is left of the lower piece too.
"""

from __future__ import annotations

import json

import pytest

from dtanalyze.analysis.host import predict_host
from dtanalyze.analysis.questions import CheckOptions, HostQuestion
from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.tree import Tree
from dtanalyze.facts import Predicted
from dtanalyze.linux.boot import Verdict
from dtanalyze.linux.profile import PRESETS as LINUX
from dtanalyze.report.json import check_result, predict_result
from dtanalyze.report.text import check_text
from dtanalyze.xen.options import XenOptions
from dtanalyze.xen.profile import preset
from tests.xen.build import HEAD, blob, host
from tests.xen.test_predict import GIC

CPUS = 'cpu@1 { device_type = "cpu"; compatible = "arm,cortex-a53"; reg = <1>; };'
RAM = "reg = <0 0x40000000 0 0x2000000 0 0x80000000 0 0x8000000 0 0xa0000000 0 0x4000000 0 0xc0000000 0 0x8000000 0 0xe0000000 0 0x6000000>;"
LOW = [["0x80000000", "0x88000000"], ["0xa0000000", "0xa4000000"]]
SPLIT = [["0x80000000", "0x88000000"], ["0xc4000000", "0xc8000000"]]
HIGH = [["0xc0000000", "0xc8000000"]]


def board(bootargs: str = "dom0_mem=192M", cpus: str = CPUS) -> Tree:
    head = HEAD.replace("reg = <0 0x40000000 0 0x40000000>;", RAM).replace(CPUS, cpus)
    text = f'chosen {{ xen,xen-bootargs = "{bootargs}"; xen,dom0-bootargs = "nokaslr"; }};'
    return parse(blob(head + GIC + text))


def answer(tree: Tree) -> Predicted:
    linux = LINUX["6.12"]
    question = HostQuestion(CheckOptions(linux=linux), (linux,), (preset("4.20"),), (False,), XenOptions())
    return next(iter(predict_host(tree, "board.dtb", question)))


def banks(found: Predicted) -> list[list[str]]:
    return [[hex(bank.start), hex(bank.stop)] for bank in found.prediction.memory]


def test_the_worst_start_is_the_verdict_and_all_stand_beside_it() -> None:
    found = answer(board())
    assert (found.host.verdict, banks(found)) == (Verdict.NO_BOOT, HIGH)
    assert "Failed to allocate requested dom0 memory. 64MB unallocated" in found.host.reason
    assert found.host.reason.endswith("(in some starts only: where dom0's RAM lies is not settled)")
    assert found.host.cause is not None and found.host.cause.rule == "B03", "one fault is one finding, in some starts too"
    told = check_result(found.host)["alternatives"]
    assert sorted((item["verdict"] == "no-boot", item["dom0_memory"]) for item in told) == [
        (False, LOW),
        (False, SPLIT),
        (True, HIGH),
    ]
    assert all(item["kaslr"] is not True for item in told)


def test_what_would_make_it_certain_is_said() -> None:
    note = next(item for item in answer(board()).host.assumed if item.startswith("dom0's RAM: 192 MiB"))
    assert "idle CPUs scrub the heap while Xen builds dom0, so 3 placements are possible" in note
    assert "`bootscrub=0`" in note


def test_the_report_names_each_start() -> None:
    text = " ".join(check_text(answer(board()).host).split())
    assert "dom0's RAM at 0xc0000000-0xc7ffffff: no-boot, 0 sections" in text
    assert "dom0's RAM at 0x80000000-0x87ffffff, 0xa0000000-0xa3ffffff: " in text


def test_predict_lists_them_too_and_says_that_it_does_not_know() -> None:
    told = predict_result("board.dtb", answer(board()))
    assert told["dom0_memory_known"] is False
    assert sorted((item["dom0_memory"], item["stopped_by"] is None) for item in told["alternatives"]) == [
        (LOW, True),
        (SPLIT, True),
        (HIGH, False),
    ]
    assert json.dumps(told)


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        pytest.param(board("dom0_mem=192M bootscrub=0"), LOW, id="nothing is dirty: the block freed last comes first"),
        pytest.param(board("dom0_mem=192M bootscrub"), LOW, id="all is scrubbed, but only once dom0 is built"),
        pytest.param(board("dom0_mem=192M no-bootscrub"), LOW, id="as 0"),
        pytest.param(board(cpus=""), LOW, id="nobody is idle: the first search turns the list"),
    ],
)
def test_these_are_certain(tree: Tree, expected: list[list[str]]) -> None:
    found = answer(tree)
    assert (found.host.alternatives, found.prediction.others) == ((), ())
    assert banks(found) == expected


def test_starts_that_end_alike_are_one_answer() -> None:
    found = answer(board("dom0_mem=128M"))
    assert len(found.prediction.others) == 1
    assert found.host.verdict is not Verdict.NO_BOOT
    assert found.host.alternatives == ()


def test_without_a_difference_nothing_is_said_of_starts() -> None:
    found = answer(host(GIC))
    assert found.prediction.others == ()
    assert not any("idle CPUs" in item for item in found.host.assumed)
    assert predict_result("board.dtb", found)["alternatives"] == []
