"""``dtanalyze rules``."""

from typing import Annotated, Final

from dtanalyze.cli import options
from dtanalyze.cli.console import say
from dtanalyze.cli.option import Option
from dtanalyze.cli.run import usage_errors
from dtanalyze.rules.registry import ALL_RULES, NOT_SHOWN
from dtanalyze.verdicts import STATEMENTS
from dtanalyze.version import __version__

__all__ = ["EPILOG", "command"]

EPILOG: Final = """Examples:

dtanalyze rules

dtanalyze rules --format json
"""


def command(
    format_: Annotated[str, Option("--format", metavar="text|json|markdown", help="How to print the catalogue.")] = "text",
    color: options.ColorOption = "auto",
) -> None:
    """List every rule: code, severity, name, what it finds."""
    from dtanalyze.report.rules import rules_json, rules_markdown, rules_text

    with usage_errors():
        options.choice(format_, ("text", "json", "markdown"), "--format")
        style = options.style_from(color)
    if format_ == "json":
        import json

        from dtanalyze.report.json import SCHEMA_VERSION

        answer = {"schema_version": SCHEMA_VERSION, "tool": {"name": "dtanalyze", "version": __version__}}
        say(json.dumps({**answer, **rules_json(ALL_RULES, STATEMENTS, NOT_SHOWN)}, indent=1) + "\n")
    elif format_ == "markdown":
        say(rules_markdown(ALL_RULES, STATEMENTS, NOT_SHOWN))
    else:
        say(rules_text(ALL_RULES, STATEMENTS, style=style))
