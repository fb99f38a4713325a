"""Offers as the source of a devicetree overlay, as text and as data: what each cures, before and after, what it assumes."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import Any, Final

from dtanalyze.address.units import counted
from dtanalyze.causes import folded
from dtanalyze.facts import CheckResult, Edit, Fix, Offer
from dtanalyze.findings import Change, Cure, Finding, Severity
from dtanalyze.linux.boot import Verdict
from dtanalyze.report.foreign import document, visible
from dtanalyze.report.json import finding_json
from dtanalyze.report.lines import WIDTH, command_lines, fitted
from dtanalyze.rules.cures.changes import body_lines, stated_value

__all__ = ["fix_json", "overlay_text", "summary_text"]

_LONG: Final = 600
_WIDE: Final = 160
"""Characters of a statement of which each word is shown; of a longer one what both sides have is left out."""
_KEPT: Final = 4
"""Words at either end of what is left out."""
_TEMPLATE: Final = "&{{{}}} {{"


def overlay_text(fix: Fix, path: str) -> str:
    """Return the overlay that makes the changes; dtc compiles it (``dtc -I dts -O dtb``), fdtoverlay applies it.

    It names nodes by their paths, so that the tree needs no ``__symbols__``. What no overlay can say is a comment there.
    """
    lines = ["/dts-v1/;", "/plugin/;", ""]
    if not fix.edits:
        lines += [f"/* nothing to change in {_comment(path)} */"]
    lines += [
        f"/* fix --apply does this: {_comment(f'{edit.change}')} ({_comment(edit.unsaid)}) */" for edit in _unsaid(fix)
    ]
    said = [edit for edit in fix.edits if not edit.unsaid]
    if not said:
        lines += ["/ {", "};"]
    for anchor in dict.fromkeys(edit.anchor for edit in said):
        lines.append(_TEMPLATE.format(anchor))
        lines += [f"\t{line}" for line in body_lines(anchor, [edit.change for edit in said if edit.anchor == anchor])]
        lines += ["};", ""]
    return "\n".join(lines).rstrip() + "\n"


def _unsaid(fix: Fix) -> list[Edit]:
    return [edit for edit in fix.edits if edit.unsaid]


def _comment(text: str) -> str:
    return visible(text).replace("*/", "* /")


def summary_text(fix: Fix, path: str, asked: Iterable[str] = (), *, made: bool = False, width: int = WIDTH) -> str:
    """Say what the changes do: each offer with before and after, then verdict and counts, domain by domain.

    ``made`` tells that they were made already, so that no command for it is wanted.
    """
    lines = [f"{path}: {counted(len(fix.edits), 'change')}"]
    old = {(edit.change.node, edit.change.prop): edit for edit in fix.edits}
    for offer in fix.offers:
        lines += _offer(offer, old)
    for before, after, new in zip(fix.before, fix.after, fix.new, strict=False):
        lines.append(
            f"  {_of_which(before, fix)}: {before.verdict.value} ({_counts(before)}) -> {after.verdict.value} "
            f"({_counts(after)})"
        )
        lines += _open(after)
        shown = folded(after).findings
        lines += _new([item for item in shown if item in new], stopped=before.verdict is Verdict.NO_BOOT)
        lines += _all_left([item for item in shown if item not in new], fix)
    if _unsaid(fix) and not path.endswith(".dts"):
        lines.append(
            f"  not in the overlay: {len(_unsaid(fix))} of {counted(len(fix.edits), 'change')}, which `--apply` makes:"
        )
        for why in dict.fromkeys(edit.unsaid for edit in _unsaid(fix)):
            first, *others = [edit.change for edit in _unsaid(fix) if edit.unsaid == why]
            lines.append(f"    {first.node}: {first.prop}{f' (and {len(others)} more)' if others else ''}: {why}")
    lines = [lines[0], *fitted(lines[1:], width)]
    if fix.edits and not made:
        how = ("--write",) if path.endswith(".dts") else ("--apply", "fixed.dtb")
        words = [shlex.quote(item) for item in ("dtanalyze", "fix", path, *asked, *how)]
        lines += command_lines(words, width, label="  to apply:")
    return document(lines)


def _of_which(result: CheckResult, fix: Fix) -> str:
    """Name the domain, and what of the question tells it from the others."""
    xen, linux = ({getattr(item, name) for item in fix.before} for name in ("xen", "linux"))
    more = [f"Xen {result.xen}"] if len(xen) > 1 else []
    more += [f"Linux {result.linux.name}"] if len(linux) > 1 else []
    named = result.domain or result.tree
    return f"{named} ({', '.join(more)})" if more else named


def _offer(offer: Offer, edits: dict[tuple[str, str], Edit]) -> Iterator[str]:
    for rule in dict.fromkeys(item.rule for item in offer.cured):
        found = [item for item in offer.cured if item.rule == rule]
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        yield f"  cures {rule} {found[0].name}: {found[0].message}{more}"
    for change in offer.cure.changes:
        edit = edits.get((change.node, change.prop))
        if edit is None or edit.change != change:
            yield f"    {change.node}: {_short(change.statement)} (another change to it follows)"
            continue
        yield f"    {change.node}:"
        old, new = _side_by_side(_before(edit), change.statement)
        yield f"      - {_short(old)}"
        yield f"      + {_short(new)}"
    if offer.cure.assumes:
        yield f"    assumed: {offer.cure.assumes}"
    if offer.cure.besides:
        yield f"    beside it: {offer.cure.besides}"
    for cure, why in offer.others:
        yield f"    or: {_short(str(cure))}{f' (not offered: {why})' if why else ''}"


def _before(edit: Edit) -> str:
    prop, old = edit.change.prop, edit.old
    if old is None:
        return f"no {prop}" if edit.anchor == edit.change.node else "no such node"
    return str(Change("", prop, old, stated_value(old))).removeprefix(": ")


def _side_by_side(old: str, new: str) -> tuple[str, str]:
    """Return two long statements without most of the words that they begin and end with alike."""
    if max(len(old), len(new)) <= _WIDE:
        return old, new
    one, other = old.split(" "), new.split(" ")
    first = _alike(one, other)
    last = _alike(one[:first - 1 : -1], other[:first - 1 : -1]) if first else _alike(one[::-1], other[::-1])
    return _elided(one, first, last), _elided(other, first, last)


def _alike(one: list[str], other: list[str]) -> int:
    """Return how many words two lists begin with alike."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _elided(words: list[str], first: int, last: int) -> str:
    head, middle, tail = words[:first], words[first : len(words) - last], words[len(words) - last :]
    return " ".join((*_ends(head), *middle, *_ends(tail)))


