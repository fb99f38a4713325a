"""A helper program that works on what strangers wrote: no more time, memory and output than it may have, and no orphan.

It gets its input as a file on standard input and writes its output to a file whose size the kernel limits, so that nothing
waits for anything. When this process ends, for whatever reason, the kernel ends the helper too (Linux: PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from dtanalyze.errors import InputError

__all__ = ["MAX_OUTPUT", "Ran", "die_with", "run_confined", "tool_path"]

MAX_OUTPUT: Final = 64 << 20
_MEMORY: Final = 1 << 30
_WALL: Final = 120
"""Seconds by the clock, for a helper that waits for something; what it computes is limited by CPU time."""
_PR_SET_PDEATHSIG: Final = 1
_SAID: Final = 1 << 16
_LOCALE: Final = {"LC_ALL": "C"}
"""All of the environment that a helper gets beside PATH: compilers read search paths and output files from theirs."""


class Ran(NamedTuple):
    """What became of a helper: its status, its output, and the lines that it says."""

    status: int
    output: bytes
    said: tuple[str, ...]


def tool_path() -> str:
    """Return the folders in which programs are looked for: those of PATH that do not depend on where we happen to stand.

    An empty or relative one would have whoever wrote the working folder's files say what runs.
    """
    return os.pathsep.join(filter(os.path.isabs, os.environ.get("PATH", os.defpath).split(os.pathsep)))


def die_with(parent: int) -> None:
    """Have the kernel end this process when its parent, ``parent``, ends; for a child to call."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it has ended in between
            os._exit(1)


def run_confined(argv: Sequence[str], source: bytes, folder: str, seconds: float) -> Ran:
    """Run a program in ``folder`` with ``source`` as its input; raise `InputError` when it cannot run or takes too much."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as said:
        given.write(source)
        given.seek(0)
        try:
            process = subprocess.Popen(
                argv, cwd=folder, stdin=given, stdout=output, stderr=said, close_fds=True,
                env={"PATH": tool_path(), **_LOCALE}, preexec_fn=_limits(seconds),
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            raise InputError(f"{argv[0]} cannot be run: {getattr(error, 'strerror', None) or error}") from error
        status = _ended(process, argv[0])
        output.seek(0)
        said.seek(0)
        lines = said.read(_SAID).decode("utf-8", "replace").strip().splitlines()
        return Ran(status, output.read(), tuple(lines))


def _limits(seconds: float) -> Callable[[], None]:
    """Return what the child does before it becomes the program."""
    parent = os.getpid()
    cpu = max(1, int(seconds) + 1)

    def limit() -> None:
        die_with(parent)
        for what, most in (
            (resource.RLIMIT_CPU, cpu),
            (resource.RLIMIT_AS, _MEMORY),
            (resource.RLIMIT_FSIZE, MAX_OUTPUT),
            (resource.RLIMIT_CORE, 0),
        ):
            _, hard = resource.getrlimit(what)
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(what, (most, most))

    return limit


def _ended(process: subprocess.Popen[bytes], name: str) -> int:
    """Return the program's status; it never outlives this call."""
    try:
        status = process.wait(_WALL)
    except subprocess.TimeoutExpired as error:
        raise InputError(f"{name} waits for something for more than {_WALL} seconds") from error
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if status == -signal.SIGXCPU or status == -signal.SIGKILL:
        raise InputError(f"{name} takes more CPU time than is left for this input (--timeout)")
    if status == -signal.SIGXFSZ:
        raise InputError(f"{name} writes more than {MAX_OUTPUT >> 20} MiB")
    return status
