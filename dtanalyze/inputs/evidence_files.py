"""The files of the evidence: named ones, folders, and archives, which are read in memory and never unpacked.

An archive comes from a stranger. It is decompressed whole and within bounds before its members are looked at, since a
header may state a size of its own, that `tarfile` would read without a bound.
"""

from __future__ import annotations

import bz2
import io
import lzma
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from dtanalyze.errors import InputError, InputFailure
from dtanalyze.evidence.bundle import Item
from dtanalyze.inputs.reading import open_log, read_bytes
from dtanalyze.inputs.unpacking import plain

__all__ = ["LIVE", "evidence_items", "live_items"]

LIVE: Final = ("/sys/firmware/fdt", "/proc/iomem", "/proc/config.gz", "/proc/version", "/sys/kernel/debug/memblock/memory")
"""What a running dom0 tells of its machine by plain file reads."""
_LOGS: Final = ("/proc/cmdline", "/dev/kmsg", "/var/log/xen/console/hypervisor.log")
"""What it has logged beside; Xen's own console is among it only where xenconsoled keeps it (else: `xl dmesg`)."""
_XEN_VERSION: Final = ("major", "minor", "extra")
_RECORD: Final = 8192
"""Bytes of one record of /dev/kmsg at most (PRINTKRB_RECORD_MAX and its prefix)."""
_MOST_MEMBERS: Final = 1000
_MOST_BYTES: Final = 64 << 20
_MOST_STREAMS: Final = 2048
"""bgzip, whose streams are the smallest, writes one for each 64 KiB."""
_LZMA_MEMORY: Final = 128 << 20
"""Bytes for a dictionary of lzma, whose size the data states; ``xz -9`` takes 65 MiB."""
_ARCHIVES: Final = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")
_COMPRESSED: Final[tuple[tuple[bytes, Callable[[], Any]], ...]] = (
    (b"\x1f\x8b", lambda: zlib.decompressobj(31)),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ\0", lambda: lzma.LZMADecompressor(memlimit=_LZMA_MEMORY)),
)
_BROKEN: Final = (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, ArithmeticError, LookupError)
"""What the standard library raises for archives that are none: its tarfile lets numbers' errors through."""


def evidence_items(paths: list[str]) -> Iterator[Item | InputFailure]:
    """Yield each file, and the folder, the archive and what of a folder cannot be read, with why."""
    for name in paths:
        try:
            if os.path.isdir(name):
                yield from _folder(Path(name))
            elif name.endswith(_ARCHIVES):
                yield from _members(name)
            else:
                yield _file(name)
        except InputError as error:
            yield InputFailure(name, str(error), None)


def live_items(root: Path = Path("/"), *, logs: bool = False) -> Iterator[Item]:
    """Yield what the system below ``root`` has of `LIVE`, and with ``logs`` of its logs.

    Nothing is run and nothing is written. A copy of those files serves as well as the running system.
    """
    for name in (*LIVE, *(_LOGS if logs else ())):
        path = root / name.lstrip("/")
        if not _may_look(path):
            continue
        if path.is_char_device():
            yield Item(name, lambda path=path: io.BytesIO(_records(path)))  # type: ignore[misc]
        elif path.is_file():
            yield Item(name, lambda path=path: plain(path.open("rb")))  # type: ignore[misc]
    yield from _kernel_config(root)
    yield from _hypervisor(root)


def _may_look(path: Path) -> bool:
    """Whether the system says what a file is: /sys/kernel/debug is root's alone."""
    try:
        path.stat()
    except OSError:
        return False
    return True


def _kernel_config(root: Path) -> Iterator[Item]:
    """Yield the configuration that distributions install beside their kernel, where the kernel itself holds none."""
    release = _text(root / "proc/version").split()[2:3]
    path = root / "boot" / f"config-{release[0]}" if release and "/" not in release[0] else None
    if path is not None and path.is_file() and not (root / "proc/config.gz").is_file():
        yield Item(f"/boot/{path.name}", lambda: path.open("rb"))


def _hypervisor(root: Path) -> Iterator[Item]:
    """Yield what /sys/hypervisor says of the release, spelt as ``xl info`` does."""
    major, minor, extra = (_text(root / "sys/hypervisor/version" / name).strip() for name in _XEN_VERSION)
    if major and minor:
        yield Item("/sys/hypervisor/version", lambda: io.BytesIO(f"xen_version : {major}.{minor}{extra}\n".encode()))


def _text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return stream.read(_RECORD).decode("utf-8", "replace")
    except OSError:
        return ""


def _records(path: Path) -> bytes:
    """Return what the kernel's ring holds now: each read gives a record, and none is waited for."""
    parts, total = [], 0
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        while total < _MOST_BYTES:
            try:
                part = os.read(descriptor, _RECORD)
            except BrokenPipeError:  # the ring went on meanwhile: what it lost is lost
                continue
            except BlockingIOError:
                break
            if not part:
                break
            parts.append(part)
            total += len(part)
    finally:
        os.close(descriptor)
    return b"".join(parts)


def _file(name: str) -> Item:
    return Item(name, lambda: open_log(name))


def _folder(folder: Path) -> Iterator[Item | InputFailure]:
    try:
        found = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(error.strerror or str(error)) from error
    for path in found:
        if path.is_dir():
            continue
        try:
            open_log(str(path)).close()
        except InputError as error:
            yield InputFailure(str(path), str(error), None)
        else:
            yield _file(str(path))


def _members(name: str) -> Iterator[Item]:
    """Yield the plain files of an archive. Their paths are only names here: nothing is written anywhere."""
    try:
        yield from _unpacked(name, io.BytesIO(_plain(read_bytes(name))))
    except _BROKEN as error:
        raise InputError(f"it is no archive that can be read: {' '.join(str(error).split())}") from error


def _plain(data: bytes) -> bytes:
    """Return the archive without compression; raise `InputError` when it becomes too large.

    Streams may follow each other, as pbzip2 and bgzip write them: together they are one archive.
    """
    mark, make = next((kind for kind in _COMPRESSED if data.startswith(kind[0])), (b"", None))
    if make is None:
        return data
    made, rest, streams = bytearray(), data, 0
    while rest.startswith(mark):
        streams += 1
        if streams > _MOST_STREAMS:  # each leaves the rest as a copy
            raise InputError(f"more than {_MOST_STREAMS} compressed streams")
        worker = make()
        made += worker.decompress(rest, _MOST_BYTES - len(made) + 1)
        if len(made) > _MOST_BYTES:
            raise InputError(f"more than {_MOST_BYTES >> 20} MiB unpacked")
        if not worker.eof:
            raise InputError("it is cut off")
        rest = worker.unused_data
    return bytes(made)


def _unpacked(name: str, stream: BinaryIO) -> Iterator[Item]:
    total = 0
    with tarfile.open(fileobj=stream, mode="r:") as archive:
        for number, member in enumerate(archive):
            if number >= _MOST_MEMBERS:
                raise InputError(f"more than {_MOST_MEMBERS} members")
            content = archive.extractfile(member) if member.isfile() else None
            if content is None:
                continue
            data = content.read(_MOST_BYTES - total + 1)
            total += len(data)
            if total > _MOST_BYTES:
                raise InputError(f"more than {_MOST_BYTES >> 20} MiB unpacked")
            yield Item(f"{name}:{member.name}", lambda data=data: plain(io.BytesIO(data)))  # type: ignore[misc]
