"""libfdt by ctypes: its full check, and what it reads of a blob. For tests alone; dtanalyze itself needs no C library.

``LIBFDT`` names another library than the system's (Debian: libfdt1).
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
from typing import Final, NamedTuple

__all__ = ["Flat", "Libfdt", "library"]

_INT: Final = ctypes.c_int
_BLOB: Final = ctypes.c_char_p
_INT_OUT: Final = ctypes.POINTER(ctypes.c_int)
_U64_OUT: Final = ctypes.POINTER(ctypes.c_uint64)

Properties = tuple[tuple[bytes, bytes], ...]


class Flat(NamedTuple):
    """A whole blob as a list: each node with its depth, its name and its properties in order; the reserve map."""

    nodes: tuple[tuple[int, bytes, Properties], ...]
    reservations: tuple[tuple[int, int], ...]
    boot_cpuid: int


class Libfdt:
    """Some functions of libfdt; each takes the whole blob as bytes (Python aligns them to 16)."""

    def __init__(self, path: str) -> None:
        found = ctypes.CDLL(path)
        self._check = found.fdt_check_full
        self._check.argtypes = [_BLOB, ctypes.c_size_t]
        self._next_node = found.fdt_next_node
        self._next_node.argtypes = [_BLOB, _INT, _INT_OUT]
        self._name = found.fdt_get_name
        self._name.argtypes, self._name.restype = [_BLOB, _INT, _INT_OUT], ctypes.c_void_p
        self._first = found.fdt_first_property_offset
        self._next = found.fdt_next_property_offset
        self._first.argtypes = self._next.argtypes = [_BLOB, _INT]
        self._property = found.fdt_getprop_by_offset
        self._property.argtypes = [_BLOB, _INT, ctypes.POINTER(ctypes.c_void_p), _INT_OUT]
        self._property.restype = ctypes.c_void_p
        self._reservations = found.fdt_num_mem_rsv
        self._reservations.argtypes = [_BLOB]
        self._reservation = found.fdt_get_mem_rsv
        self._reservation.argtypes = [_BLOB, _INT, _U64_OUT, _U64_OUT]

    def check(self, data: bytes) -> int:
        """Return what fdt_check_full says: 0, or the error as a positive number (FDT_ERR_…)."""
        return -int(self._check(data, len(data)))

    def read(self, data: bytes) -> Flat:
        """Walk a blob that passed the check."""
        depth, nodes = ctypes.c_int(-1), list[tuple[int, bytes, Properties]]()
        at = self._next_node(data, -1, ctypes.byref(depth))
        while at >= 0 and depth.value >= 0:
            length = ctypes.c_int()
            name = self._name(data, at, ctypes.byref(length))
            nodes.append((depth.value, ctypes.string_at(name, length.value), self._properties(data, at)))
            at = self._next_node(data, at, ctypes.byref(depth))
        pairs = (self._entry(data, number) for number in range(self._reservations(data)))
        return Flat(tuple(nodes), tuple(pairs), int.from_bytes(data[28:32], "big"))

    def _properties(self, data: bytes, node: int) -> Properties:
        found, at = list[tuple[bytes, bytes]](), self._first(data, node)
        while at >= 0:
            name, length = ctypes.c_void_p(), ctypes.c_int()
            value = self._property(data, at, ctypes.byref(name), ctypes.byref(length))
            assert name.value is not None, "the check passed it"
            found.append((ctypes.string_at(name.value), ctypes.string_at(value, length.value)))
            at = self._next(data, at)
        return tuple(found)

    def _entry(self, data: bytes, number: int) -> tuple[int, int]:
        address, size = ctypes.c_uint64(), ctypes.c_uint64()
        assert self._reservation(data, number, ctypes.byref(address), ctypes.byref(size)) == 0
        return address.value, size.value


def library() -> Libfdt | None:
    """Return libfdt, or None where there is none."""
    path = os.environ.get("LIBFDT") or ctypes.util.find_library("fdt")
    return Libfdt(path) if path else None
