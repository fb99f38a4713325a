"""What to do about the findings of a result: one entry for one cause, the command that makes the change at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from dtanalyze.address.units import counted
from dtanalyze.causes import cause_keys, grouped
from dtanalyze.facts import CheckResult
from dtanalyze.findings import Finding, Severity
from dtanalyze.report.lines import command_lines, sentence, wrapped
from dtanalyze.report.naming import written_at
from dtanalyze.rules.model import QUOTES_XEN

if TYPE_CHECKING:
    from dtanalyze.report.whole import Report

__all__ = ["advice_lines"]

_ERRORS: Final = 4
_WARNINGS: Final = 2
_PLACES: Final = 2
"""So many causes, and places of one, are told; more are counted."""


_CHANGE: Final = {
    "source": "  The change in the source:",
    "tree": "  The tree with the change:",  # a property that goes, which no overlay can say
    "overlay": "  The change as an overlay:",
}


def advice_lines(result: CheckResult, report: Report, first: CheckResult | None = None) -> list[str]:
    """Return what was found and what to do about it, the cause of the verdict first.

    ``first`` is the result of the first domain, None where it is not at hand.
    """
    groups = grouped(result)
    keys = cause_keys(result)
    shown = groups if report.verbose else tuple(_chosen(groups))
    lines = [line for group in shown for line in _cause(result, group, keys[id(group[0])], report)]
    hidden = [group for group in groups if group not in shown]
    if hidden:
        lines += wrapped(_counted(hidden), report.width, first="  ")
    if groups:
        lines += list(_commands(result, shown, report))
    return lines + list(_of_another(result, report, first))


def _of_another(result: CheckResult, report: Report, first: CheckResult | None) -> Iterator[str]:
    """Name a cause that this report does not state: what stops Xen over one domain stops it for all, or it is left out."""
    cause = result.cause
    if cause is None or _states(result, cause):
        return
    said = _states(first, cause) if first is not None else result.tree == "host"
    where = "As said of the first domain" if said else "Its cause is known or not selected, and left out"
    at = f" at {cause.node}" if cause.node else ""
    yield from wrapped(f"{where}: {cause.severity.label} {cause.rule} {cause.name}{at}.", report.width, first="  ")


def _states(result: CheckResult, cause: Finding) -> bool:
    return any((item.rule, item.node) == (cause.rule, cause.node) for item in result.findings)


def _chosen(groups: tuple[tuple[Finding, ...], ...]) -> Iterator[tuple[Finding, ...]]:
    """Yield the first errors and warnings; notes are counted."""
    seen: Counter[Severity] = Counter()
    most = {Severity.ERROR: _ERRORS, Severity.WARNING: _WARNINGS, Severity.INFO: 0}
    if all(_worst(group) is Severity.INFO for group in groups):
        most[Severity.INFO] = 1
    for group in groups:
        severity = _worst(group)
        seen[severity] += 1
        if seen[severity] <= most[severity]:
            yield group


def _worst(group: tuple[Finding, ...]) -> Severity:
    return max(item.severity for item in group)


def _cause(result: CheckResult, group: tuple[Finding, ...], key: str, report: Report) -> Iterator[str]:
    """Say one cause: which rules, what is so, what to do."""
    width, indent = report.width, " " * (len(key) + 3)
    severity = _worst(group)
    rules = list(dict.fromkeys((item.rule, item.name) for item in group))
    nodes = {item.node for item in group}
    # The node stands in the message; a heading that repeats it would double every long path.
    (code, name), *others = rules
    more = f" ({', '.join(item for item, _ in others)} too)" if others else ""
    places = Counter((item.rule, item.message) for item in group if item.rule == code)
    times = f", {len(places)} places" if len(places) > 1 else ""
    head = wrapped(f"{severity.label} {code} {name}{more}{times}", width, first=f"  {key} ", rest=indent)
    yield head[0].replace(severity.label, report.style.severity(severity.label, severity.label), 1)
    yield from head[1:]
    messages = (_message(item, nodes, result.reason) for item in group if item.rule == code)
    told = [item for item in dict.fromkeys(messages) if item]
    most = len(told) if report.verbose else _PLACES
    for text in told[:most]:
        yield from wrapped(text, width, first=indent)
    if len(told) > most:
        yield f"{indent}… and {len(told) - most} more (--verbose)"
    for advice in dict.fromkeys(item.advice for item in group if item.rule == code and item.advice):
        yield from wrapped(advice, width, first=f"{indent}Do: ", rest=indent + "    ")


def _message(item: Finding, nodes: set[str | None], reason: str) -> str:
    named = len(nodes) == 1 or item.node is None or item.node in item.message
    said = _unsaid(item.message if named else f"{item.node}: {item.message}", reason)
    # A file keeps its own letters: terminals and editors open it by name.
    where = written_at(item)
    return ": ".join(item for item in (where, said) if item)


def _unsaid(message: str, reason: str) -> str:
    """Return what of a message the reason of the verdict, a few lines above, has not said; empty when it has said all."""
    head, _, quoted = message.partition(QUOTES_XEN)
    left = head if quoted and quoted in reason else message
    return "" if left in reason else sentence(left)


def _counted(hidden: list[tuple[Finding, ...]]) -> str:
    kinds = Counter(_worst(group) for group in hidden)
    parts = []
    for severity, noun in ((Severity.ERROR, "error"), (Severity.WARNING, "warning"), (Severity.INFO, "note")):
        codes = sorted({group[0].rule for group in hidden if _worst(group) is severity})
        if kinds[severity]:
            parts.append(f"{counted(kinds[severity], noun)} ({', '.join(codes)})")
    return f"{len(hidden)} more: {', '.join(parts)}; --verbose tells them"


def _commands(result: CheckResult, shown: tuple[tuple[Finding, ...], ...], report: Report) -> Iterator[str]:
    """Yield the commands that go on from here: the change as an overlay, and why."""
    width = report.width
    is_a_file = not result.inside and result.path not in ("-", "<bytes>")
    changes = [change for item in result.findings for cure in item.cures[:1] for change in cure.changes]
    if is_a_file and changes:
        import shlex  # needed where there is something to fix

        words = [shlex.quote(item) for item in ("dtanalyze", "fix", result.path, *report.asked)]
        if result.path.endswith(".dts"):
            label, more = "source", ["--diff"]
        elif any(item.value is None for item in changes):
            label, more = "tree", ["--apply", "fixed.dtb"]
        else:
            label, more = "overlay", [">", "fix.dtso"]
        yield from command_lines([*words, *more], width, label=_CHANGE[label])
    codes = [code for code in dict.fromkeys(group[0].rule for group in shown) if not code.startswith("V-")][:3]
    if codes:
        yield from command_lines(["dtanalyze", "explain", *codes], width, label="  Why, with sources:")
