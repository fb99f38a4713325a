"""drivers/xen/unpopulated-alloc.c: the page list, one fill after another, and every way in which a fill is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dtanalyze.address.range import AddressRange
from dtanalyze.linux.genalloc import PageRun
from dtanalyze.linux.iomem import Unseen
from dtanalyze.linux.memory_hotplug import PluggableRange
from dtanalyze.linux.profile import PRESETS, LinuxProfile
from dtanalyze.linux.resource import Resource
from dtanalyze.linux.unpopulated_alloc import MAX_REQUEST_PAGES, Outcome, PageList, UnpopulatedAlloc
from tests.linux.build import answer, guest

S = 0x8000000
PER_SECTION = 32768
L612, V2, REVIEW = PRESETS["6.12"], PRESETS["v2"], PRESETS["review"]
EVERYWHERE = PluggableRange(0, (1 << 47) - 1, False)


def regions(*ranges: tuple[int, int]) -> Resource:
    """xen_resource for these (start, stop), ascending, as spec 2.1 steps 7 to 9 build it."""
    root = Resource("Xen unused space", ranges[0][0], ranges[-1][1] - 1)
    for (_, stop), (start, _) in zip(ranges, ranges[1:], strict=False):
        if stop < start:
            assert root.request_resource(Resource("Unavailable space", stop, start - 1)) is None
    return root


def iomem(*claims: Resource) -> Resource:
    root = Resource("PCI mem", 0, (1 << 64) - 1)
    for claim in claims:
        assert root.insert_resource(claim) is None
    return root


def ram(start: int, stop: int) -> Resource:
    return Resource("System RAM", start, stop - 1, system_ram=True)


def device(start: int, stop: int, name: str = "device") -> Resource:
    return Resource(name, start, stop - 1)


def allocator(
    target: Resource,
    *claims: Resource,
    profile: LinuxProfile = L612,
    limits: PluggableRange = EVERYWHERE,
    unseen: tuple[Unseen, ...] = (),
) -> UnpopulatedAlloc:
    return UnpopulatedAlloc(profile, target, iomem(*claims), limits, unseen)


def example(profile: LinuxProfile = L612, *claims: Resource) -> UnpopulatedAlloc:
    """Spec section 9."""
    target = regions(
        (0x48200000, 0x54000000), (0x5A000000, 0x6E000000), (0x6E000000, 0x70000000), (0x600000000, 0x640000000)
    )
    limits = PluggableRange(0x40000000, 0x40000000 + (1 << 47) - 1, False)
    return allocator(target, ram(0x40000000, 0x48000000), *claims, profile=profile, limits=limits)


def ask(alloc: UnpopulatedAlloc, pages: int) -> tuple[str | None, tuple[int, int] | None]:
    """One request whose pages are kept: its error and the range newly taken, end inclusive."""
    request, _ = alloc.xen_alloc_unpopulated_pages(pages)
    return request.error, (request.taken.start, request.taken.last) if request.taken else None


# Spec section 9, the worked example.


def test_the_worked_example_fills_in_this_order() -> None:
    alloc = example()
    chosen = [(0x60000000, 0x67FFFFFF), (0x68000000, 0x6FFFFFFF)]
    chosen += [(0x600000000 + n * S, 0x600000000 + n * S + S - 1) for n in range(8)]
    firsts = []
    for expected in chosen:
        request, runs = alloc.xen_alloc_unpopulated_pages(1)
        assert request.taken is not None
        assert (request.taken.start, request.taken.last) == expected
        firsts.append(request.first_page)
        alloc.page_list.pop(alloc.page_list.count)  # somebody holds the rest: the next call finds the list empty
        assert sum(run.pages for run in runs) == 1
    assert firsts[:3] == [0x67FFF000, 0x6FFFF000, 0x607FFF000]
    request, runs = alloc.xen_alloc_unpopulated_pages(1)
    assert (request.error, request.message, request.outcome) == (
        "EBUSY",
        "Cannot allocate new IOMEM resource",
        Outcome.EXHAUSTED,
    )
    assert request.taken is None
    assert runs == ()


def test_the_worked_example_shows_why_the_first_region_gives_nothing() -> None:
    fill = example().fill_list(1)
    tried = [(item.gap_start, item.gap_end, item.start, item.fits) for item in fill.candidates]
    assert tried == [(0x48200000, 0x53FFFFFF, 0x50000000, False), (0x5A000000, 0x6FFFFFFF, 0x60000000, True)]


@pytest.mark.parametrize(
    ("pages", "expected"),
    [(40000, (0x60000000, 0x6FFFFFFF)), (70000, (0x600000000, 0x617FFFFFF)), (32768, (0x60000000, 0x67FFFFFF))],
)
def test_a_first_request_of_several_sections_is_contiguous(pages: int, expected: tuple[int, int]) -> None:
    assert ask(example(), pages) == (None, expected)


def test_with_64k_pages_two_sections_are_left() -> None:
    alloc = example(L612._replace(page_size=65536))
    assert ask(alloc, 8192) == (None, (0x600000000, 0x61FFFFFFF))
    assert ask(alloc, 8192) == (None, (0x620000000, 0x63FFFFFFF))
    assert ask(alloc, 1) == ("EBUSY", None)


def test_a_claimed_device_in_the_first_place_makes_every_one_section_request_fail() -> None:
    alloc = example(L612, device(0x62000000, 0x62001000))
    for _ in range(3):
        request, _ = alloc.xen_alloc_unpopulated_pages(1)
        assert (request.outcome, request.error) == (Outcome.CONFLICT, "EBUSY")
        assert request.message == "Cannot request resource [mem 0x60000000-0x67ffffff] (-16)"
    assert [child.name for child in alloc.target.children] == ["Unavailable space", "Unavailable space"]
    # Three sections do not fit there; one section is then served from what they leave.
    assert ask(alloc, 70000) == (None, (0x600000000, 0x617FFFFFF))
    alloc.page_list.pop(alloc.page_list.count)
    assert ask(alloc, 1) == ("EBUSY", None)


def test_the_recorded_run_of_section_9() -> None:
    """Xen 4.17, dom0 at 0x60000000-0x7fffffff: requests 1, 32767, 1, 65536."""
    target = regions((0x40400000, 0x60000000), (0x80000000, 0x140000000))
    limits = PluggableRange(0x40000000, 0x40000000 + (1 << 47) - 1, False)
    alloc = allocator(target, ram(0x60000000, 0x80000000), limits=limits)
    assert ask(alloc, 1) == (None, (0x48000000, 0x4FFFFFFF))
    assert ask(alloc, 32767) == (None, None)
    assert ask(alloc, 1) == (None, (0x50000000, 0x57FFFFFF))
    # 32767 pages are free, so 32769 are missing: two sections.
    assert ask(alloc, 65536) == (None, (0x80000000, 0x8FFFFFFF))
    assert alloc.target.find_resource_space(S, 0, 1 << 47, S) == 0x58000000


# Single rules of spec 1.4.


def test_pages_come_highest_first_and_the_rest_of_the_list_follows() -> None:
    alloc = allocator(regions((0x10000000, 0x18000000), (0x20000000, 0x28000000)))
    _, first = alloc.xen_alloc_unpopulated_pages(PER_SECTION - 1)
    assert first == (PageRun(0x17FFF, PER_SECTION - 1, -1),)
    request, runs = alloc.xen_alloc_unpopulated_pages(3)
    assert request.taken == AddressRange(0x20000000, S)
    # Two pages were missing: a whole section came on top of the one page left.
    assert runs == (PageRun(0x27FFF, 3, -1),)
    _, rest = alloc.xen_alloc_unpopulated_pages(PER_SECTION - 2)
    assert rest == (PageRun(0x27FFC, PER_SECTION - 3, -1), PageRun(0x10000, 1, -1))
    assert alloc.page_list.count == 0


def test_a_failed_fill_leaves_the_list_as_it_was() -> None:
    alloc = allocator(regions((0x10000000, 0x18000000)))
    _, runs = alloc.xen_alloc_unpopulated_pages(1)
    alloc.xen_free_unpopulated_pages(runs)
    assert ask(alloc, PER_SECTION + 1) == ("EBUSY", None)
    assert alloc.page_list.count == PER_SECTION
    assert ask(alloc, PER_SECTION) == (None, None)


def test_a_request_for_nothing_takes_nothing() -> None:
    alloc = allocator(regions((0x10000000, 0x18000000)))
    request, runs = alloc.xen_alloc_unpopulated_pages(0)
    assert (request.outcome, request.taken, request.first_page, runs) == (Outcome.SCRATCH, None, None, ())


def test_rounding_up_the_largest_requests_wraps_to_nothing() -> None:
    fill = allocator(regions((0x10000000, 0x100000000000))).fill_list(MAX_REQUEST_PAGES)
    assert (fill.size, fill.error, fill.candidates) == (0, "EBUSY", ())


def test_bounds_of_the_linear_map_clip_the_search() -> None:
    target = regions((0x10000000, 0x18000000), (0x48000000, 0x50000000))
    alloc = allocator(target, limits=PluggableRange(0x40000000, 0x4FFFFFFF, False))
    assert ask(alloc, PER_SECTION) == (None, (0x48000000, 0x4FFFFFFF))
    short = allocator(
        regions((0x10000000, 0x18000000), (0x48000000, 0x50000000)), limits=PluggableRange(0x40000000, 0x4FFFFFFE, False)
    )
    assert ask(short, 1) == ("EBUSY", None)


def test_scratch_ranges_show_in_both_trees() -> None:
    alloc = example()
    ask(alloc, 40000)
    assert [(item.name, item.start, item.end) for item in alloc.target.children] == [
        ("Unavailable space", 0x54000000, 0x59FFFFFF),
        ("Xen scratch", 0x60000000, 0x6FFFFFFF),
        ("Unavailable space", 0x70000000, 0x5FFFFFFFF),
    ]
    assert [(item.name, item.start, item.end) for item in alloc.iomem.children] == [
        ("System RAM", 0x40000000, 0x47FFFFFF),
        ("Xen scratch", 0x60000000, 0x6FFFFFFF),
    ]


# V2: insert_resource.


def test_v2_nests_in_a_claimed_window_without_a_word() -> None:
    window = device(0x10000000, 0x30000000, "pcie@10000000")
    alloc = allocator(regions((0x18000000, 0x20000000)), window, profile=V2)
    request, _ = alloc.xen_alloc_unpopulated_pages(1)
    assert (request.outcome, request.error) == (Outcome.HAZARD, None)
    assert request.fill is not None
    assert request.fill.nested_in is window
    assert [(child.name, child.start) for child in window.children] == [("Xen scratch", 0x18000000)]


def test_v2_closes_around_a_claimed_device_without_a_word() -> None:
    claimed = device(0x19000000, 0x19001000, "pl031")
    alloc = allocator(regions((0x18000000, 0x20000000)), claimed, profile=V2)
    request, _ = alloc.xen_alloc_unpopulated_pages(1)
    assert request.outcome is Outcome.HAZARD
    assert claimed.parent is not None
    assert claimed.parent.name == "Xen scratch"


def test_v2_refuses_a_partial_overlap_with_its_own_line() -> None:
    alloc = allocator(regions((0x18000000, 0x20000000)), device(0x1F000000, 0x21000000), profile=V2)
    request, _ = alloc.xen_alloc_unpopulated_pages(1)
    assert (request.outcome, request.error) == (Outcome.CONFLICT, "EBUSY")
    assert request.message == "Cannot insert IOMEM resource [18000000 - 1fffffff]"
    assert alloc.target.children == []


def test_v2_inside_system_ram_is_refused_by_memremap_pages() -> None:
    memory = ram(0x10000000, 0x30000000)
    alloc = allocator(regions((0x18000000, 0x20000000)), memory, profile=V2)
    for _ in range(2):
        request, _ = alloc.xen_alloc_unpopulated_pages(1)
        assert (request.outcome, request.error, request.message) == (
            Outcome.CONFLICT,
            "ENXIO",
            "Cannot remap memory range",
        )
        assert request.fill is not None
        assert request.fill.refused_by is memory
    assert (alloc.target.children, memory.children) == ([], [])


def test_v2_searches_all_of_xen_resource() -> None:
    alloc = allocator(regions((0x18000000, 0x20000000)), profile=V2, limits=PluggableRange(0x40000000, 1 << 46, False))
    assert alloc.search_bounds == (0, (1 << 64) - 1)
    request, _ = alloc.xen_alloc_unpopulated_pages(1)
    assert (request.error, request.message) == ("EINVAL", "Cannot remap memory range")


# The reviewer's variant: iomem_resource as target.


def test_review_takes_the_lowest_gap_of_iomem_resource() -> None:
    root = iomem(device(0x0, 0x7000000), ram(0x40000000, 0x80000000))
    alloc = UnpopulatedAlloc(REVIEW, root, root, PluggableRange(0, (1 << 47) - 1, False))
    request, _ = alloc.xen_alloc_unpopulated_pages(1)
    assert (request.outcome, request.taken) == (Outcome.IOMEM, AddressRange(0x8000000, S))
    assert [(item.name, item.start) for item in root.children][1] == ("Xen scratch", 0x8000000)


def test_review_below_the_linear_map_is_refused_again_and_again() -> None:
    root = iomem(ram(0x40000000, 0x80000000))
    alloc = UnpopulatedAlloc(REVIEW, root, root, PluggableRange(0x40000000, (1 << 47) - 1, False))
    for _ in range(2):
        request, _ = alloc.xen_alloc_unpopulated_pages(1)
        assert (request.error, request.message) == ("EINVAL", "Cannot remap memory range")
        assert request.outcome is Outcome.IOMEM, "iomem_resource gave the range; it is memremap_pages that refuses"
        assert request.fill is not None
        assert request.fill.range == AddressRange(0, S)
    assert len(root.children) == 1


# Users that Linux does not know of.


def test_unseen_users_make_a_hazard_and_only_where_pages_come_from() -> None:
    rogue = Unseen("device", AddressRange(0x1A000000, 0x1000), "/rogue", 0)
    far = Unseen("grant table", AddressRange(0x21000000, 0x1000), "/hypervisor", 0)
    alloc = allocator(regions((0x18000000, 0x28000000)), unseen=(rogue, far))
    request, runs = alloc.xen_alloc_unpopulated_pages(1)
    assert (request.outcome, request.landed_on) == (Outcome.HAZARD, (rogue,))
    alloc.xen_free_unpopulated_pages(runs)
    # Served from the list: the page at the top of the section is not the device's.
    again, runs = alloc.xen_alloc_unpopulated_pages(1)
    assert (again.outcome, again.landed_on, again.first_page) == (Outcome.SCRATCH, (), 0x1FFFF000)
    alloc.xen_free_unpopulated_pages(runs)
    whole, runs = alloc.xen_alloc_unpopulated_pages(PER_SECTION)
    assert (whole.outcome, whole.landed_on, whole.taken) == (Outcome.HAZARD, (rogue,), None)
    assert alloc.landed_on(AddressRange(0x20000000, S)) == (far,)


def test_a_request_that_takes_a_new_section_also_gets_the_old_pages() -> None:
    rogue = Unseen("device", AddressRange(0x1A000000, 0x1000), "/rogue", 0)
    alloc = allocator(regions((0x18000000, 0x28000000)), unseen=(rogue,))
    _, runs = alloc.xen_alloc_unpopulated_pages(1)
    alloc.xen_free_unpopulated_pages(runs)
    request, _ = alloc.xen_alloc_unpopulated_pages(PER_SECTION + 1)
    assert request.taken == AddressRange(0x20000000, S)
    # The new section is on top; of the old one only its highest page goes out.
    assert (request.outcome, request.landed_on) == (Outcome.SCRATCH, ())
    other = allocator(regions((0x18000000, 0x28000000)), unseen=(rogue,))
    _, runs = other.xen_alloc_unpopulated_pages(1)
    other.xen_free_unpopulated_pages(runs)
    request, _ = other.xen_alloc_unpopulated_pages(2 * PER_SECTION)
    assert request.taken == AddressRange(0x20000000, S)
    assert (request.outcome, request.landed_on) == (Outcome.HAZARD, (rogue,))


# The page list against a plain list.

steps = st.lists(st.one_of(st.integers(1, 9), st.integers(-9, -1)), max_size=30)


@settings(deadline=None)
@given(steps, st.data())
def test_the_page_list_is_a_stack_of_pages(wanted: list[int], data: st.DataObject) -> None:
    """Positive: push that many new pages. Negative: pop that many, and give a part of what was popped back later."""
    kernel = PageList()
    stack: list[int] = []
    held: list[tuple[tuple[PageRun, ...], list[int]]] = []
    next_page = 0
    for count in wanted:
        if count > 0:
            kernel.push(PageRun(next_page, count, 1))
            stack.extend(range(next_page, next_page + count))
            next_page += count + data.draw(st.integers(0, 2))
        elif -count <= len(stack):
            runs = kernel.pop(-count)
            got = [run.first + index * run.step for run in runs for index in range(run.pages)]
            assert got == [stack.pop() for _ in range(-count)]
            held.append((runs, got))
        else:
            assert kernel.count == len(stack)
            with pytest.raises(IndexError):
                PageList().pop(1)
        giving_back: bool = data.draw(st.booleans()) if held else False
        if giving_back:
            runs, pages = held.pop(data.draw(st.integers(0, len(held) - 1)))
            for run in runs:
                kernel.push(run)
            stack.extend(pages)
        assert kernel.count == len(stack)
    drained = kernel.pop(kernel.count)
    assert [run.first + index * run.step for run in drained for index in range(run.pages)] == stack[::-1]


@settings(deadline=None)
@given(st.integers(0, 20), st.integers(1, 9), st.sampled_from([1, -1]), st.integers(0, 30), st.integers(1, 5))
def test_a_run_contains_what_its_pages_say(first: int, pages: int, step: int, start: int, size: int) -> None:
    run = PageRun(first + 20, pages, step)
    members = {first + 20 + index * step for index in range(pages)}
    assert run.contains(range(start, start + size)) == any(page in members for page in range(start, start + size))


# Whole sequences against a model in which every page is an element of a list and every place is looked at.

UNIT = S // 4
SPACE = 24 * 4  # units


class Model:
    """64 MiB and less are units; ``holes`` and ``claims`` are ranges in units, stop exclusive."""

    def __init__(self, root: tuple[int, int], holes: list[tuple[int, int]], claims: list[tuple[int, int]]) -> None:
        self.root, self.holes, self.claims = root, list(holes), list(claims)
        self.sections: list[int] = []
        """The free list: for each free page its section's first unit; the last one is on top."""

    def request(self, pages: int, per_section: int) -> tuple[str | None, tuple[int, int] | None, list[int]]:
        missing = pages - len(self.sections)
        taken = None
        if missing > 0:
            count = (missing + per_section - 1) // per_section
            place = self.place(4 * count)
            if place is None:
                return "none fits", None, []
            taken = (place, place + 4 * count)
            if any(start < taken[1] and taken[0] < stop for start, stop in self.claims):
                return "refused", taken, []
            self.holes.append(taken)
            self.claims.append(taken)
            for index in range(count):
                self.sections += [place + 4 * index] * per_section
        return None, taken, [self.sections.pop() for _ in range(pages)]

    def place(self, size: int) -> int | None:
        for start in range(0, SPACE, 4):
            if start < self.root[0] or start + size > self.root[1]:
                continue
            if not any(a < start + size and start < b for a, b in self.holes):
                return start
        return None


