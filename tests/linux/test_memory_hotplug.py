"""mhp_get_pluggable_range and arch_get_mappable_range (spec 1.8): between which addresses scratch space may lie."""

from __future__ import annotations

import re
from typing import Any

import pytest

from dtanalyze.address.range import AddressRange
from dtanalyze.address.rangeset import RangeSet
from dtanalyze.analysis import CheckOptions, check
from dtanalyze.analysis.guest import boot_guest, booted_with
from dtanalyze.linux.boot import Verdict
from dtanalyze.linux.memory_hotplug import (
    PluggableRange,
    linear_map_is_randomized,
    memstart_addr,
    mhp_get_pluggable_range,
    within_linear_map,
)
from dtanalyze.linux.profile import PRESETS, Arch, LinuxProfile
from dtanalyze.rules.examples import host
from tests.linux.build import answer, guest
from tests.trees import dtb, tree

L612 = PRESETS["6.12"]
K16, K64 = L612._replace(page_size=16384), L612._replace(page_size=65536)
G = 1 << 30


@pytest.mark.parametrize(
    ("page_kib", "va_bits", "size"),
    [
        (4, 39, 1 << 38),
        (4, 48, 1 << 47),
        (4, 52, (1 << 52) - (1 << 47)),
        (16, 36, 1 << 35),
        (16, 47, 1 << 46),
        (16, 48, 1 << 47),
        (16, 52, (1 << 52) - (1 << 46)),
        (64, 42, 1 << 41),
        (64, 48, 1 << 47),
        (64, 52, (1 << 52) - (1 << 47)),
    ],
)
def test_the_linear_map_by_page_size_and_address_bits(page_kib: int, va_bits: int, size: int) -> None:
    profile = L612._replace(page_size=page_kib << 10, va_bits=va_bits)
    assert profile.linear_map_size == size
    limits = mhp_get_pluggable_range(0x40000000, profile, randomized=False)
    assert limits == PluggableRange(0x40000000, 0x40000000 + size - 1, False)


@pytest.mark.parametrize(
    ("profile", "first", "start"),
    [
        (L612, 0x40000000, 0x40000000),
        (L612, 0x7FFFF000, 0x40000000),
        (L612, 0x80000000, 0x80000000),
        (L612, 0x1000, 0x0),
        (K16, 0x7FFFF000, 0x40000000),
        (K64, 0x7FFF0000, 0x60000000),
        (K64, 0x5FFF0000, 0x40000000),
    ],
)
def test_memstart_is_ram_rounded_down_to_1_gib_or_512_mib(profile: LinuxProfile, first: int, start: int) -> None:
    assert memstart_addr(first, profile) == start


def test_ram_beyond_the_reach_of_the_linear_map_is_dropped() -> None:
    profile = L612._replace(va_bits=39)
    banks = RangeSet([AddressRange(0x80000000, G), AddressRange(0x4000000000, G), AddressRange(0x8000000000, G)])
    # The map covers 0x80000000-0x407fffffff.
    assert list(within_linear_map(banks, profile)) == [AddressRange(0x80000000, G), AddressRange(0x4000000000, G)]
    straddling = RangeSet([AddressRange(0x80000000, G), AddressRange(0x4040000000, 2 * G)])
    assert list(within_linear_map(straddling, profile)) == [AddressRange(0x80000000, G), AddressRange(0x4040000000, G)]
    assert within_linear_map(banks, L612) == banks
    assert within_linear_map(RangeSet(), profile) == RangeSet()
    x86 = profile._replace(arch=Arch.X86)
    assert within_linear_map(banks, x86) == banks


def test_dropped_ram_is_not_in_iomem_resource() -> None:
    memory = 'memory@80000000 { device_type = "memory"; reg = <0 0x80000000 0 0x40000000 0x80 0 0 0x40000000>; };'
    result = answer(guest([(0x100000000, 0x10000000)], memory=memory), L612._replace(va_bits=39))
    assert result.iomem_view is not None
    assert [child.range.start for child in result.iomem_view.children if child.name == "System RAM"] == [0x80000000]


# KASLR.


@pytest.mark.parametrize("linux", ["v2", "v3", "5.17", "6.1", "6.12"])
def test_before_6_16_a_seed_moves_the_linear_map(linux: str) -> None:
    assert linear_map_is_randomized(PRESETS[linux], kaslr=True, pa_bits=44)
    assert not linear_map_is_randomized(PRESETS[linux], kaslr=False, pa_bits=44)


@pytest.mark.parametrize("linux", ["6.16", "7.3"])
def test_from_6_16_nothing_moves(linux: str) -> None:
    assert not linear_map_is_randomized(PRESETS[linux], kaslr=True, pa_bits=40)


