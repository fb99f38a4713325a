"""Files are looked at before they are read: what they are, how large they are, and that they are the same afterwards.

A named pipe or a device would block or never end, a sparse file of some gigabytes costs its sender nothing: each is refused
by one sentence. What has been read is remembered by device and inode, so that no output ever replaces an input, whatever
name, link or hard link leads to it.
"""

from __future__ import annotations

import os
import stat
import sys
from typing import BinaryIO, Final

from dtanalyze.errors import InputError

__all__ = [
    "MAX_INPUT",
    "MAX_TEXT",
    "PATHS",
    "READ",
    "StoredFile",
    "begins_with",
    "forget",
    "open_log",
    "read_bytes",
    "read_stdin",
    "read_text",
    "remember",
]

MAX_INPUT: Final = 256 << 20
"""Bytes of an input: a FIT image may hold kernels and ramdisks beside its trees."""
MAX_TEXT: Final = 16 << 20
"""Bytes of a source, a list, a .config, a log or a settings file."""
READ: Final[set[tuple[int, int]]] = set()
"""Device and inode of every file that this run has read."""
_CHUNK: Final = 1 << 20
_DESCRIPTORS: Final = ("/dev/fd/", "/proc/self/fd/", "/dev/stdin")
"""Pipes that somebody holds open for us, as a shell does for ``<(command)``."""
_KINDS: Final = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


PATHS: Final[dict[str, None]] = {}
"""The same files by the names that led to them, in order, for those who wait for a change."""


def forget() -> None:
    """Begin a run: nothing has been read."""
    READ.clear()
    PATHS.clear()


def remember(path: str) -> None:
    """Count a file as read that another program reads for us."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return
    READ.add((found.st_dev, found.st_ino))
    PATHS[path] = None


def read_bytes(path: str, most: int = MAX_INPUT) -> bytes:
    """Return the content of a regular file of at most ``most`` bytes; raise `InputError`, without the path, otherwise."""
    descriptor = _opened(path)
    try:
        return _content(descriptor, path, most)
    except OSError as error:
        raise InputError(error.strerror or str(error)) from error
    finally:
        os.close(descriptor)


def open_log(path: str) -> BinaryIO:
    """Return a regular file of any size, open and unpacked, for who holds a line of it at a time; raises as `read_bytes`."""
    from dtanalyze.inputs.unpacking import plain

    descriptor = _opened(path)
    try:
        _checked(descriptor, path)
        return plain(os.fdopen(descriptor, "rb"))
    except (InputError, OSError) as error:
        os.close(descriptor)
        raise error if isinstance(error, InputError) else InputError(error.strerror or str(error)) from error


def begins_with(path: str, mark: bytes) -> bool:
    """Whether a regular file begins with ``mark``; False for what cannot be read. It does not count as read."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        descriptor = _opened(path)
    except (InputError, OSError):
        return False
    try:
        return os.read(descriptor, len(mark)) == mark
    except OSError:
        return False
    finally:
        os.close(descriptor)


class StoredFile:
    """A regular file of any size, from which pieces are read; close it."""

    def __init__(self, path: str) -> None:
        """Open it; raises as `read_bytes`."""
        self._descriptor = _opened(path)
        try:
            self.size = _checked(self._descriptor, path)
        except (InputError, OSError):
            self.close()
            raise

    def read(self, at: int, count: int) -> bytes:
        """Return ``count`` bytes from ``at`` on, fewer where the file ends before; raises `InputError`."""
        try:
            return os.pread(self._descriptor, count, at)
        except OSError as error:
            raise InputError(error.strerror or str(error)) from error

    def close(self) -> None:
        """Close the file; nothing is read from it any more."""
        os.close(self._descriptor)


def _opened(path: str) -> int:
    try:
        # Not to wait for a pipe's other end, and not to let a terminal become ours.
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except ValueError as error:
        raise InputError("no file can be called so") from error
    except OSError as error:
        raise InputError(_why(path, error)) from error


def _why(path: str, error: OSError) -> str:
    if isinstance(error, FileNotFoundError) and os.path.islink(path):
        return f"the link leads nowhere (to {os.readlink(path)})"
    return error.strerror or str(error)


def _checked(descriptor: int, path: str) -> int:
    """Return the size of what was opened, which is a file or a pipe that a shell holds; it counts as read."""
    found = os.fstat(descriptor)
    if stat.S_ISFIFO(found.st_mode) and path.startswith(_DESCRIPTORS):
        os.set_blocking(descriptor, True)
    elif not stat.S_ISREG(found.st_mode):
        kind = next((words for test, words in _KINDS if test(found.st_mode)), "something else")
        raise InputError(f"it is {kind}, not a file")
    READ.add((found.st_dev, found.st_ino))
    PATHS[path] = None
    return found.st_size


def _content(descriptor: int, path: str, most: int) -> bytes:
    size = _checked(descriptor, path)
    if size > most:
        raise InputError(f"it has {size} bytes, more than the {most >> 20} MiB that are read")
    parts, left = [], most + 1
    while left and (part := os.read(descriptor, min(_CHUNK, left))):
        parts.append(part)
        left -= len(part)
    if not left:
        raise InputError(f"it has more than the {most >> 20} MiB that are read")
    return b"".join(parts)


def read_text(path: str) -> str:
    """Return the content of a text file; bytes that are no UTF-8 are kept as surrogates. Raises as `read_bytes`."""
    return read_bytes(path, MAX_TEXT).decode("utf-8", "surrogateescape")


def read_stdin() -> bytes:
    """Return standard input, of at most `MAX_INPUT` bytes; raise `InputError` otherwise."""
    if sys.stdin is None:
        raise InputError("standard input is closed")
    try:
        data = sys.stdin.buffer.read(MAX_INPUT + 1)
    except OSError as error:
        raise InputError(error.strerror or str(error)) from error
    if len(data) > MAX_INPUT:
        raise InputError(f"it has more than the {MAX_INPUT >> 20} MiB that are read")
    return data
