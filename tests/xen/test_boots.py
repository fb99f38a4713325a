"""From a recorded boot's host tree, command line and releases alone: Xen's regions, and Linux's scratch ranges.

Only boots of an unchanged Xen: ``extreg=`` marks one that was made to write given regions. ``gtholes=1`` marks one that
takes the IOMMU path without an IOMMU.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dtanalyze.address.range import AddressRange
from dtanalyze.analysis import check
from dtanalyze.analysis.host import predict_host
from dtanalyze.analysis.questions import CheckOptions, HostQuestion
from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.tree import Property
from dtanalyze.facts import Predicted
from dtanalyze.linux.boot import Verdict
from dtanalyze.linux.profile import PRESETS, LinuxProfile
from dtanalyze.xen.options import XenOptions
from dtanalyze.xen.profile import preset

FIXTURES = Path(__file__).parents[2] / "fixtures"


def _cases() -> dict[str, dict[str, Any]]:
    found = {}
    for path in sorted((FIXTURES / "boots").glob("*.json")):
        case = json.loads(path.read_text())
        if case["xen_cmdline"] and "extreg=" not in case["xen_cmdline"]:
            found[path.stem] = case
    return found


CASES = _cases()
STOPPED = {
    "06a-1G-dom0-896M": ("dom0-memory", "Failed to allocate requested dom0 memory. 192MB unallocated"),
    "15a-untranslatable-x420": ("dom0-devices", "Unable to retrieve address 0 for /bus@148000000/dev@20000"),
    "15c-resv-overlap-x420": ("boot-scan", "Early FDT parsing failed (-22)"),
    "16a-zcu102-612dtb-x420": ("dom0-devices", "Unable to retrieve address 0 for /remoteproc@ffe00000/r5f@1"),
}
RAN = sorted(set(CASES) - set(STOPPED))


def _linux(case: dict[str, Any]) -> LinuxProfile:
    config = case["kernel_config"]
    profile = PRESETS[".".join(case["linux_version"].split(".")[:2])]
    page = config["PAGE_KIB"] * 1024
    # 16K pages: the recorded kernel was built for 47 bits.
    bits = 47 if config["PAGE_KIB"] == 16 else 48
    return profile._replace(unpopulated_alloc=config["XEN_UNPOPULATED_ALLOC"], page_size=page, va_bits=bits)


def _predicted(name: str, **known: Any) -> Predicted:
    case = CASES[name]
    # 15c's Xen died before it could say its version; the case's name does.
    release = (case["xen_version"] or "4.20.5").removesuffix("-pre")
    linux = _linux(case) if case["linux_version"] else PRESETS["6.12"]
    options = CheckOptions(linux=linux, requests=tuple(item["pages"] for item in case["requests"]))
    iommu = True if "gtholes=1" in case["xen_cmdline"] else None
    question = HostQuestion(options, (linux,), (preset(release),), (iommu,), XenOptions(**known))
    tree = parse((FIXTURES / "dtb" / "hosts" / f"{name}.dtb").read_bytes())
    found = list(predict_host(tree, name, question))
    wanted = "dom0" if case["guest"] == "dom0" else "/chosen/"
    return next(item for item in found if item.prediction.domain.startswith(wanted))


def _pairs(ranges: Any) -> list[tuple[str, str]]:
    return [(hex(item.start), hex(item.stop)) for item in ranges]


def _recorded(case: dict[str, Any]) -> list[tuple[str, str]]:
    return [(start, stop) for start, stop in case["extended_regions"]]


def test_there_are_enough_cases() -> None:
    assert len(RAN) >= 25


@pytest.mark.parametrize("name", RAN)
def test_regions_equal_what_xen_printed(name: str) -> None:
    """Without anything but the tree: dom0's RAM and grant table are placed by the model."""
    assert _pairs(_predicted(name).prediction.regions.ranges) == _recorded(CASES[name])


@pytest.mark.parametrize("name", [name for name in RAN if CASES[name]["guest"] == "dom0"])
def test_dom0_memory_equals_what_xen_printed(name: str) -> None:
    recorded = [line.split("]")[1].split("(")[0].strip() for line in CASES[name]["xen_messages"] if ") BANK[" in line]
    mine = [f"{item.start:#016x}-{item.stop:#016x}" for item in _predicted(name).prediction.memory]
    assert mine == recorded


