"""Every recorded boot of a real kernel: its verdict, every request, every range, both resource trees.

The table is written by hand from the records and from the facts that came with them (each case's comment says why);
nothing in it was computed by dtanalyze.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import pytest

from dtanalyze.analysis import CheckOptions, check
from dtanalyze.facts import CheckResult
from dtanalyze.linux.boot import Verdict
from dtanalyze.linux.memory_hotplug import memstart_addr
from dtanalyze.linux.proc_iomem import read_proc_iomem
from dtanalyze.linux.profile import PRESETS, LinuxProfile
from dtanalyze.linux.view import View
from tests.conftest import FIXTURES

S = 0x8000000
NO_BOOT = {"06a-1G-dom0-896M", "15a-untranslatable-x420", "15c-resv-overlap-x420", "16a-zcu102-612dtb-x420"}

# Verdict and one-section fills until the first refusal, counted by hand from the regions in the record.
CASES: dict[str, tuple[Verdict, int]] = {
    "01-dom0-x420-l612": (Verdict.SCRATCH, 9),  # 2 + 7: both ends 2 MiB short, fact 4
    "02-dom0-x417-l612": (Verdict.SCRATCH, 11),  # 3 + 8
    "03-dom0-x417-l61": (Verdict.BALLOON, 0),  # Debian's 6.1 has the option off
    "04-dom0-x420-l612-noext": (Verdict.BALLOON, 0),  # only reg[0]
    "05b-2banks-rsv": (Verdict.SCRATCH, 17),  # 2 + 1 + 0 + 3 + 11
    "05c-4banks-small-dom0": (Verdict.SCRATCH, 25),  # 0 + 3 + 0 + 7 + 15
    "05e-x417-2banks-rsv": (Verdict.SCRATCH, 21),  # 3 + 2 + 1 + 3 + 12
    "06c-1G-dom0-640M": (Verdict.EXHAUSTED, 0),  # fact 3
    "06f-small-banks-64M": (Verdict.EXHAUSTED, 0),  # fact 3
    "06h-1G-dom0-640M-x417": (Verdict.SCRATCH, 2),  # 1 + 1
    "07a-domU-256M": (Verdict.SCRATCH, 8150),  # 22 + 8128
    "07c-domU-4G": (Verdict.SCRATCH, 8120),
    "07d-domU-not-enhanced": (Verdict.NATIVE, 0),  # fact 16: no /hypervisor
    "07g-domU-static-mem": (Verdict.SCRATCH, 8150),
    "08a-smmuv3-2G": (Verdict.SCRATCH, 126947),  # 0 below memstart, 2025 + 2043 + 122879
    "08c-holes-hack-a53": (Verdict.SCRATCH, 4068),  # 2025 + 2043
    "08e-smmuv3-2banks-rsv": (Verdict.SCRATCH, 126932),  # 1 + 0 + 2009 + 2043 + 122879
    "09a-noiommu-rogue-in-ram": (Verdict.HAZARD, 9),  # fact 7: over a device that nobody claimed
    "09b-holes-rogue": (Verdict.SCRATCH, 126945),  # 16 + 2007 + 2043 + 122879
    "09d-noranges-parent": (Verdict.SCRATCH, 9),
    "10a-plain": (Verdict.NATIVE, 0),  # no Xen
    "11a-one-64M": (Verdict.EXHAUSTED, 0),
    "11b2-192M-misaligned": (Verdict.SCRATCH, 1),
    "11c2-unsorted-third": (Verdict.BALLOON, 0),  # fact 12
    "11d-overlap": (Verdict.BALLOON, 0),  # fact 12
    "11e-is-ram": (Verdict.CONFLICT, 0),
    "11e2-half-ram": (Verdict.CONFLICT, 0),  # fact 8
    "11e3-ram-first-then-free": (Verdict.CONFLICT, 0),  # fact 8: the first one-section fill is refused for ever
    "11f1-gic-first": (Verdict.SCRATCH, 1),  # the region over the GIC lies below memstart
    "11f3-pci-highwindow": (Verdict.CONFLICT, 0),  # fact 8
    "11g-unclaimed-dev": (Verdict.HAZARD, 2),  # fact 7
    "11h-adjacent": (Verdict.SCRATCH, 2),  # fact 10
    "11i10-only-below-memstart": (Verdict.EXHAUSTED, 0),  # fact 5
    "11i2-2p46": (Verdict.SCRATCH, 4),
    "11i5-2p48": (Verdict.EXHAUSTED, 0),  # fact 6
    "11i9-below-memstart": (Verdict.SCRATCH, 1),  # fact 5
    "11j-gnttab-overlap": (Verdict.HAZARD, 2),  # fact 7
    "11k-zero-first": (Verdict.SCRATCH, 2),  # fact 11
    "11k4-zero-at-zero": (Verdict.CONFLICT, 2030),  # fact 11: all space from 0xa0000000 up to the ECAM at 0x4010000000
    "11l-16-regions": (Verdict.SCRATCH, 16),
    "11n-unaligned-page": (Verdict.SCRATCH, 2),
    "11o-contig": (Verdict.SCRATCH, 7),  # 1 + 6
    "11r-cut-4": (Verdict.SCRATCH, 1),  # fact 13
    "11s2-overflow": (Verdict.BALLOON, 0),  # fact 12
    "12a-kaslr": (Verdict.SCRATCH, 9),
    "13a-dom0-16k-pages": (Verdict.SCRATCH, 9),  # fact 17
    "14a-dom0-x422": (Verdict.SCRATCH, 11),
    "14c-dom0-x419": (Verdict.SCRATCH, 9),
    "14e-domU-x422": (Verdict.SCRATCH, 8150),
    "15e-zero-size-reg0-holes": (Verdict.BALLOON, 0),  # fact 22
    "16b-zcu102-61dtb-x420": (Verdict.SCRATCH, 24),  # 2 + 7 + 15
}

# `outcome` is coarser than a verdict.
COMPATIBLE = {
    "scratch": {Verdict.SCRATCH, Verdict.HAZARD, Verdict.CONFLICT},
    "error": {Verdict.EXHAUSTED, Verdict.CONFLICT},
    "balloon": {Verdict.BALLOON},
    "not-xen": {Verdict.NATIVE},
}

# What /proc/iomem shows at its top level and no tree can tell, with the cause.
# The sbsa-uart driver bound and requested its registers.
SBSA_UART = (0x22000000, 0x22000FFF)
# xen-balloon's memory hotplug (MERGEABLE System RAM) replaced pages that were given away: first fit in iomem_resource.
HOTPLUGGED = {
    "03-dom0-x417-l61": (0x40000000, 0x4FFFFFFF),
    "04-dom0-x420-l612-noext": (0x40000000, 0x4FFFFFFF),
    "11c2-unsorted-third": (0x40000000, 0x4FFFFFFF),
    "11d-overlap": (0x40000000, 0x4FFFFFFF),
    "11s2-overflow": (0x40000000, 0x4FFFFFFF),
    "15e-zero-size-reg0-holes": (0x0, 0x7FFFFFF),
}

INIT_LINES = ("No extended regions are found", "xen:unpopulated: Cannot initialize target resource")


@cache
def record(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FIXTURES / "boots" / f"{name}.json").read_text())
    return found


def profile_of(name: str) -> LinuxProfile:
    """The kernel of the boot: its release, and what its configuration changed."""
    found = record(name)
    release = ".".join(found["linux_version"].split(".")[:2])
    config = found["kernel_config"]
    return PRESETS[release]._replace(
        unpopulated_alloc=config["XEN_UNPOPULATED_ALLOC"],
        page_size=config["PAGE_KIB"] << 10,
        va_bits=config["VA_BITS"] if found["cpu"] == "max" else 48,
        randomize_base=config["RANDOMIZE_BASE"],
    )


@cache
def answer(name: str) -> CheckResult:
    found = record(name)
    requests = tuple(request["pages"] for request in found["requests"])
    tree = "dom0" if found["guest"] == "dom0" else "domu"
    blob = (FIXTURES / "dtb" / "boots" / f"{name}.dtb").read_bytes()
    (result,) = check(blob, name, CheckOptions(linux=profile_of(name), tree=tree, requests=requests))
    return result


def inclusive(pairs: list[list[str]]) -> list[tuple[int, int]]:
    return [(int(start, 16), int(end, 16)) for start, end in pairs]


def listing(lines: list[str], width: int, colon: bool) -> list[tuple[int, int, int, str]]:
    """Depth, start, end and name of each line of a dumped tree."""
    pattern = r"( *)([0-9a-f]+)-([0-9a-f]+) : (.*)" if colon else r"( *)([0-9a-f]+)-([0-9a-f]+) flags=\S+ (.*)"
    out = []
    for line in lines:
        match = re.fullmatch(pattern, line)
        assert match is not None, line
        out.append((len(match[1]) // width, int(match[2], 16), int(match[3], 16), match[4]))
    return out


def flat(view: View, depth: int = 0) -> list[tuple[int, int, int, str]]:
    """The certain part of a view, as it would be dumped."""
    if view.claim != "certain":
        return []
    out = [(depth, view.range.start, view.range.stop - 1, view.name)]
    for child in view.children:
        out += flat(child, depth + 1)
    return out


def test_the_table_names_every_boot_that_reached_linux() -> None:
    recorded = {path.stem for path in (FIXTURES / "boots").glob("*.json")}
    assert recorded == set(CASES) | NO_BOOT
    assert {path.stem for path in (FIXTURES / "dtb" / "boots").glob("*.dtb")} == set(CASES)
    assert {name for name in recorded if record(name)["outcome"] == "no-boot"} == NO_BOOT


@pytest.mark.parametrize("name", CASES)
def test_verdict(name: str) -> None:
    verdict, sections = CASES[name]
    result = answer(name)
    assert verdict in COMPATIBLE[record(name)["outcome"]]
    assert (result.verdict, result.sections) == (verdict, sections)


@pytest.mark.parametrize("name", CASES)
def test_regions_and_grant_table(name: str) -> None:
    result, found = answer(name), record(name)
    assert [(item.start, item.stop) for item in result.extended_regions] == inclusive(found["extended_regions"])
    grant = found["grant_table"]
    assert (None if grant is None else (int(grant[0], 16), int(grant[1], 16))) == (
        None if result.grant_table is None else (result.grant_table.start, result.grant_table.stop)
    )


@pytest.mark.parametrize("name", CASES)
def test_target(name: str) -> None:
    result = answer(name)
    assert result.answer is not None
    recorded = record(name)["target_resource"]
    assert result.answer.target_name == (recorded if recorded == "xen_resource" else None)


@pytest.mark.parametrize("name", [name for name in CASES if record(name)["requests"]])
def test_requests(name: str) -> None:
    """Each one's success, the kernel's line, its errno where the kernel printed it, and what was newly taken."""
    result = answer(name)
    assert result.answer is not None
    recorded = record(name)["requests"]
    assert [request.pages for request in result.answer.requests] == [request["pages"] for request in recorded]
    taken: list[tuple[int, int]] = []
    for request, fact in zip(result.answer.requests, recorded, strict=True):
        assert (request.error is None) == fact["ok"], fact
        lines = [line for line in fact["kernel"] if line.startswith("Cannot")]
        assert ([request.message] if request.message else []) == lines, fact
        printed = [line.rpartition("rc:")[2] for line in fact["kernel"] if " rc:" in line]
        if not fact["ok"]:
            assert (request.error, fact["errno"]) == ("EBUSY", 12)
            assert set(printed) <= {"-16"}
        if request.taken is not None:
            taken.append((request.taken.start, request.taken.last))
        if "scratch_after_step" in fact:
            after = [tuple(int(part, 16) for part in item.split("-")) for item in fact["scratch_after_step"]]
            assert sorted(taken) == sorted(after), fact
    assert sorted(taken) == sorted(inclusive(record(name)["scratch_inclusive"]))


@pytest.mark.parametrize("name", CASES)
def test_what_the_kernel_printed_when_it_chose_its_target(name: str) -> None:
    result = answer(name)
    assert result.answer is not None
    init = result.answer.init
    printed = [line for line in record(name)["kernel_messages"] if line in INIT_LINES]
    assert printed == list(init.messages if init is not None else ())


@pytest.mark.parametrize("name", [name for name in CASES if record(name)["target_resource"] == "xen_resource"])
def test_xen_resource(name: str) -> None:
    lines = record(name)["resources_after"]
    start, stop = lines.index("xen_resource tree:") + 1, lines.index("iomem_resource tree:")
    view = answer(name).xen_view
    assert view is not None
    assert flat(view) == listing(lines[start:stop], 2, colon=False)


def top_level(name: str, when: str) -> list[tuple[int, int, str]]:
    lines = listing(record(name)[when], 2, colon=True)
    return [(start, end, text) for depth, start, end, text in lines if depth == 0]


@pytest.mark.parametrize("name", CASES)
def test_iomem_resource(name: str) -> None:
    """The top level after the requests, but for what drivers and the balloon added (stated above)."""
    result = answer(name)
    assert result.iomem_view is not None
    recorded = top_level(name, "iomem_after")
    drivers = [item for item in recorded if item[:2] == SBSA_UART]
    hotplugged = [item for item in recorded if item[:2] == HOTPLUGGED.get(name)]
    assert bool(hotplugged) == (name in HOTPLUGGED)
    assert result.answer is not None
    for start, end, _ in drivers:
        assert ("device", start, end) in [(user.kind, user.range.start, user.range.last) for user in result.answer.unseen]
    mine = [(start, end, text) for depth, start, end, text in flat(result.iomem_view) if depth == 1]
    assert mine == [item for item in recorded if item not in drivers + hotplugged]


@pytest.mark.parametrize(("name", "sections"), [(name, 1 if name.startswith("15e") else 2) for name in HOTPLUGGED])
def test_where_the_balloon_hotplugged_is_the_first_fit_of_iomem_resource(name: str, sections: int) -> None:
    """additional_memory_resource searches 0..~0: one section goes below memstart, two do not fit there."""
    before = read_proc_iomem("\n".join(record(name)["iomem_before"]))
    start, end = HOTPLUGGED[name]
    assert before.find_resource_space(sections * S, 0, (1 << 64) - 1, S) == start
    assert end - start + 1 == sections * S


@pytest.mark.parametrize(
    "name",
    [name for name in CASES if "memstart" in str(record(name)["resources_before"]) and name[:3] not in ("10a", "12a")],
)
def test_memstart(name: str) -> None:
    """A kernel for 52 bits on a 48-bit machine keeps memstart 0xf000000000000 lower; 10a and 12a were randomized."""
    line = next(line for line in record(name)["resources_before"] if line.startswith("memstart_addr="))
    kept = int(line.partition("=")[2], 16)
    shift = 0 if record(name)["cpu"] == "max" else 0xF000000000000
    ram = [(start, end) for start, end, text in top_level(name, "iomem_before") if text in ("System RAM", "reserved")]
    assert memstart_addr(ram[0][0], profile_of(name)) == (kept + shift) % (1 << 64)


@pytest.mark.parametrize("name", ["10a-plain", "12a-kaslr"])
def test_a_seed_moved_memstart(name: str) -> None:
    line = next(line for line in record(name)["resources_before"] if line.startswith("memstart_addr="))
    assert int(line.partition("=")[2], 16) != (0x40000000 - 0xF000000000000) % (1 << 64)
    assert answer(name).kaslr is True


@pytest.mark.parametrize("name", ["01-dom0-x420-l612", "11i9-below-memstart", "08a-smmuv3-2G"])
def test_without_a_seed_nothing_moves(name: str) -> None:
    assert answer(name).kaslr is False


def test_with_a_seed_the_region_below_memstart_is_used() -> None:
    """The tree of 11i9 with the seed that it did not have, as fact 5 tells of 05a and 12c, which are not shipped."""
    name = "11i9-below-memstart"
    blob = (FIXTURES / "dtb" / "boots" / f"{name}.dtb").read_bytes()
    assert record(name)["extended_regions"][0] == ["0x0", "0x8000000"]
    (result,) = check(blob, name, CheckOptions(linux=profile_of(name), tree="dom0", kaslr=True, requests=(1,)))
    assert result.answer is not None
    taken = result.answer.requests[0].taken
    assert taken is not None
    assert taken.start == 0
