"""One guest tree and one kernel: board, views, requests, verdict, findings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from dtanalyze.address.range import AddressRange, RawRange
from dtanalyze.address.rangeset import RangeSet
from dtanalyze.address.units import format_range, format_size
from dtanalyze.analysis.assumptions import assumptions, guest_sentences, kaslr_of
from dtanalyze.analysis.memory_hint import NO_HINT, contradicting, memory_hint
from dtanalyze.analysis.questions import CheckOptions
from dtanalyze.analysis.rules import guest_findings, tree_findings
from dtanalyze.board.architecture import arch_of
from dtanalyze.board.build import build_board, hypervisor_nodes
from dtanalyze.board.bus import LINUX
from dtanalyze.board.cpus import most_pa_bits, pa_bits
from dtanalyze.board.model import Board
from dtanalyze.board.translate import reg_entries
from dtanalyze.causes import cause_of
from dtanalyze.devicetree.cells import read_number
from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.errors import InputError
from dtanalyze.facts import CheckResult, RegionUse, Reuse
from dtanalyze.findings import Finding
from dtanalyze.linux.balloon import hotplug_reach
from dtanalyze.linux.boot import BootAnswer, Conditions, Verdict, boot, boot_with_kaslr
from dtanalyze.linux.enlighten import EXT_REGION_INDEX, decode_regions, find_xen_node
from dtanalyze.linux.memblock import Claimed, Memblock, memblock
from dtanalyze.linux.profile import Arch, LinuxProfile
from dtanalyze.linux.resource import Resource
from dtanalyze.verdicts import memory_assumed, memory_contradicts, need_finding, request_finding, verdict_finding

__all__ = [
    "GuestBoot",
    "boot_guest",
    "booted_with",
    "check_guest",
    "kind_of",
    "memory_findings",
    "memory_of",
    "result_of",
    "whole",
    "with_findings",
]

GUEST_GNTTAB_BASE: Final = 0x38000000
GUEST_GNTTAB_SIZE: Final = 0x01000000


class GuestBoot(NamedTuple):
    """One kernel booted on one guest's tree, with nothing made of it yet. ``width`` is the CPUs' in bits, if it is known."""

    tree: Tree
    options: CheckOptions
    written: bool
    kind: str
    board: Board
    memory: Memblock
    ram_from: str
    kaslr: bool
    kaslr_from: str
    width: int | None
    answer: BootAnswer


def boot_guest(tree: Tree, options: CheckOptions, *, written: bool = False) -> GuestBoot:
    """Boot the kernel on the tree of a guest (``options.tree``, else found out), which Xen may have ``written``."""
    profile = options.linux.on_cpus(Arch(arch_of(tree)))
    options = options._replace(linux=profile)
    board = build_board(tree, profile.address_rules)
    memory, ram_from = memory_of(board, options)
    kaslr, kaslr_from = kaslr_of(board, options)
    width = pa_bits(tree) if options.cpus is None else options.cpus or None
    answer = boot(board, memory, profile, Conditions(kaslr, width, options.requests, options.recorded))
    kind = options.tree or kind_of(tree)
    return GuestBoot(tree, options, written, kind, board, memory, ram_from, kaslr, kaslr_from, width, answer)


def booted_with(kaslr: bool, booted: GuestBoot) -> GuestBoot:
    """Return the same boot with KASLR on or off, as if that was given."""
    options = booted.options._replace(kaslr=kaslr)
    conditions = Conditions(kaslr, booted.width, options.requests, options.recorded)
    answer = boot_with_kaslr(booted.answer, booted.board, booted.memory, options.linux, conditions)
    return booted._replace(options=options, kaslr=kaslr, kaslr_from=kaslr_of(booted.board, options)[1], answer=answer)


def check_guest(tree: Tree, path: str, options: CheckOptions, *, written: bool = False) -> CheckResult:
    """Return what the kernel does with the tree of a guest (``options.tree``, else found out).

    A tree that Xen has ``written`` is not asked for its layout: that is the host's.
    """
    return result_of(boot_guest(tree, options, written=written), path)


def result_of(booted: GuestBoot, path: str) -> CheckResult:
    """Return what is to be said of a boot."""
    tree, options, written, kind, board, memory, ram_from, kaslr, kaslr_from, width, answer = booted
    profile = options.linux
    more_ram = _recorded_ram(answer, options)
    grant, regions = _regions(board)
    # Of a tree that Xen has written, the host's side says where RAM comes from.
    assumed = guest_sentences(board, answer, memory, (kaslr_from,) if written else (ram_from, kaslr_from), options, width)
    result = CheckResult(
        path=path,
        tree=kind,
        domain="dom0" if kind == "dom0" else None,
        linux=profile,
        xen=answer.detection.version,
        iommu=None,
        assumed=(*assumed, *more_ram),
        verdict=answer.verdict,
        reason=_with_hint(answer, board),
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
    at_most = width or most_pa_bits(tree)
    found = list(guest_findings(kind, board, memory, answer, at_most, options, written))
    if not written:
        found += [*tree_findings(kind, board, memory, profile), *memory_findings(board, options)]
    return with_findings(result, options.need, found)


def _with_hint(answer: BootAnswer, board: Board) -> str:
    """Return the reason, with the option that supplies what is missing."""
    if answer.verdict is not Verdict.UNKNOWN:
        return answer.reason
    return f"{answer.reason}: pass {memory_hint(board) or NO_HINT}"


def memory_findings(board: Board, options: CheckOptions) -> Iterator[Finding]:
    """Yield what is to be said of RAM that did not come from the tree."""
    if options.memory_from:
        yield memory_assumed(options.memory_from)
        return
    other = contradicting(board, options.memory) if options.memory else None
    if other is not None:
        yield memory_contradicts(*other, options.memory)


def whole(tree: Tree) -> Tree:
    """Return the tree; raise `InputError` when it is a part of another one: an overlay, a domain's partial tree."""
    fragment = next((node for node in tree.root.children if node.child("__overlay__") is not None), None)
    if fragment is not None:
        what = f"an overlay ({fragment.path} has __overlay__)"
        raise InputError(f"{what}: give its base, the board's tree, and the overlay with --overlay")
    part = next((node for node in tree.root.children if node.name.lower() == "passthrough"), None)
    if part is not None and tree.root.child("cpus") is None and not hypervisor_nodes(tree.root):
        what = f"a domain's partial tree ({part.path}, and no /cpus)"
        raise InputError(f"{what}: check it against its board with --partial --host BOARD.dtb")
    return tree


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
        if options.memory_from:
            return memblock(board, options.linux, given=given), f"RAM: {options.memory_from}"
        return memblock(board, options.linux, given=given), f"RAM: {_total(options.memory)}, as given with --memory"
    found = memblock(board, options.linux)
    if not found.memory and options.recorded is not None:
        from dtanalyze.linux.proc_iomem import system_ram

        recorded = system_ram(options.recorded)
        return found._replace(memory=recorded), "RAM: the tree lists none; as in the recorded /proc/iomem given"
    if not found.memory:
        return found, "RAM: none; the tree lists no enabled memory node with a size"
    return found, f"RAM: {format_size(found.memory.size)}, from the tree's memory nodes"


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


