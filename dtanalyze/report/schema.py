"""The JSON schema of what ``check --format json`` prints: its words come from the same lists as the report's.

A consumer may meet keys that it does not know: those are added without a new ``schema_version``, none is changed or removed.
"""

from __future__ import annotations

from typing import Any

from dtanalyze.findings import Severity
from dtanalyze.linux.boot import Verdict
from dtanalyze.linux.profile import Arch
from dtanalyze.linux.unpopulated_alloc import Outcome
from dtanalyze.report.schema_parts import (
    COUNT,
    DIALECT,
    HEX,
    LINE,
    RANGE,
    SWITCH,
    TEXT,
    answer,
    list_of,
    object_of,
    or_null,
    part,
    results,
    words,
)

__all__ = ["report_schema", "result_parts"]


def report_schema() -> dict[str, Any]:
    """Return the schema, draft 7."""
    optional = {"suppressed": list_of(part("suppressed")), "settings": list_of(_settings()), "baseline": _baseline()}
    whole = answer(results(part("result")), optional)
    definitions = {**result_parts(), "suppressed": _suppressed()}
    return {"$schema": DIALECT, "title": "dtanalyze check --format json", **whole, "definitions": definitions}


def result_parts() -> dict[str, Any]:
    """Return the definitions that a result of ``check`` and its findings are made of."""
    held = object_of({"kind": TEXT, "range": RANGE, "node": or_null(TEXT)})
    return {"finding": _finding(), "result": _result(), "view": _view(), "held": held}


def _finding() -> dict[str, Any]:
    place = {"file": TEXT, **dict.fromkeys(("line", "column", "last_line", "last_column"), LINE)}
    return object_of(
        {
            "rule": {"type": "string", "pattern": "^[A-Z]+[0-9]*(-[a-z-]+)?$"},
            "name": TEXT,
            "severity": words(Severity),
            "message": TEXT,
            "advice": TEXT,
            "node": or_null(TEXT),
            "ranges": list_of(RANGE),
            "offset": or_null(COUNT),
        },
        {
            "cause": {"type": "string", "pattern": "^[EWI][0-9]+$", "description": "Findings of one cause share it."},
            "change": object_of({"node": TEXT, "property": TEXT, "dts": or_null(TEXT)}),
            "source": object_of(place),
            "flows": list_of(list_of(object_of({"text": TEXT, **place}))),
        },
    )


def _result() -> dict[str, Any]:
    alternative = object_of(
        {"kaslr": or_null(SWITCH), "verdict": words(Verdict), "sections": COUNT},
        {"dom0_memory": list_of(RANGE), "when": TEXT},
    )
    request = {
        "pages": COUNT,
        "outcome": words(Outcome),
        "taken": list_of(RANGE),
        "error": or_null(TEXT),
        "message": or_null(TEXT),
    }
    run = {"range": RANGE, "state": TEXT, "order": or_null(list_of(COUNT)), "region": or_null(COUNT)}
    assumption = {
        **dict.fromkeys(("topic", "value", "origin", "sentence"), TEXT),
        "option": or_null(TEXT),
        "matters": or_null(SWITCH),
        "instead": TEXT,
    }
    reuse = {
        "range": RANGE,
        "balloon": or_null(object_of({"sections_before": COUNT, "range": RANGE})),
        "pci": list_of(TEXT),
        "drivers": list_of(TEXT),
    }
    return object_of(
        {
            "path": TEXT,
            "tree": {"enum": ["host", "dom0", "domu"]},
            "domain": or_null(TEXT),
            "linux": TEXT,
            "arch": words(Arch),
            "xen": or_null(TEXT),
            "iommu": or_null(SWITCH),
            "assumed": list_of(TEXT),
            "verdict": words(Verdict),
            "reason": TEXT,
            "kaslr": or_null(SWITCH),
            "alternatives": list_of(alternative),
            "target": or_null(TEXT),
            "grant_table": or_null(RANGE),
            "extended_regions": list_of(RANGE),
            "section_size": HEX,
            "page_size": HEX,
            "sections": COUNT,
            "pages": COUNT,
            "largest_request": COUNT,
            "section_runs": list_of(object_of(run)),
            "requests": list_of(object_of(request)),
            "views": object_of({name: or_null(part("view")) for name in ("xen_resource", "iomem_resource")}),
            "assumptions": list_of(object_of(assumption)),
            "cause": or_null(object_of({"rule": TEXT, "node": or_null(TEXT), "key": or_null(TEXT)})),
            "findings": list_of(part("finding")),
        },
        {"host": _host(), "reuse": list_of(object_of(reuse))},
    )


def _view() -> dict[str, Any]:
    children = list_of(part("view"))
    return object_of({"name": TEXT, "range": RANGE, "source": or_null(TEXT), "claim": TEXT, "children": children})


def _host() -> dict[str, Any]:
    module = {"kind": TEXT, "range": RANGE, "node": or_null(TEXT), "users": list_of(TEXT)}
    scan = {"node": TEXT, "kind": TEXT, "ranges": list_of(RANGE), "state": TEXT}
    return object_of(
        {
            **dict.fromkeys(("memory", "reserved", "devices"), list_of(part("held"))),
            "modules": list_of(object_of(module)),
            "stopped_by": or_null(object_of({"stage": TEXT, "node": or_null(TEXT)})),
            "scan": list_of(object_of(scan)),
        }
    )


def _suppressed() -> dict[str, Any]:
    needed = {"path": TEXT, "domain": or_null(TEXT), "finding": part("finding"), "reason": TEXT, "owner": TEXT}
    end = or_null({"type": "string", "format": "date"})
    return object_of({**needed, "expires": end}, {"source": object_of({"file": TEXT, "line": LINE})})


def _settings() -> dict[str, Any]:
    return object_of({"path": TEXT, "keys": list_of(TEXT), "without_effect": list_of(TEXT)})


def _baseline() -> dict[str, Any]:
    gone = object_of({"path": TEXT, "cell": TEXT, "rule": TEXT, "node": TEXT, "number": COUNT})
    renamed = {"type": "object", "patternProperties": {"^(linux|xen) ": TEXT}, "additionalProperties": False}
    return object_of({"known": COUNT, "absent": list_of(gone), "renamed": renamed})
