"""Many results rendered at once: a defect over one input costs only that input, as one in its analysis does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from dtanalyze.cli.console import LeaveError, say
from dtanalyze.cli.kept import Kept
from dtanalyze.cli.run import PLAIN_SOURCES, failure_of, report_failures
from dtanalyze.errors import DtanalyzeError, InputFailure

__all__ = ["rendered", "say_rendered"]

T = TypeVar("T")
R = TypeVar("R")
_ANOTHER: Final = InputFailure("another input", "it is not looked at", None)
"""Beside an item that is rendered alone: a document of several inputs has more in it than that of one."""


def rendered(
    items: Sequence[T],
    render: Callable[[Sequence[T], list[InputFailure]], R],
    failures: list[InputFailure],
    named: Callable[[int], tuple[str, str]],
) -> tuple[R, Sequence[T], list[InputFailure]]:
    """Return what ``render`` makes of the items and the failures, with the items and failures that stand in it.

    When it raises, each item is rendered alone, what raises then becomes a failure, and the rest is rendered again.
    ``render`` writes nothing itself, so that nothing is said twice. ``named`` tells how the input of the item at a place
    is called, and its file.
    """
    try:
        return render(items, failures), items, failures
    except (DtanalyzeError, OSError):
        raise
    except Exception:  # whatever it is, it costs the inputs over which it comes
        good, bad = Kept[T](), list[InputFailure]()
        for place in range(len(items)):
            try:
                item = items[place]
                render((item,), [_ANOTHER])
                good.append(item)
            except Exception as error:  # noqa: BLE001  # likewise
                bad.append(failure_of(*named(place), error, PLAIN_SOURCES.limits))
        if not bad:
            raise
        return render(good, failures + bad), good, failures + bad


def say_rendered(
    items: Sequence[T],
    render: Callable[[Sequence[T], list[InputFailure]], str],
    failures: list[InputFailure],
    named: Callable[[int], tuple[str, str]],
) -> None:
    """Print what can be rendered, after `rendered`, say what failed, and leave with status 2 when something did."""
    text, _, failures = rendered(items, render, failures, named)
    say(text)
    report_failures(failures)
    if failures:
        raise LeaveError(2)
