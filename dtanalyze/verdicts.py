"""Findings that state the verdict itself, the demand that is not met, and known defects of the chosen kernel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from dtanalyze.address.range import AddressRange, RawRange
from dtanalyze.address.units import format_range, format_size
from dtanalyze.facts import CheckResult
from dtanalyze.findings import Finding, Severity
from dtanalyze.linux.boot import Verdict
from dtanalyze.linux.iomem import Unseen

__all__ = ["model_findings", "need_finding", "verdict_finding"]

_NAMES: Final[dict[Verdict, tuple[Severity, str, str]]] = {
    Verdict.NO_BOOT: (
        Severity.ERROR,
        "xen-stops-before-linux",
        "Remove what stops Xen first; nothing else matters until then.",
    ),
    Verdict.UNKNOWN: (Severity.ERROR, "answer-needs-more", "Give what the reason asks for."),
    Verdict.CONFLICT: (
        Severity.ERROR,
        "scratch-range-refused",
        "Cut the extended region so that it no longer touches that range: the kernel never tries another place.",
    ),
    Verdict.HAZARD: (
        Severity.ERROR,
        "scratch-on-unseen-user",
        "Cut the extended region so that it leaves that range out; Linux will not protect it.",
    ),
    Verdict.EXHAUSTED: (
        Severity.ERROR,
        "no-section-fits",
        "Give a region that holds an aligned section above the start of RAM, or none at all: with none the kernel balloons, "
        "with a useless one every mapping fails.",
    ),
    Verdict.IOMEM: (
        Severity.ERROR,
        "scratch-from-undeclared-space",
        "Give extended regions that this kernel accepts, or use a kernel that never takes them from iomem_resource.",
    ),
    Verdict.BALLOON: (
        Severity.WARNING,
        "mappings-cost-ram",
        "Give extended regions in ascending order without overlap, and build the kernel with CONFIG_XEN_UNPOPULATED_ALLOC.",
    ),
    Verdict.NATIVE: (Severity.INFO, "xen-not-detected", ""),
}


def verdict_finding(result: CheckResult) -> Finding | None:
    """Return the finding that states the verdict; there is none for ``scratch``."""
    if result.verdict is Verdict.SCRATCH:
        return None
    severity, name, advice = _NAMES[result.verdict]
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
        "V-need",
        "capacity-below-need",
        Severity.ERROR,
        f"the product needs {need} pages ({format_size(need * page)}) of scratch space, "
        f"{result.pages} ({format_size(result.pages * page)}) can be had",
        "Give larger extended regions, aligned to whole sections.",
    )


def model_findings(result: CheckResult) -> Iterator[Finding]:
    """Yield known defects of the chosen kernel and of the Xen that wrote the tree, where they show."""
    yield from _passthrough_findings(result)
    if result.linux.wrong_kzalloc_test and result.answer and result.answer.target_name == "xen_resource":
        yield Finding(
            "K01",
            "kzalloc-result-untested",
            Severity.INFO,
            f"this kernel ({result.linux.name}) tests the wrong pointer after allocating the copy for iomem_resource: "
            "when that allocation fails it writes through NULL instead of returning -ENOMEM",
            "Use the code as merged in 5.17.",
        )


def _passthrough_findings(result: CheckResult) -> Iterator[Finding]:
    """Yield passed-through MMIO that lies in an extended region, as Xen up to 4.20 hands it to domUs."""
    if result.answer is None or not _before_4_21(result.xen):
        return
    for user in result.answer.unseen:
        if user.kind != "device" or not user.source.startswith("/passthrough/"):
            continue
        for region in result.extended_regions:
            found = region.checked()
            if found is not None and found.overlaps(user.range):
                yield Finding(
                    "D10",
                    "passthrough-mmio-in-extended-region",
                    Severity.ERROR,
                    f"extended region {format_range(found.start, found.stop)} covers the passed-through MMIO of "
                    f"{user.source} [{format_range(user.range.start, user.range.stop)}]: scratch pages replace its "
                    f"mapping and the guest panics; Xen {result.xen} does not keep such ranges out",
                    "Use Xen 4.21 or newer (fba1b0974d and 3af8a6ed8e for dom0less, 108308feef for libxl), or pass the "
                    "device through below 0x40000000.",
                    user.source,
                    (found, user.range),
                    user.offset,
                )


def _before_4_21(xen: str | None) -> bool:
    parts = (xen or "").split(".")
    return len(parts) >= 2 and parts[0].isdigit() and parts[1].isdigit() and (int(parts[0]), int(parts[1])) < (4, 21)
