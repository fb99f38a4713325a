"""What options are given: addresses, words of a few, and the files that they name."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from dtanalyze.address.range import ADDRESS_SPACE
from dtanalyze.address.units import parse_size
from dtanalyze.errors import InputError, UsageError
from dtanalyze.inputs import reading

if TYPE_CHECKING:
    from dtanalyze.evidence.lines import Line

__all__ = ["address", "choice", "content", "named", "read_file", "read_log", "read_text"]

T = TypeVar("T")


def address(text: str, option: str) -> int:
    """Return the address that an option is given; raise `UsageError` for what is none."""
    try:
        found = parse_size(text)
    except UsageError as error:
        raise UsageError(f"{option} takes an address such as 0x44000000, not '{text}'") from error
    if found >= ADDRESS_SPACE:
        raise UsageError(f"{option} takes an address of 64 bits, not '{text}'")
    return found


def choice(value: str, allowed: tuple[str, ...], option: str) -> str:
    """Return ``value`` when it is allowed; raise `UsageError` naming all that are."""
    if value not in allowed:
        raise UsageError(f"{option} takes {', '.join(allowed[:-1])} or {allowed[-1]}, not '{value}'")
    return value


def read_text(path: str) -> str:
    """Return a text file's content; raise `InputError` with the path when it cannot be read."""
    try:
        return reading.read_text(path)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def read_file(path: str, reader: Callable[[str], T]) -> T:
    """Return what ``reader`` makes of a text file; every `InputError` names the file."""
    text = read_text(path)
    return named(path, lambda: reader(text))


def content(path: str) -> bytes:
    """Return a file of text as it stands; raise `InputError` when it cannot be read."""
    return reading.read_bytes(path, reading.MAX_TEXT)


def named(path: str, make: Callable[[], T]) -> T:
    """Return what ``make`` returns; every `InputError` names the file."""
    try:
        return make()
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def read_log(path: str, reader: "Callable[[Iterator[Line]], T]") -> T:
    """Return what ``reader`` makes of Xen's lines in a log of any size, one held at a time; errors name the file."""
    from dtanalyze.evidence.lines import XEN, read_lines
    from dtanalyze.evidence.xen_console import TELLING

    def read() -> T:
        with reading.open_log(path) as stream:
            return reader(read_lines(stream, XEN, TELLING))

    return named(path, read)
