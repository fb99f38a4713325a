"""Why there is no tree of a source, as one sentence: what is wrong with the text itself, or what cpp and dtc say of it.

Both tools write several lines for one mistake: where it was included from, the mistake, and that they give up. The line that
says ``error`` with a place is the cause. dtc writes ``FILE:LINE.COLUMN-COLUMN`` where editors and terminals open
``FILE:LINE:COLUMN``, and prints the name of a file as it is, newlines too. The source itself comes on standard input.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from dtanalyze.errors import SourceError, SourcePlace
from dtanalyze.inputs.sourcing import as_named

__all__ = ["said_by", "unfit"]

_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
_COMPILED: Final = b"\xd0\x0d\xfe\xed"
_PLACED: Final = re.compile(
    r"^(?:Error: )?(?P<file>[^\0]*?):(?P<line>\d+)\.(?P<column>\d+)(?:-[\d.]+)?:? "
    r"(?P<what>(?:ERROR \(\w+\): |(?!Warning)\w)[^\n]*)",
    re.MULTILINE,
)
"""A line of dtc; the name of the file may hold newlines."""
_CPP: Final = re.compile(r"^(?P<file>[^\n]*?):(?P<at>\d+(?::\d+)?): (?P<what>(?:fatal )?error: [^\n]*)", re.MULTILINE)
_SYNTAX: Final = "syntax error"
_MISSING: Final = re.compile(r'(?:Couldn\'t open "(?P<dtc>[^"\n]*)"|error: (?P<cpp>[^\n:]*)): No such file or directory')


def unfit(source: bytes) -> str | None:
    """Return what is wrong with a text that no tool has to be asked about."""
    if not source.strip():
        return "the source is empty"
    if source.startswith(_UTF16):
        return "the source is UTF-16, which neither cpp nor dtc reads: iconv -f UTF-16 -t UTF-8 converts it"
    if source.startswith(_COMPILED):
        return "it is a compiled tree, where a source is wanted"
    zero = source.find(b"\0")
    if zero >= 0:
        return f"the source is no text: byte {zero:#x} of it is zero (UTF-16 without a mark has every second byte so)"
    return None


def said_by(tool: str, path: str, said: Sequence[str], status: int, *, versioned: bool) -> SourceError:
    """Return the error with the cause as ``tool`` (cpp or dtc) says it of the source at ``path``.

    ``versioned`` tells whether the text says ``/dts-v1/`` anywhere: without it, dtc calls the first word a syntax error.
    """
    text, place = "\n".join(said), None
    found = _CPP.search(text) if tool == "cpp" else _PLACED.search(text)
    if found is not None:
        at = found["at"] if tool == "cpp" else f"{found['line']}:{found['column']}"
        line, _, column = at.partition(":")
        place = SourcePlace(as_named(path, found["file"]), int(line), int(column) if column else None)
        sentence = f"{place.file}:{at}: {found['what']}"
    else:
        errors = [line for line in said if "error" in line.lower()] or [line for line in said if line.strip()]
        sentence = errors[0] if errors else f"it ends with status {status} and gives no reason"
    return SourceError(f"{tool}: {sentence}{_hint(text, sentence, versioned=versioned)}", place)


def _hint(text: str, sentence: str, *, versioned: bool) -> str:
    missing = _MISSING.search(text)
    if missing is not None:
        name = missing["cpp"] or missing["dtc"]
        kernel = name.startswith("dt-bindings/")
        return f" (-I FOLDER names {'the include folder of a kernel source' if kernel else 'where it lies'})"
    if sentence.endswith(_SYNTAX) and not versioned:
        return " (a source begins with /dts-v1/;)"
    return ""
