"""What differs between kernels (spec 1.1, 1.2, 1.5), each shown by what it does to a tree."""

from __future__ import annotations

import pytest

from dtanalyze.board.bus import LINUX_6_13
from dtanalyze.errors import UsageError
from dtanalyze.linux.boot import Verdict
from dtanalyze.linux.profile import NEWEST, PRESETS, Arch, preset
from tests.linux.build import ROOT, answer, guest, reg, words

S = 0x8000000
FREE = [(0x100000000, 0x20000000)]


@pytest.mark.parametrize(
    ("arch", "page_kib", "section_mib", "pages"),
    [
        (Arch.ARM64, 4, 128, 32768),
        (Arch.ARM64, 16, 128, 8192),
        (Arch.ARM64, 64, 512, 8192),
        (Arch.X86, 4, 128, 32768),
        (Arch.ARM, 4, 256, 65536),
    ],
)
def test_section_sizes(arch: Arch, page_kib: int, section_mib: int, pages: int) -> None:
    profile = PRESETS["6.12"]._replace(arch=arch, page_size=page_kib << 10)
    assert (profile.section_size, profile.pages_per_section) == (section_mib << 20, pages)


def test_every_preset_of_the_contract_is_there() -> None:
    assert list(PRESETS) == ["v2", "review", "v3", "5.16", "5.17", "6.1", "6.12", "6.16", "7.3"]
    assert NEWEST == "7.3"
    assert all(preset(name).name == name for name in PRESETS)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("6,12", "6.12"),
        ("revew", "review"),
        ("xentroops", "xen-troops"),
        ("6", "6.16"),
        ("v6.x", ""),
        ("", ""),
        ("1e3", ""),
        ("8.0", ""),
    ],
)
def test_an_unknown_preset_is_an_error_that_names_neighbours_and_all(name: str, near: str) -> None:
    with pytest.raises(
        UsageError, match=f"called '{name}'.*{near}.*v2, review, v3, 5.16, 5.17, 6.1, 6.12, 6.16, 7.3, xen-troops"
    ):
        preset(name)


def test_what_is_older_than_the_allocation_is_no_preset() -> None:
    with pytest.raises(UsageError, match="'5.8': it is older than 5.9"):
        preset("5.8")


@pytest.mark.parametrize(
    ("asked", "name", "like"),
    [
        ("5.9", "5.9", "5.16"),
        ("5.10.200", "5.10.200", "5.16"),
        ("5.18", "5.18", "6.1"),
        ("6.6", "6.6", "6.1"),
        ("v6.6.30", "6.6.30", "6.1"),
        ("6.12.10", "6.12.10", "6.12"),
        ("6.12.10-amd64", "6.12.10", "6.12"),
        ("6.14", "6.14", "6.12"),
        ("v6.18", "6.18", "6.16"),
        ("7.0", "7.0", "6.16"),
        ("7.1", "7.1", "6.16"),
        ("7.2", "7.2", "7.3"),
        ("v7.3", "7.3", ""),
        ("7.9", "7.9", "7.3"),
    ],
)
def test_every_release_behaves_as_the_newest_preset_that_it_is_like(asked: str, name: str, like: str) -> None:
    found = preset(asked)
    assert (found.name, found.like) == (name, like)
    if like:
        assert any(f"Linux {name}" in item and like in item for item in found.remarks)


def test_between_two_presets_a_release_has_what_changed_up_to_it() -> None:
    """6.13 needs #address-cells (64ee3cf096ac) and still moves the linear map; 7.1 survives no compatible (f45ab27774aa)."""
    assert preset("6.13") == PRESETS["6.12"]._replace(
        name="6.13", like="6.12", address_rules=LINUX_6_13, remarks=preset("6.13").remarks
    )
    assert "with what changed up to it" in preset("6.13").remarks[0]
    seven = preset("7.1")
    assert (seven.null_compatible_crashes, seven.reserved_first_tuple_only) == (False, False)
    same = preset("6.6")._replace(name="6.1", like="", remarks=())
    assert same == PRESETS["6.1"]


@pytest.mark.parametrize("name", ["v3", "5.17", "6.1", "6.12", "6.16", "7.3"])
def test_from_v3_on_all_take_a_plain_region_alike(name: str) -> None:
    result = answer(guest(FREE), name, requests=(1, 40000))
    assert result.verdict is Verdict.SCRATCH
    assert result.answer is not None
    assert [request.taken and (request.taken.start, request.taken.last) for request in result.answer.requests] == [
        (0x100000000, 0x107FFFFFF),
        (0x108000000, 0x10FFFFFFF),
    ]


