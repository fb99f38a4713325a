"""Options that decide which findings count, and their effect on results."""

import os
import re
from collections.abc import Collection, Iterable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

from dtanalyze.cli.console import complain
from dtanalyze.cli.kept import Seen
from dtanalyze.cli.option import Group, Option
from dtanalyze.cli.replacing import write_file
from dtanalyze.cli.settings import parsed_toml, project_folder
from dtanalyze.cli.values import choice, read_file, read_text
from dtanalyze.errors import UsageError
from dtanalyze.facts import CheckResult
from dtanalyze.findings import Remark, Severity
from dtanalyze.report.whole import Report

if TYPE_CHECKING:  # read only when asked for: start-up is most of a check's time
    from datetime import date

    from dtanalyze.controls.baseline import Baseline, Defaults
    from dtanalyze.controls.selection import Selection
    from dtanalyze.controls.suppressions import Suppression

__all__ = ["ControlGroup", "ControlOptions", "Controls", "FailOnOption", "controlled", "threshold", "with_remarks"]

_SEVERITIES: Final = {item.label: item for item in (Severity.ERROR, Severity.WARNING, Severity.INFO)}
_THRESHOLDS: Final[dict[str, Severity | None]] = {**_SEVERITIES, "never": None}

FailOnOption = Annotated[
    str, Option("--fail-on", metavar="error|warning|info|never", help="Lowest severity that gives exit status 1.")
]


class ControlOptions(NamedTuple):
    """Which findings are reported, and which count."""

    fail_on: FailOnOption = "error"
    exit_zero: Annotated[bool, Option("--exit-zero", help="The same as --fail-on never.")] = False
    min_severity: Annotated[
        str, Option("--min-severity", metavar="error|warning|info", help="Lowest severity that is reported.")
    ] = "info"
    select: Annotated[
        list[str] | None,
        Option(
            "--select",
            metavar="RULES",
            help="Report these rules only: codes, names or beginnings of codes, as a comma list (repeatable).",
            show_default=False,
        ),
    ] = None
    ignore: Annotated[
        list[str] | None,
        Option("--ignore", metavar="RULES", help="Leave these rules out (like --select).", show_default=False),
    ] = None
    baseline: Annotated[
        str | None,
        Option(
            "--baseline", metavar="FILE", help="Known findings: only new ones are reported and count.", show_default=False
        ),
    ] = None
    write_baseline: Annotated[
        str | None,
        Option("--write-baseline", metavar="FILE", help="Write all findings to FILE as known.", show_default=False),
    ] = None
    suppressions: Annotated[
        str | None,
        Option(
            "--suppressions",
            metavar="FILE",
            help="TOML file of [[suppress]] entries: findings to live with, each with reason and owner.",
            show_default=False,
        ),
    ] = None
    today: Annotated[str | None, Option("--today", metavar="DATE", hidden=True)] = None

    def threshold(self) -> Severity | None:
        """Return the lowest severity that fails a run, None for none."""
        wanted = threshold(self.fail_on)
        return None if self.exit_zero else wanted

    def controls(self, table: tuple[str, Any] | None) -> "Controls":
        """Return the controls, ``table`` being the suppressions of the settings file and its name.

        Raises `UsageError` for what is no rule and `InputError` for what is no baseline.
        """
        lowest = _SEVERITIES[choice(self.min_severity, tuple(_SEVERITIES), "--min-severity")]
        wanted = None
        if self.select or self.ignore or lowest is not Severity.INFO:
            from dtanalyze.controls.selection import selection

            wanted = selection(self.select or (), self.ignore or (), lowest)
        known = None
        if self.baseline is not None:
            from dtanalyze.controls.baseline import read_baseline

            known = read_file(self.baseline, read_baseline)
        return _with_suppressions(Controls(wanted, known, self.write_baseline), table, self.suppressions, self.today)


ControlGroup = Annotated[ControlOptions, Group("Which findings count")]


def threshold(fail_on: str) -> Severity | None:
    """Return the severity that ``--fail-on`` names, None for never."""
    return _THRESHOLDS[choice(fail_on, tuple(_THRESHOLDS), "--fail-on")]


