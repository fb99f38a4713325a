"""An arm64 kernel image that does nothing: enough for Xen, which loads it and starts its domain."""

from __future__ import annotations

import struct
from typing import Final

__all__ = ["EMPTY_IMAGE"]

_SIZE: Final = 64 * 1024


def _empty() -> bytes:
    """Return the header of Linux's boot protocol (Documentation/arch/arm64/booting.rst) over a loop of wfi."""
    code = (0x14000010, 0)  # b .+64, past the header
    header = struct.pack("<2I6Q4sI", *code, 0, _SIZE, 0xA, 0, 0, 0, b"ARM\x64", 0)
    loop = struct.pack("<2I", 0xD503207F, 0x17FFFFFF)  # wfi; b .-4
    return (header + loop).ljust(_SIZE, b"\0")


EMPTY_IMAGE: Final = _empty()
