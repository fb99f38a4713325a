"""The changes that findings carry, put into a copy of the tree until nothing more can be changed."""

from __future__ import annotations

from typing import Final

from dtanalyze.analysis import check
from dtanalyze.analysis.questions import CheckOptions, HostQuestion
from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.write import copy_node, set_property, to_blob
from dtanalyze.facts import CheckResult, Fix
from dtanalyze.findings import Change

__all__ = ["fix"]

_ROUNDS: Final = 32
"""A change may bring up what it hid; so many times is looked again."""


def fix(data: bytes, path: str, options: CheckOptions, question: HostQuestion) -> Fix:
    """Return the changes that make the findings go away, with the results before and after; ``data`` stays as it is."""
    before = after = check(data, path, options, question)
    made: dict[tuple[str, str], Change] = {}
    tried: set[Change] = set()
    for _ in range(_ROUNDS):
        wanted = {(item.node, item.prop): item for item in _changes(after) if item not in tried}
        if not wanted:
            break
        tried.update(wanted.values())
        made |= wanted
        data = _changed(data, tuple(wanted.values()))
        after = check(data, path, options, question)
    return Fix(tuple(made.values()), before, after, data)


def _changes(results: tuple[CheckResult, ...]) -> list[Change]:
    return [item.change for result in results for item in result.findings if item.change is not None]


def _changed(data: bytes, changes: tuple[Change, ...]) -> bytes:
    tree = parse(data)
    copy = tree._replace(root=copy_node(tree.root, None))
    for change in changes:
        node = copy.find(change.node)
        if node is not None:
            set_property(node, change.prop, change.value)
    return to_blob(copy.root, [raw for raw, _ in tree.reservations], tree.boot_cpuid)
