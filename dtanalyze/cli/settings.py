"""Settings from a file beside the input and from the environment, as defaults of a command's options."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer

from dtanalyze.cli.groups import Group
from dtanalyze.cli.outputs import InOrder
from dtanalyze.cli.run import fail
from dtanalyze.errors import DtanalyzeError, InputError, UsageError

if TYPE_CHECKING:  # most runs find neither a file nor a variable
    from dtanalyze.controls.settings import Setting

__all__ = ["SettingsGroup", "SettingsOptions", "WithSettings", "shown", "suppress_table"]

_SETTINGS: Final = "dtanalyze.settings"
_TABLE: Final = "dtanalyze.table"
_PREFIX: Final = "DTANALYZE_"
_NAMES: Final = ("dtanalyze.toml", "pyproject.toml")


class SettingsOptions(NamedTuple):
    """Where defaults come from."""

    config: Annotated[
        str | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="Settings file. Default: dtanalyze.toml or pyproject.toml, upward from the first input.",
            show_default=False,
        ),
    ] = None
    no_config: Annotated[bool, typer.Option("--no-config", help="Read no settings file.")] = False
    show_settings: Annotated[
        bool, typer.Option("--show-settings", help="Print every setting and where it comes from, and do nothing else.")
    ] = False


SettingsGroup = Annotated[SettingsOptions, Group("Settings")]


class WithSettings(InOrder):
    """A command whose defaults come from a settings file and the environment, below what the command line says."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Look for settings first, then parse."""
        try:
            self._settle(ctx, args)
        except DtanalyzeError as error:
            fail(str(error))
        return list(super().parse_args(ctx, args))

    def _settle(self, ctx: Any, args: list[str]) -> None:
        if any(item in ("-h", "--help") for item in args):
            return
        file, table = (None, {}) if "--no-config" in args else _found(_config_of(args), args)
        named = [name for name in os.environ if name.startswith(_PREFIX)]
        if file is None and not named:
            return
        from dtanalyze.controls.settings import from_environment, from_file

        settings: dict[str, Setting] = from_file(table, file) if file is not None else {}
        settings |= from_environment(os.environ)
        ctx.default_map = {param: item.value for param, item in settings.items()}
        ctx.meta[_SETTINGS] = settings
        ctx.meta[_TABLE] = (file, table)


def _config_of(args: Sequence[str]) -> str | None:
    for place, item in enumerate(args):
        if item == "--config" and place + 1 < len(args):
            return args[place + 1]
        if item.startswith("--config="):
            return item.partition("=")[2]
    return None


def _found(config: str | None, args: Sequence[str]) -> tuple[str | None, Mapping[str, Any]]:
    """Return the settings file and its table: the one named, or the first upward from the first input."""
    if config is not None:
        table = _read(Path(config))
        if table is None:
            raise UsageError(f"{config}: it has no table [tool.dtanalyze]")
        return config, table
    for folder in _upward(args):
        for name in _NAMES:
            path = folder / name
            if path.is_file():
                table = _read(path)
                if table is not None:
                    return _relative(path), table
    return None, {}


def _upward(args: Sequence[str]) -> Iterator[Path]:
    """Yield the folder of the first input, or the working folder, and all above it."""
    first = next((item for item in args if not item.startswith("-") and item.endswith((".dtb", ".itb", ".dts"))), "")
    start = Path(os.path.abspath(first)).parent if first else Path.cwd()
    yield from (start, *start.parents)


def _relative(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _read(path: Path) -> Mapping[str, Any] | None:
    """Return the table of a file; None for a pyproject.toml without one."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not TOML: {error}") from error
    if path.name == "pyproject.toml" and "dtanalyze" not in text:
        return None  # most projects' files say nothing of this tool, and TOML takes as long to read as a tree to check
    import tomllib

    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not TOML: {error}") from error
    if path.name != "pyproject.toml":
        return data
    tool = data.get("tool", {})
    table = tool.get("dtanalyze") if isinstance(tool, dict) else None
    if table is not None and not isinstance(table, dict):
        raise UsageError(f"{path}: tool.dtanalyze has to be a table")
    return table


def suppress_table(ctx: typer.Context) -> tuple[str, Any] | None:
    """Return the settings file and its suppressions, when it has some."""
    file, table = ctx.meta.get(_TABLE, (None, {}))
    return (str(file), table["suppress"]) if file is not None and "suppress" in table else None


def shown(ctx: typer.Context) -> str:
    """Return every setting with its value and where it comes from."""
    from dtanalyze.controls.settings import KEYS

    settings: Mapping[str, Setting] = ctx.meta.get(_SETTINGS, {})
    width = max(len(key) for key in KEYS)
    lines = []
    for key, known in KEYS.items():
        source = getattr(ctx.get_parameter_source(known.param), "name", "DEFAULT")
        origin = "default"
        if source == "COMMANDLINE":
            origin = "command line"
        elif source == "DEFAULT_MAP" and known.param in settings:
            origin = settings[known.param].origin
        lines.append(f"{key:{width}}  {_worded(ctx.params.get(known.param))}  ({origin})")
    return "\n".join(lines) + "\n"


def _worded(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
