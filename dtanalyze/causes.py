"""Which finding states the cause of a verdict, and which findings have one cause.

A verdict is itself a finding only where no rule says why: "refused because of System RAM" and "region 0 covers RAM" are one
fault, and two entries for it would be counted, suppressed and repaired twice. Both are kept until selection, suppressions
and baselines have been applied, so that each can still be named there; `folded` then leaves the one that explains.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from dtanalyze.address.range import AddressRange, RawRange
from dtanalyze.facts import SOME_STARTS, CheckResult
from dtanalyze.findings import Finding, Severity
from dtanalyze.linux.boot import Verdict

__all__ = ["cause_keys", "cause_of", "folded", "grouped"]

_STATES: Final = frozenset({"O", "S", "V"})
"""First letters of codes that never say why Xen stops: layout of the tree for Linux, suppressions, verdicts."""
_NO_REGION: Final = ("X33", "X34", "X42", "D12", "D08", "X22")
"""Why there is no extended region, the deepest cause first: what fails in Xen's search, then what leaves it no room."""
_REFUSED_SET: Final = ("X08", "X09", "X10")
"""What makes Linux refuse all regions at once (arch_xen_unpopulated_init)."""
_UNDETECTED: Final = ("X25", "X24", "X23", "D06")
_LINES: Final = {"Cannot cope with this size": ("X19",)}
"""Xen's lines that name no node, and the rules that say what is behind them."""
_STATE_THE_STOP: Final = frozenset({"D20"})
"""Rules that quote Xen's line and may have a deeper cause: the kernel that is missing was a module that Xen drops."""
_PATH_CHARS: Final = r"[\w,.+@/-]"


def cause_of(result: CheckResult) -> Finding | None:
    """Return the finding of a rule that says why the verdict is what it is; None when the verdict has to say it itself.

    A rule that is milder than the verdict is no cause: its severity would hide the verdict's.
    """
    stated = next((item for item in result.findings if item.rule == f"V-{result.verdict.value}"), None)
    if stated is None:
        return None
    able = [item for item in result.findings if item.severity >= stated.severity and item.rule[0] not in "VS"]
    return next(_candidates(result, stated, able), None)


def _candidates(result: CheckResult, stated: Finding, able: list[Finding]) -> Iterator[Finding]:
    match result.verdict:
        case Verdict.CONFLICT | Verdict.HAZARD:
            yield from _at_the_place(stated, able)
            yield from _of_rules(("X09",), able)  # at address 0 it offers all of the address space
        case Verdict.EXHAUSTED:
            yield from _of_rules(("X09", "X11"), able)
        case Verdict.BALLOON | Verdict.IOMEM:
            init = result.answer.init if result.answer else None
            if init is not None and init.resource is None:
                yield from _of_rules(_REFUSED_SET if result.extended_regions else _NO_REGION, able)
        case Verdict.NATIVE:
            yield from _of_rules(_UNDETECTED, able)
        case Verdict.NO_BOOT:
            yield from _of_the_stop(result.reason, able)


def _of_rules(codes: Iterable[str], able: list[Finding]) -> Iterator[Finding]:
    for code in codes:
        yield from (item for item in able if item.rule == code)


def _at_the_place(stated: Finding, able: list[Finding]) -> Iterator[Finding]:
    """Yield the overlaps of a region with the user that the section meets, that of the same node first.

    Both have two ranges: what is taken, and who uses it.
    """
    if len(stated.ranges) < 2:
        return
    section, user = stated.ranges[0], stated.ranges[1]
    here = [
        item
        for item in able
        if item.rule[0] in "XD" and len(item.ranges) == 2 and _meet(item.ranges[0], section)
        and _meet(item.ranges[1], section) and _meet(item.ranges[1], user)
    ]  # fmt: skip
    yield from sorted(here, key=lambda item: item.node != stated.node)


def _meet(one: AddressRange | RawRange, other: AddressRange | RawRange) -> bool:
    return one.start < other.stop and other.start < one.stop


def _of_the_stop(reason: str, able: list[Finding]) -> Iterator[Finding]:
    """Yield the findings that quote what stops Xen, then those at a node that it names."""
    able = [item for item in able if item.rule[0] not in _STATES]
    line = reason.partition("): ")[2].removesuffix(SOME_STARTS)
    quoting = [item for item in able if line and line in item.message]
    yield from (item for item in quoting if item.rule not in _STATE_THE_STOP)
    yield from (item for item in able if item.node and _is_named(item.node, line))
    yield from (item for item in able if item.node and _is_named(item.node.rpartition("/")[2] or "/", line))
    yield from quoting
    for known, codes in _LINES.items():
        yield from _of_rules(codes if known in line else (), able)


def _is_named(node: str, line: str) -> bool:
    """Whether the line names the node, and not one whose path or name begins or ends like it."""
    return bool(re.search(f"(?<!{_PATH_CHARS}){re.escape(node)}(?!{_PATH_CHARS})", line))


def folded(result: CheckResult) -> CheckResult:
    """Return the result with one finding for one cause: without the verdict's own where its ``cause`` is shown."""
    cause = result.cause
    stated = f"V-{result.verdict.value}"
    if cause is None or not any(item.rule == stated for item in result.findings):
        return result
    if not any(_same(item, cause) for item in result.findings):
        # Somebody chose not to see the cause: the verdict stands for it.
        return result._replace(cause=None)
    return result._replace(findings=tuple(item for item in result.findings if item.rule != stated))


def _same(one: Finding, other: Finding) -> bool:
    # Not the offset: with overlays applied it counts in another file.
    return (one.rule, one.node, one.message) == (other.rule, other.node, other.message)


def grouped(result: CheckResult) -> tuple[tuple[Finding, ...], ...]:
    """Return the findings by cause, the worst cause first.

    Findings have one cause when they are at the same node with the same ranges, when they are about one overlap, of which
    each rule may name the other side, or when one rule says the same advice of several places.
    """
    parent: dict[int, int] = {}

    def root(index: int) -> int:
        while parent.setdefault(index, index) != index:
            index = parent[index]
        return index

    seen: dict[object, int] = {}
    for index, item in enumerate(result.findings):
        keys: list[object] = [(item.rule, item.severity, item.advice)]
        if item.ranges:
            spans = frozenset((span.start, span.stop) for span in item.ranges)
            keys.append(spans if len(spans) > 1 else (item.node, spans))
        for key in keys:
            first = root(seen.setdefault(key, index))
            parent[root(index)] = first
    groups: dict[int, list[Finding]] = {}
    for index, item in enumerate(result.findings):
        groups.setdefault(root(index), []).append(item)
    return tuple(tuple(found) for _, found in sorted(groups.items(), key=lambda pair: _rank(result, pair[1])))


def cause_keys(result: CheckResult) -> dict[int, str]:
    """Return for each finding, by its ``id()``, the name of its cause: ``E1``, ``W2``, ``I3``, by severity and place."""
    return {
        id(item): f"{max(one.severity for one in group).name[0]}{number}"
        for number, group in enumerate(grouped(result), 1)
        for item in group
    }


def _rank(result: CheckResult, found: list[Finding]) -> tuple[bool, int, tuple[int, str, str, str]]:
    """What explains the verdict stands first, then the most severe."""
    explains = any(item.rule.startswith("V-") or (result.cause and _same(item, result.cause)) for item in found)
    worst = max(item.severity for item in found)
    return (not explains or worst is not Severity.ERROR, -worst.rank, found[0].sort_key)
