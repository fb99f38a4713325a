"""The whole command line, as typer reads it: help, mistakes, completion, and every call that is not a plain one."""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from typing import Annotated, Any, Final

import typer

from dtanalyze.cli.commands import COMMANDS, COMPLETING, module_of
from dtanalyze.cli.console import LeaveError, OutputLostError, complain, note, say
from dtanalyze.cli.groups import GroupedCommand, SettledCommand, grouped
from dtanalyze.version import __version__

__all__ = ["application", "through_typer"]

_ClickError: Final[type[BaseException]] = next(
    item for item in typer.BadParameter.__mro__ if item.__name__ == "ClickException"
)
"""What a wrong call raises; typer exports only what is below it, and brings its own copy of click from 0.26 on."""
_HELP: Final = """Tell before boot what Linux on Xen does with a devicetree's extended regions.

Exit status: 0 nothing at or above --fail-on, 1 findings at or above it, 2 usage or unreadable input.
"""


def _version(wanted: bool) -> None:
    if wanted:
        say(f"dtanalyze {__version__}\n")
        raise LeaveError(0)


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    del version


def application(argv: list[str]) -> typer.Typer:
    """Return the application with the command that ``argv`` calls, with all of them where it calls none."""
    wanted = next((item for item in argv if not item.startswith("-")), None)
    names = (wanted,) if wanted in COMMANDS else COMMANDS
    app = typer.Typer(
        name="dtanalyze",
        help=_HELP,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=len(names) > 1,  # its two options belong to no command
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for name in names:
        module = module_of(name)
        command = grouped(module.command)
        if COMPLETING in os.environ:
            from dtanalyze.cli.completion import offering

            command = offering(command)
        kind = SettledCommand if hasattr(module, "SETTINGS") else GroupedCommand
        app.command(name, cls=kind, epilog=module.EPILOG)(command)
    return app


def through_typer(argv: list[str]) -> int:
    """Run the command line and return its exit status; what is wrong with the call is said."""
    if not argv and COMPLETING not in os.environ:  # the help goes where complaints go
        with redirect_stdout(sys.stderr):
            through_typer(["--help"])
        return 2
    if sys.stdout is None and not {"-h", "--help"}.isdisjoint(argv):  # typer would say it to nobody, and that all went well
        raise OutputLostError("standard output is closed")
    try:
        status = application(argv)(argv, prog_name="dtanalyze", standalone_mode=False)
    except _ClickError as error:
        said: Any = error
        if getattr(said, "ctx", None) is not None:
            note(f"{said.ctx.get_usage()}\n")
        complain(said.format_message())
        return 2
    except SystemExit as left:  # typer's way out when the reader of a help text has left
        return 2 if left.code == 1 else int(left.code or 0)
    return status if isinstance(status, int) else 0