@pytest.mark.parametrize("name", [name for name in RAN if CASES[name]["guest"] == "dom0"])
def test_regions_with_the_recorded_placement_given(name: str) -> None:
    """The same with nothing left to the model: banks and grant table as Xen printed them."""
    case = CASES[name]
    lines = [line for line in case["xen_messages"] if ") BANK[" in line]
    banks = [line.split("]")[1].split("(")[0].strip().split("-") for line in lines]
    grant = AddressRange.spanning(*(int(item, 16) for item in case["grant_table"]))
    known = tuple(AddressRange.spanning(int(start, 16), int(stop, 16)) for start, stop in banks)
    prediction = _predicted(name, dom0_banks=known, grant_table=grant).prediction
    assert prediction.memory_known
    assert _pairs(prediction.regions.ranges) == _recorded(case)


@pytest.mark.parametrize("name", RAN)
def test_scratch_ranges_equal_proc_iomem(name: str) -> None:
    guest = _predicted(name).guest
    assert guest is not None and guest.answer is not None
    taken = sorted((hex(item.taken.start), hex(item.taken.last)) for item in guest.answer.requests if item.taken)
    assert taken == sorted((start, end) for start, end in CASES[name]["scratch_inclusive"])


# Written after the tree is built (initrd placement), or by Linux once it has read it (the seed).
LATER = {("/chosen", "linux,initrd-start"), ("/chosen", "linux,initrd-end"), ("/chosen", "kaslr-seed")}


@pytest.mark.parametrize("name", RAN)
def test_the_tree_written_equals_the_one_linux_booted_with(name: str) -> None:
    """Node for node and property for property, phandles, interrupts and all."""
    blob = _predicted(name).prediction.blob
    assert blob is not None
    mine, recorded = (
        {
            (node.path, prop.name): prop.value
            for node in parse(data).root
            for prop in (*node.properties.values(), Property("", b"", 0))
            if (node.path, prop.name) not in LATER
        }
        for data in (blob, (FIXTURES / "dtb" / "boots" / f"{name}.dtb").read_bytes())
    )
    assert mine == recorded


@pytest.mark.parametrize("name", sorted(STOPPED))
def test_what_stopped_xen_is_said_in_its_words(name: str) -> None:
    stage, line = STOPPED[name]
    found = _predicted(name)
    stop = found.prediction.stopped_by
    assert stop is not None and stop.stage == stage and stop.lines[0] == line
    assert found.host.verdict is Verdict.NO_BOOT and line in found.host.reason
    recorded = CASES[name]["xen_messages"]
    assert stage == "boot-scan" or any(line in message for message in recorded)
    assert stage == "boot-scan" or recorded[-1].endswith(stop.lines[-1]), "the panic, character by character"


def test_check_runs_the_whole_chain_on_a_host_tree() -> None:
    blob = (FIXTURES / "dtb" / "hosts" / "06c-1G-dom0-640M.dtb").read_bytes()
    question = HostQuestion(CheckOptions(), (PRESETS["6.12"],), (preset("4.20"), preset("4.22")))
    results = check(blob, "board.dtb", question.options, question)
    assert [(item.xen, item.tree, item.domain, item.verdict.value) for item in results] == [
        ("4.20", "host", "dom0", "exhausted"),
        ("4.22", "host", "dom0", "scratch"),
    ], "4.20 cuts 2 MiB off each region and loses the only section"


def test_offsets_of_a_host_tree_lie_in_its_own_file() -> None:
    """The hazard is found in the tree that Xen would write; the place named is the device's reg in the board's file."""
    blob = (FIXTURES / "dtb" / "hosts" / "09a-noiommu-rogue-in-ram.dtb").read_bytes()
    question = HostQuestion(CheckOptions(), (PRESETS["6.12"],), (preset("4.20"),))
    (result,) = check(blob, "board.dtb", question.options, question)
    (finding,) = [item for item in result.findings if item.rule == "V-hazard"]
    assert finding.node == "/rogue@90000000" and finding.offset is not None
    # one page at 0x90000000 in the root's two cells each
    assert blob[finding.offset : finding.offset + 16] == bytes.fromhex("00000000900000000000000000001000")
