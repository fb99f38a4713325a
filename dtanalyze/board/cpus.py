"""What a tree says of the CPUs: how many, and how many physical address bits they have."""

from __future__ import annotations

from typing import Final

from dtanalyze.devicetree.tree import Node, Tree

__all__ = ["PARANGE_BITS", "cpu_nodes", "pa_bits"]

PARANGE_BITS: Final[dict[str, int]] = {
    "arm,cortex-a34": 40,
    "arm,cortex-a35": 40,
    "arm,cortex-a53": 40,
    "arm,cortex-a55": 40,
    "arm,cortex-a57": 44,
    "arm,cortex-a72": 44,
    "arm,cortex-a73": 40,
    "arm,cortex-a75": 44,
    "arm,cortex-a76": 40,
    "arm,cortex-a77": 40,
    "arm,cortex-a78": 40,
    "arm,cortex-x1": 40,
    "arm,neoverse-n1": 48,
    "arm,neoverse-v1": 48,
    "arm,neoverse-n2": 48,
}
"""ID_AA64MMFR0_EL1.PARange of cores whose manuals state it; what is absent here is unknown."""


def cpu_nodes(tree: Tree) -> tuple[Node, ...]:
    """Return the CPU nodes below /cpus, in document order."""
    cpus = tree.root.child("cpus")
    return tuple(node for node in (cpus.children if cpus else ()) if node.device_type == "cpu" or node.base_name == "cpu")


def pa_bits(tree: Tree) -> int | None:
    """Return the physical address bits that all CPUs have, None when one of them is not known."""
    bits = [next((PARANGE_BITS[name] for name in node.compatible if name in PARANGE_BITS), None) for node in cpu_nodes(tree)]
    known = [item for item in bits if item is not None]
    return min(known) if known and len(known) == len(bits) else None
