"""Devicetree sources through the standard compiler, and the C preprocessor where they include others.

A source is a stranger's program for both tools: it names files to be read. Neither tool gets a name that could be taken for
an option: the source comes on standard input, folders are absolute paths. What they read has to lie in the source's
own folder or in one that the user named (``--include``), links followed; anything else is refused by name. What is
named plainly is refused before a tool sees it, the rest by the list of files that the tool itself says it has read,
before anything of it is reported.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from dtanalyze.errors import InputError
from dtanalyze.inputs.confined import Ran, run_confined
from dtanalyze.inputs.reading import MAX_TEXT, read_bytes, remember

__all__ = ["compiled"]

_CPP: Final = ("cpp", "-nostdinc", "-undef", "-x", "assembler-with-cpp", "-MD", "-MT", "x", "-MF")
_DTC: Final = ("dtc", "-q", "-@", "-I", "dts", "-O", "dtb", "-o", "-", "-d")
_DIRECTIVE: Final = re.compile(rb"^[ \t]*#[ \t]*(?:include|define|undef|if|ifdef|ifndef)\b", re.MULTILINE)
_INCLUDED: Final = re.compile(rb'^[ \t]*#[ \t]*include[ \t]*[<"]([^">\n]+)[">]', re.MULTILINE)
_COMMENT: Final = re.compile(rb'("(?:[^"\\]|\\.)*(?:"|\Z))|/\*.*?(?:\*/|\Z)|//[^\n]*', re.DOTALL)
_DTC_READS: Final = re.compile(rb'/(include|incbin)/(?:\s*\(?\s*"([\w./+,@=-]+)")?')
"""What makes dtc read a file. Its list of files read parts names at blanks, so that only plain names are let through."""
_ENTERED: Final = re.compile(rb'^# \d+ "((?:[^"\\\n]|\\.)*)"', re.MULTILINE)
_LISTED: Final = re.compile(r"(?:[^\s\\]|\\.)+")
_UNWANTED: Final = re.compile(rb"#[ \t]*(?:pragma|embed)\b|_Pragma")
"""What reads files without telling, and what no devicetree source has a use for."""


def compiled(path: str, source: bytes, includes: Sequence[str], seconds: float) -> bytes:
    """Return the blob of a source file.

    ``includes`` are the folders that the user named, ``seconds`` the CPU time that each tool may take. Raises
    `InputError` with the tool's first line when there is no blob, and when a file lies outside of the folders.
    """
    if len(source) > MAX_TEXT:
        raise InputError(f"the source is larger than {MAX_TEXT >> 20} MiB")
    folder = os.path.dirname(os.path.abspath(path))
    roots = (folder, *map(os.path.abspath, includes))
    _refuse(map(os.fsdecode, _INCLUDED.findall(source)), folder, roots)
    with tempfile.TemporaryDirectory() as place:
        listed = os.path.join(place, "read")
        if _DIRECTIVE.search(source):
            source = _preprocessed(source, folder, roots, listed, seconds)
        _refuse_dtc(source, folder, roots)
        places = [item for root in roots for item in ("-i", root)]
        ran = _run([*_DTC, listed, *places, "-"], source, folder, seconds)
        _refuse(_read(listed), folder, roots)
        return _output("dtc", ran)


def _preprocessed(source: bytes, folder: str, roots: Sequence[str], listed: str, seconds: float) -> bytes:
    if (found := _UNWANTED.search(source)) is not None:
        raise InputError(f"{found.group().decode()}: a source must not use this, since it reads files unseen")
    places = [item for root in roots for item in ("-I", root)]
    ran = _run([*_CPP, listed, *places, "-"], source, folder, seconds)
    _refuse((*_entered(ran.output), *_read(listed)), folder, roots)
    if _UNWANTED.search(ran.output):
        raise InputError("an included file has a #pragma or #embed, which a source must not use")
    return _output("cpp", ran)


def _run(argv: list[str], source: bytes, folder: str, seconds: float) -> Ran:
    program = shutil.which(argv[0])
    if program is None:
        raise InputError(f"{argv[0]} is not installed, which a source file needs (Debian: device-tree-compiler, cpp)")
    return run_confined([os.path.abspath(program), *argv[1:]], source, folder, seconds)


def _output(name: str, ran: Ran) -> bytes:
    if ran.status:
        errors = [line for line in ran.said if "error" in line.lower()] or ran.said
        raise InputError(f"{name}: {errors[0] if errors else f'it ends with status {ran.status} and gives no reason'}")
    return ran.output


def _refuse_dtc(source: bytes, folder: str, roots: Sequence[str]) -> None:
    """Look at every file that dtc would read for this source, and for those that it includes."""
    todo, seen = [(source, folder)], set[str]()
    while todo:
        text, base = todo.pop()
        for found in _DTC_READS.finditer(_COMMENT.sub(rb"\1 ", text)):
            what, name = found.groups()
            if name is None:
                raise InputError(f"/{what.decode()}/ takes the plain name of a file here: letters, digits and ./+,@=-_")
            _refuse([place := _places(name.decode(), base, roots)[0]], base, roots)
            if what == b"include" and place not in seen and os.path.isfile(place):
                seen.add(place)
                todo.append((read_bytes(place, MAX_TEXT), os.path.dirname(place)))


def _entered(output: bytes) -> Iterator[str]:
    """Yield the files that cpp's line markers name; it writes them also when it fails."""
    for item in _ENTERED.findall(output):
        name = re.sub(rb"\\(.)", rb"\1", item)
        if not name.startswith(b"<"):
            yield os.fsdecode(name)


def _read(listed: str) -> Iterator[str]:
    """Yield the files that a tool says it has read: a rule for make, blanks in names after a backslash."""
    try:
        with open(listed, encoding="utf-8", errors="surrogateescape") as file:
            text = file.read(MAX_TEXT)
    except OSError:  # it ended before it wrote one
        return
    for word in _LISTED.findall(text.partition(":")[2].replace("\\\n", " ")):
        yield re.sub(r"\\(.)", r"\1", word).replace("$$", "$")


def _refuse(names: Iterable[str], folder: str, roots: Sequence[str]) -> None:
    """Raise `InputError` for a file outside of the folders, wherever links lead; remember those inside as inputs."""
    allowed = [os.path.realpath(root) for root in roots]
    for name in names:
        if name in ("-", "<stdin>"):
            continue
        for place in _places(name, folder, roots):
            real = os.path.realpath(place)
            if not any(os.path.commonpath([real, root]) == root for root in allowed):
                raise InputError(f"it reads {name}, which is in no folder that was named (--include names one)")
            if os.path.exists(real) and not os.path.isfile(real):
                raise InputError(f"it reads {name}, which is no file")
            remember(real)


def _places(name: str, folder: str, roots: Sequence[str]) -> list[str]:
    """Return where a name may be meant to be: the first folder that has it decides, as for the tools."""
    found = [place for root in (folder, *roots) if os.path.lexists(place := os.path.join(root, name))]
    return found[:1] or [os.path.join(folder, name)]
