"""The JSON schemas of every other command's ``--format json``, beside that of ``check``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from dtanalyze.findings import Severity
from dtanalyze.linux.boot import Verdict
from dtanalyze.report.schema import result_parts
from dtanalyze.report.schema_parts import (
    COUNT,
    DIALECT,
    ERRORS,
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
from dtanalyze.xen.refusals import Standing

__all__ = ["COMMAND_SCHEMAS"]

_NAME: Final = or_null(TEXT)
_CELL: Final = {"domain": _NAME, "linux": _NAME, "xen": _NAME, "iommu": or_null(SWITCH)}


def _made(command: str, whole: dict[str, Any], *, checked: bool = False) -> dict[str, Any]:
    """Return a schema with its title; ``checked`` has it hold what results of ``check`` are made of."""
    head = {"$schema": DIALECT, "title": f"dtanalyze {command} --format json"}
    return {**head, **whole, **({"definitions": result_parts()} if checked else {})}


def _predict() -> dict[str, Any]:
    stop = or_null(object_of({"stage": TEXT, "message": TEXT, "lines": list_of(TEXT), "because": TEXT}))
    boot = object_of({"panic": _NAME, "memory": list_of(RANGE), "reserved": list_of(RANGE)})
    result = {
        "path": TEXT,
        "xen": TEXT,
        "iommu": SWITCH,
        "domain": TEXT,
        "method": {"enum": ["unallocated", "holes", "guest-layout", "none"]},
        "assumed": list_of(TEXT),
        "boot": boot,
        "stopped_by": stop,
        "dom0_memory": list_of(RANGE),
        "dom0_memory_known": SWITCH,
        "alternatives": list_of(object_of({"dom0_memory": list_of(RANGE), "stopped_by": stop}, {"when": TEXT})),
        "grant_table": or_null(RANGE),
        "extended_regions": list_of(RANGE),
        "error": or_null({"enum": ["ENOENT", "EINVAL", "ERANGE", "crash"]}),
        "message": _NAME,
        "check": or_null(part("result")),
    }
    return _made("predict", answer(results(object_of(result))), checked=True)


def _addresses() -> dict[str, Any]:
    hop = {"type": "array", "items": [TEXT, HEX], "minItems": 2, "maxItems": 2}
    address = {
        "node": TEXT,
        "index": COUNT,
        "address": or_null(HEX),
        "size": HEX,
        "untranslatable": _NAME,
        "chain": list_of(hop),
    }
    windows = list_of(object_of({"node": TEXT, "ranges": list_of(RANGE)}))
    result = {"path": TEXT, "addresses": list_of(object_of(address)), "windows": windows}
    return _made("addresses", answer(results(object_of(result))))


def _diff() -> dict[str, Any]:
    def both(what: dict[str, Any]) -> dict[str, Any]:
        return object_of({"old": what, "new": what})

    ranges = list_of(RANGE)
    change = {
        **_CELL,
        "verdict": both(or_null(words(Verdict))),
        "sections": both(COUNT),
        "new_findings": list_of(part("finding")),
        "fixed_findings": list_of(part("finding")),
        "regions": object_of({"gained": ranges, "lost": ranges, "moved": list_of(both(RANGE))}),
        "ram": object_of({"gained": ranges, "lost": ranges}),
    }
    changes = list_of(object_of(change))
    tree = object_of({"name": TEXT, "old": _NAME, "new": _NAME, "changes": changes})
    whole = answer({"old": TEXT, "new": TEXT}, {"changes": changes, "trees": list_of(tree), "errors": ERRORS})
    # Of two trees the one, of two folders the other.
    either = [{"required": ["changes"]}, {"required": ["trees", "errors"]}]
    return _made("diff", {**whole, "oneOf": either}, checked=True)


def _fix() -> dict[str, Any]:
    change = {"node": TEXT, "property": TEXT, "dts": TEXT, "deleted": SWITCH}
    cure = {"changes": list_of(object_of(change)), "assumes": _NAME, "besides": _NAME}
    offer = {
        **cure,
        "cures": list_of(part("finding")),
        "alternatives": list_of(object_of({**cure, "refused": _NAME})),
    }
    refused = list_of(object_of({**cure, "why": TEXT}))
    finding = result_parts()["finding"]
    left = object_of({**{key: finding["properties"][key] for key in finding["required"]}, "refused": refused})
    optional = {key: value for key, value in finding["properties"].items() if key not in finding["required"]}
    left["properties"] |= optional
    after = object_of({"before": words(Verdict), "after": words(Verdict)})
    source = {
        "files": list_of(object_of({"file": TEXT, "diff": TEXT})),
        "refused": list_of(object_of({"node": TEXT, "property": TEXT, "why": TEXT})),
    }
    result = {
        "path": TEXT,
        "overlay": _NAME,
        "edits": list_of(object_of({**change, "before": _NAME, "not_in_overlay": _NAME})),
        "offers": list_of(object_of(offer)),
        "results": list_of(object_of({**_CELL, "verdict": after, "reason": TEXT, "new": list_of(part("finding"))})),
        "left": list_of(left),
    }
    return _made("fix", answer(results(object_of(result, {"source": object_of(source)}))), checked=True)


def _overlaps() -> dict[str, Any]:
    side = object_of({"node": TEXT, "index": COUNT, "range": RANGE, "offset": COUNT})
    sides = {**list_of(side), "minItems": 2, "maxItems": 2}
    overlap = object_of({"sides": sides, "shape": TEXT, "reason": _NAME})
    return _made("overlaps", answer(results(object_of({"path": TEXT, "overlaps": list_of(overlap)}))))


def _selftest() -> dict[str, Any]:
    fault = {
        "name": TEXT,
        "expected": list_of(TEXT),
        "caught_by": list_of(TEXT),
        "false": list_of(TEXT),
        "skipped": _NAME,
        "passed": SWITCH,
        "cured": or_null(SWITCH),
        "remedy": _NAME,
    }
    return _made("selftest", answer(results(object_of({"path": TEXT, "faults": list_of(object_of(fault))}))))


def _verify() -> dict[str, Any]:
    comparison = {
        "what": TEXT,
        "predicted": TEXT,
        "seen": TEXT,
        "agrees": or_null(SWITCH),
        "source": _NAME,
        "line": or_null(LINE),
        "cause": _NAME,
    }
    result = {
        "profile": list_of(TEXT),
        "wrong_pairing": _NAME,
        "differences": COUNT,
        "comparisons": list_of(object_of(comparison)),
    }
    return _made("verify", answer(results(object_of(result))))


def _rules() -> dict[str, Any]:
    """Either the catalogue or, with ``--refusals``, the account of Xen's own."""
    source = object_of(dict.fromkeys(("project", "path", "symbol", "version"), TEXT))
    example = object_of({"dts": TEXT, "options": list_of(TEXT)})
    stated = {"code": TEXT, "name": TEXT, "severity": words(Severity), "what": TEXT, "advice": TEXT, "page": TEXT}
    rule = object_of(stated, {"why": TEXT, "on": TEXT, "sources": list_of(source), "bad": example, "good": example})
    not_shown = list_of(object_of({"code": TEXT, "what": TEXT, "reason": TEXT}))
    return _made("rules", answer({"rules": list_of(rule), "not_shown": not_shown}))


def _refusals() -> dict[str, Any]:
    several = list_of(TEXT)
    fields = {
        "standing": {"enum": [item.value for item in Standing]},
        "where": TEXT,
        "says": TEXT,
        **dict.fromkeys(("functions", "files", "releases"), several),
    }
    trigger = object_of({"name": TEXT, "what": TEXT, "words": several})
    compared = {"type": "object", "patternProperties": {".": TEXT}, "additionalProperties": False}
    needed = {"compared": compared, "refusals": list_of(object_of(fields)), "triggers": list_of(trigger)}
    return _made("rules --refusals", answer(needed))


COMMAND_SCHEMAS: Final[dict[str, Callable[[], dict[str, Any]]]] = {
    "predict": _predict,
    "fix": _fix,
    "diff": _diff,
    "addresses": _addresses,
    "overlaps": _overlaps,
    "selftest": _selftest,
    "verify": _verify,
    "rules": _rules,
    "refusals": _refusals,
}
"""By the name of the published file."""