@pytest.mark.parametrize(
    ("profile", "pa_bits", "moves"),
    [
        (L612, 40, True),
        (L612, 46, True),
        (L612, 47, False),  # no room: 2^47 - 2^47
        (L612, 48, False),
        (L612, 52, False),
        (L612, None, True),
        (L612._replace(va_bits=39), 36, True),
        (L612._replace(va_bits=39), 40, False),
        (L612._replace(va_bits=39), None, False),
        (K16._replace(va_bits=36), None, False),
        (K16._replace(va_bits=36), 36, False),
        (K64._replace(va_bits=42), None, False),
        (K64._replace(va_bits=42), 40, True),  # 2^41 - 2^40 holds many steps of 512 MiB
        (K64._replace(va_bits=42), 42, False),
        (K16._replace(va_bits=47), 44, True),
        (K16._replace(va_bits=47), 46, False),
        (L612._replace(va_bits=52), 48, True),
        (L612._replace(va_bits=52), 52, False),
        (L612._replace(randomize_base=False), 40, False),
        (L612._replace(arch=Arch.X86), 40, False),
    ],
)
def test_there_must_be_room_beyond_the_cpus_physical_space(profile: LinuxProfile, pa_bits: int | None, moves: bool) -> None:
    assert linear_map_is_randomized(profile, kaslr=True, pa_bits=pa_bits) is moves


def test_once_moved_the_lowest_address_is_0_and_the_highest_stays_reachable() -> None:
    limits = mhp_get_pluggable_range(0x80000000, L612, randomized=True)
    assert (limits.low, limits.randomized) == (0, True)
    assert limits.high >= (1 << 44) - 1


def test_x86_has_the_bounds_of_its_physical_space() -> None:
    limits = mhp_get_pluggable_range(0x80000000, L612._replace(arch=Arch.X86), randomized=False)
    assert limits == PluggableRange(0, (1 << 46) - 1, False)


# What it comes to, spec 1.8's own example: RAM from 0x80000000, a region below it and one above.

LOW_AND_HIGH = [(0x40400000, 0x3FA00000), (0x100000000, 0x10000000)]
RAM = 'memory@80000000 { device_type = "memory"; reg = <0 0x80000000 0 0x20000000>; };'
A57 = 'cpus { #address-cells = <1>; #size-cells = <0>; cpu@0 { device_type = "cpu"; compatible = "arm,cortex-a57"; reg = <0>; }; };'
SEED = "chosen { kaslr-seed = <0x1234 0x5678>; };"
USED_SEED = "chosen { kaslr-seed = <0 0>; };"


def first_taken(linux: str, extra: str = "", **options: Any) -> int:
    result = answer(guest(LOW_AND_HIGH, A57 + extra, memory=RAM), linux, requests=(1,), **options)
    assert result.answer is not None
    taken = result.answer.requests[0].taken
    assert taken is not None
    return taken.start


def test_space_below_ram_is_used_only_with_kaslr() -> None:
    assert first_taken("6.12") == 0x100000000
    assert first_taken("6.12", SEED) == 0x48000000
    assert first_taken("6.12", USED_SEED) == 0x48000000
    assert first_taken("6.12", SEED, kaslr=False) == 0x100000000
    assert first_taken("6.12", kaslr=True) == 0x48000000
    assert first_taken("6.16", SEED) == 0x100000000
    no = 'chosen { kaslr-seed = <0x1234 0x5678>; bootargs = "quiet nokaslr"; };'
    assert first_taken("6.12", no) == 0x100000000
    for other in ("<0x1234>", "<1 2 3>"):  # get_kaslr_seed takes 8 bytes only
        assert first_taken("6.12", f"chosen {{ kaslr-seed = {other}; }};") == 0x100000000


@pytest.mark.parametrize(("linux", "moves"), [("6.12", True), ("6.16", False)])
def test_another_start_is_booted_again_only_where_the_map_moves(linux: str, moves: bool) -> None:
    asked = CheckOptions(PRESETS[linux], tree="dom0", requests=(1,), kaslr=False)
    plain = boot_guest(tree(guest(LOW_AND_HIGH, A57, memory=RAM)), asked, written=True)
    other = booted_with(True, plain)
    assert (other.kaslr, other.answer.kaslr, other.kaslr_from) == (True, True, "KASLR: on, as given")
    taken = [item.taken.start for item in other.answer.requests if item.taken]
    assert taken == [0x48000000 if moves else 0x100000000]
    assert (other.answer.iomem is plain.answer.iomem) is not moves


