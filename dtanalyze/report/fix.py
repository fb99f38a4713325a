"""Changes as the source of a devicetree overlay."""

from __future__ import annotations

from dtanalyze.facts import CheckResult, Fix
from dtanalyze.findings import Change, Finding, Severity
from dtanalyze.report.foreign import document, visible

__all__ = ["overlay_text", "summary_text"]


def overlay_text(fix: Fix, path: str) -> str:
    """Return the overlay that makes the changes; dtc compiles it (``dtc -I dts -O dtb``), fdtoverlay applies it."""
    by_node: dict[str, list[Change]] = {}
    for change in fix.changes:
        by_node.setdefault(change.node, []).append(change)
    lines = ["/dts-v1/;", "/plugin/;", ""]
    if not by_node:
        lines += [f"/* nothing to change in {_comment(path)} */", "/ {", "};"]
    for node, changes in by_node.items():
        lines.append(f"&{{{node}}} {{")
        lines += [f"\t{item.prop} = {item.text};" if item.text else f"\t{item.prop};" for item in changes]
        lines += ["};", ""]
    return "\n".join(lines).rstrip() + "\n"


def _comment(text: str) -> str:
    return visible(text).replace("*/", "* /")


def summary_text(fix: Fix, path: str) -> str:
    """Say what the changes do: verdict and counts of findings before and after, domain by domain."""
    lines = [f"{path}: {len(fix.changes)} change{'' if len(fix.changes) == 1 else 's'}"]
    for old, new in zip(fix.before, fix.after, strict=False):
        lines.append(
            f"  {old.domain or old.tree}: {old.verdict.value} ({_counts(old)}) -> {new.verdict.value} ({_counts(new)})"
        )
        lines += [
            f"    left: {item.rule} {item.name}: {item.message}{_why(item)}"
            for item in new.findings
            if item.severity is Severity.ERROR
        ]
    lines += [f"  not offered: {change}: {why}" for change, why in fix.refused]
    if any(item.prop == "reg" for item in fix.changes):
        lines.append("  space that this tree says nothing about is taken for free: make sure that nobody uses it")
    return document(lines)


def _why(finding: Finding) -> str:
    """Say why nothing is changed for a finding: what has to be done lies elsewhere, or cannot be told from the tree."""
    if finding.change is not None:
        return ""
    return f"; no change of the tree is known for it: {finding.advice}" if finding.advice else ""


def _counts(result: CheckResult) -> str:
    errors = sum(item.severity is Severity.ERROR for item in result.findings)
    warnings = sum(item.severity is Severity.WARNING for item in result.findings)
    return f"{errors} error{'' if errors == 1 else 's'}, {warnings} warning{'' if warnings == 1 else 's'}"
