r"""Text that somebody else wrote, made safe to print: one function, and one that joins a report's lines.

File names, property strings and names inside images come from strangers. Printed as they are, a newline in one starts a line
that looks like ours, an escape sequence drives the terminal, a bidirectional control makes a line read otherwise than it is,
and a CI runner takes a line such as ``::error::`` for a command. Whatever is not printable is shown as an escape (``\n``,
``\x1b``, ``\u202e``) and what begins a runner's command is broken by one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from dtanalyze.report.style import TERMINAL

__all__ = ["document", "json_text", "visible"]

_OWN: Final = re.compile("(" + "|".join(re.escape(code) for code in sorted(TERMINAL, key=len, reverse=True)) + ")")
"""The escape sequences that reports themselves write."""
_COMMAND: Final = re.compile(r"(?:^|(?<=\s))::|##+")
"""Where GitHub's runner looks for a command: after blanks at the start of a line. ``##[`` (GitHub, Azure) and
``##teamcity[`` count anywhere in it."""
_SHORT: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: str) -> str:
    """Return ``text`` as one line of printable characters that no terminal and no CI runner acts upon."""
    if not text.isprintable():
        text = "".join(char if char.isprintable() else _escape(char) for char in text)
    if "::" in text or "##" in text:
        text = _COMMAND.sub(_broken, text)
    return text


def _escape(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file name that is no UTF-8, as Python hands it on
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x100:
        return _SHORT.get(char) or f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _broken(found: re.Match[str]) -> str:
    text = found.group()
    return ":\\x3a" if text == "::" else "#" + "\\x23" * (len(text) - 1)


def json_text(text: str) -> str:
    """Return a JSON document that holds the same, without what a runner acts upon anywhere in a line."""
    return text.replace("##", "#\\u0023")


def document(lines: Iterable[str]) -> str:
    """Return the lines of a report, each made `visible` but for the report's own colours, each with a newline."""
    return "".join(f"{_line(line)}\n" for line in lines)


def _line(line: str) -> str:
    if "\x1b" not in line:
        return visible(line)
    return "".join(part if place % 2 else visible(part) for place, part in enumerate(_OWN.split(line)))
