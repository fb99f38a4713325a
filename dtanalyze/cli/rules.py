"""``dtanalyze rules``."""

from typing import TYPE_CHECKING, Annotated, Any, Final

from dtanalyze.cli import options
from dtanalyze.cli.console import say
from dtanalyze.cli.option import Option
from dtanalyze.cli.outputs import columns
from dtanalyze.cli.run import usage_errors
from dtanalyze.cli.values import choice
from dtanalyze.rules.registry import ALL_RULES, NOT_SHOWN
from dtanalyze.verdicts import STATEMENTS
from dtanalyze.version import __version__

if TYPE_CHECKING:
    from dtanalyze.report.style import Style

__all__ = ["EPILOG", "command"]

EPILOG: Final = """Examples:

dtanalyze rules

dtanalyze rules --format json

dtanalyze rules --refusals
"""


def command(
    format_: Annotated[str, Option("--format", metavar="text|json|markdown", help="How to print the catalogue.")] = "text",
    refusals_: Annotated[
        bool,
        Option("--refusals", help="List where Xen says no instead: which stage mirrors it, and what is not modelled."),
    ] = False,
    color: options.ColorOption = "auto",
) -> None:
    """List every rule: code, severity, name, what it finds."""
    with usage_errors():
        choice(format_, ("text", "json", "markdown"), "--format")
        style = options.style_from(color)
    say(_refusals(format_, style) if refusals_ else _rules(format_, style))


def _rules(format_: str, style: "Style") -> str:
    from dtanalyze.report.rules import rules_json, rules_markdown, rules_text

    if format_ == "json":
        return _json(rules_json(ALL_RULES, STATEMENTS, NOT_SHOWN))
    if format_ == "markdown":
        return rules_markdown(ALL_RULES, STATEMENTS, NOT_SHOWN)
    return rules_text(ALL_RULES, STATEMENTS, style=style, width=columns())


def _refusals(format_: str, style: "Style") -> str:
    from dtanalyze.report.refusals import refusals_json, refusals_markdown, refusals_text
    from dtanalyze.xen.refusals import refusals

    if format_ == "json":
        return _json(refusals_json(refusals()))
    if format_ == "markdown":
        return refusals_markdown(refusals())
    return refusals_text(refusals(), style=style, width=columns())


def _json(content: dict[str, Any]) -> str:
    import json

    from dtanalyze.report.json import SCHEMA_VERSION

    answer = {"schema_version": SCHEMA_VERSION, "tool": {"name": "dtanalyze", "version": __version__}}
    return json.dumps({**answer, **content}, indent=1) + "\n"
