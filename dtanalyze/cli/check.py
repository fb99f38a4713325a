"""``dtanalyze check``."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

from dtanalyze.address.units import counted
from dtanalyze.causes import folded
from dtanalyze.cli import control_options, options, outputs, settings, xen_options
from dtanalyze.cli.call import Call
from dtanalyze.cli.console import LeaveError, complain, say
from dtanalyze.cli.idle import tell_idle
from dtanalyze.cli.kept import Kept, Seen
from dtanalyze.cli.limits import DEFAULT_MEMORY, DEFAULT_SECONDS, MOST_JOBS, Limits, limits_from
from dtanalyze.cli.option import Group, Option
from dtanalyze.cli.run import Sources, TreeInput, checked, checked_partial, made_of, report_failures, usage_errors
from dtanalyze.cli.settings import working_folder
from dtanalyze.errors import InputError, InputFailure, UsageError
from dtanalyze.facts import CheckResult
from dtanalyze.findings import Remark, Severity
from dtanalyze.inputs.files import Given, expanded
from dtanalyze.inputs.reading import read_bytes
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


Work = Callable[[Given], tuple[list[tuple[CheckResult, ...]], list[InputFailure]]]


class BatchOptions(NamedTuple):
    """How to go through many trees."""

    jobs: Annotated[int, Option("--jobs", "-j", metavar="N", help="Processes that look at inputs.")] = 1
    timeout: Annotated[
        float, Option("--timeout", metavar="SECONDS", help="Most CPU time for one input; it costs only itself.")
    ] = DEFAULT_SECONDS
    memory_limit: Annotated[
        str, Option("--memory-limit", metavar="SIZE", help="Most memory for one input; it costs only itself.")
    ] = DEFAULT_MEMORY

    cache: Annotated[
        str | None,
        Option(
            "--cache",
            metavar="FOLDER",
            help="Keep what came of each tree here, and take it from here when nothing has changed; your own folder.",
            show_default=False,
        ),
    ] = None
    dask: Annotated[
        str | None,
        Option(
            "--dask",
            metavar="ADDRESS|local",
            help="Look at inputs on a Dask cluster: a scheduler's address, or local: --jobs workers started here.",
            show_default=False,
        ),
    ] = None

    def limits(self) -> Limits:
        """Return what one input may cost; raise `UsageError` for what is no limit, or no number of jobs."""
        if not 1 <= self.jobs <= MOST_JOBS:
            raise UsageError(f"--jobs takes 1 to {MOST_JOBS}, not {self.jobs}")
        if self.dask is not None and self.cache is not None:
            raise UsageError("--cache keeps what this machine finds: leave it out with --dask")
        return limits_from(self.timeout, self.memory_limit)


def _board(partial_: bool, host_tree: str | None) -> tuple[str, bytes]:
    """Return the board's tree with its name; raise `UsageError` or `InputError` when there is none."""
    if not partial_ or host_tree is None:
        raise UsageError("--partial and --host go together: check --partial passthrough.dtb --host board.dtb")
    try:
        return host_tree, read_bytes(host_tree)
    except InputError as error:
        raise InputError(f"{host_tree}: {error}") from error


