"""What a user says about sources, and what a user calls them."""

import os
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from dtanalyze.errors import UsageError

__all__ = ["STDIN", "Sourcing", "as_named", "cpp_args_from"]

STDIN: Final = "<stdin>"
"""What cpp and dtc call the source itself, which they get on standard input."""

_MACROS: Final = ("-D", "-U")
_FILES: Final = ("-include", "-imacros")


class Sourcing(NamedTuple):
    """How sources are compiled: the folders that the user named, and macros as ``NAME`` or ``NAME=VALUE``.

    ``source`` is the file that a blob was compiled from, ``cpp_args`` is what cpp is given beside, ``dtc`` the compiler in
    place of the one that PATH has.
    """

    includes: tuple[str, ...] = ()
    macros: tuple[str, ...] = ()
    source: str | None = None
    cpp_args: tuple[str, ...] = ()
    dtc: str | None = None

    def below(self, root: str) -> "Sourcing":
        """Return the same for another copy of the working folder: what is named from here is meant from there."""
        here = os.getcwd()

        def moved(path: str) -> str:
            inside = os.path.relpath(os.path.abspath(path), here)
            return path if inside.startswith("..") else os.path.join(root, inside)

        args = tuple(moved(item) if os.path.isabs(item) else item for item in self.cpp_args)
        source = None if self.source is None else moved(self.source)
        return self._replace(includes=tuple(map(moved, self.includes)), cpp_args=args, source=source)


def as_named(path: str, file: str) -> str:
    """Return the name that a user has for what a tool calls ``file``, when it compiles the source at ``path``."""
    if file == STDIN:
        return path
    base, folder = os.path.dirname(path), os.path.dirname(os.path.abspath(path))
    inside = os.path.relpath(os.path.join(folder, file), folder)
    return os.path.normpath(os.path.join(base, inside))


def cpp_args_from(texts: Iterable[str]) -> Sourcing:
    """Return what ``--cpp-args`` say: folders apart from the rest, which cpp is given as it is.

    Other options of cpp write files, read what is not looked at, or change what its output means. Raises `UsageError` for
    them.
    """
    import shlex

    includes: list[str] = []
    rest: list[str] = []
    for text in texts:
        try:
            words = iter(shlex.split(text))
        except ValueError as error:
            raise UsageError(f"--cpp-args: {error}: {text}") from error
        for word in words:
            if word.startswith("-I"):
                includes.append(word[2:] or _value(words, word))
            elif word.startswith(_MACROS):
                rest.append(word if len(word) > 2 else word + _value(words, word))
            elif word in _FILES:
                rest += (word, os.path.abspath(_value(words, word)))
            else:
                raise UsageError(f"--cpp-args takes -D, -U, -I, -include and -imacros, not {word}")
    return Sourcing(includes=tuple(includes), cpp_args=tuple(rest))


def _value(words: Iterator[str], option: str) -> str:
    value = next(words, "")
    if not value or value.startswith("-"):
        raise UsageError(f"--cpp-args: {option} wants a value behind it")
    return value
