"""What a tree says of the CPUs: how many, and how many physical address bits they have.

The names are those of the kernel's binding (Documentation/devicetree/bindings/arm/cpus.yaml), the widths
ID_AA64MMFR0_EL1.PARange of Arm's manuals and of QEMU's models of the same cores (target/arm/tcg/cpu64.c).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dtanalyze.devicetree.tree import Node, Tree

__all__ = ["OPEN_WIDTHS", "PARANGE_BITS", "cpu_nodes", "most_pa_bits", "most_pa_bits_of", "pa_bits", "pa_bits_of"]


def _cores(vendor: str, names: str) -> tuple[str, ...]:
    return tuple(f"{vendor},{name}" for name in names.split())


_BITS: Final[tuple[tuple[int, tuple[str, ...]], ...]] = (
    # 32-bit cores with LPAE, the only ones that Xen runs on.
    (40, _cores("arm", "cortex-a7 cortex-a12 cortex-a15 cortex-a17 cortex-a32")),
    (40, _cores("brcm", "brahma-b15 brahma-b53")),
    (40, _cores("arm", "cortex-a34 cortex-a35 cortex-a53 cortex-a55 cortex-a510 cortex-a520")),
    (44, _cores("arm", "cortex-a57 cortex-a65 cortex-a65ae cortex-a72 cortex-a75 neoverse-e1")),
    (40, _cores("arm", "cortex-a73 cortex-a76 cortex-a76ae cortex-a77 cortex-a78 cortex-a78ae cortex-a78c")),
    (40, _cores("arm", "cortex-a710 cortex-a715 cortex-a720 cortex-a720ae cortex-a725")),
    (40, _cores("arm", "cortex-x1 cortex-x1c cortex-x2 cortex-x3 cortex-x4 cortex-x925")),
    (48, _cores("arm", "neoverse-n1 neoverse-n2 neoverse-n3 neoverse-v1 neoverse-v2 neoverse-v3 neoverse-v3ae")),
    # Made from Cortex cores; one name stands for large and small ones, and the small have 40 bits.
    (40, _cores("qcom", "kryo240 kryo250 kryo260 kryo280 kryo360 kryo385 kryo465 kryo468 kryo470 kryo475 kryo485")),
    (40, _cores("qcom", "kryo490 kryo495 kryo560 kryo570 kryo585 kryo660 kryo670 kryo680 kryo685 kryo780")),
    (40, _cores("fujitsu", "a64fx")),
    # The processors for which Xen learnt 42-bit physical addresses (896ebdfa3a).
    (42, _cores("apm", "potenza strega")),
    # Its own registers lie above 2^47 (cavium/thunder-88xx.dtsi).
    (48, _cores("cavium", "thunder")),
)

PARANGE_BITS: Final[dict[str, int]] = {name: bits for bits, names in _BITS for name in names}
"""Physical address bits by ``compatible``; what is absent here is unknown."""

OPEN_WIDTHS: Final = frozenset(
    {
        *_cores("apple", "icestorm firestorm blizzard avalanche everest sawtooth"),  # one name, several widths
        *_cores("brcm", "vulcan"),
        *_cores("cavium", "thunder2"),
        *_cores("nvidia", "tegra132-denver tegra186-denver tegra194-carmel"),
        *_cores("qcom", "kryo oryon"),
        *_cores("samsung", "mongoose-m2 mongoose-m3 mongoose-m5"),
        *_cores("hisilicon", "tsv110"),
        *_cores("phytium", "ftc310 ftc660 ftc661 ftc662 ftc663 ftc664 ftc862"),
        "arm,armv8",  # software models, and what Xen calls a guest's CPUs
    }
)
"""Names of 64-bit cores whose makers do not publish the width, or that stand for several."""


def cpu_nodes(tree: Tree) -> tuple[Node, ...]:
    """Return the CPU nodes below /cpus, in document order."""
    cpus = tree.root.child("cpus")
    return tuple(node for node in (cpus.children if cpus else ()) if node.device_type == "cpu" or node.base_name == "cpu")


def pa_bits(tree: Tree) -> int | None:
    """Return the physical address bits that all CPUs have, None when one of them is not known."""
    return pa_bits_of(cpu_nodes(tree))


def pa_bits_of(cpus: Sequence[Node]) -> int | None:
    """Return the physical address bits that all of ``cpus`` have, None when one of them is not known, or there is none."""
    known = [item for item in map(_width, cpus) if item is not None]
    return min(known) if known and len(known) == len(cpus) else None


def most_pa_bits(tree: Tree) -> int | None:
    """Return the bits that all CPUs can have at most: the least of those that are known; None when none is."""
    return most_pa_bits_of(cpu_nodes(tree))


def most_pa_bits_of(cpus: Sequence[Node]) -> int | None:
    """Return the bits that all of ``cpus`` can have at most, None when the width of none is known."""
    return min((item for item in map(_width, cpus) if item is not None), default=None)


def _width(cpu: Node) -> int | None:
    return next((PARANGE_BITS[name] for name in cpu.compatible if name in PARANGE_BITS), None)
