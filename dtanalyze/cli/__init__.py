"""The command line: argv, stdout and exit status.

A command's module is imported only when the command is called, since start-up is most of the time a check takes.
"""

from __future__ import annotations

import errno
import gc
import os
import signal
import sys

# Modules and trees live until the process ends: collecting while they are built finds nothing and costs a tenth of it.
gc.set_threshold(100_000)

from typing import Final, NoReturn  # noqa: E402  # after the line above, which is the point of it

from dtanalyze.cli.call import wants_debug  # noqa: E402  # likewise
from dtanalyze.cli.commands import COMMANDS, COMPLETING, module_of  # noqa: E402  # likewise
from dtanalyze.cli.console import LeaveError, OutputLostError, ReaderLeftError, complain, hold_streams, mute  # noqa: E402  # likewise
from dtanalyze.cli.plain import plain_call  # noqa: E402  # likewise
from dtanalyze.cli.replacing import WRITTEN  # noqa: E402  # likewise
from dtanalyze.errors import DtanalyzeError  # noqa: E402  # likewise
from dtanalyze.inputs.reading import forget  # noqa: E402  # likewise

__all__ = ["main", "run"]

_OF_OUTPUT: Final = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EBADF, errno.EIO, errno.EPIPE)
"""What a stream that does not take what is written says of itself."""


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
        if not _plainly(args):
            from dtanalyze.cli.application import through_typer

            return through_typer(args)
    except LeaveError as left:
        return left.status
    except (OutputLostError, ReaderLeftError):
        raise
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
    return 0


def _plainly(args: list[str]) -> bool:
    """Run a call that needs no typer; return whether it was one."""
    if not args or args[0] not in COMMANDS or COMPLETING in os.environ:
        return False
    module = module_of(args[0])
    given = plain_call(module.command, args[1:], settings=hasattr(module, "SETTINGS"))
    if given is None:
        return False
    module.command(**given)
    return True


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
