"""Findings that somebody has decided to live with: each with a reason, an owner and, where wanted, an end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from fnmatch import fnmatchcase
from typing import Any, Final, NamedTuple

from dtanalyze.errors import UsageError
from dtanalyze.facts import CheckResult
from dtanalyze.findings import Finding, Place, Remark
from dtanalyze.rules.model import Statement
from dtanalyze.verdicts import SUPPRESSION_EXPIRED, SUPPRESSION_UNUSED

__all__ = ["Suppressed", "Suppression", "suppress", "suppressions_from"]

_TEXTS: Final = ("rule", "reason", "owner", "node", "path", "domain")
_NEEDED: Final = ("rule", "reason", "owner")
_OF_COMMENTS: Final = {
    SUPPRESSION_EXPIRED.code: "Remove the comment, or set a new date behind `until`.",
    SUPPRESSION_UNUSED.code: "Remove the comment.",
}


class Suppression(NamedTuple):
    """One entry. ``node``, ``path`` and ``domain`` are glob patterns; ``where`` is the file and the entry's number.

    A comment in a source is ``at`` its line and speaks of what stands there. One that is not ``told`` may be without use.
    """

    where: str
    codes: frozenset[str]
    rule: str
    reason: str
    owner: str
    node: str = "*"
    path: str = "*"
    domain: str = "*"
    expires: date | None = None
    at: Remark | None = None
    told: bool = True

    def fits(self, result: CheckResult, finding: Finding) -> bool:
        """Whether the entry speaks of this finding; a path may name a tree or the file it stands in."""
        names = {result.path, result.location}
        return (
            finding.rule in self.codes
            and (self.at is None or _stands_at(finding, self.at))
            and fnmatchcase(finding.node or "", self.node)
            and any(fnmatchcase(name.rpartition("/")[2], self.path) or fnmatchcase(name, self.path) for name in names)
            and fnmatchcase(result.domain or result.tree, self.domain)
        )


def _stands_at(finding: Finding, remark: Remark) -> bool:
    place = finding.place
    return place is not None and place.file == remark.file and place.line <= remark.line <= place.last_line


class Suppressed(NamedTuple):
    """``results`` without what is suppressed, and with a finding for each entry that is over or without use."""

    results: tuple[CheckResult, ...]
    hidden: tuple[tuple[CheckResult, Finding, Suppression], ...]


def suppressions_from(entries: Any, path: str, known: dict[str, str]) -> tuple[Suppression, ...]:
    """Return the entries of a file's ``[[suppress]]``; ``known`` are codes and names of rules. Raise `UsageError`."""
    if not isinstance(entries, list) or not all(isinstance(item, dict) for item in entries):
        raise UsageError(f"{path}: suppress has to be a list of tables, [[suppress]]")
    return tuple(_entry(item, f"{path}: suppress {number}", known) for number, item in enumerate(entries, 1))


def _entry(item: dict[str, Any], where: str, known: dict[str, str]) -> Suppression:
    for key in item:
        if key not in (*_TEXTS, "expires"):
            raise UsageError(f"{where}: no key is called '{key}'; there are {', '.join((*_TEXTS, 'expires'))}")
    for key in _NEEDED:
        if not item.get(key):
            raise UsageError(f"{where}: {key} is missing; every entry needs {', '.join(_NEEDED)}")
    for key in _TEXTS:
        if not isinstance(item.get(key, ""), str):
            raise UsageError(f"{where}: {key} takes text, not {item[key]!r}")
    expires = item.get("expires")
    if isinstance(expires, str):
        try:
            expires = date.fromisoformat(expires)
        except ValueError as error:
            raise UsageError(f"{where}: expires takes a date such as 2027-01-31, not '{expires}'") from error
    if expires is not None and type(expires) is not date:  # a time of day, which TOML has too, is a date to Python
        raise UsageError(f"{where}: expires takes a date such as 2027-01-31, not {expires}")
    rule = item["rule"]
    codes = frozenset(code for code, name in known.items() if rule in (code, name))
    if not codes:
        raise UsageError(f"{where}: no rule is called '{rule}'")
    patterns = {key: item[key] for key in ("node", "path", "domain") if key in item}
    return Suppression(where, codes, rule, item["reason"], item["owner"], expires=expires, **patterns)


def suppress(results: Sequence[CheckResult], entries: Iterable[Suppression], today: date) -> Suppressed:
    """Take out what the entries name; those that are over take nothing out and are said, as are those without use."""
    listed = tuple(entries)
    active = [item for item in listed if item.expires is None or item.expires >= today]
    used: set[int] = set()
    hidden: list[tuple[CheckResult, Finding, Suppression]] = []
    left: list[CheckResult] = []
    for result in results:
        kept: list[Finding] = []
        for finding in result.findings:
            entry = next((item for item in active if item.fits(result, finding)), None)
            if entry is None:
                kept.append(finding)
            else:
                used.add(id(entry))
                hidden.append((result, finding, entry))
        left.append(result._replace(findings=tuple(kept)))
    if left:
        told = _told(listed, active, used)
        left[0] = left[0]._replace(findings=tuple(sorted((*left[0].findings, *told), key=lambda item: item.sort_key)))
    return Suppressed(tuple(left), tuple(hidden))


def _told(listed: tuple[Suppression, ...], active: list[Suppression], used: set[int]) -> list[Finding]:
    out = []
    for item in listed:
        entry = f"{item.where} ({item.rule}{f', owner {item.owner}' if item.at is None else ''})"
        if item not in active:
            out.append(_stated(SUPPRESSION_EXPIRED, f"{entry} has expired on {item.expires}: {item.reason}", item.at))
        elif id(item) not in used and item.told:
            out.append(_stated(SUPPRESSION_UNUSED, f"{entry} suppresses nothing here", item.at))
    return out


def _stated(what: Statement, message: str, at: Remark | None) -> Finding:
    place = None if at is None else Place(at.file, at.line, 1, at.line, 1)
    advice = what.advice if at is None else _OF_COMMENTS[what.code]
    return Finding(what.code, what.name, what.severity, message, advice, place=place)
