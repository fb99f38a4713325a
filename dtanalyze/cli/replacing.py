"""The one way in which a file is written: beside its place, and then put there whole.

What fails (a full disk, a report that cannot be made) leaves the old file as it was. A file that this run has read is never
replaced, whatever name or link leads to it: a device and an inode tell. A link stays a link, and what it leads to is
replaced; the mode stays. Pipes, devices and our own standard output are written to as they are.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final

from dtanalyze.errors import InputError, UsageError
from dtanalyze.inputs.reading import READ, read_bytes

__all__ = ["WRITTEN", "replacing", "rewrite_file", "write_file"]

WRITTEN: Final[set[tuple[int, int]]] = set()
"""Device and inode of every file that this run has made."""

_STANDARD_OUTPUT: Final = ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


def write_file(path: str, data: bytes) -> None:
    """Write ``data`` to ``path``; raise `UsageError` with the path when that cannot be."""
    with replacing(path) as file:
        file.write(data)


def rewrite_file(path: str, old: bytes, new: bytes) -> None:
    """Replace a source that was read by its changed text, when the user asked for that; raise `UsageError` if it cannot be.

    A file that somebody has changed since it was read stays as it is.
    """
    try:
        found = _found(path)
        if found is None or not stat.S_ISREG(found.st_mode):
            raise UsageError(f"{path}: it is no file any more")
        with _beside(path, found, over_input=True) as file:
            file.write(new)
            if read_bytes(path) != old:
                raise UsageError(f"{path}: it has changed since it was read, and stays as it is")
    except InputError as error:
        raise UsageError(f"{path}: {error}") from error
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error


@contextmanager
def replacing(path: str) -> Iterator[BinaryIO]:
    """Give a file to write to that becomes ``path`` when the body ends, and is dropped when it raises.

    Raises `UsageError` with the path when it is an input of this run or cannot be written.
    """
    try:
        if sys.stdout is None and path in _STANDARD_OUTPUT:
            raise UsageError("standard output is closed")
        found = _found(path)
        _refuse(path, found)
        if found is None or stat.S_ISREG(found.st_mode):
            own = _own_stream(found)
            with _beside(path, found) if own is None else os.fdopen(os.dup(own), "wb") as file:
                yield file
        else:
            with open(path, "wb", buffering=0) as file:
                yield file  # a raw file is as good to write to
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error


def _found(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise UsageError(f"{path}: no file can be called so") from error


def _refuse(path: str, found: os.stat_result | None) -> None:
    if found is None or not stat.S_ISREG(found.st_mode):
        return
    if (found.st_dev, found.st_ino) in READ:
        raise UsageError(f"{path} is an input, which is never written")
    if (found.st_dev, found.st_ino) in WRITTEN:
        raise UsageError(f"{path} has been written by this run already: give each output a file of its own")


def _own_stream(found: os.stat_result | None) -> int | None:
    """Return the descriptor of standard output or error when the file is that (``/dev/stdout``): replaced, it would be
    lost."""
    for descriptor in (1, 2):
        with contextlib.suppress(OSError):
            ours = os.fstat(descriptor)
            if found is not None and (ours.st_dev, ours.st_ino) == (found.st_dev, found.st_ino):
                return descriptor
    return None


@contextmanager
def _beside(path: str, found: os.stat_result | None, *, over_input: bool = False) -> Iterator[BinaryIO]:
    import tempfile  # not for the many runs that write to standard output alone

    place = os.path.realpath(path)
    if found is not None and not os.access(place, os.W_OK):  # a file that may not be written may not be replaced either
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    descriptor, made = tempfile.mkstemp(prefix=".dtanalyze-", dir=os.path.dirname(place))
    try:
        with os.fdopen(descriptor, "wb") as file:
            _like(descriptor, found)
            yield file
        if not over_input:
            _refuse(path, _found(path))  # what was read since counts too
        os.replace(made, place)
        replaced = os.stat(place)
        WRITTEN.add((replaced.st_dev, replaced.st_ino))
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(made)
        raise


def _like(descriptor: int, found: os.stat_result | None) -> None:
    """Give a new file the mode and, where we may, the owner of the one that it replaces."""
    if found is None:
        mask = os.umask(0o077)
        os.umask(mask)
        os.fchmod(descriptor, 0o666 & ~mask)
        return
    with contextlib.suppress(OSError):
        os.fchown(descriptor, found.st_uid, found.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(found.st_mode))
