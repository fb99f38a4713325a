"""What decided about findings beside the trees: settings files and suppressions. Every format says them.

A gate that lets something through says who said so. A settings file is named with the keys that it sets, a suppressed
finding with its reason and its owner.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from dtanalyze.report.naming import cell_in_file, relative
from dtanalyze.report.whole import Report

__all__ = ["Decision", "decisions"]


class Decision(NamedTuple):
    """One decision: ``kind`` is settings or suppressed, ``path`` and ``line`` the settings file, the comment, or what
    the finding speaks of, ``key`` tells it from others."""

    kind: str
    path: str
    text: str
    key: tuple[str, ...] = ()
    line: int = 1


def decisions(report: Report) -> Iterator[Decision]:
    """Yield the settings files, then the suppressed findings."""
    for used in report.settings:
        yield Decision("settings", relative(used.path, report.root), str(used))
    for result, finding, entry in report.suppressed:
        where = f" at {finding.node}" if finding.node else ""
        text = f"{finding.rule} {finding.name}{where} ({cell_in_file(result)}): {entry.reason} ({entry.owner})"
        key = (finding.rule, finding.node or "", result.domain or "", result.inside)
        at = entry.at or finding.place
        file, line = (at.file, at.line) if at is not None else (result.location, 1)
        yield Decision("suppressed", relative(file, report.root), text, key, line)
