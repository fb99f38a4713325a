"""The evidence that a command line names, for ``verify`` and ``collect``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dtanalyze.cli.console import complain
from dtanalyze.errors import InputError, InputFailure
from dtanalyze.evidence.bundle import Item
from dtanalyze.inputs.evidence_files import evidence_items, live_items

__all__ = ["complain_of", "evidence", "usable"]


def evidence(paths: list[str], *, live: bool, root: str = "/", logs: bool = False) -> Iterator[Item | InputFailure]:
    """Yield the files that are named and, with ``live``, those of the system below ``root``, its logs where wanted."""
    yield from evidence_items(paths)
    if live:
        yield from live_items(Path(root), logs=logs)


def usable(items: Iterator[Item | InputFailure], named: list[str]) -> Iterator[Item]:
    """Yield what can be used, and say what of a folder cannot; raise `InputError` for what was ``named`` itself."""
    for item in items:
        if not isinstance(item, InputFailure):
            yield item
        elif item.path in named:
            raise InputError(f"{item.path}: {item.message}")
        else:
            complain_of(item, left_out=True)


def complain_of(failure: InputFailure, *, left_out: bool) -> None:
    """Name a file that cannot be used and say why; it is ``left_out`` where there is something else."""
    complain(f"{failure.path}: {failure.message}{', left out' if left_out else ''}")
