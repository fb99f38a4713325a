"""``dtanalyze diff``."""

from typing import Annotated, Final

import typer

from dtanalyze import __version__
from dtanalyze.analysis import check
from dtanalyze.cli import options, xen_options
from dtanalyze.cli.run import each_input, fail, report_failures, usage_errors
from dtanalyze.findings import Severity

__all__ = ["EPILOG", "command"]

EPILOG: Final = """Exit status: 0 nothing got worse, 1 a worse verdict, fewer sections or a new finding at or above
--fail-on, 2 usage or unreadable input.

Examples:

dtanalyze diff old.dtb new.dtb

dtanalyze diff old.dtb new.dtb --memory 0x40000000+2G --xen 4.20 --format json
"""
_FAIL_ON: Final = {"error": Severity.ERROR, "warning": Severity.WARNING, "info": Severity.INFO, "never": None}


def command(
    old: Annotated[str, typer.Argument(metavar="OLD", help="The tree before.", show_default=False)],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The tree after.", show_default=False)],
    format_: Annotated[str, typer.Option("--format", metavar="text|json", help="How to print the answer.")] = "text",
    linux: options.LinuxOption = None,
    arch: options.ArchOption = None,
    kconfig: options.KconfigOption = None,
    unpopulated_alloc: options.UnpopulatedOption = None,
    page_size: options.PageSizeOption = None,
    va_bits: options.VaBitsOption = None,
    kaslr: options.KaslrOption = None,
    request: options.RequestOption = None,
    as_: options.AsOption = None,
    memory: options.MemoryOption = None,
    xen: xen_options.XenOption = None,
    iommu: xen_options.IommuOption = None,
    ipa_bits: xen_options.IpaBitsOption = None,
    dom0_mem: xen_options.Dom0MemOption = None,
    fail_on: Annotated[
        str,
        typer.Option("--fail-on", metavar="error|warning|info|never", help="Lowest severity of a new finding that counts."),
    ] = "error",
    color: options.ColorOption = "auto",
) -> None:
    """Compare two versions of a tree: findings new and fixed, the verdict, regions, RAM and sections."""
    with usage_errors():
        options.choice(format_, ("text", "json"), "--format")
        threshold = _FAIL_ON[options.choice(fail_on, tuple(_FAIL_ON), "--fail-on")]
        style = options.style_from(color)
        profiles = options.profiles_from(linux, arch, kconfig, unpopulated_alloc, page_size, va_bits)
        asked = options.question_from(profiles[0], tree=as_, kaslr=kaslr, memory=memory, requests=request)
        question = xen_options.host_question(
            asked,
            profiles,
            xen=xen,
            iommu=iommu,
            ipa_bits=ipa_bits,
            dom0_mem=dom0_mem,
            dom0_bank=None,
            grant_table=None,
            ext_regions=None,
            xen_log=None,
            fdt_address=None,
            efi=False,
            domu=None,
            iomem=None,
        )
    groups, failures = each_input([old, new], lambda item: check(item.data, item.name, asked, question))
    report_failures(failures)
    if failures:
        raise typer.Exit(2)
    if len(groups) != 2:
        fail(f"diff compares one tree with one, not {len(groups)}")
    from dtanalyze.controls.difference import changes
    from dtanalyze.report.difference import difference_json, difference_text

    found = changes(*groups)
    if format_ == "json":
        import json

        answer = {"schema_version": 1, "tool": {"name": "dtanalyze", "version": __version__}, "old": old, "new": new}
        typer.echo(json.dumps({**answer, "changes": difference_json(found)}, indent=1))
    else:
        typer.echo(difference_text(found, style=style), nl=False, color=True)
    if any(change.is_worse(threshold) for change in found):
        raise typer.Exit(1)
