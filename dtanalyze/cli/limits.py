"""What one input may cost: CPU time from its first byte to its last, and memory. What it takes more costs only itself.

CPU time rather than time by the clock: on a busy machine a good tree takes longer by the clock, and no more work. What
helper programs compute for the input counts too.
"""

from __future__ import annotations

import re
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from dtanalyze.address.units import GIB, MIB, format_size, parse_size
from dtanalyze.errors import InputError, UsageError

__all__ = ["DEFAULT_MEMORY", "DEFAULT_SECONDS", "MOST_JOBS", "Limits", "Spent", "TimeUpError", "limits_from", "within"]

DEFAULT_SECONDS: Final = 300.0
DEFAULT_MEMORY: Final = "2G"
MOST_JOBS: Final = 256
_LEAST_MEMORY: Final = 64 * MIB
_MOST_SECONDS: Final = 1e6
_TICK: Final = 0.05
"""CPU seconds between two looks at what is spent. More than one: an exception may be lost where Python ignores it."""


class Limits(NamedTuple):
    """CPU seconds and bytes of memory for one input."""

    seconds: float = DEFAULT_SECONDS
    memory: int = 2 * GIB


class TimeUpError(InputError):
    """An input took more CPU time than it may."""


def limits_from(seconds: float, memory: str) -> Limits:
    """Return the limits that the options name; raise `UsageError` for what is none."""
    if not 0 < seconds <= _MOST_SECONDS:  # also false for nan
        raise UsageError(f"--timeout takes a number of seconds above 0 and up to {_MOST_SECONDS:.0f}, not {seconds:g}")
    size = parse_size(memory)
    if not _LEAST_MEMORY <= size < 1 << 62:
        raise UsageError(f"--memory-limit takes {format_size(_LEAST_MEMORY)} or more, not '{memory}'")
    return Limits(seconds, size)


class Spent:
    """The CPU time that an input has taken so far, helper programs included."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._began = _cpu()

    def left(self) -> float:
        """Return the CPU seconds that are left, 0 when there are none."""
        return max(0.0, self._seconds - (_cpu() - self._began))


def _cpu() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


@contextmanager
def within(limits: Limits) -> Iterator[Spent]:
    """Hold the body to the limits: raise `TimeUpError`, or have Python raise `MemoryError`, in it."""
    spent = Spent(limits.seconds)

    def look(_signal: int, _frame: object) -> None:
        if not spent.left():
            raise TimeUpError(f"it takes more than {limits.seconds:g} seconds of CPU time (--timeout)")

    before = signal.signal(signal.SIGPROF, look)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    try:
        tick = min(_TICK, limits.seconds)
        signal.setitimer(signal.ITIMER_PROF, tick, tick)
        _limit_memory(_used() + limits.memory, soft, hard)
        yield spent
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _limit_memory(most: int, soft: int, hard: int) -> None:
    """Lower the limit to ``most`` bytes; one that is lower already stays."""
    known = [item for item in (soft, hard) if item != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min([most, *known]), hard))


def _used() -> int:
    """Return the address space that this process has taken up, in bytes; 0 where the system does not say."""
    try:
        found = re.match(r"(\d+)", Path("/proc/self/statm").read_text(encoding="ascii"))
    except OSError:
        return 0
    return int(found.group()) * resource.getpagesize() if found else 0
