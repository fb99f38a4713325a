"""What a rule is, and what it looks at.

A rule states itself once; the registry, ``explain``, the SARIF catalogue and the documentation all render that object.
"""

import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final, NamedTuple

from dtanalyze.address.range import AddressRange, RawRange
from dtanalyze.findings import Cure, Finding, Severity, Source

__all__ = [
    "GUEST",
    "HOST",
    "QUOTES_XEN",
    "REST",
    "TREE",
    "Example",
    "Hit",
    "Hits",
    "NotShown",
    "Rule",
    "Statement",
    "findings",
    "rule",
]

_LONG: Final = re.compile(r"[^\s/]{256,}")
"""Longer than any name of a node or a file: the text of a property."""
_SAMPLE: Final = 60

TREE: Final = "tree"
"""Asked of the tree that the user gave, whoever it is for."""
GUEST: Final = "guest"
"""Asked of the tree that Linux boots with, given or written by Xen."""
HOST: Final = "host"
"""Asked of the tree that Xen boots with."""

QUOTES_XEN: Final = "; Xen says: "
"""Parts a message into what is so and Xen's own line."""


class Hit(NamedTuple):
    """One place where a rule applies. ``severity`` None is the rule's own; ``advice`` empty likewise.

    ``node`` is a full path, ``offset`` a byte offset in the file, ``ranges`` hold CPU addresses.
    """

    message: str
    node: str | None = None
    ranges: tuple[AddressRange | RawRange, ...] = ()
    offset: int | None = None
    severity: Severity | None = None
    advice: str = ""
    cures: tuple[Cure, ...] = ()


Hits = Iterator[Hit]


class Example(NamedTuple):
    """A tree that shows a rule, as the body of the root node in DTS, and the releases that it is shown on.

    ``asks`` are further options of the command line, ``partial`` is the body of the partial tree of the domain
    ``guest``, ``config`` a configuration of xl.
    """

    dts: str
    linux: str = "6.12"
    xen: str = "4.22"
    asks: tuple[str, ...] = ()
    partial: str = ""
    config: str = ""


class Rule(NamedTuple):
    """One hazard. ``name`` states the problem, never the fix; ``on`` is what ``check`` is asked of."""

    code: str
    name: str
    severity: Severity
    on: str
    what: str
    why: str
    advice: str
    sources: tuple[Source, ...]
    bad: Example
    good: Example
    # Each family has a view of its own; a rule is only ever asked with the view that ``on`` names.
    check: Callable[[Any], Hits]


class Statement(NamedTuple):
    """A finding that says what came out, not what is wrong with the tree: the verdict, the demand."""

    code: str
    name: str
    severity: Severity
    what: str
    advice: str


class NotShown(NamedTuple):
    """A hazard that no rule reports, and why."""

    code: str
    what: str
    reason: str


def rule(
    code: str,
    name: str,
    severity: Severity,
    on: str,
    *,
    what: str,
    why: str,
    advice: str,
    sources: tuple[Source, ...],
    bad: Example,
    good: Example,
) -> Callable[[Callable[[Any], Hits]], Rule]:
    """Make a `Rule` of the check below it."""

    def made(check: Callable[[Any], Hits]) -> Rule:
        return Rule(code, name, severity, on, what, why, advice, sources, bad, good, check)

    return made


REST: Final = "more of the same kind"
"""How the message of a finding that counts others ends."""
MOST: Final = 100
"""So many places of one rule are told one by one; the rest are counted."""


def _bounded(hits: Hits, severity: Severity) -> Hits:
    """Yield the first hits, and one that counts the rest and is as severe as the worst of them."""
    yield from islice(hits, MOST)
    rest, worst = 0, Severity.INFO
    for hit in hits:
        rest += 1
        worst = max(worst, severity if hit.severity is None else hit.severity)
    if rest:
        yield Hit(f"{rest} {REST}", severity=worst)


def findings(rules: tuple[Rule, ...], view: object) -> Iterator[Finding]:
    """Yield what the rules find in ``view``, which has to be the one they are for."""
    for item in rules:
        for hit in _bounded(item.check(view), item.severity):
            severity = item.severity if hit.severity is None else hit.severity
            advice = hit.advice or item.advice
            message = _LONG.sub(_sampled, hit.message)
            found = Finding(item.code, item.name, severity, message, advice, hit.node, hit.ranges, hit.offset)
            yield found.with_cures(hit.cures) if hit.cures else found


def _sampled(found: re.Match[str]) -> str:
    """Return the beginning of a word that is too long: a report never quotes more of a property than a sample."""
    return f"{found.group()[:_SAMPLE]}… ({len(found.group())} characters)"
