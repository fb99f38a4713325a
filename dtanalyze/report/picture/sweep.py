"""A sweep on a page: releases by kernels as matrices; above them the groups of cells that came out alike, worst first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from typing import Final, NamedTuple

from dtanalyze.address.units import counted
from dtanalyze.facts import CheckResult
from dtanalyze.linux.boot import WORST_FIRST, Verdict
from dtanalyze.report.lines import sentence
from dtanalyze.report.picture.guest import guest_body
from dtanalyze.report.picture.marks import LETTERS, badge, letter_class, prose, words
from dtanalyze.report.picture.scene import Scene

__all__ = ["sweep_body"]

_DRAWN: Final = 6
"""So many groups have their picture on the page; a sweep is for comparing, ``map`` of one cell draws any other."""


class _Group(NamedTuple):
    """Cells with one verdict for one cause."""

    verdict: Verdict
    scenes: tuple[Scene, ...]


def sweep_body(scenes: tuple[Scene, ...], prefix: str) -> Iterator[str]:
    """Yield the sweep of one tree; a host's domains one after another."""
    domains = dict.fromkeys(item.result.domain for item in scenes)
    for number, domain in enumerate(domains):
        mine = tuple(item for item in scenes if item.result.domain == domain)
        yield from _domain(mine, f"{prefix}{number}-", domain if len(domains) > 1 else None)


def _domain(scenes: tuple[Scene, ...], prefix: str, domain: str | None) -> Iterator[str]:
    groups = _groups(scenes)
    first = groups[0]
    path = words(scenes[0].result.path) + (f", {words(domain)}" if domain else "")
    yield f'<div class="top">{badge(first.verdict)}<div><h1>{path}: {counted(len(scenes), "combination")}</h1>'
    yield f'<p class="mute s">{_axes(scenes)}; worst verdict first</p></div></div>'
    yield f'<p class="say">{_safe(scenes)}</p>'
    yield _bar(scenes)
    yield from _table(groups, scenes, prefix)
    yield from _matrices(groups, scenes, prefix)
    yield from _pictures(groups, prefix)


def _axes(scenes: tuple[Scene, ...]) -> str:
    parts = [f"{counted(len(_xens(scenes)), 'Xen release')}"] if any(_xens(scenes)) else []
    parts.append(counted(len(_linuxes(scenes)), "kernel"))
    iommus = {item.result.iommu for item in scenes}
    return " × ".join([*parts, *(["IOMMU off and on"] if len(iommus) > 1 else [])])


def _xens(scenes: Iterable[Scene]) -> list[str]:
    return list(dict.fromkeys(item.result.xen or "" for item in scenes))


def _linuxes(scenes: Iterable[Scene]) -> list[str]:
    return list(dict.fromkeys(item.result.linux.name for item in scenes))


def _safe(scenes: tuple[Scene, ...]) -> str:
    """Say which releases are safe with every kernel and setting, or how much is."""
    good = [item for item in scenes if item.result.verdict is Verdict.SCRATCH]
    if len(good) == len(scenes):
        return "Safe with all of them."
    if not good:
        return "None of them gives scratch pages."
    bad = [item for item in scenes if item.result.verdict is not Verdict.SCRATCH]
    for name, every, worse in (("Xen", _xens(scenes), _xens(bad)), ("Linux", _linuxes(scenes), _linuxes(bad))):
        safe = [value for value in every if value and value not in worse]
        if safe:
            return f"Safe with everything else asked: {name} {words(', '.join(safe))}."
    kernels = [
        name
        for name in _linuxes(scenes)
        if not any(item.result.verdict is Verdict.SCRATCH for item in scenes if item.result.linux.name == name)
    ]
    rest = [item for item in scenes if item.result.linux.name not in kernels]
    bad_xen = {item.result.xen for item in rest if item.result.verdict is not Verdict.SCRATCH}
    safe_xen = [xen for xen in _xens(rest) if xen and xen not in bad_xen]
    if kernels and safe_xen:
        return f"Safe with every kernel but {words(', '.join(kernels))}: Xen {words(', '.join(safe_xen))}."
    return f"{len(good)} of {len(scenes)} give scratch pages."


