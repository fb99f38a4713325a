"""Static shared memory as the scan of the flat tree reads it.

Mirrors process_shm_node (arch/arm/bootfdt.c, from 4.19 arch/arm/static-shmem.c, then common/device-tree/static-shmem.c).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from dtanalyze.devicetree.cells import CellCounts, read_number
from dtanalyze.devicetree.tree import Node
from dtanalyze.xen.build import Build
from dtanalyze.xen.profile import XenProfile
from dtanalyze.xen.scan_errors import ScanError

__all__ = ["ShmNode", "process_shm_node"]

MAX_SHM_ID_LENGTH: Final = 16
_PAGE: Final = 4096


class ShmNode(NamedTuple):
    """What one node says: its identity, the address on the host (None where Xen chooses it), the size in bytes."""

    shm_id: bytes
    start: int | None
    size: int


def process_shm_node(node: Node, counts: CellCounts, profile: XenProfile, build: Build) -> ShmNode:
    """Return what the node says: host address (it may be left out from 4.19), guest address, size, in the parent's cells.

    Raises `ScanError` where Xen does not take it.
    """
    if not build.has("STATIC_SHM"):
        line = "CONFIG_STATIC_SHM must be enabled for parsing static shared memory nodes"
        raise ScanError(-22, node.path, line)
    if counts.address < 1 or counts.size < 1:
        raise ScanError(-22, node.path)
    name, prop = node.prop("xen,shm-id"), node.prop("xen,shared-mem")
    if name is None or prop is None:
        raise ScanError(-2, node.path)
    shm_id, cells = name.value.partition(b"\0")[0], prop.cells
    width = 2 * counts.address + counts.size
    without_host = profile.shm_without_host_address and len(cells) == width - counts.address
    start = None if without_host else read_number(cells[: counts.address])
    size = read_number(cells[-counts.size :])
    fits = (without_host or len(cells) == width) and len(prop.value) == 4 * len(cells)
    if len(shm_id) >= MAX_SHM_ID_LENGTH or not fits or not size or (start or 0) % _PAGE or size % _PAGE:
        raise ScanError(-22, node.path)
    return ShmNode(shm_id, start, size)
