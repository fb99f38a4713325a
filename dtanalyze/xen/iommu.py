"""Which IOMMUs Xen drives, and what becomes of each that it tries.

Mirrors iommu_setup (drivers/passthrough/iommu.c), iommu_hardware_setup (drivers/passthrough/arm/iommu.c) and what the three
drivers ask the tree for: arm_smmu_device_dt_probe (drivers/passthrough/arm/smmu.c), arm_smmu_device_probe (smmu-v3.c) and
ipmmu_probe (ipmmu-vmsa.c), alike from 4.17 on. Left out: what the registers say, for instance how many contexts there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from dtanalyze.address.units import KIB
from dtanalyze.board.bus import XEN
from dtanalyze.board.interrupts import Phandles
from dtanalyze.board.translate import Translated, reg_entries
from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.xen.drivers import IOMMUS, driver_symbol
from dtanalyze.xen.dt_property import dt_device_is_available
from dtanalyze.xen.irq import Irqs
from dtanalyze.xen.parse_params import XenArgs
from dtanalyze.xen.profile import XenProfile
from dtanalyze.xen.stage import Outcome, Passed, Stop

__all__ = ["Iommus", "iommu_hardware_setup", "iommu_setup", "is_iommu"]

_STAGE: Final = "iommu"
_PANIC: Final = "Couldn't configure correctly all the IOMMUs."
_SMMU_V3_SIZE: Final = 128 * KIB
_PAGE0_SIZE: Final = 64 * KIB
_PAGE0_ONLY: Final = "cavium,cn9900-broken-page1-regspace"


class Refused(NamedTuple):
    """Why a driver does not take an IOMMU: Xen's lines, and the cause in our words.

    Where ``fatal`` is False the node is passed over (-ENODEV); else Xen panics once all were tried.
    """

    lines: tuple[str, ...]
    because: str
    fatal: bool


class Iommus(NamedTuple):
    """What became of the IOMMUs of a tree: those that work, those that were passed over, and what ends the boot.

    ``masters`` are the devices that the old binding lists.
    """

    ready: tuple[Node, ...] = ()
    passed_over: tuple[tuple[Node, Refused], ...] = ()
    failed: tuple[Node, Refused] | None = None
    masters: tuple[Node, ...] = ()


def is_iommu(node: Node, profile: XenProfile) -> bool:
    """Tell whether Xen has a driver for the node."""
    return driver_symbol(node, IOMMUS, profile) is not None


def iommu_hardware_setup(tree: Tree, profile: XenProfile, irqs: Irqs) -> Iommus:
    """Try each available IOMMU in document order; the first that cannot be set up for good ends it."""
    ready: list[Node] = []
    passed_over: list[tuple[Node, Refused]] = []
    waiting: list[Node] = []
    known = (node for node in tree.root if is_iommu(node, profile) and not node.prop("xen,passthrough"))
    found = [node for node in known if dt_device_is_available(node)]
    masters: dict[Node, Node] = {}
    for node in found:
        symbol = driver_symbol(node, IOMMUS, profile) or ""
        if symbol == "IPMMU_VMSA" and _waits_for_root(node, ready):
            waiting.append(node)
            continue
        refused = _PROBES[symbol](node, irqs)
        refused = refused or (_masters(node, tree, masters) if symbol == "ARM_SMMU" else None)
        if refused is None:
            ready.append(node)
        elif refused.fatal:
            return Iommus(tuple(ready), tuple(passed_over), (node, refused))
        else:
            passed_over.append((node, refused))
    if waiting and (not ready or _waits_for_root(waiting[0], ready)):
        why = Refused((_ipmmu_failed(waiting[0], -11),), "no IPMMU is the main one", True)
        return Iommus(tuple(ready), tuple(passed_over), (waiting[0], why))
    return Iommus((*ready, *waiting), tuple(passed_over), masters=tuple(masters))


def _waits_for_root(node: Node, ready: list[Node]) -> bool:
    """Tell whether the IPMMU is one that needs the main one, which is not there yet (-EAGAIN)."""
    return node.prop("renesas,ipmmu-main") is not None and not any(item.prop("renesas,ipmmu-main") is None for item in ready)


def _smmu(node: Node, irqs: Irqs) -> Refused | None:
    """Registers, the number of global interrupts, and at least one interrupt beyond those; all of them known to the GIC."""
    if not _has_registers(node):
        return Refused((f"smmu: {node.path}: Invalid resource",), "it has no address", True)
    stated = node.prop("#global-interrupts")
    if stated is None or stated.u32 is None:
        return Refused((f"smmu: {node.path}: missing #global-interrupts property",), "it has no #global-interrupts", False)
    count = sum(1 for _ in _leading_irqs(node, irqs))
    if count <= stated.u32:
        line = f"smmu: {node.path}: found {count} interrupts but expected at least {stated.u32 + 1}"
        because = f"{count} of its interrupts are to be had, and {stated.u32} of them are global"
        return Refused((line,), because, False)
    for number, irq in zip(range(stated.u32), _leading_irqs(node, irqs), strict=False):
        owner = irqs.owner(irq)
        if owner is not None:
            line = f"smmu: {node.path}: failed to request global IRQ {number} ({irq})"
            return Refused((line,), f"{owner[1]} has that interrupt", True)
    return None


def _leading_irqs(node: Node, irqs: Irqs) -> Iterator[int]:
    """Yield the interrupts up to the first that cannot be had (platform_get_irq)."""
    for raw in irqs.dt.raw_irqs(node):
        found = irqs.get(raw, node.path)
        if found is None:
            return
        yield found.irq


def _masters(node: Node, tree: Tree, masters: dict[Node, Node]) -> Refused | None:
    """The old binding: ``mmu-masters`` lists devices, none of which may be another SMMU's, or stand there twice."""
    for master in _listed_masters(node, Phandles.of(tree)):
        if master in masters:
            line = f"smmu: {node.path}: failed to add master {master.base_name}"
            return Refused((line,), f"mmu-masters of {masters[master].path} names {master.path} already", True)
        masters[master] = node
    return None


