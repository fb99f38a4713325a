"""Statements in the text of a devicetree source: where they begin and end, and what is put in their place.

Sources are handled as Latin-1, so that a column counts bytes as dtc counts them and every byte comes back unchanged. The
lines that dtc names are those of the file; the columns are not, where a macro or a comment stands before them on the line.
So a statement is found by its line and its name, and by its column only where two of that name stand on one line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from typing import Final, NamedTuple

from dtanalyze.devicetree.source_map import Place
from dtanalyze.errors import SourceTextError

__all__ = [
    "Splice",
    "added_block",
    "added_node",
    "added_property",
    "changed_property",
    "label_at",
    "removed_property",
    "spliced",
]

_HIDDEN: Final = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|/\*.*?(?:\*/|\Z)|//[^\n]*', re.DOTALL)
_DIRECTIVE: Final = re.compile(
    r"^[ \t]*#[ \t]*(?:include|define|undef|ifn?def|if|elif|else|endif|error|warning|line|pragma)(?![\w,.+?#-])"
    r"(?:\\\n|[^\n])*",
    re.MULTILINE,
)
_NAME_CHARACTERS: Final = r"[\w,.+?#@-]"
_OPENED: Final = re.compile(rf"(?:&(\w+)|\b(\w+)\s*:\s*(?:/|{_NAME_CHARACTERS}+))\s*$")
"""What stands before a node's brace: a reference by a label, or a name with a label of its own."""
_BEFORE_BRACE: Final = 400
_CELL: Final = re.compile(r"&\{[^}]*\}|&\w+|\w*\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)|[^\s()]+")
_VALUE: Final = re.compile(r"\s*<[^<>]*>(?:\s*,\s*<[^<>]*>)*\s*")
_GROUP: Final = re.compile(r"<([^<>]*)>")
_NUMBER: Final = re.compile(r"(0[xX][0-9a-fA-F]+|[0-9]+)(?:U|L|UL|LL|ULL)?")


class Splice(NamedTuple):
    """The text between two places of a file, counted from 0 and without the last, and what takes its place."""

    start: int
    stop: int
    text: str


class _Statement(NamedTuple):
    """``name = value;`` in a text: where the name begins, where the value does (behind ``=``), and where ``;`` stands."""

    start: int
    value: int
    semicolon: int


def spliced(text: str, splices: Iterable[Splice]) -> str:
    """Return the text with every splice made; raise `SourceTextError` where two of them overlap."""
    made, at = [], 0
    for item in sorted(splices, key=lambda item: (item.start, item.stop)):
        if item.start < at:
            raise SourceTextError("two changes stand in one place")
        made += [text[at : item.start], item.text]
        at = item.stop
    return "".join([*made, text[at:]])


def changed_property(text: str, place: Place, name: str, old: bytes, new: bytes, statement: str) -> Splice:
    """Return the splice that gives a property its new value, with as much of what stands there as can stay.

    ``old`` and ``new`` are the values, ``statement`` is what a source says for the new one. Raises `SourceTextError` where
    the statement is not to be found, or names nodes that numbers would replace.
    """
    found = _statement(text, place, name)
    cells = _cells(text, found, old)
    if cells is not None and len(new) % 4 == 0 and new:
        value = _new_cells(cells, _words(old), _words(new))
        if value is not None:
            return Splice(found.value, found.semicolon, value)
    if "&" in _masked(text)[found.value : found.semicolon]:
        raise SourceTextError(f"{name} names other nodes by their labels, and the new value would hold numbers instead")
    return Splice(found.start, found.semicolon + 1, statement)


def removed_property(text: str, place: Place, name: str, *, earlier: bool) -> Splice:
    """Return the splice that takes a property away: its statement goes, with its line where nothing else stands there.

    With ``earlier`` the property was given before as well, which ``/delete-property/`` undoes.
    """
    found = _statement(text, place, name)
    if earlier:
        return Splice(found.start, found.semicolon + 1, f"/delete-property/ {name};")
    start, stop = text.rfind("\n", 0, found.start) + 1, text.find("\n", found.semicolon) + 1 or len(text)
    if text[start : found.start].strip() or text[found.semicolon + 1 : stop].strip():
        return Splice(found.start, found.semicolon + 1, "")
    return Splice(start, stop, "")


