"""Annotations of GitHub Actions: workflow commands on standard output, one a line.

Escaped as actions/toolkit does (packages/core/src/command.ts). GitHub shows the first ten of each kind of a
step, so that the worst stand first.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from dtanalyze.facts import CheckResult
from dtanalyze.findings import Finding, Severity
from dtanalyze.report.decisions import decisions
from dtanalyze.report.foreign import visible
from dtanalyze.report.naming import cell_in_file, failure_text, placed, relative
from dtanalyze.report.whole import Report

__all__ = ["render"]

_COMMANDS: Final = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}
_ALL: Final = 1 << 31
"""More annotations than any run has; a call may name any number, and `islice` takes no larger one everywhere."""


def render(report: Report) -> Iterator[str]:
    """Yield the annotations, findings first; nothing at all when there is nothing to say."""
    # The findings may lie in a file: they are read once for each severity, not sorted in memory.
    worst_first = ((kind, item) for kind in _COMMANDS for item in placed(report) if item.finding.severity is kind)
    most = report.annotate_limit
    for kind, (result, finding, _) in islice(worst_first, most if most is None else min(most, _ALL)):
        yield _command(
            _COMMANDS[kind],
            _at(finding, result, report.root),
            f"{finding.rule} {finding.name}",
            f"{finding.message} ({cell_in_file(result)}).",
            finding.advice,
        )
    yield from _left_out(report)
    for item in decisions(report):
        line = f",line={item.line}" if item.line > 1 else ""
        yield _command("notice", f"{_file(item.path)}{line}", item.kind, item.text)
    for failure in report.failures:
        where = _file(relative(failure.at.file if failure.at else failure.location, report.root))
        where += f",line={failure.at.line}" if failure.at else ""
        where += f",col={failure.at.column}" if failure.at and failure.at.column else ""
        yield _command("error", where, "unreadable input", failure_text(failure))


def _left_out(report: Report) -> Iterator[str]:
    """Say how many findings have no annotation because of the limit: what is cut off is never the worst."""
    count = 0 if report.annotate_limit is None else sum(1 for _ in placed(report)) - report.annotate_limit
    if count > 0:
        said = f"{count} less severe findings are not annotated (--annotate-limit); the other reports have them."
        yield f"::notice title=dtanalyze::{_data(said)}\n"


def _at(finding: Finding, result: CheckResult, root: str) -> str:
    """Return where to annotate: the lines of the source where they are known, else the file."""
    place = finding.place
    if place is None:
        return _file(relative(result.location, root))
    lines = f"line={place.line},endLine={place.last_line}"
    # GitHub takes columns only where a range stays on one line.
    columns = f",col={place.column},endColumn={place.last_column}" if place.line == place.last_line else ""
    return f"{_file(relative(place.file, root))},{lines}{columns}"


def _file(path: str) -> str:
    return f"file={_property(path)}"


def _command(name: str, where: str, title: str, *message: str) -> str:
    """Return one command; each part of the message is a line of its own."""
    said = "%0A".join(_data(part) for part in message if part)
    return f"::{name} {where},title={_property(title)}::{said}\n"


def _data(text: str) -> str:
    return visible(text).replace("%", "%25")


def _property(text: str) -> str:
    # A newline in a file's name is part of the name, which the runner decodes again.
    encoded = "%0A".join(_data(part) for part in text.split("\n"))
    return encoded.replace(":", "%3A").replace(",", "%2C")
