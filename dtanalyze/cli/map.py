"""``dtanalyze map``."""

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from dtanalyze.analysis import check, in_file
from dtanalyze.cli import options, xen_options
from dtanalyze.cli.inputs import read_overlays
from dtanalyze.cli.run import TreeInput, each_input, report_failures, usage_errors
from dtanalyze.errors import UsageError
from dtanalyze.facts import CheckResult
from dtanalyze.report.style import Style

__all__ = ["EPILOG", "command"]

EPILOG: Final = """Examples:

dtanalyze map guest.dtb

dtanalyze map board.dtb --memory 0x40000000+4G --xen all --html map.html

dtanalyze map guest.dtb --list --request 1 --request 40000
"""


def command(
    paths: options.PathsArgument,
    html: Annotated[
        str | None, typer.Option("--html", metavar="FILE", help="One page with everything; - is standard output.")
    ] = None,
    svg: Annotated[
        str | None, typer.Option("--svg", metavar="FILE", help="A picture of one result; - is standard output.")
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="Both views spelled like /proc/iomem instead of drawn.")] = False,
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
    overlay: options.OverlayOption = None,
    overlay_matrix: options.OverlayMatrixOption = False,
    certain: Annotated[
        bool, typer.Option("--certain", help="With --list: leave out claims that a driver only may make.")
    ] = False,
    color: options.ColorOption = "auto",
) -> None:
    """Draw xen_resource and iomem_resource on one axis: in the terminal, as SVG, or as a page for the browser."""
    with usage_errors():
        style = options.style_from(color)
        profiles = options.profiles_from(linux, arch, kconfig, unpopulated_alloc, page_size, va_bits)
        asked = options.question_from(
            profiles[0], tree=as_, kaslr=kaslr, memory=memory, requests=request, proc_iomem=proc_iomem
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

    def analyse(item: TreeInput) -> tuple[CheckResult, ...]:
        results = check(item.data, item.name, asked, question)
        return results if item.original is item.data else in_file(item.original, results)

    groups, failures = each_input(paths, analyse, overlays)
    results = tuple(result for group in groups for result in group)
    with usage_errors():
        drawn = _files(results, html, svg, paths)
    if not drawn:
        typer.echo(_text(results, style, listed=listed, certain=certain), nl=False, color=True)

    report_failures(failures)
    if failures:
        raise typer.Exit(2)


def _text(results: tuple[CheckResult, ...], style: Style, *, listed: bool, certain: bool) -> str:
    if listed:
        from dtanalyze.report.map import map_text

        return "\n".join(map_text(result, style=style, certain_only=certain) for result in results)
    from dtanalyze.report.picture.scene import scene
    from dtanalyze.report.picture.terminal import picture_text

    return "\n".join(picture_text(scene(result), style=style) for result in results)


def _files(results: tuple[CheckResult, ...], html: str | None, svg: str | None, paths: list[str]) -> bool:
    """Write the files that are asked for; tell whether there were some."""
    if html is None and svg is None:
        return False
    from dtanalyze.report.picture.scene import scene

    scenes = tuple(scene(result) for result in results)
    if svg is not None:
        if len(scenes) != 1:
            raise UsageError(f"--svg draws one result, these are {len(scenes)}: choose one, or take --html")
        from dtanalyze.report.picture.svg import picture_svg

        _write(svg, picture_svg(scenes[0]), paths)
    if html is not None:
        from dtanalyze.report.picture.html import picture_html

        _write(html, picture_html(scenes), paths)
    return True


def _write(file: str, text: str, paths: list[str]) -> None:
    if file == "-":
        sys.stdout.write(text)
        return
    if Path(file).resolve() in {Path(item).resolve() for item in paths if item != "-"}:
        raise UsageError(f"{file} is an input, which is never written")
    try:
        Path(file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror or error}") from error
