"""Static memory of a dom0less domain.

Mirrors allocate_static_memory and assign_static_memory_11 (arch/arm/domain_build.c, later static-memory.c) as far as the
tree decides. Left out: pages that are not there, over which Xen dies while it maps RAM.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from dtanalyze.xen.dom0less import DomU
from dtanalyze.xen.domain_build import GUEST_RAM_BANKS
from dtanalyze.xen.profile import XenProfile

__all__ = ["static_memory_failure"]

_MISMATCH: Final = 'Size of "memory" property doesn\'t match up with the sum-up of "xen,static-mem".'


def static_memory_failure(domu: DomU, profile: XenProfile, called: str) -> tuple[tuple[str, ...], str] | None:
    """Return Xen's lines and the cause when static memory cannot be had, else None."""
    if domu.direct_map:
        panic, said, total = f"Failed to assign requested static memory for direct-map domain {called}.", _MISMATCH, None
    else:
        panic, said = (
            f"Failed to allocate requested static memory for domain {called}.",
            f"{_MISMATCH} Unsupported configuration.",
        )
        total = _counted(domu, profile)
        if total is None:
            return ("Exhausted all possible guest banks.", panic), "the guest layout has no room for so much RAM"
    stated = sum(item.size for item in domu.static)
    total = stated if total is None else total
    if total == domu.size:
        return None
    because = f"memory says {domu.size or 0:#x} bytes, xen,static-mem {stated:#x}"
    if stated == domu.size:
        because = (
            f"a bank that goes past the guest's first {GUEST_RAM_BANKS[0].size:#x} bytes of RAM is counted as {total:#x}"
        )
    return (said, panic), because


def _counted(domu: DomU, profile: XenProfile) -> int | None:
    """Return how many bytes Xen counts, None when the guest's banks are full.

    Before d6a6ea77e1 a range that goes on in the next bank counts only with its last part.
    """
    total, room = 0, [bank.size for bank in GUEST_RAM_BANKS]
    for item in domu.static:
        parts = list(_parts(item.size, room))
        if sum(parts) < item.size:
            return None
        total += item.size if profile.static_memory_counted_whole else parts[-1]
    return total


def _parts(size: int, room: list[int]) -> Iterator[int]:
    """Yield the parts of a range in one guest bank after the other, and take them from ``room``."""
    while size and room:
        part = min(size, room[0])
        yield part
        size -= part
        room[0] -= part
        if size:
            room.pop(0)
