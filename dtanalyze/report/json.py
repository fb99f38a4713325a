"""The machine-readable face. Keys and their meaning are a promise: added to freely, changed only with a new schema version.

Addresses and sizes are lower-case hex strings, ranges ``[start, stop]`` with an exclusive stop.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from textwrap import indent
from typing import TYPE_CHECKING, Any, Final

from dtanalyze.address.range import AddressRange, RawRange
from dtanalyze.board.model import PciHost
from dtanalyze.board.translate import RegEntry, Translated
from dtanalyze.causes import cause_keys, folded
from dtanalyze.errors import InputFailure
from dtanalyze.facts import Alternative, CheckResult, HostFacts, HostRange, Predicted, Reuse
from dtanalyze.findings import Change, Finding, Step
from dtanalyze.linux.unpopulated_alloc import Request
from dtanalyze.linux.view import View
from dtanalyze.report.foreign import json_text
from dtanalyze.report.pieces import Piece, pieces

if TYPE_CHECKING:
    from dtanalyze.controls.baseline import Compared
    from dtanalyze.report.whole import Report
    from dtanalyze.xen.stage import Stop

__all__ = [
    "SCHEMA_VERSION",
    "addresses_result",
    "check_result",
    "document",
    "failure_json",
    "finding_json",
    "predict_result",
    "render",
]

SCHEMA_VERSION: Final = 2
_LONGEST_CHANGE: Final = 4096


def render(report: Report) -> Iterator[str]:
    """Yield the JSON answer of ``check``, a result at a time."""
    found = report.baseline
    more: dict[str, Any] = {} if found is None else {"baseline": _baseline(found)}
    if report.suppressed:
        more["suppressed"] = [
            {
                "path": result.path,
                "domain": result.domain,
                "finding": finding_json(finding),
                "reason": entry.reason,
                "owner": entry.owner,
                "expires": entry.expires.isoformat() if entry.expires else None,
                **({"source": {"file": entry.at.file, "line": entry.at.line}} if entry.at is not None else {}),
            }
            for result, finding, entry in report.suppressed
        ]
    if report.settings:
        more["settings"] = [
            {"path": item.path, "keys": list(item.keys), "without_effect": list(item.without_effect)}
            for item in report.settings
        ]
    # A document without results, opened where they belong: the same bytes as of the whole, of which only one is held.
    head, tail = document((), report.failures, report.version, more).split('"results": []', 1)
    yield head + '"results": ['
    between = "\n"
    for result in report.results:
        yield between + indent(json_text(json.dumps(check_result(result), indent=1)), "  ")
        between = ",\n"
    yield ("]" if between == "\n" else "\n ]") + tail


def _baseline(found: Compared) -> dict[str, Any]:
    absent = [item._asdict() for item in found.absent]
    return {"known": len(found.known), "absent": absent, "renamed": dict(found.renamed)}


def document(
    results: Sequence[dict[str, Any]], errors: Iterable[InputFailure], version: str, more: dict[str, Any] | None = None
) -> str:
    """Return the whole JSON answer with ``more`` at its top level, newline at its end."""
    answer = {
        "schema_version": SCHEMA_VERSION,
        "tool": {"name": "dtanalyze", "version": version},
        "results": list(results),
        "errors": [failure_json(item) for item in errors],
        **(more or {}),
    }
    return json_text(json.dumps(answer, indent=1)) + "\n"


def failure_json(failure: InputFailure) -> dict[str, Any]:
    """Return one input that could not be read, with the place in the source that cpp, dtc or a comment is wrong at."""
    source = {} if failure.at is None else {"source": failure.at._asdict()}
    return {"path": failure.path, "message": failure.message, "offset": failure.offset, **source}


def _range(item: AddressRange | RawRange) -> list[str]:
    return [hex(item.start), hex(item.stop)]


def check_result(result: CheckResult) -> dict[str, Any]:
    """Return one result of ``check``."""
    answer = result.answer
    room = answer.capacity if answer else None
    keys = cause_keys(result)
    return {
        "path": result.path,
        "tree": result.tree,
        "domain": result.domain,
        "linux": result.linux.name,
        "arch": result.linux.arch.value,
        "xen": result.xen,
        "iommu": result.iommu,
        "assumed": list(result.assumed),
        "verdict": result.verdict.value,
        "reason": result.reason,
        "kaslr": result.kaslr,
        "alternatives": [_alternative(item) for item in result.alternatives],
        "target": answer.target_name if answer else None,
        "grant_table": _range(result.grant_table) if result.grant_table else None,
        "extended_regions": [_range(item) for item in result.extended_regions],
        "section_size": hex(result.linux.section_size),
        "page_size": hex(result.linux.page_size),
        "sections": result.sections,
        "pages": result.pages,
        "largest_request": room.largest_request if room else 0,
        "section_runs": [_piece(item) for item in pieces(result)],
        "requests": [_request(item) for item in (answer.requests if answer else ())],
        "views": {
            "xen_resource": _view(result.xen_view),
            "iomem_resource": _view(result.iomem_view),
        },
        "assumptions": [item._asdict() for item in result.assumptions],
        **({"host": _host(result.host)} if result.host is not None else {}),
        "cause": _cause(result, keys),
        "findings": [{**finding_json(item), "cause": keys[id(item)]} for item in result.findings],
        **({"reuse": [_reuse(item) for item in result.reuse]} if result.reuse else {}),
    }


def _piece(piece: Piece) -> dict[str, Any]:
    order = [piece.first, piece.last] if piece.first else None
    return {"range": _range(piece.range), "state": piece.kind, "order": order, "region": piece.region}


def _host(host: HostFacts) -> dict[str, Any]:
    """Return the machine: who has which machine addresses, and where Xen stops."""
    return {
        "memory": [_of_the_host(item) for item in host.ram],
        "reserved": [_of_the_host(item) for item in host.reserved],
        "devices": [_of_the_host(item) for item in host.devices],
        "modules": [
            {"kind": item.kind, "range": _range(item.range), "node": item.node or None, "users": list(item.users)}
            for item in host.modules
        ],
        "stopped_by": {"stage": host.stage, "node": host.stop_node} if host.stage is not None else None,
        "scan": [
            {"node": item.node, "kind": item.kind, "ranges": [_range(span) for span in item.ranges], "state": item.state}
            for item in host.scan
        ],
    }


def _of_the_host(item: HostRange) -> dict[str, Any]:
    return {"kind": item.kind, "range": _range(item.range), "node": item.node}


def _cause(result: CheckResult, keys: dict[int, str]) -> dict[str, Any] | None:
    """Name the finding that says why the verdict is what it is; None where the verdict's own does."""
    found = result.cause
    if found is None:
        return None
    # The finding itself may be left out, by a baseline for example.
    key = next((keys[id(item)] for item in result.findings if (item.rule, item.node) == (found.rule, found.node)), None)
    return {"rule": found.rule, "node": found.node, "key": key}


