"""One loop for all commands: each input on its own, one bad file costs only itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, NoReturn, TypeVar

import typer

from dtanalyze.analysis import CheckOptions, HostQuestion, check, in_file
from dtanalyze.errors import DtanalyzeError, InputFailure
from dtanalyze.facts import CheckResult
from dtanalyze.inputs.files import Overlays, expanded, trees_in

__all__ = ["TreeInput", "checked", "complain", "each_input", "each_tree", "fail", "report_failures", "usage_errors"]

T = TypeVar("T")


class TreeInput(NamedTuple):
    """One tree: what it is called, its bytes, those that stand in the file before overlays are applied, and the file."""

    name: str
    data: bytes
    original: bytes
    file: str


def each_input(
    paths: list[str], analyse: Callable[[TreeInput], T], overlays: Overlays | None = None
) -> tuple[list[T], list[InputFailure]]:
    """Return what ``analyse`` makes of each tree in each input, in order, and the inputs that could not be read."""
    results: list[T] = []
    failures: list[InputFailure] = []
    for item in each_tree(paths, overlays):
        if isinstance(item, InputFailure):
            failures.append(item)
            continue
        try:
            results.append(analyse(item))
        except DtanalyzeError as error:
            failures.append(InputFailure(item.name, str(error), error.offset, item.file))
    return results, failures


def each_tree(paths: list[str], overlays: Overlays | None) -> Iterator[TreeInput | InputFailure]:
    """Yield every tree in every input, in order, and the inputs that could not be read."""
    for given in expanded(paths):
        if isinstance(given, InputFailure):
            yield given
            continue
        try:
            for item in trees_in(given.name, given.read(), overlays):
                yield item._replace(file=given.name) if isinstance(item, InputFailure) else TreeInput(*item, given.name)
        except DtanalyzeError as error:
            yield InputFailure(given.name, str(error), error.offset)
        except OSError as error:
            yield InputFailure(given.name, error.strerror or str(error), None)


def checked(item: TreeInput, options: CheckOptions, question: HostQuestion) -> tuple[CheckResult, ...]:
    """Return the results for one tree, with offsets into the file that it stands in."""
    results = check(item.data, item.name, options, question)
    if item.file != item.name:
        results = tuple(result._replace(file=item.file) for result in results)
    return results if item.original is item.data else in_file(item.original, results)


def report_failures(failures: list[InputFailure]) -> None:
    """Say on stderr which inputs could not be read, a line each."""
    for failure in failures:
        complain(f"{failure.path}: {failure.message}")


def complain(message: str) -> None:
    """Say something on stderr: one line, whatever the names in it are."""
    from dtanalyze.report.foreign import visible

    typer.echo(f"dtanalyze: {visible(message)}", err=True)


def fail(message: str) -> NoReturn:
    """Say what is wrong with the call and leave with status 2."""
    complain(message)
    raise typer.Exit(2)


@contextmanager
def usage_errors() -> Iterator[None]:
    """Turn an error in the arguments into one sentence and status 2."""
    try:
        yield
    except DtanalyzeError as error:
        fail(str(error))
