"""``dtanalyze explain``."""

from typing import Annotated, Final

from dtanalyze.cli import options
from dtanalyze.cli.console import say
from dtanalyze.cli.option import Argument
from dtanalyze.cli.run import usage_errors
from dtanalyze.report.glossary import Term, named, term_text

__all__ = ["EPILOG", "command"]

EPILOG: Final = """Examples:

dtanalyze explain X08

dtanalyze explain regions-not-ascending V-conflict

dtanalyze explain section "linear map"
"""


def command(
    codes: Annotated[
        list[str],
        Argument(metavar="WORD...", help="Rules by code or name, or terms.", show_default=False),
    ],
    color: options.ColorOption = "auto",
) -> None:
    """Explain rules and terms.

    Of a rule: what it finds, why it matters, what to do, sources, a bad and a good tree. Of a term: what it means.
    """
    from dtanalyze.report.rules import explain_text

    with usage_errors():
        style = options.style_from(color)
        found = [named(code) for code in codes]
    texts = [term_text(item, style=style) if isinstance(item, Term) else explain_text(item, style=style) for item in found]
    say("\n".join(texts))
