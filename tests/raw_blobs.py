"""Flattened trees put together byte by byte, so that every kind of damage can be done to them.

``blob(begin(b"") + END_NODE + END)`` is the smallest good one. The header's fields follow from the blocks, and any of
them can be overridden by its name in the specification (``totalsize=8``).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

FIELDS = (
    "magic",
    "totalsize",
    "off_dt_struct",
    "off_dt_strings",
    "off_mem_rsvmap",
    "version",
    "last_comp_version",
    "boot_cpuid_phys",
    "size_dt_strings",
    "size_dt_struct",
)


def u32(*values: int) -> bytes:
    """Return big-endian cells."""
    return struct.pack(f">{len(values)}I", *values)


END_NODE, NOP, END = u32(2), u32(4), u32(9)


def padded(data: bytes, to: int = 4) -> bytes:
    """Return ``data`` with NULs up to a multiple of ``to``."""
    return data + b"\0" * (-len(data) % to)


def begin(name: bytes = b"") -> bytes:
    """Return the start of a node."""
    return u32(1) + padded(name + b"\0")


def prop(nameoff: int, value: bytes = b"") -> bytes:
    """Return a property, its name by offset into the strings block."""
    return u32(3, len(value), nameoff) + padded(value)


EMPTY_ROOT = begin() + END_NODE + END


def blob(
    structure: bytes = EMPTY_ROOT,
    strings: bytes = b"",
    reservations: Sequence[tuple[int, int]] = (),
    *,
    order: str = "rsvmap struct strings",
    terminated: bool = True,
    trailing: bytes = b"",
    **header: int,
) -> bytes:
    """Return header and blocks in this order; the reserve map ends with a zero entry when ``terminated``."""
    entries = [*reservations, *([(0, 0)] if terminated else [])]
    blocks = {
        "rsvmap": b"".join(struct.pack(">QQ", *entry) for entry in entries),
        "struct": structure,
        "strings": strings,
    }
    body, at = b"", {}
    start = 36 if header.get("version") == 16 else 40
    for name in order.split():
        body = body + b"\0" * (-(start + len(body)) % 8)
        at[name] = start + len(body)
        body += blocks[name]
    values = {
        "magic": 0xD00DFEED,
        "totalsize": start + len(body),
        "off_dt_struct": at["struct"],
        "off_dt_strings": at["strings"],
        "off_mem_rsvmap": at["rsvmap"],
        "version": 17,
        "last_comp_version": 16,
        "boot_cpuid_phys": 0,
        "size_dt_strings": len(strings),
        "size_dt_struct": len(structure),
        **header,
    }
    assert set(values) == set(FIELDS), "a header field is misspelt"
    return u32(*(values[name] for name in FIELDS))[:start] + body + trailing
