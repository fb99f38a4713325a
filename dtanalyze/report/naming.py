"""What reports for machines call things: paths, cells, findings that are the same from one run to the next.

A fingerprint says that two runs report the same thing: rule, node and domain make it, addresses and messages do not, so
that it outlives a shifted region.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from dtanalyze.controls.identity import relative
from dtanalyze.errors import InputFailure
from dtanalyze.facts import CheckResult
from dtanalyze.findings import Finding
from dtanalyze.report.foreign import visible
from dtanalyze.report.whole import Report

__all__ = [
    "Placed",
    "cell",
    "cell_in_file",
    "digest",
    "failure_text",
    "placed",
    "printable",
    "relative",
    "written_at",
]


class Placed(NamedTuple):
    """A finding with the result it belongs to and what makes it the same finding in another run."""

    result: CheckResult
    finding: Finding
    key: tuple[str, ...]


def placed(report: Report) -> Iterator[Placed]:
    """Yield every finding; in a sweep the key also names the cell, and findings alike are counted through."""
    for group in report.groups:
        yield from _placed(group, sweep=report.sweep)


def _placed(group: tuple[CheckResult, ...], *, sweep: bool) -> Iterator[Placed]:
    seen: Counter[tuple[str, ...]] = Counter()
    for result in group:
        for finding in result.findings:
            inside = (result.inside,) if result.inside else ()
            cell_key = _releases(result) if sweep else ()
            key = (finding.rule, finding.node or "", result.domain or "", *cell_key, *inside)
            known = (result.path, *key)
            seen[known] += 1
            yield Placed(result, finding, key if seen[known] == 1 else (*key, f"#{seen[known]}"))


def digest(*parts: str) -> str:
    """Return the fingerprint of ``parts``: hexadecimal, the same on every machine."""
    from hashlib import sha256  # loads a large library, which a report to be read does without

    return sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def written_at(finding: Finding, root: str = "") -> str | None:
    """Return where a finding's cause was written, ``file:line:column``; None where no source says it."""
    place = finding.place
    return None if place is None else str(place._replace(file=relative(place.file, root)))


def _releases(result: CheckResult) -> tuple[str, ...]:
    xen = (f"Xen {result.xen}",) if result.xen else ()
    iommu = () if result.iommu is None else (f"IOMMU {'on' if result.iommu else 'off'}",)
    return (f"Linux {result.linux.name}", *xen, *iommu)


def cell(result: CheckResult) -> str:
    """Return whose tree it is, with the releases: ``dom0, Linux 6.12, Xen 4.20``."""
    return ", ".join((result.domain or result.tree, *_releases(result)))


def cell_in_file(result: CheckResult) -> str:
    """Return the cell after which tree of its file it is, for reports that can name files only."""
    return f"{result.inside}, {cell(result)}" if result.inside else cell(result)


def failure_text(failure: InputFailure) -> str:
    """Return what is wrong, after which tree of the file it is wrong with, for reports that can name files only."""
    return f"{failure.inside}: {failure.message}" if failure.inside else failure.message


def printable(text: str) -> str:
    """Return ``text`` with each of its lines made `visible`, for documents in which a newline means nothing."""
    return "\n".join(map(visible, text.split("\n")))
