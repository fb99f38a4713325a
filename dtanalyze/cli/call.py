"""A call of a command: what was given, where it comes from and in which order, whoever read the command line."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:  # most runs find neither a file nor a variable
    from dtanalyze.controls.settings import FileUsed, Setting

__all__ = ["DEBUG", "Call", "Known", "Settled", "Table", "note_debug", "wants_debug"]

DEBUG: Final = "--debug"
_GIVEN: Final[set[str]] = set()
"""Options that every command has and none is handed: which of them this run was given."""


def wants_debug() -> bool:
    """Whether ``--debug`` was given."""
    return DEBUG in _GIVEN


def note_debug(*, given: bool) -> None:
    """Note whether ``--debug`` was given."""
    _GIVEN.clear()
    _GIVEN.update({DEBUG} if given else ())


class Known(NamedTuple):
    """An option that a command has: its parameter, how it is spelled, and how its opposite is, where it has one."""

    param: str
    spelled: str
    opposite: str = ""


class Table(NamedTuple):
    """A settings file and the table that it holds."""

    path: str
    table: Mapping[str, Any]


class Settled(NamedTuple):
    """What settings files and the environment say: each setting by its parameter, the files, and the one that decides."""

    settings: "Mapping[str, Setting]"
    files: "tuple[FileUsed, ...]"
    table: Table | None


UNSETTLED: Final = Settled({}, (), None)


class Call(NamedTuple):
    """``values`` are those of all parameters; ``origins`` says ``COMMANDLINE`` or ``DEFAULT_MAP`` of what was given.

    ``order`` holds the parameters as they stand on the command line.
    """

    known: tuple[Known, ...]
    values: Mapping[str, Any]
    origins: Mapping[str, str]
    order: tuple[str, ...]
    settled: Settled = UNSETTLED
