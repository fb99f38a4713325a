"""The verdict: which stage wins, what the reason says, what becomes a finding, and what the product needs."""

from __future__ import annotations

import pytest

from dtanalyze.address.range import AddressRange
from dtanalyze.analysis import CheckOptions, check
from dtanalyze.facts import CheckResult
from dtanalyze.findings import Finding, Severity
from dtanalyze.linux.boot import Verdict
from dtanalyze.linux.profile import PRESETS, Arch
from tests.conftest import FIXTURES
from tests.linux.build import MEMORY, ROOT, XEN, answer, guest, hypervisor, reg
from tests.trees import dtb

S = 0x8000000
A = 0x100000000
L612 = PRESETS["6.12"]
OFF = L612._replace(unpopulated_alloc=False)


def device(address: int, size: int = 0x1000, compatible: str = "vendor,eth") -> str:
    return f'dev@{address:x} {{ compatible = "{compatible}"; {reg([(address, size)])} }};'


CLAIMED, UNSEEN = device(A + 3 * S, compatible="arm,primecell"), device(A + 2 * S)
UNSORTED = [(A + S, S), (A, S)]
GOOD = [(A, 4 * S)]
SPEC_9 = [(0x48200000, 0xBE00000), (0x5A000000, 0x14000000), (0x6E000000, 0x2000000), (0x600000000, 0x40000000)]


def stated(result: CheckResult) -> list[Finding]:
    return [item for item in result.findings if item.rule.startswith("V-")]


@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        # Everything is wrong at once, then one thing less in each row.
        (f"{ROOT} {hypervisor(UNSORTED, compatible='')} {CLAIMED} {UNSEEN}", Verdict.NATIVE),
        (f"{ROOT} {hypervisor(UNSORTED)} {CLAIMED} {UNSEEN}", Verdict.BALLOON),
        (f"{ROOT} {hypervisor(GOOD)} {CLAIMED} {UNSEEN}", Verdict.UNKNOWN),
        (guest(GOOD, CLAIMED + UNSEEN), Verdict.CONFLICT),
        (guest(GOOD, UNSEEN), Verdict.HAZARD),
        (guest([(A, S - 1)], device(A)), Verdict.EXHAUSTED),
        (guest(GOOD), Verdict.SCRATCH),
    ],
    ids=["native", "balloon", "unknown", "conflict", "hazard", "exhausted", "scratch"],
)
def test_the_first_stage_that_applies_wins(body: str, verdict: Verdict) -> None:
    assert answer(body).verdict is verdict


def test_the_option_counts_after_detection_and_before_regions_and_ram() -> None:
    assert answer(f"{ROOT} {hypervisor(UNSORTED, compatible='')}", OFF).verdict is Verdict.NATIVE
    assert answer(f"{ROOT} {hypervisor(UNSORTED)}", OFF).verdict is Verdict.BALLOON
    assert answer(guest(GOOD, CLAIMED), OFF).verdict is Verdict.BALLOON


def test_the_option_off_is_said() -> None:
    result = answer(guest(GOOD), OFF, requests=(5,))
    assert "CONFIG_XEN_UNPOPULATED_ALLOC is off" in result.reason
    assert (result.sections, result.pages, result.xen_view) == (0, 0, None)
    # What does not depend on it is still given.
    assert [item.start for item in result.extended_regions] == [A]


def test_conflict_comes_before_hazard_even_when_the_hazard_is_met_first() -> None:
    result = answer(guest(GOOD, CLAIMED + UNSEEN))
    assert (result.verdict, result.sections) == (Verdict.CONFLICT, 3)
    assert "Linux takes 3 sections, then refuses the next, " in result.reason
    assert f"/dev@{A + 3 * S:x}" in result.reason


def test_a_device_beyond_the_refusal_is_no_hazard() -> None:
    result = answer(guest(GOOD, device(A + S, compatible="arm,primecell") + UNSEEN))
    assert (result.verdict, result.sections) == (Verdict.CONFLICT, 1)


def test_the_very_first_section_refused() -> None:
    result = answer(guest(GOOD, device(A, compatible="arm,primecell")))
    assert (result.verdict, result.sections) == (Verdict.CONFLICT, 0)
    assert "Linux refuses its first section, " in result.reason


def test_a_hazard_names_section_user_and_place() -> None:
    result = answer(guest(GOOD, UNSEEN))
    assert (result.verdict, result.sections) == (Verdict.HAZARD, 4)
    assert "Linux places scratch section 3, 0x110000000-0x117ffffff, on " in result.reason
    assert "/dev@110000000" in result.reason


