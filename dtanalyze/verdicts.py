"""Findings that state the verdict itself and the demand that is not met."""

from __future__ import annotations

import re
from typing import Final

from dtanalyze.address.range import AddressRange, RawRange
from dtanalyze.address.units import format_range, format_size
from dtanalyze.facts import CheckResult
from dtanalyze.findings import Finding, Severity
from dtanalyze.linux.boot import Verdict
from dtanalyze.linux.iomem import Unseen
from dtanalyze.linux.profile import Arch
from dtanalyze.rules.model import Statement
from dtanalyze.rules.stop_advice import stop_advice

__all__ = [
    "LOG_CONTRADICTS",
    "STATEMENTS",
    "SUPPRESSION_EXPIRED",
    "SUPPRESSION_UNUSED",
    "memory_assumed",
    "memory_contradicts",
    "need_finding",
    "request_finding",
    "verdict_finding",
]

_STATED: Final[dict[Verdict, tuple[Severity, str, str, str]]] = {
    Verdict.NO_BOOT: (
        Severity.ERROR,
        "xen-stops-before-linux",
        "Xen stops before Linux runs.",
        "Change what Xen's line names, or use a release that does not stop there (`--xen all` tries them).",
    ),
    Verdict.UNKNOWN: (
        Severity.ERROR,
        "answer-needs-more",
        "Something that decides the answer is missing: RAM, which a boot loader fills in.",
        "Pass `--memory START+SIZE`, once for each bank: the boot loader's log has them, or `System RAM` in /proc/iomem of "
        "the running board.",
    ),
    Verdict.CONFLICT: (
        Severity.ERROR,
        "scratch-range-refused",
        "Linux chooses a range that it cannot reserve. It chooses the same range for every later mapping.",
        "End the extended region below that range, or start it above. Linux never tries another place.",
    ),
    Verdict.HAZARD: (
        Severity.ERROR,
        "scratch-on-unseen-user",
        "Linux places scratch pages on a device, a reservation or the grant table, without an error.",
        "End the extended region below that range, or start it above. Linux does not protect the range.",
    ),
    Verdict.EXHAUSTED: (
        Severity.ERROR,
        "no-section-fits",
        "There are extended regions, but no section fits into them. Every mapping fails; Linux does not balloon instead.",
        "Add a region that holds one aligned section above the start of RAM, or remove all regions. Without any, Linux "
        "balloons.",
    ),
    Verdict.IOMEM: (
        Severity.ERROR,
        "scratch-from-undeclared-space",
        "Linux takes scratch pages from gaps of iomem_resource, which nobody has declared unused.",
        "Add extended regions that this kernel accepts, or use Linux 5.17 or newer, which takes none of that space.",
    ),
    Verdict.BALLOON: (
        Severity.WARNING,
        "mappings-cost-ram",
        "Linux gives a page of its RAM back to Xen for each page that it maps.",
        "Add extended regions in ascending order without overlap, and build the kernel with CONFIG_XEN_UNPOPULATED_ALLOC=y.",
    ),
    Verdict.NATIVE: (Severity.INFO, "xen-not-detected", "Linux does not see Xen and boots as on bare hardware.", ""),
}
_STOP: Final = re.compile(r"stops \((?P<stage>[\w-]+)\): (?P<text>.*)", re.DOTALL)
"""How the reason of a boot that ends names the stage, and what follows."""
_MEMORY: Final = re.compile(r"--memory 0x[0-9a-f]+\+[0-9]+[MG]")
_NEED: Final = Statement(
    "V-need",
    "capacity-below-need",
    Severity.ERROR,
    "Linux gets less scratch space than --need says.",
    "Enlarge the extended regions to whole aligned sections.",
)
_REQUEST: Final = Statement(
    "V-request",
    "request-fails",
    Severity.ERROR,
    "A mapping that was asked about with --request fails.",
    "Map less at once, or give a larger extended region: one mapping takes consecutive sections of one region.",
)

