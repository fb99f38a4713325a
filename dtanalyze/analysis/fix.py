"""The changes that findings carry, each tried on a copy of the tree before it is offered.

A change is kept when the whole question, asked again of the copy, has no new error. What a tree that did not boot has hidden
may come up: the trees that Xen writes for its guests are looked at only once it boots.
"""

from __future__ import annotations

import re
from typing import Final

from dtanalyze.analysis import check
from dtanalyze.analysis.questions import CheckOptions, HostQuestion
from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.write import copy_node, set_property, to_blob
from dtanalyze.facts import CheckResult, Fix
from dtanalyze.findings import Change, Finding, Severity
from dtanalyze.linux.boot import WORST_FIRST, Verdict
from dtanalyze.rules.model import GUEST
from dtanalyze.rules.registry import ALL_RULES

__all__ = ["fix"]

_ROUNDS: Final = 32
"""A change may bring up what it hid; so many times is looked again."""
_PATH: Final = re.compile(r"[A-Za-z0-9,._+*#?@/-]+")
"""What a path in an overlay may hold (dtc's lexer)."""
_OF_GUESTS: Final = frozenset(item.code for item in ALL_RULES if item.on == GUEST)


def fix(data: bytes, path: str, options: CheckOptions, question: HostQuestion) -> Fix:
    """Return the changes that make findings go away, with the results before and after; ``data`` stays as it is."""
    before = after = check(data, path, options, question)
    made: dict[tuple[str, str], Change] = {}
    refused: dict[Change, str] = {}
    for _ in range(_ROUNDS):
        tried = False
        for change in _changes(after):
            if change in refused or change in made.values():
                continue
            tried = True
            copy = _changed(data, change)
            found = check(copy, path, options, question)
            why = _refusal(change, after, found)
            if why is not None:
                refused[change] = why
                continue
            made[change.node, change.prop] = change
            data, after = copy, found
            break
        if not tried or not _changes(after):
            break
    return Fix(tuple(made.values()), before, after, data, tuple(refused.items()))


def _changes(results: tuple[CheckResult, ...]) -> list[Change]:
    return list(dict.fromkeys(item.change for result in results for item in result.findings if item.change is not None))


def _refusal(change: Change, old: tuple[CheckResult, ...], new: tuple[CheckResult, ...]) -> str | None:
    """Return why a change is not offered, None when it is."""
    if not _PATH.fullmatch(change.node):
        return "no overlay can name this node: its path holds characters that dtc does not take"
    hidden = any(item.verdict is Verdict.NO_BOOT for item in old)
    known = {_key(item) for item in _errors(old)}
    brought = [item for item in _errors(new) if _key(item) not in known and not (hidden and _was_hidden(item))]
    if brought:
        return f"it would bring {brought[0].rule} {brought[0].name}: {brought[0].message}"
    if _worst(new) < _worst(old):
        return f"the verdict would be {WORST_FIRST[_worst(new)].value}"
    gone = {_key(item) for item in _all(old)} - {_key(item) for item in _all(new)}
    return None if gone else "it would remove no finding"


def _was_hidden(finding: Finding) -> bool:
    """Whether a finding is one that only a tree that boots can have: of a guest's tree, or its verdict."""
    return finding.rule in _OF_GUESTS or finding.rule.startswith("V-")


def _all(results: tuple[CheckResult, ...]) -> list[Finding]:
    return [item for result in results for item in result.findings]


def _errors(results: tuple[CheckResult, ...]) -> list[Finding]:
    return [item for item in _all(results) if item.severity is Severity.ERROR]


def _key(finding: Finding) -> tuple[str, str | None, str]:
    # One verdict after another is no new finding; one place after another is.
    return finding.rule, finding.node, "" if finding.rule.startswith("V-") else finding.message


def _worst(results: tuple[CheckResult, ...]) -> int:
    return min((WORST_FIRST.index(item.verdict) for item in results), default=len(WORST_FIRST))


def _changed(data: bytes, change: Change) -> bytes:
    tree = parse(data)
    copy = tree._replace(root=copy_node(tree.root, None))
    node = copy.find(change.node)
    if node is not None:
        set_property(node, change.prop, change.value)
    return to_blob(copy.root, [raw for raw, _ in tree.reservations], tree.boot_cpuid)
