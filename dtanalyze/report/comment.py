"""What one change introduced, for a comment on its pull request: only what differs, a finding known by its node."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dtanalyze.address.units import counted
from dtanalyze.controls.difference import CellChange, TreeChange
from dtanalyze.findings import Finding
from dtanalyze.report.markdown import code, plain
from dtanalyze.report.naming import cell, written_at

__all__ = ["difference_markdown", "differences_markdown"]


def difference_markdown(changes: tuple[CellChange, ...], path: str) -> str:
    """Return the comment's text for one tree; a single line when the change changes nothing."""
    changed = [change for change in changes if not change.is_empty]
    if not changed:
        return f"**dtanalyze** {code(path)}: nothing changed for Xen and Linux.\n"
    lines = [f"#### dtanalyze: {code(path)}", ""]
    for change in changed:
        lines += _lines(change)
    return "\n".join([*lines, ""])


def differences_markdown(trees: Sequence[TreeChange]) -> str:
    """Return the comment's text for many trees: those that changed, and how many did not."""
    texts = [difference_markdown(tree.cells, tree.new or tree.name) for tree in trees if not tree.is_empty]
    same = sum(tree.is_empty for tree in trees)
    if same or not texts:
        texts.append(f"**dtanalyze**: nothing changed for Xen and Linux in {counted(same, 'tree')}.\n")
    return "\n".join(texts)


def _lines(change: CellChange) -> Iterator[str]:
    old, new = change.old, change.new
    result = new or old
    if result is None:
        return
    before, after = (item.verdict.value if item else "not there" for item in (old, new))
    verdict = f"**{after}**" if before == after else f"{before} → **{after}**"
    sections = f", sections {old.sections if old else 0} → {new.sections if new else 0}" if change.sections else ""
    yield f"- {plain(cell(result))}: {verdict}{sections}"
    for word, findings in (("new", change.new_findings), ("fixed", change.fixed_findings)):
        for finding in findings:
            yield from _finding(word, finding)


def _finding(word: str, finding: Finding) -> Iterator[str]:
    node = f" at {code(finding.node)}" if finding.node else ""
    where = written_at(finding) if word == "new" else None
    node += f", {code(where)}" if where is not None else ""
    yield f"  - {word}: **{finding.severity.label}** {finding.rule} {plain(finding.name)}{node}: {plain(finding.message)}."
    if word == "new" and finding.advice:
        yield f"    {plain(finding.advice)}"
