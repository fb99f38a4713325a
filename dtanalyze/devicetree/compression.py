"""Compressed data taken apart: by Python itself, and for zstd and lz4 by packages that may be there.

No more is made than was asked for, whatever the data promises. What stands behind a stream is handed back.
"""

from __future__ import annotations

import bz2
import importlib
import lzma
import struct
import zlib
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from dtanalyze.errors import ContainerError

__all__ = ["KINDS", "Unpacked", "kind_of", "unpacked"]

_LZMA_MEMORY: Final = 128 << 20
"""Bytes for a dictionary of lzma, whose size the data states; ``xz -9`` takes 65 MiB."""
_LEGACY_LZ4: Final = b"\x02\x21\x4c\x18"
_LEGACY_BLOCK: Final = 8 << 20
"""Bytes that a block of lz4's legacy format (``lz4 -l``, Linux) unpacks to at most."""


class Unpacked(NamedTuple):
    """What a stream holds, and the bytes behind it."""

    data: bytes
    behind: bytes


class _Kind(NamedTuple):
    """A compression: its first bytes, its command line tool, and what makes a decompressor."""

    marks: tuple[bytes, ...]
    tool: str
    make: Callable[[], Any]


def kind_of(data: bytes) -> str | None:
    """Return the name of the compression that ``data`` begins with, None for none that has a mark."""
    return next((name for name, kind in KINDS.items() if kind.marks and data.startswith(kind.marks)), None)


def unpacked(name: str, data: bytes, most: int) -> Unpacked:
    """Return what ``data`` holds, compressed as ``name`` says; raise `ContainerError` when it is more than ``most`` bytes.

    Also raised for a name that is not known, data that are broken or cut off, and a package that is not installed.
    """
    kind = KINDS.get(name)
    if kind is None:
        raise ContainerError(f"{name} is no compression that can be undone here")
    if name == "lz4" and data.startswith(_LEGACY_LZ4):
        return _legacy_lz4(data, most)
    worker = kind.make()
    try:
        made = worker.decompress(data, most + 1)
    except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, RuntimeError) as error:
        raise ContainerError(f"its {name} data is broken: {error}") from error
    if len(made) > most:
        raise ContainerError(f"it unpacks to more than {most >> 20} MiB")
    if not worker.eof:
        raise ContainerError(f"its {name} data is cut off")
    return Unpacked(made, worker.unused_data or b"")


def _legacy_lz4(data: bytes, most: int) -> Unpacked:
    block = _package("lz4", "lz4.block")
    made, at = bytearray(), len(_LEGACY_LZ4)
    while at + 4 <= len(data):
        (size,) = struct.unpack_from("<I", data, at)
        if data[at : at + 4] == _LEGACY_LZ4:  # streams may follow each other
            at += 4
            continue
        if not 0 < size <= len(data) - at - 4:
            break
        try:
            made += block.decompress(data[at + 4 : at + 4 + size], uncompressed_size=_LEGACY_BLOCK)
        except block.LZ4BlockError as error:
            if not made:
                raise ContainerError(f"its lz4 data is broken: {error}") from error
            break  # Linux puts the size of the kernel, or a tree, behind the last block
        if len(made) > most:
            raise ContainerError(f"it unpacks to more than {most >> 20} MiB")
        at += 4 + size
    if not made:
        raise ContainerError("its lz4 data is cut off")
    return Unpacked(bytes(made), data[at:])


class _Zstd:
    """A zstd decompressor, whose errors are those that Python's own raise."""

    def __init__(self) -> None:
        self._module: Any = self._found()
        self._worker: Any = self._module.ZstdDecompressor()

    @staticmethod
    def _found() -> Any:
        for name in ("compression.zstd", "backports.zstd"):
            try:
                return importlib.import_module(name)
            except ModuleNotFoundError:
                continue
        raise _missing("zstd", "backports.zstd")

    def decompress(self, data: bytes, most: int) -> bytes:
        try:
            return bytes(self._worker.decompress(data, most))
        except self._module.ZstdError as error:
            raise ValueError(str(error)) from error

    @property
    def eof(self) -> bool:
        return bool(self._worker.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._worker.unused_data)


class _Lz4:
    """An lz4 frame's decompressor with the interface that Python's own have."""

    def __init__(self) -> None:
        self._worker: Any = _package("lz4", "lz4.frame").LZ4FrameDecompressor()

    def decompress(self, data: bytes, most: int) -> bytes:
        return bytes(self._worker.decompress(data, max_length=most))

    @property
    def eof(self) -> bool:
        return bool(self._worker.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._worker.unused_data or b"")


def _package(kind: str, module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise _missing(kind, "lz4") from error


def _missing(kind: str, package: str) -> ContainerError:
    how = f"pip install 'dtanalyze[images]' (package {package}), or unpack it: {KINDS[kind].tool} -d FILE"
    return ContainerError(f"its {kind} data needs a package that is not installed: {how}")


KINDS: Final = {
    "gzip": _Kind((b"\x1f\x8b",), "gzip", lambda: zlib.decompressobj(31)),
    "xz": _Kind((b"\xfd7zXZ\0",), "xz", lambda: lzma.LZMADecompressor(memlimit=_LZMA_MEMORY)),
    "lzma": _Kind((b"\x5d\0\0",), "lzma", lambda: lzma.LZMADecompressor(memlimit=_LZMA_MEMORY)),
    "bzip2": _Kind((b"BZh",), "bzip2", bz2.BZ2Decompressor),
    "lz4": _Kind((b"\x04\x22\x4d\x18", _LEGACY_LZ4), "lz4", _Lz4),
    "zstd": _Kind((b"\x28\xb5\x2f\xfd",), "zstd", _Zstd),
}
"""By the names that FIT images give them (``compression``)."""