def added_property(text: str, place: Place, statement: str) -> Splice:
    """Return the splice that adds a property to the node whose body begins at ``place``: properties stand before nodes."""
    brace = _brace(text, place)
    if not text[brace + 1 : _line_end(text, brace)].strip():
        return Splice(brace + 1, brace + 1, f"{_newline(text)}{_inner(text, brace)}{statement}")
    return Splice(brace + 1, brace + 1, f" {statement}")


def added_node(text: str, place: Place, lines: Sequence[str]) -> Splice:
    """Return the splice that adds ``lines``, a node, at the end of the node whose body begins at ``place``."""
    brace = _brace(text, place)
    close = _closing(_masked(text), brace)
    start = text.rfind("\n", 0, close) + 1
    if text[start:close].strip():
        return Splice(close, close, " ".join(line.strip() for line in lines) + " ")
    indent, newline = _inner(text, brace), _newline(text)
    return Splice(start, start, "".join(f"{indent}{line}{newline}" for line in lines))


def added_block(text: str, reference: str, lines: Sequence[str]) -> Splice:
    """Return the splice that adds ``lines`` to a node of another file: a block of its own at the end of this one."""
    newline = _newline(text)
    before = newline if text.endswith("\n") or not text else newline * 2
    block = [f"{reference} {{", *(f"\t{line}" if line else "" for line in lines), "};", ""]
    return Splice(len(text), len(text), before + newline.join(block))


def label_at(text: str, place: Place) -> str | None:
    """Return the label by which the node whose body begins at ``place`` is known there, if it says one."""
    brace = _brace(text, place)
    found = _OPENED.search(_masked(text)[max(brace - _BEFORE_BRACE, 0) : brace])
    return (found[1] or found[2]) if found else None


