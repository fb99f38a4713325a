"""The catalogue of rules: as a table, as one page each, as the document in ``docs/``, as JSON."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any, Final

from dtanalyze.report.dts import dts_text
from dtanalyze.report.lines import WIDTH, wrapped
from dtanalyze.report.style import PLAIN, Style
from dtanalyze.rules.model import GUEST, HOST, TREE, Example, NotShown, Rule, Statement

__all__ = ["explain_text", "rule_page", "rules_json", "rules_markdown", "rules_text"]

HOME: Final = "https://github.com/dtanalyze/dtanalyze/blob/main/docs/rules.md"
"""Where the document is published; a rule's page is its heading there."""
_ON: Final = {
    TREE: "the layout of any tree",
    GUEST: "the tree that Linux boots with, given or written by Xen",
    HOST: "the tree that Xen boots with",
}
_ROOM: Final = 40
"""Columns that a sentence beside a table wants; narrower it is easier to read below."""
_CONTEXT: Final = 2
"""Lines of the tree shown around those that change."""


def rule_page(code: str) -> str:
    """Return the address of a rule's page."""
    return f"{HOME}#{code.lower()}"


def rules_text(
    rules: Iterable[Rule], statements: Iterable[Statement], *, style: Style = PLAIN, width: int = WIDTH
) -> str:
    """Return the rules, the verdicts first: what each finds on its line where ``width`` has room for it, else below it."""
    items: list[Rule | Statement] = [*statements, *rules]
    code, name = max(len(item.code) for item in items), max(len(item.name) for item in items)
    left = code + name + 14
    beside = width - left >= _ROOM
    lines = [style.bold(f"{'code':{code}}  {'severity':8}  {'name':{name}}{'  what' if beside else ''}".rstrip())]
    for item in items:
        head = f"{item.code:{code}}  {item.severity.label:8}  {item.name:{name}}"
        if beside:
            lines += wrapped(item.what, width, first=f"{head}  ", rest=" " * left)
        else:
            lines += [head.rstrip(), *wrapped(item.what, width, first=" " * (code + 2))]
    return "\n".join(lines) + "\n"


def explain_text(item: Rule | Statement | NotShown, *, style: Style = PLAIN) -> str:
    """Return a rule's page as text: what, why, what to do, sources, and both trees."""
    if isinstance(item, NotShown):
        return "\n".join(
            [style.bold(f"{item.code}: not reported"), "", *_wrapped(item.what + "."), *_wrapped(item.reason), ""]
        )
    parts = [style.bold(f"{item.code} {item.name} ({item.severity.label})"), "", *_wrapped(item.what), ""]
    if isinstance(item, Rule):
        parts += [style.bold("Why"), *_wrapped(item.why), ""]
    parts += [style.bold("What to do"), *_wrapped(item.advice or "Nothing."), ""]
    if isinstance(item, Rule):
        parts += [style.bold("Asked of"), f"  {_ON[item.on]}", "", style.bold("Sources")]
        parts += [f"  {source}" for source in item.sources]
        parts += ["", style.bold("From a bad tree (-) to a good one (+)"), *_asked(item), ""]
        parts += [textwrap.indent("\n".join(_changed(item)), "  "), ""]
    return "\n".join(parts)


def _asked(rule: Rule) -> list[str]:
    """Say what each tree is asked with; once where it is the same."""
    bad, good = _command(rule.bad), _command(rule.good)
    return [f"  {bad}"] if bad == good else [f"  bad:  {bad}", f"  good: {good}"]


def _changed(rule: Rule) -> list[str]:
    """Return the lines that make the bad tree a good one, with the nodes around them."""
    partial = bool(rule.bad.partial)
    trees = ((item.partial if partial else item.dts) for item in (rule.bad, rule.good))
    bad, good = (dts_text(tree).rstrip().splitlines() for tree in trees)
    lines = list(difflib.unified_diff(bad, good, lineterm="", n=_CONTEXT))[2:]
    return [line for line in lines if not line.startswith("@@")] or ["(the same tree: what it is asked with differs)"]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="  ")


def _command(example: Example) -> str:
    partial = ("--partial-dtb guest=partial.dtb",) if example.partial else ()
    config = ("--xl-config guest.cfg",) if example.config else ()
    return " ".join(["check --linux", example.linux, "--xen", example.xen, *example.asks, *partial, *config])


def rules_json(rules: Iterable[Rule], statements: Iterable[Statement], not_shown: Iterable[NotShown]) -> dict[str, Any]:
    """Return the catalogue as data."""
    items: list[Rule | Statement] = [*statements, *rules]
    return {
        "rules": [_rule_json(item) for item in items],
        "not_shown": [item._asdict() for item in not_shown],
    }


def _rule_json(item: Rule | Statement) -> dict[str, Any]:
    out: dict[str, Any] = {"code": item.code, "name": item.name, "severity": item.severity.label, "what": item.what}
    out["advice"] = item.advice
    out["page"] = rule_page(item.code)
    if isinstance(item, Rule):
        out["why"] = item.why
        out["on"] = item.on
        out["sources"] = [source._asdict() for source in item.sources]
        for name, example in (("bad", item.bad), ("good", item.good)):
            out[name] = {"dts": dts_text(example.dts), "options": _command(example).split()[1:]}
    return out


def rules_markdown(rules: tuple[Rule, ...], statements: Iterable[Statement], not_shown: Iterable[NotShown]) -> str:
    """Return the whole catalogue as a document; ``docs/rules.md`` is this text."""
    return "\n".join(_document(rules, tuple(statements), tuple(not_shown)))


def _document(rules: tuple[Rule, ...], statements: tuple[Statement, ...], not_shown: tuple[NotShown, ...]) -> Iterator[str]:
    yield "# Rules"
    yield ""
    yield "Made by `make docs` from the rules themselves; `dtanalyze explain CODE` prints one of them."
    yield ""
    yield "| code | severity | name |"
    yield "| --- | --- | --- |"
    items: list[Rule | Statement] = [*statements, *rules]
    for item in items:
        yield f"| [{item.code}](#{item.code.lower()}) | {item.severity.label} | {item.name} |"
    for statement in statements:
        yield from _heading(statement)
        if statement.advice:
            yield f"**What to do.** {statement.advice}"
    for rule in rules:
        yield from _heading(rule)
        yield f"**Why.** {rule.why}"
        yield ""
        yield f"**What to do.** {rule.advice}"
        yield ""
        yield f"Asked of {_ON[rule.on]}. Sources: " + "; ".join(f"`{source}`" for source in rule.sources) + "."
        yield ""
        yield "From a bad tree to a good one: " + "; ".join(f"`{line.strip()}`" for line in _asked(rule))
        yield ""
        yield "\n".join(["```diff", *_changed(rule), "```"])
    yield ""
    yield "## What no rule reports"
    for missing in not_shown:
        yield ""
        yield f"**{missing.code}. {missing.what}.** {missing.reason}"
    yield ""


def _heading(item: Rule | Statement) -> Iterator[str]:
    yield ""
    yield f"## {item.code}"
    yield ""
    yield f"**{item.name}** ({item.severity.label}). {item.what}"
    yield ""
