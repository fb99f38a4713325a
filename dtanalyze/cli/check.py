"""``dtanalyze check``."""

import os
import sys
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

from dtanalyze.address.units import counted
from dtanalyze.analysis import CheckOptions, HostQuestion
from dtanalyze.causes import folded
from dtanalyze.cli import control_options, kernel_options, options, outputs, settings, xen_options
from dtanalyze.cli.batch import BatchGroup, Found, Work, gathered, remembered
from dtanalyze.cli.call import Call
from dtanalyze.cli.console import LeaveError, complain, say
from dtanalyze.cli.idle import tell_idle
from dtanalyze.cli.kept import Seen
from dtanalyze.cli.option import Option
from dtanalyze.cli.run import Sources, TreeInput, checked, checked_partial, made_of, report_failures, usage_errors
from dtanalyze.cli.settings import working_folder
from dtanalyze.errors import InputError, UsageError
from dtanalyze.facts import CheckResult
from dtanalyze.findings import Severity
from dtanalyze.inputs.files import expanded
from dtanalyze.inputs.reading import read_bytes
from dtanalyze.report.style import Style
from dtanalyze.report.whole import Report
from dtanalyze.version import __version__

if TYPE_CHECKING:  # asked for by --baseline only
    from dtanalyze.controls.baseline import Defaults

__all__ = ["EPILOG", "SETTINGS", "command"]

SETTINGS: Final = True
"""Files and the environment may say what the command line does not."""

EPILOG: Final = """Examples:

dtanalyze check board.dtb

dtanalyze check guest.dtb --linux 6.12 --request 1 --request 65536 --explain

dtanalyze check *.dtb --format json --fail-on warning

dtanalyze check *.dtb --format sarif -o dtanalyze.sarif --format junit -o junit.xml --format text

dtanalyze check board.dtb --memory 0x40000000+4G --xen 4.20 --dom0-mem 1G

dtanalyze check board.dtb --memory 0x40000000+4G --xen all --linux all --iommu both

dtanalyze check board.dts -I include --watch

dtanalyze check *.dtb --write-baseline known.json; dtanalyze check *.dtb --baseline known.json
"""


class _Asked(NamedTuple):
    """What the command line comes to: of which trees what is asked, and where the answer goes."""

    wanted: list[outputs.Output]
    threshold: Severity | None
    style: Style
    controls: control_options.Controls
    guest: CheckOptions
    host: HostQuestion
    board: tuple[str, bytes] | None
    sources: Sources


def command(
    call: Call,
    paths: options.PathsArgument,
    *,
    report: outputs.ReportGroup,
    tree: options.TreeGroup,
    kernel: kernel_options.KernelGroup,
    mappings: options.MappingGroup,
    without_reserve: Annotated[
        bool,
        Option(
            "--without-reserve",
            help="Show who else could be given the scratch ranges if they were not entered into iomem_resource.",
        ),
    ] = False,
    host: xen_options.HostGroup,
    control: control_options.ControlGroup,
    files: settings.SettingsGroup,
    overlay: options.OverlayGroup,
    source: options.SourceGroup,
    partial_: Annotated[
        bool, Option("--partial", help="The trees are partial trees of domains, for the board that --host names.")
    ] = False,
    host_tree: Annotated[
        str | None,
        Option("--host", metavar="FILE", help="The board's own tree, for --partial.", show_default=False),
    ] = None,
    batch: BatchGroup,
    watch: Annotated[
        bool,
        Option("--watch", help="Answer again whenever a tree, a source or what it includes changes; Ctrl-C ends."),
    ] = False,
) -> None:
    """Tell which way scratch-page allocation goes with a tree.

    A board's own tree is taken through Xen first.
    """
    given = dict(locals())
    if watch:
        raise LeaveError(_watched(given))
    if files.show_settings:
        say(settings.shown(call))
        raise LeaveError(0)
    with usage_errors():
        profiles = kernel.profiles()
        guest = options.question(profiles[0], kernel.kaslr, tree, mappings, reuse=without_reserve)
        alone = len(paths) == 1 and (paths[0] == "-" or os.path.isfile(paths[0]))
        sourcing = source.sourcing()
        asked = _Asked(
            outputs.pair(call, report, paths),
            control.threshold(),
            options.style_from(report.color),
            control.controls(settings.suppress_table(call)),
            guest,
            host.question(guest, profiles)._replace(try_others=alone),
            _board(host_tree, partial_=partial_) if partial_ or host_tree is not None else None,
            Sources(overlay.read(sourcing), sourcing, batch.limits()),
        )
    terminal = not report.quiet and sys.stderr is not None and sys.stderr.isatty()
    with usage_errors():
        found = gathered(expanded(paths), _work(asked, batch.cache), batch, shown=terminal)
        if control.baseline is not None or control.write_baseline is not None:
            asked = asked._replace(controls=asked.controls._replace(defaults=_defaults(kernel, host)))
        answer = _answer(call, report, asked, found, control.today)
    if source.source is not None:
        _tell_without_line(source.source, answer)
    written, answer = outputs.write(asked.wanted, answer, lambda place: _named(found.groups[place]))
    report_failures(list(answer.failures))
    if not report.quiet:
        tell_idle(call, found.kinds)
    for used in answer.settings if report.quiet else ():
        complain(str(used))
    if answer.failures or not written:
        raise LeaveError(2)
    if asked.threshold is not None and _reaches(answer.results, asked.threshold):
        raise LeaveError(1)