def _masked(text: str) -> str:
    """Return the text with comments, strings and what is cpp's as blanks: of the same length, lines kept."""

    def blank(found: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", found.group())

    return _DIRECTIVE.sub(blank, _HIDDEN.sub(blank, text))


def _line_start(text: str, line: int) -> int:
    at = 0
    for _ in range(line - 1):
        at = text.find("\n", at) + 1
        if not at:
            raise SourceTextError(f"the file ends before line {line}")
    return at


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _statement(text: str, place: Place, name: str) -> _Statement:
    shown = _masked(text)
    begin = _line_start(text, place.line)
    pattern = re.compile(rf"(?<!{_NAME_CHARACTERS}){re.escape(name)}(?=\s*[=;])")
    found = [
        item
        for match in pattern.finditer(shown, begin, _line_end(text, begin) + 1)
        if (item := _whole(shown, match.start(), match.end())) is not None
        and shown.count("\n", 0, item.semicolon) + 1 == place.last_line
    ]
    if len(found) > 1:
        found = [item for item in found if item.start == begin + place.column - 1]
    if not found:
        raise SourceTextError(f"line {place.line} does not say {name} in so many words: a macro makes it")
    return found[0]


def _whole(shown: str, start: int, stop: int) -> _Statement | None:
    semicolon = shown.find(";", stop)
    if semicolon < 0 or shown[:start].rstrip().endswith("/delete-property/"):
        return None
    equals = shown.find("=", stop, semicolon)
    return _Statement(start, semicolon if equals < 0 else equals + 1, semicolon)


def _brace(text: str, place: Place) -> int:
    shown = _masked(text)
    begin = _line_start(text, place.line)
    exact = begin + place.column - 1
    if shown[exact : exact + 1] == "{":
        return exact
    found = [at for at in range(begin, _line_end(text, begin)) if shown[at] == "{"]
    if len(found) != 1:
        raise SourceTextError(f"line {place.line} does not open the node in so many words: a macro makes it")
    return found[0]


def _closing(shown: str, brace: int) -> int:
    depth = 0
    for match in re.compile(r"[{}]").finditer(shown, brace):
        depth += 1 if match.group() == "{" else -1
        if not depth:
            return match.start()
    raise SourceTextError("the node is not closed in the file that opens it")


def _inner(text: str, brace: int) -> str:
    """Return the blanks before what stands in a node's body."""
    line = text[text.rfind("\n", 0, brace) + 1 :]
    own = line[: len(line) - len(line.lstrip(" \t"))]
    following = text[_line_end(text, brace) + 1 :]
    next_ = following[: len(following) - len(following.lstrip(" \t"))]
    return next_ if len(next_) > len(own) and next_.startswith(own) else own + "\t"


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


class _Cell(NamedTuple):
    start: int
    text: str

    @property
    def number(self) -> int | None:
        """What it says, None for what only a tool can work out."""
        found = _NUMBER.fullmatch(self.text)
        if found is None:
            return None
        digits = found[1]
        return int(digits, 8 if digits.startswith("0") and digits.isdigit() and len(digits) > 1 else 0)


class _Group(NamedTuple):
    """Cells between ``<`` and ``>``, as they stand in the value."""

    start: int
    stop: int
    cells: tuple[_Cell, ...]


class _Cells(NamedTuple):
    """A value that is made of cells, as text, and its groups."""

    text: str
    groups: tuple[_Group, ...]


def _words(value: bytes) -> list[int]:
    return [int.from_bytes(value[at : at + 4], "big") for at in range(0, len(value), 4)]


def _cells(text: str, found: _Statement, old: bytes) -> _Cells | None:
    """Return the cells of a value; None where it has others beside them, or a word there stands for several cells."""
    value, shown = text[found.value : found.semicolon], _masked(text)[found.value : found.semicolon]
    if len(old) % 4 or not _VALUE.fullmatch(shown):
        return None
    groups = tuple(
        _Group(
            match.start(), match.end(),
            tuple(_Cell(cell.start(), cell.group()) for cell in _CELL.finditer(shown, match.start(1), match.end(1))),
        )
        for match in _GROUP.finditer(shown)
    )  # fmt: skip
    said = [cell.number for group in groups for cell in group.cells]
    words = _words(old)
    try:
        alike = all(one in (None, other) for one, other in zip(said, words, strict=True))
    except ValueError:
        return None
    return _Cells(value, groups) if alike else None


def _new_cells(cells: _Cells, old: list[int], new: list[int]) -> str | None:
    """Return the new value with the old one's words where they stay; None where that cannot be told."""
    if len(new) == len(old):
        return _each(cells, old, new)
    width = len(cells.groups[0].cells)
    alike = all(len(group.cells) == width for group in cells.groups) and width and len(new) % width == 0
    if new[: len(old)] == old:
        added = new[len(old) :]
        step = width if alike and len(added) % width == 0 else len(added)
        stop = cells.groups[-1].stop
        more = (_said(added[at : at + step]) for at in range(0, len(added), step))
        return cells.text[:stop] + "".join(f"{_between(cells)}{item}" for item in more) + cells.text[stop:]
    return _grouped(cells, old, new, width) if alike and len(cells.groups) > 1 else None


def _each(cells: _Cells, old: list[int], new: list[int]) -> str | None:
    splices = []
    for cell, was, now in zip((cell for group in cells.groups for cell in group.cells), old, new, strict=True):
        if was == now:
            continue
        if "&" in cell.text:
            return None
        plain = cell.text.isdigit() and now < 10
        splices.append(Splice(cell.start, cell.start + len(cell.text), str(now) if plain else hex(now)))
    return spliced(cells.text, splices)


def _grouped(cells: _Cells, old: list[int], new: list[int], width: int) -> str | None:
    """Return the groups that stay as they stand, and new ones between them."""
    olds = [tuple(old[at : at + width]) for at in range(0, len(old), width)]
    news = [tuple(new[at : at + width]) for at in range(0, len(new), width)]
    made: list[str] = []
    for what, first, last, begin, end in SequenceMatcher(None, olds, news, autojunk=False).get_opcodes():
        groups = cells.groups[first:last]
        if what == "equal":
            made += [cells.text[group.start : group.stop] for group in groups]
        elif any("&" in cell.text for group in groups for cell in group.cells):
            return None
        else:
            made += [_said(item) for item in news[begin:end]]
    return cells.text[: cells.groups[0].start] + _between(cells).join(made) + cells.text[cells.groups[-1].stop :]


def _between(cells: _Cells) -> str:
    if len(cells.groups) > 1:
        found = cells.text[cells.groups[0].stop : cells.groups[1].start]
        if not found.replace(",", "").strip():
            return found
    return ", "


def _said(numbers: Iterable[int]) -> str:
    return "<" + " ".join(map(hex, numbers)) + ">"