def test_a_region_above_the_linear_map_is_clipped() -> None:
    # VA39 from memstart 0x40000000: up to 0x403fffffff, in the middle of the region.
    result = answer(guest([(0x4030000000, 0x20000000)]), L612._replace(va_bits=39), requests=(65536, 65536, 65537))
    assert result.sections == 2
    assert result.answer is not None
    assert [request.error for request in result.answer.requests] == [None, None, "EBUSY"]
    above = answer(guest([(0x4040000000, 0x20000000)]), L612._replace(va_bits=39))
    assert above.verdict is Verdict.EXHAUSTED
    assert "above 0x403fffffff" in above.reason


@pytest.mark.parametrize(("linux", "pa_bits", "high"), [("6.1", 48, 1 << 48), ("6.1", 52, 3 << 47), ("6.12", 48, 3 << 47)])
def test_before_6_12_nothing_lies_beyond_the_physical_bits_built_for(linux: str, pa_bits: int, high: int) -> None:
    # RAM from 2^48: the linear map ends at 2^47 more.
    profile = PRESETS[linux]._replace(pa_bits=pa_bits)
    assert mhp_get_pluggable_range(1 << 47, profile, randomized=False)[:2] == (1 << 47, (1 << 48) - 1)
    found = mhp_get_pluggable_range(1 << 48, profile, randomized=False)
    assert found[:2] == ((0, 0) if high == 1 << 48 else (1 << 48, high - 1))


@pytest.mark.parametrize(("va_bits", "sections"), [(48, 0), (52, 2)])
def test_52_bits_reach_further(va_bits: int, sections: int) -> None:
    result = answer(guest([(1 << 48, 0x10000000)]), L612._replace(va_bits=va_bits))
    assert result.sections == sections


def test_16k_pages_keep_sections_of_128_mib_and_64k_need_512() -> None:
    regions = [(0x100000000, 0x30000000)]
    assert answer(guest(regions), K16._replace(va_bits=47)).sections == 6
    assert answer(guest(regions), K64).sections == 1
    assert answer(guest([(0x100000000, 0x1FFF0000)]), K64).verdict is Verdict.EXHAUSTED


# What the tree does not tell about the CPUs is said.

SEEDED = "chosen { kaslr-seed = <0x1234 0x5678>; };"


def kaslr_line(profile: LinuxProfile, *cores: str) -> str:
    nodes = " ".join(
        f'cpu@{at} {{ device_type = "cpu"; compatible = "{name}"; reg = <{at}>; }};' for at, name in enumerate(cores)
    )
    extra = f"cpus {{ #address-cells = <1>; #size-cells = <0>; {nodes} }}; {SEEDED}"
    return next(item for item in answer(guest(LOW_AND_HIGH, extra, memory=RAM), profile).assumed if item.startswith("KASLR"))


def test_an_unknown_width_is_said_where_another_one_would_change_the_answer() -> None:
    assert "cannot move the linear map, whatever the CPU" in kaslr_line(L612._replace(va_bits=39), "arm,armv8")
    assert "cannot move the linear map: CPUs of 48 bits" in kaslr_line(L612, "arm,neoverse-n1")
    assert "taken as 44 bits; with 48 bits it would not" in kaslr_line(L612, "arm,armv8")
    assert "taken as 44 bits; with 40 bits it would do so" in kaslr_line(K64._replace(va_bits=42))
    assert kaslr_line(L612, "arm,cortex-a57").endswith("it moves the linear map, so that space below RAM is usable")


@pytest.mark.parametrize(("line", "moves"), [("hmp-unsafe=true", True), ("", False)])
def test_the_narrowest_cpu_that_is_on_counts_where_xen_names_the_first_for_all(line: str, moves: bool) -> None:
    """make_cpus_node gives dom0 the first CPU's compatible for every one; of these two, 40 bits leave room and 44 do not.

    Without hmp-unsafe only those of the boot CPU's kind run (start_secondary).
    """
    nodes = " ".join(
        f'cpu@{at} {{ device_type = "cpu"; compatible = "{name}"; reg = <{at}>; }};'
        for at, name in enumerate(("arm,cortex-a57", "arm,cortex-a53"))
    )
    body = host(chosen=f'xen,xen-bootargs = "{line}";')
    body = re.sub(r"cpus \{.*?\}; \};", f"cpus {{ #address-cells = <1>; #size-cells = <0>; {nodes} }};", body, count=1)
    (result,) = check(dtb(body), "board.dtb", CheckOptions(linux=K64._replace(va_bits=42), kaslr=True))
    assert any("it moves the linear map" in item for item in result.assumed) is moves
