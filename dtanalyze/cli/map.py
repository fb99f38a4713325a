"""``dtanalyze map``."""

from typing import Annotated, Final

import typer

from dtanalyze.analysis import check
from dtanalyze.cli import options
from dtanalyze.cli.run import each_input, report_failures, usage_errors
from dtanalyze.report.map import map_text

__all__ = ["EPILOG", "command"]

EPILOG: Final = """Examples:

dtanalyze map guest.dtb

dtanalyze map guest.dtb --request 1 --request 40000
"""


def command(
    paths: options.PathsArgument,
    linux: options.LinuxOption = None,
    arch: options.ArchOption = None,
    kconfig: options.KconfigOption = None,
    unpopulated_alloc: options.UnpopulatedOption = None,
    page_size: options.PageSizeOption = None,
    va_bits: options.VaBitsOption = None,
    kaslr: options.KaslrOption = None,
    proc_iomem: options.ProcIomemOption = None,
    request: options.RequestOption = None,
    as_: options.AsOption = None,
    memory: options.MemoryOption = None,
    certain: Annotated[bool, typer.Option("--certain", help="Leave out claims that a driver only may make.")] = False,
    color: options.ColorOption = "auto",
) -> None:
    """Show xen_resource and iomem_resource as the kernel has them, spelled like /proc/iomem.

    A question mark follows a claim that is made only once a driver binds.
    """
    with usage_errors():
        style = options.style_from(color)
        profile = options.profile_from(linux, arch, kconfig, unpopulated_alloc, page_size, va_bits)
        question = options.question_from(
            profile, tree=as_, kaslr=kaslr, memory=memory, requests=request, proc_iomem=proc_iomem
        )
    groups, failures = each_input(paths, lambda item: check(item.data, item.name, question))
    texts = [map_text(result, style=style, certain_only=certain) for group in groups for result in group]
    typer.echo("\n".join(texts), nl=False, color=True)
    report_failures(failures)
    if failures:
        raise typer.Exit(2)