def _request(request: Request) -> dict[str, Any]:
    return {
        "pages": request.pages,
        "outcome": request.outcome.value,
        "taken": [_range(request.taken)] if request.taken else [],
        "error": request.error,
        "message": request.message,
    }


def _view(view: View | None) -> dict[str, Any] | None:
    if view is None:
        return None
    return {
        "name": view.name,
        "range": _range(view.range),
        "source": view.source,
        "claim": view.claim,
        "children": [_view(child) for child in view.children],
    }


def _change(change: Change) -> dict[str, str | None]:
    text = change.text if len(change.text) <= _LONGEST_CHANGE else None  # fix writes it whole
    return {"node": change.node, "property": change.prop, "dts": text}


def finding_json(finding: Finding) -> dict[str, Any]:
    """Return one finding."""
    return {
        "rule": finding.rule,
        "name": finding.name,
        "severity": finding.severity.label,
        "message": finding.message,
        "advice": finding.advice,
        "node": finding.node,
        "ranges": [_range(item) for item in finding.ranges],
        "offset": finding.offset,
        **({"change": _change(finding.change)} if finding.change is not None else {}),
        **({"source": finding.place._asdict()} if finding.place is not None else {}),
        **({"flows": [list(map(_step, flow)) for flow in finding.flows]} if finding.flows else {}),
    }


