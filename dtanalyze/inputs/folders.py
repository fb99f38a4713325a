"""What folders and patterns name: sorted, each file once, no link to a folder followed where it could lead back.

A link that leads nowhere, a pipe, a folder that may not be looked into: all are handed on by name, so that reading them says
what is wrong. Nothing is skipped in silence.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Final

from dtanalyze.errors import InputFailure
from dtanalyze.inputs.reading import begins_with

__all__ = ["in_folder", "is_pattern", "matching"]

_MARKS: Final = "*?["
_SUFFIXES: Final = (".dtb", ".itb", ".fit", ".dts")
_OVERLAYS: Final = (".dtbo", ".dtso")
"""What is no tree alone: in a folder they stand beside the trees that they are for."""
_MAGIC: Final = b"\xd0\x0d\xfe\xed"


def is_pattern(text: str) -> bool:
    """Whether a name holds ``*``, ``?`` or ``[``."""
    return any(mark in text for mark in _MARKS)


def in_folder(path: str) -> list[str | InputFailure]:
    """Return every tree below a folder, sorted, then the folders that could not be looked into.

    That is what is called .dtb, .itb, .fit or .dts, and every file that begins as a flattened tree does, such as Yocto's
    ``fitImage``. Overlays are left out: they are no trees.
    """
    failures: list[InputFailure] = []

    def refused(error: OSError) -> None:
        failures.append(InputFailure(str(error.filename), error.strerror or str(error), None))

    found: list[str | InputFailure] = sorted(
        _joined(folder, name)
        for folder, _, names in os.walk(path, onerror=refused)
        for name in names
        if _is_tree(_joined(folder, name))
    )
    return found + sorted(failures)


def _is_tree(path: str) -> bool:
    return not path.endswith(_OVERLAYS) and (path.endswith(_SUFFIXES) or begins_with(path, _MAGIC))


def matching(pattern: str) -> list[str]:
    """Return what a pattern matches and is no folder, sorted; ``**`` stands for any folders, none of them behind a link.

    As in a shell, a name that begins with a dot is matched by a part that does.
    """
    bases: Iterable[str] = ["/"] if pattern.startswith("/") else [""]
    parts = pattern.split("/")
    for part in [*parts, "*"] if parts[-1] == "**" else parts:
        if part:
            bases = dict.fromkeys(name for base in bases for name in _step(base, part))
    return sorted(name for name in bases if not os.path.isdir(name))


def _joined(base: str, name: str) -> str:
    return os.path.join(base, name) if base else name


def _step(base: str, part: str) -> Iterator[str]:
    """Yield what one part of a pattern leads to from ``base``."""
    if part == "**":
        yield base
        for folder, below, _ in os.walk(base or "."):
            below[:] = [
                name for name in below if not name.startswith(".") and not os.path.islink(os.path.join(folder, name))
            ]
            yield from (_joined(base, os.path.relpath(os.path.join(folder, name), base or ".")) for name in below)
    elif is_pattern(part):
        yield from (_joined(base, name) for name in _names(base) if _fits(name, part))
    elif os.path.lexists(_joined(base, part)):
        yield _joined(base, part)


def _names(base: str) -> list[str]:
    try:
        return os.listdir(base or ".")
    except OSError:
        return []  # no folder, or not ours to look into: a pattern names only what it finds


def _fits(name: str, part: str) -> bool:
    return fnmatchcase(name, part) and (part.startswith(".") or not name.startswith("."))
