"""The host's CPUs: which ones Xen brings up, and what dom0's tree needs of them.

Mirrors dt_smp_init_cpus (arch/arm/smpboot.c), dt_arch_cpu_init (arch/arm/arm64/smpboot.c), psci_init
(arch/arm/psci.c) and, as far as it refuses, make_cpus_node (arch/arm/domain_build.c). That a CPU cannot be brought up
stops nothing: Xen goes on with those that it has. Left out: CPUs that the firmware refuses, and which one boots; the
first is taken for it. A tree without any PSCI node is one that firmware adds it to.
"""

from __future__ import annotations

from typing import Final

from dtanalyze.board.cpus import cpu_nodes
from dtanalyze.devicetree.cells import CellCounts, inherited_cells, read_number
from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.xen.parse_params import XenArgs
from dtanalyze.xen.profile import XenProfile
from dtanalyze.xen.stage import Outcome, Passed, Stop

__all__ = ["dt_smp_init_cpus", "make_cpus_node", "online_cpus", "possible_cpus", "psci_init"]

_MPIDR_HWID_MASK: Final = 0xFF_00FF_FFFF
_PSCI_0_2: Final = ("arm,psci-0.2", "arm,psci-1.0")


def dt_smp_init_cpus(tree: Tree) -> tuple[Node, ...]:
    """Return the CPUs that Xen brings up, whatever their status: the one it boots on, and each other that it knows how to.

    A CPU without a number, or with one that is taken, is passed over.
    """
    return tuple(node for node in _numbered(tree) if node is not None)


def _numbered(tree: Tree) -> tuple[Node | None, ...]:
    """Return the CPUs by the number that they get in the order of the tree; None for one that cannot be started."""
    found: dict[int, Node | None] = {}
    first: Node | None = None
    by_psci = psci_init(tree)
    for node in cpu_nodes(tree):
        hwid = _hwid(node)
        if hwid is None or hwid in found or node.device_type != "cpu":
            continue
        first = first or node
        found[hwid] = node if node is first or _can_be_started(node, first, by_psci=by_psci) else None
    return tuple(found.values())


def online_cpus(tree: Tree, args: XenArgs, *, unstarted_numbered: bool = False) -> tuple[Node, ...]:
    """Return the CPUs that run Xen in the end: those of the kind of the first, but for hmp-unsafe (start_secondary)."""
    possible = possible_cpus(tree, args, unstarted_numbered=unstarted_numbered)
    # The registers say which kind a CPU is; one whose node says nothing is taken for one like the first.
    kinds = ((), possible[0].compatible) if possible else ()
    return possible if args.hmp_unsafe else tuple(node for node in possible if node.compatible in kinds)


def possible_cpus(tree: Tree, args: XenArgs, *, unstarted_numbered: bool = False) -> tuple[Node, ...]:
    """Return the CPUs that Xen counts: no more than maxcpus=.

    Where one that cannot be started has a number too (``unstarted_numbered``), Xen looks at no number beyond how many can
    (smp_get_max_cpus), and misses the last.
    """
    if not unstarted_numbered:
        return dt_smp_init_cpus(tree)[: args.max_cpus or None]
    started = _numbered(tree)[: args.max_cpus or None]
    return tuple(node for node in started[: sum(node is not None for node in started)] if node is not None)


def _hwid(node: Node) -> int | None:
    prop, parent = node.prop("reg"), node.parent
    if prop is None or parent is None:
        return None
    count = inherited_cells(parent, CellCounts(2, 1)).address
    if len(prop.cells) < count:
        return None
    number = read_number(prop.cells[:count])
    return number if number & ~_MPIDR_HWID_MASK == 0 else None


def psci_init(tree: Tree) -> bool:
    """Tell whether Xen can ask the firmware for CPUs: by SMC only, and by PSCI 0.1 only with its number of CPU_ON."""
    newer = next((node for node in tree.root if node.is_any_of(_PSCI_0_2)), None)
    oldest = next((node for node in tree.root if node.is_compatible("arm,psci")), None)
    if newer is None and oldest is None:
        return True
    cpu_on = oldest.prop("cpu_on") if oldest is not None else None
    return _by_smc(newer) or (_by_smc(oldest) and cpu_on is not None and bool(cpu_on.cells))


def _by_smc(node: Node | None) -> bool:
    method = node.prop("method") if node is not None else None
    return method is not None and method.value.partition(b"\0")[:2] == (b"smc", b"\0")


def _can_be_started(node: Node, first: Node, *, by_psci: bool) -> bool:
    """Tell whether Xen knows how to; where the ``first`` states no method either, firmware is taken to write them all."""
    prop = node.prop("enable-method")
    if prop is None:
        return first.prop("enable-method") is None
    method = prop.value.partition(b"\0")[0]
    return (method == b"psci" and by_psci) or (method == b"spin-table" and node.prop("cpu-release-addr") is not None)


def make_cpus_node(tree: Tree, profile: XenProfile) -> Outcome:
    """Return whether dom0 can be told of CPUs: the first of the host's has to have a compatible."""
    cpus = tree.root.child("cpus")
    first = next((node for node in cpus.children if node.device_type == "cpu"), None) if cpus is not None else None
    if first is not None and first.prop("compatible") is not None:
        return Passed((f"/cpus, as {first.path}",))
    if cpus is None:
        because = "the tree has no /cpus"
    elif first is None:
        because = 'no node of /cpus has device_type = "cpu"'
    else:
        because = f"{first.path} has no compatible"
    lines = (
        "Device tree generation failed (-2).",
        profile.gives_up(f"Could not set up {profile.dom0_called} guest OS", -22),
    )
    return Stop("cpus", lines, because, first.path if first else cpus.path if cpus else None)
