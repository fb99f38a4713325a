"""Options that decide which findings count, and their effect on results."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer

from dtanalyze.cli.options import choice, read_text
from dtanalyze.errors import InputError, UsageError
from dtanalyze.facts import CheckResult
from dtanalyze.findings import Severity
from dtanalyze.report.whole import Report

if TYPE_CHECKING:  # read only when asked for: start-up is most of a check's time
    from dtanalyze.controls.identity import Identity
    from dtanalyze.controls.selection import Selection

__all__ = [
    "BaselineOption",
    "IgnoreOption",
    "MinSeverityOption",
    "SelectOption",
    "WriteBaselineOption",
    "Controls",
    "controlled",
    "controls_from",
    "severity_from",
]

_SEVERITIES: Final = {item.label: item for item in (Severity.ERROR, Severity.WARNING, Severity.INFO)}

SelectOption = Annotated[
    list[str] | None,
    typer.Option(
        "--select",
        metavar="RULES",
        help="Report these rules only: codes, names or beginnings of codes, as a comma list (repeatable).",
        show_default=False,
    ),
]
IgnoreOption = Annotated[
    list[str] | None,
    typer.Option("--ignore", metavar="RULES", help="Leave these rules out (like --select).", show_default=False),
]
MinSeverityOption = Annotated[
    str, typer.Option("--min-severity", metavar="error|warning|info", help="Lowest severity that is reported.")
]
BaselineOption = Annotated[
    str | None,
    typer.Option(
        "--baseline", metavar="FILE", help="Known findings: only new ones are reported and count.", show_default=False
    ),
]
WriteBaselineOption = Annotated[
    str | None,
    typer.Option("--write-baseline", metavar="FILE", help="Write all findings to FILE as known.", show_default=False),
]


def severity_from(text: str, option: str) -> Severity:
    """Return the severity that a word names."""
    return _SEVERITIES[choice(text, tuple(_SEVERITIES), option)]


class Controls(NamedTuple):
    """What was asked for; ``baseline`` None when none is given."""

    selection: Selection | None
    baseline: frozenset[Identity] | None
    write_baseline: str | None


def controls_from(
    select: list[str] | None,
    ignore: list[str] | None,
    min_severity: str,
    baseline: str | None,
    write_baseline: str | None,
) -> Controls:
    """Return the controls; raise `UsageError` for what is no rule and `InputError` for what is no baseline."""
    lowest = severity_from(min_severity, "--min-severity")
    wanted = None
    if select or ignore or lowest is not Severity.INFO:
        from dtanalyze.controls.selection import selection

        wanted = selection(select or (), ignore or (), lowest)
    return Controls(wanted, _read_baseline(baseline) if baseline is not None else None, write_baseline)


def controlled(report: Report, controls: Controls) -> Report:
    """Return the report with the findings that stay, and what the baseline knows beside them."""
    groups = report.groups
    if controls.selection is not None:
        from dtanalyze.controls.selection import apply_selection

        groups = tuple(apply_selection(group, controls.selection) for group in groups)
    if controls.write_baseline is not None:
        _write_baseline(controls.write_baseline, groups, report.root)
    if controls.baseline is None:
        return report._replace(groups=groups)
    from dtanalyze.controls.baseline import compare

    found = compare((result for group in groups for result in group), controls.baseline, report.root)
    left = iter(found.results)
    groups = tuple(tuple(next(left) for _ in group) for group in groups)
    return report._replace(groups=groups, baseline=found)


def _read_baseline(path: str) -> frozenset[Identity]:
    from dtanalyze.controls.baseline import read_baseline

    text = read_text(path)
    try:
        return read_baseline(text)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _write_baseline(path: str, groups: Iterable[tuple[CheckResult, ...]], root: str) -> None:
    from dtanalyze.controls.baseline import write_baseline

    text = write_baseline((result for group in groups for result in group), root)
    try:
        Path(path).write_text(text, encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise UsageError(f"--write-baseline: {path}: {error.strerror or error}") from error
