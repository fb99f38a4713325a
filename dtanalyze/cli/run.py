"""One loop for all commands: each input on its own, one bad file costs only itself."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn, TypeVar

import typer

from dtanalyze.errors import DtanalyzeError, InputFailure

__all__ = ["each_input", "fail", "usage_errors"]

T = TypeVar("T")


def _read(path: str) -> bytes:
    return sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()


def each_input(paths: list[str], analyse: Callable[[bytes, str], T]) -> tuple[list[T], list[InputFailure]]:
    """Return what ``analyse`` makes of each input, in order, and the inputs that could not be read."""
    results: list[T] = []
    failures: list[InputFailure] = []
    for path in paths:
        name = "<stdin>" if path == "-" else path
        try:
            results.append(analyse(_read(path), name))
        except DtanalyzeError as error:
            failures.append(InputFailure(name, str(error), error.offset))
        except OSError as error:
            failures.append(InputFailure(name, error.strerror or str(error), None))
    return results, failures


def report_failures(failures: list[InputFailure]) -> None:
    """Say on stderr which inputs could not be read, a line each."""
    for failure in failures:
        typer.echo(f"dtanalyze: {failure.path}: {failure.message}", err=True)


def fail(message: str) -> NoReturn:
    """Say what is wrong with the call and leave with status 2."""
    typer.echo(f"dtanalyze: {message}", err=True)
    raise typer.Exit(2)


@contextmanager
def usage_errors() -> Iterator[None]:
    """Turn an error in the arguments into one sentence and status 2."""
    try:
        yield
    except DtanalyzeError as error:
        fail(str(error))
