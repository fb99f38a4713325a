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
from typing import Final, NamedTuple

from dtanalyze.devicetree.remarks import remarks_in
from dtanalyze.devicetree.source_map import Place, Remark, SourceMap, read_annotated
from dtanalyze.errors import InputError
from dtanalyze.inputs.confined import Ran, run_confined, tool_path
from dtanalyze.inputs.reading import MAX_TEXT, read_bytes, remember
from dtanalyze.inputs.sourcing import Sourcing, as_named
from dtanalyze.inputs.tool_errors import said_by, unfit

__all__ = ["Compiled", "compiled", "search_folders"]

_CPP: Final = ("cpp", "-nostdinc", "-undef", "-D__DTS__", "-x", "assembler-with-cpp", "-MD", "-MT", "x", "-MF")
"""As scripts/Makefile.lib of Linux calls it for devicetrees."""
_DTC: Final = ("dtc", "-q", "-@", "-I", "dts", "-O", "dtb", "-o", "-", "-d")
_ANNOTATE: Final = ("dtc", "-q", "-@", "-T", "-T", "-I", "dts", "-O", "dts", "-o", "-")
_DIRECTIVE: Final = re.compile(
    rb"^[ \t]*#[ \t]*(?:include|define|undef|if|ifdef|ifndef|error|warning)(?![\w,.+-])", re.MULTILINE
)
_MARK: Final = b"\xef\xbb\xbf"
"""A byte order mark, which cpp takes away, and dtc does not take."""
_INCLUDED: Final = re.compile(rb'^[ \t]*#[ \t]*include[ \t]*[<"]([^">\n]+)[">]', re.MULTILINE)
_COMMENT: Final = re.compile(rb'("(?:[^"\\]|\\.)*(?:"|\Z))|/\*.*?(?:\*/|\Z)|//[^\n]*', re.DOTALL)
_DTC_READS: Final = re.compile(rb'/(include|incbin)/\s*\(?\s*"(?:([\w./+,@=-]+)")?')
"""What makes dtc read a file. Its list of files read parts names at blanks, so that only plain names are let through.

Without a string behind it the word is none of these: a line marker of cpp names ``/…/include/gpio.h``.
"""
_ENTERED: Final = re.compile(rb'^#(?:line)?[ \t]+\d+[ \t]+"((?:[^"\\\n]|\\.)*)"', re.MULTILINE)
_SOURCE: Final = ("-", "<stdin>")
_LISTED: Final = re.compile(r"(?:[^\s\\]|\\.)+")
_MACRO: Final = re.compile(r"[A-Za-z_]\w*(?:=[^\n\0]*)?")
_BOARDS: Final = re.compile(r"(?P<top>.*)/arch/[^/]+/boot/dts(?:/.*)?")
_PREFIXES: Final = os.path.join("scripts", "dtc", "include-prefixes")
"""Links to what sources of every architecture include; the kernel's build searches it first."""
_UNWANTED: Final = re.compile(rb"#[ \t]*(?:pragma|embed)\b|_Pragma|__has_(?:include|embed)\w*")
"""What reads files, or looks for them, without telling, and what no devicetree source has a use for."""


class Compiled(NamedTuple):
    """A source's blob, where in the sources each node and property was written, and the files that were read for it.

    ``files`` are absolute paths as the tools spell them, without the source itself.
    """

    blob: bytes
    places: SourceMap
    files: tuple[str, ...]


class _Folders(NamedTuple):
    """Where files are looked for, and where those that are found have to lie, links followed. Absolute paths."""

    search: tuple[str, ...]
    allowed: tuple[str, ...]


def compiled(path: str, source: bytes, sourcing: Sourcing, seconds: float, *, annotated: bool = True) -> Compiled:
    """Return the blob of a source file, with its places unless they are not wanted.

    ``seconds`` is the CPU time that each tool may take. Raises `InputError` with the tool's own words when there is no blob,
    and when a file lies outside of the folders.
    """
    if len(source) > MAX_TEXT:
        raise InputError(f"the source is larger than {MAX_TEXT >> 20} MiB")
    if (wrong := unfit(source)) is not None:
        raise InputError(wrong)
    for macro in sourcing.macros:
        if not _MACRO.fullmatch(macro):
            raise InputError(f"{macro!r} is no macro: -D takes NAME or NAME=VALUE")
    folder = os.path.dirname(os.path.abspath(path))
    roots = _folders(folder, sourcing)
    _refuse(map(os.fsdecode, _INCLUDED.findall(source)), folder, roots)
    files: list[str] = []
    text = source
    with tempfile.TemporaryDirectory() as place:
        listed = os.path.join(place, "read")
        if _DIRECTIVE.search(text) or text.startswith(_MARK) or sourcing.macros or sourcing.cpp_args:
            text = _preprocessed(path, text, roots, sourcing, listed, seconds)
            files += (*_entered(text), *_read(listed))
        else:
            _refuse(_entered(text), folder, roots)  # its own line markers: nothing may pass for a line of another file
        _refuse_dtc(text, folder, roots)
        places = [item for root in roots.search for item in ("-i", root)]
        ran = _run([*_DTC, listed, *places, "-"], text, folder, seconds, sourcing.dtc)
        _refuse(_read(listed), folder, roots)
        files += _read(listed)
        blob = _output("dtc", ran, path, versioned=b"/dts-v1/" in text)
        said = _run([*_ANNOTATE, *places, "-"], text, folder, seconds, sourcing.dtc).output if annotated else b""
    found = _named(read_annotated(said.decode("utf-8", "surrogateescape")), path)
    read = dict.fromkeys(os.path.join(folder, item) for item in files if item not in _SOURCE)
    return Compiled(blob, found._replace(remarks=tuple(_remarks(found, path, source))), tuple(read))


