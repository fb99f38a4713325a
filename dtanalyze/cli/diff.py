"""``dtanalyze diff``."""

import json
import os
from functools import partial
from typing import Annotated, Any, Final, TypeAlias

from dtanalyze.causes import folded
from dtanalyze.cli import control_options, kernel_options, options, settings, xen_options
from dtanalyze.cli.call import Call
from dtanalyze.cli.console import LeaveError, fail, say
from dtanalyze.cli.idle import tell_idle
from dtanalyze.cli.option import Argument, Option
from dtanalyze.cli.outputs import columns
from dtanalyze.cli.pairs import Work, paired, several
from dtanalyze.cli.run import Sources, checked, each_input, report_failures, usage_errors
from dtanalyze.controls.difference import CellChange, TreeChange, changes
from dtanalyze.errors import InputFailure, UsageError
from dtanalyze.facts import CheckResult
from dtanalyze.findings import Severity
from dtanalyze.report import check_format
from dtanalyze.report.comment import difference_markdown, differences_markdown
from dtanalyze.report.difference import difference_json, difference_text, differences_json, differences_text
from dtanalyze.report.foreign import json_text
from dtanalyze.report.json import SCHEMA_VERSION, failure_json
from dtanalyze.report.style import Style
from dtanalyze.version import __version__

__all__ = ["EPILOG", "SETTINGS", "command"]

Groups: TypeAlias = list[tuple[CheckResult, ...]]
Changes: TypeAlias = tuple[CellChange, ...]

SETTINGS: Final = True
"""Files and the environment may say what the command line does not: the question is that of the gate."""

EPILOG: Final = """Exit status: 0 nothing got worse, 1 a worse verdict, fewer sections or a new finding at or above
--fail-on, 2 usage or unreadable input.

Examples:

dtanalyze diff old.dtb new.dtb

dtanalyze diff old.dtb new.dtb --memory 0x40000000+2G --xen 4.20 --format json

git worktree add ../before main; dtanalyze diff boards boards --old-root ../before --format markdown
"""


def command(
    call: Call,
    old: Annotated[str, Argument(metavar="OLD", help="The tree before; or a folder, a pattern.", show_default=False)],
    new: Annotated[str, Argument(metavar="NEW", help="The tree after; or a folder, a pattern.", show_default=False)],
    *,
    format_: Annotated[
        str, Option("--format", metavar="text|json|markdown", help="How to print the answer; markdown for a comment.")
    ] = "text",
    fail_on: Annotated[
        str,
        Option(
            "--fail-on",
            metavar="error|warning|info|never",
            help="Lowest severity of a new finding that counts; with never nothing does.",
        ),
    ] = "error",
    old_root: Annotated[
        str | None,
        Option(
            "--old-root",
            metavar="FOLDER",
            help="Another copy of this folder, of before: OLD, -I and overlays of OLD are seen from there.",
            show_default=False,
        ),
    ] = None,
    color: options.ColorOption = "auto",
    tree: options.TreeGroup,
    kernel: kernel_options.KernelGroup,
    mappings: options.MappingGroup,
    host: xen_options.HostGroup,
    overlay: options.OverlayGroup,
    source: options.SourceGroup,
    files: settings.QuestionSettingsGroup,
) -> None:
    """Compare two versions of a tree or folder.

    Findings new and fixed, the verdict, regions, RAM and sections.
    """
    files.tell(call)
    with usage_errors():
        check_format(format_, ("text", "json", "markdown"))
        lowest = control_options.threshold(fail_on)
        style = options.style_from(color)
        profiles = kernel.profiles()
        asked = options.question(profiles[0], kernel.kaslr, tree, mappings)
        question = host.question(asked, profiles)
        sourcing = source.sourcing()
        sources = Sources(overlay.read(sourcing), sourcing)
        before = sources
        if old_root is not None:
            if not os.path.isdir(old_root):
                raise UsageError(f"--old-root {old_root}: no such folder")
            old, sourcing = os.path.join(old_root, old), sourcing.below(old_root)
            overlays = [os.path.join(old_root, item) for item in overlay.overlay or ()]
            before = Sources(overlay._replace(overlay=overlays).read(sourcing), sourcing)
    analyse = partial(checked, options=asked, question=question)
    if several(old) or several(new):
        with usage_errors():
            trees, failures = paired(old, new, analyse, before, sources)
        _many((old, new), trees, failures, format_, style, lowest)
        return
    found = _one(*_read(old, analyse, before, new=old_root is not None), *_read(new, analyse, sources))
    if format_ == "json":
        say(_json({"old": old, "new": new, "changes": difference_json(found)}))
    elif format_ == "markdown":
        say(difference_markdown(found, new))
    else:
        say(difference_text(found, style=style, width=columns()))
    tell_idle(call, {item.tree for change in found for item in (change.old, change.new) if item is not None})
    if any(change.is_worse(lowest) for change in found):
        raise LeaveError(1)


def _read(path: str, analyse: Work, sources: Sources, *, new: bool = False) -> tuple[Groups, list[InputFailure]]:
    """Return the results of a file; one that may be ``new`` and was not there before has one tree without results."""
    return ([()], []) if new and not os.path.lexists(path) else each_input([path], analyse, sources)


def _one(old: Groups, old_failures: list[InputFailure], new: Groups, new_failures: list[InputFailure]) -> Changes:
    """Return the change of each cell of one tree."""
    failures = old_failures + new_failures
    report_failures(failures)
    if failures:
        raise LeaveError(2)
    if len(old) + len(new) != 2:
        fail(f"diff compares one tree with one, not {len(old) + len(new)}")
    return changes(*(map(folded, group) for group in (*old, *new)))


def _many(
    names: tuple[str, str],
    trees: list[TreeChange],
    failures: list[InputFailure],
    format_: str,
    style: Style,
    lowest: Severity | None,
) -> None:
    """Say what became of the trees of two folders or patterns, and leave with the status that follows."""
    if format_ == "json":
        errors = list(map(failure_json, failures))
        say(_json({"old": names[0], "new": names[1], "trees": differences_json(trees), "errors": errors}))
    elif format_ == "markdown":
        say(differences_markdown(trees))
    else:
        say(differences_text(trees, style=style, width=columns()))
    report_failures(failures)
    if failures:
        raise LeaveError(2)
    # Whoever takes a board away makes nothing worse.
    if any(change.is_worse(lowest) for tree in trees if tree.new is not None for change in tree.cells):
        raise LeaveError(1)


def _json(content: dict[str, Any]) -> str:
    head = {"schema_version": SCHEMA_VERSION, "tool": {"name": "dtanalyze", "version": __version__}}
    return json_text(json.dumps({**head, **content}, indent=1)) + "\n"