def _ends(words: list[str]) -> list[str]:
    hidden = len(words) - 2 * _KEPT
    return words if hidden <= _KEPT else [*words[:_KEPT], f"… {hidden} more …", *words[-_KEPT:]]


def _short(text: str) -> str:
    return text if len(text) <= _LONG else f"{text[: _LONG - 1]}…"


def _open(result: CheckResult) -> Iterator[str]:
    """Yield what stays open with the changes made: other starts, other seeds."""
    if result.alternatives:
        every = (f"{item.verdict.value} with {counted(item.sections, 'section')}" for item in result.alternatives)
        said = " or ".join(dict.fromkeys(every))
        yield f"    open: it may also come out as {said}"


def _new(findings: list[Finding], *, stopped: bool) -> Iterator[str]:
    """Say what is found now and was not before: errors and warnings each, and how much that is for information."""
    since = "seen now that Xen boots" if stopped else "new"
    for item in findings:
        if item.severity is not Severity.INFO:
            yield f"    {since}: {item.severity.value} {item.rule} {item.name}: {item.message}"
    rules = Counter(f"{item.rule} {item.name}" for item in findings if item.severity is Severity.INFO)
    if rules:
        yield f"    {since}, for information: {', '.join(f'{name} ({count})' for name, count in rules.items())}"


def _all_left(findings: list[Finding], fix: Fix) -> Iterator[str]:
    """Say of errors, warnings and what has a cure why nothing is changed; what has one advice is told once."""
    told: dict[tuple[str, str], list[Finding]] = {}
    for number, item in enumerate(findings):
        if item.severity is not Severity.INFO or item.cures:
            told.setdefault((item.rule, f"{number}" if item.cures else item.advice), []).append(item)
    for first, *others in told.values():
        yield from _left(first, len(others), fix)


def _left(finding: Finding, others: int, fix: Fix) -> Iterator[str]:
    more = f" (and {others} more)" if others else ""
    yield f"    left: {finding.rule} {finding.name}: {finding.message}{more}{_advice(finding)}"
    why = dict(fix.refused)
    for cure in finding.cures[:3]:
        if cure in why:
            yield f"      not offered: {_short(str(cure))}: {why[cure]}"


def _advice(finding: Finding) -> str:
    if finding.cures:
        return ""
    return f"; no change of the tree is known for it{f': {finding.advice}' if finding.advice else ''}"


def _counts(result: CheckResult) -> str:
    found = folded(result).findings  # a cause counts once, as in the report of check
    errors = sum(item.severity is Severity.ERROR for item in found)
    warnings = sum(item.severity is Severity.WARNING for item in found)
    return f"{counted(errors, 'error')}, {counted(warnings, 'warning')}"


def fix_json(fix: Fix, path: str) -> dict[str, Any]:
    """Return the same as data."""
    return {
        "path": path,
        "overlay": overlay_text(fix, path) if fix.edits else None,
        "edits": [
            {
                **_change(edit.change),
                "before": None if edit.old is None else stated_value(edit.old),
                "not_in_overlay": edit.unsaid or None,
            }
            for edit in fix.edits
        ],
        "offers": [_offer_json(offer) for offer in fix.offers],
        "results": [
            {**_result(old, new), "new": [finding_json(item) for item in more]}
            for old, new, more in zip(fix.before, fix.after, fix.new, strict=False)
        ],
        "left": [
            {**finding_json(item), "refused": [{**_cure(one), "why": why} for one, why in fix.refused if one in item.cures]}
            for result in fix.after
            for item in folded(result).findings
            if item.severity is not Severity.INFO or item.cures
        ],
    }


def _offer_json(offer: Offer) -> dict[str, Any]:
    return {
        **_cure(offer.cure),
        "cures": [finding_json(item) for item in offer.cured],
        "alternatives": [{**_cure(cure), "refused": why or None} for cure, why in offer.others],
    }


def _cure(cure: Cure) -> dict[str, Any]:
    changes = [_change(item) for item in cure.changes]
    return {"changes": changes, "assumes": cure.assumes or None, "besides": cure.besides or None}


def _change(change: Change) -> dict[str, Any]:
    return {"node": change.node, "property": change.prop, "dts": change.text, "deleted": change.value is None}


def _result(old: CheckResult, new: CheckResult) -> dict[str, Any]:
    return {
        "domain": new.domain,
        "linux": new.linux.name,
        "xen": new.xen,
        "iommu": new.iommu,
        "verdict": {"before": old.verdict.value, "after": new.verdict.value},
        "reason": new.reason,
    }
