"""Write the manual page from the help: ``python docs/make_man.py > dtanalyze.1``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import typer

from dtanalyze.cli.application import application
from dtanalyze.version import __version__

__all__ = ["manual"]

_FILES = (
    ("dtanalyze.toml", "Settings of a project, and suppressions. The nearest upward from the working folder counts."),
    ("pyproject.toml", "The same in its table [tool.dtanalyze]."),
)
_STATUS = (
    ("0", "Nothing at or above --fail-on."),
    ("1", "Findings at or above it."),
    ("2", "Wrong use, or an input that cannot be read."),
)


def manual() -> str:
    """Return the page in the man macros, which groff and mandoc read."""
    return "\n".join(_page()) + "\n"


def _page() -> Iterator[str]:
    root: Any = typer.main.get_command(application([]))
    context = root.make_context("dtanalyze", [], resilient_parsing=True)
    yield f'.TH DTANALYZE 1 "" "dtanalyze {__version__}" "User Commands"'
    yield ".SH NAME"
    yield r"dtanalyze \- tell before boot what Linux on Xen does with a device tree"
    yield ".SH SYNOPSIS"
    for name in root.list_commands(context):
        yield r".B dtanalyze " + _text(name)
        yield r"[\fIOPTIONS\fR] " + _text(" ".join(root.commands[name].collect_usage_pieces(_context(root, name))[1:]))
        yield ".br"
    yield ".SH DESCRIPTION"
    yield from _paragraphs(root.help)
    for name in root.list_commands(context):
        yield from _command(root.commands[name], _context(root, name))
    yield from _list("EXIT STATUS", _STATUS)
    yield from _list("FILES", _FILES)


def _context(root: Any, name: str) -> Any:
    return root.commands[name].make_context(f"dtanalyze {name}", [], resilient_parsing=True)


def _command(command: Any, context: Any) -> Iterator[str]:
    yield f".SH {_text(context.info_name.upper())}"
    yield from _paragraphs(command.help)
    for heading, records in _sections(command, context).items():
        yield f".SS {_text(heading)}"
        for names, said in records:
            yield from (".TP", rf"\fB{_text(names)}\fR", _text(" ".join(said.split())))
    if command.epilog:
        yield from _examples(command.epilog)


def _sections(command: Any, context: Any) -> dict[str, list[tuple[str, str]]]:
    """Return what the help lists, by its headings; what has none comes last."""
    sections: dict[str, list[tuple[str, str]]] = {"Arguments": []}
    rest: list[tuple[str, str]] = []
    for param in command.get_params(context):
        record = param.get_help_record(context)
        heading = "Arguments" if param.param_type_name == "argument" else getattr(param, "rich_help_panel", None)
        if record is not None:
            (rest if heading is None else sections.setdefault(heading, [])).append(record)
    return {heading: records for heading, records in {**sections, "Options": rest}.items() if records}


def _examples(text: str) -> Iterator[str]:
    for part in filter(None, (" ".join(item.split()) for item in text.split("\n\n"))):
        if part.startswith("dtanalyze "):
            yield from (".PP", ".nf", r"    " + _text(part), ".fi")
        else:
            yield from (".PP", _text(part))


def _paragraphs(text: str) -> Iterator[str]:
    for part in filter(None, (" ".join(item.split()) for item in (text or "").split("\n\n"))):
        yield from (".PP", _text(part))


def _list(heading: str, rows: tuple[tuple[str, str], ...]) -> Iterator[str]:
    yield f".SH {heading}"
    for name, said in rows:
        yield from (".TP", rf"\fB{_text(name)}\fR", _text(said))


def _text(text: str) -> str:
    """Return text as the macros print it: hyphens as they are typed, no line that is a request."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("…", "...").replace("'", "\\(aq")
    return re.sub(r"^([.'])", r"\\&\1", text)


if __name__ == "__main__":
    sys.stdout.write(manual())