def _step(step: Step) -> dict[str, Any]:
    return {"text": step.text, **step.place._asdict()}


def _reuse(reuse: Reuse) -> dict[str, Any]:
    reach = reuse.balloon
    return {
        "range": _range(reuse.range),
        "balloon": {"sections_before": reach.sections_before, "range": _range(reach.range)} if reach else None,
        "pci": list(reuse.pci),
        "drivers": list(reuse.drivers),
    }


def _alternative(item: Alternative) -> dict[str, Any]:
    found: dict[str, Any] = {"kaslr": item.kaslr, "verdict": item.verdict.value, "sections": item.sections}
    if item.dom0_memory:
        found["dom0_memory"] = [_range(bank) for bank in item.dom0_memory]
    return {**found, "when": item.when} if item.when else found


def predict_result(path: str, predicted: Predicted) -> dict[str, Any]:
    """Return one result of ``predict``."""
    prediction = predicted.prediction
    stop, info = prediction.stopped_by, prediction.info
    return {
        "path": path,
        "xen": prediction.xen,
        "iommu": prediction.iommu,
        "domain": prediction.domain,
        "method": prediction.method,
        "assumed": list(prediction.assumed),
        "boot": {
            "panic": info.panic,
            "memory": [[hex(bank.start), hex(bank.stop)] for bank in info.mem],
            "reserved": [[hex(bank.start), hex(bank.stop)] for bank in info.reserved_mem],
        },
        "stopped_by": _stop(stop) if stop else None,
        "dom0_memory": [_range(item) for item in prediction.memory],
        "dom0_memory_known": prediction.memory_known,
        "alternatives": [
            {
                "dom0_memory": [_range(bank) for bank in item.memory],
                "stopped_by": _stop(item.stopped_by) if item.stopped_by else None,
                **({"when": item.when} if item.when else {}),
            }
            for item in ((prediction, *prediction.others) if prediction.others else ())
        ],
        "grant_table": _range(prediction.grant_table) if prediction.grant_table else None,
        "extended_regions": [_range(item) for item in prediction.regions.ranges],
        "error": prediction.regions.error,
        "message": prediction.regions.message,
        "check": check_result(folded(predicted.guest)) if predicted.guest else None,
    }


def _stop(stop: Stop) -> dict[str, Any]:
    return {"stage": stop.stage, "message": stop.message, "lines": list(stop.lines), "because": stop.because}


def addresses_result(path: str, entries: Iterable[RegEntry], hosts: Iterable[PciHost]) -> dict[str, Any]:
    """Return one result of ``addresses``."""
    return {
        "path": path,
        "addresses": [_address(entry) for entry in entries],
        "windows": [
            {
                "node": host.node.path,
                "ranges": [_range(item.range) for item in host.windows if item.space == "mem" and item.range],
            }
            for host in hosts
        ],
    }


def _address(entry: RegEntry) -> dict[str, Any]:
    where = entry.where
    reason = None
    if not isinstance(where, Translated):
        reason = where.reason if where.node in where.reason else f"{where.reason} (at {where.node})"
    return {
        "node": entry.node.path,
        "index": entry.nth,
        "address": hex(where.address) if isinstance(where, Translated) else None,
        "size": hex(entry.size),
        "untranslatable": reason,
        "chain": [[hop.bus, hex(hop.address)] for hop in where.chain],
    }
