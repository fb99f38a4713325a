"""SARIF 2.1.0, for code scanning.

A devicetree blob has no lines. Results give the byte offset and the node's path as a logical location, and line 1 beside
them: GitHub shows no result without a line (ossf/scorecard#1458). With sources there are lines, the lines that an address
came by as code flows, and as fixes what `dtanalyze fix` would write.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain, islice
from textwrap import indent
from typing import Any, Final
from urllib.parse import quote

from dtanalyze.controls.identity import Identity
from dtanalyze.controls.settings import FileUsed
from dtanalyze.errors import InputFailure
from dtanalyze.findings import Finding, Place, Rewrite, Severity, SourceCure, Step
from dtanalyze.report.foreign import json_text, visible
from dtanalyze.report.naming import Placed, cell_in_file, digest, failure_text, placed, relative
from dtanalyze.report.rules import rule_page
from dtanalyze.report.whole import Report

__all__ = ["MOST_RESULTS", "render"]

_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS: Final = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
MOST_RESULTS: Final = 25_000
"""What GitHub's code scanning takes of one run."""
_UNREADABLE: Final = "unreadable-input"
_SETTINGS: Final = "settings-file"
_CELL_BYTES: Final = 4  # tokens, cells and reserve entries all start with an aligned word of this size


def render(report: Report) -> Iterator[str]:
    """Yield the log: one run, all inputs in it, the worst results first, no more than its readers take.

    The findings are gone through once for the list of rules, and once for each severity.
    """
    known = tuple(placed(_known(report)))
    rules: dict[str, Finding] = {}
    for item in chain(placed(report), known):
        rules.setdefault(item.finding.rule, item.finding)
    for _, finding, _ in report.suppressed:
        rules.setdefault(finding.rule, finding)
    order = {name: index for index, name in enumerate(sorted(rules))}
    left_out = max(0, sum(1 for _ in placed(report)) - MOST_RESULTS)
    run = {
        "tool": {"driver": _driver(report, [_rule(rules[name]) for name in sorted(rules)])},
        "invocations": [_invocation(report, left_out)],
        "artifacts": [{"location": {"uri": uri}, "roles": ["analysisTarget"]} for uri in _artifacts(report)],
        "results": [],
    }
    whole = json_text(json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1)) + "\n"
    head, tail = whole.rsplit('"results": []', 1)
    between = "\n"
    yield head + '"results": ['
    for result in islice(_results(report, known, order), MOST_RESULTS):
        yield between + indent(json_text(json.dumps(result, indent=1)), "    ")
        between = ",\n"
    yield ("]" if between == "\n" else "\n   ]") + tail


def _results(report: Report, known: tuple[Placed, ...], order: dict[str, int]) -> Iterator[dict[str, Any]]:
    for severity in sorted(Severity, reverse=True):
        for item in placed(report):
            if item.finding.severity is severity:
                yield _result(item, order[item.finding.rule], report, "new")
    for item in known:
        yield _result(item, order[item.finding.rule], report, "unchanged")
    yield from _suppressed(report, order)
    for gone in report.baseline.absent if report.baseline else ():
        yield _absent(gone)


def _artifacts(report: Report) -> dict[str, None]:
    paths = (*(item.location for item in report.results), *(item.location for item in report.failures))
    return dict.fromkeys(_uri(path, report.root) for path in paths)


def _driver(report: Report, rules: list[dict[str, Any]]) -> dict[str, Any]:
    told = [(_UNREADABLE, "The input could not be read.")] if report.failures else []
    told += [(_SETTINGS, "A settings file decided about this run.")] if report.settings else []
    notifications = [{"id": name, "shortDescription": {"text": text}} for name, text in told]
    driver = {"name": "dtanalyze", "version": report.version, "rules": rules}
    return {**driver, **({"notifications": notifications} if told else {})}


def _invocation(report: Report, left_out: int) -> dict[str, Any]:
    invocation: dict[str, Any] = {"executionSuccessful": not report.failures}
    told = [_notification(item, report) for item in report.failures]
    if left_out:
        text = f"{left_out} results are left out, the least severe: a run holds {MOST_RESULTS} (--format json has all)."
        told.append({"level": "warning", "message": {"text": text}})
    if told:
        invocation["toolExecutionNotifications"] = told
    if report.settings:
        invocation["toolConfigurationNotifications"] = [_configured(item) for item in report.settings]
    return invocation


def _known(report: Report) -> Report:
    """Return a report of what the baseline lists and is still there."""
    listed = report.baseline.known if report.baseline is not None else ()
    return report._replace(groups=(tuple(result._replace(findings=(finding,)) for result, finding in listed),))


def _suppressed(report: Report, order: dict[str, int]) -> Iterator[dict[str, Any]]:
    for result, finding, entry in report.suppressed:
        for item in placed(report._replace(groups=((result._replace(findings=(finding,)),),))):
            justification = f"{entry.reason} ({entry.owner})"
            kind = "external" if entry.at is None else "inSource"
            yield {
                **_result(item, order[finding.rule], report, "unchanged"),
                "suppressions": [{"kind": kind, "status": "accepted", "justification": visible(justification)}],
            }


def _absent(item: Identity) -> dict[str, Any]:
    return {
        "ruleId": item.rule,
        "level": "none",
        "message": {"text": _message(f"{item.rule} is gone ({item.cell}).")},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": quote(item.path)}, "region": {"startLine": 1}}}],
        "baselineState": "absent",
    }


