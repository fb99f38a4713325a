"""Lines of a recorded log, freed of what lies between the machine and the file.

A log has been through a serial line, a terminal program, a pager, a mail: carriage returns, control characters, colours,
quoting. Nothing here knows what a line says; only whose it is.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import BinaryIO, Final, Generic, NamedTuple, TypeVar

__all__ = [
    "LONGEST",
    "MOST_REST",
    "XEN",
    "XEN_MARK",
    "Fact",
    "Line",
    "cleaned",
    "guest_of",
    "lines_of",
    "linux_text",
    "read_lines",
    "xen_texts",
]

LONGEST: Final = 1 << 16
"""Bytes of a line that are looked at; what follows is read as another line, so that memory stays bounded."""

_BLOCK: Final = 1 << 20
_ESCAPE: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[@-Z\\-_])")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_QUOTE: Final = re.compile(r"(?:> ?)+(?:[ \t]+(?:> ?)+)*")
"""Mail quotes a line once for each answer, and some programs with blanks between."""
_QUOTED_PRINTABLE: Final = re.compile(r"=([0-9A-F]{2})|=$")
_ENCODED_END: Final = re.compile(r"(?:=(?:0D|20|A0|C2=A0))+$")
"""Blanks and a carriage return as quoted-printable has them at the end of a line; no line of a machine ends so."""
_ENDS: Final = ("=0D", "=20", "=A0")
_ENCODED_BLANKS: Final = re.compile(r"(?<=^\(XEN\))(?:=C2=A0|=A0|=20)+ ?")
XEN_MARK: Final = "(XEN)"
"""What every line of Xen's console begins with."""
XEN: Final = XEN_MARK.encode()
# Xen's console_timestamps=boot, date, datems and raw.
_XEN_TIME: Final = re.compile(r" ?\[(?:\s*\d+\.\d+|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?|[0-9a-f]{16})\]")
_LINUX_TIME: Final = re.compile(
    "|".join(
        (
            r"^\d+,\d+,\d+,[^;]*;",  # a record of /dev/kmsg
            r"\[\s*\d+\.\d{6}(?: <\s*\d+\.\d+>)?\](?:\[\s*[TC]\d+\])? ?",  # printk.time, a caller behind it; dmesg -d
            r"(?:^|: )\[[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}\] ",  # dmesg -T, also with -x
            r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d,\d{6}[+-]\d\d:\d\d ",  # dmesg --time-format iso
            r"^\[\s*\+\d+\.\d{6}\] |^\[[A-Z][a-z]{2}\s+\d+ \d\d:\d\d\] ",  # dmesg -H
            r" kernel: ",  # a journal or syslog
        )
    )
)
_JOURNAL: Final = re.compile(r"[\w.-]+ kernel: ")
"""What journalctl -o short-monotonic has behind the time."""
_GUEST: Final = re.compile(r"\(d(\d+)\) ?$")
"""What Xen puts before the lines of a domain other than dom0."""
MOST_REST: Final = 8
"""So many lines after one may be the rest of it: a command line has up to 1,024 characters."""

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


def read_lines(stream: BinaryIO, near: bytes = b"", telling: tuple[bytes, ...] = ()) -> Iterator[Line]:
    """Yield the lines of an open file of any size, cleaned; no more than a block of them is held.

    With ``near`` only those that hold it, and some after each, which may be the rest of it: most of a long serial log is a
    guest's. With ``telling`` blocks that hold none of these are only counted, once there was a line; the first never.
    """
    number, after, recent, seen = 0, 0, 0, False
    for first, block in enumerate(_blocks(stream)):
        known = seen or near not in block
        if telling and first and recent <= 0 and known and not any(mark in block for mark in telling):
            number, after = number + block.count(b"\n") + (not block.endswith(b"\n")), 0
            continue
        lines = io.BytesIO(block)
        while raw := lines.readline(LONGEST):
            number += 1
            after = MOST_REST + 1 if near in raw else after - 1
            recent = MOST_REST + 1 if any(mark in raw for mark in telling) else recent - 1
            if after > 0:
                seen = True
                yield Line(number, _cleaned(raw.decode("utf-8", "replace")))


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    """Yield a file in blocks of whole lines, as far as these are no longer than `LONGEST`."""
    while block := stream.read(_BLOCK):
        yield block if block.endswith(b"\n") else block + stream.readline(LONGEST)


def _cleaned(line: str) -> str:
    if not line.isprintable():
        line = _CONTROL.sub("", _ESCAPE.sub("", line.rstrip("\r\n"))).replace("\xa0", " ")
    if line.startswith(">"):
        line = _QUOTE.sub("", line, count=1)
    return _printable(line) if "=" in line else line


def _printable(line: str) -> str:
    """Return a line that mail has encoded (quoted-printable) as it was, without the = at its end where it was cut.

    There each = has become =3D; ``dom0_mem=75M`` has one that has not. What has none tells by its ends alone.
    """
    line = _ENCODED_BLANKS.sub(" ", _ENCODED_END.sub(" ", line)) if line.endswith(_ENDS) or "(XEN)=" in line else line
    marks = _QUOTED_PRINTABLE.findall(line)
    if "3D" not in marks or len(marks) != line.count("="):
        return line
    return _QUOTED_PRINTABLE.sub(lambda match: chr(int(match[1], 16)) if match[1] else "", line)


def xen_texts(line: str) -> list[str]:
    """Return what Xen says on this line, without its prefix and timestamp: nothing, or more when lines ran together."""
    if XEN_MARK not in line:
        return []
    parts = line.split(XEN_MARK)[1:]
    return [_XEN_TIME.sub("", part, count=1).removeprefix(" ").rstrip() for part in parts]


def linux_text(line: str) -> str | None:
    """Return what Linux's kernel says on this line, without timestamp and level, None where none of it is Linux's."""
    found = _LINUX_TIME.search(line)
    if found is None or XEN_MARK in line[: found.start()]:
        return None
    text, _, _ = line[found.end() :].partition(XEN_MARK)
    again = _LINUX_TIME.match(text) or _JOURNAL.match(text)  # a journal's own, before the kernel's
    return text[again.end() if again is not None else 0 :].rstrip()


def guest_of(line: str) -> int:
    """Return the number of the domain whose kernel says this line, 0 where nothing tells it from dom0."""
    time = _LINUX_TIME.search(line)
    found = _GUEST.search(line, 0, time.start()) if time is not None else None
    return int(found[1]) if found is not None else 0
