"""What a worker of a cluster does with an input: hand it to a process of its own that holds it to its limits.

Limits on CPU time and memory are a process's, and a signal reaches a main thread only; a worker has many threads, and would
be lost with the first tree that takes too much. So each of its threads keeps a process that answers one input after
another, and ends with its standard input.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any, Final, NoReturn

from dtanalyze.errors import InputFailure
from dtanalyze.inputs.files import Given
from dtanalyze.version import __version__

__all__ = ["answered"]

Work = Callable[[Given], tuple[list[Any], list[InputFailure]]]
_PLACE: Final = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_SERVE: Final = "import sys; sys.path.append(sys.argv[1]); from dtanalyze.cli.serving import serve; serve()"
"""The process finds what this one has found, and looks into no working folder, where anybody's modules may lie (``-P``)."""
_OF_THREAD: Final = threading.local()


def answered(work: Work, given: Given) -> tuple[str, tuple[list[Any], list[InputFailure]]]:
    """Return this version, and what ``work`` makes of an input; a process that dies of it costs only that input."""
    try:
        return __version__, _asked(_process(), work, given)
    except (EOFError, OSError, pickle.UnpicklingError):
        _OF_THREAD.__dict__.pop("process").kill()
        return __version__, ([], [InputFailure(given.name, "the process that looked at it has died", None, given.name)])


def _process() -> subprocess.Popen[bytes]:
    """Return this thread's process."""
    known: subprocess.Popen[bytes] | None = _OF_THREAD.__dict__.get("process")
    if known is None or known.poll() is not None:
        known = subprocess.Popen([sys.executable, "-P", "-c", _SERVE, _PLACE], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        _OF_THREAD.process = known
    return known


def _asked(process: subprocess.Popen[bytes], work: Work, given: Given) -> tuple[list[Any], list[InputFailure]]:
    assert process.stdin is not None and process.stdout is not None
    pickle.dump((work, given), process.stdin, pickle.HIGHEST_PROTOCOL)
    process.stdin.flush()
    outcome: tuple[list[Any], list[InputFailure]] = pickle.load(process.stdout)
    return outcome


def serve() -> NoReturn:
    """Be such a process: answer each input until standard input ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nothing but answers goes to the worker
    status = 1
    try:
        while True:
            work, given = pickle.load(sys.stdin.buffer)
            pickle.dump(work(given), answers, pickle.HIGHEST_PROTOCOL)
            answers.flush()
    except (EOFError, OSError):
        status = 0
    finally:
        os._exit(status)
