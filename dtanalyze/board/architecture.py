"""Which architecture a tree is for, read from its CPUs.

Xen for 32-bit Arm gives its domains no extended regions (make_hypervisor_node); Xen for RISC-V writes no hypervisor node.
"""

from typing import Final

from dtanalyze.board.cpus import cpu_nodes
from dtanalyze.devicetree.tree import Tree
from dtanalyze.errors import InputError

__all__ = ["ARM32", "ARM64", "RISCV", "arch_of"]

ARM64: Final = "arm64"
ARM32: Final = "arm"
RISCV: Final = "riscv"
_ARM32_CORES: Final = (
    *(f"arm,cortex-a{number}" for number in (5, 7, 8, 9, 12, 15, 17)),
    *("brcm,brahma-b15", "qcom,krait", "qcom,scorpion", "marvell,pj4a", "marvell,pj4b", "marvell,sheeva-v7"),
)
_OTHERS: Final = {
    "powerpc": "PowerPC",
    "mips": "MIPS",
    "loongson": "LoongArch",
    "loongarch": "LoongArch",
    "snps,arc": "ARC",
    "xtensa": "Xtensa",
    "altr,nios2": "Nios II",
    "opencores": "OpenRISC",
    "intel,": "x86",
}
"""What begins the name of a core that is no Arm."""


def arch_of(tree: Tree) -> str:
    """Return ``arm64``, ``arm`` or ``riscv``; raise `InputError` for a tree whose CPUs are none of these."""
    for node in cpu_nodes(tree):
        names = [item.lower() for item in node.compatible]
        if "riscv" in names or node.prop("riscv,isa") is not None or node.prop("riscv,isa-base") is not None:
            return RISCV
        if any(name in _ARM32_CORES for name in names):
            return ARM32
        for name in (*names, node.name.lower()):
            other = next((arch for begin, arch in _OTHERS.items() if name.startswith(begin)), None)
            if other is not None:
                raise InputError(f"{node.path} is a CPU of {other}: what Xen does there is not what is analysed here")
        return ARM64
    return ARM64
