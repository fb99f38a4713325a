"""What makes a finding the same one after addresses have moved or the tree was edited elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from dtanalyze.facts import CheckResult
from dtanalyze.findings import Finding

__all__ = ["Identity", "identified", "lasting_path", "relative"]


_AS_THEY_ARE: Final[Mapping[str, str]] = MappingProxyType({})


class Identity(NamedTuple):
    """A finding's rule and place; ``number`` counts those that are otherwise alike, from 1.

    ``path`` is the input's, ``cell`` names domain, kernel and release; ``node`` has no unit addresses.
    """

    path: str
    cell: str
    rule: str
    node: str
    number: int


def lasting_path(node: str) -> str:
    """Return a node's path without unit addresses, which change when a device moves."""
    return "/".join(part.partition("@")[0] for part in node.split("/"))


def relative(path: str, root: str) -> str:
    """Return ``path`` as seen from ``root``, without a leading ``./``; one outside of it stays as it is."""
    if root and path.startswith(root.rstrip("/") + "/"):
        path = path[len(root.rstrip("/")) + 1 :]
    while path.startswith("./"):
        path = path[2:].lstrip("/")
    return path


def identified(
    results: Iterable[CheckResult], root: str | None, renamed: Mapping[str, str] = _AS_THEY_ARE
) -> Iterator[tuple[Identity, CheckResult, Finding]]:
    """Yield every finding with what identifies it; two that are alike are told apart by their order.

    Paths are as seen from ``root``; with None they do not count. ``renamed`` are releases (``linux 7.3``, ``xen 4.22``) that
    count as others.
    """
    seen: Counter[tuple[str, str, str, str]] = Counter()
    for result in results:
        for finding in result.findings:
            path = "" if root is None else relative(result.path, root)
            key = (path, _cell(result, renamed), finding.rule, lasting_path(finding.node or ""))
            seen[key] += 1
            yield Identity(*key, seen[key]), result, finding


def _cell(result: CheckResult, renamed: Mapping[str, str]) -> str:
    # A guest's tree names its release itself: a newer Xen makes no new finding of an old one.
    xen = f"xen {result.xen or '-'}" if result.tree == "host" else ""
    iommu = {True: "iommu", False: "no iommu", None: ""}[result.iommu]
    domain = lasting_path(result.domain or result.tree)
    releases = (renamed.get(item, item) for item in (f"linux {result.linux.name}", xen))
    return " ".join(item for item in (domain, *releases, iommu) if item)
