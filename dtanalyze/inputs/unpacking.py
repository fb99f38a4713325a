"""Files of the evidence as they are kept: compressed, or in UTF-16 as some terminals write them; read piece by piece.

A gigabyte of log is a few megabytes compressed. No more than one piece of it is held, and no more unpacked than a log has.
"""

from __future__ import annotations

import bz2
import codecs
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final

from dtanalyze.errors import PackedError

__all__ = ["MOST_UNPACKED", "plain"]

MOST_UNPACKED: Final = 4 << 30
"""Bytes that a compressed log may have: a few hundred bytes can promise terabytes."""
_LZMA_MEMORY: Final = 128 << 20
"""Bytes for a dictionary of lzma, whose size the data states; ``xz -9`` takes 65 MiB."""
_READ: Final = 1 << 14
_PIECE: Final = 1 << 20
_PACKED: Final[tuple[tuple[bytes, Callable[[], Any]], ...]] = (
    (b"\x1f\x8b", lambda: zlib.decompressobj(31)),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ\0", lambda: lzma.LZMADecompressor(memlimit=_LZMA_MEMORY)),
)
_WIDE: Final = ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"), (codecs.BOM_UTF8, ""))
_BROKEN: Final = (zlib.error, lzma.LZMAError, EOFError, OSError, ValueError)


def plain(stream: BinaryIO) -> BinaryIO:
    """Return what a file holds, unpacked while it is read; the file itself where it is neither packed nor UTF-16.

    Reading raises `PackedError` where it is broken, cut off, or larger than `MOST_UNPACKED` once it is unpacked.
    """
    head = stream.read(8)
    stream.seek(0)
    make = next((make for mark, make in _PACKED if head.startswith(mark)), None)
    if make is not None:
        return io.BufferedReader(_Pieces(stream, _unpacked(stream, make)), _PIECE)
    mark, wide = next((item for item in _WIDE if head.startswith(item[0])), (b"", ""))
    stream.seek(len(mark))
    return io.BufferedReader(_Pieces(stream, _narrow(stream, wide)), _PIECE) if wide else stream


def _unpacked(stream: BinaryIO, make: Callable[[], Any]) -> Iterator[bytes]:
    """Yield the pieces of one stream after another, as ``cat a.gz b.gz`` makes them."""
    worker, data, total = make(), stream.read(_READ), 0
    while True:
        piece: bytes = worker.decompress(data, _PIECE)
        total += len(piece)
        if total > MOST_UNPACKED:
            raise PackedError(f"more than {MOST_UNPACKED >> 30} GiB unpacked")
        yield piece
        if worker.eof:
            data = (worker.unused_data or stream.read(_READ)).lstrip(b"\0")  # a tape's padding
            if not data:
                return
            worker = make()
            continue
        data = getattr(worker, "unconsumed_tail", b"")
        if not data and getattr(worker, "needs_input", True):
            data = stream.read(_READ)
            if not data and not piece:
                raise PackedError("it is cut off")


def _narrow(stream: BinaryIO, name: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(name)("replace")
    while data := stream.read(_READ):
        yield decoder.decode(data).encode("utf-8", "replace")


class _Pieces(io.RawIOBase):
    """A stream over pieces, of which one is held."""

    def __init__(self, stream: BinaryIO, pieces: Iterator[bytes]) -> None:
        self._stream, self._pieces, self._piece = stream, pieces, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._piece:
            try:
                made = next(self._pieces, None)
            except _BROKEN as error:
                raise PackedError(f"it is compressed and cannot be unpacked: {error}") from error
            if made is None:
                return 0
            self._piece = memoryview(made)
        size = min(len(buffer), len(self._piece))
        buffer[:size], self._piece = self._piece[:size], self._piece[size:]
        return size

    def close(self) -> None:
        self._stream.close()
        super().close()
