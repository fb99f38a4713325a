"""Every ``reg`` entry with its CPU address and the buses that led there, as a table for people."""

from __future__ import annotations

from collections.abc import Iterable

from dtanalyze.address.units import format_range
from dtanalyze.board.model import PciHost
from dtanalyze.board.translate import RegEntry, Translated
from dtanalyze.report.foreign import document

__all__ = ["addresses_text"]


def addresses_text(path: str, entries: Iterable[RegEntry], hosts: Iterable[PciHost]) -> str:
    """Return a line for each entry and each PCI memory window."""
    lines = [f"{path}:"]
    for entry in entries:
        name = f"{entry.node.path}[{entry.nth}]"
        where = entry.where
        if isinstance(where, Translated):
            chain = " -> ".join(f"{hop.address:#x} on {hop.bus}" for hop in where.chain[:-1])
            span = format_range(where.address, where.address + entry.size)
            lines.append(f"  {span:<36} {name}" + (f"  ({chain})" if chain else ""))
        else:
            lines.append(f"  {'-':<36} {name}  ({where.reason})")
    for host in hosts:
        for window in host.windows:
            if window.space == "mem" and window.range:
                lines.append(f"  {format_range(window.range.start, window.range.stop):<36} {host.node.path} memory window")
    return document(lines)
