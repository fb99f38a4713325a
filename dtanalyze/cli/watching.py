"""``check --watch``: the answer again whenever a file that it rests on has changed, for an edit loop.

What is watched is what the last run has read: the tree, its sources and all that they include, overlays, logs. Files are
looked at ten times a second; editors that write beside a file and rename it change its inode, which counts as well.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from dtanalyze.address.units import counted
from dtanalyze.cli.console import LeaveError, note
from dtanalyze.cli.replacing import WRITTEN
from dtanalyze.errors import UsageError
from dtanalyze.inputs.reading import PATHS, forget
from dtanalyze.report.foreign import visible

__all__ = ["watch"]

_PAUSE: Final = 0.1
_SETTLED: Final = 0.03
"""Seconds in which nothing may change any more: an editor writes a file in several steps."""
Stamp: TypeAlias = tuple[int, int, int] | None
"""Modification time, size and inode of a file; None where there is none."""


def watch(once: Callable[[], None], named: Sequence[str]) -> int:
    """Run ``once`` now and after each change until Ctrl-C; return the status of the last run.

    ``named`` are the inputs as they were given. Raises `UsageError` where one of them cannot be watched.
    """
    if "-" in named:
        raise UsageError("--watch: standard input is read once and cannot be watched")
    status = 0
    known: dict[str, None] = {}
    try:
        while True:
            forget()
            WRITTEN.clear()
            begun, before = time.time_ns(), _stamps((*named, *_folders(named), *known))
            status = _status_of(once)
            known |= PATHS  # an include that is gone for a moment is waited for
            before = {**_found(_stamps((*named, *_folders(named), *known)), begun), **before}
            note(f"watching {counted(len(before), 'file')}; Ctrl-C ends\n")
            note("".join(f"changed: {visible(os.path.relpath(item))}\n" for item in _changed(before)))
    except KeyboardInterrupt:
        note("\n")
        return status


def _status_of(once: Callable[[], None]) -> int:
    try:
        once()
    except LeaveError as left:
        return left.status
    return 0


def _folders(named: Sequence[str]) -> list[str]:
    """Return the folders below those that were named: their own time changes with the files that come and go."""
    return [folder for path in named if os.path.isdir(path) for folder, _, _ in os.walk(path)]


def _stamps(paths: Sequence[str]) -> dict[str, Stamp]:
    return {path: _stamp(path) for path in dict.fromkeys(map(os.path.realpath, paths))}


def _found(stamps: dict[str, Stamp], begun: int) -> dict[str, Stamp]:
    """Return the stamps of files that a run came upon; one that was written since it ``begun`` may not be what it read."""
    return {path: None if stamp and stamp[0] >= begun else stamp for path, stamp in stamps.items()}


def _stamp(path: str) -> Stamp:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _changed(before: dict[str, Stamp]) -> list[str]:
    """Wait until a file has changed, and then until none does any more; return those that have."""
    while (now := _stamps(tuple(before))) == before:
        time.sleep(_PAUSE)
    while True:
        time.sleep(_SETTLED)
        last, now = now, _stamps(tuple(before))
        if now == last:
            return [path for path, stamp in now.items() if stamp != before[path]]
