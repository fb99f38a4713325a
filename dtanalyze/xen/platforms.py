"""What is known of single platforms beside their trees.

Which devices Xen keeps from dom0, how far DMA reaches and what a platform's own start-up refuses mirrors
arch/arm/platforms/brcm-raspberry-pi.c, sunxi.c, thunderx.c and xgene-storm.c, and for 32-bit Xen exynos5.c and vexpress.c;
other platforms have nothing of this. What the
registers of an interrupt controller say, Xen reads and no tree has: it is given here for machines whose documents or boots
tell it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from dtanalyze.board.architecture import ARM32, arch_of
from dtanalyze.board.bus import XEN
from dtanalyze.board.translate import reg_entries
from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.xen.stage import Outcome, Passed, Stop

__all__ = ["Platform", "platform_init", "platform_of"]


class Platform(NamedTuple):
    """``blacklist_dev`` are compatibles; ``arm32`` is what only 32-bit Xen has in it; ``dma_bitsize`` bounds where
    dom0's low memory is looked for.

    ``lines_v2`` and ``lines_v3`` are the interrupt IDs that the GIC's distributor reports, ``v2m_spis`` the first ID and the
    number of those of a GICv2's MSI frame.
    """

    compatible: tuple[str, ...]
    blacklist_dev: tuple[str, ...] = ()
    arm32: bool = False
    dma_bitsize: int = 32
    lines_v2: int | None = None
    lines_v3: int | None = None
    v2m_spis: tuple[int, int] | None = None

    def gic_lines(self, gic: Node | None) -> int | None:
        """Return how many interrupt IDs the controller has, None when that is not known."""
        if gic is None:
            return None
        return self.lines_v3 if gic.is_compatible("arm,gic-v3") else self.lines_v2


_ANY: Final = Platform(())
_SUN6I_TO_8I: Final = (
    *("allwinner,sun6i-a31", "allwinner,sun6i-a31s", "allwinner,sun7i-a20", "allwinner,sun8i-a23"),
    *("allwinner,sun8i-a33", "allwinner,sun8i-h2-plus", "allwinner,sun8i-h3"),
)
_EXYNOS5: Final = ("samsung,exynos4210-mct", "samsung,secure-firmware")
_VEXPRESS: Final = (
    *("arm,cci-400", "arm,cci-400-pmu", "arm,hdlcd"),
    *("arm,vexpress-reset", "arm,vexpress-reboot", "arm,vexpress-shutdown"),
)
_PLATFORMS: Final = (
    Platform(("brcm,bcm2711",), ("brcm,bcm2835-aux-spi", "brcm,bcm2835-aux", "brcm,bcm2835-pm"), dma_bitsize=30),
    # Those of 32 bits are in 64-bit Xen too: a tree for both counts.
    Platform(_SUN6I_TO_8I + ("allwinner,sun50i-a64", "allwinner,sun50i-h5", "allwinner,sun50i-h6"), ("snps,dw-apb-uart",)),
    Platform(("cavium,thunder-88xx",), ("cavium,smmu-v2",)),
    Platform(("samsung,exynos5250", "samsung,exynos5410"), _EXYNOS5, arm32=True),
    Platform(("arm,vexpress",), _VEXPRESS, arm32=True),
    # QEMU's virt machine has 256 SPIs, 64 of them from 48 on for the frame; its GICv3 reports one block of 32 fewer.
    Platform(("linux,dummy-virt",), lines_v2=288, lines_v3=256, v2m_spis=(80, 64)),
    Platform(("xlnx,zynqmp",), lines_v2=192),
)


_OLD_XGENE_GICD: Final = 0x78010000
"""Where old X-Gene firmware says the distributor is: its secure face, at which ending an interrupt does not work."""


def platform_init(tree: Tree) -> Outcome:
    """Return whether the platform's own start-up refuses (xgene_check_pirq_eoi is the only one that looks at the tree)."""
    if not tree.root.is_compatible("apm,xgene-storm"):
        return Passed((tree.root.compatible[0] if tree.root.compatible else "no compatible at the root",))
    gic = next((node for node in tree.root if node.is_compatible("arm,cortex-a15-gic")), None)
    if gic is None:
        line = "xgene_check_pirq_eoi: Can not find interrupt controller node"
        return Stop("platform", (line,), "no node is compatible with arm,cortex-a15-gic", silent=True)
    base = next(iter(reg_entries(gic, XEN)), None)
    if base is None or base.address is None:
        line = "xgene_check_pirq_eoi: Cannot find a valid address for the distributor"
        return Stop("platform", (line,), f"reg of {gic.path}", gic.path, silent=True)
    if base.address == _OLD_XGENE_GICD:
        lines = ("OLD X-Gene Firmware is not supported by Xen.", "Please upgrade your firmware to the latest version")
        return Stop("platform", lines, f"the distributor of {gic.path} is at {base.address:#x}", gic.path, silent=True)
    return Passed((tree.root.compatible[0],))


def platform_of(tree: Tree) -> Platform:
    """Return the platform that the root's compatible names, or one without peculiarities."""
    built = (item for item in _PLATFORMS if not item.arm32 or arch_of(tree) == ARM32)
    return next((item for item in built if tree.root.is_any_of(item.compatible)), _ANY)
