"""One guest tree and one kernel: board, views, requests, verdict, findings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from dtanalyze.address.range import AddressRange, RawRange
from dtanalyze.address.rangeset import RangeSet
from dtanalyze.address.units import format_range, format_size
from dtanalyze.analysis.questions import CheckOptions
from dtanalyze.analysis.rules import guest_findings, tree_findings
from dtanalyze.board.build import build_board, hypervisor_nodes
from dtanalyze.board.bus import LINUX
from dtanalyze.board.cpus import most_pa_bits, pa_bits
from dtanalyze.board.model import Board
from dtanalyze.board.translate import reg_entries
from dtanalyze.causes import cause_of
from dtanalyze.devicetree.cells import read_number
from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.errors import InputError
from dtanalyze.facts import Alternative, CheckResult, RegionUse, Reuse
from dtanalyze.findings import Finding
from dtanalyze.linux.balloon import hotplug_reach
from dtanalyze.linux.boot import WORST_FIRST, BootAnswer, Conditions, boot
from dtanalyze.linux.enlighten import EXT_REGION_INDEX, decode_regions, find_xen_node
from dtanalyze.linux.memblock import Claimed, Memblock, bootargs, memblock
from dtanalyze.linux.memory_hotplug import USUAL_PA_BITS, linear_map_is_randomized
from dtanalyze.linux.profile import Arch, LinuxProfile
from dtanalyze.linux.resource import Resource
from dtanalyze.verdicts import need_finding, request_finding, verdict_finding

__all__ = ["check_guest", "kind_of", "memory_of", "with_findings", "worse_of"]

GUEST_GNTTAB_BASE: Final = 0x38000000
GUEST_GNTTAB_SIZE: Final = 0x01000000


def check_guest(tree: Tree, path: str, options: CheckOptions, *, written: bool = False) -> CheckResult:
    """Return what the kernel does with the tree of a guest (``options.tree``, else found out).

    A tree that Xen has ``written`` is not asked for its layout: that is the host's.
    """
    profile = options.linux
    board = build_board(tree, profile.address_rules)
    kind = options.tree or kind_of(tree)
    memory, ram_from = memory_of(board, options)
    kaslr, kaslr_from = _kaslr(board, options)
    width = pa_bits(tree) if options.cpus is None else options.cpus or None
    at_most = width or most_pa_bits(tree)
    conditions = Conditions(kaslr, width, options.requests, options.recorded)
    answer = boot(board, memory, profile, conditions)
    more_ram = _recorded_ram(answer, options)
    grant, regions = _regions(board)
    result = CheckResult(
        path=path,
        tree=kind,
        domain="dom0" if kind == "dom0" else None,
        linux=profile,
        xen=answer.detection.version,
        iommu=None,
        assumed=(
            *_assumed(answer, memory, profile, ram_from, kaslr_from, width, options),
            *more_ram,
            *_event_channel(board, answer),
        ),
        verdict=answer.verdict,
        reason=answer.reason,
        kaslr=kaslr,
        alternatives=(),
        grant_table=grant,
        extended_regions=regions,
        regions=tuple(_region_use(regions, answer, profile)),
        ram=tuple(memory.memory),
        answer=answer,
        findings=(),
        reuse=tuple(_reuse(answer, profile)) if options.reuse else (),
    )
    found = list(guest_findings(kind, board, memory, answer, at_most, options))
    if not written:
        found += tree_findings(kind, board, memory, profile)
    return with_findings(result, options.need, found)


def kind_of(tree: Tree) -> str:
    """Return ``host``, ``dom0`` or ``domu``: without a hypervisor node nobody but firmware wrote the tree.

    A guest whose grant table is where the guest layout has it (xen/include/public/arch-arm.h) is a domU.
    """
    nodes = hypervisor_nodes(tree.root)
    if not nodes:
        return "host"
    first = next((entry for entry in reg_entries(nodes[0], LINUX)), None)
    layout = (GUEST_GNTTAB_BASE, GUEST_GNTTAB_SIZE)
    return "domu" if first is not None and (first.address, first.size) == layout else "dom0"


def memory_of(board: Board, options: CheckOptions) -> tuple[Memblock, str]:
    """Return RAM and reservations, and where RAM comes from."""
    if options.memory:
        given = tuple(Claimed(item, "--memory", 0) for item in options.memory)
        return memblock(board, options.linux, given=given), "RAM: as given with --memory"
    found = memblock(board, options.linux)
    if not found.memory and options.recorded is not None:
        from dtanalyze.linux.proc_iomem import system_ram

        recorded = system_ram(options.recorded)
        return found._replace(memory=recorded), "RAM: the tree lists none; taken from the recorded /proc/iomem"
    if not found.memory:
        return found, "RAM: none; the tree lists no enabled memory node with a size"
    return found, f"RAM: {format_size(found.memory.size)} as the tree's memory nodes list it"


def _recorded_ram(answer: BootAnswer, options: CheckOptions) -> tuple[str, ...]:
    """Say what RAM a recorded /proc/iomem has beyond the tree's; raise `InputError` when it is not of this tree's boot."""
    if options.recorded is None:
        return ()
    from dtanalyze.linux.proc_iomem import hotplugged, unlike

    difference = unlike(options.recorded, answer.memory, options.linux.section_size)
    if difference is not None:
        raise InputError(
            f"the recorded /proc/iomem (--proc-iomem) is not of a boot with this tree: {difference}. Record it on this "
            "board, under Xen, as root, and give all of it"
        )
    more = hotplugged(options.recorded, answer.memory)
    if not more:
        return ()
    shown = ", ".join(format_range(item.start, item.stop) for item in more)
    return (f"RAM recorded beyond the tree's, hot-plugged by the balloon driver: {shown}",)


def _kaslr(board: Board, options: CheckOptions) -> tuple[bool, str]:
    if options.kaslr is not None:
        return options.kaslr, f"KASLR: {'on' if options.kaslr else 'off'}, as given"
    if "nokaslr" in bootargs(board).split():
        return False, "KASLR: off, nokaslr is on the kernel's command line"
    seed = board.chosen.prop("kaslr-seed") if board.chosen is not None else None
    if seed is not None and len(seed.value) != 8:
        return False, "KASLR: off, the kaslr-seed in /chosen is not one of 8 bytes"
    if seed is not None:
        return True, "KASLR: on, /chosen has a kaslr-seed"
    return False, "KASLR: off, /chosen has no kaslr-seed"


def _regions(board: Board) -> tuple[RawRange | None, tuple[RawRange, ...]]:
    """Return the grant table and the extended regions as they stand, untranslated only where nothing translates them."""
    node: Node | None = find_xen_node(board) or next(iter(board.hypervisors), None)
    if node is None:
        return None, ()
    raw = [
        RawRange(entry.address if entry.address is not None else read_number(entry.bus_cells), entry.size)
        for entry in decode_regions(node, board)
    ]
    return (raw[0] if raw else None), tuple(raw[EXT_REGION_INDEX:])


def _assumed(
    answer: BootAnswer,
    memory: Memblock,
    profile: LinuxProfile,
    ram_from: str,
    kaslr_from: str,
    width: int | None,
    options: CheckOptions,
) -> list[str]:
    out = [_kernel(profile), *profile.remarks, ram_from]
    if profile.arch is Arch.ARM64:
        if answer.kaslr and not profile.linear_map_randomized:
            kaslr_from += "; this kernel does not move the linear map"
        elif answer.kaslr and answer.limits is not None:
            kaslr_from += _moved(profile, width, randomized=answer.limits.randomized)
        out.append(kaslr_from)
    if answer.limits is not None:
        out.append(f"usable addresses: {answer.limits.low:#x}-{answer.limits.high:#x}")
    if options.recorded is not None:
        out.append("claims in iomem_resource: as recorded in the /proc/iomem given, without its Xen scratch")
    elif answer.iomem.possible:
        count = len(answer.iomem.possible)
        out.append(
            f"drivers: {count} device range{'s' if count > 1 else ''} taken as not yet claimed when the first "
            "grant is mapped (--proc-iomem settles it)"
        )
    out.extend(memory.notes)
    out.extend(answer.iomem.notes)
    return out


def _moved(profile: LinuxProfile, width: int | None, *, randomized: bool) -> str:
    """Say what KASLR does to the linear map, and on what CPU width that hangs where the tree does not tell it."""
    what = "moves the linear map, so that space below RAM is usable" if randomized else "cannot move the linear map"
    if width is not None:
        return f"; it {what}" + ("" if randomized else f": CPUs of {width} bits leave no room in it")
    other = {bits: linear_map_is_randomized(profile, kaslr=True, pa_bits=bits) for bits in (40, 42, 44, 48)}
    if len(set(other.values())) == 1:
        return f"; it {what}, whatever the CPU"
    unlike = " or ".join(str(bits) for bits, moves in other.items() if moves is not randomized)
    return (
        f"; it {what}: the CPUs' width is not known, taken as {USUAL_PA_BITS} bits; with {unlike} bits it would "
        f"{'not' if randomized else 'do so'}"
    )


def _kernel(profile: LinuxProfile) -> str:
    """Say which kernel is meant, and where nothing says how it was configured, that this was taken for granted."""
    words = [f"Linux {profile.name} on {profile.arch.value}, {profile.page_size >> 10}K pages"]
    if profile.without_xen:
        return f"{words[0].partition(',')[0]}, without Xen support"
    if profile.arch is Arch.ARM64:
        words.append(f"{profile.va_bits}-bit addresses")
        if profile.kasan_scale is not None:
            words.append("KASAN's shadow")
    words.append(f"CONFIG_XEN_UNPOPULATED_ALLOC {'on' if profile.option_on else 'off'}")
    if profile.option_on and not profile.settled and profile.arch is Arch.ARM64:
        words[-1] += " (as distributions build it; upstream's arm64 defconfig has it off; --kconfig settles it)"
    return ", ".join(words)


def _event_channel(board: Board, answer: BootAnswer) -> tuple[str, ...]:
    if not answer.detection.found or board.event_channel is not None:
        return ()
    return (
        "event channels: /hypervisor names no interrupt that resolves, so the kernel sets up no grant tables "
        "(Xen event channel interrupt not found) and nothing will ask for scratch pages",
    )


def _region_use(regions: tuple[RawRange, ...], answer: BootAnswer, profile: LinuxProfile) -> list[RegionUse]:
    """Say for each region how many whole sections it gives and what of it is lost."""
    limits, size = answer.limits, profile.section_size
    taken = RangeSet(
        AddressRange(run.start, run.sections * size) for run in (answer.capacity.runs if answer.capacity else ())
    )
    out: list[RegionUse] = []
    for region in regions:
        found = region.checked()
        used = taken.intersection([found]).size if found else 0
        note = ""
        if found is None:
            note = "holds no address"
        elif limits is not None and found.last < limits.low:
            note = f"below the linear map, which starts at {limits.low:#x}"
        elif limits is not None and found.start > limits.high:
            note = f"above the linear map, which ends at {limits.high:#x}"
        elif answer.capacity is None:
            note = "not used"
        elif not used:
            refusal = answer.capacity.refusal
            if refusal is None or found.stop <= refusal.range.start:
                note = f"no aligned section of {format_size(size)} fits"
            else:
                note = "refused" if found.overlaps(refusal.range) else "never reached one section at a time"
        out.append(RegionUse(region, used // size, region.size - used, note))
    return out


def _reuse(answer: BootAnswer, profile: LinuxProfile) -> list[Reuse]:
    """Answer the reviewer's question for every range taken, or for the first section when nothing was requested."""
    if answer.capacity is None or answer.target_name != "xen_resource":
        return []
    taken = [request.taken for request in answer.requests if request.taken is not None]
    if not taken and answer.capacity.runs:
        taken = [AddressRange(answer.capacity.runs[0].start, profile.section_size)]
    others = _without_scratch(answer.iomem.root)
    out: list[Reuse] = []
    for item in taken:
        pci = tuple(
            f"{user.source} [{format_range(user.range.start, user.range.stop)}]"
            for user in answer.unseen
            if user.kind in ("PCI window", "PCI I/O window") and user.range.overlaps(item)
        )
        drivers = tuple(
            f"{user.source} [{format_range(user.range.start, user.range.stop)}]"
            for user in answer.unseen
            if user.kind == "device" and user.range.overlaps(item)
        )
        balloon = hotplug_reach(others, item, profile) if profile.memory_hotplug_balloon else None
        out.append(Reuse(item, balloon, pci, drivers))
    return out


def _without_scratch(root: Resource) -> Resource:
    made = Resource(root.name, root.start, root.end)
    for child in root.children:
        if child.name != "Xen scratch":
            made.request_resource(Resource(child.name, child.start, child.end, source=child.source))
    return made


def with_findings(result: CheckResult, need: int | None, found: Iterable[Finding] = ()) -> CheckResult:
    """Return the result with what rules ``found`` and what the verdict and the demand say, most severe first."""
    every = [verdict_finding(result), need_finding(result, need), request_finding(result), *found]
    listed = tuple(sorted((item for item in every if item is not None), key=lambda item: item.sort_key))
    result = result._replace(findings=listed)
    return result._replace(cause=cause_of(result))


def worse_of(unlike: tuple[CheckResult, CheckResult]) -> CheckResult:
    """Join the answers with and without KASLR: the worse one, with both verdicts beside it when they differ."""
    worse = min(unlike, key=lambda item: WORST_FIRST.index(item.verdict))
    alternatives = tuple(Alternative(bool(item.kaslr), item.verdict, item.sections) for item in unlike)
    same = len({(item.verdict, item.sections) for item in alternatives}) == 1
    return worse._replace(kaslr=None, alternatives=() if same else alternatives)