def _total(ranges: Iterable[AddressRange]) -> str:
    return format_size(sum(item.size for item in ranges))


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
        out.append(RegionUse(region, used // size, region.size - used, note, _why_lost(found, used, answer)))
    return out


def _why_lost(region: AddressRange | None, used: int, answer: BootAnswer) -> str:
    """Say what costs most of a region: the bounds of the linear map, the refusal that ends the search; else alignment."""
    limits, room = answer.limits, answer.capacity
    if region is None or limits is None or room is None:
        return "lost"
    inside = RangeSet([region]).intersection([AddressRange.spanning(limits.low, limits.high + 1)]).size
    if region.size - inside > inside - used:
        edge = f"below {limits.low:#x}" if region.start < limits.low else f"above {limits.high:#x}"
        return f"outside the linear map, {edge}"
    if room.refusal is not None and room.refusal.range.start < region.stop:
        return "never reached after the refusal"
    return "lost"


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
    return result._replace(cause=cause_of(result), assumptions=assumptions(result.assumed, _matters(result)))


def _matters(result: CheckResult) -> dict[str, bool]:
    """Return for what was tried whether another value would change the verdict: KASLR, where dom0's RAM lies."""
    found = {}
    if result.kaslr is None and result.answer is not None:
        found["KASLR"] = len({item.verdict for item in result.alternatives if item.kaslr is not None}) > 1
    if any(item.dom0_memory for item in result.alternatives):
        found["dom0's RAM"] = len({item.verdict for item in result.alternatives if item.dom0_memory}) > 1
    return found
