"""One kernel booting with one guest tree: detection, the two views, the requests, the verdict.

Puts the other mirrors together in the order in which they run at boot; holds no model of its own but the verdict,
whose stages are tried in the order of the enum.
"""

from enum import StrEnum
from typing import Final, NamedTuple

from dtanalyze.address.rangeset import RangeSet
from dtanalyze.address.units import format_range, format_size
from dtanalyze.board.model import Board, entry_range
from dtanalyze.linux.balloon import ballooned
from dtanalyze.linux.capacity import Capacity, Landing, capacity
from dtanalyze.linux.enlighten import (
    GRANT_TABLE_INDEX,
    Detection,
    XenInit,
    arch_xen_unpopulated_init,
    decode_regions,
    find_xen_node,
    xen_early_init,
)
from dtanalyze.linux.iomem import Iomem, Unseen, build_iomem, unseen_users
from dtanalyze.linux.memblock import Memblock
from dtanalyze.linux.memory_hotplug import (
    PluggableRange,
    linear_map_is_randomized,
    mhp_get_pluggable_range,
    within_linear_map,
)
from dtanalyze.linux.profile import Arch, LinuxProfile, TargetRule
from dtanalyze.linux.resource import Resource
from dtanalyze.linux.unpopulated_alloc import Request, UnpopulatedAlloc

__all__ = ["WORST_FIRST", "BootAnswer", "Conditions", "Verdict", "boot", "boot_with_kaslr", "copy_resource", "grant_table"]


class Verdict(StrEnum):
    """What it comes to, by stage; the first that applies. Equal to the word of reports: ``verdict == "scratch"``."""

    NO_BOOT = "no-boot"
    UNKNOWN = "unknown"
    NATIVE = "native"
    BALLOON = "balloon"
    CONFLICT = "conflict"
    HAZARD = "hazard"
    IOMEM = "iomem"
    EXHAUSTED = "exhausted"
    SCRATCH = "scratch"


WORST_FIRST: Final = (
    Verdict.NO_BOOT,
    Verdict.UNKNOWN,
    Verdict.CONFLICT,
    Verdict.HAZARD,
    Verdict.EXHAUSTED,
    Verdict.IOMEM,
    Verdict.BALLOON,
    Verdict.NATIVE,
    Verdict.SCRATCH,
)
"""By what it means for the user; an answer that could go either way is the worse one."""


class Conditions(NamedTuple):
    """What the tree does not say: whether KASLR runs, the CPU's physical bits, the demand, recorded claims.

    ``requests`` are pages. ``recorded`` makes a fresh tree of claims from a recorded /proc/iomem.
    """

    kaslr: bool
    pa_bits: int | None = None
    requests: tuple[int, ...] = ()
    recorded: Resource | None = None


class BootAnswer(NamedTuple):
    """Everything the kernel would do. ``capacity`` and ``limits`` are None when no target resource was looked at."""

    verdict: Verdict
    reason: str
    kaslr: bool
    detection: Detection
    init: XenInit | None
    target: Resource | None
    iomem: Iomem
    limits: PluggableRange | None
    capacity: Capacity | None
    requests: tuple[Request, ...]
    unseen: tuple[Unseen, ...]
    memory: Memblock
    """RAM and reservations as the kernel keeps them: what lies beyond the linear map is gone."""

    @property
    def target_name(self) -> str | None:
        """``xen_resource``, ``iomem_resource`` or None."""
        if self.target is None:
            return None
        return "iomem_resource" if self.target is self.iomem.root else "xen_resource"

    @property
    def sections(self) -> int:
        """Sections obtainable until the first refusal; 0 without a target."""
        return self.capacity.sections if self.capacity else 0


def grant_table(board: Board) -> Unseen | None:
    """Return the grant table's span (``reg[0]`` of the node the kernel uses), or None when it names no addresses."""
    node = find_xen_node(board)
    entries = decode_regions(node, board) if node else ()
    if node is None or not entries:
        return None
    found = entry_range(entries[GRANT_TABLE_INDEX])
    if found is None or found.start == 0:
        return None
    return Unseen("grant table", found, node.path, entries[GRANT_TABLE_INDEX].offset)


