"""Which host nodes dom0 gets, and the first that stops dom0's construction.

Xen walks the host's tree in document order and gives dom0 every node but those that it uses itself, rewrites or knows to be
of no use; a node's status plays no part. Mirrors handle_node (arch/arm/domain_build.c) and, before it, who asks for
interrupts after Xen's own (`own_irqs`): the IOMMUs, then dom0's GICv2m frames (gic-v2.c).
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Final, NamedTuple

from dtanalyze.board.interrupts import GIC_COMPATIBLE, Phandles
from dtanalyze.devicetree.cells import CellCounts, inherited_cells
from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.xen.device import Failure, Machine, handle_device, p2m_limit
from dtanalyze.xen.dt_irq import GicIrq
from dtanalyze.xen.iommu import Iommus, is_iommu
from dtanalyze.xen.irq import EDGE_RISING, Irqs
from dtanalyze.xen.platforms import Platform, platform_of
from dtanalyze.xen.profile import XenProfile
from dtanalyze.xen.rangeset import Rangeset
from dtanalyze.xen.stage import DATA_ABORT, Stop
from dtanalyze.xen.vgic import redistributors, v2m_frames

__all__ = [
    "Failure",
    "Fate",
    "HostNodes",
    "handle_host_nodes",
    "host_machine",
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
_DOM0LESS_NODES: Final = ("xen,domain", "xen,domain-shared-memory-v1", "xen,evtchn-v1")
_TIMERS: Final = ("arm,armv7-timer", "arm,armv8-timer")
_FDT_ERR_XEN: Final = 19
"""FDT_ERR_XEN adds a code of Xen's to libfdt's last (FDT_ERR_MAX)."""
_ENOENT, _ERANGE = 2, 34


class Fate(Enum):
    """What becomes of a host node in dom0's tree."""

    KEPT = "kept"
    DROPPED = "dropped"
    GIC = "gic"
    TIMER = "timer"


class HostNodes(NamedTuple):
    """The fate of each node visited, by identity, and all that would stop dom0's construction, in the order of the visit.

    ``irqs`` is who has which interrupt afterwards; ``spi`` the highest that dom0 asks for, 0 when none.
    """

    fates: dict[int, Fate]
    failures: tuple[Failure, ...]
    irqs: Irqs
    spi: int = 0

    def stop(self, profile: XenProfile) -> Stop | None:
        """Return what stops dom0's construction, if something does: the first failure is the last thing that happens."""
        if not self.failures:
            return None
        first = self.failures[0]
        if first.kind in ("cells", "crash"):  # make_hypervisor_node panics itself
            return Stop("dom0-devices", first.lines, first.because, first.node.path)
        return Stop(
            "dom0-devices",
            (
                *first.lines,
                f"Device tree generation failed ({first.rc}).",
                profile.gives_up(f"Could not set up {profile.dom0_called} guest OS", -22),
            ),
            first.because,
            first.node.path,
        )

    def is_kept(self, node: Node) -> bool:
        """Tell whether dom0 gets the node as it is."""
        return self.fate(node) is Fate.KEPT

    def fate(self, node: Node) -> Fate:
        """Return what becomes of ``node``; what lies below a node that is not kept is dropped with it."""
        return self.fates.get(id(node), Fate.DROPPED)


def _any(node: Node, names: tuple[str, ...]) -> bool:
    return node.is_any_of(names)


def host_machine(tree: Tree, profile: XenProfile, irqs: Irqs, iommus: Iommus, ipa_bits: int) -> Machine:
    """Return what devices are mapped with, after the drivers of ``iommus`` in use have asked for their interrupts."""
    for node in iommus.ready:
        count = node.prop("#global-interrupts")
        irqs.take_for_xen(node, (count.u32 or 0) if count is not None else 0)
    return Machine(profile, Phandles.of(tree), irqs, iommus.ready, p2m_limit(ipa_bits), Rangeset(), iommus.masters)


def handle_host_nodes(tree: Tree, machine: Machine, console: Node | None, vcpus: int, domain: str = "d0") -> HostNodes:
    """Walk the host tree as the hardware domain's construction does, past all that would stop it."""
    walk = _Walk(tree, machine, console, vcpus, domain)
    walk.visit(tree.root)
    # Xen writes its own nodes after all those of the host.
    if not root_cells_can_be_written(tree):
        walk.failures.append(Failure("cells", tree.root, ("Cannot cope with this size",), -22))
    return HostNodes(walk.fates, tuple(walk.failures), machine.irqs, walk.spi)


def root_cells_can_be_written(tree: Tree) -> bool:
    """Tell whether make_hypervisor_node can say addresses and sizes in the root's cells: one or two each."""
    return all(count in (1, 2) for count in inherited_cells(tree.root, CellCounts(2, 1)))


