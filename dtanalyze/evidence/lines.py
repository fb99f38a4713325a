"""Lines of a recorded log, freed of what lies between the machine and the file.

A log has been through a serial line, a terminal program, a pager, a mail: carriage returns, control characters, colours,
quoting. Nothing here knows what a line says; only whose it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final, Generic, TypeVar

from dtanalyze.named_tuple import NamedTuple

__all__ = ["LONGEST", "XEN", "Fact", "Line", "cleaned", "continued", "lines_of", "linux_text", "read_lines", "xen_texts"]

LONGEST: Final = 1 << 16
"""Bytes of a line that are looked at; what follows is read as another line, so that memory stays bounded."""

_ESCAPE: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[@-Z\\-_])")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_QUOTE: Final = re.compile(r"^(?:> ?)+")
_XEN: Final = "(XEN)"
XEN: Final = _XEN.encode()
"""What every line of Xen's console begins with."""
# Xen's console_timestamps=boot, date, datems and raw.
_XEN_TIME: Final = re.compile(r" ?\[(?:\s*\d+\.\d+|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?|[0-9a-f]{16})\]")
# printk.time, with a level and a caller before or after it; dmesg -T; a journal; a record of /dev/kmsg.
_LINUX_TIME: Final = re.compile(
    r"^\d+,\d+,\d+,[^;]*;|"
    r"\[\s*\d+\.\d{6}\](?:\[\s*[TC]\d+\])? ?|^\[[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}\] | kernel: "
)

T = TypeVar("T")


class Fact(NamedTuple, Generic[T]):
    """Something that a machine said, and the number of the line (from 1) on which it did."""

    value: T
    line: int


class Line(NamedTuple):
    """One line, its number counted from 1, without its end."""

    number: int
    text: str


def lines_of(text: str) -> Iterator[Line]:
    """Yield the lines of ``text``, cleaned."""
    for number, line in enumerate(text.split("\n"), 1):
        yield Line(number, _cleaned(line))


def cleaned(text: str) -> str:
    """Return ``text`` with every line cleaned: a recorded file that is not a log."""
    return "\n".join(line.text for line in lines_of(text))


def read_lines(stream: BinaryIO, near: bytes = b"") -> Iterator[Line]:
    """Yield the lines of an open file of any size, cleaned; never more than one of them is held.

    With ``near`` only those that hold it, and the one after each, which may be the rest of it: most of a long serial log
    is a guest's.
    """
    number, after = 0, False
    while raw := stream.readline(LONGEST):
        number += 1
        holds = near in raw
        if not holds and not after:
            continue
        after = holds
        yield Line(number, _cleaned(raw.decode("utf-8", "replace")))


def _cleaned(line: str) -> str:
    if not line.isprintable():
        line = _CONTROL.sub("", _ESCAPE.sub("", line.rstrip("\r\n")))
    return _QUOTE.sub("", line) if line.startswith(">") else line


def xen_texts(line: str) -> list[str]:
    """Return what Xen says on this line, without its prefix and timestamp: nothing, or more when lines ran together."""
    if _XEN not in line:
        return []
    parts = line.split(_XEN)[1:]
    return [_XEN_TIME.sub("", part, count=1).removeprefix(" ").rstrip() for part in parts]


def linux_text(line: str) -> str | None:
    """Return what Linux's kernel says on this line, without timestamp and level, None where none of it is Linux's."""
    found = _LINUX_TIME.search(line)
    if found is None or _XEN in line[: found.start()]:
        return None
    text, _, _ = line[found.end() :].partition(_XEN)
    again = _LINUX_TIME.match(text)  # a journal's own, before the kernel's
    return text[again.end() if again is not None else 0 :].rstrip()


def continued(lines: Iterable[Line]) -> Iterator[tuple[Line, str]]:
    """Yield each line with the one after it, which may be the rest of it; the last comes with an empty one."""
    before: Line | None = None
    for line in lines:
        if before is not None:
            yield before, line.text
        before = line
    if before is not None:
        yield before, ""