def boot(board: Board, memory: Memblock, profile: LinuxProfile, conditions: Conditions) -> BootAnswer:
    """Return what this kernel does with this tree."""
    detection = xen_early_init(board, profile)
    kept = within_linear_map(memory.memory, profile)
    memory = memory._replace(memory=kept, nomap=memory.nomap.intersection(kept))
    recorded = copy_resource(conditions.recorded) if conditions.recorded is not None else None
    iomem = build_iomem(board, memory, recorded)
    unseen = unseen_users(iomem, memory, grant_table(board))

    def answer(verdict: Verdict, reason: str, init: XenInit | None = None, *requests: Request) -> BootAnswer:
        return BootAnswer(
            verdict, reason, conditions.kaslr, detection, init, None, iomem, None, None, requests, unseen, memory
        )

    if not detection.found:
        return answer(Verdict.NATIVE, detection.reason)
    off = _option_off(profile)
    if off is not None:
        return answer(Verdict.BALLOON, off, None, *(ballooned(pages) for pages in conditions.requests))
    limits = _limits(memory.memory, profile, conditions)
    init = _init(board, profile, limits)
    if init is not None and init.resource is None and profile.target_rule is TargetRule.NONE:
        reason = f"{init.reason}; Linux gives a page of RAM back to Xen for each page that it maps"
        return answer(Verdict.BALLOON, reason, init, *(ballooned(pages) for pages in conditions.requests))
    if limits is None:
        reason = "the tree lists no RAM, and where RAM begins decides the lowest usable address"
        return answer(Verdict.UNKNOWN, reason, init)
    target = init.resource if init is not None and init.resource is not None else iomem.root
    alloc = UnpopulatedAlloc(profile, target, iomem.root, limits, unseen)
    room = capacity(alloc)
    verdict, reason = _decide(alloc, room)
    requests = _run(alloc, conditions.requests)
    return BootAnswer(
        verdict, reason, conditions.kaslr, detection, init, target, iomem, limits, room, requests, unseen, memory
    )


def boot_with_kaslr(
    booted: BootAnswer, board: Board, memory: Memblock, profile: LinuxProfile, conditions: Conditions
) -> BootAnswer:
    """Return the answer with ``conditions.kaslr`` from one that differs in nothing else: the linear map may move."""
    ram, before = booted.memory.memory, conditions._replace(kaslr=booted.kaslr)
    if _limits(ram, profile, before) == _limits(ram, profile, conditions):
        return booted._replace(kaslr=conditions.kaslr)
    return boot(board, memory, profile, conditions)


def _option_off(profile: LinuxProfile) -> str | None:
    if profile.option_on:
        return None
    tail = "every mapped grant or foreign page costs a page of RAM"
    if profile.arch is Arch.ARM:
        return f"32-bit Arm has no ZONE_DEVICE, so CONFIG_XEN_UNPOPULATED_ALLOC cannot be set: {tail}"
    if not profile.arm_can_enable:
        return f"this kernel offers CONFIG_XEN_UNPOPULATED_ALLOC on x86 only: {tail}"
    return f"CONFIG_XEN_UNPOPULATED_ALLOC is off: Linux ignores the extended regions, and {tail}"


def _limits(ram: RangeSet, profile: LinuxProfile, conditions: Conditions) -> PluggableRange | None:
    runs = list(ram)
    if profile.arch is Arch.X86:
        return mhp_get_pluggable_range(0, profile, randomized=False)
    if not runs:
        return None
    randomized = linear_map_is_randomized(profile, kaslr=conditions.kaslr, pa_bits=conditions.pa_bits)
    return mhp_get_pluggable_range(runs[0].start, profile, randomized=randomized)


def _init(board: Board, profile: LinuxProfile, limits: PluggableRange | None) -> XenInit | None:
    """Run unpopulated_init; None where no architecture hook exists and iomem_resource is the target from the start."""
    if profile.arch is Arch.X86 or profile.target_rule is TargetRule.ALWAYS_IOMEM:
        return None
    init = arch_xen_unpopulated_init(board, profile, limits)
    if init.resource is None:
        messages = init.messages if profile.target_rule is TargetRule.IOMEM else (*init.messages, profile.init_error)
        return init._replace(messages=messages)
    return init


def copy_resource(resource: Resource) -> Resource:
    """Return a copy of ``resource`` and of all below it."""
    made = Resource(
        resource.name,
        resource.start,
        resource.end,
        source=resource.source,
        certain=resource.certain,
        system_ram=resource.system_ram,
    )
    for child in resource.children:
        made.request_resource(copy_resource(child))
    return made