@pytest.mark.parametrize(
    ("grant", "regions", "verdict"),
    [
        ((A + S, 0x1000), GOOD, Verdict.HAZARD),
        ((A + 4 * S, 0x1000), GOOD, Verdict.SCRATCH),
        ((0, 0x1000), GOOD, Verdict.SCRATCH),
    ],
    ids=["inside", "just behind", "start 0: none"],
)
def test_the_grant_table_is_one_of_the_unseen(
    grant: tuple[int, int], regions: list[tuple[int, int]], verdict: Verdict
) -> None:
    assert answer(guest(regions, grant=grant)).verdict is verdict


# Without RAM.


def test_without_ram_the_reason_names_the_option_that_supplies_it() -> None:
    result = answer(guest(GOOD, memory=""), requests=(1,))
    assert result.verdict is Verdict.UNKNOWN
    assert "--memory" in result.reason
    assert [item.start for item in result.extended_regions] == [A]
    assert result.grant_table is not None
    assert result.sections == 0


@pytest.mark.parametrize(
    "memory",
    [
        "",
        'memory@0 { device_type = "memory"; reg = <0 0 0 0>; };',
        'memory@0 { device_type = "memory"; status = "disabled"; reg = <0 0x40000000 0 0x8000000>; };',
    ],
    ids=["none", "zero size", "disabled"],
)
def test_ram_that_a_boot_loader_fills_in(memory: str) -> None:
    assert answer(guest(GOOD, memory=memory)).verdict is Verdict.UNKNOWN
    given = answer(guest(GOOD, memory=memory), memory=(AddressRange(0x40000000, S),))
    assert given.verdict is Verdict.SCRATCH
    assert "RAM: 128 MiB, as given with --memory" in given.assumed


def test_given_memory_replaces_the_trees() -> None:
    result = answer(guest(GOOD), memory=(AddressRange(A + S, S),))
    # memstart is now 0x100000000: one section fits below that RAM, and the next is refused by it.
    assert (result.verdict, result.sections) == (Verdict.CONFLICT, 1)


def test_a_native_tree_needs_no_ram() -> None:
    (result,) = check(dtb(ROOT), "x", CheckOptions(linux=L612, tree="domu"))
    assert (result.verdict, result.xen, result.grant_table, result.extended_regions) == (Verdict.NATIVE, None, None, ())


# Reasons of the useless.


@pytest.mark.parametrize(
    ("regions", "words"),
    [
        ([(A, S - 1)], "no extended region holds an aligned section of 128 MiB"),
        ([(A + 1, 2 * S - 2)], "no extended region holds an aligned section of 128 MiB"),
        ([(0x10000000, S)], "below 0x40000000"),
        ([(1 << 48, S)], "above 0x80003fffffff"),
        ([(A, 0)], "holds no address"),
    ],
)
def test_why_nothing_fits(regions: list[tuple[int, int]], words: str) -> None:
    result = answer(guest(regions), requests=(1, 1))
    assert result.verdict is Verdict.EXHAUSTED
    assert words in result.reason
    assert result.answer is not None
    assert {request.message for request in result.answer.requests} == {"Cannot allocate new IOMEM resource"}


# iomem.


def test_iomem_is_said_where_nothing_else_applies() -> None:
    memory = 'memory@0 { device_type = "memory"; reg = <0 0 0 0x40000000>; };'
    body = guest([], memory=memory, grant=(0, 0))
    result = answer(body, "review")
    assert result.verdict is Verdict.IOMEM
    assert "first 0x40000000" in result.reason
    over = answer(body.replace("hypervisor {", f"{device(0x40000000)} hypervisor {{"), "review")
    assert over.verdict is Verdict.HAZARD


# Findings: contract, "Every verdict but scratch is itself a finding".


@pytest.mark.parametrize(
    ("body", "linux", "rule", "severity"),
    [
        (guest(GOOD, memory=""), "6.12", "V-unknown", Severity.ERROR),
        (guest(GOOD, CLAIMED), "6.12", "V-conflict", Severity.ERROR),
        (guest(GOOD, UNSEEN), "6.12", "V-hazard", Severity.ERROR),
        (guest([(A, S - 1)]), "6.12", "V-exhausted", Severity.ERROR),
        (guest([], grant=(0, 0)), "review", "V-iomem", Severity.ERROR),
        (guest([]), "6.12", "V-balloon", Severity.WARNING),
        (guest(GOOD), "5.16", "V-balloon", Severity.WARNING),
        (ROOT + MEMORY, "6.12", "V-native", Severity.INFO),
    ],
)
def test_every_verdict_but_scratch_is_a_finding(body: str, linux: str, rule: str, severity: Severity) -> None:
    result = answer(body, linux)
    (found,) = stated(result)
    assert (found.rule, found.severity, found.message) == (rule, severity, result.reason)