class _Walk:
    def __init__(self, tree: Tree, machine: Machine, console: Node | None, vcpus: int, domain: str) -> None:
        self.tree = tree
        self.domain = domain
        self.machine = machine
        self.console = console
        self.vcpus = vcpus
        self.platform = platform_of(tree)
        skipped = _SKIPPED + (_DOM0LESS_NODES if machine.profile.dom0less_nodes_skipped else ())
        self.skipped = skipped + self.platform.blacklist_dev
        self.fates: dict[int, Fate] = {}
        self.spi = 0
        self.failures = list(_v2m_failures(machine, self.platform, domain))

    def visit(self, root: Node) -> None:
        """Visit in document order without recursion."""
        stack = [root]
        while stack:
            node = stack.pop()
            failure = _dies_or_hangs(node, self.machine)
            if failure is not None:
                self.failures.append(failure)
            fate = self._fate(node)
            self.fates[id(node)] = fate
            if fate is Fate.GIC:
                self.failures.extend(_gic_failure(node, self.machine, self.vcpus))
            if fate is not Fate.KEPT:
                continue
            failure = handle_device(node, self.machine, self.domain)
            if failure is not None:
                self.failures.append(failure)
            stack.extend(reversed(node.children))

    def _fate(self, node: Node) -> Fate:
        is_memory = (node.device_type or "").lower() == "memory"  # dt_device_type_is_equal
        if node.path == "/cpus" or is_memory or node.is_any_of(self.skipped):
            return Fate.DROPPED
        if node.is_any_of(GIC_COMPATIBLE):
            return Fate.GIC if node is self.machine.irqs.dt.gic else Fate.DROPPED
        if node.is_any_of(_TIMERS):
            return Fate.TIMER
        if node is self.console or is_iommu(node, self.machine.profile):
            return Fate.DROPPED
        return Fate.DROPPED if self._uses_ppi(node) else Fate.KEPT

    def _uses_ppi(self, node: Node) -> bool:
        """Ask for each interrupt up to the first PPI that can be had: such a node is not dom0's."""
        irqs = self.machine.irqs
        for raw in irqs.dt.raw_irqs(node):
            found = irqs.get(raw, node.path)
            if found is not None and 16 <= found.irq < 32:
                return True
            self.spi = max(self.spi, found.irq if found is not None else 0)
        return False


def _dies_or_hangs(node: Node, machine: Machine) -> Failure | None:
    """Return what Xen does not survive while it merely looks at a node: who is compatible, and which interrupts are there.

    dt_device_is_compatible counts the bytes down past zero where the last string has no end, and reads on;
    dt_irq_find_parent and dt_irq_map_raw follow whatever the tree says.
    """
    prop = node.prop("compatible")
    if prop is not None and prop.value and not prop.value.endswith(b"\0"):
        because = f"compatible of {node.path} has no NUL at its end, and Xen reads on"
        return Failure("crash", node, (DATA_ABORT,), -22, because)
    if machine.irqs.dt.goes_round(node):
        because = f"from the interrupts of {node.path} the tree leads round in a circle, and Xen follows it for ever"
        return Failure("crash", node, (), -22, because)
    return None


def _v2m_failures(machine: Machine, platform: Platform, domain: str) -> Iterator[Failure]:
    """gicv2_map_hwdom_extra_mappings: dom0 gets the frames' SPIs, all edge triggered, before any device's."""
    gic = machine.irqs.dt.gic
    for frame in v2m_frames(gic, platform.v2m_spis) if gic is not None else ():
        for spi in range(frame.first, frame.first + frame.spis):
            if not machine.irqs.set_type(GicIrq(spi, EDGE_RISING), frame.node.path):
                line = f"GICv2: Failed to set v2m MSI SPI[{spi}] type."
                because = f"{machine.irqs.first_asker(spi)} uses it with another trigger type"
                yield Failure("trigger-type", frame.node, (line,), -16, because)
                return
            refused = machine.irqs.map_to_domain(spi, domain, frame.node)
            if refused is not None:
                line = f"GICv2: Failed to route v2m MSI SPI[{spi}] to Dom0."
                yield Failure("shared-interrupt", frame.node, (*refused.lines[:-1], line), refused.rc, refused.because)
                return


def _gic_failure(node: Node, machine: Machine, vcpus: int) -> Iterator[Failure]:
    """Return why the node of dom0's GIC cannot be written (make_gic_node, gic_make_hwdom_dt_node)."""
    if v2m_frames(node, None) and node.prop("ranges") is None:
        line = "Can't find ranges property for the gic node"
        yield Failure("gic", node, (line,), -(_FDT_ERR_XEN + _ENOENT), f"{node.path} has a v2m frame and no ranges")
    regions = redistributors(node)
    if regions and not machine.profile.redistributors_bounded and sum(item.cpus for item in regions) < vcpus:
        because = f"the redistributors of {node.path} serve {sum(item.cpus for item in regions)} CPUs, dom0 has {vcpus}"
        yield Failure("redistributors", node, (), -(_FDT_ERR_XEN + _ERANGE), because)
