"""``--cache``: what came of an input, kept for a run that asks the same of the same bytes.

The key is everything that an answer follows from: the bytes and the name of the input, overlays, every option of the
question, and the program itself. An entry is plain data (`stored`) behind a checksum over key and content, written beside
its place and then put there whole, so that several runs may write at once and a torn one is no entry. A folder or an entry
that somebody else could have written is not read. What fails is not kept, and a failing disk costs the run nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

from dtanalyze.cli.run import PLAIN_SOURCES, Outcome, failure_of
from dtanalyze.cli.stored import NotStorableError, from_bytes, to_bytes
from dtanalyze.errors import InputError, UsageError
from dtanalyze.facts import CheckResult
from dtanalyze.inputs.files import Given
from dtanalyze.version import __version__

__all__ = ["Cache", "cached"]

Checked: TypeAlias = Outcome[tuple[CheckResult, ...]]
Work: TypeAlias = Callable[[Given], Checked]

_HEAD: Final = b"dtanalyze cache 1\n"
_MOST_ENTRY: Final = 1 << 20
_MOST_SHELF: Final = 2 << 20
"""Bytes of the entries that share the first two digits of their key: 512 MiB for all of them."""
_SOURCES: Final = (".dts", ".dtso")
"""What a source includes is known only once it is compiled."""


class Cache:
    """A folder of entries; ``asked`` is what all inputs are asked, as bytes."""

    def __init__(self, folder: str, asked: bytes) -> None:
        self._folder = Path(folder)
        self._asked = hashlib.sha256(_program() + asked).digest()
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            found = self._folder.stat()
        except OSError as error:
            raise UsageError(f"--cache {folder}: {error.strerror or error}") from error
        if not stat.S_ISDIR(found.st_mode) or not _only_ours(found):
            raise UsageError(f"--cache {folder}: others could write into it; it has to be your own folder, mode 700 or 755")

    def key(self, given: Given) -> str:
        """Return the key of an input, whose bytes are at hand."""
        name = given.name.encode("utf-8", "surrogateescape")
        body = hashlib.sha256(given.data or b"").digest()
        return hashlib.sha256(self._asked + len(name).to_bytes(8, "big") + name + body).hexdigest()

    def get(self, key: str) -> Checked | None:
        """Return what is kept under a key, None when nothing that can be trusted is."""
        try:
            data = _read(self._place(key))
            head, checksum, content = data[: len(_HEAD)], data[len(_HEAD) : len(_HEAD) + 32], data[len(_HEAD) + 32 :]
            if head != _HEAD or checksum != hashlib.sha256(key.encode() + content).digest():
                return None
            groups = from_bytes(content)
        except (OSError, NotStorableError):
            return None
        with contextlib.suppress(OSError):
            os.utime(self._place(key))
        return groups, []

    def put(self, key: str, outcome: Checked) -> None:
        """Keep what came of an input, when nothing failed and it is plain data."""
        if outcome[1]:
            return
        try:
            content = to_bytes(outcome[0])
        except NotStorableError:
            return
        data = _HEAD + hashlib.sha256(key.encode() + content).digest() + content
        if len(data) > _MOST_ENTRY:
            return
        with contextlib.suppress(OSError):
            place = self._place(key)
            place.parent.mkdir(exist_ok=True, mode=0o700)
            _make_room(place.parent, len(data))
            beside = place.with_name(f".{key}.{os.getpid()}.{os.urandom(4).hex()}")
            try:
                with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
                    file.write(data)
                beside.replace(place)
            finally:
                beside.unlink(missing_ok=True)

    def _place(self, key: str) -> Path:
        return self._folder / key[:2] / key


def cached(work: Work, cache: Cache) -> Work:
    """Return the work on an input as one that looks first whether it was done before."""

    def known(given: Given) -> Checked:
        try:
            return looked_up(given)
        except Exception as error:  # noqa: BLE001  # a defect of the cache's costs this input only, too
            return [], [failure_of(given.name, given.name, error, PLAIN_SOURCES.limits)]

    def looked_up(given: Given) -> Checked:
        if given.name.endswith(_SOURCES):
            return work(given)
        try:
            data = given.read()
        except InputError:
            return work(given)  # which says why
        if not isinstance(data, bytes):
            return work(given)  # an image too large to be read whole
        given = given._replace(data=data)
        key = cache.key(given)
        found = cache.get(key)
        if found is None:
            found = work(given)
            cache.put(key, found)
        return found

    return known


def _only_ours(found: os.stat_result) -> bool:
    return found.st_uid == os.geteuid() and not found.st_mode & 0o022


def _read(place: Path) -> bytes:
    """Return an entry's bytes; raise `OSError` for what is none of ours."""
    descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or not _only_ours(found) or found.st_size > _MOST_ENTRY:
            raise OSError(f"{place} is no entry")
        return file.read(_MOST_ENTRY)


def _make_room(shelf: Path, size: int) -> None:
    """Take the entries away that were not used for longest, until another has room; what a dead run left goes first."""
    entries = []
    for entry in os.scandir(shelf):
        with contextlib.suppress(FileNotFoundError):
            found = entry.stat(follow_symlinks=False)
            entries.append((found.st_mtime, found.st_size, entry.path))
    room = _MOST_SHELF - size - sum(held for _, held, _ in entries)
    for _, held, path in sorted(entries):
        if room >= 0:
            return
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        room += held


def _program() -> bytes:
    """Return what tells this program from every other: its version, Python's, and its sources as they are on disk."""
    return repr((__version__, sys.version_info, *sorted(_sources(os.path.dirname(os.path.dirname(__file__)))))).encode()


def _sources(folder: str) -> Iterator[tuple[str, int, int]]:
    for entry in os.scandir(folder):
        if entry.is_dir():
            yield from _sources(entry.path)
        elif entry.name.endswith(".py"):
            found = entry.stat()
            yield entry.path, found.st_size, found.st_mtime_ns
