"""Which host nodes dom0 gets, and the first that stops dom0's construction.

Mirrors handle_node, handle_device and handle_device_interrupts (arch/arm/domain_build.c). A node's status plays no
part: disabled nodes are mapped too. Left out: IOMMU assignment, nodes behind an interrupt-map.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from dtanalyze.board.bus import XEN
from dtanalyze.board.interrupts import GIC_COMPATIBLE, Phandles
from dtanalyze.board.translate import Untranslatable, reg_entries
from dtanalyze.devicetree.cells import CellCounts, inherited_cells
from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.xen.bootargs import XenArgs
from dtanalyze.xen.platforms import platform_of

__all__ = [
    "IOMMU_COMPATIBLE",
    "Failure",
    "Fate",
    "HostNodes",
    "console_node",
    "handle_host_nodes",
    "root_cells_can_be_written",
    "tree_has_iommu",
]

_SKIPPED: Final = (
    "xen,xen",
    "xen,multiboot-module",
    "multiboot,module",
    "arm,psci",
    "arm,psci-0.2",
    "arm,psci-1.0",
    "arm,cortex-a7-pmu",
    "arm,cortex-a15-pmu",
    "arm,cortex-a53-edac",
    "arm,armv8-pmuv3",
    "arm,armv7-timer-mem",
)
_SKIPPED_4_18: Final = ("xen,domain", "xen,domain-shared-memory-v1", "xen,evtchn-v1")
_SENSE_MASK: Final = 0xF
_TIMERS: Final = ("arm,armv7-timer", "arm,armv8-timer")
IOMMU_COMPATIBLE: Final = (
    "arm,smmu-v1",
    "arm,smmu-v2",
    "arm,smmu-v3",
    "arm,mmu-400",
    "arm,mmu-401",
    "arm,mmu-500",
    "renesas,ipmmu-r8a7795",
    "renesas,ipmmu-r8a7796",
    "renesas,ipmmu-r8a77965",
    "renesas,ipmmu-r8a779f0",
)
_UARTS: Final = (
    "arm,pl011",
    "arm,sbsa-uart",
    "ns16550",
    "ns16550a",
    "snps,dw-apb-uart",
    "brcm,bcm2835-aux-uart",
    "cdns,uart-r1p8",
    "cdns,uart-r1p12",
    "xlnx,xuartps",
    "samsung,exynos4210-uart",
    "fsl,imx8qm-lpuart",
    "fsl,imx8qxp-lpuart",
    "fsl,imx6q-uart",
    "amlogic,meson-uart",
    "amlogic,meson-gx-uart",
    "marvell,armada-3700-uart",
    "ti,omap4-uart",
    "renesas,scif",
    "renesas,scifa",
)


class Fate(Enum):
    """What becomes of a host node in dom0's tree."""

    KEPT = "kept"
    DROPPED = "dropped"
    GIC = "gic"
    TIMER = "timer"


class Failure(NamedTuple):
    """What would stop dom0's construction at one node, and Xen's line.

    ``kind`` is ``address``, ``shared-interrupt``, ``trigger-type`` or, at the root, ``cells``.
    """

    kind: str
    node: Node
    line: str


class HostNodes(NamedTuple):
    """The fate of each node visited, by identity, and all that would stop dom0's construction, in the order of the visit."""

    fates: dict[int, Fate]
    failures: tuple[Failure, ...]

    @property
    def failure(self) -> str | None:
        """The line with which Xen gives up, if it does: the first failure is the last thing that happens."""
        return self.failures[0].line if self.failures else None

    def fate(self, node: Node) -> Fate:
        """Return what becomes of ``node``; what lies below a node that is not kept is dropped with it."""
        return self.fates.get(id(node), Fate.DROPPED)


def tree_has_iommu(tree: Tree) -> bool:
    """Tell whether an available node is one of the IOMMUs that Xen drives."""
    return any(_any(node, IOMMU_COMPATIBLE) and node.available for node in tree.root)


def console_node(tree: Tree, args: XenArgs) -> Node | None:
    """Return the UART that Xen takes for its console: ``dtuart=``, else stdout-path; None when it has no driver.

    ``console=`` may name other consoles only, and then Xen leaves the UART to dom0 (console_has).
    """
    if not any(item.startswith("dtuart") for item in args.console.split(",")):
        return None
    chosen = tree.root.child("chosen")
    stdout = chosen.prop("stdout-path") if chosen else None
    name = (args.dtuart or (stdout.string if stdout else None) or "").partition(":")[0]
    if not name:
        return None
    if not name.startswith("/"):
        aliases = tree.root.child("aliases")
        alias = aliases.prop(name) if aliases else None
        name = (alias.string or "") if alias else ""
    node = tree.find(name) if name.startswith("/") else None
    return node if node is not None and node.available and _any(node, _UARTS) else None