SUPPRESSION_EXPIRED: Final = Statement(
    "S01",
    "suppression-expired",
    Severity.WARNING,
    "A suppression has expired. What it hid is reported again.",
    "Remove the entry, or set a new date in `expires`.",
)
SUPPRESSION_UNUSED: Final = Statement(
    "S02",
    "suppression-unused",
    Severity.INFO,
    "A suppression hides nothing.",
    "Remove the entry.",
)
_CONTRADICTS: Final = Statement(
    "S03",
    "memory-contradicts-tree",
    Severity.WARNING,
    "The RAM given with --memory leaves out the address at which a memory node of the tree puts it.",
    "Start the range where the memory node does, or correct the node.",
)
_ASSUMED: Final = Statement(
    "S04",
    "memory-assumed",
    Severity.WARNING,
    "The tree lists no RAM, and --assume-memory auto made some up. Sections, addresses and the verdict depend on it.",
    "Pass the board's own RAM with --memory before you rely on the answer.",
)
LOG_CONTRADICTS: Final = Statement(
    "E01",
    "log-contradicts-answer",
    Severity.ERROR,
    "What the Xen log says differs from what was predicted with it.",
    "Believe the log. Run `dtanalyze verify BOARD.dtb LOG` for the likely cause, and check that the log is this board's.",
)

STATEMENTS: Final = (
    *(
        Statement(f"V-{verdict.value}", name, severity, what, advice)
        for verdict, (severity, name, what, advice) in _STATED.items()
    ),
    _NEED,
    _REQUEST,
    SUPPRESSION_EXPIRED,
    SUPPRESSION_UNUSED,
    _CONTRADICTS,
    _ASSUMED,
    LOG_CONTRADICTS,
)
"""What verdicts, the demand, suppressions, the RAM given and a log state; verdicts in the order in which they are tried."""


def verdict_finding(result: CheckResult) -> Finding | None:
    """Return the finding that states the verdict; there is none for ``scratch``."""
    if result.verdict is Verdict.SCRATCH:
        return None
    severity, name, _, advice = _STATED[result.verdict]
    if result.verdict is Verdict.BALLOON:
        advice = _against_ballooning(result) or advice
    if result.verdict is Verdict.UNKNOWN:
        advice = _what_settles(result.reason) or advice
    stop = _STOP.search(result.reason) if result.verdict is Verdict.NO_BOOT else None
    if stop is not None:
        advice = stop_advice(stop["stage"], stop["text"]) or advice
    node, ranges, offset = _place(result)
    return Finding(f"V-{result.verdict.value}", name, severity, result.reason, advice, node, ranges, offset)


def _what_settles(reason: str) -> str:
    """Return the option that the reason names, as it was made from the tree; empty when the tree shows no base."""
    option = _MEMORY.search(reason)
    if option is None:
        return ""
    return f"Pass `{option[0]}`, with the board's own size. In a batch, `--assume-memory auto` takes that size for all."


def _against_ballooning(result: CheckResult) -> str:
    """Return the cure, which depends on what keeps this kernel from using the regions."""
    linux = result.linux
    if linux.arch is Arch.ARM and linux.arch_known:
        return "Use a 64-bit kernel. 32-bit Arm has no ZONE_DEVICE, so that every mapping costs RAM there."
    if linux.arch is Arch.ARM:
        return "Give the domain RAM to spare: its CPUs are 32-bit, and no kernel for them maps without a page of RAM each."
    if not linux.arm_can_enable and linux.arch is not Arch.X86:
        return "Use Linux 5.17 or newer: Linux up to 5.16 offers CONFIG_XEN_UNPOPULATED_ALLOC on x86 only."
    if not linux.option_on:
        return "Build the kernel with CONFIG_XEN_UNPOPULATED_ALLOC=y; it needs CONFIG_ZONE_DEVICE and CONFIG_MEMORY_HOTPLUG."
    init = result.answer.init if result.answer is not None else None
    if init is None or init.error is None:
        return ""
    if result.extended_regions:
        return "Correct reg of the hypervisor node: one bad entry makes Linux discard every extended region."
    first = (4, 16) if result.domain == "dom0" else (4, 17)
    if _release(result.xen) < first:
        return f"Use Xen {first[0]}.{first[1]} or newer: Xen {result.xen} writes no extended region into this tree."
    return "Let Xen write extended regions: without ext_regions=0 on its command line, and with space that it finds unused."


