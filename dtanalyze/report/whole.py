"""What a report is made of: everything that one call of ``check`` found, and how people want it shown."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from dtanalyze.errors import InputFailure
from dtanalyze.facts import CheckResult
from dtanalyze.report.style import PLAIN, Style

if TYPE_CHECKING:  # there is one only when asked for
    from dtanalyze.controls.baseline import Compared
    from dtanalyze.controls.settings import FileUsed
    from dtanalyze.controls.suppressions import Suppression
    from dtanalyze.findings import Finding

__all__ = ["Report"]


class Report(NamedTuple):
    """``groups`` holds one tuple of results for each input that could be read; ``failures`` the inputs that could not.

    ``root`` is the folder that relative paths start from, ``sweep`` whether several kernels or releases were asked for.
    ``style``, ``quiet``, ``verbose``, ``width`` (columns), ``explain`` and ``statistics`` concern people only. ``asked`` are
    the options of the call that concern the tree, for commands that a report names. With a ``baseline`` the results hold
    new findings only; ``suppressed`` are those that somebody has decided to live with, ``settings``
    the files that options came from. ``annotate_limit`` is how many annotations a CI runner is given at most.
    """

    groups: Sequence[tuple[CheckResult, ...]]
    failures: tuple[InputFailure, ...] = ()
    version: str = ""
    root: str = ""
    sweep: bool = False
    style: Style = PLAIN
    quiet: bool = False
    verbose: bool = False
    width: int = 80
    asked: tuple[str, ...] = ()
    explain: bool = False
    statistics: bool = False
    baseline: "Compared | None" = None
    suppressed: "tuple[tuple[CheckResult, Finding, Suppression], ...]" = ()
    settings: "tuple[FileUsed, ...]" = ()
    annotate_limit: int | None = None

    @property
    def results(self) -> Iterator[CheckResult]:
        """All results, in the order of the inputs, one at a time: a batch may have more than memory holds."""
        return (result for group in self.groups for result in group)
