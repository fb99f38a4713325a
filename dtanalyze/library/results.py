"""The answers as a Python program or a notebook gets them: named tuples that print as the command line prints them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, SupportsIndex, TypeAlias, TypeVar, overload

from dtanalyze import facts
from dtanalyze.analysis.guest import kind_of
from dtanalyze.causes import folded
from dtanalyze.devicetree.source_map import SourceMap
from dtanalyze.devicetree.tree import Tree
from dtanalyze.errors import UsageError
from dtanalyze.findings import Finding
from dtanalyze.linux.boot import WORST_FIRST, Verdict
from dtanalyze.report import FORMATS, check_format, rendered
from dtanalyze.report.json import check_result, finding_json, predict_result
from dtanalyze.report.picture.html import picture_html
from dtanalyze.report.picture.scene import scene, title
from dtanalyze.report.whole import Report
from dtanalyze.version import __version__

__all__ = ["Devicetree", "Predicted", "Predictions", "Result", "Results", "Source"]

Source: TypeAlias = "str | os.PathLike[str] | bytes | Devicetree"
T = TypeVar("T")


class Devicetree(NamedTuple):
    """A tree that was read: what it is called in reports, its bytes, and what they say.

    ``original`` are the bytes before overlays were applied; offsets in findings count in them. ``file`` is the file that
    the tree stands in, where the name says more than that; ``places`` are where a source's nodes were written.
    """

    name: str
    data: bytes
    original: bytes
    tree: Tree
    file: str
    places: SourceMap | None = None

    def __repr__(self) -> str:
        """Name the tree; the whole of it would fill pages."""
        return f"<{self.kind} tree {self.name}, {len(self.data)} bytes>"

    @property
    def kind(self) -> str:
        """``host``, ``dom0`` or ``domu``: what it is taken for."""
        return kind_of(self.tree)


class Result(facts.CheckResult):
    """The answer for one domain, one kernel and one release; the fields are those of the JSON report."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Name the result; the whole of it would fill pages."""
        return f"<{title(self)}: {self.verdict.value}>"

    def __str__(self) -> str:
        """Return what ``dtanalyze check`` prints."""
        return Results((self,)).render()

    def to_dict(self) -> dict[str, Any]:
        """Return the result as ``dtanalyze check --format json`` has it."""
        return check_result(self)

    def row(self) -> dict[str, Any]:
        """Return what decides, flat: a row of a table."""
        return {
            "path": self.path,
            "domain": self.domain or self.tree,
            "linux": self.linux.name,
            "xen": self.xen,
            "iommu": self.iommu,
            "verdict": self.verdict.value,
            "sections": self.sections,
            "pages": self.pages,
            "errors": sum(item.severity == "error" for item in self.findings),
            "warnings": sum(item.severity == "warning" for item in self.findings),
            "cause": self.cause.rule if self.cause else None,
            "reason": self.reason,
        }

    def _repr_html_(self) -> str:
        """Return the map, for a notebook."""
        return _pictures((self,))


class Results(tuple[Result, ...]):
    """The answers to one question: releases, kernels, IOMMU settings and domains, in the order of the command line.

    A slice is `Results` again.
    """

    asked: tuple[str, ...] = ()
    """The question as options of the command line."""

    @overload
    def __getitem__(self, key: SupportsIndex) -> Result: ...
    @overload
    def __getitem__(self, key: slice) -> Results: ...
    def __getitem__(self, key: SupportsIndex | slice) -> Result | Results:
        """Return one result, or those of a slice."""
        found = super().__getitem__(key)
        if isinstance(found, Result):
            return found
        made = Results(found)
        made.asked = self.asked
        return made

    @property
    def verdict(self) -> Verdict:
        """The worst of the verdicts; `UsageError` when there is no result."""
        if not self:
            raise UsageError("there is no result, so that there is no verdict")
        return min((item.verdict for item in self), key=WORST_FIRST.index)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings, each once, the most severe first."""
        return tuple(sorted(dict.fromkeys(found for item in self for found in item.findings), key=lambda it: it.sort_key))

    def render(self, format: str = "text") -> str:
        """Return what ``dtanalyze check --format`` prints; raise `UsageError` when there is no such format."""
        cells = {(item.xen, item.iommu, item.linux) for item in self}
        report = Report((tuple(self),), version=__version__, root=str(Path.cwd()), sweep=len(cells) > 1, asked=self.asked)
        return rendered(check_format(format, FORMATS), report)

    def to_dict(self) -> dict[str, Any]:
        """Return the whole JSON answer of ``dtanalyze check``."""
        answer: dict[str, Any] = json.loads(self.render("json"))
        return answer

    def rows(self) -> list[dict[str, Any]]:
        """Return a flat row for each result: ``pandas.DataFrame(results.rows())``."""
        return [item.row() for item in self]

    def finding_rows(self) -> list[dict[str, Any]]:
        """Return a flat row for each finding of each result."""
        keys = ("path", "domain", "linux", "xen", "iommu")
        return [
            {**{key: value for key, value in item.row().items() if key in keys}, **_flat(found)}
            for item in self
            for found in item.findings
        ]

    def __str__(self) -> str:
        """Return what ``dtanalyze check`` prints."""
        return self.render()

    def _repr_html_(self) -> str:
        """Return the map, for a notebook; with several results it has a selector."""
        return _pictures(self)


def _flat(finding: Finding) -> dict[str, Any]:
    kept = ("rule", "name", "severity", "message", "advice", "node", "offset")
    return {key: value for key, value in finding_json(finding).items() if key in kept}


class Predicted(facts.Predicted):
    """What Xen does for one domain, and what Linux does with the tree that Xen writes for it."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Name the prediction; the whole of it would fill pages."""
        return f"<{title(self.host)}: {self.host.verdict.value}>"

    @property
    def result(self) -> Result:
        """The whole chain's answer."""
        return Result(*folded(self.host))

    @property
    def blob(self) -> bytes | None:
        """The tree that Xen writes, None when it writes none."""
        return self.prediction.blob

    def to_dict(self) -> dict[str, Any]:
        """Return the prediction as ``dtanalyze predict --format json`` has it."""
        return predict_result(self.host.path, self)

    def __str__(self) -> str:
        """Return what ``dtanalyze predict`` prints."""
        from dtanalyze.report.predict import predict_text

        return predict_text(self.host.path, self)

    def _repr_html_(self) -> str:
        """Return the map, for a notebook."""
        return _pictures((self.host,))


class Predictions(tuple[Predicted, ...]):
    """The predictions for one host tree, in the order of the command line. A slice is `Predictions` again."""

    __slots__ = ()

    @overload
    def __getitem__(self, key: SupportsIndex) -> Predicted: ...
    @overload
    def __getitem__(self, key: slice) -> Predictions: ...
    def __getitem__(self, key: SupportsIndex | slice) -> Predicted | Predictions:
        """Return one prediction, or those of a slice."""
        found = super().__getitem__(key)
        return found if isinstance(found, Predicted) else Predictions(found)

    def __str__(self) -> str:
        """Return what ``dtanalyze predict`` prints."""
        return "\n".join(map(str, self))

    def _repr_html_(self) -> str:
        """Return the map, for a notebook; with several predictions it has a selector."""
        return _pictures(item.host for item in self)


def _pictures(results: Iterable[facts.CheckResult]) -> str:
    return picture_html(tuple(scene(item) for item in results), fragment=True)