def _rule(finding: Finding) -> dict[str, Any]:
    words = finding.name.replace("-", " ")
    return {
        "id": finding.rule,
        "name": finding.name,
        "shortDescription": {"text": words[:1].upper() + words[1:] + "."},
        "helpUri": rule_page(finding.rule),
        **({"help": {"text": _message(finding.advice)}} if finding.advice else {}),
        "defaultConfiguration": {"level": _LEVELS[finding.severity]},
    }


def _result(item: Placed, rule: int, report: Report, state: str) -> dict[str, Any]:
    finding, result = item.finding, item.result
    fingerprint = digest(*item.key)
    blob = _physical(result.location, finding.offset, report.root, _CELL_BYTES)
    source = _written(finding.place, report.root) if finding.place is not None else None
    where: dict[str, Any] = {"physicalLocation": source or blob}
    if finding.node is not None:
        name = finding.node.rpartition("/")[2] or "/"
        where["logicalLocations"] = [{"name": name, "fullyQualifiedName": finding.node}]
    return {
        "ruleId": finding.rule,
        "ruleIndex": rule,
        "level": _LEVELS[finding.severity],
        "message": {"text": _message(f"{finding.message} ({cell_in_file(result)}).")},
        "locations": [where],
        **({"relatedLocations": [{"id": 1, "physicalLocation": blob}, *_related(finding, report.root)]} if source else {}),
        **({"codeFlows": _code_flows(finding, report.root)} if finding.flows else {}),
        **({"fixes": [_fix(finding.in_source, report.root)]} if finding.in_source else {}),
        **({"baselineState": state} if report.baseline is not None else {}),
        # GitHub compares the second key only, and else hashes the "line" of a binary file.
        "partialFingerprints": {"ruleNodeDomain/v1": fingerprint, "primaryLocationLineHash": fingerprint},
        "properties": {
            "verdict": result.verdict.value,
            "tree": result.tree,
            "domain": result.domain,
            "linux": result.linux.name,
            "xen": result.xen,
            "iommu": result.iommu,
            "ranges": [[hex(span.start), hex(span.stop)] for span in finding.ranges],
        },
    }


def _physical(path: str, offset: int | None, root: str, length: int | None = None) -> dict[str, Any]:
    region: dict[str, int] = {"startLine": 1}
    if offset is not None:
        region["byteOffset"] = offset
        if length is not None:
            region["byteLength"] = length
    return {"artifactLocation": {"uri": _uri(path, root)}, "region": region}


def _written(place: Place, root: str) -> dict[str, Any]:
    """Return where the cause was written; the end of a region is exclusive in its column only."""
    region = {
        "startLine": place.line,
        "startColumn": place.column,
        "endLine": place.last_line,
        "endColumn": place.last_column + 1,
    }
    return {"artifactLocation": {"uri": _uri(place.file, root)}, "region": region}


def _related(finding: Finding, root: str) -> Iterator[dict[str, Any]]:
    """Yield the lines beside the finding's own that its addresses came by."""
    steps = dict.fromkeys(step for flow in finding.flows for step in flow if step.place != finding.place)
    for number, step in enumerate(steps, 2):
        yield {"id": number, **_location(step, root)}


def _code_flows(finding: Finding, root: str) -> list[dict[str, Any]]:
    """Return one flow for each node: the line with its addresses, then each line that moves them."""
    return [
        {"threadFlows": [{"locations": [{"location": _location(step, root)} for step in flow]}]} for flow in finding.flows
    ]


def _location(step: Step, root: str) -> dict[str, Any]:
    return {"message": {"text": _message(step.text)}, "physicalLocation": _written(step.place, root)}


def _fix(cure: SourceCure, root: str) -> dict[str, Any]:
    """Return the change of each file as whole lines; an empty region puts its text there."""
    changes: dict[str, list[dict[str, Any]]] = {}
    for item in cure.rewrites:
        changes.setdefault(item.file, []).append(_replacement(item))
    return {
        "description": {"text": _message(cure.text)},
        "artifactChanges": [
            {"artifactLocation": {"uri": _uri(file, root)}, "replacements": found} for file, found in changes.items()
        ],
    }


def _replacement(item: Rewrite) -> dict[str, Any]:
    region = {"startLine": item.line, "startColumn": 1, "endLine": item.stop, "endColumn": item.column}
    return {"deletedRegion": region, **({"insertedContent": {"text": item.text}} if item.text else {})}


def _message(text: str) -> str:
    """Return foreign text as SARIF's plain text, in which ``[text](address)`` is a link (3.11.6): it is none."""
    return visible(text).replace("](", "]\\x28")


def _uri(path: str, root: str) -> str:
    inside = relative(path, root)
    return ("file://" if inside.startswith("/") else "") + quote(inside.encode("utf-8", "surrogateescape"))


def _notification(failure: InputFailure, report: Report) -> dict[str, Any]:
    return {
        "descriptor": {"id": _UNREADABLE, "index": 0},
        "level": "error",
        "message": {"text": _message(failure_text(failure))},
        "locations": [{"physicalLocation": _unreadable(failure, report.root)}],
    }


def _unreadable(failure: InputFailure, root: str) -> dict[str, Any]:
    if failure.at is None:
        return _physical(failure.location, failure.offset, root)
    file, line, column = failure.at
    region = {"startLine": line} if column is None else {"startLine": line, "startColumn": column}
    return {"artifactLocation": {"uri": _uri(file, root)}, "region": region}


def _configured(used: FileUsed) -> dict[str, Any]:
    return {
        "descriptor": {"id": _SETTINGS},
        "level": "note",
        "message": {"text": _message(f"{used}.")},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": quote(used.path)}, "region": {"startLine": 1}}}],
    }
