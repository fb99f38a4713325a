"""What a report is made of: everything that one call of ``check`` found, and how people want it shown."""

from typing import NamedTuple

from dtanalyze.errors import InputFailure
from dtanalyze.facts import CheckResult
from dtanalyze.report.style import PLAIN, Style

__all__ = ["Report"]


class Report(NamedTuple):
    """``groups`` holds one tuple of results for each input that could be read; ``failures`` the inputs that could not.

    ``root`` is the folder that relative paths start from, ``sweep`` whether several kernels or releases were asked for.
    The last three concern people only.
    """

    groups: tuple[tuple[CheckResult, ...], ...]
    failures: tuple[InputFailure, ...] = ()
    version: str = ""
    root: str = ""
    sweep: bool = False
    style: Style = PLAIN
    quiet: bool = False
    explain: bool = False

    @property
    def results(self) -> tuple[CheckResult, ...]:
        """All results, in the order of the inputs."""
        return tuple(result for group in self.groups for result in group)