def _run(alloc: UnpopulatedAlloc, requests: tuple[int, ...]) -> tuple[Request, ...]:
    """Serve the requests in order; each one's pages go back to the list before the next."""
    out: list[Request] = []
    for pages in requests:
        request, runs = alloc.xen_alloc_unpopulated_pages(pages)
        alloc.xen_free_unpopulated_pages(runs)
        out.append(request)
    return tuple(out)


def _decide(alloc: UnpopulatedAlloc, room: Capacity) -> tuple[Verdict, str]:
    refusal = room.refusal
    if refusal is not None and refusal.error != "EINVAL":
        with_whom = _described(refusal.by)
        first = "refuses its first section,"
        taken = f"takes {_counted(room.sections, 'section')}, then refuses the next," if room.sections else first
        return (
            Verdict.CONFLICT,
            f"Linux {taken} {format_range(refusal.range.start, refusal.range.stop)}, because of {with_whom}; "
            "every later mapping fails at the same place",
        )
    if room.landings:
        return Verdict.HAZARD, _hazard_reason(room.landings)
    if alloc.target is alloc.iomem:
        return Verdict.IOMEM, _iomem_reason(room)
    if not room.runs:
        return Verdict.EXHAUSTED, _exhausted_reason(alloc)
    total = format_size(room.sections * alloc.profile.section_size)
    return (
        Verdict.SCRATCH,
        f"{_counted(room.sections, 'section')} ({total}) from {room.runs[0].start:#x} on, clear of everything",
    )


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _described(by: Resource | None) -> str:
    if by is None:
        return "the kernel's own limits"
    where = f" [{format_range(by.start, by.end + 1)}]"
    name = by.name
    if by.source is not None and by.source.rpartition("/")[2] != name:
        return f"{name} ({by.source}){where}"
    return f"{by.source or name}{where}"


def _hazard_reason(landings: tuple[Landing, ...]) -> str:
    first = landings[0]
    if isinstance(first.on, Unseen):
        what = f"the {first.on.kind} of {first.on.source}"
        span = format_range(first.on.range.start, first.on.range.stop)
        why = "nothing stops it, because iomem_resource does not hold that range"
    else:
        what, span = _described(first.on), format_range(first.on.start, first.on.end + 1)
        what = what.partition(" [")[0]
        why = "nothing stops it, because insert_resource nests one range in the other"
    others = len({_user(item.on) for item in landings}) - 1
    more = f" ({_counted(others, 'more user')} of scratch ranges)" if others else ""
    return (
        f"Linux places scratch section {first.number + 1}, {format_range(first.range.start, first.range.stop)}, "
        f"on {what} [{span}]; {why}{more}"
    )


def _user(on: Unseen | Resource) -> tuple[str | None, int | None]:
    """Tell one user from another: a range that two runs of sections meet is one."""
    return on.source, on.range.start if on.range is not None else None


def _iomem_reason(room: Capacity) -> str:
    if room.runs:
        return (
            f"Linux takes scratch ranges from the gaps of iomem_resource, first {room.runs[0].start:#x}: "
            "nobody declared that space unused"
        )
    if room.refusal is not None:
        return (
            f"the lowest gap of iomem_resource, {format_range(room.refusal.range.start, room.refusal.range.stop)}, "
            "lies outside what the linear map can hold: memremap_pages refuses it each time, and Linux tries no other"
        )
    return "iomem_resource has no gap that holds a section"


def _exhausted_reason(alloc: UnpopulatedAlloc) -> str:
    size = alloc.profile.section_size
    low, high = alloc.search_bounds
    gaps = list(alloc.target.gaps())
    failing = "every mapping fails, and Linux tries nothing else"
    wanted = f"an aligned section of {format_size(size)}"
    if not gaps:
        return f"xen_resource holds no address at all (a region of size zero): {failing}"
    if all(end < low for _, end in gaps):
        return f"all extended regions lie below {low:#x}, where the linear map starts: {failing}"
    if all(start > high for start, _ in gaps):
        return f"all extended regions lie above {high:#x}, where the linear map ends: {failing}"
    return f"no extended region holds {wanted} within {low:#x}-{high:#x}: {failing}"