def _listed_masters(node: Node, phandles: Phandles) -> Iterator[Node]:
    prop = node.prop("mmu-masters")
    cells, at = (prop.cells if prop else ()), 0
    while at < len(cells):
        master = phandles.node(cells[at])
        width = master.prop("#stream-id-cells") if master else None
        if master is None or width is None or not width.cells or at + 1 + width.cells[0] > len(cells):
            return
        yield master
        at += 1 + width.cells[0]


def _smmu_v3(node: Node, irqs: Irqs) -> Refused | None:  # noqa: ARG001  # what it does not find there it does without
    cells = node.prop("#iommu-cells")
    if cells is None or cells.u32 is None:
        return Refused((f"SMMUv3: {node.path}: missing #iommu-cells property",), "it has no #iommu-cells", True)
    if cells.u32 != 1:
        line = f"SMMUv3: {node.path}: invalid #iommu-cells value ({cells.u32})"
        return Refused((line,), f"#iommu-cells is {cells.u32}", True)
    if not _has_registers(node):
        return Refused((), "it has no address", True)
    size = reg_entries(node, XEN)[0].size
    if size < (_PAGE0_SIZE if node.prop(_PAGE0_ONLY) is not None else _SMMU_V3_SIZE):
        line = f"SMMUv3: {node.path}: MMIO region too small ({size:x})"
        return Refused((line,), f"its registers have {size:#x} bytes", True)
    return None


def _ipmmu(node: Node, irqs: Irqs) -> Refused | None:
    if not _has_registers(node):
        return Refused((f"ipmmu: {node.path}: Failed to get MMIO", _ipmmu_failed(node, -22)), "it has no address", True)
    if node.prop("renesas,ipmmu-main") is None and next(_leading_irqs(node, irqs), None) is None:
        lines = (f"ipmmu: {node.path}: No IRQ found", _ipmmu_failed(node, -1))
        return Refused(lines, "the main IPMMU has no interrupt", True)
    return None


def _ipmmu_failed(node: Node, rc: int) -> str:
    return f"ipmmu: {node.path}: Failed to init IPMMU ({rc})"


def _has_registers(node: Node) -> bool:
    first = next(iter(reg_entries(node, XEN)), None)
    return first is not None and isinstance(first.where, Translated)


_PROBES: Final[dict[str, Callable[[Node, Irqs], Refused | None]]] = {
    "ARM_SMMU": _smmu,
    "ARM_SMMU_V3": _smmu_v3,
    "IPMMU_VMSA": _ipmmu,
}


def iommu_setup(args: XenArgs, found: Iommus, *, enabled: bool) -> Outcome:
    """Return whether Xen goes on: with ``iommu=force`` or ``required`` an IOMMU has to be there and in use."""
    lines: tuple[str, ...] = ()
    because, path = "", None
    if found.failed is not None and not enabled:
        node, refused = found.failed
        lines, because, path = refused.lines, f"{node.path}: {refused.because}", node.path
    if args.iommu_force and not enabled:
        why = "the command line switches it off" if args.iommu is False else because or _why_none(found)
        return Stop(_STAGE, (*lines, "Couldn't enable IOMMU and iommu=required/force"), f"iommu=force, and {why}", path)
    if because and args.iommu is not False:
        return Stop(_STAGE, (*lines, _PANIC), because, path)
    if enabled and found.ready:
        return Passed((", ".join(node.path for node in found.ready),))
    return Passed(("on" if enabled else "none in use",))


def _why_none(found: Iommus) -> str:
    for node, refused in found.passed_over:
        return f"{node.path} cannot be used: {refused.because}"
    return "none that Xen drives is enabled in the tree"
