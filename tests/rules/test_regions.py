"""What is said of extended regions: where each rule's cause is, and where another one's is."""

from __future__ import annotations

import pytest

from dtanalyze.facts import CheckResult
from dtanalyze.linux.profile import PRESETS
from tests.linux.build import answer, guest, reg

S = 0x8000000
CUT = 0x200000
V39 = PRESETS["6.12"]._replace(va_bits=39)


def told(result: CheckResult, rule: str) -> list[str]:
    return [item.message for item in result.findings if item.rule == rule]


# X17: Xen 4.18 to 4.20 take the start of the last page for the end (spec 7.2). build.guest writes Xen 4.20.


def test_a_region_cut_by_xen_loses_the_section_that_ends_there() -> None:
    (message,) = told(answer(guest([(0x100000000, 4 * S - CUT)])), "X17")
    assert message.startswith("extended region 0 [0x100000000-0x11fdfffff] ends 2 MiB before a section does: Xen 4.20")


@pytest.mark.parametrize(
    ("regions", "extra"),
    [
        ([(0x100000000, 4 * S - CUT // 2)], ""),  # not 2 MiB short
        ([(0x100000000, 4 * S)], ""),
        ([(0x107000000, 0x1000000 - CUT)], ""),  # the section that ends there begins before the region
        ([(0x10000000, 2 * S - CUT), (0x100000000, 2 * S)], ""),  # below the linear map: X13's
        # Something stands where Xen is said to have cut: the region ends there by right.
        ([(0x100000000, 4 * S - CUT)], f'dev@1 {{ compatible = "v,d"; {reg([(0x100000000 + 4 * S - CUT, 0x1000)])} }};'),
        (
            [(0x100000000, 4 * S - CUT)],
            f'dev@1 {{ compatible = "arm,primecell"; {reg([(0x100000000 + 4 * S - 0x1000, 0x1000)])} }};',
        ),
        ([(0x100000000, 4 * S - CUT)], f'memory@1 {{ device_type = "memory"; {reg([(0x100000000 + 4 * S - CUT, S)])} }};'),
    ],
    ids=["1 MiB short", "whole", "no section", "below the map", "a device", "a claimed device", "RAM"],
)
def test_what_xen_did_not_cut(regions: list[tuple[int, int]], extra: str) -> None:
    assert told(answer(guest(regions, extra)), "X17") == []


def test_a_cut_beyond_the_linear_map_costs_nothing() -> None:
    # VA39 from 0x40000000: the map ends at 0x4040000000.
    region = [(0x4038000000, 2 * S - CUT)]
    assert told(answer(guest(region), V39), "X17") == []
    assert len(told(answer(guest(region)), "X17")) == 1


@pytest.mark.parametrize(("xen", "fires"), [("4.17", 0), ("4.18", 1), ("4.19.3", 1), ("4.20", 1), ("4.21", 0), ("4.22", 0)])
def test_only_these_releases_cut(xen: str, fires: int) -> None:
    body = guest([(0x100000000, 4 * S - CUT)]).replace("xen,xen-4.20", f"xen,xen-{xen}")
    assert len(told(answer(body), "X17")) == fires


def test_a_kernel_that_uses_no_region_loses_none() -> None:
    assert told(answer(guest([(0x100000000, 4 * S - CUT)]), "5.16"), "X17") == []


# X12: what alignment costs, within the linear map; what lies outside is X13's and X14's.


def test_what_the_linear_map_cuts_off_is_not_lost_to_alignment() -> None:
    # 0x4030000000-0x407fffffff, of which 256 MiB lie within the map and hold two sections.
    result = answer(guest([(0x4030000000, 0x50000000)]), V39)
    assert (told(result, "X12"), len(told(result, "X14"))) == ([], 1)
    below = answer(
        guest(
            [(0x38000000, 0x10000000 + S)],
            memory='memory@40000000 { device_type = "memory"; reg = <0 0x60000000 0 0x8000000>; };',
            grant=(0x1000000, 0x40000),
        )
    )
    assert (told(below, "X12"), len(told(below, "X13"))) == ([], 1)


def test_what_alignment_costs_is_counted_within_the_map() -> None:
    # 192 MiB of it lie within the map: one whole section of one that could be.
    assert told(answer(guest([(0x4034000000, 0x50000000)]), V39), "X12") == []
    (short,) = told(answer(guest([(0x403E000000, 0x50000000)]), V39), "X12")
    assert short == (
        "extended region 0 [0x403e000000-0x408dffffff] holds no aligned section of 128 MiB, as far as the linear map holds it: 32 MiB are lost to alignment"
    )
    (odd,) = told(answer(guest([(0x100200000, 2 * S)])), "X12")
    assert (
        odd == "extended region 0 [0x100200000-0x1101fffff] gives 1 of 2 sections of 128 MiB: 128 MiB are lost to alignment"
    )


# V-balloon: a cure for each cause.


def cure(body: str, linux: str = "6.12") -> str:
    return next(item.advice for item in answer(body, linux).findings if item.rule == "V-balloon")


def test_each_cause_of_ballooning_has_its_own_cure() -> None:
    free = [(0x100000000, 2 * S)]
    assert "CONFIG_ZONE_DEVICE" in next(
        item.advice
        for item in answer(guest(free), PRESETS["6.12"]._replace(unpopulated_alloc=False)).findings
        if item.rule == "V-balloon"
    )
    assert "Linux 5.17 or newer" in cure(guest(free), "5.16")
    assert "one bad entry" in cure(guest([(0x200000000, S), (0x100000000, S)]))
    assert "ext_regions=0" in cure(guest([]))
    assert cure(guest([]).replace("xen,xen-4.20", "xen,xen-4.15")).startswith("Use Xen 4.17 or newer")
    assert cure(guest([]).replace("xen,xen-4.20", "xen,xen-unstable")).startswith("Let Xen")
