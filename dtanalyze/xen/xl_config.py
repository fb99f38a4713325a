"""What a toolstack guest's configuration (xl.cfg) says of its memory and of what is passed through.

Mirrors the grammar of libxlu_cfg_l.l and libxlu_cfg_y.y (tools/libs/util) and parse_config_data (tools/xl/xl_parse.c):
settings one a line or parted by ``;``, strings, numbers, lists; the last setting of a name counts, ``+=`` adds to a list.
Left out: settings that do not concern address space.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from dtanalyze.address.units import MIB
from dtanalyze.errors import InputError
from dtanalyze.xen.toolstack import Iomem, Toolstack

__all__ = ["read_xl_config"]

_PAGE: Final = 4096
_TOKEN: Final = re.compile(
    r"(?P<blank>[ \t\r]+)|(?P<name>[A-Za-z_][.\w]*)|(?P<number>[0-9][0-9A-Fa-fxX]*)"
    r"|(?P<string>'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\")|(?P<sign>\+=|[\[\]=;,])|(?P<end>#[^\n]*\n?|\n)"
)
_ESCAPE: Final = re.compile(r"\\(x[0-9A-Fa-f]{1,2}|[0-7]{1,3}|.)", re.S)
_IOMEM: Final = re.compile(r"\s*(?:0[xX])?([0-9A-Fa-f]+),\s*(?:0[xX])?([0-9A-Fa-f]+)(?:@\s*(?:0[xX])?([0-9A-Fa-f]+))?")
_PASSTHROUGH: Final = ("disabled", "enabled", "sync_pt", "share_pt", "unknown", "default", "0", "1")


def read_xl_config(text: str) -> Toolstack:
    """Return what the configuration says; raise `InputError` with the line when it is none."""
    settings = _settings(text)
    memory, most = (_number(settings, name) for name in ("memory", "maxmem"))
    if memory is None and most is None:
        raise InputError("it says no memory: a configuration of xl has memory = MEGABYTES")
    size = (most or memory or 0) * MIB
    if not 0 < size <= 1 << 40:
        raise InputError(f"memory of {size // MIB} MiB cannot be meant")
    vcpus = _number(settings, "maxvcpus") or _number(settings, "vcpus") or 1
    return Toolstack(
        name=_string(settings, "name") or "guest",
        size=size,
        vcpus=vcpus,
        iomem=tuple(_iomem(item) for item in _list(settings, "iomem")),
        irqs=tuple(_integer("irqs", item) for item in _list(settings, "irqs")),
        dtdev=tuple(_list(settings, "dtdev")),
        passthrough=_passthrough(_string(settings, "passthrough")),
        vuart=_string(settings, "vuart") == "sbsa_uart",
        device_tree=_string(settings, "device_tree"),
    )


def _passthrough(said: str | None) -> bool | None:
    if said is None or said in ("unknown", "default"):
        return None
    if said not in _PASSTHROUGH:
        raise InputError(f"passthrough is one of {', '.join(_PASSTHROUGH)}, not '{said}'")
    return said not in ("disabled", "0")


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


def _tokens(text: str) -> Iterator[_Token]:
    at, line = 0, 1
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            shown = text[at : at + 20].splitlines()[0]
            raise InputError(f"line {line}: '{shown}' is nothing that a configuration of xl can say")
        kind = match.lastgroup or ""
        if kind != "blank":
            yield _Token(kind, match[0], line)
        line += match[0].count("\n")
        at = match.end()
    yield _Token("end", "\n", line)


def _settings(text: str) -> dict[str, str | list[str]]:
    """Return each setting's last value."""
    out: dict[str, str | list[str]] = {}
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
        known = out.get(token.text)
        both = sign == "+=" and isinstance(known, list) and isinstance(value, list)
        out[token.text] = [*known, *value] if both and isinstance(known, list) else value
        if at < len(tokens) and tokens[at].kind != "end" and tokens[at].text != ";":
            raise InputError(f"line {tokens[at].line}: '{tokens[at].text}' after the value of {token.text}")
    return out


def _value(tokens: list[_Token], at: int) -> tuple[str | list[str], int]:
    """Return the value that begins at token ``at``, and the place after it; lists inside lists are laid flat."""
    token = tokens[min(at, len(tokens) - 1)]
    if token.kind in ("string", "number"):
        return _plain(token), at + 1
    if token.text != "[":
        raise InputError(f"line {token.line}: '{token.text.strip()}' is no value: a string, a number or a list is")
    items: list[str] = []
    depth = 0
    for place in range(at, len(tokens)):
        item = tokens[place]
        depth += {"[": 1, "]": -1}.get(item.text, 0) if item.kind == "sign" else 0
        if not depth:
            return items, place + 1
        if item.kind in ("string", "number"):
            items.append(_plain(item))
        elif item.kind == "name" or item.text in ("=", "+=", ";"):
            raise InputError(f"line {item.line}: '{item.text}' inside a list")
    raise InputError(f"line {token.line}: the list that begins here has no end")


def _plain(token: _Token) -> str:
    if token.kind == "number":
        return token.text
    return _ESCAPE.sub(lambda match: _unescaped(match[1]), token.text[1:-1])


def _unescaped(text: str) -> str:
    if text[0] == "x" and len(text) > 1:
        return chr(int(text[1:], 16))
    if text[0] in "01234567":
        return chr(int(text, 8) & 0xFF)
    return {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}.get(text, text)


def _string(settings: dict[str, str | list[str]], name: str) -> str | None:
    found = settings.get(name)
    if isinstance(found, list):
        raise InputError(f"{name} is a list, and one value is expected")
    return found


def _list(settings: dict[str, str | list[str]], name: str) -> list[str]:
    found = settings.get(name, [])
    if not isinstance(found, list):
        raise InputError(f'{name} is no list: {name} = ["…"]')
    return found


def _number(settings: dict[str, str | list[str]], name: str) -> int | None:
    found = _string(settings, name)
    return None if found is None else _integer(name, found)


def _integer(name: str, text: str) -> int:
    try:
        return int(text, 8 if re.fullmatch(r"0[0-7]+", text) else 0)
    except ValueError as error:
        raise InputError(f"{name}: '{text}' is no number") from error


def _iomem(text: str) -> Iomem:
    """Cut ``START,PAGES[@GUEST]``, page frames in hex."""
    match = _IOMEM.fullmatch(text)
    if match is None:
        raise InputError(f"iomem: '{text}' is not START,PAGES or START,PAGES@GUEST in hex page frames")
    start, pages = int(match[1], 16), int(match[2], 16)
    guest = int(match[3], 16) if match[3] is not None else start
    if max(start, guest) + pages > 1 << 52:
        raise InputError(f"iomem: '{text}' reaches beyond 64 bits of addresses")
    return Iomem(start * _PAGE, guest * _PAGE, pages * _PAGE)
