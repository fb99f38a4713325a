"""Xen's command line with one option set otherwise, where the line stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from dtanalyze.address.units import MIB
from dtanalyze.devicetree.tree import Tree
from dtanalyze.findings import Cure
from dtanalyze.rules.cures.changes import string_change
from dtanalyze.xen.command_line import xen_command_line
from dtanalyze.xen.smpboot import dt_smp_init_cpus
from dtanalyze.xen.vgic import vgic_max_vcpus, vgic_v3_served

__all__ = [
    "dom0_cpus",
    "dom0_mem_cure",
    "dom0_mem_sizes",
    "larger_dom0_mem_sizes",
    "line_cure",
    "not_forced_cure",
    "option_cure",
    "respelt_cure",
]

_LEAST: Final = 64 * MIB
_BLOCK: Final = 128 * MIB
_MULTIPLES: Final = 24


def line_cure(tree: Tree, edit: Callable[[list[str]], list[str]], assumes: str = "") -> Cure:
    """Return the cure that rewrites the words of Xen's line; a tree without one gets ``xen,xen-bootargs``."""
    line = xen_command_line(tree)
    prop = line.where.partition(" ")[0] or "xen,xen-bootargs"
    words = edit([word for word in line.text.split(" ") if word])
    return Cure((string_change("/chosen", prop, " ".join(words)),), assumes)


def option_cure(tree: Tree, name: str, value: str, assumes: str = "") -> Cure:
    """Return the cure that sets an option: in its place on the line, where it stands there, else at the end."""

    def edit(words: list[str]) -> list[str]:
        places = [at for at, word in enumerate(words) if word.partition("=")[0].removeprefix("no-") == name]
        if not places:
            return [*words, f"{name}={value}"]
        kept = [word for at, word in enumerate(words) if at not in places[1:]]
        kept[places[0]] = f"{name}={value}"
        return kept

    return line_cure(tree, edit, assumes)


def respelt_cure(tree: Tree, word: str, name: str) -> Cure:
    """Return the cure that writes the name of an option for what it was meant to be."""
    key, equals, value = word.partition("=")
    meant = f"{'no-' if key.startswith('no-') else ''}{name}{equals}{value}"
    return line_cure(tree, lambda words: [meant if item == word else item for item in words], f"{key} means {name}.")


def not_forced_cure(tree: Tree) -> Cure:
    """Return the cure after which an IOMMU is no must: those items of ``iommu=`` go, and the word with the last."""

    def edit(words: list[str]) -> list[str]:
        return [kept for word in words if (kept := _not_forced(word))]

    return line_cure(tree, edit, "Xen can do without an IOMMU.")


def _not_forced(word: str) -> str:
    name, _, value = word.partition("=")
    if name != "iommu":
        return word
    items = [item for item in value.split(",") if item.partition("=")[0] not in ("force", "required")]
    return f"iommu={','.join(items)}" if items else ""


def dom0_cpus(tree: Tree) -> int:
    """Return the CPUs that dom0 can have: those of the host that the interrupt controller serves."""
    served = vgic_v3_served(tree.root)
    most = vgic_max_vcpus(tree.root)
    return max(1, min(len(dt_smp_init_cpus(tree)), most if served is None else min(served, most)))


def dom0_mem_cure(tree: Tree, size: int) -> Cure:
    """Return the cure that gives dom0 ``size`` bytes of RAM."""
    return option_cure(tree, "dom0_mem", f"{size // MIB}M")


def dom0_mem_sizes(wanted: int, ram: int) -> Iterator[int]:
    """Yield what dom0_mem may be instead of ``wanted`` bytes with ``ram`` of the host's: powers of two, then other blocks.

    A power of two is one block of Xen's heap, which is found or not whatever the order of the free lists; each further block
    may lie elsewhere in another start. One power of two more than wanted comes last of them: it may fit where less does not.
    """
    powers = [1 << bits for bits in range(_LEAST.bit_length() - 1, ram.bit_length())]
    below = [size for size in reversed(powers) if size < min(wanted, ram)]
    above = [size for size in powers if wanted < size < ram][:1]
    blocks = (min(wanted, ram) - 1) // _BLOCK
    multiples = [count * _BLOCK for count in range(blocks, max(blocks - _MULTIPLES, 0), -1)]
    yield from dict.fromkeys((*below, *above, *multiples))


def larger_dom0_mem_sizes(wanted: int, ram: int) -> Iterator[int]:
    """Yield what dom0_mem may be where ``wanted`` bytes give too small a first bank: powers of two above it, then others."""
    bits = range(_LEAST.bit_length() - 1, ram.bit_length())
    yield from dict.fromkeys((*(1 << bit for bit in bits if wanted < 1 << bit < ram), *dom0_mem_sizes(wanted, ram)))
