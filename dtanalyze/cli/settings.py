"""Settings from a file and from the environment, as defaults of a command's options.

Which file decides what a gate lets through is the project's or the caller's to say, never the sender's of an input: the file
named with ``--config``, else the first upward from the working folder, no further than the project's own (``.git``).
One that lies beside the input may say what the tree itself could have said; what else it says is named, and has no effect.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

from dtanalyze.cli.call import Call, Settled, Table
from dtanalyze.cli.console import complain
from dtanalyze.cli.option import Group, Option
from dtanalyze.errors import InputError, UsageError
from dtanalyze.inputs.reading import MAX_TEXT, read_bytes

if TYPE_CHECKING:  # most runs find neither a file nor a variable
    from dtanalyze.controls.settings import Setting

__all__ = [
    "QuestionSettings",
    "QuestionSettingsGroup",
    "SettingsGroup",
    "SettingsOptions",
    "may_have_settings",
    "parsed_toml",
    "project_folder",
    "settled",
    "shown",
    "suppress_table",
    "working_folder",
]

_ROOTS: Final = (".git", ".hg")
"""What the folder of a whole project holds: above it, settings are somebody else's."""
_PREFIX: Final = "DTANALYZE_"
_NAMES: Final = ("dtanalyze.toml", "pyproject.toml")
_INPUTS: Final = (".dtb", ".itb", ".dts", ".dtbo")


ConfigOption = Annotated[
    str | None,
    Option(
        "--config",
        metavar="FILE",
        help="Settings file. Default: dtanalyze.toml or pyproject.toml, upward from the working folder.",
        show_default=False,
    ),
]
NoConfigOption = Annotated[bool, Option("--no-config", help="Read no settings file.")]


class QuestionSettings(NamedTuple):
    """Where defaults come from, for commands that ask what a gate asks: of a file they take the keys that they know."""

    config: ConfigOption = None
    no_config: NoConfigOption = False

    def tell(self, call: Call) -> None:
        """Say on stderr which files decided, as reports of a gate do, by the keys that this command has."""
        from dtanalyze.controls.settings import KEYS

        params = {item.param for item in call.known}
        for used in () if self.no_config else call.settled.files:
            keys = tuple(key for key in used.keys if key in KEYS and KEYS[key].param in params)
            if keys or used.without_effect:
                complain(str(used._replace(keys=keys)))


class SettingsOptions(NamedTuple):
    """Where defaults come from."""

    config: ConfigOption = None
    no_config: NoConfigOption = False
    show_settings: Annotated[
        bool, Option("--show-settings", help="Print every setting and where it comes from, and do nothing else.")
    ] = False


SettingsGroup = Annotated[SettingsOptions, Group("Settings")]
QuestionSettingsGroup = Annotated[QuestionSettings, Group("Settings")]


def settled(args: Sequence[str]) -> Settled | None:
    """Return what settings files and the environment say, None when there are none; raise `DtanalyzeError` for a bad one."""
    trusted, beside = (None, None) if "--no-config" in args else _found(_config_of(args), args)
    named = [name for name in os.environ if name.startswith(_PREFIX)]
    if trusted is None and beside is None and not named:
        return None
    from dtanalyze.controls.settings import FileUsed, from_beside, from_environment, from_file

    settings: dict[str, Setting] = {}
    files: list[FileUsed] = []
    if beside is not None:
        settings, used = from_beside(beside.table, beside.path)
        files.append(used)
    if trusted is not None:
        settings |= from_file(trusted.table, trusted.path)
        files.append(FileUsed(trusted.path, tuple(trusted.table)))
    settings |= from_environment(os.environ)
    return Settled(settings, tuple(files), trusted)


def _config_of(args: Sequence[str]) -> str | None:
    for place, item in enumerate(args):
        if item == "--config" and place + 1 < len(args):
            return args[place + 1]
        if item.startswith("--config="):
            return item.partition("=")[2]
    return None


