"""What a domain of /chosen states and cannot have: fewer CPUs, as much memory as it is given, no xenstore."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from dtanalyze.address.units import KIB, MIB
from dtanalyze.devicetree.cells import CellCounts, inherited_cells
from dtanalyze.findings import Cure
from dtanalyze.rules.cures.changes import cells_change, number_cells, string_change
from dtanalyze.rules.cures.modules import kernel_cures
from dtanalyze.rules.view import HostView
from dtanalyze.xen.dom0less import DomU, first_cell
from dtanalyze.xen.vgic import vgic_max_vcpus

__all__ = ["domain_cures", "memory_cures", "p2m_cure", "p2m_pool_mb", "static_cures", "xenstore_cure"]

_DEFAULT: Final = 256 * MIB
_LEAST: Final = 64 * MIB
_MOST_SPIS: Final = 960
_TABLES: Final = 2 * MIB
"""What one page of page tables maps."""
_PAGE: Final = 4 * KIB


def domain_cures(view: HostView, domu: DomU, line: str) -> Iterator[Cure]:
    """Yield the cures for a domain that cannot be built; ``line`` is what Xen says of it."""
    yield from _cpus(view, domu, line)
    if "memory" in line or "RAM" in line:
        yield from memory_cures(domu)
    if "kernel" in line:
        yield from kernel_cures(view, domu.node)
    yield from _limits(view, domu)


def _cpus(view: HostView, domu: DomU, line: str) -> Iterator[Cure]:
    most = vgic_max_vcpus(view.board.tree.root)
    wanted = domu.wanted_cpus
    if wanted is None or not 1 <= wanted <= most:
        yield Cure((cells_change(domu.node, "cpus", (min(wanted or 1, most),)),))
    elif "Device tree generation failed" in line:  # Xen's buffer for the domain's tree does not hold so many
        for count in (32, 16, 8, 4, 2, 1):
            if count < wanted:
                yield Cure((cells_change(domu.node, "cpus", (count,)),))


def memory_cures(domu: DomU) -> Iterator[Cure]:
    """Yield other sizes of a domain's memory: the sum of its static memory, else powers of two below what it asks for."""
    if domu.static:
        yield _memory(domu, sum(item.size for item in domu.static))
        return
    if not domu.size:
        yield _memory(domu, _DEFAULT)
        return
    size = 1 << (domu.size - 1).bit_length() - 1
    while size >= _LEAST:
        yield _memory(domu, size)
        size //= 2


def _memory(domu: DomU, size: int) -> Cure:
    return Cure((cells_change(domu.node, "memory", tuple(number_cells(size // KIB, 2))),))


def _limits(view: HostView, domu: DomU) -> Iterator[Cure]:
    """Numbers of the node that Xen refuses because they are too large."""
    spis, frames = first_cell(domu.node, "nr_spis"), first_cell(domu.node, "max_grant_frames")
    if spis is not None and spis > _MOST_SPIS:
        yield Cure((cells_change(domu.node, "nr_spis", (_MOST_SPIS,)),))
    if domu.p2m_mb == 0:
        yield p2m_cure(domu, _DEFAULT)
    if frames == 0:
        yield Cure((cells_change(domu.node, "max_grant_frames", (view.host.args.max_grant_frames or 1,)),))


def xenstore_cure(domu: DomU) -> Cure:
    """Return the cure for a domain that wants a xenstore which nobody serves: it keeps grants and regions."""
    assumes = f"{domu.node.path} uses no PV devices of a toolstack."
    return Cure((string_change(domu.node.path, "xen,enhanced", "no-xenstore"),), assumes)


def static_cures(domu: DomU, counts: CellCounts, *, own_cells: bool) -> Iterator[Cure]:
    """Yield the cures for ``xen,static-mem`` that is cut otherwise than meant: its cells stated, its tail cut off."""
    prop = domu.node.prop("xen,static-mem")
    above = inherited_cells(domu.node.parent or domu.node, CellCounts(2, 1))
    if prop is None:
        return
    if own_cells and counts != above and len(prop.value) % (4 * (above.address + above.size)) == 0:
        names = (("#xen,static-mem-address-cells", above.address), ("#xen,static-mem-size-cells", above.size))
        yield Cure(tuple(cells_change(domu.node, name, (count,)) for name, count in names))
    width = counts.address + counts.size
    whole = len(prop.cells) // width * width if width else 0
    if whole and whole < len(prop.cells):
        yield Cure((cells_change(domu.node, "xen,static-mem", prop.cells[:whole]),))


def p2m_cure(domu: DomU, planned: int) -> Cure:
    """Return the cure that gives a domain a P2M pool for ``planned`` bytes of mappings."""
    return Cure((cells_change(domu.node, "xen,domain-p2m-mem-mb", (p2m_pool_mb(domu, planned),)),))


def p2m_pool_mb(domu: DomU, planned: int) -> int:
    """Return the pool that domain_p2m_pages would choose if it counted what is planned in place of 256 MiB."""
    tables = 256 * domu.cpus + (domu.size or 0) // MIB + -(-planned // _TABLES)
    return -(-_PAGE * tables // MIB)