# Against something that is in the way: a claimed device inside, a window around, a partial overlap, RAM.


def amba(start: int, size: int) -> str:
    return f'dev@{start:x} {{ compatible = "arm,primecell"; {reg([(start, size)])} }};'


INSIDE = amba(0x102000000, 0x1000)
AROUND = amba(0xF8000000, 0x40000000)
PARTIAL = amba(0x107FFF000, 0x2000)


@pytest.mark.parametrize("extra", [INSIDE, AROUND, PARTIAL], ids=["inside", "around", "partial"])
@pytest.mark.parametrize("name", ["v3", "5.17", "6.12", "7.3"])
def test_request_resource_refuses_every_overlap(name: str, extra: str) -> None:
    result = answer(guest([(0x100000000, S)], extra), name, requests=(1, 1))
    assert (result.verdict, result.sections) == (Verdict.CONFLICT, 0)
    assert result.answer is not None
    for request in result.answer.requests:
        assert request.message == "Cannot request resource [mem 0x100000000-0x107ffffff] (-16)"


@pytest.mark.parametrize("extra", [INSIDE, AROUND], ids=["inside", "around"])
def test_v2_nests_silently(extra: str) -> None:
    result = answer(guest([(0x100000000, S)], extra), "v2", requests=(1,))
    assert (result.verdict, result.sections) == (Verdict.HAZARD, 1)
    assert result.answer is not None
    assert (result.answer.requests[0].error, result.answer.requests[0].message) == (None, None)


def test_v2_refuses_a_partial_overlap() -> None:
    result = answer(guest([(0x100000000, S)], PARTIAL), "v2", requests=(1,))
    assert result.verdict is Verdict.CONFLICT
    assert result.answer is not None
    assert result.answer.requests[0].message == "Cannot insert IOMEM resource [100000000 - 107ffffff]"


def test_in_system_ram_v2_fails_when_the_memory_is_remapped() -> None:
    memory = 'memory@40000000 { device_type = "memory"; reg = <0 0x40000000 1 0>; };'
    inside = guest([(0x100000000, S)], memory=memory)
    old = answer(inside, "v2", requests=(1,))
    assert old.verdict is Verdict.CONFLICT
    assert old.answer is not None
    assert (old.answer.requests[0].error, old.answer.requests[0].message) == ("ENXIO", "Cannot remap memory range")
    new = answer(inside, "5.17", requests=(1,))
    assert new.verdict is Verdict.CONFLICT
    assert new.answer is not None
    assert new.answer.requests[0].error == "EBUSY"


# When the hook fails: spec 1.9, "fall back".


@pytest.mark.parametrize("regions", [[], [(0x110000000, S), (0x100000000, S)]], ids=["none", "unsorted"])
@pytest.mark.parametrize("name", ["v2", "v3", "5.17", "6.1", "6.12", "6.16", "7.3"])
def test_a_failed_init_means_balloon(name: str, regions: list[tuple[int, int]]) -> None:
    result = answer(guest(regions), name, requests=(70000,))
    assert result.verdict is Verdict.BALLOON
    assert result.answer is not None
    (request,) = result.answer.requests
    assert (request.error, request.message, request.taken, request.outcome.value) == (None, None, None, "balloon")
    assert result.answer.target is None


def test_in_the_review_variant_it_means_iomem_resource() -> None:
    """With KASLR off the lowest gap lies below memstart and memremap_pages refuses it each time (spec 10)."""
    result = answer(guest([]), "review", requests=(1, 1))
    assert result.verdict is Verdict.IOMEM
    assert result.answer is not None
    assert result.answer.target_name == "iomem_resource"
    for request in result.answer.requests:
        assert (request.error, request.message) == ("EINVAL", "Cannot remap memory range")
    assert result.xen_view is None


def test_in_the_review_variant_with_kaslr_scratch_lands_at_address_0() -> None:
    result = answer(guest([]), "review", requests=(1,), kaslr=True)
    assert result.verdict is Verdict.HAZARD  # up to the grant table at 0x38000000 and over it
    assert result.answer is not None
    taken = result.answer.requests[0].taken
    assert taken is not None
    assert (taken.start, taken.last) == (0x0, 0x7FFFFFF)


def test_the_review_variant_with_good_regions_is_like_the_others() -> None:
    result = answer(guest(FREE), "review", requests=(1,))
    assert (result.verdict, result.sections) == (Verdict.SCRATCH, 4)


