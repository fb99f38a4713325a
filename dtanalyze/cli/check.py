"""``dtanalyze check``."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import typer

from dtanalyze.causes import folded
from dtanalyze.cli import control_options, options, outputs, settings, xen_options
from dtanalyze.cli.groups import Group
from dtanalyze.cli.run import TreeInput, checked, each_input, each_tree, report_failures, usage_errors
from dtanalyze.errors import InputFailure, UsageError
from dtanalyze.facts import CheckResult
from dtanalyze.findings import Severity
from dtanalyze.inputs.files import Overlays, expanded
from dtanalyze.report.whole import Report
from dtanalyze.version import __version__

__all__ = ["COMMAND_CLASS", "EPILOG", "command"]

COMMAND_CLASS: Final = settings.WithSettings

EPILOG: Final = """Examples:

dtanalyze check board.dtb

dtanalyze check guest.dtb --linux 6.12 --request 1 --request 65536 --explain

dtanalyze check *.dtb --format json --fail-on warning

dtanalyze check *.dtb --format sarif -o dtanalyze.sarif --format junit -o junit.xml --format text

dtanalyze check board.dtb --memory 0x40000000+4G --xen 4.20 --dom0-mem 1G

dtanalyze check board.dtb --memory 0x40000000+4G --xen all --linux all --iommu both

dtanalyze check *.dtb --write-baseline known.json; dtanalyze check *.dtb --baseline known.json
"""


class BatchOptions(NamedTuple):
    """How to go through many trees."""

    jobs: Annotated[int, typer.Option("--jobs", "-j", metavar="N", help="Processes that look at trees.")] = 1
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout", metavar="SECONDS", help="Most time for one tree; it costs only itself.", show_default=False
        ),
    ] = None


def command(
    ctx: typer.Context,
    paths: options.PathsArgument,
    *,
    report: outputs.ReportGroup,
    tree: options.TreeGroup,
    kernel: options.KernelGroup,
    mappings: options.MappingGroup,
    without_reserve: Annotated[
        bool,
        typer.Option(
            "--without-reserve",
            help="Show who else could be given the scratch ranges if they were not entered into iomem_resource.",
        ),
    ] = False,
    host: xen_options.HostGroup,
    control: control_options.ControlGroup,
    files: settings.SettingsGroup,
    overlay: options.OverlayGroup,
    batch: Annotated[BatchOptions, Group("Many trees")],
) -> None:
    """Tell which way scratch-page allocation goes with a tree.

    A board's own tree is taken through Xen first.
    """
    if files.show_settings:
        typer.echo(settings.shown(ctx), nl=False)
        raise typer.Exit
    with usage_errors():
        wanted = outputs.pair(ctx, report.format_ or [], report.output or [], paths)
        threshold = control.threshold()
        style = options.style_from(report.color)
        controls = control.controls(settings.suppress_table(ctx))
        profiles = kernel.profiles()
        asked = options.question(profiles[0], kernel.kaslr, tree, mappings, reuse=without_reserve)
        question = host.question(asked, profiles)
        overlays = overlay.read()
        _usable(batch)
    groups, failures = _many(paths, lambda item: checked(item, asked, question), overlays, batch, quiet=report.quiet)
    answer = Report(
        groups=tuple(groups),
        failures=tuple(failures),
        version=__version__,
        root=str(Path.cwd()),
        sweep=len(question.linux) * max(len(question.xen), 1) * len(question.iommu) > 1,
        style=style,
        quiet=report.quiet,
        verbose=report.verbose,
        width=outputs.columns(),
        asked=outputs.asked(ctx),
        explain=report.explain,
        statistics=report.statistics,
    )
    with usage_errors():
        answer = control_options.controlled(answer, controls)
        answer = answer._replace(groups=tuple(tuple(map(folded, group)) for group in answer.groups))
    written = outputs.write(wanted, answer)
    report_failures(failures)
    if failures or not written:
        raise typer.Exit(2)
    if threshold is not None and _reaches(answer.results, threshold):
        raise typer.Exit(1)


def _usable(batch: BatchOptions) -> None:
    if batch.jobs < 1:
        raise UsageError(f"--jobs takes 1 or more, not {batch.jobs}")
    if batch.timeout is not None and batch.timeout <= 0:
        raise UsageError(f"--timeout takes a number of seconds above 0, not {batch.timeout:g}")


def _many(
    paths: list[str],
    analyse: Callable[[TreeInput], tuple[CheckResult, ...]],
    overlays: Overlays | None,
    batch: BatchOptions,
    *,
    quiet: bool,
) -> tuple[list[tuple[CheckResult, ...]], list[InputFailure]]:
    """Go through many trees with what many trees need; one plain file needs nothing of it."""
    if batch == BatchOptions() and (quiet or not sys.stderr.isatty() or len(paths) == 1):
        return each_input(paths, analyse, overlays)
    from dtanalyze.cli.jobs import Workload, in_order

    total = 0
    if sys.stderr.isatty() and not quiet:
        total = sum(1 for _ in expanded(paths)) * (sum(1 for _ in overlays.choices()) if overlays else 1)
    return in_order(each_tree(paths, overlays), analyse, Workload(batch.jobs, batch.timeout, total))


def _reaches(results: tuple[CheckResult, ...], threshold: Severity) -> bool:
    return any(finding.severity >= threshold for result in results for finding in result.findings)
