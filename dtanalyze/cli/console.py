"""The two streams. Standard output that is lost is one sentence and status 2; a reader that has left needs none.

Text goes out as UTF-8 whatever the locale is, so that equal answers are equal bytes.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Final, NoReturn

from dtanalyze.errors import DtanalyzeError

__all__ = ["LeaveError", "OutputLostError", "ReaderLeftError", "complain", "fail", "hold_streams", "mute", "note", "say"]

_LOST: Final = "standard output"
_MOST: Final = 1000
"""Characters of one line that is said: what a call or a file puts into it may be of any length."""


class OutputLostError(DtanalyzeError):
    """Standard output does not take what is written: a full disk, a closed stream."""


class ReaderLeftError(Exception):
    """Whoever read standard output has gone (``| head``): there is nobody to tell."""


class LeaveError(Exception):
    """The command has nothing more to do: the way out, with the exit status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def hold_streams() -> None:
    """Give a closed standard stream's number to something that neither takes nor gives a byte.

    The next file or pipe would get it otherwise, and be taken for the stream. Python has looked already, so that ours
    stay known as closed.
    """
    for descriptor, mode in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_RDONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, mode)  # the lowest number that is free


def say(text: str) -> None:
    """Write to standard output, at once; raise `OutputLostError` or `ReaderLeftError` when it is not taken."""
    if sys.stdout is None:
        raise OutputLostError(f"{_LOST} is closed")
    data = text.encode("utf-8", "backslashreplace")
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError as error:
        raise ReaderLeftError from error
    except OSError as error:
        raise OutputLostError(f"{_LOST}: {error.strerror or error}") from error


def complain(message: str) -> None:
    """Say something on standard error: one line, whatever the names in it are. When that is lost, nobody listens."""
    from dtanalyze.report.foreign import visible

    said = visible(message)
    if len(said) > _MOST:
        said = f"{said[:_MOST]} … ({len(said)} characters)"
    note(f"dtanalyze: {said}\n")


def fail(message: str) -> NoReturn:
    """Say what is wrong with the call and leave with status 2."""
    complain(message)
    raise LeaveError(2)


def note(text: str) -> None:
    """Write lines that are `visible` already to standard error."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(text.encode("utf-8", "replace").decode("utf-8"))
            sys.stderr.flush()


def mute() -> None:
    """Point standard output elsewhere: what is still buffered must not fail again when the process ends."""
    if sys.stdout is not None:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
