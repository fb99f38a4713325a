"""The grammar of xl's configuration files: settings of strings, numbers and lists.

Mirrors libxlu_cfg_l.l, libxlu_cfg_y.y and xlu__cfg_set_store (tools/libs/util), the same from 4.16 to 4.22: one setting a
line or parted by ``;``, the last of a name counts, ``+=`` adds to a string or a list. What those refuse is refused: capitals
in names, carriage returns, a last comment without a newline, values without a comma between them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from dtanalyze.errors import InputError

__all__ = ["Setting", "Value", "read_settings"]

Value = str | list["Value"]
_TOKEN: Final = re.compile(
    r"(?P<blank>[ \t]+)|(?P<name>[a-z][._0-9a-z]*)|(?P<number>[0-9][0-9a-fx]*)"
    r"|(?P<string>'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\")|(?P<sign>\+=|[\[\]=;,])|(?P<end>#[^\n]*\n|\n)"
)
_ESCAPE: Final = re.compile(r"\\(.)", re.S)
_ESCAPED: Final = {**dict(zip("abfnrtv", "\a\b\f\n\r\t\v", strict=True)), '"': '"', "'": "'", "\\": "\\"}


class Setting(NamedTuple):
    """One name's value, the line that set it last, and whether it was ``added`` (+=) there."""

    value: Value
    line: int
    added: bool


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


def read_settings(text: str) -> dict[str, Setting]:
    """Return each setting; raise `InputError` with the line where xl reads none."""
    out: dict[str, Setting] = {}
    tokens = list(_tokens(text))
    at = 0
    while at < len(tokens):
        token = tokens[at]
        if token.kind == "end" or token.text == ";":
            at += 1
            continue
        sign = tokens[at + 1].text if at + 1 < len(tokens) else ""
        if token.kind != "name" or sign not in ("=", "+="):
            raise InputError(f"line {token.line}: '{token.text.strip()}' begins no setting (name = value)")
        value, at = _value(tokens, at + 2)
        known = out.get(token.text) if sign == "+=" else None
        out[token.text] = Setting(_added(known, value, token), token.line, known is not None)
        if at < len(tokens) and tokens[at].kind != "end" and tokens[at].text != ";":
            raise InputError(f"line {tokens[at].line}: '{tokens[at].text}' after the value of {token.text}")
    return out


def _added(known: Setting | None, value: Value, name: _Token) -> Value:
    """Return what ``+=`` makes of two values (xlu__cfg_concat_vals)."""
    if known is None:
        return value
    if isinstance(known.value, str) and isinstance(value, str):
        return known.value + value
    if isinstance(known.value, list) and isinstance(value, list):
        return [*known.value, *value]
    raise InputError(f"line {name.line}: += adds a list to a string, or a string to a list, in {name.text}")


def _tokens(text: str) -> Iterator[_Token]:
    at, line = 0, 1
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise InputError(f"line {line}: {_unreadable(text[at : at + 20])}")
        kind = match.lastgroup or ""
        if kind != "blank":
            yield _Token(kind, match[0], line)
        line += match[0].count("\n")
        at = match.end()
    yield _Token("end", "\n", line)


def _unreadable(rest: str) -> str:
    if rest.startswith("\r"):
        return "a carriage return, which xl takes for no blank: give the file Unix line ends"
    if rest.startswith("#"):
        return "xl does not read a comment that no newline ends"
    return f"'{rest.splitlines()[0]}' is nothing that a configuration of xl can say"


def _value(tokens: list[_Token], at: int) -> tuple[Value, int]:
    """Return the value that begins at token ``at``, and the place after it."""
    token = tokens[min(at, len(tokens) - 1)]
    if token.kind in ("string", "number"):
        return _plain(token), at + 1
    if token.text != "[":
        raise InputError(f"line {token.line}: '{token.text.strip()}' is no value: a string, a number or a list is")
    open_: list[list[Value]] = []
    wanted = True  # a value may come: at the beginning and behind a comma
    for place in range(at, len(tokens)):
        item = tokens[place]
        if item.kind == "end":
            continue
        if item.text != "]" and item.kind == "sign" and item.text not in "[," or item.kind == "name":
            raise InputError(f"line {item.line}: '{item.text}' inside a list")
        if wanted is (item.text == ",") and item.text != "]":
            raise InputError(f"line {item.line}: '{item.text}' where a list has {'a value' if wanted else 'a comma'}")
        wanted = item.text in ("[", ",") and item.kind == "sign"
        if item.kind != "sign":
            open_[-1].append(_plain(item))
        elif item.text == "[":
            open_.append([])
        elif item.text == "]":
            done = open_.pop()
            if not open_:
                return done, place + 1
            open_[-1].append(done)
    raise InputError(f"line {token.line}: the list that begins here has no end")


def _plain(token: _Token) -> str:
    if token.kind == "number":
        return token.text
    return _ESCAPE.sub(lambda match: _unescaped(match[1], token.line), token.text[1:-1])


def _unescaped(text: str, line: int) -> str:
    """Return what an escape stands for; those by number xl refuses (hex) or loses (octal)."""
    if text not in _ESCAPED:
        raise InputError(f"line {line}: xl cannot read '\\{text}' in a string")
    return _ESCAPED[text]
