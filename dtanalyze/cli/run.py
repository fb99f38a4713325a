"""One loop for all commands: each input on its own, one bad input costs only itself.

The unit of work is an input, from its first byte to its last: reading it, taking trees out of it, compiling it, applying
overlays, and what the command makes of each tree. It happens under the input's limits, and whatever it raises is one
failure.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias, TypeVar

from dtanalyze.analysis import CheckOptions, HostQuestion, check, in_file, in_sources
from dtanalyze.cli.call import wants_debug
from dtanalyze.cli.console import complain, fail
from dtanalyze.cli.limits import Limits, Spent, TimeUpError, within
from dtanalyze.devicetree.source_map import SourceMap
from dtanalyze.errors import DtanalyzeError, InputFailure
from dtanalyze.facts import CheckResult
from dtanalyze.inputs.files import Given, Overlays, expanded, trees_in
from dtanalyze.inputs.sourcing import Sourcing

__all__ = [
    "Outcome",
    "Sources",
    "TreeInput",
    "checked",
    "checked_partial",
    "each_input",
    "failure_of",
    "held_to_limits",
    "made_of",
    "report_failures",
    "usage_errors",
]

T = TypeVar("T")
Outcome: TypeAlias = tuple[list[T], list[InputFailure]]
"""What comes of one input: of each tree in it, and what could not be read."""


class TreeInput(NamedTuple):
    """One tree: what it is called, its bytes, those that stand in the file before overlays are applied, and the file."""

    name: str
    data: bytes
    original: bytes
    file: str
    places: SourceMap | None = None


class Sources(NamedTuple):
    """How inputs are read: overlays applied to each, folders that sources may include from, and what each may cost."""

    overlays: Overlays | None = None
    sourcing: Sourcing = Sourcing()
    limits: Limits = Limits()


PLAIN_SOURCES: Final = Sources()
_GARBAGE: Final = 10_000
"""New objects after which the collector looks: those of a small tree."""
_INPUTS: Final = count()
"""Inputs that this process has looked at."""


def each_input(
    paths: list[str], analyse: Callable[[TreeInput], T], sources: Sources = PLAIN_SOURCES
) -> Outcome[T]:
    """Return what ``analyse`` makes of each tree in each input, in order, and the inputs that could not be read."""
    results: list[T] = []
    failures: list[InputFailure] = []
    for given in expanded(paths):
        found, failed = ([], [given]) if isinstance(given, InputFailure) else made_of(given, analyse, sources)
        results += found
        failures += failed
    return results, failures


def made_of(given: Given, analyse: Callable[[TreeInput], T], sources: Sources) -> Outcome[T]:
    """Return what ``analyse`` makes of each tree in one input, and what could not be read of it."""
    _collect_soon()
    results: list[T] = []
    failures: list[InputFailure] = []
    at = [given.name]
    try:
        with within(sources.limits) as spent:
            for item in _trees(given, sources, spent):
                if isinstance(item, InputFailure):
                    failures.append(item)
                    continue
                at[:] = [item.name]
                try:
                    results.append(analyse(item))
                except DtanalyzeError as error:
                    if not spent.left():
                        raise
                    failures.append(InputFailure(item.name, str(error), error.offset, item.file, error.at))
                at[:] = [given.name]
    except Exception as error:  # noqa: BLE001  # whatever it is, it costs this input only
        failures.append(failure_of(at[0], given.name, error, sources.limits))
    return results, failures


def _collect_soon() -> None:
    """From the second input on, have garbage collected before there is much of it.

    A tree is rings, of nodes and their parents, that only the collector lets go. A run over one ends before that is of use.
    What start-up made is left out, so that looking through the rest is cheap.
    """
    if next(_INPUTS):  # gc.get_freeze_count() would go through all that is frozen
        gc.set_threshold(_GARBAGE)
    else:
        gc.freeze()


def _trees(given: Given, sources: Sources, spent: Spent) -> Iterator[TreeInput | InputFailure]:
    """Yield every tree in an input, and those that could not be read."""
    for item in trees_in(given.name, given.read(), sources.overlays, sources.sourcing, spent.left()):
        if isinstance(item, InputFailure):
            yield item._replace(file=given.name)
        else:
            yield TreeInput(item.name, item.data, item.original, given.name, item.places)


def failure_of(name: str, file: str, error: Exception, limits: Limits) -> InputFailure:
    """Return what an exception means for an input: what it says, or that it is a defect of ours."""
    if wants_debug():
        complain_of(error)
    if isinstance(error, DtanalyzeError):
        return InputFailure(name, str(error), error.offset, file, error.at)
    if isinstance(error, MemoryError):
        return InputFailure(name, f"it takes more than {limits.memory >> 20} MiB of memory (--memory-limit)", None, file)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return InputFailure(name, f"the system refuses what it takes: {where}{error.strerror or error}", None, file)
    import traceback

    last = traceback.extract_tb(error.__traceback__)[-1]
    what = f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
    message = f"internal error: {what}: please report it, with this input; --debug shows where it comes from"
    return InputFailure(name, message, None, file)


@contextmanager
def held_to_limits(name: str) -> Iterator[None]:
    """Hold the body to the limits of one input: whatever it raises is one sentence about ``name``, and status 2."""
    try:
        with within(PLAIN_SOURCES.limits):
            yield
    except Exception as error:  # noqa: BLE001  # the sentence says what it was
        failure = failure_of(name, "", error, PLAIN_SOURCES.limits)
        own = isinstance(error, DtanalyzeError) and not isinstance(error, TimeUpError)
        fail(failure.message if own else f"{name}: {failure.message}")


def complain_of(error: BaseException) -> None:
    """Show where an exception comes from, each line as one that cannot be taken for another."""
    import traceback

    for line in "".join(traceback.format_exception(error)).splitlines():
        complain(line)


def checked(
    item: TreeInput, options: CheckOptions, question: HostQuestion, offering: Sourcing | None = None
) -> tuple[CheckResult, ...]:
    """Return the results for one tree, with offsets into the file that it stands in.

    With ``offering``, findings carry the change of the sources that cures them, where no overlay says something else.
    """
    results = check(item.data, item.name, options, question)
    if item.file != item.name:
        results = tuple(result._replace(file=item.file) for result in results)
    if item.places is not None:
        results = in_sources(item.data, item.places, results)
        if offering is not None and item.original is item.data:
            from dtanalyze.cli.source_offers import with_source_cures

            results = with_source_cures(item.data, offering.source or item.file, results, (options, question), offering)
    if item.original is not item.data:
        results = in_file(item.original, results)
    if item.places is not None and item.places.remarks:
        from dtanalyze.controls.in_source import suppressions_in
        from dtanalyze.controls.selection import known_rules

        suppressions_in(item.places.remarks, known_rules())  # a comment that means nothing costs this input
    return results


def checked_partial(item: TreeInput, board: tuple[str, bytes], question: HostQuestion) -> tuple[CheckResult, ...]:
    """Return the results for a partial tree on a board."""
    from dtanalyze.analysis.partial import check_partial

    return check_partial(item.data, item.name, board, question)


def report_failures(failures: list[InputFailure]) -> None:
    """Say on stderr which inputs could not be read, a line each."""
    for failure in failures:
        complain(f"{failure.path}: {failure.message}")


@contextmanager
def usage_errors() -> Iterator[None]:
    """Turn an error in the arguments into one sentence and status 2."""
    try:
        yield
    except DtanalyzeError as error:
        fail(str(error))
