"""The two views as text, spelled like /proc/iomem: addresses inclusive, children indented."""

from __future__ import annotations

from collections.abc import Iterator

from dtanalyze.facts import CheckResult
from dtanalyze.linux.view import View
from dtanalyze.report.foreign import document
from dtanalyze.report.style import PLAIN, Style

__all__ = ["map_text"]


def map_text(result: CheckResult, *, style: Style = PLAIN, certain_only: bool = False) -> str:
    """Return both views; a possible claim carries a question mark and its node."""
    lines = [f"{result.path} ({result.tree} tree, Linux {result.linux.name}): {result.verdict.value}"]
    for title, view in (("xen_resource", result.xen_view), ("iomem_resource", result.iomem_view)):
        lines.append(style.bold(title + (":" if view else ": none")))
        if view is not None:
            width = _width(view)
            lines += _lines(view, 0, width, style, certain_only)
    return document(lines)


def _width(view: View) -> int:
    last = max((child.range.stop - 1 for child in view.children), default=0)
    return max(8, len(f"{last:x}"))


def _lines(view: View, depth: int, width: int, style: Style, certain_only: bool) -> Iterator[str]:
    if certain_only and view.claim != "certain":
        return
    start, stop = view.range.start, view.range.stop
    span = f"{start:0{width}x}-{stop - 1:0{width}x}" if stop > start else "no address"
    text = f"{'  ' * depth}{span} : {view.name}"
    if view.claim == "certain":
        yield f"  {text}"
    else:
        yield style.dim(f"  {text} ? {view.source}")
    for child in view.children:
        yield from _lines(child, depth + 1, width, style, certain_only)
