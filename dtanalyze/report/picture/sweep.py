"""A sweep on a page: releases by kernels as matrices; above them the groups of cells that came out alike, worst first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from dtanalyze.address.units import counted
from dtanalyze.facts import CheckResult
from dtanalyze.linux.boot import WORST_FIRST
from dtanalyze.report.groups import Group, groups_of, linux_names, what_is_safe, what_to_do, where, why, xen_names
from dtanalyze.report.picture.guest import guest_body
from dtanalyze.report.picture.marks import LETTERS, badge, letter_class, prose, words
from dtanalyze.report.picture.scene import Scene

__all__ = ["sweep_body"]

_DRAWN: Final = 6
"""So many groups have their picture on the page; a sweep is for comparing, ``map`` of one cell draws any other."""


def sweep_body(scenes: tuple[Scene, ...], prefix: str) -> Iterator[str]:
    """Yield the sweep of one tree; a host's domains one after another."""
    domains = dict.fromkeys(item.result.domain for item in scenes)
    for number, domain in enumerate(domains):
        mine = tuple(item for item in scenes if item.result.domain == domain)
        yield from _domain(mine, f"{prefix}{number}-", domain if len(domains) > 1 else None)


def _domain(scenes: tuple[Scene, ...], prefix: str, domain: str | None) -> Iterator[str]:
    cells = tuple(item.result for item in scenes)
    groups = groups_of(cells)
    path = words(cells[0].path) + (f", {words(domain)}" if domain else "")
    yield f'<div class="top">{badge(groups[0].verdict)}<div><h1>{path}: {counted(len(cells), "combination")}</h1>'
    yield f'<p class="mute s">{_axes(cells)}; worst verdict first</p></div></div>'
    yield f'<p class="say">{words(what_is_safe(cells))}</p>'
    yield _bar(cells)
    yield from _table(groups, cells, prefix)
    yield from _matrices(groups, cells, prefix)
    yield from _pictures(groups, {id(item.result): item for item in scenes}, prefix)


def _axes(cells: tuple[CheckResult, ...]) -> str:
    parts = [f"{counted(len(xen_names(cells)), 'Xen release')}"] if any(xen_names(cells)) else []
    parts.append(counted(len(linux_names(cells)), "kernel"))
    iommus = {item.iommu for item in cells}
    return " × ".join([*parts, *(["IOMMU off and on"] if len(iommus) > 1 else [])])


def _bar(cells: tuple[CheckResult, ...]) -> str:
    parts = []
    for verdict in WORST_FIRST:
        count = sum(item.verdict is verdict for item in cells)
        if count:
            style = f'style="flex:{count} 1 28px" title="{count} {verdict.value}"'
            parts.append(f'<li class="{letter_class(verdict)}" {style}><b>{LETTERS[verdict]}</b> {count}</li>')
    return f'<ul class="bar" aria-label="Verdicts counted">{"".join(parts)}</ul>'


def _table(groups: list[Group], cells: tuple[CheckResult, ...], prefix: str) -> Iterator[str]:
    yield '<h2>Worst first</h2><table class="wide"><thead><tr>'
    yield "".join(f'<th scope="col">{name}</th>' for name in ("Verdict", f"Of {len(cells)}", "Where", "Why", "Do"))
    yield "</tr></thead><tbody>"
    for number, group in enumerate(groups):
        yield (
            f'<tr id="{prefix}g{number}"><td class="head">{badge(group.verdict, small=True)}</td>'
            f'<td class="n" data-l="Count"><b>{len(group.cells)}</b></td>'
            f'<td data-l="Where">{words(where(group, cells))}</td>'
            f'<td data-l="Why">{words(why(group))}</td>'
            f'<td data-l="Do">{prose(what_to_do(group, cells) or "Nothing.")}</td></tr>'
        )
    yield "</tbody></table>"


def _matrices(groups: list[Group], cells: tuple[CheckResult, ...], prefix: str) -> Iterator[str]:
    of = {id(item): number for number, group in enumerate(groups) for item in group.cells}
    yield "<h2>All of it</h2>"
    yield '<p class="mute s">Letter: verdict. Number: sections. A cell leads to its group.</p><div class="mxs">'
    for iommu in dict.fromkeys(item.iommu for item in cells):
        mine = [item for item in cells if item.iommu is iommu]
        yield from _matrix(mine, {True: "IOMMU on", False: "IOMMU off", None: "This tree"}[iommu], of, prefix)
    yield "</div>"
    used = [verdict for verdict in WORST_FIRST if any(group.verdict is verdict for group in groups)]
    yield f'<p class="leg">{" ".join(badge(verdict, small=True) for verdict in used)}</p>'


def _matrix(cells: list[CheckResult], title: str, of: dict[int, int], prefix: str) -> Iterator[str]:
    xens, linuxes = xen_names(cells), linux_names(cells)
    placed = {(item.linux.name, item.xen or ""): item for item in cells}
    yield f'<table class="mx"><caption>{title}</caption><thead><tr><th scope="col">Linux \\ Xen</th>'
    yield "".join(f'<th scope="col">{words(xen or "-")}</th>' for xen in xens) + "</tr></thead><tbody>"
    for linux in linuxes:
        yield f'<tr><th scope="row">{words(linux)}</th>'
        for xen in xens:
            item = placed.get((linux, xen))
            yield f"<td>{_cell(item, of[id(item)], prefix) if item is not None else '–'}</td>"
        yield "</tr>"
    yield '</tbody><tfoot><tr><th scope="row">worst</th>'
    for xen in xens:
        column = [item.verdict for item in cells if (item.xen or "") == xen]
        yield f"<td><b>{LETTERS[min(column, key=WORST_FIRST.index)]}</b></td>"
    yield "</tr></tfoot></table>"


def _cell(result: CheckResult, group: int, prefix: str) -> str:
    sections = str(result.sections) if result.sections else "–"
    name = f"Xen {result.xen}, Linux {result.linux.name}: {result.verdict.value}, {counted(result.sections, 'section')}"
    return (
        f'<a class="{letter_class(result.verdict)}" href="#{prefix}g{group}" title="{words(name)}">'
        f"<b>{LETTERS[result.verdict]}</b><small>{sections}</small></a>"
    )


def _pictures(groups: list[Group], scenes: Mapping[int, Scene], prefix: str) -> Iterator[str]:
    """Yield a picture for each of the worst groups: its first cell stands for it; ``scenes`` are found by ``id()``."""
    yield "<h2>One of each</h2>"
    for number, group in enumerate(groups[:_DRAWN]):
        item = group.cells[0]
        iommu = {True: ", IOMMU on", False: ", IOMMU off", None: ""}[item.iommu]
        xen = f"Xen {item.xen}, " if item.xen else ""
        which = words(f"{xen}Linux {item.linux.name}{iommu}")
        yield f'<details class="long"><summary>{badge(group.verdict, small=True)} {which}</summary>'
        yield from guest_body(scenes[id(item)], f"{prefix}p{number}-", brief=True)
        yield "</details>"
