"""Cells of a sweep that came out alike: one verdict for one cause; where they lie, why, and what to do, worst first."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import NamedTuple

from dtanalyze.facts import CheckResult
from dtanalyze.linux.boot import WORST_FIRST, Verdict
from dtanalyze.report.lines import sentence

__all__ = ["Group", "groups_of", "linux_names", "what_is_safe", "what_to_do", "where", "why", "xen_names"]


class Group(NamedTuple):
    """Cells with one verdict for one cause."""

    verdict: Verdict
    cells: tuple[CheckResult, ...]


def groups_of(cells: Iterable[CheckResult]) -> list[Group]:
    """Return the groups, the worst verdict first and of equals the largest."""
    found: dict[tuple[object, ...], list[CheckResult]] = {}
    for item in cells:
        found.setdefault(_key(item), []).append(item)
    made = [Group(items[0].verdict, tuple(items)) for items in found.values()]
    return sorted(made, key=lambda item: (WORST_FIRST.index(item.verdict), -len(item.cells)))


def _key(result: CheckResult) -> tuple[object, ...]:
    """Return what makes two cells alike: the verdict with its cause; what works is one group."""
    if result.verdict is Verdict.SCRATCH:
        return (result.verdict,)
    if result.cause is not None:
        return (result.verdict, result.cause.rule, result.cause.node)
    return (result.verdict, result.reason.replace(result.xen or " ", ""))


def xen_names(cells: Iterable[CheckResult]) -> list[str]:
    """Return the releases of Xen in their order; the empty word stands for a tree that Xen has written already."""
    return list(dict.fromkeys(item.xen or "" for item in cells))


def linux_names(cells: Iterable[CheckResult]) -> list[str]:
    """Return the kernels in their order."""
    return list(dict.fromkeys(item.linux.name for item in cells))


def what_is_safe(cells: tuple[CheckResult, ...]) -> str:
    """Say which releases are safe with every kernel and setting, or how much is."""
    good = [item for item in cells if item.verdict is Verdict.SCRATCH]
    if len(good) == len(cells):
        return "Safe with all of them."
    if not good:
        return "None of them gives scratch pages."
    bad = [item for item in cells if item.verdict is not Verdict.SCRATCH]
    for name, every, worse in (("Xen", xen_names(cells), xen_names(bad)), ("Linux", linux_names(cells), linux_names(bad))):
        safe = [value for value in every if value and value not in worse]
        if safe:
            return f"Safe with everything else asked: {name} {', '.join(safe)}."
    kernels = [
        name
        for name in linux_names(cells)
        if not any(item.verdict is Verdict.SCRATCH for item in cells if item.linux.name == name)
    ]
    rest = [item for item in cells if item.linux.name not in kernels]
    bad_xen = {item.xen for item in rest if item.verdict is not Verdict.SCRATCH}
    safe_xen = [xen for xen in xen_names(rest) if xen and xen not in bad_xen]
    if kernels and safe_xen:
        return f"Safe with every kernel but {', '.join(kernels)}: Xen {', '.join(safe_xen)}."
    return f"{len(good)} of {len(cells)} give scratch pages."


def why(group: Group) -> str:
    """Say the reason once for all releases of Xen that give it; of what works, how many sections there are."""
    if group.verdict is not Verdict.SCRATCH:
        first = group.cells[0]
        several = len(xen_names(group.cells)) > 1
        return sentence(first.reason.replace(f"Xen {first.xen} stops", "Xen stops", 1) if several else first.reason)
    counts = sorted({item.sections for item in group.cells})
    shown = ", ".join(map(str, counts[:4])) if len(counts) <= 4 else f"{counts[0]} to {counts[-1]}"
    return f"{shown} {'section' if counts == [1] else 'sections'}, clear of everything."


def where(group: Group, cells: tuple[CheckResult, ...]) -> str:
    """Say the cells of a group in few words: as a product of releases, kernels and IOMMU settings where they are one."""
    if len(group.cells) == len(cells):
        return "all"
    whole = _product(group.cells, cells)
    if whole is not None:
        return whole
    if group.verdict is Verdict.SCRATCH:
        return "the rest"
    parts = []
    for iommu in dict.fromkeys(item.iommu for item in group.cells):
        mine = tuple(item for item in group.cells if item.iommu is iommu)
        said = _product(mine, tuple(item for item in cells if item.iommu is iommu))
        name = {True: "IOMMU on", False: "IOMMU off", None: ""}[iommu]
        parts.append(f"{name}: {said or f'{len(mine)} cells'}".lstrip(": "))
    return "; ".join(parts)


def _product(mine: tuple[CheckResult, ...], cells: tuple[CheckResult, ...]) -> str | None:
    xens, linuxes = xen_names(mine), linux_names(mine)
    iommus = list(dict.fromkeys(item.iommu for item in mine))
    have = {(item.xen or "", item.linux.name, item.iommu) for item in mine}
    if have != set(product(xens, linuxes, iommus)):
        return None
    parts = []
    if any(xens):
        parts.append("every Xen" if len(xens) == len(xen_names(cells)) else f"Xen {', '.join(xens)}")
    parts.append("every kernel" if len(linuxes) == len(linux_names(cells)) else f"Linux {', '.join(linuxes)}")
    if len({item.iommu for item in cells}) > 1:
        parts.append("IOMMU off and on" if len(iommus) > 1 else f"IOMMU {'on' if iommus[0] else 'off'}")
    return ", ".join(parts)


def what_to_do(group: Group, cells: tuple[CheckResult, ...]) -> str:
    """Return the advice of the cause, and the nearest release that is without it; empty for what works."""
    result = group.cells[0]
    if group.verdict is Verdict.SCRATCH:
        return ""
    found = result.cause or next((item for item in result.findings if item.rule.startswith("V-")), None)
    advice = found.advice if found is not None else ""
    near = _nearest(group, cells)
    return " ".join(item for item in (advice, f"Or use {near}." if near else "") if item)


def _nearest(group: Group, cells: tuple[CheckResult, ...]) -> str:
    """Return a release or a kernel with which every cell of the group would work."""
    good = {(item.xen, item.linux.name, item.iommu) for item in cells if item.verdict is Verdict.SCRATCH}
    mine = [(item.xen, item.linux.name, item.iommu) for item in group.cells]
    for xen in reversed(xen_names(cells)):
        if xen and xen != "master" and all((xen, linux, iommu) in good for _, linux, iommu in mine):
            return f"Xen {xen}"
    for linux in reversed(linux_names(cells)):
        if all((xen, linux, iommu) in good for xen, _, iommu in mine):
            return f"Linux {linux}"
    return ""
