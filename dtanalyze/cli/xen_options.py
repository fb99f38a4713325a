"""Options about Xen that ``check`` and ``predict`` share."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated

import typer

from dtanalyze.address.range import AddressRange
from dtanalyze.address.units import format_range, format_size, parse_range, parse_size
from dtanalyze.analysis.questions import CheckOptions, HostQuestion
from dtanalyze.cli.options import choice, read_text
from dtanalyze.errors import InputError, UsageError
from dtanalyze.linux.profile import LinuxProfile

if TYPE_CHECKING:  # a guest's tree has no use for the mirrors of Xen
    from dtanalyze.xen.boot_log import XenLog
    from dtanalyze.xen.profile import XenProfile

__all__ = [
    "Dom0BankOption",
    "Dom0MemOption",
    "DomuOption",
    "EfiOption",
    "ExtRegionsOption",
    "FdtAddressOption",
    "GrantTableOption",
    "IomemOption",
    "IommuOption",
    "IpaBitsOption",
    "XenLogOption",
    "XenOption",
    "host_question",
]

XenOption = Annotated[
    str | None,
    typer.Option(
        "--xen",
        metavar="RELEASE[,…]|all",
        help="Host trees: release of Xen: 4.16 to 4.22, any point release, master, a list, or all. Default the newest.",
        show_default=False,
    ),
]
IommuOption = Annotated[
    str | None,
    typer.Option(
        "--iommu",
        metavar="on|off|both",
        help="Host trees: whether Xen uses an IOMMU. Default: what the tree and Xen's command line say.",
        show_default=False,
    ),
]
IpaBitsOption = Annotated[
    int | None,
    typer.Option("--ipa-bits", metavar="N", help="Host trees: guest physical address bits.", show_default=False),
]
Dom0MemOption = Annotated[
    str | None,
    typer.Option("--dom0-mem", metavar="SIZE", help="Host trees: dom0_mem; 0: none assigned.", show_default=False),
]
Dom0BankOption = Annotated[
    list[str] | None,
    typer.Option(
        "--dom0-bank", metavar="RANGE", help="Host trees: where dom0's RAM lies, if known (repeatable).", show_default=False
    ),
]
GrantTableOption = Annotated[
    str | None,
    typer.Option("--grant-table", metavar="RANGE", help="Host trees: dom0's grant table, if known.", show_default=False),
]
ExtRegionsOption = Annotated[
    bool | None,
    typer.Option("--ext-regions/--no-ext-regions", help="Host trees: Xen's ext_regions option.", show_default=False),
]
XenLogOption = Annotated[
    str | None,
    typer.Option(
        "--xen-log",
        metavar="FILE",
        help="Host trees: a Xen boot log, for what the tree leaves open.",
        show_default=False,
    ),
]
FdtAddressOption = Annotated[
    str | None,
    typer.Option(
        "--fdt-address",
        metavar="ADDRESS",
        help="Host trees: where the boot loader puts the tree itself, for overlaps with it.",
        show_default=False,
    ),
]
EfiOption = Annotated[
    bool, typer.Option("--efi", help="Host trees: Xen is booted through EFI (4.16 then loses track of RAM).")
]
DomuOption = Annotated[
    list[str] | None,
    typer.Option("--domu", metavar="SIZE", help="Also a toolstack guest with so much RAM (repeatable).", show_default=False),
]
IomemOption = Annotated[
    list[str] | None,
    typer.Option("--iomem", metavar="RANGE", help="What --domu guests get by iomem= (repeatable).", show_default=False),
]


def _releases(text: str | None, log: XenLog | None) -> tuple[XenProfile, ...]:
    from dtanalyze.xen.profile import NEWEST, PRESETS, preset

    if text is None:
        return (_logged(log.version) if log and log.version else preset(NEWEST),)
    if text == "all":
        return tuple(PRESETS.values())
    return tuple(preset(item.strip()) for item in text.split(","))


def _logged(version: str) -> XenProfile:
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


def host_question(
    options: CheckOptions,
    linux: tuple[LinuxProfile, ...],
    *,
    xen: str | None,
    iommu: str | None,
    ipa_bits: int | None,
    dom0_mem: str | None,
    dom0_bank: list[str] | None,
    grant_table: str | None,
    ext_regions: bool | None,
    xen_log: str | None,
    fdt_address: str | None,
    efi: bool,
    domu: list[str] | None,
    iomem: list[str] | None,
) -> HostQuestion:
    """Return the question for a host tree; raise `UsageError` or `InputError` when an option cannot be used."""
    said = (xen, iommu, ipa_bits, dom0_mem, dom0_bank, grant_table, ext_regions, xen_log, fdt_address, domu, iomem)
    if not efi and all(item is None for item in said):
        return HostQuestion(options, linux)
    from dtanalyze.xen.options import XenOptions

    if ipa_bits is not None and not 32 <= ipa_bits <= 52:
        raise UsageError(f"--ipa-bits takes 32 to 52, not {ipa_bits}")
    log = None
    if xen_log is not None:
        from dtanalyze.xen.boot_log import read_xen_log

        text = read_text(xen_log)
        try:
            log = read_xen_log(text)
        except InputError as error:
            raise InputError(f"{xen_log}: {error}") from error
    host = XenOptions(
        ipa_bits=ipa_bits,
        memory=options.memory or (log.ram if log else ()),
        dom0_mem=parse_size(dom0_mem) if dom0_mem is not None else None,
        dom0_banks=_disjoint(tuple(sorted(parse_range(item) for item in dom0_bank or ())), "--dom0-bank"),
        grant_table=parse_range(grant_table) if grant_table is not None else None,
        ext_regions=ext_regions,
        log=log,
        fdt_address=_address(fdt_address) if fdt_address is not None else None,
        efi=efi,
        guests=tuple(_guest_size(item) for item in domu or ()),
        iomem=tuple(parse_range(item) for item in iomem or ()),
    )
    return HostQuestion(options, linux, _releases(xen, log), _iommus(iommu), host)
