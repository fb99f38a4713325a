"""A recorded Xen boot log: what it says where a tree only allows a guess.

Lines looked for: the version banner, ``RAM:``, ``Grant table range:``, the ``BANK[n]`` lines of dom0, and
``extended region``, and the ``MODULE[n]`` lines of Xen itself and the tree (``end`` exclusive there, as printed).
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from dtanalyze.address.range import AddressRange
from dtanalyze.errors import InputError
from dtanalyze.xen.bootfdt import Module

__all__ = ["XenLog", "read_xen_log"]

_VERSION: Final = re.compile(r"Xen version (\d+\.\d+)(?:\.(\d+))?")
_RAM: Final = re.compile(r"\bRAM: ([0-9a-fA-F]+) - ([0-9a-fA-F]+)")
_GRANT: Final = re.compile(r"Grant table range: (0x[0-9a-fA-F]+)-(0x[0-9a-fA-F]+)")
_BANK: Final = re.compile(r"\) BANK\[\d+\] (0x[0-9a-fA-F]+)-(0x[0-9a-fA-F]+)")
_REGION: Final = re.compile(r"\bd0: extended region \d+: (0x[0-9a-fA-F]+)->(0x[0-9a-fA-F]+)")
_MODULE: Final = re.compile(r"\) MODULE\[\d+\]: ([0-9a-fA-F]+) - ([0-9a-fA-F]+) +(Xen|Device Tree)\b")


class XenLog(NamedTuple):
    """What a log tells; empty or None where it is silent. ``version`` is a release as presets name it."""

    version: str | None
    ram: tuple[AddressRange, ...]
    grant_table: AddressRange | None
    dom0_banks: tuple[AddressRange, ...]
    extended_regions: tuple[AddressRange, ...]
    modules: tuple[Module, ...] = ()


def read_xen_log(text: str) -> XenLog:
    """Return what the log says of dom0; raise `InputError` when no line of it is Xen's."""
    if "(XEN)" not in text:
        raise InputError("no line begins with (XEN): it is not a Xen boot log")
    version = _VERSION.search(text)
    grant = _GRANT.search(text)
    return XenLog(
        version=".".join(part for part in version.groups() if part) if version else None,
        ram=tuple(_range(low, high, 1) for low, high in _RAM.findall(text)),
        grant_table=_range(grant[1], grant[2], 0) if grant else None,
        dom0_banks=tuple(_range(low, high, 0) for low, high in _BANK.findall(text)),
        extended_regions=tuple(_range(low, high, 0) for low, high in _REGION.findall(text)),
        modules=tuple(Module(kind, *_range(low, high, 0), "", False) for low, high, kind in _MODULE.findall(text)),
    )


def _range(low: str, high: str, inclusive: int) -> AddressRange:
    start, stop = int(low, 16), int(high, 16) + inclusive
    if stop <= start:
        raise InputError(f"the range {low}-{high} is empty")
    return AddressRange.spanning(start, stop)
