"""Results as text: pure functions from data to strings. ``FORMATS`` is the one table of formats."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final, TypeAlias

from dtanalyze.errors import UsageError

if TYPE_CHECKING:
    from dtanalyze.report.whole import Report

__all__ = ["FORMATS", "Format", "check_format", "rendered"]

Format: TypeAlias = "Callable[[Report], Iterator[str]]"


def _of(module: str) -> Format:
    """Return the format's ``render``, imported when it is called: nobody pays at start-up for the others.

    It yields the document in parts, so that none of it has to be held.
    """

    def render(report: Report) -> Iterator[str]:
        function: Callable[[Report], str | Iterator[str]] = importlib.import_module(f"dtanalyze.report.{module}").render
        parts = function(report)
        yield from ((parts,) if isinstance(parts, str) else parts)

    return render


def rendered(name: str, report: Report) -> str:
    """Return a whole document in one of the `FORMATS`."""
    return "".join(FORMATS[name](report))


FORMATS: Final[dict[str, Format]] = {
    "text": _of("text"),
    "concise": _of("concise"),
    "json": _of("json"),
    "sarif": _of("sarif"),
    "junit": _of("junit"),
    "github": _of("github"),
    "gitlab": _of("gitlab"),
    "markdown": _of("markdown"),
}
"""What ``check`` can print, by name; the other commands print the first two."""


def check_format(name: str, known: Iterable[str] = ("text", "json")) -> str:
    """Return ``name`` when it is a format; raise `UsageError` naming all when it is not."""
    known = tuple(known)
    if name not in known:
        raise UsageError(f"no format is called '{name}'; there are {', '.join(known)}")
    return name
