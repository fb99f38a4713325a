"""The report for people: the verdict and its cause, what to do, the addresses, and what the answer rests on.

A board engineer reads it once, in a log: what decides stands in the first lines, what only explains is folded to a count
that ``--verbose`` unfolds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from dtanalyze.address.units import counted, format_range
from dtanalyze.facts import Alternative, Assumption, CheckResult
from dtanalyze.findings import Severity
from dtanalyze.linux.boot import Verdict
from dtanalyze.report.advice import advice_lines
from dtanalyze.report.foreign import document
from dtanalyze.report.lines import WIDTH, sentence, wrapped
from dtanalyze.report.places import address_lines, cost_lines, request_lines, reuse_lines
from dtanalyze.report.style import PLAIN, Style

if TYPE_CHECKING:
    from dtanalyze.controls.baseline import Compared
    from dtanalyze.report.whole import Report

__all__ = ["HEADLINES", "check_text", "group_text", "render"]

HEADLINES: Final[dict[Verdict, str]] = {
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
_KERNEL_LINES: Final = 4


def render(report: Report) -> Iterator[str]:
    """Yield the reports one after another; a sweep as tables, unless it is to be explained."""
    between = ""
    for text in _texts(report):
        yield between + text
        between = "" if report.quiet else "\n"


def _texts(report: Report) -> Iterator[str]:
    if report.sweep and not report.explain:
        from dtanalyze.report.sweep import sweep_text

        yield from (sweep_text(group, style=report.style, width=report.width) for group in report.groups)
    else:
        yield from (text for group in report.groups for text in group_text(group, report))
    if report.baseline is not None:
        yield _compared(report.baseline)
    if report.suppressed or (report.settings and not report.quiet):
        yield _decided(report)
    if report.statistics or (len(report.groups) + len(report.failures) > 1 and not report.quiet):
        from dtanalyze.report.summary import statistics_text, summary_text

        if len(report.groups) + len(report.failures) > 1:
            yield summary_text(report)
        if report.statistics:
            yield statistics_text(report)


def _decided(report: Report) -> str:
    """Say which settings files there are, and what is suppressed by whom."""
    from dtanalyze.report.decisions import decisions

    count = len(report.suppressed)
    made = tuple(decisions(report))
    lines = [f"Settings: {item.text}" for item in made if item.kind == "settings"]
    if count:
        lines += [f"Suppressed: {count} finding{'' if count == 1 else 's'}"]
        lines += [f"  {item.text}" for item in made if item.kind == "suppressed" and not report.quiet]
    return document(lines)


def _compared(found: Compared) -> str:
    """Say what of the baseline is still there and what is gone."""
    lines = [f"Baseline: {len(found.known)} known, {len(found.absent)} gone"]
    lines += [f"  {now} counts as {then}, the default when the baseline was written" for now, then in _titles(found)]
    lines += [f"  gone: {item.rule} {item.node or '/'} ({item.path}, {item.cell})" for item in found.absent]
    return document(lines)


def _titles(found: Compared) -> Iterator[tuple[str, ...]]:
    for pair in found.renamed:
        yield tuple(item.capitalize() for item in pair)


def group_text(results: Sequence[CheckResult], report: Report) -> list[str]:
    """Return one report for each domain of an input, and behind them once what all of them rest on."""
    if report.quiet or len(results) < 2:
        return [_text(item, report, item.assumptions, results[0]) for item in results]
    shared = [item for item in results[0].assumptions if all(item in other.assumptions for other in results[1:])]
    left = ([item for item in result.assumptions if item not in shared] for result in results)
    texts = [_text(result, report, own, results[0]) for result, own in zip(results, left, strict=True)]
    lines = _assumed(shared, report)
    title = f"Assumed, for all {len(results)} domains of {results[0].path}"
    return [*texts, document([report.style.bold(title), *lines])] if lines else texts


def check_text(
    result: CheckResult,
    *,
    style: Style = PLAIN,
    quiet: bool = False,
    explain: bool = False,
    verbose: bool = False,
    width: int = WIDTH,
) -> str:
    """Return the report for one result; ``quiet`` keeps the verdict line only, ``verbose`` folds nothing."""
    from dtanalyze.report.whole import Report

    report = Report(((result,),), style=style, quiet=quiet, explain=explain, verbose=verbose, width=width)
    return _text(result, report, result.assumptions)


def _text(
    result: CheckResult, report: Report, assumed: Iterable[Assumption], first: CheckResult | None = None
) -> str:
    style, width = report.style, report.width
    lines = _headline(result, report)
    if report.quiet:
        return document(lines)
    lines += wrapped(sentence(result.reason), width, first="  ")
    for alternative in result.alternatives:
        answer = f"{_when(alternative)}: {alternative.verdict.value}, {counted(alternative.sections, 'section')}"
        lines += wrapped(answer, width, first="  ")
    sections = [
        ("What to do", advice_lines(result, report, first)),
        ("Addresses", [*address_lines(result, report), *cost_lines(result, report)]),
        ("Requests", request_lines(result, width)),
        ("Kernel log", _kernel_log(result, report)),
        ("Without reserving in iomem_resource", reuse_lines(result, width)),
        ("Assumed", _assumed(assumed, report)),
    ]
    if report.explain:
        from dtanalyze.report.explain import explain_lines

        sections.append(("Step by step", explain_lines(result)))
    for title, body in sections:
        if body:
            lines += ["", style.bold(title), *body]
    return document(lines)


def _when(alternative: Alternative) -> str:
    """Name the start that an alternative answers for."""
    kaslr = {True: "with KASLR", False: "without KASLR", None: ""}[alternative.kaslr]
    ranges = ", ".join(format_range(bank.start, bank.stop) for bank in alternative.dom0_memory)
    return ", ".join(item for item in (alternative.when, kaslr, f"dom0's RAM at {ranges}" if ranges else "") if item)


def _headline(result: CheckResult, report: Report) -> list[str]:
    verdict = result.verdict
    worst = max((item.severity for item in result.findings), default=Severity.INFO)
    label = "ok" if verdict is Verdict.SCRATCH else worst.label
    where = result.domain if result.domain and result.domain != result.tree else f"{result.tree} tree"
    kernel = f"Linux {result.linux.name}" + (f", Xen {result.xen}" if result.xen else "")
    said = f"{result.path}: {verdict.value}: {HEADLINES[verdict]} ({where}, {kernel})"
    first, *rest = [said] if report.quiet else wrapped(said, report.width, rest="  ")
    coloured = report.style.severity(label, verdict.value)
    # The word of the verdict behind the path, and not one that the path holds.
    head, found, tail = first.rpartition(f": {verdict.value}:")
    return [f"{head}: {coloured}:{tail}" if found else first, *rest]


def _kernel_log(result: CheckResult, report: Report) -> list[str]:
    answer = result.answer
    if answer is None or not answer.detection.found or answer.init is None:
        return []
    said = answer.init.messages if report.verbose else answer.init.messages[:_KERNEL_LINES]
    return [line for item in said for line in wrapped(item, report.width, first="  ")]


def _assumed(items: Iterable[Assumption], report: Report) -> list[str]:
    """Say what is guessed, and what another value would change; what is known from the tree or an option is counted."""
    listed = tuple(items)
    shown = listed if report.verbose else tuple(item for item in listed if item.origin == "guess" or item.matters)
    lines = [line for item in shown for line in wrapped(_worded(item), report.width, first="  - ")]
    rest = len(listed) - len(shown)
    if rest:
        lines += wrapped(f"{rest} more, known from the tree, options and defaults (--verbose)", report.width, first="  - ")
    return lines


def _worded(item: Assumption) -> str:
    if item.instead or item.matters is None:
        return f"{item.sentence}; {item.instead}" if item.instead else item.sentence
    return f"{item.sentence}; another value {'changes' if item.matters else 'does not change'} the verdict"
