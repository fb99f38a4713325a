"""The command line: argv, stdout and exit status.

A command's module is imported only when the command is called, since start-up is most of the time a check takes.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys

# Modules and trees live until the process ends: collecting while they are built finds nothing and costs a tenth of it.
gc.set_threshold(100_000)

from typing import Annotated, Final, NoReturn  # noqa: E402  # after the line above, which is the point of it

import typer  # noqa: E402  # likewise

from dtanalyze.cli.groups import GroupedCommand, grouped  # noqa: E402  # likewise
from dtanalyze.version import __version__  # noqa: E402  # likewise

__all__ = ["main", "run"]

VARIABLE: Final = "_DTANALYZE_COMPLETE"
"""Set by a shell that asks what it may offer."""
COMMANDS: Final = ("check", "predict", "map", "addresses", "diff", "rules", "explain", "selftest", "fix", "overlaps")
_HELP: Final = """Tell before boot what Linux on Xen does with a devicetree's extended regions.

Exit status: 0 nothing at or above --fail-on, 1 findings at or above it, 2 usage or unreadable input.
"""


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dtanalyze {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    del version


def _app(argv: list[str]) -> typer.Typer:
    wanted = next((item for item in argv if not item.startswith("-")), None)
    names = (wanted,) if wanted in COMMANDS else COMMANDS
    app = typer.Typer(
        name="dtanalyze",
        help=_HELP,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=len(names) > 1,  # its two options belong to no command
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for name in names:
        module = importlib.import_module(f"dtanalyze.cli.{name}")
        command = grouped(module.command)
        if VARIABLE in os.environ:
            from dtanalyze.cli.completion import offering

            command = offering(command)
        app.command(name, cls=getattr(module, "COMMAND_CLASS", GroupedCommand), epilog=module.EPILOG)(command)
    return app


def main(argv: list[str] | None = None) -> None:
    """Run the command line and leave with its exit status."""
    args = sys.argv[1:] if argv is None else argv
    try:
        _app(args)(args, prog_name="dtanalyze")
    except BrokenPipeError:
        # The reader of our output has gone (``| head``); point stdout elsewhere so that the exit flush is silent.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def run() -> NoReturn:
    """Be the process: run the command line and end at once.

    Taking modules and trees apart one by one before the process ends takes a fifth of a check and serves nobody.
    """
    status = 1
    try:
        main()
        status = 0
    except SystemExit as left:
        status = left.code if isinstance(left.code, int) else int(left.code is not None)
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        status = 1
    os._exit(status)
