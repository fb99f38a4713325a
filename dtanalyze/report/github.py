"""Annotations of GitHub Actions: workflow commands on standard output, one a line.

Escaped as actions/toolkit does (packages/core/src/command.ts). GitHub shows the first ten of each kind of a step.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from dtanalyze.findings import Severity
from dtanalyze.report.decisions import decisions
from dtanalyze.report.foreign import visible
from dtanalyze.report.naming import cell_in_file, failure_text, placed, relative
from dtanalyze.report.whole import Report

__all__ = ["render"]

_COMMANDS: Final = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


def render(report: Report) -> Iterator[str]:
    """Yield the annotations, findings first; nothing at all when there is nothing to say."""
    for result, finding, _ in placed(report):
        yield _command(
            _COMMANDS[finding.severity],
            relative(result.location, report.root),
            f"{finding.rule} {finding.name}",
            f"{finding.message} ({cell_in_file(result)}).",
            finding.advice,
        )
    for item in decisions(report):
        yield _command("notice", item.path, item.kind, item.text)
    for failure in report.failures:
        yield _command("error", relative(failure.location, report.root), "unreadable input", failure_text(failure))


def _command(name: str, path: str, title: str, *message: str) -> str:
    """Return one command; each part of the message is a line of its own."""
    said = "%0A".join(_data(part) for part in message if part)
    return f"::{name} file={_property(path)},title={_property(title)}::{said}\n"


def _data(text: str) -> str:
    return visible(text).replace("%", "%25")


def _property(text: str) -> str:
    # A newline in a file's name is part of the name, which the runner decodes again.
    encoded = "%0A".join(_data(part) for part in text.split("\n"))
    return encoded.replace(":", "%3A").replace(",", "%2C")
