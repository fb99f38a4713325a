"""What a command's signature says of its options, as data.

typer makes its own of it where it is needed: to import it takes longer than to check a guest's tree.
"""

from typing import Any, NamedTuple

__all__ = ["Argument", "Group", "Option"]


class Option:
    """Marks a parameter as an option, spelled ``names``; ``settings`` are those of ``typer.Option``."""

    __slots__ = ("names", "settings")

    def __init__(self, *names: str, **settings: Any) -> None:
        self.names = names
        self.settings = settings


class Argument:
    """Marks a parameter as an argument; ``settings`` are those of ``typer.Argument``."""

    __slots__ = ("settings",)

    def __init__(self, **settings: Any) -> None:
        self.settings = settings


class Group(NamedTuple):
    """Marks a parameter, ``Annotated[SomeNamedTuple, Group(heading)]``, as standing for the options in its fields."""

    heading: str