@pytest.mark.parametrize("name", ["v2", "review"])
def test_before_v3_the_hook_clips_to_the_linear_map(name: str) -> None:
    result = answer(guest([(0x10000000, 0x10000000), (0x100000000, S)]), name, requests=(1,))
    assert result.xen_view is not None
    assert result.xen_view.range.start == 0x40000000
    assert result.answer is not None
    assert result.answer.requests[0].taken is not None
    assert result.answer.requests[0].taken.start == 0x100000000
    later = answer(guest([(0x10000000, 0x10000000), (0x100000000, S)]), "v3")
    assert later.xen_view is not None
    assert later.xen_view.range.start == 0x10000000


# When the code exists at all: spec 1.2.


def test_before_5_17_arm_can_only_balloon() -> None:
    result = answer(guest(FREE), "5.16", requests=(1,))
    assert result.verdict is Verdict.BALLOON
    assert "x86 only" in result.reason


def test_32_bit_arm_can_never_use_it() -> None:
    result = answer(guest(FREE), PRESETS["7.3"]._replace(arch=Arch.ARM))
    assert result.verdict is Verdict.BALLOON
    assert "ZONE_DEVICE" in result.reason


@pytest.mark.parametrize("name", list(PRESETS))
def test_with_the_option_off_every_kernel_balloons(name: str) -> None:
    result = answer(guest(FREE), PRESETS[name]._replace(unpopulated_alloc=False), requests=(1, 100000))
    assert result.verdict is Verdict.BALLOON
    assert result.answer is not None
    assert [request.outcome.value for request in result.answer.requests] == ["balloon", "balloon"]


@pytest.mark.parametrize("name", ["5.16", "5.17", "6.12", "7.3"])
def test_x86_always_takes_from_iomem_resource(name: str) -> None:
    memory = 'memory@0 { device_type = "memory"; reg = <0 0 0 0x80000000>; };'
    body = guest(FREE, memory=memory, grant=(0x300000000, 0x40000))
    result = answer(body, PRESETS[name]._replace(arch=Arch.X86), requests=(1,))
    assert result.answer is not None
    assert result.answer.target_name == "iomem_resource"
    assert result.answer.init is None
    taken = result.answer.requests[0].taken
    assert taken is not None
    assert (taken.start, result.answer.requests[0].outcome.value) == (0x80000000, "iomem")
    bare = answer(guest([], memory=memory, grant=(0, 0)), PRESETS[name]._replace(arch=Arch.X86))
    assert bare.verdict is Verdict.IOMEM


# Single properties of the tree that kernels read differently are in test_enlighten and test_memblock; this is their
# effect on the whole answer.


def test_a_region_past_the_end_of_the_space_separates_6_1_from_6_12() -> None:
    body = guest([(0x100000000, S), (0xFFFFFFFFF8000000, 0x10000000)])
    old, new = answer(body, "6.1"), answer(body, "6.12")
    assert (old.verdict, new.verdict) == (Verdict.BALLOON, Verdict.BALLOON)
    assert old.answer is not None
    assert old.answer.init is not None
    assert new.answer is not None
    assert new.answer.init is not None
    assert (old.answer.init.error, new.answer.init.error) == ("EBUSY", "EOVERFLOW")


def test_a_partial_memory_property_separates_6_12_from_7_3() -> None:
    memory = 'memory@40000000 { device_type = "memory"; reg = <0 0x40000000 0 0x10000000 0>; };'
    assert answer(guest(FREE, memory=memory), "6.12").verdict is Verdict.SCRATCH
    assert answer(guest(FREE, memory=memory), "7.3").verdict is Verdict.UNKNOWN


def test_a_root_without_cells_separates_6_12_from_6_13_and_later() -> None:
    body = f"""memory@40000000 {{ device_type = "memory"; reg = <0x40000000 0x10000000>; }};
        hypervisor {{ compatible = "xen,xen-4.20", "xen,xen";
            reg = {words((0x38000000, 0x1000000, 0x80000000, 0x8000000), 1)}; }};"""
    assert answer(body, "6.12").verdict is Verdict.SCRATCH
    assert answer(body, "6.16").verdict is Verdict.BALLOON


def test_v2_and_v3_carry_their_known_defect() -> None:
    for name in PRESETS:
        rules = {item.rule for item in answer(guest(FREE), name).findings}
        assert ("K01" in rules) == (name in ("v2", "v3")), name
    assert ROOT in guest(FREE)
