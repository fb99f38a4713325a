"""Annotations of GitHub Actions: workflow commands on standard output, one a line.

Escaped as actions/toolkit does (packages/core/src/command.ts). GitHub shows the first ten of each kind of a step.
"""

from __future__ import annotations

from typing import Final

from dtanalyze.findings import Severity
from dtanalyze.report.naming import cell_in_file, failure_text, placed, printable, relative
from dtanalyze.report.whole import Report

__all__ = ["render"]

_COMMANDS: Final = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


def render(report: Report) -> str:
    """Return the annotations, findings first; nothing at all when there is nothing to say."""
    lines = [
        _command(
            _COMMANDS[finding.severity],
            relative(result.location, report.root),
            f"{finding.rule} {finding.name}",
            f"{finding.message} ({cell_in_file(result)})." + (f"\n{finding.advice}" if finding.advice else ""),
        )
        for result, finding, _ in placed(report)
    ]
    lines += [
        _command("error", relative(failure.location, report.root), "unreadable input", failure_text(failure))
        for failure in report.failures
    ]
    return "".join(line + "\n" for line in lines)


def _command(name: str, path: str, title: str, message: str) -> str:
    return f"::{name} file={_property(path)},title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    return printable(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
