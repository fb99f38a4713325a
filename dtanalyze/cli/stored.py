"""Results as bytes and back: plain data of a few kinds, each named; what is read makes nothing else, whoever wrote it.

Numbers, strings, tuples; named tuples and enumerations of the modules below; sets of addresses, trees of resources, and
address rules, which go by their name. Anything else is refused, so that nothing is stored that would come back as another.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from enum import Enum
from typing import Any, Final

from dtanalyze.address.range import AddressRange
from dtanalyze.address.rangeset import RangeSet
from dtanalyze.board.bus import AddressRules, address_rules
from dtanalyze.linux.resource import Resource

__all__ = ["NotStorableError", "from_bytes", "to_bytes"]

_HOMES: Final = (
    "address.range", "analysis.questions", "board.translate", "board.cpus", "devicetree.source_map", "evidence.lines",
    "evidence.xen_console", "facts", "findings", "inputs.files", "inputs.sourcing", "linux.boot", "linux.capacity",
    "linux.enlighten", "linux.iomem", "linux.memblock", "linux.memory_hotplug", "linux.profile", "linux.resource",
    "linux.unpopulated_alloc", "linux.genalloc", "xen.boot_log", "xen.build", "xen.options", "xen.profile", "xen.regions",
    "xen.stage", "xen.toolstack",
)  # fmt: skip
"""Modules whose named tuples and enumerations may be stored."""


class NotStorableError(Exception):
    """Something that is no plain data, or bytes that are no stored data."""


def to_bytes(value: object) -> bytes:
    """Return plain data as bytes, equal data as equal bytes; raise `NotStorableError` for what is none."""
    return json.dumps(_plain(value), separators=(",", ":")).encode("ascii")


def from_bytes(data: bytes) -> Any:
    """Return what was stored; raise `NotStorableError` for anything else."""
    try:
        return _made(json.loads(data))
    except NotStorableError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise NotStorableError(str(error)) from error


def _plain(value: object) -> Any:
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is tuple:
        return ["tuple", *map(_plain, value)]
    if type(value) is list:
        return ["list", *map(_plain, value)]
    if type(value) is frozenset:
        return ["set", *sorted(map(_plain, value), key=json.dumps)]
    if type(value) is dict:
        return ["dict", *([_plain(key), _plain(item)] for key, item in value.items())]
    if type(value) is bytes:
        return ["bytes", value.hex()]
    if isinstance(value, AddressRules):
        return ["rules", value.name]
    if isinstance(value, RangeSet):
        return ["ranges", *([item.start, item.size] for item in value)]
    if isinstance(value, Resource):
        return ["resource", *_resource(value)]
    home = type(value).__module__.removeprefix("dtanalyze.")
    if home in _HOMES:
        if isinstance(value, Enum):
            return [f"{home}:{type(value).__name__}", value.name]
        if isinstance(value, tuple):
            return [f"{home}:{type(value).__name__}", *map(_plain, value)]
    raise NotStorableError(f"{type(value).__module__}.{type(value).__name__}")


def _resource(value: Resource) -> list[Any]:
    own = [value.name, value.start, value.end, value.source, value.certain, value.system_ram]
    return [*own, *(_resource(child) for child in value.children)]


def _made(plain: Any) -> Any:
    if not isinstance(plain, list):
        if isinstance(plain, dict | float):
            raise NotStorableError(type(plain).__name__)
        return plain
    kind, *rest = plain
    maker = _MAKERS.get(kind)
    return maker(rest) if maker is not None else _named(kind, rest)


_KNOWN: Final[dict[str, type[Any]]] = {}


def _named(kind: str, rest: list[Any]) -> Any:
    """Return a named tuple or a member of an enumeration of one of our modules."""
    found = _KNOWN.get(kind)
    if found is None:
        home, _, name = kind.partition(":")
        if home not in _HOMES:
            raise NotStorableError(f"{kind} is not stored")
        found = vars(importlib.import_module(f"dtanalyze.{home}"))[name]
        if not (isinstance(found, type) and found.__module__ == f"dtanalyze.{home}" and issubclass(found, tuple | Enum)):
            raise NotStorableError(f"{kind} is not stored")
        _KNOWN[kind] = found
    if issubclass(found, Enum):
        return found[rest[0]]
    fields = getattr(found, "_fields", ())
    if len(rest) != len(fields):
        raise NotStorableError(f"{kind} has {len(fields)} fields, not {len(rest)}")
    return tuple.__new__(found, map(_made, rest))


def _linked(rest: list[Any]) -> Resource:
    name, start, end, source, certain, system_ram, *children = rest
    made = Resource(name, start, end, source=source, certain=certain, system_ram=system_ram)
    for child in children:
        made.request_resource(_linked(child))
    return made


_MAKERS: Final[dict[str, Callable[[list[Any]], Any]]] = {
    "tuple": lambda rest: tuple(map(_made, rest)),
    "list": lambda rest: list(map(_made, rest)),
    "dict": lambda rest: {_made(key): _made(item) for key, item in rest},
    "set": lambda rest: frozenset(map(_made, rest)),
    "bytes": lambda rest: bytes.fromhex(rest[0]),
    "rules": lambda rest: address_rules(rest[0]),
    "ranges": lambda rest: RangeSet(AddressRange(start, size) for start, size in rest),
    "resource": _linked,
}
