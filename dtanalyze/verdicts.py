"""Findings that state the verdict itself and the demand that is not met."""

from __future__ import annotations

from typing import Final

from dtanalyze.address.range import AddressRange, RawRange
from dtanalyze.address.units import format_size
from dtanalyze.facts import CheckResult
from dtanalyze.findings import Finding, Severity
from dtanalyze.linux.boot import Verdict
from dtanalyze.linux.iomem import Unseen
from dtanalyze.rules.model import Statement

__all__ = ["STATEMENTS", "SUPPRESSION_EXPIRED", "SUPPRESSION_UNUSED", "need_finding", "request_finding", "verdict_finding"]

_STATED: Final[dict[Verdict, tuple[Severity, str, str, str]]] = {
    Verdict.NO_BOOT: (
        Severity.ERROR,
        "xen-stops-before-linux",
        "Xen stops before Linux runs.",
        "Remove what stops Xen first; nothing else matters until then.",
    ),
    Verdict.UNKNOWN: (
        Severity.ERROR,
        "answer-needs-more",
        "Something that decides the answer is missing, RAM that a boot loader fills in for example.",
        "Give what the reason asks for.",
    ),
    Verdict.CONFLICT: (
        Severity.ERROR,
        "scratch-range-refused",
        "A range that the kernel chooses cannot be reserved, and every later mapping fails there too.",
        "Cut the extended region so that it no longer touches that range: the kernel never tries another place.",
    ),
    Verdict.HAZARD: (
        Severity.ERROR,
        "scratch-on-unseen-user",
        "The kernel lays scratch pages over a device, a reservation or the grant table, and does not notice.",
        "Cut the extended region so that it leaves that range out; Linux will not protect it.",
    ),
    Verdict.EXHAUSTED: (
        Severity.ERROR,
        "no-section-fits",
        "There are extended regions, but no section fits into them: every mapping fails and nothing falls back.",
        "Give a region that holds an aligned section above the start of RAM, or none at all: with none the kernel balloons, "
        "with a useless one every mapping fails.",
    ),
    Verdict.IOMEM: (
        Severity.ERROR,
        "scratch-from-undeclared-space",
        "The kernel takes scratch pages from gaps of iomem_resource, which nobody has declared unused.",
        "Give extended regions that this kernel accepts, or use a kernel that never takes them from iomem_resource.",
    ),
    Verdict.BALLOON: (
        Severity.WARNING,
        "mappings-cost-ram",
        "The kernel gives a page of its RAM back to Xen for each page that it maps.",
        "Give extended regions in ascending order without overlap, and build the kernel with CONFIG_XEN_UNPOPULATED_ALLOC.",
    ),
    Verdict.NATIVE: (Severity.INFO, "xen-not-detected", "The kernel does not see Xen and boots as on bare hardware.", ""),
}
_NEED: Final = Statement(
    "V-need",
    "capacity-below-need",
    Severity.ERROR,
    "Less scratch space can be had than --need says.",
    "Give larger extended regions, aligned to whole sections.",
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
    "A suppression's day is over, and what it was for is reported again.",
    "Remove the entry, or decide again until when it holds.",
)
SUPPRESSION_UNUSED: Final = Statement(
    "S02",
    "suppression-unused",
    Severity.INFO,
    "A suppression takes nothing out.",
    "Remove the entry when what it was for is gone.",
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
)
"""What verdicts, the demand and the user's own suppressions state; verdicts in the order in which they are tried."""


def verdict_finding(result: CheckResult) -> Finding | None:
    """Return the finding that states the verdict; there is none for ``scratch``."""
    if result.verdict is Verdict.SCRATCH:
        return None
    severity, name, _, advice = _STATED[result.verdict]
    node, ranges, offset = _place(result)
    return Finding(f"V-{result.verdict.value}", name, severity, result.reason, advice, node, ranges, offset)


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