def _any(node: Node, names: tuple[str, ...]) -> bool:
    return any(node.is_compatible(name) for name in names)


def handle_host_nodes(tree: Tree, args: XenArgs) -> HostNodes:
    """Walk the host tree as dom0's construction does, past what would stop it, so that all of that is known."""
    walk = _Walk(tree, args)
    walk.visit(tree.root)
    # Xen writes its own nodes after all those of the host.
    if not root_cells_can_be_written(tree):
        walk.failures.append(Failure("cells", tree.root, "Cannot cope with this size"))
    return HostNodes(walk.fates, tuple(walk.failures))


def root_cells_can_be_written(tree: Tree) -> bool:
    """Tell whether make_hypervisor_node can say addresses and sizes in the root's cells: one or two each."""
    return all(count in (1, 2) for count in inherited_cells(tree.root, CellCounts(2, 1)))


class _Walk:
    def __init__(self, tree: Tree, args: XenArgs) -> None:
        self.tree = tree
        self.skipped = _SKIPPED + _SKIPPED_4_18 + platform_of(tree).blacklist_dev
        self.phandles = Phandles(tree)
        self.console = console_node(tree, args)
        self.console_irqs = self._spis(self.console) if self.console else frozenset()
        self.types: dict[int, int] = {}
        for node in tree.root:
            if node is self.console or (_any(node, IOMMU_COMPATIBLE) and node.available):
                self._irq_failure(node)  # their drivers ask first
        self.fates: dict[int, Fate] = {}
        self.failures: list[Failure] = []

    def _spis(self, node: Node) -> frozenset[int]:
        return frozenset(
            item.gic_id for item in self.phandles.interrupts(node) if item.gic_id is not None and item.gic_id >= 32
        )

    def visit(self, root: Node) -> None:
        """Visit in document order without recursion."""
        stack = [root]
        while stack:
            node = stack.pop()
            fate = self._fate(node)
            self.fates[id(node)] = fate
            if fate is not Fate.KEPT:
                continue
            failure = self._device_failure(node)
            if failure is not None:
                self.failures.append(failure)
            stack.extend(reversed(node.children))

    def _fate(self, node: Node) -> Fate:
        if node.path == "/cpus" or node.device_type == "memory" or _any(node, self.skipped):
            return Fate.DROPPED
        if _any(node, GIC_COMPATIBLE):
            return Fate.GIC
        if _any(node, _TIMERS):
            return Fate.TIMER
        if node is self.console or _any(node, IOMMU_COMPATIBLE):
            return Fate.DROPPED
        ids = [item.gic_id for item in self.phandles.interrupts(node)]
        if not any(item is not None and 16 <= item < 32 for item in ids):
            return Fate.KEPT
        self._irq_failure(node)
        return Fate.DROPPED

    def _irq_failure(self, node: Node) -> str | None:
        """Ask for each SPI as platform_get_irq does: one that has another trigger type already is refused."""
        failure = None
        for number, item in enumerate(self.phandles.interrupts(node)):
            if item.gic_id is None or item.gic_id < 32:
                continue
            wanted = item.cells[2] & _SENSE_MASK
            if self.types.setdefault(item.gic_id, wanted) != wanted and failure is None:
                failure = (
                    f"Unable to get irq {number} for {node.path} (interrupt {item.gic_id} has another trigger type "
                    "already); Could not set up DOM0 guest OS (rc = -1)"
                )
        return failure

    def _device_failure(self, node: Node) -> Failure | None:
        refused = self._irq_failure(node)
        shared = self.console_irqs & self._spis(node)
        if refused is not None:
            return Failure("trigger-type", node, refused)
        if shared and self.console is not None and node.prop("xen,passthrough") is None:
            irq = min(shared)
            line = (
                f"IRQ {irq} is already used by Xen; Unable to map IRQ{irq} to dom0 "
                f"({node.path} shares it with Xen's console {self.console.path}); "
                "Could not set up DOM0 guest OS (rc = -16)"
            )
            return Failure("shared-interrupt", node, line)
        for entry in reg_entries(node, XEN):
            if isinstance(entry.where, Untranslatable):
                line = f"Unable to retrieve address {entry.nth} for {node.path}; Could not set up DOM0 guest OS (rc = -22)"
                return Failure("address", node, line)
        return None
