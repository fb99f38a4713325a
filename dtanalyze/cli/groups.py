"""Commands as typer has to see them: each group replaced by its options, data made to what typer reads.

Options that belong together are one named tuple: a command takes the tuple, the command line sees each of its fields.
"""

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperCommand

from dtanalyze.cli.call import DEBUG, UNSETTLED, Call, Known, note_debug
from dtanalyze.cli.console import fail
from dtanalyze.cli.option import Argument, Group, Option
from dtanalyze.cli.settings import settled
from dtanalyze.errors import DtanalyzeError

__all__ = ["GroupedCommand", "SettledCommand", "grouped"]

_OWN: Final = "Options"
_REST: Final = "Other options"
_BEFORE_GROUPS: Final = 2
"""Sections that stand before those of the groups: the arguments, and a command's own options."""
_ORDER: Final = "dtanalyze.order"
_SETTLED: Final = "dtanalyze.settled"


class GroupedCommand(TyperCommand):
    """A command whose ``--help`` shows its options under the headings of their groups, and that takes ``--debug``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Note ``--debug`` and parse the rest."""
        stop = args.index("--") if "--" in args else len(args)
        note_debug(given=DEBUG in args[:stop])
        return list(super().parse_args(ctx, [*(item for item in args[:stop] if item != DEBUG), *args[stop:]]))

    def make_parser(self, ctx: Any) -> Any:
        """Return the parser, made to leave the order of the options in ``ctx.meta`` when it has parsed."""
        parser: Any = super().make_parser(ctx)
        parse = parser.parse_args

        def parse_args(args: list[str]) -> tuple[Any, list[str], list[Any]]:
            values, rest, order = parse(args=args)
            ctx.meta[_ORDER] = tuple(item.name for item in order)
            return values, rest, order

        parser.parse_args = parse_args
        return parser

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, what the signature names before its first group, each group, then the options of no group."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], _OWN: []}
        rest: list[tuple[str, str]] = []
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            heading = "Arguments" if param.param_type_name == "argument" else getattr(param, "rich_help_panel", None)
            if record is None:
                continue
            if heading is not None:
                sections.setdefault(heading, []).append(record)
            else:
                (sections[_OWN] if len(sections) == _BEFORE_GROUPS and param.name != "help" else rest).append(record)
        rest.append((DEBUG, "Show where an internal error comes from."))
        sections.setdefault(_REST if len(sections) > _BEFORE_GROUPS else _OWN, []).extend(rest)
        for heading, records in sections.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


class SettledCommand(GroupedCommand):
    """A command whose defaults come from a settings file and the environment, below what the command line says."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Look for settings first, then parse."""
        try:
            found = None if any(item in ("-h", "--help") for item in args) else settled(args)
        except DtanalyzeError as error:
            fail(str(error))
        if found is not None:
            ctx.default_map = {param: item.value for param, item in found.settings.items()}
            ctx.meta[_SETTLED] = found
        return list(super().parse_args(ctx, args))


def _call_of(ctx: Any) -> Call:
    params = ctx.command.params
    known = tuple(Known(item.name, item.opts[0], next(iter(item.secondary_opts), "")) for item in params)
    sources = {item.name: getattr(ctx.get_parameter_source(item.name), "name", "DEFAULT") for item in params}
    return Call(known, ctx.params, sources, ctx.meta[_ORDER], ctx.meta.get(_SETTLED, UNSETTLED))


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command as the command line has to see it, with each group replaced by its fields."""
    signature = inspect.signature(command, eval_str=True)
    groups: dict[str, type[Any]] = {}
    flat: list[inspect.Parameter] = []
    asks: str | None = None
    for parameter in signature.parameters.values():
        group = _group_of(parameter.annotation)
        if group is not None:
            groups[parameter.name] = kind = get_args(parameter.annotation)[0]
            flat.extend(_fields(kind, group))
        elif parameter.annotation is Call:
            asks = parameter.name
            flat.append(parameter.replace(annotation=typer.Context))
        else:
            flat.append(parameter.replace(annotation=_for_typer(parameter.annotation)))

    @functools.wraps(command)
    def call(**given: Any) -> None:
        if asks is not None:
            given[asks] = _call_of(given[asks])
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


def _for_typer(annotation: Any, heading: str | None = None) -> Any:
    """Return the annotation with typer's own option or argument for ours."""
    if get_origin(annotation) is not Annotated:
        return annotation
    value, said = get_args(annotation)
    if isinstance(said, Option):
        said = typer.Option(*said.names, **said.settings, rich_help_panel=heading)
    elif isinstance(said, Argument):
        said = typer.Argument(**said.settings)
    return Annotated[value, said]


def _fields(kind: type[Any], group: Group) -> Iterator[inspect.Parameter]:
    """Yield a parameter for each field, its option marked with the group's heading."""
    defaults = kind._field_defaults
    for name, annotation in get_type_hints(kind, include_extras=True).items():
        if not isinstance(get_args(annotation)[1], Option):
            raise TypeError(f"{kind.__name__}.{name} is no option")
        made = _for_typer(annotation, group.heading)
        yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=defaults[name], annotation=made)