def test_scratch_is_no_finding() -> None:
    assert stated(answer(guest(GOOD))) == []


def test_the_finding_points_at_the_section_and_at_who_is_there() -> None:
    (conflict,) = stated(answer(guest(GOOD, CLAIMED)))
    assert conflict.node == "/dev@118000000"
    assert conflict.ranges == (AddressRange(A + 3 * S, S), AddressRange(A + 3 * S, 0x1000))
    body = guest(GOOD, UNSEEN)
    (hazard,) = stated(answer(body))
    assert hazard.node == "/dev@110000000"
    assert hazard.ranges == (AddressRange(A + 2 * S, S), AddressRange(A + 2 * S, 0x1000))
    assert hazard.offset is not None
    assert dtb(body)[hazard.offset : hazard.offset + 16].hex() == "00000001100000000000000000001000"


# --need.


@pytest.mark.parametrize(
    ("need", "missed"),
    [(None, False), (0, False), (1, False), (131072, False), (131073, True), (1 << 40, True)],
)
def test_a_need_beyond_the_capacity_is_an_error(need: int | None, missed: bool) -> None:
    """Four sections of 32768 pages."""
    result = answer(guest(GOOD), need=need)
    assert (result.sections, result.pages) == (4, 131072)
    found = [item for item in result.findings if item.rule == "V-need"]
    assert bool(found) is missed
    if missed:
        assert found[0].severity is Severity.ERROR
        assert f"needs {need} pages" in found[0].message
        assert "131072 (512 MiB) can be had" in found[0].message


def test_a_need_is_missed_by_what_gives_no_scratch_pages_at_all() -> None:
    for body, linux in ((guest([]), "6.12"), (guest([(A, S - 1)]), "6.12"), (ROOT + MEMORY, "6.12"), (guest(GOOD), "5.16")):
        assert "V-need" in [item.rule for item in answer(body, linux, need=1).findings]


def test_findings_come_most_severe_first() -> None:
    found = answer(guest([]), need=1).findings
    assert [item.rule for item in found if item.rule.startswith("V-")] == ["V-need", "V-balloon"]
    assert [item.severity for item in found] == sorted((item.severity for item in found), reverse=True)


# The rest of a result.


def test_the_worked_example_as_a_whole() -> None:
    """Spec 9, through everything."""
    result = answer(guest(SPEC_9), requests=(1, 32768, 1, 40000))
    assert (result.verdict, result.sections, result.pages) == (Verdict.SCRATCH, 10, 327680)
    assert result.answer is not None
    assert result.answer.limits is not None
    assert (result.answer.limits.low, result.answer.limits.high) == (0x40000000, 0x40000000 + (1 << 47) - 1)
    assert result.answer.capacity is not None
    assert result.answer.capacity.largest_request == 262144
    # The pages go back each time: only the last request needs more, one section. Of a whole section given back the
    # lowest page lies on top.
    assert [request.taken for request in result.answer.requests] == [
        AddressRange(0x60000000, S),
        None,
        None,
        AddressRange(0x68000000, S),
    ]
    firsts = [request.first_page for request in result.answer.requests]
    assert firsts == [0x67FFF000, 0x67FFF000, 0x60000000, 0x6FFFF000]


@pytest.mark.parametrize(
    ("pages", "taken"),
    [(40000, (0x60000000, 2)), (70000, (0x600000000, 3))],
)
def test_the_worked_example_with_a_large_first_request(pages: int, taken: tuple[int, int]) -> None:
    result = answer(guest(SPEC_9), requests=(pages,))
    assert result.answer is not None
    assert result.answer.requests[0].taken == AddressRange(taken[0], taken[1] * S)


def test_the_worked_example_with_64k_pages() -> None:
    result = answer(guest(SPEC_9), L612._replace(page_size=65536), requests=(1, 8193))
    assert (result.sections, result.pages) == (2, 16384)
    assert result.answer is not None
    assert [request.taken and request.taken.start for request in result.answer.requests] == [0x600000000, 0x620000000]


