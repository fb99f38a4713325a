"""Many trees at a glance: how they came out, the worst first; and counts of everything."""

from __future__ import annotations

from collections import Counter

from dtanalyze.facts import CheckResult
from dtanalyze.findings import Severity
from dtanalyze.linux.boot import WORST_FIRST, Verdict
from dtanalyze.report.foreign import document
from dtanalyze.report.lines import wrapped
from dtanalyze.report.naming import cell
from dtanalyze.report.whole import Report

__all__ = ["statistics_text", "summary_text"]

_ROWS = 20


def summary_text(report: Report) -> str:
    """Return how many came out how, and the worst trees first."""
    verdicts: Counter[Verdict] = Counter()
    bad: list[tuple[int, int, int, str, str]] = []  # what ranks and shows a result: no more of each is kept
    for item in report.results:
        verdicts[item.verdict] += 1
        errors, warnings = _counts(item)
        if errors or warnings:
            bad.append((WORST_FIRST.index(item.verdict), -errors, -warnings, item.path, cell(item)))
    counted = ", ".join(f"{verdicts[verdict]} {verdict.value}" for verdict in WORST_FIRST if verdicts[verdict])
    trees = f"{len(report.groups)} tree{'' if len(report.groups) == 1 else 's'}"
    unreadable = f", {len(report.failures)} unreadable" if report.failures else ""
    lines = wrapped(f"Summary: {trees}{unreadable}: {counted or 'no result'}", report.width, rest="  ")
    lines = list(map(report.style.bold, lines))
    rows = sorted(bad, key=lambda row: row[:4])[:_ROWS]
    # Whose tree and which releases is the same for most batches: it is said once then.
    same = {row[4] for row in rows}
    if len(same) == 1:
        lines += wrapped(f"All with findings: {same.pop()}", report.width, first="  ")
    for verdict, errors, warnings, path, where in rows:
        nouns = f"error{' ' if errors == -1 else 's'} {-warnings:3} warning{' ' if warnings == -1 else 's'}"
        head = f"  {-errors:3} {nouns}  {WORST_FIRST[verdict].value:9}  "
        lines += wrapped(f"{path} ({where})" if same else path, report.width, first=head)
    if len(bad) > _ROWS:
        lines.append(f"  and {len(bad) - _ROWS} more with findings")
    return document(lines)


def _counts(result: CheckResult) -> tuple[int, int]:
    found = Counter(item.severity for item in result.findings)
    return found[Severity.ERROR], found[Severity.WARNING]


def statistics_text(report: Report) -> str:
    """Return counts by verdict, severity and rule; with each rule the trees that it fires in."""
    lines = [report.style.bold("Statistics")]
    verdicts = Counter(item.verdict.value for item in report.results)
    lines += [f"  verdict   {name:24} {count}" for name, count in sorted(verdicts.items())]
    severities = Counter(item.severity for result in report.results for item in result.findings)
    lines += [f"  severity  {severity.label:24} {count}" for severity, count in sorted(severities.items(), reverse=True)]
    rules = Counter(item.rule for result in report.results for item in result.findings)
    trees = Counter(rule for group in report.groups for rule in {item.rule for result in group for item in result.findings})
    lines += [f"  rule      {rule:24} {count} in {trees[rule]} tree{'' if trees[rule] == 1 else 's'}"
              for rule, count in sorted(rules.items())]  # fmt: skip
    return document(lines)
