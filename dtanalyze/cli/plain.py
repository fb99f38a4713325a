"""Command lines that need no typer: options spelled out, each with its value, and arguments.

typer says what a command line means. To import it takes longer than to check a guest's tree, so that what most calls look
like is read here, as typer reads it: a test holds one against the other. Everything else is left to typer: help, mistakes,
short options run together, ``--``, settings files and shell completion.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from types import FunctionType
from typing import Annotated, Any, Final, NamedTuple, get_args, get_origin

from dtanalyze.cli.call import Call, Known, note_debug
from dtanalyze.cli.option import Argument, Group, Option
from dtanalyze.cli.settings import settled
from dtanalyze.errors import DtanalyzeError

__all__ = ["plain_call"]

_INTEGER: Final = re.compile("[0-9]{1,18}")
_NUMBER: Final = re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?")


def _integer(word: str) -> int:
    if not _INTEGER.fullmatch(word):
        raise _NotPlainError
    return int(word)


def _number(word: str) -> float:
    if not _NUMBER.fullmatch(word):
        raise _NotPlainError
    return float(word)


class _Kind(NamedTuple):
    """What becomes of a value. ``many`` collects them; without ``read`` the option takes none."""

    read: Callable[[str], Any] | None
    many: bool = False


_KINDS: Final[dict[object, _Kind]] = {
    bool: _Kind(None),
    bool | None: _Kind(None),
    str: _Kind(str),
    str | None: _Kind(str),
    int: _Kind(_integer),
    int | None: _Kind(_integer),
    float: _Kind(_number),
    list[str]: _Kind(str, many=True),
    list[str] | None: _Kind(str, many=True),
    list[int] | None: _Kind(_integer, many=True),
}


class _NotPlainError(Exception):
    """A command line that is left to typer."""


class _Spelled(NamedTuple):
    """What one spelling of an option stands for; ``value`` is that of one that takes none."""

    param: str
    kind: _Kind
    value: bool


class _Shape:
    """What a command takes, read off its signature."""

    def __init__(self, command: FunctionType) -> None:
        self.groups: dict[str, type[Any]] = {}
        self.call: str | None = None
        self.values: dict[str, Any] = dict(_defaults(command))
        self.spelled: dict[str, _Spelled] = {}
        self.known: list[Known] = []
        self.single: list[str] = []
        self.rest: str | None = None
        annotations: dict[str, object] = command.__annotations__
        for name, annotation in annotations.items():
            if annotation is Call:
                self.call = name
            elif get_origin(annotation) is Annotated:
                self._add(name, *get_args(annotation))

    def _add(self, name: str, kind: Any, said: object) -> None:
        if isinstance(said, Group):
            self.groups[name] = kind
            self.values |= kind._field_defaults
            for field, annotation in kind.__annotations__.items():
                self._add(field, *get_args(annotation))
        elif isinstance(said, Argument):
            if kind is str and self.rest is None:
                self.single.append(name)
            elif kind == list[str] and self.rest is None and name not in self.values:
                self.rest = name
            else:
                raise _NotPlainError
        elif isinstance(said, Option):
            self._option(name, _KINDS[kind], said.names)

    def _option(self, name: str, kind: _Kind, names: Sequence[str]) -> None:
        on: list[str] = []
        off: list[str] = []
        for item in names:
            first, _, second = item.partition("/")
            on.append(first)
            off += [second] * bool(second)
        self.known.append(Known(name, on[0], off[0] if off else ""))
        for words, value in ((on, True), (off, False)):
            for word in words:
                self.spelled[word] = _Spelled(name, kind, value)


def _defaults(command: FunctionType) -> Iterator[tuple[str, Any]]:
    code, positional = command.__code__, command.__defaults__ or ()
    names = code.co_varnames[: code.co_argcount]
    yield from zip(names[len(names) - len(positional) :], positional, strict=True)
    yield from (command.__kwdefaults__ or {}).items()


def plain_call(command: FunctionType, words: Sequence[str], *, settings: bool) -> dict[str, Any] | None:
    """Return what ``words`` hand to a command, None when that is for typer to say.

    ``settings`` says that the command takes its defaults from settings files and the environment too.
    """
    try:
        shape = _Shape(command)
        origins, order = _read(shape, words)
        if settings and settled(words) is not None:
            return None
    except (_NotPlainError, DtanalyzeError):
        return None
    values = shape.values
    given = dict(values)
    if shape.call is not None:
        given[shape.call] = Call(tuple(shape.known), values, origins, order)
    for name, kind in shape.groups.items():
        given[name] = kind(**{field: given.pop(field) for field in kind._fields})
    note_debug(given=False)
    return given


def _read(shape: _Shape, words: Sequence[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Put what the words say into the shape's values; return where values come from, and the order of the options."""
    origins: dict[str, str] = {}
    order: list[str] = []
    arguments: list[str] = []
    line = iter(words)
    for word in line:
        if word == "-" or not word.startswith("-"):
            arguments.append(word)
            continue
        name, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
        found = shape.spelled.get(name)
        if found is None:
            raise _NotPlainError
        _set(shape.values, found, value if equals else None, line, first=found.param not in origins)
        origins[found.param] = "COMMANDLINE"
        order.append(found.param)
    return origins, (*order, *_place(shape, arguments))


def _set(values: dict[str, Any], found: _Spelled, value: str | None, line: Iterator[str], *, first: bool) -> None:
    read, many = found.kind
    if read is None:
        if value is not None:
            raise _NotPlainError
        values[found.param] = found.value
        return
    if value is None:
        value = next(line, "--")
        if value.startswith("-") and value != "-":
            raise _NotPlainError
    if many:
        values[found.param] = [*(() if first else values[found.param]), read(value)]
    else:
        values[found.param] = read(value)


def _place(shape: _Shape, arguments: list[str]) -> Iterator[str]:
    """Give each argument its parameter and yield the parameters."""
    count = len(shape.single)
    if len(arguments) < count + (shape.rest is not None) or (shape.rest is None and len(arguments) > count):
        raise _NotPlainError
    for name, value in zip(shape.single, arguments, strict=False):
        shape.values[name] = value
        yield name
    if shape.rest is not None:
        shape.values[shape.rest] = arguments[count:]
        yield shape.rest
