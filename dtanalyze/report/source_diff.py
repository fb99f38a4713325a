"""Changes of source files as a unified diff, which ``git apply`` and ``patch -p1`` take."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from dtanalyze.facts import Edit, Rewritten
from dtanalyze.report.foreign import visible

__all__ = ["diff_text", "left_text", "shared_text", "shown", "source_json", "written_text"]

_NO_NEWLINE: Final = "\\ No newline at end of file\n"


def diff_text(files: Iterable[Rewritten]) -> str:
    """Return the diff, byte for byte what a tool needs to make the change; bytes that are no UTF-8 as surrogates."""
    return "".join(line for item in files for line in _of_file(item))


def shown(diff: str) -> str:
    """Return a diff as a terminal or a CI log may show it: what is not printable is escaped, but for tabs."""
    lines = ("\t".join(map(visible, line.split("\t"))) for line in diff.removesuffix("\n").split("\n"))
    return "".join(f"{line}\n" for line in lines) if diff else ""


def _of_file(item: Rewritten) -> Iterator[str]:
    name = item.file.lstrip("/")
    for line in difflib.unified_diff(_lines(item.old), _lines(item.new), f"a/{name}", f"b/{name}"):
        yield line if line.endswith("\n") else f"{line}\n{_NO_NEWLINE}"


def _lines(data: bytes) -> list[str]:
    """Return the lines of a file with their ends; only a newline ends one."""
    return re.findall(r"[^\n]*\n|[^\n]+\Z", data.decode("utf-8", "surrogateescape"))


def left_text(left: Iterable[tuple[Edit, str]]) -> str:
    """Say which changes the source cannot say, each with the reason, a line each."""
    return "".join(
        f"  not in the source: {visible(f'{edit.change.node}: {edit.change.prop}: {why}')}\n" for edit, why in left
    )


def shared_text(files: Iterable[Rewritten], source: str) -> str:
    """Name the changed files that other boards may include as well, a line each; ``source`` is the board's own."""
    shared = (item.file for item in files if item.file != source)
    return "".join(f"  {visible(file)} is an include: every board that includes it changes\n" for file in shared)


def written_text(files: Iterable[Rewritten]) -> str:
    """Name the files that were written, a line each."""
    return "".join(f"written: {visible(item.file)}\n" for item in files)


def source_json(files: Iterable[Rewritten], left: Iterable[tuple[Edit, str]]) -> dict[str, Any]:
    """Return the changed files as diffs, and the changes that the source cannot say."""
    return {
        "files": [{"file": item.file, "diff": diff_text([item])} for item in files],
        "refused": [{"node": edit.change.node, "property": edit.change.prop, "why": why} for edit, why in left],
    }
