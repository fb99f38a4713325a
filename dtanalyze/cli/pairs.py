"""Trees before and after a change, each with its counterpart: of two folders or patterns, by the place below them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import takewhile

from dtanalyze.causes import folded
from dtanalyze.cli.run import Sources, TreeInput, each_input
from dtanalyze.controls.difference import TreeChange, changes
from dtanalyze.errors import InputFailure, UsageError
from dtanalyze.facts import CheckResult
from dtanalyze.inputs.files import expanded
from dtanalyze.inputs.folders import is_pattern

__all__ = ["paired", "several"]

Work = Callable[[TreeInput], tuple[CheckResult, ...]]


def several(path: str) -> bool:
    """Whether a name stands for files: a folder, or a pattern that is no file's own name."""
    return os.path.isdir(path) or (is_pattern(path) and not os.path.lexists(path))


def paired(
    old: str, new: str, analyse: Work, before: Sources, after: Sources
) -> tuple[list[TreeChange], list[InputFailure]]:
    """Return what became of each tree below two folders or patterns, and the files that could not be read.

    ``before`` and ``after`` say how the inputs of each side are read. A tree that cannot be read on one side is not
    compared: it is no new one. Raises `UsageError` where one name stands for files and the other for one.
    """
    if several(old) != several(new):
        one, many = (new, old) if several(old) else (old, new)
        if not os.path.lexists(one):
            raise UsageError(f"{one}: No such file or directory")
        raise UsageError(f"diff compares folders with folders: {many} is one or a pattern, {one} is a file")
    found: list[TreeChange] = []
    failures: list[InputFailure] = []
    olds, news = _below(old, failures), _below(new, failures)
    for name in sorted({*olds, *news}):
        first, bad = each_input([olds[name]], analyse, before) if name in olds else ([], [])
        last, worse = each_input([news[name]], analyse, after) if name in news else ([], [])
        failures += bad + worse
        if not bad and not worse:
            found += _changed(TreeChange(name, olds.get(name), news.get(name), ()), first, last)
    return found, failures


def _changed(
    file: TreeChange, first: list[tuple[CheckResult, ...]], last: list[tuple[CheckResult, ...]]
) -> Iterator[TreeChange]:
    """Yield the change of each tree in a file: an image holds several, each with a name of its own."""
    old, new = _by_name(first), _by_name(last)
    for inside in dict.fromkeys((*new, *old)):
        both = (old.get(inside, ()), new.get(inside, ()))
        yield file._replace(name=file.name + inside, cells=changes(*(map(folded, item) for item in both)))


def _by_name(groups: list[tuple[CheckResult, ...]]) -> dict[str, tuple[CheckResult, ...]]:
    return {f":{group[0].inside}" if group[0].inside else "": group for group in groups if group}


def _below(path: str, failures: list[InputFailure]) -> dict[str, str]:
    """Return the files that a name stands for, by their place below it."""
    top = path if os.path.isdir(path) else "/".join(takewhile(lambda part: not is_pattern(part), path.split("/")))
    found = {}
    for item in expanded([path]):
        if isinstance(item, InputFailure):
            failures.append(item)
        else:
            found[os.path.relpath(item.name, top or ".")] = item.name
    return found
