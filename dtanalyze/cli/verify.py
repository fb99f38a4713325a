"""``dtanalyze verify``."""

import os
from typing import TYPE_CHECKING, Annotated, Final

from dtanalyze.address.units import parse_ram, parse_range
from dtanalyze.cli import options, xen_options
from dtanalyze.cli.console import LeaveError, complain, say
from dtanalyze.cli.option import Argument, Option
from dtanalyze.cli.outputs import columns
from dtanalyze.cli.run import held_to_limits, usage_errors
from dtanalyze.cli.values import address, choice
from dtanalyze.errors import UsageError
from dtanalyze.report import check_format
from dtanalyze.report.style import Style
from dtanalyze.version import __version__

if TYPE_CHECKING:  # --help needs none of it
    from dtanalyze.analysis.verify import Verified

__all__ = ["EPILOG", "command"]

EPILOG: Final = """Examples:

dtanalyze verify board.dtb boot.log

dtanalyze verify board.dtb guest.dtb xl-dmesg.txt dmesg.txt iomem.txt --explain

dtanalyze verify bug-report.tar.gz --format json

dtanalyze verify board.dtb --live

dtanalyze verify board.dtb xl-dmesg.txt --live --root copy-of-dom0
"""


def command(
    paths: Annotated[
        list[str] | None,
        Argument(
            metavar="FILE...",
            help="The board's tree and what the machine said: logs, /proc/iomem, the guest's tree, a .config, in any order; "
            "a folder or an archive with them.",
            show_default=False,
        ),
    ] = None,
    *,
    live: Annotated[bool, Option("--live", help="Read this running dom0 too, by plain file reads.")] = False,
    root: Annotated[
        str | None,
        Option("--root", metavar="FOLDER", help="Where --live finds /proc and /sys: a copy of them.", show_default=False),
    ] = None,
    format_: options.FormatOption = "text",
    explain: Annotated[bool, Option("--explain", help="Show also what agrees.")] = False,
    color: options.ColorOption = "auto",
    xen: Annotated[
        str | None, Option("--xen", metavar="RELEASE", help="Default: what the log says.", show_default=False)
    ] = None,
    linux: Annotated[
        str | None, Option("--linux", metavar="PRESET", help="Default: what dmesg says.", show_default=False)
    ] = None,
    memory: options.MemoryOption = None,
    iommu: Annotated[
        str | None, Option("--iommu", metavar="on|off", help="Default: what the log says.", show_default=False)
    ] = None,
    grant_table: Annotated[
        str | None, Option("--grant-table", metavar="RANGE", help="Default: what the log says.", show_default=False)
    ] = None,
    fdt_address: Annotated[
        str | None,
        Option("--fdt-address", metavar="ADDRESS", help="Default: what the log says.", show_default=False),
    ] = None,
    partial_dtb: xen_options.PartialDtbOption = None,
    xl_config: xen_options.XlConfigOption = None,
    xen_cfg: xen_options.XenCfgOption = None,
    xen_cfg_section: xen_options.XenCfgSectionOption = None,
    xen_config: xen_options.XenConfigOption = None,
    xen_build: xen_options.XenBuildOption = None,
) -> None:
    """Hold a machine against the prediction for it.

    Exit status: 0 all agrees, 1 something differs, 2 the evidence cannot be used.
    """
    from dtanalyze.analysis.verify import Given, verify
    from dtanalyze.cli.evidence import evidence, usable
    from dtanalyze.evidence.bundle import gathered
    from dtanalyze.linux.profile import preset as linux_preset
    from dtanalyze.xen.build import DEFAULT
    from dtanalyze.xen.options import XenOptions
    from dtanalyze.xen.profile import preset as xen_preset

    with usage_errors():
        check_format(format_)
        style = options.style_from(color)
        if iommu is not None:
            choice(iommu, ("on", "off"), "--iommu")
        host = XenOptions(
            iommu=None if iommu is None else iommu == "on",
            memory=tuple(parse_ram(item) for item in memory or ()),
            grant_table=parse_range(grant_table) if grant_table is not None else None,
            fdt_address=address(fdt_address, "--fdt-address") if fdt_address is not None else None,
            partial_trees=xen_options.partial_trees(partial_dtb),
            toolstack=xen_options.toolstack(xl_config),
            efi=bool(xen_cfg),
            efi_config=xen_options.efi_config(xen_cfg, xen_cfg_section),
            build=xen_options.build_of(xen_config, xen_build) or DEFAULT,
        )
        if xen is not None:
            xen_preset(xen)
        if linux is not None:
            linux_preset(linux)
        if root is not None and not (live and os.path.isdir(root)):
            raise UsageError("--root names the folder in which --live finds /proc and /sys: give it with --live")
        if not paths and not live:
            raise UsageError("name the board's tree and what the machine said, or --live")
    with held_to_limits("the evidence"):
        items = evidence(paths or [], live=live, root=root or "/", logs=True)
        bundle = gathered(usable(items, paths or []))
        verified = verify(bundle, Given(xen, linux, host))
        text = _document(verified, format_, style, explain=explain)
    for name in bundle.unknown:
        complain(f"{name}: nothing known is in it, left out")
    say(text)
    if verified.differences or verified.wrong_pairing:
        raise LeaveError(1)


def _document(verified: "Verified", format_: str, style: Style, *, explain: bool) -> str:
    """Return the comparison, for people or as data."""
    from dtanalyze.report.verify import verify_json, verify_text

    if format_ == "json":
        from dtanalyze.report.json import document

        return document([verify_json(verified)], [], __version__)
    return verify_text(verified, style=style, explain=explain, width=columns())
