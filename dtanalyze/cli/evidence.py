"""The evidence that a command line names, for ``verify`` and ``collect``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dtanalyze.cli.console import complain
from dtanalyze.errors import InputFailure
from dtanalyze.evidence.bundle import Item
from dtanalyze.inputs.evidence_files import evidence_items, live_items

__all__ = ["evidence"]


def evidence(paths: list[str], *, live: bool, root: str = "/", logs: bool = False) -> Iterator[Item]:
    """Yield the files that are named and, with ``live``, those of the system below ``root``, its logs where wanted.

    Say what of a folder is left out.
    """
    for item in evidence_items(paths):
        if isinstance(item, InputFailure):
            complain(f"{item.path}: {item.message}, left out")
        else:
            yield item
    if live:
        yield from live_items(Path(root), logs=logs)
