"""A recorded Xen boot log: what it settles of that which a tree leaves open.

The reading is `dtanalyze.evidence.xen_console`'s; here stands what a prediction takes from it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from dtanalyze.address.range import AddressRange
from dtanalyze.evidence.lines import Line, lines_of
from dtanalyze.evidence.xen_console import XenConsole, read_xen_console
from dtanalyze.xen.bootinfo import DEVICE_TREE, Module

__all__ = ["XenLog", "log_of", "read_xen_log"]

_BEFORE_THE_SCAN: Final = ("Xen", DEVICE_TREE)
"""Modules that start_xen registers itself; the tree names the others."""


class XenLog(NamedTuple):
    """What a log tells of dom0; empty or None where it is silent. ``version`` is a release as presets name it.

    ``console`` is everything that was read, each fact with its line.
    """

    version: str | None
    ram: tuple[AddressRange, ...]
    grant_table: AddressRange | None
    dom0_banks: tuple[AddressRange, ...]
    extended_regions: tuple[AddressRange, ...]
    modules: tuple[Module, ...] = ()
    iommu: bool | None = None
    ipa_bits: int | None = None
    console: XenConsole = XenConsole()


def read_xen_log(text: str | Iterable[Line]) -> XenLog:
    """Return what the log says of dom0; raise `InputError` when no line of it is Xen's."""
    return log_of(read_xen_console(lines_of(text) if isinstance(text, str) else text))


def _version(console: XenConsole) -> str | None:
    """Return the release that the banner names, or that alone prints a line so."""
    if console.version is None:
        return console.form.value if console.form is not None else None
    return console.version.value.partition("-")[0].partition("rc")[0]


def log_of(console: XenConsole) -> XenLog:
    """Return what a prediction for dom0 takes from a console."""
    grant = console.grant_table
    return XenLog(
        version=_version(console),
        ram=tuple(item.value for item in console.ram),
        grant_table=grant.value if grant else None,
        dom0_banks=console.whole_banks_of("d0"),
        extended_regions=console.regions_of("d0"),
        modules=tuple(
            Module(item.value.kind, *item.value.range, "", False)
            for item in console.modules
            if item.value.kind in _BEFORE_THE_SCAN
        ),
        iommu=console.iommu.value if console.iommu else None,
        ipa_bits=console.ipa_bits.value if console.ipa_bits else None,
        console=console,
    )
