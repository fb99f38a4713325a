"""The JSON schema of what ``check --format json`` prints: its words come from the same lists as the report's.

A consumer may meet keys that it does not know: those are added without a new ``schema_version``, none is changed or removed.
"""

from __future__ import annotations

from typing import Any, Final

from dtanalyze.findings import Severity
from dtanalyze.linux.boot import Verdict
from dtanalyze.linux.profile import Arch
from dtanalyze.linux.unpopulated_alloc import Outcome
from dtanalyze.report.json import SCHEMA_VERSION

__all__ = ["DIALECT", "report_schema"]

DIALECT: Final = "http://json-schema.org/draft-07/schema#"
_TEXT: Final = {"type": "string"}
_COUNT: Final = {"type": "integer", "minimum": 0}
_SWITCH: Final = {"type": "boolean"}
_HEX: Final = {"type": "string", "pattern": "^0x[0-9a-f]+$"}
_LINE: Final = {"type": "integer", "minimum": 1}
_RANGE: Final = {
    "type": "array",
    "items": _HEX,
    "minItems": 2,
    "maxItems": 2,
    "description": "First address, and the one behind the last.",
}


def report_schema() -> dict[str, Any]:
    """Return the schema, draft 7."""
    optional = {"suppressed": _list(_ref("suppressed")), "settings": _list(_settings()), "baseline": _baseline()}
    answer = _object(
        {
            "schema_version": {"const": SCHEMA_VERSION},
            "tool": _object({"name": {"const": "dtanalyze"}, "version": _TEXT}),
            "results": _list(_ref("result")),
            "errors": _list(_object({"path": _TEXT, "message": _TEXT, "offset": _or_null(_COUNT)})),
        },
        optional,
    )
    parts = {
        "finding": _finding(),
        "result": _result(),
        "view": _view(),
        "held": _object({"kind": _TEXT, "range": _RANGE, "node": _or_null(_TEXT)}),
        "suppressed": _suppressed(),
    }
    return {"$schema": DIALECT, "title": "dtanalyze check --format json", **answer, "definitions": parts}


def _object(needed: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"type": "object", "required": list(needed), "properties": {**needed, **(optional or {})}}


def _list(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": of}


def _or_null(what: dict[str, Any]) -> dict[str, Any]:
    return {"oneOf": [{"type": "null"}, what]}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/definitions/{name}"}


def _words(words: type[Verdict] | type[Severity] | type[Arch] | type[Outcome]) -> dict[str, Any]:
    return {"enum": [item.value for item in words]}


def _finding() -> dict[str, Any]:
    place = {"file": _TEXT, **dict.fromkeys(("line", "column", "last_line", "last_column"), _LINE)}
    return _object(
        {
            "rule": {"type": "string", "pattern": "^[A-Z]+[0-9]*(-[a-z-]+)?$"},
            "name": _TEXT,
            "severity": _words(Severity),
            "message": _TEXT,
            "advice": _TEXT,
            "node": _or_null(_TEXT),
            "ranges": _list(_RANGE),
            "offset": _or_null(_COUNT),
        },
        {
            "cause": {"type": "string", "pattern": "^[EWI][0-9]+$", "description": "Findings of one cause share it."},
            "change": _object({"node": _TEXT, "property": _TEXT, "dts": _or_null(_TEXT)}),
            "source": _object(place),
            "flows": _list(_list(_object({"text": _TEXT, **place}))),
        },
    )


def _result() -> dict[str, Any]:
    alternative = _object(
        {"kaslr": _or_null(_SWITCH), "verdict": _words(Verdict), "sections": _COUNT},
        {"dom0_memory": _list(_RANGE), "when": _TEXT},
    )
    request = {
        "pages": _COUNT,
        "outcome": _words(Outcome),
        "taken": _list(_RANGE),
        "error": _or_null(_TEXT),
        "message": _or_null(_TEXT),
    }
    run = {"range": _RANGE, "state": _TEXT, "order": _or_null(_list(_COUNT)), "region": _or_null(_COUNT)}
    assumption = {
        **dict.fromkeys(("topic", "value", "origin", "sentence"), _TEXT),
        "option": _or_null(_TEXT),
        "matters": _or_null(_SWITCH),
        "instead": _TEXT,
    }
    reuse = {
        "range": _RANGE,
        "balloon": _or_null(_object({"sections_before": _COUNT, "range": _RANGE})),
        "pci": _list(_TEXT),
        "drivers": _list(_TEXT),
    }
    return _object(
        {
            "path": _TEXT,
            "tree": {"enum": ["host", "dom0", "domu"]},
            "domain": _or_null(_TEXT),
            "linux": _TEXT,
            "arch": _words(Arch),
            "xen": _or_null(_TEXT),
            "iommu": _or_null(_SWITCH),
            "assumed": _list(_TEXT),
            "verdict": _words(Verdict),
            "reason": _TEXT,
            "kaslr": _or_null(_SWITCH),
            "alternatives": _list(alternative),
            "target": _or_null(_TEXT),
            "grant_table": _or_null(_RANGE),
            "extended_regions": _list(_RANGE),
            "section_size": _HEX,
            "page_size": _HEX,
            "sections": _COUNT,
            "pages": _COUNT,
            "largest_request": _COUNT,
            "section_runs": _list(_object(run)),
            "requests": _list(_object(request)),
            "views": _object({name: _or_null(_ref("view")) for name in ("xen_resource", "iomem_resource")}),
            "assumptions": _list(_object(assumption)),
            "cause": _or_null(_object({"rule": _TEXT, "node": _or_null(_TEXT), "key": _or_null(_TEXT)})),
            "findings": _list(_ref("finding")),
        },
        {"host": _host(), "reuse": _list(_object(reuse))},
    )


def _view() -> dict[str, Any]:
    children = _list(_ref("view"))
    return _object({"name": _TEXT, "range": _RANGE, "source": _or_null(_TEXT), "claim": _TEXT, "children": children})


def _host() -> dict[str, Any]:
    module = {"kind": _TEXT, "range": _RANGE, "node": _or_null(_TEXT), "users": _list(_TEXT)}
    scan = {"node": _TEXT, "kind": _TEXT, "ranges": _list(_RANGE), "state": _TEXT}
    return _object(
        {
            **dict.fromkeys(("memory", "reserved", "devices"), _list(_ref("held"))),
            "modules": _list(_object(module)),
            "stopped_by": _or_null(_object({"stage": _TEXT, "node": _or_null(_TEXT)})),
            "scan": _list(_object(scan)),
        }
    )


def _suppressed() -> dict[str, Any]:
    needed = {"path": _TEXT, "domain": _or_null(_TEXT), "finding": _ref("finding"), "reason": _TEXT, "owner": _TEXT}
    end = _or_null({"type": "string", "format": "date"})
    return _object({**needed, "expires": end}, {"source": _object({"file": _TEXT, "line": _LINE})})


def _settings() -> dict[str, Any]:
    return _object({"path": _TEXT, "keys": _list(_TEXT), "without_effect": _list(_TEXT)})


def _baseline() -> dict[str, Any]:
    gone = _object({"path": _TEXT, "cell": _TEXT, "rule": _TEXT, "node": _TEXT, "number": _COUNT})
    return _object({"known": _COUNT, "absent": _list(gone)})