def _groups(scenes: tuple[Scene, ...]) -> list[_Group]:
    found: dict[tuple[object, ...], list[Scene]] = {}
    for item in scenes:
        found.setdefault(_key(item.result), []).append(item)
    made = [_Group(items[0].result.verdict, tuple(items)) for items in found.values()]
    return sorted(made, key=lambda item: (WORST_FIRST.index(item.verdict), -len(item.scenes)))


def _key(result: CheckResult) -> tuple[object, ...]:
    """Return what makes two cells alike: the verdict with its cause; what works is one group."""
    if result.verdict is Verdict.SCRATCH:
        return (result.verdict,)
    if result.cause is not None:
        return (result.verdict, result.cause.rule, result.cause.node)
    return (result.verdict, result.reason.replace(result.xen or " ", ""))


def _bar(scenes: tuple[Scene, ...]) -> str:
    parts = []
    for verdict in WORST_FIRST:
        count = sum(item.result.verdict is verdict for item in scenes)
        if count:
            style = f'style="flex:{count} 1 28px" title="{count} {verdict.value}"'
            parts.append(f'<li class="{letter_class(verdict)}" {style}><b>{LETTERS[verdict]}</b> {count}</li>')
    return f'<ul class="bar" aria-label="Verdicts counted">{"".join(parts)}</ul>'


def _table(groups: list[_Group], scenes: tuple[Scene, ...], prefix: str) -> Iterator[str]:
    yield '<h2>Worst first</h2><table class="wide"><thead><tr>'
    yield "".join(f'<th scope="col">{name}</th>' for name in ("Verdict", f"Of {len(scenes)}", "Where", "Why", "Do"))
    yield "</tr></thead><tbody>"
    for number, group in enumerate(groups):
        result = group.scenes[0].result
        yield (
            f'<tr id="{prefix}g{number}"><td class="head">{badge(group.verdict, small=True)}</td>'
            f'<td class="n" data-l="Count"><b>{len(group.scenes)}</b></td>'
            f'<td data-l="Where">{words(_where(group, scenes))}</td>'
            f'<td data-l="Why">{words(_why(group))}</td><td data-l="Do">{prose(_do(group, scenes, result))}</td></tr>'
        )
    yield "</tbody></table>"


def _why(group: _Group) -> str:
    if group.verdict is not Verdict.SCRATCH:
        return sentence(group.scenes[0].result.reason)
    counts = sorted({item.result.sections for item in group.scenes})
    shown = ", ".join(map(str, counts[:4])) if len(counts) <= 4 else f"{counts[0]} to {counts[-1]}"
    return f"{shown} {'section' if counts == [1] else 'sections'}, clear of everything."


def _where(group: _Group, scenes: tuple[Scene, ...]) -> str:
    """Say the cells of a group in few words: as a product of releases, kernels and IOMMU settings where they are one."""
    if len(group.scenes) == len(scenes):
        return "all"
    whole = _product(group.scenes, scenes)
    if whole is not None:
        return whole
    if group.verdict is Verdict.SCRATCH:
        return "the rest"
    parts = []
    for iommu in dict.fromkeys(item.result.iommu for item in group.scenes):
        mine = tuple(item for item in group.scenes if item.result.iommu is iommu)
        said = _product(mine, tuple(item for item in scenes if item.result.iommu is iommu))
        name = {True: "IOMMU on", False: "IOMMU off", None: ""}[iommu]
        parts.append(f"{name}: {said or f'{len(mine)} cells, see the matrix'}".lstrip(": "))
    return "; ".join(parts)


def _product(mine: tuple[Scene, ...], scenes: tuple[Scene, ...]) -> str | None:
    xens, linuxes = _xens(mine), _linuxes(mine)
    iommus = list(dict.fromkeys(item.result.iommu for item in mine))
    have = {(item.result.xen or "", item.result.linux.name, item.result.iommu) for item in mine}
    if have != set(product(xens, linuxes, iommus)):
        return None
    parts = []
    if any(xens):
        parts.append("every Xen" if len(xens) == len(_xens(scenes)) else f"Xen {', '.join(xens)}")
    parts.append("every kernel" if len(linuxes) == len(_linuxes(scenes)) else f"Linux {', '.join(linuxes)}")
    if len({item.result.iommu for item in scenes}) > 1:
        parts.append("IOMMU off and on" if len(iommus) > 1 else f"IOMMU {'on' if iommus[0] else 'off'}")
    return ", ".join(parts)


