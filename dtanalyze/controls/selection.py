"""Which findings are shown and count: by rule and by severity."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import NamedTuple

from dtanalyze.errors import UsageError
from dtanalyze.facts import CheckResult
from dtanalyze.findings import Finding, Severity
from dtanalyze.rules.model import NotShown, Rule, Statement

__all__ = ["Selection", "apply_selection", "explained", "known_rules", "selection"]


class Selection(NamedTuple):
    """``select`` and ``ignore`` are codes; an empty ``select`` means all. What is left out does not count for anything."""

    select: frozenset[str] = frozenset()
    ignore: frozenset[str] = frozenset()
    min_severity: Severity = Severity.INFO

    def keeps(self, finding: Finding) -> bool:
        """Whether a finding stays."""
        chosen = not self.select or finding.rule in self.select
        return chosen and finding.rule not in self.ignore and finding.severity >= self.min_severity


def known_rules() -> dict[str, str]:
    """Return every code with its name."""
    from dtanalyze.rules.registry import ALL_RULES
    from dtanalyze.verdicts import STATEMENTS

    named = {item.code: item.name for item in STATEMENTS}
    return named | {item.code: item.name for item in ALL_RULES}


def explained(word: str) -> Rule | Statement | NotShown:
    """Return what a code or a name, in any case, names; raise `UsageError` with the nearest when it names nothing."""
    from dtanalyze.rules.registry import ALL_RULES, NOT_SHOWN
    from dtanalyze.verdicts import STATEMENTS

    named: list[Rule | Statement] = [*ALL_RULES, *STATEMENTS]
    listed: list[Rule | Statement | NotShown] = [*named, *NOT_SHOWN]
    known = {item.code.lower(): item for item in listed}
    known.update((item.name, item) for item in named)
    found = known.get(word.lower())
    if found is None:
        near = difflib.get_close_matches(word.lower(), known, 1)
        hint = f"; the nearest is {known[near[0]].code}" if near else "; dtanalyze rules lists them"
        raise UsageError(f"no rule is called '{word}'{hint}")
    return found


def selection(select: Iterable[str], ignore: Iterable[str], min_severity: Severity) -> Selection:
    """Return the selection that comma lists of codes, names or beginnings of codes make; raise `UsageError` for others."""
    return Selection(_codes(select, "--select"), _codes(ignore, "--ignore"), min_severity)


def _codes(lists: Iterable[str], option: str) -> frozenset[str]:
    words = [word.strip() for item in lists for word in item.split(",")]
    if not words:
        return frozenset()
    known = known_rules()
    return frozenset(code for word in words for code in _meant(word, known, option))


def _meant(word: str, known: dict[str, str], option: str) -> list[str]:
    found = [
        code for code, name in known.items() if word and (code.lower().startswith(word.lower()) or name == word.lower())
    ]
    if found:
        return found
    near = difflib.get_close_matches(word.lower(), [*(code.lower() for code in known), *known.values()], 1)
    hint = f"; the nearest is {near[0] if near[0] in known.values() else near[0].upper()}" if near else ""
    raise UsageError(f"{option}: no rule is called '{word}'{hint}")


def apply_selection(results: Iterable[CheckResult], chosen: Selection) -> tuple[CheckResult, ...]:
    """Return the results with the findings that stay; a verdict stays what it is."""
    return tuple(
        result._replace(findings=tuple(item for item in result.findings if chosen.keeps(item))) for result in results
    )