def _remarks(places: SourceMap, path: str, source: bytes) -> Iterator[Remark]:
    """Yield the comments for this program in every file in which a node or a property was written.

    The source itself was read already, and may have come through a pipe.
    """
    nodes = {place.file for found in places.nodes.values() for place in found}
    for file in sorted(nodes | {place.file for place in places.properties.values()}):
        yield from remarks_in(file, source if file == path else read_bytes(file, MAX_TEXT))


def search_folders(path: str, sourcing: Sourcing) -> tuple[str, ...]:
    """Return the folders in which a source's includes are looked for, absolute, its own first."""
    return _folders(os.path.dirname(os.path.abspath(path)), sourcing).search


def _folders(folder: str, sourcing: Sourcing) -> _Folders:
    """Return the folders of a source; one in a kernel's tree finds what the kernel's own build lets it find."""
    named = (folder, *map(os.path.abspath, sourcing.includes))
    given = tuple(item for item in sourcing.cpp_args if os.path.isabs(item))  # files that cpp is told to include
    top = _kernel_tree(folder)
    if top is None:
        return _Folders(named, (*named, *given))
    return _Folders((*named, os.path.join(top, _PREFIXES), os.path.join(top, "include")), (*named, *given, top))


def _kernel_tree(folder: str) -> str | None:
    """Return the top of the kernel's tree that a source lies in, below ``arch/*/boot/dts``, if it does."""
    match = _BOARDS.fullmatch(folder)
    return match["top"] if match and os.path.isdir(os.path.join(match["top"], _PREFIXES)) else None


def _named(places: SourceMap, path: str) -> SourceMap:
    """Return the places with files as the user would name them."""

    def named(place: Place) -> Place:
        return place._replace(file=as_named(path, place.file))

    return SourceMap(
        {node: tuple(map(named, found)) for node, found in places.nodes.items()},
        {key: named(place) for key, place in places.properties.items()},
    )


def _preprocessed(path: str, source: bytes, roots: _Folders, sourcing: Sourcing, listed: str, seconds: float) -> bytes:
    folder = os.path.dirname(os.path.abspath(path))
    if (found := _UNWANTED.search(source)) is not None:
        raise InputError(f"{found.group().decode()}: a source must not use this, since it reads files unseen")
    places = [item for root in roots.search for item in ("-I", root)]
    macros = [f"-D{macro}" for macro in sourcing.macros]
    ran = _run([*_CPP, listed, *places, *macros, *sourcing.cpp_args, "-"], source, folder, seconds)
    _refuse((*_entered(ran.output), *_read(listed)), folder, roots)
    if _UNWANTED.search(ran.output):
        raise InputError("an included file has a #pragma or #embed, which a source must not use")
    return _output("cpp", ran, path)


def _run(argv: list[str], source: bytes, folder: str, seconds: float, instead: str | None = None) -> Ran:
    """Run a tool, or the one that the user names ``instead`` of what PATH has."""
    program = shutil.which(instead) if instead else shutil.which(argv[0], path=tool_path())
    if program is None and instead is not None:
        raise InputError(f"--dtc {instead}: there is no such program")
    if program is None:
        raise InputError(f"{argv[0]} is not installed, which a source file needs (Debian: device-tree-compiler, cpp)")
    return run_confined([os.path.abspath(program), *argv[1:]], source, folder, seconds)


def _output(tool: str, ran: Ran, path: str, *, versioned: bool = True) -> bytes:
    if ran.status:
        raise said_by(tool, path, ran.said, ran.status, versioned=versioned)
    if not ran.output:
        raise InputError(f"{tool} says nothing against the source, and writes nothing")
    return ran.output


def _refuse_dtc(source: bytes, folder: str, roots: _Folders) -> None:
    """Look at every file that dtc would read for this source, and for those that it includes."""
    todo, seen = [(source, folder)], set[str]()
    while todo:
        text, base = todo.pop()
        for found in _DTC_READS.finditer(_COMMENT.sub(rb"\1 ", text)):
            what, name = found.groups()
            if name is None:
                raise InputError(f"/{what.decode()}/ takes the plain name of a file here: letters, digits and ./+,@=-_")
            _refuse([place := _places(name.decode(), base, roots.search)[0]], base, roots)
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


def _refuse(names: Iterable[str], folder: str, roots: _Folders) -> None:
    """Raise `InputError` for a file outside of the folders, wherever links lead; remember those inside as inputs."""
    allowed = [os.path.realpath(root) for root in roots.allowed]
    for name in names:
        if name in _SOURCE:
            continue
        for place in _places(name, folder, roots.search):
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