def apart(cuts: list[int]) -> list[tuple[int, int]]:
    """Every second stretch between ascending cuts."""
    return [(a, b) for a, b in zip(cuts[::2], cuts[1::2], strict=False) if a < b]


cuts = st.lists(st.integers(0, SPACE), max_size=8, unique=True).map(sorted)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(0, 10), st.integers(20, SPACE)),
    cuts,
    cuts,
    st.lists(st.one_of(st.integers(1, 3), st.integers(8000, 20000)), min_size=1, max_size=6),
    st.booleans(),
)
def test_sequences_of_requests_equal_a_list_of_pages(
    root: tuple[int, int], hole_cuts: list[int], claim_cuts: list[int], wanted: list[int], give_back: bool
) -> None:
    # 64K pages make 8192 pages a section of 512 MiB; a section of 128 MiB with 8192 pages has 16K pages.
    profile = L612._replace(page_size=16384)
    assert (profile.section_size, profile.pages_per_section) == (S, 8192)
    holes = [(max(a, root[0]), min(b, root[1])) for a, b in apart(hole_cuts) if max(a, root[0]) < min(b, root[1])]
    claims = apart(claim_cuts)
    target = Resource("Xen unused space", root[0] * UNIT, root[1] * UNIT - 1)
    for a, b in holes:
        assert target.request_resource(Resource("Unavailable space", a * UNIT, b * UNIT - 1)) is None
    alloc = allocator(target, *(device(a * UNIT, b * UNIT) for a, b in claims), profile=profile)
    model = Model(root, holes, claims)
    for pages in wanted:
        request, runs = alloc.xen_alloc_unpopulated_pages(pages)
        error, taken, sections = model.request(pages, 8192)
        assert (
            request.outcome
            is {
                None: Outcome.SCRATCH,
                "refused": Outcome.CONFLICT,
                "none fits": Outcome.EXHAUSTED,
            }[error]
        )
        assert request.error == (None if error is None else "EBUSY")
        if error is None:
            expected = None if taken is None else AddressRange(taken[0] * UNIT, (taken[1] - taken[0]) * UNIT)
            assert request.taken == expected
            got = [(run.first + index * run.step) * 16384 // S * 4 for run in runs for index in range(run.pages)]
            assert got == sections
            if give_back:
                alloc.xen_free_unpopulated_pages(runs)
                model.sections.extend(sections)
        elif error == "refused":
            assert taken is not None
            assert (
                request.message == f"Cannot request resource [mem 0x{taken[0] * UNIT:08x}-0x{taken[1] * UNIT - 1:08x}] (-16)"
            )
        assert alloc.page_list.count == len(model.sections)


def test_v2_is_refused_again_where_a_withdrawn_range_took_ram_out_of_iomem_resource() -> None:
    # RAM that fits into a section nests in the copy and leaves the tree with it; sparse_add_section still knows it.
    bank = 'memory@81000000 { device_type = "memory"; reg = <0 0x81000000 0 0x1000000>; };'
    result = answer(guest([(0x80000000, 0x20000000)], bank), "v2", requests=(1, 1))
    assert result.answer is not None
    assert [request.outcome for request in result.answer.requests] == [Outcome.CONFLICT, Outcome.CONFLICT]
