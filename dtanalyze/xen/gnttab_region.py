"""Where dom0's grant table lies: over Xen's own text, which nobody needs in dom0's address space.

Mirrors find_gnttab_region (arch/arm/domain_build.c) and gnttab_dom0_frames (asm/grant_table.h). Where a boot loader puts Xen
no tree says; what is taken for so is said.
"""

from __future__ import annotations

from typing import Final

from dtanalyze.address.range import ADDRESS_SPACE, AddressRange
from dtanalyze.address.units import KIB, MIB
from dtanalyze.xen.bootinfo import BootInfo

__all__ = ["find_gnttab_region"]

_TEXT_PAGES: Final = 256
"""Pages of Xen's text, which dom0's grant table cannot outgrow: about 1 MiB."""
_XEN_SIZE: Final = 2 * MIB
"""What Xen's image takes at most, and its alignment."""
_XEN_TEXT_OFFSET: Final = 4 * MIB
"""Where Xen's text is taken to lie in the lowest RAM bank when nothing says it, as on the machines recorded."""


def find_gnttab_region(
    known: AddressRange | None, info: BootInfo, max_frames: int
) -> tuple[AddressRange | None, tuple[str, ...]]:
    """Return dom0's grant table, ``known`` where somebody says it, and what was assumed of it."""
    if known is not None:
        return known, ()
    if not info.ram_known:
        return None, ()
    frames = min(max_frames, _TEXT_PAGES)
    if not frames:
        return None, ()  # grant_table_init refuses it, and no domain is made
    start = _text_guess(info)
    if start + frames * 4 * KIB > ADDRESS_SPACE:
        return None, ("grant table: not known, Xen would have to lie above 2^64 (--grant-table or --xen-log gives it)",)
    note = (
        f"grant table: taken as Xen's text at {start:#x}, {_XEN_TEXT_OFFSET >> 20} MiB into free RAM, a guess "
        "(--grant-table or --xen-log settles it)"
    )
    if max_frames > _TEXT_PAGES:
        note += f"; Xen makes it no larger than its own text, here taken as {_TEXT_PAGES} pages"
    return AddressRange(start, frames * 4 * KIB), (note,)


def _text_guess(info: BootInfo) -> int:
    """Return where Xen's text may lie: 4 MiB into RAM, past what is reserved there, since no loader puts Xen on that."""
    start = info.mem[0].start + _XEN_TEXT_OFFSET
    for bank in sorted(info.reserved_mem, key=lambda item: item.start):
        if bank.start < start + _XEN_SIZE and start < bank.stop:
            start = -(-bank.stop // _XEN_SIZE) * _XEN_SIZE
    return start
