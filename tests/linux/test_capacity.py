"""capacity() against taking one section after another, and against trying every size of a first request."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dtanalyze.address.range import AddressRange
from dtanalyze.linux.capacity import Landing, Refusal, SectionRun, capacity
from dtanalyze.linux.iomem import Unseen
from dtanalyze.linux.memory_hotplug import PluggableRange
from dtanalyze.linux.profile import PRESETS, Arch, LinuxProfile
from dtanalyze.linux.resource import Resource
from dtanalyze.linux.unpopulated_alloc import UnpopulatedAlloc

S = 0x8000000
PER_SECTION = 32768
L612, V2, REVIEW = PRESETS["6.12"], PRESETS["v2"], PRESETS["review"]
X86 = L612._replace(arch=Arch.X86)


class Claim(NamedTuple):
    """A range in units, stop exclusive; what nests in it."""

    start: int
    stop: int
    ram: bool = False
    inner: tuple[Claim, ...] = ()


class Setup(NamedTuple):
    """A whole state in units of a quarter section; ``root`` None means that iomem_resource is the target."""

    profile: LinuxProfile
    root: tuple[int, int] | None
    holes: tuple[tuple[int, int], ...]
    claims: tuple[Claim, ...]
    unseen: tuple[tuple[int, int], ...]
    low: int
    high: int


UNIT = S // 4
SPACE = 20 * 4


def claimed(parent: Resource, claims: tuple[Claim, ...], depth: int = 0) -> None:
    for index, claim in enumerate(claims):
        name = f"claim {depth}.{index}"
        made = Resource(name, claim.start * UNIT, claim.stop * UNIT - 1, system_ram=claim.ram)
        assert parent.request_resource(made) is None
        claimed(made, claim.inner, depth + 1)


def fresh(setup: Setup) -> UnpopulatedAlloc:
    """The state before the first request, all of it new."""
    iomem = Resource("PCI mem", 0, (1 << 64) - 1)
    claimed(iomem, setup.claims)
    target = iomem
    if setup.root is not None:
        target = Resource("Xen unused space", setup.root[0] * UNIT, setup.root[1] * UNIT - 1)
        for start, stop in setup.holes:
            assert target.request_resource(Resource("Unavailable space", start * UNIT, stop * UNIT - 1)) is None
    limits = PluggableRange(setup.low * UNIT, setup.high * UNIT - 1, False)
    unseen = tuple(
        Unseen("device", AddressRange.spanning(start * UNIT, stop * UNIT), f"/device{index}", index)
        for index, (start, stop) in enumerate(setup.unseen)
    )
    return UnpopulatedAlloc(setup.profile, target, iomem, limits, unseen)


def stretches(cuts: list[int], low: int = 0, high: int = SPACE) -> tuple[tuple[int, int], ...]:
    pairs = zip(cuts[::2], cuts[1::2], strict=False)
    return tuple((max(a, low), min(b, high)) for a, b in pairs if max(a, low) < min(b, high))


cuts = st.lists(st.integers(0, SPACE), max_size=10, unique=True).map(sorted)


@st.composite
def claim_lists(draw: st.DrawFn) -> tuple[Claim, ...]:
    out: list[Claim] = []
    for start, stop in stretches(draw(cuts)):
        ram = draw(st.integers(0, 3)) == 0
        inner: tuple[Claim, ...] = ()
        if draw(st.booleans()):
            inside = sorted(draw(st.lists(st.integers(start, stop), max_size=6, unique=True)))
            inner = tuple(Claim(a, b, draw(st.integers(0, 4)) == 0) for a, b in stretches(inside))
        out.append(Claim(start, stop, ram, inner))
    return tuple(out)


@st.composite
def setups(draw: st.DrawFn, profile: LinuxProfile, iomem_target: bool) -> Setup:
    low = draw(st.sampled_from([0, 0, 0, 8, 14]))
    high = draw(st.sampled_from([SPACE, SPACE, 30, 47]))
    root = None
    holes: tuple[tuple[int, int], ...] = ()
    if not iomem_target:
        start = draw(st.integers(0, 20))
        root = (start, draw(st.integers(start + 1, SPACE)))
        holes = stretches(draw(cuts), *root)
    unseen = stretches(draw(cuts))
    return Setup(profile, root, holes, draw(claim_lists()), unseen, low, high)


class Slow(NamedTuple):
    """What one section after another gives."""

    taken: list[int]
    refused: tuple[int, str] | None
    first_on: dict[str, int]
    """For each unseen user and each claim the number of the section that is the first to touch it."""


def section_by_section(setup: Setup) -> Slow:
    alloc = fresh(setup)
    top = [(f"claim 0.{index}", item.start * UNIT, item.stop * UNIT - 1) for index, item in enumerate(setup.claims)]
    users = [(f"/device{index}", start * UNIT, stop * UNIT - 1) for index, (start, stop) in enumerate(setup.unseen)]
    taken: list[int] = []
    first_on: dict[str, int] = {}
    while True:
        fill = alloc.fill_list(1)
        if fill.error is not None:
            refused = None if fill.range is None else (fill.range.start, fill.error)
            return Slow(taken, refused, first_on)
        assert fill.range is not None
        for name, start, end in top + users:
            if start < fill.range.stop and fill.range.start <= end:
                first_on.setdefault(name, len(taken))
        taken.append(fill.range.start)


def largest_first_request(setup: Setup) -> int:
    most = SPACE // 4 + 2
    fitting = [count for count in range(1, most) if fresh(setup).fill_list(count * PER_SECTION).error is None]
    return max(fitting, default=0) * PER_SECTION


def check(setup: Setup) -> None:
    fast, slow = capacity(fresh(setup)), section_by_section(setup)
    assert [run.start + index * S for run in fast.runs for index in range(run.sections)] == slow.taken
    assert fast.sections == len(slow.taken)
    assert ((fast.refusal.range.start, fast.refusal.error) if fast.refusal else None) == slow.refused
    first_on: dict[str, int] = {}
    for landing in fast.landings:
        name = landing.on.source if isinstance(landing.on, Unseen) else landing.on.name
        first_on[name] = min(first_on.get(name, landing.number), landing.number)
        assert landing.range.start == slow.taken[landing.number]
    assert first_on == slow.first_on
    assert [item.number for item in fast.landings] == sorted(item.number for item in fast.landings)
    assert fast.largest_request == largest_first_request(setup)


@settings(max_examples=150, deadline=None)
@given(setups(L612, iomem_target=False))
@example(Setup(L612, (0, 80), (), (), (), 0, 80))
@example(Setup(L612, (1, 9), ((4, 5),), (), ((4, 9),), 0, 80))
def test_request_semantics(setup: Setup) -> None:
    check(setup)


@settings(max_examples=200, deadline=None)
@given(setups(V2, iomem_target=False))
@example(Setup(V2, (0, 80), (), (Claim(0, 80, False, (Claim(12, 16, True),)),), (), 0, 80))
@example(Setup(V2, (0, 80), (), (Claim(5, 6), Claim(15, 17)), (), 0, 80))
def test_insert_semantics(setup: Setup) -> None:
    check(setup)


@settings(max_examples=80, deadline=None)
@given(setups(REVIEW, iomem_target=True))
def test_iomem_resource_as_target_unclipped(setup: Setup) -> None:
    check(setup)


@settings(max_examples=80, deadline=None)
@given(setups(X86, iomem_target=True))
def test_iomem_resource_as_target_clipped(setup: Setup) -> None:
    check(setup)


def alloc_of(
    target: Resource,
    *claims: Resource,
    profile: LinuxProfile = L612,
    limits: tuple[int, int] = (0, (1 << 48) - 1),
    unseen: tuple[Unseen, ...] = (),
) -> UnpopulatedAlloc:
    iomem = Resource("PCI mem", 0, (1 << 64) - 1)
    for claim in claims:
        assert iomem.insert_resource(claim) is None
    return UnpopulatedAlloc(profile, target, iomem, PluggableRange(*limits, False), unseen)


def spec_9(profile: LinuxProfile = L612, *claims: Resource) -> UnpopulatedAlloc:
    target = Resource("Xen unused space", 0x48200000, 0x63FFFFFFF)
    for start, end in ((0x54000000, 0x59FFFFFF), (0x70000000, 0x5FFFFFFFF)):
        assert target.request_resource(Resource("Unavailable space", start, end)) is None
    memory = Resource("System RAM", 0x40000000, 0x47FFFFFF, system_ram=True)
    return alloc_of(target, memory, *claims, profile=profile, limits=(0x40000000, 0x40000000 + (1 << 47) - 1))


def test_spec_9_holds_ten_sections() -> None:
    found = capacity(spec_9())
    assert found.runs == (SectionRun(0x60000000, 2), SectionRun(0x600000000, 8))
    assert (found.sections, found.sections * PER_SECTION) == (10, 327680)
    assert (found.refusal, found.landings) == (None, ())
    assert found.largest_request == 8 * PER_SECTION


def test_spec_9_with_64k_pages_holds_two() -> None:
    found = capacity(spec_9(L612._replace(page_size=65536)))
    assert found.runs == (SectionRun(0x600000000, 2),)
    assert found.largest_request == 16384


def test_spec_9_with_a_claimed_device_gives_nothing_to_single_sections() -> None:
    claim = Resource("device", 0x62000000, 0x62000FFF)
    found = capacity(spec_9(L612, claim))
    assert found.runs == ()
    assert found.refusal == Refusal(AddressRange(0x60000000, S), "EBUSY", claim)
    assert found.largest_request == 8 * PER_SECTION  # more than two sections go to the last region


def test_a_refusal_ends_the_count_although_space_is_left() -> None:
    claim = Resource("device", 0x51000000, 0x51000FFF)
    found = capacity(alloc_of(Resource("Xen unused space", 0x40000000, 0x7FFFFFFF), claim))
    assert found.runs == (SectionRun(0x40000000, 2),)
    assert found.refusal == Refusal(AddressRange(0x50000000, S), "EBUSY", claim)
    assert found.largest_request == 2 * PER_SECTION


def test_landings_name_the_first_section_on_each_user() -> None:
    first = Unseen("device", AddressRange(0x47FFF000, 0x2000), "/seam", 0)
    second = Unseen("grant table", AddressRange(0x58000000, 0x20000000), "/hypervisor", 0)
    outside = Unseen("device", AddressRange(0x80000000, 0x1000), "/next", 0)
    target = Resource("Xen unused space", 0x40000000, 0x7FFFFFFF)
    found = capacity(alloc_of(target, unseen=(first, second, outside)))
    assert found.sections == 8
    assert found.landings == (
        Landing(0, AddressRange(0x40000000, S), first),
        Landing(3, AddressRange(0x58000000, S), second),
    )


def test_nothing_counts_as_landed_on_beyond_the_refusal() -> None:
    beyond = Unseen("device", AddressRange(0x60000000, 0x1000), "/beyond", 0)
    target = Resource("Xen unused space", 0x40000000, 0x7FFFFFFF)
    found = capacity(alloc_of(target, Resource("claimed", 0x50000000, 0x50000FFF), unseen=(beyond,)))
    assert (found.sections, found.landings) == (2, ())


def test_v2_counts_a_silent_nesting_as_landing() -> None:
    window = Resource("pcie", 0x40000000, 0x7FFFFFFF)
    found = capacity(alloc_of(Resource("Xen unused space", 0x48000000, 0x57FFFFFF), window, profile=V2))
    assert found.sections == 2
    assert found.landings == (Landing(0, AddressRange(0x48000000, S), window),)


@pytest.mark.parametrize("profile", [L612, V2], ids=["request", "insert"])
def test_two_to_the_47_bytes_are_a_million_sections(profile: LinuxProfile) -> None:
    """Only by runs is this an answer at all."""
    base, memory = 0x100000000, Resource("System RAM", 0x40000000, 0x7FFFFFFF, system_ram=True)
    target = Resource("Xen unused space", base, base + (1 << 47) - 1)
    user = Unseen("device", AddressRange(base + (1 << 46) + 5, 1), "/far", 0)
    found = capacity(alloc_of(target, memory, profile=profile, unseen=(user,)))
    assert found.runs == (SectionRun(base, 1 << 20),)
    assert found.landings == (Landing(1 << 19, AddressRange(base + (1 << 46), S), user),)
    # 2^32 - 1 pages at most, in whole sections of 2^15 pages.
    assert found.largest_request == (1 << 32) - (1 << 15)


def test_a_huge_region_with_a_claim_far_inside_stops_there() -> None:
    base = 0x100000000
    target = Resource("Xen unused space", base, base + (1 << 47) - 1)
    claim = Resource("pcie", 0x8000000000, 0xFFFFFFFFFF)
    found = capacity(alloc_of(target, claim))
    assert found.sections == (0x8000000000 - base) // S == 4064
    assert found.refusal == Refusal(AddressRange(0x8000000000, S), "EBUSY", claim)
    assert found.largest_request == 4064 * PER_SECTION


def test_a_target_without_addresses_holds_nothing() -> None:
    found = capacity(alloc_of(Resource("Xen unused space", 0x80000000, 0x7FFFFFFF)))
    assert (found.runs, found.refusal, found.landings, found.largest_request) == ((), None, (), 0)
