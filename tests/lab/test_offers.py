"""Offers tried in the lab, with a machine that says what it is told to: promises kept and broken, trees and their places."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from dtanalyze.address.range import AddressRange
from dtanalyze.analysis.fix import fix
from dtanalyze.analysis.questions import CheckOptions, HostQuestion
from dtanalyze.devicetree.blob import parse
from dtanalyze.xen.profile import PRESETS
from lab import advice, faulty, offers
from lab.faulty import Faulty, alone, recorded
from lab.host_tree import images_of
from lab.machine import Machine, Started
from lab.offers import offers_table, tried
from lab.packages import Package
from lab.releases import XenBuild

FIXTURES = Path(__file__).parents[2] / "fixtures"
BOOTS = FIXTURES / "host-boots"
XEN = XenBuild(Package("xen-hypervisor-4.20-arm64", "4.20.4"), b"", "")
FAULT = "21a-irq-two-triggers-x417"
STARTS = "(XEN) Xen version 4.20.4 (x) (gcc) debug=n\n(XEN) Freed 380kB init memory.\n"
STOPS = (
    "(XEN) Xen version 4.20.4 (x) (gcc) debug=n\n(XEN) Panic on CPU 0:\n(XEN) Could not set up DOM0 guest OS (rc = -22)\n"
)

needs_dtc = pytest.mark.skipif(shutil.which("fdtoverlay") is None, reason="no device-tree-compiler")


def one(name: str) -> Faulty:
    return next(item for item in recorded(BOOTS) if item.name == name)


def test_recorded_trees_are_placed_where_nothing_is() -> None:
    found = list(recorded(BOOTS))
    assert len(found) > 10 and {item.xen for item in found} == {"4.17", "4.20"}
    for item in found:
        tree = parse(item.blob)
        laid = [
            AddressRange(item.machine.xen, 2 << 20),
            AddressRange(item.machine.tree, len(item.blob)),
            AddressRange(item.machine.stub, 4096),
        ]
        laid += [AddressRange(image.address, 1) for image in images_of(tree)]
        for number, mine in enumerate(laid[:3]):
            assert not any(mine.overlaps(other) for other in laid[number + 1 :]), item.name


def test_where_the_record_says_there_it_lies() -> None:
    for path in BOOTS.glob("*/case.json"):
        case = json.loads(path.read_text())
        if "--fdt-address" in case["options"] and case["outcome"] == "no-boot" and case["xen_release"].startswith("4.20"):
            said = int(case["options"][case["options"].index("--fdt-address") + 1], 16)
            assert one(path.parent.name).machine.tree == said


def test_a_file_alone_is_for_every_packaged_xen() -> None:
    path = FIXTURES / "fix" / "r31.dtb"
    assert [item.xen for item in alone(path)] == ["4.17", "4.20"]
    assert {item.machine.board for item in alone(path)} == {"virt,gic-version=3,virtualization=on"}
    assert {item.machine.board for item in alone(path.with_name("v2m.dtb"))} == {"virt,gic-version=2,virtualization=on"}


@needs_dtc
@pytest.mark.parametrize(
    ("consoles", "kept", "after"),
    [
        ((STOPS, STARTS), True, "starts its domains"),
        ((STOPS, STOPS), False, "stops: Could not set up DOM0 guest OS (rc = -22)"),
        ((STOPS, ""), False, "ends without a word"),
    ],
)
def test_a_promise_is_held_against_the_boot(
    consoles: tuple[str, str], kept: bool, after: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = iter(consoles)
    booted: list[bytes] = []

    def start(machine: Machine, blob: bytes, _: object) -> Started:
        assert machine.images == ((machine.xen, b""),)
        booted.append(blob)
        return Started(next(said), "done", {}, 1.0)

    monkeypatch.setattr(offers, "start_tree", start)
    record = tried(one(FAULT), XEN, tmp_path)
    assert (record["verdict"], record["promised"], record["overlay"]) == ("no-boot", "scratch", "applies")
    assert record["before"].startswith("stops") and (record["after"], record["kept"]) == (after, kept)
    assert booted[0] != booted[1] and (tmp_path / "fixed.dtb").read_bytes() == booted[1]
    assert json.loads((tmp_path / "offer.json").read_text()) == record


def row(name: str, **more: Any) -> dict[str, Any]:
    made = {"name": name, "xen": "4.20", "verdict": "no-boot", "rules": ["B02"], "reasons": ["B02"], "changes": ["x"]}
    return {**made, "promised": "scratch", "after": "starts its domains", "kept": True, "differs": [], **more}


def test_the_table_counts_and_names_what_was_not_as_promised() -> None:
    records = [
        row("a"),
        row("b", kept=False, after="stops: no", differs=["RAM: more"]),
        row("c", changes=[], rules=[], reasons=["B05"]),
    ]
    text = "\n".join(offers_table(records))
    assert text.startswith("3 faulty trees, 2 with an offer; 1 boot as promised.")
    assert "| B02 | 2 | 2 | 1 |" in text and "| B05 | 1 | 0 | 0 |" in text
    assert "* `b` (4.20): promised scratch, stops: no\n  * RAM: more" in text


def test_every_fault_lies_over_every_base(monkeypatch: pytest.MonkeyPatch) -> None:
    board = (FIXTURES / "dtb/hosts/01-dom0-x420-l612.dtb").read_bytes()
    monkeypatch.setattr(faulty, "dump_tree", lambda *_: board)
    found = list(faulty.seeded(Path(faulty.__file__).parent / "faults.toml"))
    names = [item.name for item in found]
    assert len(names) == len(set(names)) >= 100
    assert {item.blob for item in found if item.name.startswith("no-trigger")}, "each is a tree of its own"
    assert all(parse(item.blob).root.child("chosen") is not None for item in found)


def test_the_advice_that_was_followed_can_be_read_and_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    board = (FIXTURES / "dtb/hosts/01-dom0-x420-l612.dtb").read_bytes()
    monkeypatch.setattr(faulty, "dump_tree", lambda *_: board)
    pieces = list(advice.read_advice(Path(advice.__file__).parent / "advice.toml"))
    recorded_ = json.loads((FIXTURES / "lab/advice.json").read_text())
    assert [item.name for item in pieces] == [item["name"] for item in recorded_]
    assert len(pieces) >= 15 and all(item.before != item.after for item in pieces)
    (padded,) = [item for item in pieces if item.name == "no-room-in-doms0-tree"]
    assert parse(padded.after.blob).totalsize == len(padded.after.blob) == len(padded.before.blob) + 16384


@pytest.mark.parametrize(
    ("consoles", "kept"),
    [((STOPS, STARTS), True), ((STARTS, STARTS), False), ((STOPS, STOPS), False)],
)
def test_advice_is_held_against_the_boot(
    consoles: tuple[str, str], kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = iter(consoles)
    monkeypatch.setattr(offers, "start_tree", lambda *_: Started(next(said), "done", {}, 1.0))
    fault = one(FAULT)
    mended = fault._replace(blob=fix(fault.blob, "x", *question(fault)).blob)
    record = advice.followed(advice.Advice("a", "B02", fault, mended), XEN, tmp_path)
    assert (record["kept"], record["gone"], record["predicted"]) == (kept, True, ["no-boot", "scratch"])
    table = "\n".join(advice.advice_table([record]))
    assert table.startswith(f"1 pieces of advice followed, {int(kept)} with") and ("**not as predicted**" in table) != kept


def question(fault: Faulty) -> tuple[CheckOptions, HostQuestion]:
    asked = CheckOptions()
    return asked, HostQuestion(asked, (asked.linux,), (PRESETS[fault.xen],), (None,), offers.known(fault))
