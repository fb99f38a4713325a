"""``dtanalyze explain``."""

import difflib
from typing import Annotated, Final

import typer

from dtanalyze.cli import options
from dtanalyze.cli.run import usage_errors
from dtanalyze.errors import UsageError
from dtanalyze.rules.model import NotShown, Rule, Statement
from dtanalyze.rules.registry import ALL_RULES, NOT_SHOWN
from dtanalyze.verdicts import STATEMENTS

__all__ = ["EPILOG", "command"]

EPILOG: Final = """Examples:

dtanalyze explain X08

dtanalyze explain regions-not-ascending V-conflict
"""


def command(
    codes: Annotated[list[str], typer.Argument(metavar="RULE...", help="Codes or names of rules.", show_default=False)],
    color: options.ColorOption = "auto",
) -> None:
    """Explain rules.

    What they find, why it matters, what to do, sources, a bad and a good tree.
    """
    from dtanalyze.report.rules import explain_text

    with usage_errors():
        style = options.style_from(color)
        found = [_rule(code) for code in codes]
    typer.echo("\n".join(explain_text(item, style=style) for item in found), nl=False, color=True)


def _rule(text: str) -> Rule | Statement | NotShown:
    named: list[Rule | Statement] = [*ALL_RULES, *STATEMENTS]
    listed: list[Rule | Statement | NotShown] = [*named, *NOT_SHOWN]
    known = {item.code.lower(): item for item in listed}
    known.update((item.name, item) for item in named)
    found = known.get(text.lower())
    if found is None:
        near = difflib.get_close_matches(text.lower(), known, 1)
        hint = f"; the nearest is {known[near[0]].code}" if near else "; dtanalyze rules lists them"
        raise UsageError(f"no rule is called '{text}'{hint}")
    return found