def test_the_worked_example_with_a_claimed_device() -> None:
    body = guest(SPEC_9, device(0x62000000, compatible="arm,primecell"))
    result = answer(body, requests=(1, 1, 70000, 1))
    assert (result.verdict, result.sections) == (Verdict.CONFLICT, 0)
    assert result.answer is not None
    assert [request.error for request in result.answer.requests] == ["EBUSY", "EBUSY", None, None]
    assert result.answer.requests[0].message == "Cannot request resource [mem 0x60000000-0x67ffffff] (-16)"


def test_lost_bytes_are_told_region_by_region() -> None:
    regions = [(0x48200000, 0xBE00000), (0x600000000, 0x40000000), (0x700000000, S + 5)]
    result = answer(guest(regions))
    assert [(item.sections, item.lost) for item in result.regions] == [(0, 0xBE00000), (8, 0), (1, 5)]


def test_requests_that_fail_take_nothing_in_the_views() -> None:
    result = answer(guest(GOOD, device(A, compatible="arm,primecell")), requests=(1,))
    assert result.xen_view is not None
    assert result.xen_view.children == ()
    assert result.iomem_view is not None
    assert "Xen scratch" not in [child.name for child in result.iomem_view.children]


def test_possible_claims_are_shown_beside_the_certain_ones() -> None:
    result = answer(guest([(A, S)], device(0x9000000) + device(0xA000000, compatible="arm,primecell")))
    assert result.iomem_view is not None
    assert [(child.range.start, child.claim) for child in result.iomem_view.children] == [
        (0x9000000, "possible"),
        (0xA000000, "certain"),
        (0x40000000, "certain"),
    ]


def test_the_target_of_32_bit_arm_is_none() -> None:
    result = answer(guest(GOOD), L612._replace(arch=Arch.ARM))
    assert result.answer is not None
    assert (result.answer.target, result.answer.target_name) == (None, None)


def test_a_xen_node_without_reg_is_not_a_region() -> None:
    result = answer(f"{ROOT} {MEMORY} hypervisor {{ {XEN} }};")
    assert (result.verdict, result.grant_table, result.extended_regions) == (Verdict.BALLOON, None, ())


def test_an_event_channel_that_does_not_resolve_is_said() -> None:
    """Without its interrupt the kernel has no grant tables: scratch space would be there for nobody."""
    blob = (FIXTURES / "dtb" / "boots" / "01-dom0-x420-l612.dtb").read_bytes()
    assert not any("event channels" in item for item in check(blob, "guest.dtb", CheckOptions())[0].assumed)
    renamed = blob.replace(b"interrupts\0", b"interruptz\0")
    assert any("event channels" in item for item in check(renamed, "guest.dtb", CheckOptions())[0].assumed)


@pytest.mark.parametrize("section", [1, 2, 21, 112])
def test_a_hazard_names_the_section_by_its_turn(section: int) -> None:
    size = 0x8000000
    start = 0x100000000
    found = answer(guest([(start, 120 * size)], device(start + (section - 1) * size)))
    assert found.verdict is Verdict.HAZARD
    assert found.reason.startswith(f"Linux places scratch section {section}, {start + (section - 1) * size:#x}-")


def test_a_request_that_fails_is_one_error_with_the_kernels_line() -> None:
    body = guest([(0x100000000, 0x10000000)])
    result = answer(body, requests=(1, 262144, 131072))
    assert result.verdict is Verdict.SCRATCH
    (found,) = [item for item in result.findings if item.rule == "V-request"]
    assert (str(found.severity), found.ranges) == ("error", ())
    assert found.message == (
        'mapping 2, of 262144 pages (1 GiB), fails with -EBUSY ("Cannot allocate new IOMEM resource"); 2 of 3 fail'
    )
    assert not [item for item in answer(body, requests=(1, 65536)).findings if item.rule == "V-request"]
    balloon = answer(body, "5.16", requests=(262144,))  # given back page for page: nothing fails here
    assert not [item for item in balloon.findings if item.rule == "V-request"]


def test_a_refused_request_points_at_the_range() -> None:
    body = guest([(0x100000000, 0x8000000)], 'd@1 { compatible = "arm,primecell"; reg = <1 0 0 0x1000>; };')
    (found,) = [item for item in answer(body, requests=(1,)).findings if item.rule == "V-request"]
    assert [(item.start, item.stop) for item in found.ranges] == [(0x100000000, 0x108000000)]
    assert "Cannot request resource [mem 0x100000000-0x107ffffff] (-16)" in found.message