def command(
    call: Call,
    paths: options.PathsArgument,
    *,
    report: outputs.ReportGroup,
    tree: options.TreeGroup,
    kernel: options.KernelGroup,
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
    batch: Annotated[BatchOptions, Group("Many trees")],
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
        wanted = outputs.pair(call, report.format_ or [], report.output or [], paths)
        if report.annotate_limit is not None and report.annotate_limit < 0:
            raise UsageError(f"--annotate-limit takes a number of annotations, not {report.annotate_limit}")
        threshold = control.threshold()
        style = options.style_from(report.color)
        controls = control.controls(settings.suppress_table(call))
        profiles = kernel.profiles()
        asked = options.question(profiles[0], kernel.kaslr, tree, mappings, reuse=without_reserve)
        alone = len(paths) == 1 and (paths[0] == "-" or os.path.isfile(paths[0]))
        question = host.question(asked, profiles)._replace(try_others=alone)
        board = _board(partial_, host_tree) if partial_ or host_tree is not None else None
        sourcing = source.sourcing()
        sources = Sources(overlay.read(sourcing), sourcing, batch.limits())
    items = expanded(paths)
    total = 0
    if not report.quiet and sys.stderr is not None and sys.stderr.isatty():
        items = iter(listed := list(items))
        total = len(listed) if len(listed) > 1 else 0
    groups: Kept[tuple[CheckResult, ...]] = Kept()
    failures: list[InputFailure] = []
    kinds: set[str] = set()
    remarks: dict[Remark, None] = {}
    own: set[str] = set()

    # SARIF alone has a place for changes of the sources, which take longer than the answer.
    fixes = any(name == "sarif" for name, _ in wanted)
    # Nothing is enclosed: what a cluster is sent has to be found there by its name.
    analyse: Callable[[TreeInput], tuple[CheckResult, ...]] = (
        partial(checked, options=asked, question=question, offering=sourcing if fixes else None)
        if board is None
        else partial(checked_partial, board=board, question=question)
    )
    work: Work = partial(made_of, analyse=analyse, sources=sources)
    if batch.cache is not None:
        if sourcing.source is not None:
            complain("--cache: no effect with --source, whose includes are not known before it is compiled")
        else:
            work = _remembered(work, batch.cache, (question, board, sources.overlays, sourcing))
    with usage_errors():
        for found, failed in _outcomes(items, work, batch, total):
            for group in found:
                kinds.update(item.tree for item in group)
                for item in group:
                    remarks.update(dict.fromkeys(item.remarks))
                    own.add(item.location)
                groups.append(group)
            failures += failed
    answer = Report(
        groups=groups,
        failures=tuple(failures),
        version=__version__,
        root=working_folder(),
        sweep=len(question.linux) * max(len(question.xen), 1) * len(question.iommu) > 1,
        style=style,
        quiet=report.quiet,
        verbose=report.verbose,
        width=outputs.columns(),
        asked=outputs.asked(call),
        explain=report.explain,
        statistics=report.statistics,
        settings=call.settled.files,
        annotate_limit=report.annotate_limit,
    )
    with usage_errors():
        if remarks:
            controls = control_options.with_remarks(controls, remarks, own, control.today)
        if control.baseline is not None or control.write_baseline is not None:
            controls = controls._replace(defaults=_defaults(kernel, host))
        answer = control_options.controlled(answer, controls)
        answer = answer._replace(groups=Seen(answer.groups, lambda group: tuple(map(folded, group))))
    if source.source is not None:
        _tell_without_line(source.source, answer)
    written = outputs.write(wanted, answer)
    report_failures(failures)
    if not report.quiet:
        tell_idle(call, kinds)
    for used in answer.settings if report.quiet else ():
        complain(str(used))
    if failures or not written:
        raise LeaveError(2)
    if threshold is not None and _reaches(answer.results, threshold):
        raise LeaveError(1)


def _tell_without_line(source: str, answer: Report) -> None:
    """Say how many findings stand at no line of the source that was named."""
    findings = (finding for result in answer.results for finding in result.findings)
    count = sum(item.node is not None and item.place is None for item in findings)
    if count:
        complain(f"--source {source}: no line of it for {counted(count, 'finding')}: the tree's own offset stands there")


def _defaults(kernel: options.KernelGroup, host: xen_options.HostGroup) -> "Defaults":
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


def _remembered(work: Work, folder: str, asked: tuple[object, ...]) -> Work:
    """Return the work as one that asks the cache first; a question that is no plain data is asked as ever, which is said."""
    from dtanalyze.cli.cache import Cache, cached
    from dtanalyze.cli.stored import NotStorableError, to_bytes

    with usage_errors():
        try:
            return cached(work, Cache(folder, to_bytes(asked)))
        except NotStorableError:
            complain("--cache: no effect with what these options read; every tree is looked at")
    return work


def _outcomes(
    items: Iterator[Given | InputFailure],
    work: Work,
    batch: BatchOptions,
    total: int,
) -> Iterator[tuple[list[tuple[CheckResult, ...]], list[InputFailure]]]:
    """Yield what comes of each input; one process and no terminal need nothing of what many trees need."""
    if batch.dask is not None:
        from dtanalyze.cli.cluster import on_cluster
        from dtanalyze.cli.jobs import shown

        return shown(on_cluster(items, work, batch.dask, batch.jobs), total)
    if batch.jobs == 1 and not total:
        return (([], [item]) if isinstance(item, InputFailure) else work(item) for item in items)
    from dtanalyze.cli.jobs import in_order, shown

    return shown(in_order(items, work, batch.jobs), total)


def _reaches(results: Iterable[CheckResult], threshold: Severity) -> bool:
    return any(finding.severity >= threshold for result in results for finding in result.findings)
