"""Options about Xen, and their way into the question for a host tree."""

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from dtanalyze.address.range import AddressRange
from dtanalyze.address.units import format_range, format_size, parse_range, parse_size
from dtanalyze.analysis.questions import CheckOptions, HostQuestion
from dtanalyze.cli.groups import Group
from dtanalyze.cli.options import choice, read_file
from dtanalyze.errors import UsageError
from dtanalyze.linux.profile import LinuxProfile

if TYPE_CHECKING:  # a guest's tree has no use for the mirrors of Xen
    from dtanalyze.xen.boot_log import XenLog
    from dtanalyze.xen.profile import XenProfile

__all__ = ["HostGroup", "HostOptions"]


class HostOptions(NamedTuple):
    """What a host's own tree does not say, and which releases of Xen read it."""

    xen: Annotated[
        str | None,
        typer.Option(
            "--xen",
            metavar="RELEASE[,…]|all",
            help="Release of Xen: 4.16 to 4.22, any point release, master, a list, or all. Default the newest.",
            show_default=False,
        ),
    ] = None
    iommu: Annotated[
        str | None,
        typer.Option(
            "--iommu",
            metavar="on|off|both",
            help="Whether Xen uses an IOMMU. Default: what the tree and Xen's command line say.",
            show_default=False,
        ),
    ] = None
    ipa_bits: Annotated[
        int | None,
        typer.Option("--ipa-bits", metavar="N", help="Guest physical address bits.", show_default=False),
    ] = None
    dom0_mem: Annotated[
        str | None,
        typer.Option("--dom0-mem", metavar="SIZE", help="dom0_mem; 0: none assigned.", show_default=False),
    ] = None
    dom0_bank: Annotated[
        list[str] | None,
        typer.Option(
            "--dom0-bank", metavar="RANGE", help="Where dom0's RAM lies, if known (repeatable).", show_default=False
        ),
    ] = None
    grant_table: Annotated[
        str | None,
        typer.Option("--grant-table", metavar="RANGE", help="dom0's grant table, if known.", show_default=False),
    ] = None
    ext_regions: Annotated[
        bool | None,
        typer.Option("--ext-regions/--no-ext-regions", help="Xen's ext_regions option.", show_default=False),
    ] = None
    xen_log: Annotated[
        str | None,
        typer.Option(
            "--xen-log",
            metavar="FILE",
            help="A Xen boot log, for what the tree leaves open.",
            show_default=False,
        ),
    ] = None
    fdt_address: Annotated[
        str | None,
        typer.Option(
            "--fdt-address",
            metavar="ADDRESS",
            help="Where the boot loader puts the tree itself, for overlaps with it.",
            show_default=False,
        ),
    ] = None
    efi: Annotated[bool, typer.Option("--efi", help="Xen is booted through EFI (4.16 then loses track of RAM).")] = False
    domu: Annotated[
        list[str] | None,
        typer.Option(
            "--domu", metavar="SIZE", help="Also a toolstack guest with so much RAM (repeatable).", show_default=False
        ),
    ] = None
    iomem: Annotated[
        list[str] | None,
        typer.Option("--iomem", metavar="RANGE", help="What --domu guests get by iomem= (repeatable).", show_default=False),
    ] = None

    def question(self, options: CheckOptions, linux: tuple[LinuxProfile, ...]) -> HostQuestion:
        """Return the question for a host tree; raise `UsageError` or `InputError` when an option cannot be used."""
        if self == HostOptions():
            return HostQuestion(options, linux)
        from dtanalyze.xen.options import XenOptions

        if self.ipa_bits is not None and not 32 <= self.ipa_bits <= 52:
            raise UsageError(f"--ipa-bits takes 32 to 52, not {self.ipa_bits}")
        log = None
        if self.xen_log is not None:
            from dtanalyze.xen.boot_log import read_xen_log

            log = read_file(self.xen_log, read_xen_log)
        host = XenOptions(
            ipa_bits=self.ipa_bits,
            memory=options.memory or (log.ram if log else ()),
            dom0_mem=parse_size(self.dom0_mem) if self.dom0_mem is not None else None,
            dom0_banks=_disjoint(tuple(sorted(parse_range(item) for item in self.dom0_bank or ())), "--dom0-bank"),
            grant_table=parse_range(self.grant_table) if self.grant_table is not None else None,
            ext_regions=self.ext_regions,
            log=log,
            fdt_address=_address(self.fdt_address) if self.fdt_address is not None else None,
            efi=self.efi,
            guests=tuple(_guest_size(item) for item in self.domu or ()),
            iomem=tuple(parse_range(item) for item in self.iomem or ()),
        )
        return HostQuestion(options, linux, _releases(self.xen, log), _iommus(self.iommu), host)


HostGroup = Annotated[HostOptions, Group("Xen, for a host's own tree")]


def _releases(text: str | None, log: "XenLog | None") -> "tuple[XenProfile, ...]":
    from dtanalyze.xen.profile import NEWEST, PRESETS, preset

    if text is None:
        return (_logged(log.version) if log and log.version else preset(NEWEST),)
    if text == "all":
        return tuple(PRESETS.values())
    return tuple(preset(item.strip()) for item in text.split(","))


def _logged(version: str) -> "XenProfile":
    """Return the release that a log names; one newer than all known is taken for master."""
    from dtanalyze.xen.profile import NEWEST, preset

    numbers = [int(part) for part in version.split(".")[:2]]
    newest = [int(part) for part in NEWEST.split(".")]
    return preset("master" if numbers > newest else version)


def _iommus(text: str | None) -> tuple[bool | None, ...]:
    if text is None:
        return (None,)
    if text in ("both", "all"):
        return (False, True)
    return tuple(choice(item.strip(), ("on", "off", "both"), "--iommu") == "on" for item in text.split(","))


def _address(text: str) -> int:
    try:
        return parse_size(text)
    except UsageError as error:
        raise UsageError(f"--fdt-address takes an address such as 0x44000000, not '{text}'") from error


def _guest_size(text: str) -> int:
    """Return a toolstack guest's RAM in bytes, which has to fit the guest layout."""
    from dtanalyze.xen.domain_build import GUEST_RAM_BANKS

    size = parse_size(text)
    room = sum(bank.size for bank in GUEST_RAM_BANKS)
    if not 0 < size <= room:
        raise UsageError(f"--domu takes a guest's RAM, more than 0 and at most {format_size(room)}, not '{text}'")
    return size


def _disjoint(ranges: tuple[AddressRange, ...], option: str) -> tuple[AddressRange, ...]:
    for one, other in pairwise(ranges):
        if one.overlaps(other):
            raise UsageError(
                f"{option}: {format_range(one.start, one.stop)} and {format_range(other.start, other.stop)} overlap"
            )
    return ranges