def _board(host_tree: str | None, *, partial_: bool) -> tuple[str, bytes]:
    """Return the board's tree with its name; raise `UsageError` or `InputError` when there is none."""
    if not partial_ or host_tree is None:
        raise UsageError("--partial and --host go together: check --partial passthrough.dtb --host board.dtb")
    try:
        return host_tree, read_bytes(host_tree)
    except InputError as error:
        raise InputError(f"{host_tree}: {error}") from error


def _work(asked: _Asked, cache: str | None) -> Work:
    """Return what is done with each input; nothing is enclosed: what a cluster is sent has to be found there by its name."""
    sourcing = asked.sources.sourcing
    # SARIF alone has a place for changes of the sources, which take longer than the answer.
    fixes = any(name == "sarif" for name, _ in asked.wanted)
    analyse: Callable[[TreeInput], tuple[CheckResult, ...]] = (
        partial(checked, options=asked.guest, question=asked.host, offering=sourcing if fixes else None)
        if asked.board is None
        else partial(checked_partial, board=asked.board, question=asked.host)
    )
    work: Work = partial(made_of, analyse=analyse, sources=asked.sources)
    if cache is None:
        return work
    if sourcing.source is not None:
        complain("--cache: no effect with --source, whose includes are not known before it is compiled")
        return work
    return remembered(work, cache, (asked.host, asked.board, asked.sources.overlays, sourcing))


def _answer(call: Call, report: outputs.ReportOptions, asked: _Asked, found: Found, today: str | None) -> Report:
    """Return what is reported: the findings that count, of one cause each."""
    cells = len(asked.host.linux) * max(len(asked.host.xen), 1) * len(asked.host.iommu)
    answer = Report(
        groups=found.groups,
        failures=tuple(found.failures),
        version=__version__,
        root=working_folder(),
        sweep=cells > 1,
        style=asked.style,
        quiet=report.quiet,
        verbose=report.verbose,
        width=outputs.columns(),
        asked=outputs.asked(call),
        explain=report.explain,
        statistics=report.statistics,
        settings=call.settled.files,
        annotate_limit=report.annotate_limit,
    )
    controls = asked.controls
    if found.remarks:
        controls = control_options.with_remarks(controls, found.remarks, found.own, today)
    answer = control_options.controlled(answer, controls)
    return answer._replace(groups=Seen(answer.groups, lambda group: tuple(map(folded, group))))


def _named(group: tuple[CheckResult, ...]) -> tuple[str, str]:
    """Return what the input is called that a group of results is of, and its file."""
    return group[0].path, group[0].location


def _tell_without_line(source: str, answer: Report) -> None:
    """Say how many findings stand at no line of the source that was named."""
    findings = (finding for result in answer.results for finding in result.findings)
    count = sum(item.node is not None and item.place is None for item in findings)
    if count:
        complain(f"--source {source}: no line of it for {counted(count, 'finding')}: the tree's own offset stands there")


def _defaults(kernel: kernel_options.KernelGroup, host: xen_options.HostGroup) -> "Defaults":
    """Return the releases that are asked about because nobody named any."""
    from dtanalyze.controls.baseline import Defaults
    from dtanalyze.xen.profile import release_of

    linux = kernel.profiles()[0].name if kernel.linux is None and kernel.kconfig is None else None
    xen = release_of(None).name if host.xen is None and host.xen_log is None else None
    return Defaults(linux, xen)


def _watched(given: dict[str, Any]) -> int:
    """Answer again and again, in lines that an editor reads where no format was asked for; return the last status."""
    from dtanalyze.cli.watching import watch

    report: outputs.ReportOptions = given["report"]
    again = {**given, "watch": False}
    if not report.format_:
        call: Call = given["call"]
        again["call"] = call._replace(order=("format_", *call.order))
        again["report"] = report._replace(format_=["concise"])
    with usage_errors():
        return watch(lambda: command(**again), given["paths"])


def _reaches(results: Iterable[CheckResult], threshold: Severity) -> bool:
    return any(finding.severity >= threshold for result in results for finding in result.findings)
