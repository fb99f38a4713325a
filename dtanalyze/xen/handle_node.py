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
from dtanalyze.xen.command_line import XenArgs
from dtanalyze.xen.dt_uart import console_node
from dtanalyze.xen.iommu import is_iommu
from dtanalyze.xen.platforms import platform_of
from dtanalyze.xen.profile import XenProfile
from dtanalyze.xen.stage import Stop

__all__ = [
    "Failure",
    "Fate",
    "HostNodes",
    "handle_host_nodes",
    "root_cells_can_be_written",
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


class Fate(Enum):
    """What becomes of a host node in dom0's tree."""

    KEPT = "kept"
    DROPPED = "dropped"
    GIC = "gic"
    TIMER = "timer"


class Failure(NamedTuple):
    """What would stop dom0's construction at one node: Xen's lines before its last, and the cause in our words.

    ``kind`` is ``address``, ``shared-interrupt``, ``trigger-type`` or, at the root, ``cells``.
    """

    kind: str
    node: Node
    lines: tuple[str, ...]
    because: str = ""

    @property
    def text(self) -> str:
        """The lines, then the cause."""
        said = "; ".join(self.lines)
        return f"{said} ({self.because})" if self.because else said


class HostNodes(NamedTuple):
    """The fate of each node visited, by identity, and all that would stop dom0's construction, in the order of the visit."""

    fates: dict[int, Fate]
    failures: tuple[Failure, ...]

    def stop(self, profile: XenProfile) -> Stop | None:
        """Return what stops dom0's construction, if something does: the first failure is the last thing that happens."""
        if not self.failures:
            return None
        first = self.failures[0]
        return Stop(
            "dom0-devices",
            (*first.lines, profile.gives_up(f"Could not set up {profile.dom0_called} guest OS", -22)),
            first.because,
            first.node.path,
        )

    def fate(self, node: Node) -> Fate:
        """Return what becomes of ``node``; what lies below a node that is not kept is dropped with it."""
        return self.fates.get(id(node), Fate.DROPPED)


def _any(node: Node, names: tuple[str, ...]) -> bool:
    return node.is_any_of(names)


def handle_host_nodes(tree: Tree, args: XenArgs) -> HostNodes:
    """Walk the host tree as dom0's construction does, past what would stop it, so that all of that is known."""
    walk = _Walk(tree, args)
    walk.visit(tree.root)
    # Xen writes its own nodes after all those of the host.
    if not root_cells_can_be_written(tree):
        walk.failures.append(Failure("cells", tree.root, ("Cannot cope with this size",)))
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
            if node is self.console or (is_iommu(node) and node.available):
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
        if node is self.console or is_iommu(node):
            return Fate.DROPPED
        ids = [item.gic_id for item in self.phandles.interrupts(node)]
        if not any(item is not None and 16 <= item < 32 for item in ids):
            return Fate.KEPT
        self._irq_failure(node)
        return Fate.DROPPED

    def _irq_failure(self, node: Node) -> Failure | None:
        """Ask for each SPI as platform_get_irq does: one that has another trigger type already is refused."""
        failure = None
        for number, item in enumerate(self.phandles.interrupts(node)):
            if item.gic_id is None or item.gic_id < 32:
                continue
            wanted = item.cells[2] & _SENSE_MASK
            if self.types.setdefault(item.gic_id, wanted) != wanted and failure is None:
                failure = Failure(
                    "trigger-type",
                    node,
                    (f"Unable to get irq {number} for {node.path}",),
                    f"interrupt {item.gic_id} has another trigger type already",
                )
        return failure

    def _device_failure(self, node: Node) -> Failure | None:
        refused = self._irq_failure(node)
        shared = self.console_irqs & self._spis(node)
        if refused is not None:
            return refused
        if shared and self.console is not None and node.prop("xen,passthrough") is None:
            irq = min(shared)
            lines = (f"IRQ {irq} is already used by Xen", f"Unable to map IRQ{irq} to dom0")
            return Failure("shared-interrupt", node, lines, f"{node.path} shares it with Xen's console {self.console.path}")
        for entry in reg_entries(node, XEN):
            if isinstance(entry.where, Untranslatable):
                line = f"Unable to retrieve address {entry.nth} for {node.path}"
                return Failure("address", node, (line,), entry.where.reason)
        return None
