"""The files of the evidence: named ones, folders, and archives, which are read in memory and never unpacked."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from dtanalyze.errors import InputError
from dtanalyze.evidence.bundle import Item
from dtanalyze.inputs.reading import open_log

__all__ = ["LIVE", "evidence_items", "live_items"]

LIVE: Final = ("/sys/firmware/fdt", "/proc/iomem", "/proc/config.gz", "/proc/cmdline", "/sys/kernel/debug/memblock/memory")
"""What a running dom0 tells by plain file reads; Xen's own console is not among it (`xl dmesg`)."""
_MOST_MEMBERS: Final = 1000
_MOST_BYTES: Final = 1 << 26
_ARCHIVES: Final = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")


def evidence_items(paths: list[str]) -> Iterator[Item]:
    """Yield each file; raise `InputError` naming the one that is not there or no archive."""
    for name in paths:
        path = Path(name)
        if path.is_dir():
            yield from (_file(item) for item in sorted(path.iterdir()) if item.is_file())
        elif not path.is_file():
            raise InputError(f"{name}: no such file or folder")
        elif name.endswith(_ARCHIVES):
            yield from _members(path)
        else:
            yield _file(path)


def live_items(root: Path = Path("/")) -> Iterator[Item]:
    """Yield what the running system has of `LIVE`; nothing is run and nothing is written."""
    for name in LIVE:
        path = root / name.lstrip("/")
        if path.is_file() and name != "/proc/cmdline":
            yield Item(name, lambda path=path: path.open("rb"))  # type: ignore[misc]


def _file(path: Path) -> Item:
    return Item(str(path), lambda: open_log(str(path)))


def _members(path: Path) -> Iterator[Item]:
    """Yield the plain files of an archive. Their paths are only names here: nothing is written anywhere."""
    total = 0
    try:
        with tarfile.open(path, "r:*") as archive:
            for number, member in enumerate(archive):
                if number >= _MOST_MEMBERS:
                    raise InputError(f"{path}: more than {_MOST_MEMBERS} members")
                stream = archive.extractfile(member) if member.isfile() else None
                if stream is None:
                    continue
                data = stream.read(_MOST_BYTES - total + 1)
                total += len(data)
                if total > _MOST_BYTES:
                    raise InputError(f"{path}: more than {_MOST_BYTES >> 20} MiB unpacked")
                yield Item(f"{path}:{member.name}", lambda data=data: _opened(data))  # type: ignore[misc]
    except (tarfile.TarError, EOFError, OSError) as error:
        raise InputError(f"{path}: it is no archive that can be read: {error}") from error


def _opened(data: bytes) -> BinaryIO:
    return io.BytesIO(data)
