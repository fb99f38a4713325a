"""The report for people: the verdict in one line, then why, at which addresses, at what cost, and what to change."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Final

from dtanalyze.address.range import AddressRange, RawRange
from dtanalyze.address.units import format_range, format_size
from dtanalyze.facts import CheckResult, Reuse
from dtanalyze.findings import Finding, Severity
from dtanalyze.linux.boot import Verdict
from dtanalyze.linux.unpopulated_alloc import Outcome, Request
from dtanalyze.report.foreign import document
from dtanalyze.report.style import PLAIN, Style

if TYPE_CHECKING:
    from dtanalyze.controls.baseline import Compared
    from dtanalyze.report.whole import Report

__all__ = ["check_text", "render"]

_WIDTH: Final = 108

_HEADLINE: Final[dict[Verdict, str]] = {
    Verdict.NO_BOOT: "Xen does not boot with this tree",
    Verdict.UNKNOWN: "cannot tell yet",
    Verdict.NATIVE: "Linux boots as if there were no Xen",
    Verdict.BALLOON: "every mapping costs RAM (balloon)",
    Verdict.CONFLICT: "scratch allocation runs into a conflict and fails for good",
    Verdict.HAZARD: "scratch pages land on something in use",
    Verdict.IOMEM: "scratch pages come from undeclared address space",
    Verdict.EXHAUSTED: "no scratch page can be had, every mapping fails",
    Verdict.SCRATCH: "scratch pages work",
}
_SEVERITY_WORD: Final = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "info"}


def render(report: Report) -> str:
    """Return the reports one after another; a sweep as tables, unless it is to be explained."""
    if report.sweep and not report.explain:
        from dtanalyze.report.sweep import sweep_text

        texts = [sweep_text(group, style=report.style) for group in report.groups]
    else:
        texts = [check_text(item, style=report.style, quiet=report.quiet, explain=report.explain) for item in report.results]
    if report.baseline is not None:
        texts.append(_compared(report.baseline))
    if report.suppressed:
        count = len(report.suppressed)
        texts.append(f"Suppressed: {count} finding{'' if count == 1 else 's'}\n")
    if report.statistics or (len(report.groups) + len(report.failures) > 1 and not report.quiet):
        from dtanalyze.report.summary import statistics_text, summary_text

        texts += [summary_text(report)] if len(report.groups) + len(report.failures) > 1 else []
        texts += [statistics_text(report)] if report.statistics else []
    return ("" if report.quiet else "\n").join(texts)


def _compared(found: Compared) -> str:
    """Say what of the baseline is still there and what is gone."""
    lines = [f"Baseline: {len(found.known)} known, {len(found.absent)} gone"]
    lines += [f"  gone: {item.rule} {item.node or '/'} ({item.path}, {item.cell})" for item in found.absent]
    return document(lines)


def check_text(result: CheckResult, *, style: Style = PLAIN, quiet: bool = False, explain: bool = False) -> str:
    """Return the report for one result; ``quiet`` keeps the verdict line only."""
    lines = [_headline(result, style)]
    if not quiet:
        lines += _wrapped("", result.reason + ".")
        for alternative in result.alternatives:
            kaslr = "with" if alternative.kaslr else "without"
            lines.append(f"  {kaslr} KASLR: {alternative.verdict.value}, {alternative.sections} sections")
        sections = [
            ("Assumed", list(_bullets(result.assumed))),
            ("Addresses", list(_addresses(result))),
            ("Requests", [_request(item, result) for item in (result.answer.requests if result.answer else ())]),
            ("Kernel log", [f"  {line}" for line in _kernel_log(result)]),
            ("Cost", list(_cost(result))),
            ("Without reserving in iomem_resource", [line for item in result.reuse for line in _reuse(item)]),
            ("Findings", list(_findings(result, style))),
        ]
        if explain:
            from dtanalyze.report.explain import explain_lines

            sections.append(("Step by step", explain_lines(result)))
        for title, body in sections:
            if body:
                lines += ["", style.bold(title), *body]
    return document(lines)


def _headline(result: CheckResult, style: Style) -> str:
    verdict = result.verdict
    worst = max((item.severity for item in result.findings), default=None)
    label = "ok" if verdict is Verdict.SCRATCH else (_SEVERITY_WORD[worst] if worst else "info")
    where = f"{result.tree} tree"
    if result.domain and result.domain != result.tree:
        where = f"{result.domain}"
    kernel = f"Linux {result.linux.name}" + (f", Xen {result.xen}" if result.xen else "")
    return f"{result.path}: {style.severity(label, verdict.value)}: {_HEADLINE[verdict]} ({where}, {kernel})"


def _wrapped(indent: str, text: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent="  " + indent,
        subsequent_indent="  " + indent,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _bullets(items: tuple[str, ...]) -> Iterator[str]:
    for item in items:
        first, *rest = textwrap.wrap(item, _WIDTH - 2, break_on_hyphens=False, break_long_words=False)
        yield f"  - {first}"
        yield from (f"    {line}" for line in rest)


def _addresses(result: CheckResult) -> Iterator[str]:
    if result.grant_table is not None:
        yield f"  grant table        {_shown(result.grant_table)}"
    for run in result.ram:
        yield f"  RAM                {_shown(run)}"
    for index, use in enumerate(result.regions):
        count = f"{use.sections} section{'' if use.sections == 1 else 's'}"
        detail = use.note or (f"{count}, {format_size(use.lost)} lost to alignment" if use.lost else count)
        yield f"  extended region {index:<2} {_shown(use.region)}  {detail}"
    if not result.regions:
        for index, region in enumerate(result.extended_regions):
            yield f"  extended region {index:<2} {_shown(region)}"
    room = result.answer.capacity if result.answer else None
    if room is None:
        return
    size = result.linux.section_size
    for taken in room.runs[:8]:
        span = AddressRange(taken.start, taken.sections * size)
        yield f"  scratch            {_shown(span)}  {taken.sections} x {format_size(size)}"
    if len(room.runs) > 8:
        yield f"  scratch            … and {len(room.runs) - 8} more runs"
    for landing in room.landings[:8]:
        other = landing.on
        found = other.range
        kind = getattr(other, "kind", "resource")
        shown = _shown(found) if found else ""
        yield f"  ! in use           {shown}  {kind} {other.source}"
    if len(room.landings) > 8:
        yield f"  ! in use           … and {len(room.landings) - 8} more"


def _shown(item: AddressRange | RawRange) -> str:
    return f"{format_range(item.start, item.stop)} ({format_size(item.size)})"


def _request(request: Request, result: CheckResult) -> str:
    pages = f"  {request.pages} page{'' if request.pages == 1 else 's'}:"
    if request.error is not None:
        return f'{pages} {request.outcome.value}, -{request.error}, kernel says "{request.message}"'
    if request.outcome is Outcome.BALLOON:
        return f"{pages} balloon, {format_size(request.pages * result.linux.page_size)} of RAM given back to Xen"
    if request.taken is None:
        return f"{pages} {request.outcome.value}, from pages already on the list"
    on = f" over {request.landed_on[0].kind} {request.landed_on[0].source}" if request.landed_on else ""
    return f"{pages} {request.outcome.value}, takes {_shown(request.taken)}{on}"


def _kernel_log(result: CheckResult) -> tuple[str, ...]:
    answer = result.answer
    if answer is None or not answer.detection.found:
        return ()
    return answer.init.messages if answer.init else ()


def _cost(result: CheckResult) -> Iterator[str]:
    answer = result.answer
    if answer is None:
        return
    page = result.linux.page_size
    if result.verdict is Verdict.BALLOON:
        yield f"  {format_size(page)} of RAM for each mapped page: {256 * page / (1 << 20):g} MiB for 256 mapped grants"
        return
    room = answer.capacity
    if room is None:
        return
    lost = sum(use.lost for use in result.regions)
    yield f"  largest single mapping: {room.largest_request} pages ({format_size(room.largest_request * page)})"
    if lost:
        total = sum(use.region.size for use in result.regions)
        yield f"  not usable for scratch pages: {format_size(lost)} of {format_size(total)}"
    if room.sections:
        metadata = result.linux.pages_per_section * 64
        yield f"  struct page: {format_size(metadata)} of RAM for each section taken"


def _reuse(reuse: Reuse) -> Iterator[str]:
    yield f"  {_shown(reuse.range)} could also be given"
    nobody = True
    if reuse.balloon is not None:
        nobody = False
        yield (
            f"  - to balloon memory hotplug, as System RAM at {reuse.balloon.range.start:#x}, "
            f"after {reuse.balloon.sections_before} other sections"
        )
    for item in reuse.pci:
        nobody = False
        yield f"  - to PCI devices, when the host bridge {item} is probed"
    for item in reuse.drivers:
        nobody = False
        yield f"  - to a driver that binds later: {item}"
    if nobody:
        yield "  - to nobody that this tree shows"


def _findings(result: CheckResult, style: Style) -> Iterator[str]:
    """Say each finding; what a rule says of many places stands together, with what to do once."""
    for (severity, rule, name, advice), group in groupby(result.findings, _kind):
        found = tuple(group)
        nodes = {item.node for item in found}
        at = f" at {found[0].node}" if len(nodes) == 1 and found[0].node else ""
        times = f", {len(found)} times" if len(found) > 1 else ""
        yield f"  {style.severity(severity.label, severity.label)} {rule} {name}{at}{times}"
        if len(found) > 1:
            yield from (f"  {line}" for line in _bullets(tuple(_placed(item, at) for item in found)))
        elif found[0].message != result.reason:
            yield from _wrapped("  ", found[0].message + ".")
        if advice:
            yield from _wrapped("  ", advice)


def _kind(finding: Finding) -> tuple[Severity, str, str, str]:
    return finding.severity, finding.rule, finding.name, finding.advice


def _placed(finding: Finding, at: str) -> str:
    """Return the message, after the node where neither it nor the heading names that."""
    named = at or finding.node is None or finding.node in finding.message
    return finding.message if named else f"{finding.node}: {finding.message}"
