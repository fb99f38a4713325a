"""Options about Xen, and their way into the question for a host tree."""

from typing import TYPE_CHECKING, Annotated, NamedTuple

from dtanalyze.address.units import parse_ram, parse_ram_size, parse_range
from dtanalyze.analysis.questions import CheckOptions, HostQuestion
from dtanalyze.cli.option import Group, Option
from dtanalyze.cli.values import address, choice, read_file, read_log, read_text
from dtanalyze.errors import BlobError, InputError, UsageError
from dtanalyze.inputs.reading import read_bytes
from dtanalyze.linux.profile import LinuxProfile

if TYPE_CHECKING:  # only a user with such a file needs its reader
    from dtanalyze.xen.boot_log import XenLog
    from dtanalyze.xen.build import Build
    from dtanalyze.xen.efi_config import EfiConfig
    from dtanalyze.xen.partial_tree import PartialTree
    from dtanalyze.xen.toolstack import Toolstack

__all__ = [
    "HostGroup",
    "HostOptions",
    "PartialDtbOption",
    "XenBuildOption",
    "XenCfgOption",
    "XenCfgSectionOption",
    "XenConfigOption",
    "XlConfigOption",
    "build_of",
    "efi_config",
    "partial_trees",
    "toolstack",
]


PartialDtbOption = Annotated[
    list[str] | None,
    Option(
        "--partial-dtb",
        metavar="DOMAIN=FILE",
        help="What a domain's multiboot,device-tree module holds; DOMAIN is the node's name or path (repeatable).",
        show_default=False,
    ),
]
XlConfigOption = Annotated[
    list[str] | None,
    Option(
        "--xl-config",
        metavar="FILE",
        help="Also a toolstack guest as its xl.cfg describes it: memory, iomem, dtdev, irqs, device_tree (repeatable).",
        show_default=False,
    ),
]
XenCfgOption = Annotated[
    list[str] | None,
    Option(
        "--xen-cfg",
        metavar="FILE",
        help="The xen.cfg of a boot through EFI: command lines, modules; files that its chain= names follow (repeatable).",
        show_default=False,
    ),
]
XenCfgSectionOption = Annotated[
    str | None,
    Option(
        "--xen-cfg-section",
        metavar="NAME",
        help="The section of xen.cfg that the EFI command line names. Default: default= of its [global].",
        show_default=False,
    ),
]
XenConfigOption = Annotated[
    str | None,
    Option(
        "--xen-config",
        metavar="FILE",
        help="Xen's own .config, or what of it differs from the defaults.",
        show_default=False,
    ),
]
XenBuildOption = Annotated[
    str | None,
    Option(
        "--xen-build",
        metavar="stock|debian",
        help="How Xen is built. Default: upstream's defaults, with what the tree itself asks for.",
        show_default=False,
    ),
]


