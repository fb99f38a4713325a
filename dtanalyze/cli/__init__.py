"""The command line: argv, stdout and exit status.

A command's module is imported only when the command is called, since start-up is most of the time a check takes.
"""

from __future__ import annotations

import errno
import gc
import importlib
import os
import signal
import sys

# Modules and trees live until the process ends: collecting while they are built finds nothing and costs a tenth of it.
gc.set_threshold(100_000)

from typing import Annotated, Any, Final, NoReturn  # noqa: E402  # after the line above, which is the point of it

import typer  # noqa: E402  # likewise

from dtanalyze.cli.console import OutputLostError, ReaderLeftError, complain, hold_streams, mute, note, say  # noqa: E402  # likewise
from dtanalyze.cli.groups import GroupedCommand, grouped, wants_debug  # noqa: E402  # likewise
from dtanalyze.cli.replacing import WRITTEN  # noqa: E402  # likewise
from dtanalyze.errors import DtanalyzeError  # noqa: E402  # likewise
from dtanalyze.inputs.reading import forget  # noqa: E402  # likewise
from dtanalyze.version import __version__  # noqa: E402  # likewise

__all__ = ["main", "run"]

VARIABLE: Final = "_DTANALYZE_COMPLETE"
"""Set by a shell that asks what it may offer."""
_ClickError: Final[type[BaseException]] = next(
    item for item in typer.BadParameter.__mro__ if item.__name__ == "ClickException"
)
"""What a wrong call raises; typer exports only what is below it, and brings its own copy of click from 0.26 on."""
_OF_OUTPUT: Final = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EBADF, errno.EIO, errno.EPIPE)
"""What a stream that does not take what is written says of itself."""
COMMANDS: Final = (
    "check",
    "predict",
    "verify",
    "collect",
    "map",
    "addresses",
    "diff",
    "rules",
    "explain",
    "selftest",
    "fix",
    "overlaps",
)
_HELP: Final = """Tell before boot what Linux on Xen does with a devicetree's extended regions.

Exit status: 0 nothing at or above --fail-on, 1 findings at or above it, 2 usage or unreadable input.
"""


def _version(wanted: bool) -> None:
    if wanted:
        say(f"dtanalyze {__version__}\n")
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
    forget()
    WRITTEN.clear()
    try:
        sys.exit(_status(args))
    except ReaderLeftError:
        mute()
        sys.exit(2)
    except OutputLostError as error:
        complain(str(error))
        mute()
        sys.exit(2)


def _status(args: list[str]) -> int:
    """Return the exit status; what is wrong with the call is said, and so is a defect of ours outside of every input."""
    try:
        os.getcwd()
    except OSError as error:
        complain(f"the working folder: {error.strerror or error}")
        return 2
    try:
        status = _app(args)(args, prog_name="dtanalyze", standalone_mode=False)
    except _ClickError as error:
        said: Any = error
        if getattr(said, "ctx", None) is not None:
            note(f"{said.ctx.get_usage()}\n")
        complain(said.format_message())
        return 2
    except (OutputLostError, ReaderLeftError):
        raise
    except SystemExit as left:  # typer's way out when the reader of a help text has left
        return 2 if left.code == 1 else int(left.code or 0)
    except OSError as error:
        where = error.filename or ("standard output" if error.errno in _OF_OUTPUT else "the system")
        complain(f"{where}: {error.strerror or error}")
        return 2
    except DtanalyzeError as error:
        complain(str(error))
        return 2
    except Exception as error:  # noqa: BLE001  # the last place where it can become a sentence
        if wants_debug():
            from dtanalyze.cli.run import complain_of

            complain_of(error)
        what = type(error).__name__
        complain(f"internal error: {what}: please report it, with the call; --debug shows where it comes from")
        return 2
    return status if isinstance(status, int) else 0


def _ended_by(number: int, _frame: object) -> NoReturn:
    """End as the shell says that a signal ended us, once what was begun is cleaned up."""
    sys.exit(128 + number)


def run() -> NoReturn:
    """Be the process: run the command line and end at once.

    Taking modules and trees apart one by one before the process ends takes a fifth of a check and serves nobody.
    """
    hold_streams()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _ended_by)
    status = 2
    try:
        main()
    except SystemExit as left:
        status = left.code if isinstance(left.code, int) else int(left.code is not None)
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
    os._exit(max(status, _flushed()))


def _flushed() -> int:
    """Flush both streams; return 2 when standard output is lost, after saying so."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        return 2
    except OSError as error:
        complain(f"standard output: {error.strerror or error}")
        return 2
    return 0