def _do(group: _Group, scenes: tuple[Scene, ...], result: CheckResult) -> str:
    if group.verdict is Verdict.SCRATCH:
        return "Nothing."
    found = result.cause or next((item for item in result.findings if item.rule.startswith("V-")), None)
    advice = found.advice if found is not None else ""
    near = _nearest(group, scenes)
    return " ".join(item for item in (advice, f"Or use {near}." if near else "") if item)


def _nearest(group: _Group, scenes: tuple[Scene, ...]) -> str:
    """Return a release or a kernel with which every cell of the group would work."""
    good = {
        (item.result.xen, item.result.linux.name, item.result.iommu)
        for item in scenes
        if item.result.verdict is Verdict.SCRATCH
    }
    cells = [(item.result.xen, item.result.linux.name, item.result.iommu) for item in group.scenes]
    for xen in reversed(_xens(scenes)):
        if xen and xen != "master" and all((xen, linux, iommu) in good for _, linux, iommu in cells):
            return f"Xen {xen}"
    for linux in reversed(_linuxes(scenes)):
        if all((xen, linux, iommu) in good for xen, _, iommu in cells):
            return f"Linux {linux}"
    return ""


def _matrices(groups: list[_Group], scenes: tuple[Scene, ...], prefix: str) -> Iterator[str]:
    of = {id(item): number for number, group in enumerate(groups) for item in group.scenes}
    yield "<h2>All of it</h2>"
    yield '<p class="mute s">Letter: verdict. Number: sections. A cell leads to its group.</p><div class="mxs">'
    for iommu in dict.fromkeys(item.result.iommu for item in scenes):
        mine = [item for item in scenes if item.result.iommu is iommu]
        yield from _matrix(mine, {True: "IOMMU on", False: "IOMMU off", None: "This tree"}[iommu], of, prefix)
    yield "</div>"
    used = [verdict for verdict in WORST_FIRST if any(group.verdict is verdict for group in groups)]
    yield f'<p class="leg">{" ".join(badge(verdict, small=True) for verdict in used)}</p>'


def _matrix(scenes: list[Scene], title: str, of: dict[int, int], prefix: str) -> Iterator[str]:
    xens, linuxes = _xens(scenes), _linuxes(scenes)
    cells = {(item.result.linux.name, item.result.xen or ""): item for item in scenes}
    yield f'<table class="mx"><caption>{title}</caption><thead><tr><th scope="col">Linux \\ Xen</th>'
    yield "".join(f'<th scope="col">{words(xen or "-")}</th>' for xen in xens) + "</tr></thead><tbody>"
    for linux in linuxes:
        yield f'<tr><th scope="row">{words(linux)}</th>'
        for xen in xens:
            item = cells.get((linux, xen))
            yield f"<td>{_cell(item, of[id(item)], prefix) if item is not None else '–'}</td>"
        yield "</tr>"
    yield '</tbody><tfoot><tr><th scope="row">worst</th>'
    for xen in xens:
        column = [item.result.verdict for item in scenes if (item.result.xen or "") == xen]
        yield f"<td><b>{LETTERS[min(column, key=WORST_FIRST.index)]}</b></td>"
    yield "</tr></tfoot></table>"


def _cell(item: Scene, group: int, prefix: str) -> str:
    result = item.result
    sections = str(result.sections) if result.sections else "–"
    name = f"Xen {result.xen}, Linux {result.linux.name}: {result.verdict.value}, {counted(result.sections, 'section')}"
    return (
        f'<a class="{letter_class(result.verdict)}" href="#{prefix}g{group}" title="{words(name)}">'
        f"<b>{LETTERS[result.verdict]}</b><small>{sections}</small></a>"
    )


def _pictures(groups: list[_Group], prefix: str) -> Iterator[str]:
    """Yield a picture for each of the worst groups: its first cell stands for it."""
    yield "<h2>One of each</h2>"
    for number, group in enumerate(groups[:_DRAWN]):
        item = group.scenes[0]
        iommu = {True: ", IOMMU on", False: ", IOMMU off", None: ""}[item.result.iommu]
        xen = f"Xen {item.result.xen}, " if item.result.xen else ""
        which = words(f"{xen}Linux {item.result.linux.name}{iommu}")
        yield f"<details><summary>{badge(group.verdict, small=True)} {which}</summary>"
        yield from guest_body(item, f"{prefix}p{number}-", brief=True)
        yield "</details>"
