"""Sizes, addresses and ranges as people write them.

Sizes are bytes. Suffixes are binary: K, M, G, T are powers of 1024, as on kernel command lines (``memparse``).
"""

from __future__ import annotations

import re
from typing import Final

from dtanalyze.address.range import ADDRESS_SPACE, AddressRange
from dtanalyze.errors import UsageError

__all__ = [
    "GIB",
    "KIB",
    "MIB",
    "TIB",
    "counted",
    "format_range",
    "format_size",
    "parse_ram",
    "parse_ram_size",
    "parse_range",
    "parse_size",
]

KIB: Final = 1 << 10
MIB: Final = 1 << 20
GIB: Final = 1 << 30
TIB: Final = 1 << 40

_UNITS: Final = (("EiB", 1 << 60), ("PiB", 1 << 50), ("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB))
_SUFFIX: Final = {"": 1, "K": KIB, "M": MIB, "G": GIB, "T": TIB}
_NUMBER: Final = r"(0[xX][0-9a-fA-F]{1,40}|[0-9]{1,40})([kKmMgGtT]?)(?:i?[bB])?"
"""No more digits than can be meant: a number of thousands takes Python long to read, or is refused."""


def parse_size(text: str) -> int:
    """Return the number of bytes that ``text`` (``512M``, ``0x1000``, ``4096``) names.

    Raises `UsageError` when it is not a number with an optional K, M, G or T.
    """
    match = re.fullmatch(_NUMBER, text.strip())
    if match is None:
        raise UsageError(f"'{text}' is not a size: write for example 512M, 0x20000000 or 4096")
    digits, suffix = match.groups()
    size = int(digits, 0 if digits[:2] in ("0x", "0X") else 10) * _SUFFIX[suffix.upper()]
    if size > ADDRESS_SPACE:
        raise UsageError(f"'{text}' ends above 2^64, the end of the 64-bit address space")
    return size


def parse_range(text: str) -> AddressRange:
    """Return the range that ``START+SIZE`` or ``START-STOP`` (stop exclusive) names.

    Raises `UsageError` when the form is wrong, the range is empty or ends above 2^64.
    """
    start_text, plus, size_text = text.partition("+")
    if plus:
        start, size = parse_size(start_text), parse_size(size_text)
    else:
        start_text, minus, stop_text = text.partition("-")
        if not minus:
            raise UsageError(f"'{text}' is not a range: write START+SIZE or START-STOP, for example 0x48000000+512M")
        start = parse_size(start_text)
        size = parse_size(stop_text) - start
    if size <= 0:
        raise UsageError(f"the range '{text}' is empty: its stop must lie above its start")
    if start + size > ADDRESS_SPACE:
        raise UsageError(f"the range '{text}' ends above 2^64")
    return AddressRange(start, size)


def parse_ram_size(text: str) -> int:
    """Return the bytes of RAM that ``text`` names; raise `UsageError` for a bare number that is meant in another unit.

    ``512`` is 512 bytes for Linux, 512 KiB for Xen's dom0_mem= and 512 MiB for who types it: nobody has less than 1 MiB.
    """
    size = parse_size(text)
    if 0 < size < MIB and text.strip().isdecimal():
        raise UsageError(f"'{text.strip()}' is {size} bytes of RAM: write {size}M if MiB are meant, {size}G if GiB are")
    return size


def parse_ram(text: str) -> AddressRange:
    """Return the range of RAM that ``text`` names; raise `UsageError` where its start or its unit is missing."""
    if re.fullmatch(_NUMBER, text.strip()):
        unit = "M" if text.strip().isdecimal() else ""
        raise UsageError(
            f"'{text}' is not a range: write START+SIZE or START-STOP, for example 0x40000000+{text.strip()}{unit}, "
            "with the address where RAM begins"
        )
    _, plus, size = text.partition("+")
    if plus:
        parse_ram_size(size)
    return parse_range(text)


def format_size(size: int) -> str:
    """Return ``size`` bytes in the unit that a person would say.

    It is the largest binary unit of which there is a whole number, or up to ten in quarters (1.5 GiB, 2.25 MiB), or, rounded
    to one decimal, ten or more.
    """
    for unit, factor in _UNITS:
        quarters = factor < size < 10 * factor and size * 4 % factor == 0
        if size >= factor and size % factor == 0 or quarters:
            return f"{size / factor:g} {unit}"
        if size >= 10 * factor:
            return f"{size / factor:.1f}".removesuffix(".0") + f" {unit}"
    return "1 byte" if size == 1 else f"{size} bytes" if size else "0"


def format_range(start: int, stop: int) -> str:
    """Return the kernel's spelling of a range: ``0xSTART-0xLAST``, the last byte included."""
    return f"{start:#x}-{stop - 1:#x}" if stop > start else f"{start:#x}+0"


def counted(count: int, noun: str) -> str:
    """Return ``1 section`` or ``3 sections``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
