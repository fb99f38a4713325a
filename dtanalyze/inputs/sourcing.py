"""What a user says about sources."""

from typing import NamedTuple

__all__ = ["Sourcing"]


class Sourcing(NamedTuple):
    """How sources are compiled: the folders that the user named, and macros as ``NAME`` or ``NAME=VALUE``.

    ``source`` is the file that a blob was compiled from.
    """

    includes: tuple[str, ...] = ()
    macros: tuple[str, ...] = ()
    source: str | None = None
