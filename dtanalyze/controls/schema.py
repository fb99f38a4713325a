"""The JSON schema of ``dtanalyze.toml``, which editors check and complete from: made of the table of keys."""

from __future__ import annotations

from typing import Any, Final

from dtanalyze.controls.selection import known_rules
from dtanalyze.controls.settings import KEYS, SUPPRESS

__all__ = ["settings_schema"]

_KINDS: Final[dict[str, dict[str, Any]]] = {
    "text": {"type": ["string", "integer"]},
    "number": {"type": "integer"},
    "switch": {"type": "boolean"},
    "texts": {"type": ["array", "string", "integer"], "items": {"type": ["string", "integer"]}},
    "numbers": {"type": ["array", "integer"], "items": {"type": "integer"}},
}
_PATTERNS: Final = {
    "node": "Glob pattern of nodes' paths.",
    "path": "Glob pattern of inputs.",
    "domain": "Glob pattern of domains: dom0, /chosen/domU1.",
}


def settings_schema() -> dict[str, Any]:
    """Return the schema, draft 7. A key that is none is an error, as for the program."""
    keys = {key: {**_KINDS[known.kind], "description": _said(key)} for key, known in KEYS.items()}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "dtanalyze.toml, and [tool.dtanalyze] of pyproject.toml",
        "type": "object",
        "additionalProperties": False,
        "properties": {**keys, SUPPRESS: {"type": "array", "items": _suppression()}},
    }


def _said(key: str) -> str:
    return f"As --{key} of dtanalyze check (dtanalyze check --help)."


def _suppression() -> dict[str, Any]:
    known = known_rules()
    text = {"type": "string", "minLength": 1}
    return {
        "type": "object",
        "required": ["rule", "reason", "owner"],
        "additionalProperties": False,
        "properties": {
            "rule": {"enum": sorted({*known, *known.values()}), "description": "Code or name of a rule."},
            "reason": text,
            "owner": text,
            **{key: {"type": "string", "description": said} for key, said in _PATTERNS.items()},
            "expires": {"type": "string", "format": "date", "description": "The last day: a date of TOML, or text."},
        },
    }