def _found(config: str | None, args: Sequence[str]) -> tuple[Table | None, Table | None]:
    """Return the settings file that decides and the one that lies beside the first input, where that is another.

    The first is the one named, else the first upward from the working folder to the project's own.
    """
    here = _project()
    if config is not None:
        table = _read(config)
        if table is None:
            raise UsageError(f"{config}: it has no table [tool.dtanalyze]")
        return Table(config, table), None
    return _first(here), _first(folder for folder in _above_input(args) if folder not in here)


def _first(folders: Iterable[str]) -> Table | None:
    for folder in folders:
        for name in _NAMES:
            path = os.path.join(folder, name)
            if os.path.lexists(path):
                table = _read(_relative(path))
                if table is not None:
                    return Table(_relative(path), table)
    return None


def _project() -> list[str]:
    """Return the working folder and those above it, up to the one that holds the whole project."""
    folders = [start := os.getcwd()]
    while not any(os.path.lexists(os.path.join(start, name)) for name in _ROOTS):
        above = os.path.dirname(start)
        if above == start:
            break
        folders.append(start := above)
    return folders


def project_folder() -> str:
    """Return the folder of the project that the working folder belongs to; the working folder where there is none."""
    top = _project()[-1]
    return top if any(os.path.lexists(os.path.join(top, name)) for name in _ROOTS) else os.getcwd()


def _above_input(args: Sequence[str]) -> Iterator[str]:
    """Yield the folder of the first input and all above it."""
    first = next((item for item in args if not item.startswith("-") and item.endswith(_INPUTS)), None)
    if first is None:
        return
    folder = os.path.dirname(os.path.abspath(first))
    yield folder
    while (above := os.path.dirname(folder)) != folder:
        yield (folder := above)


def _relative(path: str) -> str:
    inside = os.path.relpath(path)
    return path if inside.startswith("..") else inside


def working_folder() -> str:
    """Return the folder that relative paths start from."""
    return os.getcwd()


def may_have_settings(text: str) -> bool:
    """Tell whether a project's file may have a table [tool.dtanalyze], however it is spelled: others have the words too."""
    table = r"""\btool["']?\s*\.\s*["']?dtanalyze["'\s.=\]]|^\s*\[?\s*["']?tool["']?\s*[]=]|\\u"""
    return re.search(table, text, re.IGNORECASE | re.MULTILINE) is not None


def _read(path: str) -> Mapping[str, Any] | None:
    """Return the table of a file; None for a pyproject.toml without one."""
    try:
        text = read_bytes(path, MAX_TEXT).decode("utf-8")
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not TOML: {error}") from error
    if os.path.basename(path) == "pyproject.toml" and not may_have_settings(text):
        return None  # most projects' files say nothing of this tool, and TOML takes as long to read as a tree to check
    data = parsed_toml(text, path)
    if os.path.basename(path) != "pyproject.toml":
        return data
    tool = data.get("tool", {})
    table = tool.get("dtanalyze") if isinstance(tool, dict) else None
    if table is not None and not isinstance(table, dict):
        raise UsageError(f"{path}: tool.dtanalyze has to be a table")
    return table


def parsed_toml(text: str, path: str) -> dict[str, Any]:
    """Return a TOML document; raise `InputError` with the path when it is none."""
    import tomllib

    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise InputError(f"{path}: not TOML that can be read: it is nested too deeply") from error
    except ValueError as error:  # also for numbers and dates that TOML's grammar lets through
        raise InputError(f"{path}: not TOML: {error}") from error


def suppress_table(call: Call) -> tuple[str, Any] | None:
    """Return the settings file and its suppressions, when it has some."""
    file = call.settled.table
    return (file.path, file.table["suppress"]) if file is not None and "suppress" in file.table else None


def shown(call: Call) -> str:
    """Return every setting with its value and where it comes from."""
    from dtanalyze.controls.settings import KEYS

    settings = call.settled.settings
    width = max(len(key) for key in KEYS)
    lines = []
    for key, known in KEYS.items():
        source = call.origins.get(known.param)
        origin = "default"
        if source == "COMMANDLINE":
            origin = "command line"
        elif source == "DEFAULT_MAP" and known.param in settings:
            origin = settings[known.param].origin
        lines.append(f"{key:{width}}  {_worded(call.values.get(known.param))}  ({origin})")
    return "\n".join(lines) + "\n"


def _worded(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