class HostOptions(NamedTuple):
    """What a host's own tree does not say, and which releases of Xen read it."""

    xen: Annotated[
        str | None,
        Option(
            "--xen",
            metavar="RELEASE[,…]|all",
            help="Release of Xen: 4.16 to 4.22, any point release, master, a list, or all. Default the newest.",
            show_default=False,
        ),
    ] = None
    iommu: Annotated[
        str | None,
        Option(
            "--iommu",
            metavar="on|off|both",
            help="Whether Xen uses an IOMMU. Default: what the tree and Xen's command line say.",
            show_default=False,
        ),
    ] = None
    ipa_bits: Annotated[
        int | None,
        Option("--ipa-bits", metavar="N", help="Guest physical address bits.", show_default=False),
    ] = None
    dom0_mem: Annotated[
        str | None,
        Option("--dom0-mem", metavar="SIZE", help="dom0_mem; 0: none assigned.", show_default=False),
    ] = None
    dom0_bank: Annotated[
        list[str] | None,
        Option("--dom0-bank", metavar="RANGE", help="Where dom0's RAM lies, if known (repeatable).", show_default=False),
    ] = None
    grant_table: Annotated[
        str | None,
        Option("--grant-table", metavar="RANGE", help="dom0's grant table, if known.", show_default=False),
    ] = None
    ext_regions: Annotated[
        bool | None,
        Option("--ext-regions/--no-ext-regions", help="Xen's ext_regions option.", show_default=False),
    ] = None
    xen_log: Annotated[
        str | None,
        Option(
            "--xen-log",
            metavar="FILE",
            help="A Xen boot log, for what the tree leaves open.",
            show_default=False,
        ),
    ] = None
    fdt_address: Annotated[
        str | None,
        Option(
            "--fdt-address",
            metavar="ADDRESS",
            help="Where the boot loader puts the tree itself, for overlaps with it.",
            show_default=False,
        ),
    ] = None
    gic_lines: Annotated[
        int | None,
        Option(
            "--gic-lines",
            metavar="N",
            help="Interrupt IDs that the GIC has, as Xen prints them (GICv3: N lines).",
            show_default=False,
        ),
    ] = None
    partial_dtb: PartialDtbOption = None
    xl_config: XlConfigOption = None
    efi: Annotated[bool, Option("--efi", help="Xen is booted through EFI (4.16 then loses track of RAM).")] = False
    xen_cfg: XenCfgOption = None
    xen_cfg_section: XenCfgSectionOption = None
    xen_config: XenConfigOption = None
    xen_build: XenBuildOption = None
    domu: Annotated[
        list[str] | None,
        Option("--domu", metavar="SIZE", help="Also a toolstack guest with so much RAM (repeatable).", show_default=False),
    ] = None
    iomem: Annotated[
        list[str] | None,
        Option("--iomem", metavar="RANGE", help="What --domu guests get by iomem= (repeatable).", show_default=False),
    ] = None

    def question(self, options: CheckOptions, linux: tuple[LinuxProfile, ...]) -> HostQuestion:
        """Return the question for a host tree; raise `UsageError` or `InputError` when an option cannot be used."""
        if self == HostOptions():
            return HostQuestion(options, linux)
        from dtanalyze.xen.options import XenOptions, usable
        from dtanalyze.xen.profile import presets, release_of

        log = None
        if self.xen_log is not None:
            from dtanalyze.xen.boot_log import read_xen_log

            log = read_log(self.xen_log, read_xen_log)
        host = XenOptions(
            ipa_bits=self.ipa_bits,
            memory=options.memory,
            dom0_mem=parse_ram_size(self.dom0_mem) if self.dom0_mem is not None else None,
            dom0_banks=tuple(parse_ram(item) for item in self.dom0_bank or ()),
            grant_table=parse_range(self.grant_table) if self.grant_table is not None else None,
            ext_regions=self.ext_regions,
            log=log,
            fdt_address=address(self.fdt_address, "--fdt-address") if self.fdt_address is not None else None,
            gic_lines=self.gic_lines,
            partial_trees=partial_trees(self.partial_dtb),
            toolstack=toolstack(self.xl_config),
            efi=self.efi or bool(self.xen_cfg),
            efi_config=efi_config(self.xen_cfg, self.xen_cfg_section),
            build=self._build(log),
            guests=tuple(parse_ram_size(item) for item in self.domu or ()),
            iomem=tuple(parse_range(item) for item in self.iomem or ()),
        )
        releases = presets(self.xen) if self.xen is not None else (release_of(log.version if log else None),)
        return HostQuestion(options, linux, releases, _iommus(self.iommu), usable(host))

    def _build(self, log: "XenLog | None") -> "Build":
        from dtanalyze.xen.build import BUILDS, DEFAULT

        packaged = log is not None and log.console.package is not None
        return build_of(self.xen_config, self.xen_build) or (BUILDS["debian"] if packaged else DEFAULT)


HostGroup = Annotated[HostOptions, Group("Xen, for a host's own tree")]


def build_of(xen_config: str | None, xen_build: str | None) -> "Build | None":
    """Return how Xen is built, None where neither option says it."""
    from dtanalyze.xen.build import build_named, read_build

    if xen_config is not None and xen_build is not None:
        raise UsageError("--xen-config and --xen-build both say how Xen is built: give one of them")
    if xen_config is not None:
        return read_file(xen_config, read_build)
    return build_named(xen_build) if xen_build is not None else None


def partial_trees(listed: list[str] | None) -> "tuple[tuple[str, PartialTree], ...]":
    """Return the partial trees that ``DOMAIN=FILE`` words name."""
    return tuple(map(_partial_tree, listed or ()))


def toolstack(paths: list[str] | None) -> "tuple[Toolstack, ...]":
    """Return the guests that configuration files of xl describe."""
    return tuple(map(_toolstack, paths or ()))


def efi_config(paths: list[str] | None, section: str | None) -> "EfiConfig | None":
    """Return what the files of a boot through EFI say, the first of which Xen begins with."""
    if not paths:
        if section is not None:
            raise UsageError("--xen-cfg-section names a section of a file: give it with --xen-cfg")
        return None
    from dtanalyze.xen.efi_config import read_efi_config

    return read_efi_config({path: read_text(path) for path in paths}, section)


def _partial_tree(text: str) -> "tuple[str, PartialTree]":
    """Return the partial tree that ``DOMAIN=FILE`` names."""
    from dtanalyze.devicetree.blob import parse
    from dtanalyze.xen.partial_tree import PartialTree

    domain, equals, path = text.partition("=")
    if not (domain and equals and path):
        raise UsageError(f"--partial-dtb takes DOMAIN=FILE, such as domU1=passthrough.dtb, not '{text}'")
    try:
        data = read_bytes(path)
        return domain, PartialTree(parse(data), len(data), path)
    except (BlobError, InputError) as error:
        raise InputError(f"{path}: {error}") from error


def _toolstack(path: str) -> "Toolstack":
    """Return the guest of a configuration file."""
    from dtanalyze.xen.xl_config import read_xl_config

    return read_file(path, read_xl_config)


def _iommus(text: str | None) -> tuple[bool | None, ...]:
    if text is None:
        return (None,)
    if text in ("both", "all"):
        return (False, True)
    return tuple(dict.fromkeys(choice(item.strip(), ("on", "off", "both"), "--iommu") == "on" for item in text.split(",")))
