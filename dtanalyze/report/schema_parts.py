"""What schemas of JSON answers are made of: the kinds of values, and the envelope that every answer has."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

from dtanalyze.report.json import SCHEMA_VERSION

__all__ = [
    "COUNT",
    "DIALECT",
    "ERRORS",
    "HEX",
    "LINE",
    "RANGE",
    "SWITCH",
    "TEXT",
    "answer",
    "list_of",
    "object_of",
    "or_null",
    "part",
    "results",
    "words",
]

DIALECT: Final = "http://json-schema.org/draft-07/schema#"
TEXT: Final = {"type": "string"}
COUNT: Final = {"type": "integer", "minimum": 0}
SWITCH: Final = {"type": "boolean"}
HEX: Final = {"type": "string", "pattern": "^0x[0-9a-f]+$"}
LINE: Final = {"type": "integer", "minimum": 1}
RANGE: Final = {
    "type": "array",
    "items": HEX,
    "minItems": 2,
    "maxItems": 2,
    "description": "First address, and the one behind the last.",
}


def answer(needed: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the schema of a whole answer: what all begin with, and what this one holds."""
    tool = object_of({"name": {"const": "dtanalyze"}, "version": TEXT})
    return object_of({"schema_version": {"const": SCHEMA_VERSION}, "tool": tool, **needed}, optional)


def results(of: dict[str, Any]) -> dict[str, Any]:
    """Return what an answer about inputs holds: a list of results, and the inputs that could not be read."""
    return {"results": list_of(of), "errors": ERRORS}


def object_of(needed: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the schema of an object that has all of ``needed``, and perhaps the others."""
    return {"type": "object", "required": list(needed), "properties": {**needed, **(optional or {})}}


def list_of(of: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a list."""
    return {"type": "array", "items": of}


def or_null(what: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a value that may be null."""
    return {"oneOf": [{"type": "null"}, what]}


ERRORS: Final = list_of(
    object_of(
        {"path": TEXT, "message": TEXT, "offset": or_null(COUNT)},
        {"source": object_of({"file": TEXT, "line": LINE, "column": or_null(LINE)})},
    )
) | {"description": "Inputs that could not be read, with the byte or the place in the source that shows it."}


def part(name: str) -> dict[str, Any]:
    """Return a reference to one of the schema's definitions."""
    return {"$ref": f"#/definitions/{name}"}


def words(of: type[StrEnum]) -> dict[str, Any]:
    """Return the schema of a word of an enumeration."""
    return {"enum": [item.value for item in of]}
