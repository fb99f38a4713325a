"""What happens to a log between the machine and the file, done to a clean one."""

from __future__ import annotations

import quopri
import textwrap
from collections.abc import Callable, Iterable


def _each(change: Callable[[int, str], str]) -> Callable[[str], str]:
    return lambda text: "\n".join(change(number, line) for number, line in enumerate(text.split("\n")))


def _boot_time(number: int, line: str) -> str:
    return line.replace("(XEN) ", f"(XEN) [{number / 97:12.6f}] ", 1)


def _date(number: int, line: str) -> str:
    return line.replace("(XEN) ", f"(XEN) [2026-01-02 03:04:{number % 60:02}] ", 1)


def _date_ms(number: int, line: str) -> str:
    return line.replace("(XEN) ", f"(XEN) [2026-01-02 03:04:{number % 60:02}.{number % 1000:03}] ", 1)


def _raw_time(number: int, line: str) -> str:
    return line.replace("(XEN) ", f"(XEN) [{number * 12345:016x}] ", 1)


def _wrapped(columns: int) -> Callable[[int, str], str]:
    return lambda _, line: "\n".join(line[at : at + columns] for at in range(0, len(line), columns)) or line


def _interleaved(text: str) -> str:
    """Put a line of dom0's console between all lines, and every third Xen line behind one that was not finished."""
    out = []
    for number, line in enumerate(text.split("\n")):
        out.append(f"[{number / 50:12.6f}] pci 0000:00:01.0: BAR 0: assigned [mem 0x10000000-0x10003fff]")
        out.append(f"[{number / 49:12.6f}] smp: Bringing up sec" + line if number % 3 == 0 and line else line)
    return "\n".join(out)


def _quoted_printable(text: str) -> str:
    return quopri.encodestring(text.encode()).decode()


def _answered_twice(_: int, line: str) -> str:
    return f">> >     >       > {line}"


def _mail(columns: int) -> Callable[[int, str], str]:
    """Break lines between words, as mail does, and quote them."""
    return lambda _, line: "\n".join(f"> {part}" for part in textwrap.wrap(line, columns, break_on_hyphens=False)) or line


def _talk(text: str) -> str:
    """Put a terminal program's own lines around the log, and firmware's between its lines."""
    lines = text.split("\n")
    for place in range(len(lines) - 1, 0, -7):
        if not lines[place].startswith("0"):
            lines.insert(place, "I/TC: Removing guest 0" if place % 2 else "- CPU 00000001 booting -")
    ends = "Welcome to minicom 2.8\n\nOPTIONS: I18n\nPort /dev/ttyUSB0, 08:00:00\n", "Terminal ready\n", "Thanks for using picocom\n"
    return f"{ends[0]}{ends[1]}" + "\n".join(lines) + f"\n{ends[2]}"


NOISE: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "timestamps since boot": _each(_boot_time),
    "timestamps with the date": _each(_date),
    "timestamps with milliseconds": _each(_date_ms),
    "timestamps raw": _each(_raw_time),
    "carriage returns": lambda text: text.replace("\n", "\r\n"),
    "quoted by mail": _each(lambda _, line: "> > " + line),
    "a terminal's time before it": _each(lambda number, line: f"[2026-01-02T03:04:05.{number:06}] {line}"),
    "tio's time before it": _each(lambda number, line: f"[12:34:{number % 60:02}.789] {line}"),
    "minicom's time before it": _each(lambda number, line: f"[2026-01-02 03:04:{number % 60:02}.123] {line}"),
    "a lab's time before it": _each(lambda number, line: f"2026-01-02T03:04:{number % 60:02}.123456  {line}"),
    "ts before it": _each(lambda number, line: f"Jan 02 03:04:{number % 60:02} {line}"),
    "a terminal's own lines": _talk,
    "quoted-printable": _quoted_printable,
    "quoted by several mails": _each(_answered_twice),
    "mail at 72 columns": _each(_mail(72)),
    "blank lines between": lambda text: text.replace("\n", "\n\n"),
    "colours and NULs": _each(lambda _, line: f"\x1b[0;32m{line}\x1b[0m\0"),
    "interleaved with dom0's console": _interleaved,
    "after another boot": lambda text: text.replace("BANK[0] 0x0", "BANK[0] 0x1").replace("->0x", "->0x1") + "\n" + text,
    "timestamps since boot, CRLF": lambda text: _each(_boot_time)(text).replace("\n", "\r\n"),
}
WRAPPED: dict[str, Callable[[str], str]] = {
    f"wrapped at {columns} columns": _each(_wrapped(columns)) for columns in (76, 72, 60)
}


def all_noise() -> Iterable[tuple[str, Callable[[str], str]]]:
    """Return every way in which a log is damaged, with its name."""
    return (*NOISE.items(), *WRAPPED.items())
