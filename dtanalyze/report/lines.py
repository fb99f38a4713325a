"""Lines that fit a width: words wrapped, and paths longer than a line broken where a person would."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from dtanalyze.address.range import AddressRange, RawRange
from dtanalyze.address.units import format_range, format_size

__all__ = ["WIDTH", "command_lines", "fitted", "sentence", "spanned", "wrapped"]

WIDTH: Final = 80
"""Columns where nobody says otherwise: a log, a pipe, a file."""

_IS_A_NAME: Final = re.compile(r"[/_=,]|\.\w")
"""What only a path, a file, a property or an option has in it."""

_COMMAND: Final = " " * 4
"""What stands before a command that has lines of its own."""

_LABEL: Final = re.compile(r" *\S{1,20}  +")


def wrapped(text: str, width: int, *, first: str = "", rest: str | None = None) -> list[str]:
    """Return ``text`` in lines of at most ``width`` columns.

    ``first`` begins the first line, ``rest`` the others; None stands for as many blanks.
    A word that is longer than a line is a path or a list of options: it is broken behind a ``/`` or a comma.
    """
    rest = " " * len(first) if rest is None else rest
    lines, line, empty = [], first, True
    for word in text.split():
        if not empty and len(line) + 1 + len(word) > width:
            lines.append(line)
            line, empty = rest, True
        line += word if empty else f" {word}"
        empty = False
        while len(line) > width:
            cut = _cut(line, width, len(rest))
            lines.append(line[:cut])
            line = rest + line[cut:]
    return [*lines, line] if line.strip() or not lines else lines


def command_lines(words: Sequence[str], width: int, *, label: str) -> list[str]:
    """Return a command, its words quoted, behind ``label``; below it and in lines that a shell joins where it does not fit.

    A word that is longer than a line goes on in the first column, where a shell joins it too; one in quotes stays whole.
    """
    whole = f"{label} {' '.join(words)}"
    if len(whole) <= width:
        return [whole]
    lines, line = [label.rstrip()], _COMMAND
    for word in _together(words):
        if line != _COMMAND and len(line) + len(word) + 3 > width:
            lines.append(f"{line} \\")
            line = _COMMAND + "  "
        line += word if not line.strip() else f" {word}"
        while len(line) > width and "'" not in word:
            lines.append(f"{line[: width - 1]}\\")
            line = line[width - 1 :]
    return [*lines, line]


def _together(words: Iterable[str]) -> list[str]:
    """Return the words with each option and what it takes as one: a line ends before an option, not behind it."""
    found: list[str] = []
    for word in words:
        if found and found[-1].startswith(("-", ">")) and " " not in found[-1] and not word.startswith("-"):
            found[-1] += f" {word}"
        else:
            found.append(word)
    return found


def fitted(lines: Iterable[str], width: int) -> list[str]:
    """Return lines that begin with their indentation, those that are too long wrapped two columns further in.

    A label with two blanks behind it keeps its column: that of a row in a table.
    """
    out = []
    for line in lines:
        indent = line[: len(line) - len(line.lstrip())]
        label = _LABEL.match(line)
        first = label[0] if label is not None else indent
        out += wrapped(line[len(first) :], width, first=first, rest=f"{indent}  ") if len(line) > width else [line]
    return out


def _cut(line: str, width: int, least: int) -> int:
    places = [place + 1 for place in range(least + 1, width) if line[place] in "/,:+-" and place + 1 <= width]
    return max(places, default=max(width, least + 1))


def sentence(text: str) -> str:
    """Return ``text`` with a capital at its beginning and a full stop at its end; paths and options keep theirs."""
    text = text if text.endswith((".", "!", "?", ":")) or not text else f"{text}."
    return text[:1].upper() + text[1:] if text[:1].islower() and not _IS_A_NAME.search(text.split(" ", 1)[0]) else text


def spanned(item: AddressRange | RawRange) -> str:
    """Return a range as the kernel prints it, with its size."""
    return f"{format_range(item.start, item.stop)} ({format_size(item.size)})"
