"""``--format`` and ``--output``, each repeatable, paired in the order in which they stand on the command line."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, Final, NamedTuple, TypeAlias

from dtanalyze.cli.call import Call
from dtanalyze.cli.console import complain, say
from dtanalyze.cli.kept import Kept
from dtanalyze.cli.kernel_options import KernelOptions
from dtanalyze.cli.option import Group, Option
from dtanalyze.cli.options import ColorOption, MappingOptions, SourceOptions, TreeOptions
from dtanalyze.cli.rendering import rendered
from dtanalyze.cli.replacing import replacing
from dtanalyze.cli.xen_options import HostOptions
from dtanalyze.errors import InputFailure, UsageError
from dtanalyze.facts import CheckResult
from dtanalyze.report import FORMATS, check_format
from dtanalyze.report.style import PLAIN, Style
from dtanalyze.report.whole import Report

__all__ = [
    "Output",
    "ReportGroup",
    "ReportOptions",
    "asked",
    "columns",
    "pair",
    "pair_in_order",
    "write",
]

_COLUMNS: Final = 80
_NARROWEST: Final = 40
_PAGE: Final = 1 << 16
"""Characters of a report that are written at once."""


class ReportOptions(NamedTuple):
    """How the answer is given."""

    format_: Annotated[
        list[str] | None,
        Option(
            "--format",
            metavar="|".join(FORMATS),
            help="How to give the answer (repeatable, each with an --output; one without goes to stdout). Default text.",
            show_default=False,
        ),
    ] = None
    output: Annotated[
        list[str] | None,
        Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where the --format before it goes; - is standard output.",
            show_default=False,
        ),
    ] = None
    annotate_limit: Annotated[
        int | None,
        Option(
            "--annotate-limit",
            metavar="N",
            help="Most annotations of --format github, the worst; the rest is counted.",
            show_default=False,
        ),
    ] = None
    explain: Annotated[bool, Option("--explain", help="Show the allocation step by step.")] = False
    statistics: Annotated[bool, Option("--statistics", help="Count verdicts, rules and severities at the end.")] = False
    color: ColorOption = "auto"
    quiet: Annotated[bool, Option("--quiet", "-q", help="Print the verdict line only.")] = False
    verbose: Annotated[bool, Option("--verbose", "-v", help="Print every finding, range and assumption.")] = False


ReportGroup = Annotated[ReportOptions, Group("The report")]

Output: TypeAlias = tuple[str, str | None]
"""One report to write: its format, and the file, or None for standard output."""


_ASKING: Final = frozenset(
    (
        *KernelOptions._fields,
        *TreeOptions._fields,
        *MappingOptions._fields,
        *HostOptions._fields,
        *SourceOptions._fields,
    )
)
"""Options that say what is asked of a tree, and that ``fix`` takes too."""


def columns() -> int:
    """Return how wide the report may be: the terminal's width, 80 where there is none."""
    if sys.stdout is None or not sys.stdout.isatty():
        return _COLUMNS
    import shutil

    return max(shutil.get_terminal_size((_COLUMNS, 24)).columns, _NARROWEST)


def asked(call: Call) -> tuple[str, ...]:
    """Return the options that were given for the tree, the kernel and Xen, as a command line repeats them."""
    words: list[str] = []
    for param, spelled, opposite in call.known:
        value = call.values.get(param)
        if param not in _ASKING or value is None or call.origins.get(param) not in ("COMMANDLINE", "DEFAULT_MAP"):
            continue
        if isinstance(value, bool):
            words += [item for item in (spelled if value else opposite,) if item]
            continue
        for item in value if isinstance(value, list | tuple) else (value,):
            words += [spelled, str(item)]
    return tuple(words)


def pair(call: Call, report: ReportOptions, inputs: Sequence[str]) -> list[Output]:
    """Return what to write, after `pair_in_order`; raise `UsageError` when it cannot be meant."""
    if report.annotate_limit is not None and report.annotate_limit < 0:
        raise UsageError(f"--annotate-limit takes a number of annotations, not {report.annotate_limit}")
    wanted = pair_in_order(call.order, report.format_ or [], report.output or [])
    for name, _ in wanted:
        check_format(name, FORMATS)
    to_stdout = [name for name, file in wanted if file is None]
    if len(to_stdout) > 1:
        raise UsageError(
            f"only one format can go to standard output, not {' and '.join(to_stdout)}: give each of the others an --output"
        )
    if len(to_stdout) == len(wanted):
        return wanted
    known = {os.path.realpath(item) for item in inputs if item != "-"}
    for _, file in wanted:
        if file is not None:
            place = os.path.realpath(file)
            if place in known:
                raise UsageError(f"--output: {file} is an input or has another report in it already")
            known.add(place)
    return wanted


def pair_in_order(order: Iterable[str], formats: Sequence[str], files: Sequence[str]) -> list[Output]:
    """Return each format with its file: an ``--output`` belongs to the ``--format`` before it.

    When that one has its file already, or there is none before it, it belongs to the next. ``order`` holds the names of all
    options given, those of other options too.
    """
    given: list[Output] = []
    waiting: list[str] = []
    next_format, next_file = iter(formats), iter(files)
    for name in order:
        if name == "format_":
            given.append((next(next_format), waiting.pop(0) if waiting else None))
        elif name == "output":
            file = next(next_file)
            if given and given[-1][1] is None:
                given[-1] = (given[-1][0], file)
            else:
                waiting.append(file)
    if not given:
        given.append(("text", waiting.pop(0) if waiting else None))
    if waiting:
        raise UsageError(f"--output: no --format is left for {waiting[0]}; each file takes one")
    return [(name, None if file == "-" else file) for name, file in given]


def write(wanted: Iterable[Output], report: Report, named: Callable[[int], tuple[str, str]]) -> tuple[bool, Report]:
    """Write every report, files without colour; say which cannot be written, and return whether all could.

    Return the report, too, as it was written at last: what cannot be rendered of it has become a failure. ``named`` tells
    the name and the file of the group at a place.
    """
    written = True
    for name, file in sorted(wanted, key=lambda item: item[1] is None):
        parts, report = _parts(name, report, report.style if file is None else PLAIN, named)
        if file is None:
            for part in parts:
                say(part)
            continue
        try:
            with replacing(file) as written_to:
                for part in parts:
                    written_to.write(part.encode("utf-8", "surrogateescape"))
        except UsageError as error:
            complain(f"--output: {error}")
            written = False
    return written, report


def _parts(
    name: str, report: Report, style: Style, named: Callable[[int], tuple[str, str]]
) -> tuple[Sequence[str], Report]:
    """Return a document in parts, whole before the first is written: a defect in the middle leaves no half of it."""

    def render(groups: Sequence[tuple[CheckResult, ...]], failures: list[InputFailure]) -> Sequence[str]:
        kept = Kept[str]()
        for part in _pages(FORMATS[name](report._replace(groups=groups, failures=tuple(failures), style=style))):
            kept.append(part)
        return kept

    parts, groups, failures = rendered(report.groups, render, list(report.failures), named)
    return parts, report._replace(groups=groups, failures=tuple(failures))


def _pages(parts: Iterable[str]) -> Iterator[str]:
    """Yield the same text in larger parts: where each of them is kept takes memory, too, and a line may be a part."""
    page, size = list[str](), 0
    for part in parts:
        page.append(part)
        size += len(part)
        if size >= _PAGE:
            yield "".join(page)
            page, size = [], 0
    yield "".join(page)
