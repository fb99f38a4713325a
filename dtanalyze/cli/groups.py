"""Options that belong together as one named tuple: a command takes the tuple, the command line sees each of its fields."""

import functools
import inspect
from collections.abc import Callable, Iterator
from copy import copy
from typing import Annotated, Any, Final, NamedTuple, get_args, get_origin, get_type_hints

from typer.core import TyperCommand
from typer.models import OptionInfo

__all__ = ["Group", "GroupedCommand", "grouped", "wants_debug"]

_REST: Final = "Other options"
_DEBUG: Final = "--debug"
_GIVEN: Final[set[str]] = set()
"""Options that every command has and none is handed: which of them this run was given."""


def wants_debug() -> bool:
    """Whether ``--debug`` was given."""
    return _DEBUG in _GIVEN


class Group(NamedTuple):
    """Marks a parameter, ``Annotated[SomeNamedTuple, Group(heading)]``, as standing for the options in its fields."""

    heading: str


class GroupedCommand(TyperCommand):
    """A command whose ``--help`` shows its options under the headings of their groups, and that takes ``--debug``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Note ``--debug`` and parse the rest."""
        stop = args.index("--") if "--" in args else len(args)
        _GIVEN.clear()
        _GIVEN.update({_DEBUG} & set(args[:stop]))
        return list(super().parse_args(ctx, [*(item for item in args[:stop] if item != _DEBUG), *args[stop:]]))

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, then each group in the order of the signature, then the options of no group."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": []}
        rest: list[tuple[str, str]] = []
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            heading = "Arguments" if param.param_type_name == "argument" else getattr(param, "rich_help_panel", None)
            if record is not None:
                (rest if heading is None else sections.setdefault(heading, [])).append(record)
        rest.append((_DEBUG, "Show where an internal error comes from."))
        sections[_REST if len(sections) > 1 else "Options"] = rest
        for heading, records in sections.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command as the command line has to see it, with each group replaced by its fields."""
    signature = inspect.signature(command, eval_str=True)
    groups: dict[str, type[Any]] = {}
    flat: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        group = _group_of(parameter.annotation)
        if group is None:
            flat.append(parameter)
        else:
            groups[parameter.name] = kind = get_args(parameter.annotation)[0]
            flat.extend(_fields(kind, group))

    @functools.wraps(command)
    def call(**given: Any) -> None:
        for name, kind in groups.items():
            given[name] = kind(**{field: given.pop(field) for field in kind._fields})
        command(**given)

    # What typer reads to learn the options.
    call.__signature__ = signature.replace(parameters=flat)  # type: ignore[attr-defined]  # what inspect reads
    call.__annotations__ = {}
    return call


def _group_of(annotation: Any) -> Group | None:
    if get_origin(annotation) is not Annotated:
        return None
    return next((item for item in get_args(annotation)[1:] if isinstance(item, Group)), None)


def _fields(kind: type[Any], group: Group) -> Iterator[inspect.Parameter]:
    """Yield a parameter for each field, its option marked with the group's heading."""
    defaults = kind._field_defaults
    for name, annotation in get_type_hints(kind, include_extras=True).items():
        value, option = get_args(annotation)
        if not isinstance(option, OptionInfo):
            raise TypeError(f"{kind.__name__}.{name} is no option")
        own = copy(option)
        own.rich_help_panel = group.heading
        yield inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=defaults[name], annotation=Annotated[value, own]
        )