def _release(version: str | None) -> tuple[int, int]:
    """Return major and minor of what the tree says of Xen; what is no number counts as new enough."""
    parts = (version or "").split(".")
    if len(parts) < 2 or not (parts[0].isdecimal() and parts[1].isdecimal()):
        return (1 << 31, 0)
    return (int(parts[0]), int(parts[1]))


def memory_contradicts(node: str, says: RawRange, given: tuple[AddressRange, ...]) -> Finding:
    """Return the finding for RAM given elsewhere than where the memory node at ``node`` puts it."""
    spans = ", ".join(format_range(item.start, item.stop) for item in given)
    message = f"{node} puts RAM at {says.start:#x}, but --memory gives {spans}"
    return _finding(_CONTRADICTS, message, node, (says, *given))


def memory_assumed(source: str) -> Finding:
    """Return the finding for RAM that nobody gave; ``source`` says how much, where, and from what it was made."""
    return _finding(_ASSUMED, f"RAM is {source}")


def _finding(
    what: Statement, message: str, node: str | None = None, ranges: tuple[AddressRange | RawRange, ...] = ()
) -> Finding:
    return Finding(what.code, what.name, what.severity, message, what.advice, node, ranges)


def _place(result: CheckResult) -> tuple[str | None, tuple[AddressRange | RawRange, ...], int | None]:
    room = result.answer.capacity if result.answer else None
    if room is None:
        return None, (), None
    if result.verdict is Verdict.CONFLICT and room.refusal is not None:
        by = room.refusal.by
        other = (by.range,) if by is not None and by.range is not None else ()
        return (by.source if by else None), (room.refusal.range, *other), None
    if result.verdict is Verdict.HAZARD and room.landings:
        first = room.landings[0]
        if isinstance(first.on, Unseen):
            return first.on.source, (first.range, first.on.range), first.on.offset
        other = (first.on.range,) if first.on.range is not None else ()
        return first.on.source, (first.range, *other), None
    return None, result.extended_regions, None


def need_finding(result: CheckResult, need: int | None) -> Finding | None:
    """Return a finding when fewer than ``need`` pages can be had without taking RAM."""
    if need is None or result.pages >= need:
        return None
    page = result.linux.page_size
    return Finding(
        _NEED.code,
        _NEED.name,
        _NEED.severity,
        f"the product needs {need} pages ({format_size(need * page)}) of scratch space, "
        f"{result.pages} ({format_size(result.pages * page)}) can be had",
        _NEED.advice,
    )


def request_finding(result: CheckResult) -> Finding | None:
    """Return a finding when a simulated mapping fails: the first one that does, and how many do."""
    requests = result.answer.requests if result.answer else ()
    failing = [(number, item) for number, item in enumerate(requests, 1) if item.error is not None]
    if not failing:
        return None
    number, first = failing[0]
    size = format_size(first.pages * result.linux.page_size)
    text = f"mapping {number}, of {first.pages} pages ({size}), fails with -{first.error}"
    if first.message:
        text += f' ("{first.message}")'
    if len(requests) > 1:
        text += f"; {len(failing)} of {len(requests)} fail"
    found = first.fill.range if first.fill is not None else None
    return Finding(
        _REQUEST.code, _REQUEST.name, _REQUEST.severity, text, _REQUEST.advice, None, (found,) if found is not None else ()
    )
