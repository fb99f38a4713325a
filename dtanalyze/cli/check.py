"""``dtanalyze check``."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import typer

from dtanalyze import __version__
from dtanalyze.analysis import check, in_file
from dtanalyze.cli import control_options, options, outputs, settings, xen_options
from dtanalyze.cli.inputs import Overlays, expanded, read_overlays
from dtanalyze.cli.run import TreeInput, each_input, each_tree, report_failures, usage_errors
from dtanalyze.errors import InputFailure, UsageError
from dtanalyze.facts import CheckResult
from dtanalyze.findings import Severity
from dtanalyze.report.whole import Report

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
_FAIL_ON: Final = {"error": Severity.ERROR, "warning": Severity.WARNING, "info": Severity.INFO, "never": None}


def command(
    ctx: typer.Context,
    paths: options.PathsArgument,
    format_: outputs.FormatOption = None,
    output: outputs.OutputOption = None,
    linux: options.LinuxOption = None,
    arch: options.ArchOption = None,
    kconfig: options.KconfigOption = None,
    unpopulated_alloc: options.UnpopulatedOption = None,
    page_size: options.PageSizeOption = None,
    va_bits: options.VaBitsOption = None,
    kaslr: options.KaslrOption = None,
    proc_iomem: options.ProcIomemOption = None,
    request: options.RequestOption = None,
    need: Annotated[
        str | None,
        typer.Option(
            "--need", metavar="PAGES|SIZE", help="Capacity the product needs; less is an error.", show_default=False
        ),
    ] = None,
    as_: options.AsOption = None,
    memory: options.MemoryOption = None,
    xen: xen_options.XenOption = None,
    iommu: xen_options.IommuOption = None,
    ipa_bits: xen_options.IpaBitsOption = None,
    dom0_mem: xen_options.Dom0MemOption = None,
    dom0_bank: xen_options.Dom0BankOption = None,
    grant_table: xen_options.GrantTableOption = None,
    ext_regions: xen_options.ExtRegionsOption = None,
    xen_log: xen_options.XenLogOption = None,
    fdt_address: xen_options.FdtAddressOption = None,
    efi: xen_options.EfiOption = False,
    domu: xen_options.DomuOption = None,
    iomem: xen_options.IomemOption = None,
    without_reserve: Annotated[
        bool,
        typer.Option(
            "--without-reserve",
            help="Show who else could be given the scratch ranges if they were not entered into iomem_resource.",
        ),
    ] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Show the allocation step by step.")] = False,
    fail_on: Annotated[
        str, typer.Option("--fail-on", metavar="error|warning|info|never", help="Lowest severity that gives exit status 1.")
    ] = "error",
    select: control_options.SelectOption = None,
    ignore: control_options.IgnoreOption = None,
    min_severity: control_options.MinSeverityOption = "info",
    baseline: control_options.BaselineOption = None,
    write_baseline: control_options.WriteBaselineOption = None,
    suppressions: control_options.SuppressionsOption = None,
    today: control_options.TodayOption = None,
    config: settings.ConfigOption = None,
    no_config: settings.NoConfigOption = False,
    show_settings: settings.ShowSettingsOption = False,
    overlay: options.OverlayOption = None,
    overlay_matrix: options.OverlayMatrixOption = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", metavar="N", help="Processes that look at trees.")] = 1,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout", metavar="SECONDS", help="Most time for one tree; it costs only itself.", show_default=False
        ),
    ] = None,
    statistics: Annotated[
        bool, typer.Option("--statistics", help="Count verdicts, rules and severities at the end.")
    ] = False,
    exit_zero: Annotated[bool, typer.Option("--exit-zero", help="The same as --fail-on never.")] = False,
    color: options.ColorOption = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the verdict line only.")] = False,
) -> None:
    """Tell which way the kernel's scratch-page allocation goes with the tree it boots with."""
    del config, no_config  # read before anything was parsed
    if show_settings:
        typer.echo(settings.shown(ctx), nl=False)
        raise typer.Exit
    with usage_errors():
        wanted = outputs.pair(ctx, format_ or [], output or [], paths)
        threshold = _FAIL_ON[options.choice(fail_on, tuple(_FAIL_ON), "--fail-on")]
        style = options.style_from(color)
        controls = control_options.controls_from(select, ignore, min_severity, baseline, write_baseline)
        controls = control_options.with_suppressions(controls, settings.suppress_table(ctx), suppressions, today)
        profiles = options.profiles_from(linux, arch, kconfig, unpopulated_alloc, page_size, va_bits)
        asked = options.question_from(
            profiles[0],
            tree=as_,
            kaslr=kaslr,
            memory=memory,
            requests=request,
            need=need,
            proc_iomem=proc_iomem,
            reuse=without_reserve,
        )
        question = xen_options.host_question(
            asked,
            profiles,
            xen=xen,
            iommu=iommu,
            ipa_bits=ipa_bits,
            dom0_mem=dom0_mem,
            dom0_bank=dom0_bank,
            grant_table=grant_table,
            ext_regions=ext_regions,
            xen_log=xen_log,
            fdt_address=fdt_address,
            efi=efi,
            domu=domu,
            iomem=iomem,
        )
        overlays = read_overlays(overlay or [], overlay_matrix)
        if jobs < 1:
            raise UsageError(f"--jobs takes 1 or more, not {jobs}")
        if timeout is not None and timeout <= 0:
            raise UsageError(f"--timeout takes a number of seconds above 0, not {timeout:g}")

    def analyse(item: TreeInput) -> tuple[CheckResult, ...]:
        results = check(item.data, item.name, asked, question)
        return results if item.original is item.data else in_file(item.original, results)

    groups, failures = _many(paths, analyse, overlays, jobs, timeout, quiet=quiet)
    report = Report(
        groups=tuple(groups),
        failures=tuple(failures),
        version=__version__,
        root=str(Path.cwd()),
        sweep=len(question.linux) * max(len(question.xen), 1) * len(question.iommu) > 1,
        style=style,
        quiet=quiet,
        explain=explain,
        statistics=statistics,
    )
    with usage_errors():
        report = control_options.controlled(report, controls)
    written = outputs.write(wanted, report)
    report_failures(failures)
    if failures or not written:
        raise typer.Exit(2)
    if threshold is not None and not exit_zero and _reaches(report.results, threshold):
        raise typer.Exit(1)


def _many(
    paths: list[str],
    analyse: Callable[[TreeInput], tuple[CheckResult, ...]],
    overlays: Overlays | None,
    jobs: int,
    timeout: float | None,
    *,
    quiet: bool,
) -> tuple[list[tuple[CheckResult, ...]], list[InputFailure]]:
    """Go through many trees with what many trees need; one plain file needs nothing of it."""
    if jobs == 1 and timeout is None and (quiet or not sys.stderr.isatty() or len(paths) == 1):
        return each_input(paths, analyse, overlays)
    from dtanalyze.cli.jobs import Workload, in_order

    total = 0
    if sys.stderr.isatty() and not quiet:
        total = sum(1 for _ in expanded(paths)) * (sum(1 for _ in overlays.choices()) if overlays else 1)
    return in_order(each_tree(paths, overlays), analyse, Workload(jobs, timeout, total))


def _reaches(results: tuple[CheckResult, ...], threshold: Severity) -> bool:
    return any(finding.severity >= threshold for result in results for finding in result.findings)
