"""How many bytes a tree takes in the buffer that Xen writes it into.

Mirrors fdt_create, fdt_finish_reservemap and the writers of common/libfdt/fdt_sw.c: nodes grow from the front, names of
properties from the back, and a name that ends another one is not written again.
"""

from __future__ import annotations

from typing import Final

from dtanalyze.devicetree.tree import Node

__all__ = ["INITRD_SIZE", "bytes_needed"]

_HEADER: Final = 48
_RESERVE_ENTRY: Final = 16
_TAG: Final = 4
_PROPERTY: Final = 12
INITRD_SIZE: Final = 2 * (_PROPERTY + 8) + len(b"linux,initrd-start\0linux,initrd-end\0")
"""What linux,initrd-start and linux,initrd-end take, whose values are filled in once the ramdisk is placed."""


def bytes_needed(root: Node, reservations: int = 0) -> int:
    """Return the smallest buffer in which the tree can be written; ``reservations`` are entries of /memreserve/."""
    names: dict[str, None] = {}
    total = _TAG
    for node in root:
        total += 2 * _TAG + _aligned(len(node.name.encode("utf-8", "surrogateescape")) + 1)
        for prop in node.properties.values():
            total += _PROPERTY + _aligned(len(prop.value))
            names[prop.name] = None
    return _HEADER + _RESERVE_ENTRY * (reservations + 1) + total + _string_bytes(list(names))


def _string_bytes(names: list[str]) -> int:
    """Return the size of the names in the order of their writing; each is looked for at the end of those before."""
    written: set[str] = set()
    size = 0
    for name in names:
        if name in written:
            continue
        size += len(name.encode("utf-8", "surrogateescape")) + 1
        written.update(name[at:] for at in range(len(name) + 1))
    return size


def _aligned(size: int) -> int:
    return -(-size // 4) * 4
