"""``dtanalyze check``."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from dtanalyze import __version__
from dtanalyze.analysis import check
from dtanalyze.cli.options import (
    ArchOption,
    AsOption,
    ColorOption,
    KaslrOption,
    KconfigOption,
    LinuxOption,
    MemoryOption,
    PageSizeOption,
    PathsArgument,
    ProcIomemOption,
    RequestOption,
    UnpopulatedOption,
    VaBitsOption,
    choice,
    profiles_from,
    question_from,
    style_from,
)
from dtanalyze.cli.run import each_input, report_failures, usage_errors
from dtanalyze.cli.xen_options import (
    Dom0BankOption,
    Dom0MemOption,
    DomuOption,
    EfiOption,
    ExtRegionsOption,
    GrantTableOption,
    IomemOption,
    IommuOption,
    IpaBitsOption,
    XenLogOption,
    XenOption,
    host_question,
)
from dtanalyze.facts import CheckResult
from dtanalyze.findings import Severity
from dtanalyze.report import check_format

__all__ = ["EPILOG", "command"]

EPILOG: Final = """Examples:

dtanalyze check board.dtb

dtanalyze check guest.dtb --linux 6.12 --request 1 --request 65536 --explain

dtanalyze check *.dtb --format json --fail-on warning

dtanalyze check board.dtb --memory 0x40000000+4G --xen 4.20 --dom0-mem 1G

dtanalyze check board.dtb --memory 0x40000000+4G --xen all --linux all --iommu both
"""
_FAIL_ON: Final = {"error": Severity.ERROR, "warning": Severity.WARNING, "info": Severity.INFO, "never": None}


def command(
    paths: PathsArgument,
    format_: Annotated[str, typer.Option("--format", metavar="text|json", help="How to print the answer.")] = "text",
    linux: LinuxOption = None,
    arch: ArchOption = None,
    kconfig: KconfigOption = None,
    unpopulated_alloc: UnpopulatedOption = None,
    page_size: PageSizeOption = None,
    va_bits: VaBitsOption = None,
    kaslr: KaslrOption = None,
    proc_iomem: ProcIomemOption = None,
    request: RequestOption = None,
    need: Annotated[
        str | None,
        typer.Option(
            "--need", metavar="PAGES|SIZE", help="Capacity the product needs; less is an error.", show_default=False
        ),
    ] = None,
    as_: AsOption = None,
    memory: MemoryOption = None,
    xen: XenOption = None,
    iommu: IommuOption = None,
    ipa_bits: IpaBitsOption = None,
    dom0_mem: Dom0MemOption = None,
    dom0_bank: Dom0BankOption = None,
    grant_table: GrantTableOption = None,
    ext_regions: ExtRegionsOption = None,
    xen_log: XenLogOption = None,
    efi: EfiOption = False,
    domu: DomuOption = None,
    iomem: IomemOption = None,
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
    color: ColorOption = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the verdict line only.")] = False,
) -> None:
    """Tell which way the kernel's scratch-page allocation goes with the tree it boots with."""
    with usage_errors():
        check_format(format_)
        threshold = _FAIL_ON[choice(fail_on, tuple(_FAIL_ON), "--fail-on")]
        style = style_from(color)
        profiles = profiles_from(linux, arch, kconfig, unpopulated_alloc, page_size, va_bits)
        options = question_from(
            profiles[0],
            tree=as_,
            kaslr=kaslr,
            memory=memory,
            requests=request,
            need=need,
            proc_iomem=proc_iomem,
            reuse=without_reserve,
        )
        question = host_question(
            options,
            profiles,
            xen=xen,
            iommu=iommu,
            ipa_bits=ipa_bits,
            dom0_mem=dom0_mem,
            dom0_bank=dom0_bank,
            grant_table=grant_table,
            ext_regions=ext_regions,
            xen_log=xen_log,
            efi=efi,
            domu=domu,
            iomem=iomem,
        )
    groups, failures = each_input(paths, lambda data, path: check(data, path, options, question))
    results = [result for group in groups for result in group]
    if format_ == "json":
        from dtanalyze.report.json import check_result, document

        typer.echo(document([check_result(result) for result in results], failures, __version__), nl=False)
    elif len(question.linux) * len(question.xen) * len(question.iommu) > 1 and not explain:
        from dtanalyze.report.sweep import sweep_text

        typer.echo("\n".join(sweep_text(group, style=style) for group in groups), nl=False, color=True)
    else:
        from dtanalyze.report.text import check_text

        texts = [check_text(item, style=style, quiet=quiet, explain=explain) for item in results]
        typer.echo(("" if quiet else "\n").join(texts), nl=False, color=True)
    report_failures(failures)
    if failures:
        raise typer.Exit(2)
    if threshold is not None and _reaches(results, threshold):
        raise typer.Exit(1)


def _reaches(results: list[CheckResult], threshold: Severity) -> bool:
    return any(finding.severity >= threshold for result in results for finding in result.findings)
