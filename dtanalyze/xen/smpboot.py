"""The host's CPUs as dom0's tree needs them.

Mirrors make_cpus_node (arch/arm/domain_build.c) as far as it refuses. That a CPU cannot be brought up stops nothing
(dt_smp_init_cpus, arch/arm/smpboot.c): Xen goes on with those that it has.
"""

from __future__ import annotations

from dtanalyze.devicetree.tree import Tree
from dtanalyze.xen.profile import XenProfile
from dtanalyze.xen.stage import Outcome, Passed, Stop

__all__ = ["make_cpus_node"]


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