class Controls(NamedTuple):
    """What was asked for; ``baseline`` None when none is given."""

    selection: "Selection | None"
    baseline: "Baseline | None"
    write_baseline: str | None
    suppressions: "tuple[Suppression, ...]" = ()
    today: "date | None" = None
    defaults: "Defaults | None" = None


def _with_suppressions(controls: Controls, table: tuple[str, Any] | None, file: str | None, today: str | None) -> Controls:
    """Add the suppressions of the settings file and of ``--suppressions``; raise `UsageError` or `InputError`."""
    found = [table] if table is not None else []
    if file is not None:
        found.append((file, _suppress_of(file)))
    if not found:
        return controls
    from dtanalyze.controls.selection import known_rules
    from dtanalyze.controls.suppressions import suppressions_from

    known = known_rules()
    entries = tuple(item for where, rows in found for item in suppressions_from(rows, where, known))
    return controls._replace(suppressions=entries, today=_today(today))


def with_remarks(controls: Controls, remarks: Iterable[Remark], own: Collection[str], today: str | None) -> Controls:
    """Add the suppressions that stand in sources; ``own`` are the inputs themselves.

    Whose source may let a finding through is the project's to say: a file outside of it has no effect, and that is told.
    """
    from dtanalyze.controls.in_source import suppressions_in
    from dtanalyze.controls.selection import known_rules

    top = os.path.realpath(project_folder())
    inside = [item for item in remarks if os.path.commonpath([top, os.path.realpath(item.file)]) == top]
    for item in remarks:
        if item not in inside:
            complain(f"{item.file}:{item.line}: a suppression outside of the project's folder has no effect")
    entries = (*controls.suppressions, *suppressions_in(inside, known_rules(), own))
    return controls._replace(suppressions=entries, today=_today(today))


def _suppress_of(file: str) -> Any:
    return parsed_toml(read_text(file), file).get("suppress", [])


def _today(text: str | None) -> "date":
    """Return the day that is given, that of SOURCE_DATE_EPOCH, or this one: reproducible runs name theirs."""
    from datetime import UTC, date, datetime

    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    if text is None:
        now = datetime.fromtimestamp(int(epoch), UTC) if re.fullmatch("[0-9]{1,11}", epoch) else datetime.now(UTC)
        return now.date()
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"--today takes a date such as 2027-01-31, not '{text}'") from error


def controlled(report: Report, controls: Controls) -> Report:
    """Return the report with the findings that stay, and what is suppressed or known beside them."""
    groups = report.groups
    if controls.suppressions and controls.today is not None:
        from dtanalyze.controls.suppressions import suppress

        outcome = suppress([result for group in groups for result in group], controls.suppressions, controls.today)
        rest = iter(outcome.results)
        groups = tuple(tuple(next(rest) for _ in group) for group in groups)
        report = report._replace(suppressed=outcome.hidden)
    if controls.selection is not None:
        from dtanalyze.controls.selection import apply_selection

        groups = Seen(groups, partial(apply_selection, chosen=controls.selection))
    if controls.write_baseline is not None:
        _write_baseline(controls.write_baseline, groups, report.root, controls.defaults)
    if controls.baseline is None:
        return report._replace(groups=groups)
    from dtanalyze.controls.baseline import Defaults, compare

    everything = (result for group in groups for result in group)
    found = compare(everything, controls.baseline, report.root, controls.defaults or Defaults())
    left = iter(found.results)
    groups = tuple(tuple(next(left) for _ in group) for group in groups)
    return report._replace(groups=groups, baseline=found)


def _write_baseline(
    path: str, groups: Iterable[tuple[CheckResult, ...]], root: str, defaults: "Defaults | None"
) -> None:
    from dtanalyze.controls.baseline import Defaults, write_baseline

    text = write_baseline((result for group in groups for result in group), root, defaults or Defaults())
    try:
        write_file(path, text.encode("utf-8", "surrogateescape"))
    except UsageError as error:
        raise UsageError(f"--write-baseline: {error}") from error
