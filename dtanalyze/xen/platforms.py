"""What Xen knows of single platforms: devices it keeps from dom0, and how far DMA reaches.

Mirrors arch/arm/platforms/brcm-raspberry-pi.c and sunxi.c; other arm64 platforms have neither.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from dtanalyze.devicetree.tree import Tree

__all__ = ["Platform", "platform_of"]


class Platform(NamedTuple):
    """``blacklist_dev`` are compatibles; ``dma_bitsize`` bounds where dom0's low memory is looked for."""

    compatible: tuple[str, ...]
    blacklist_dev: tuple[str, ...] = ()
    dma_bitsize: int = 32


_ANY: Final = Platform(())
_PLATFORMS: Final = (
    Platform(("brcm,bcm2711",), ("brcm,bcm2835-aux-spi", "brcm,bcm2835-aux", "brcm,bcm2835-pm"), 30),
    Platform(("allwinner,sun50i-a64", "allwinner,sun50i-h5", "allwinner,sun50i-h6"), ("snps,dw-apb-uart",)),
)


def platform_of(tree: Tree) -> Platform:
    """Return the platform that the root's compatible names, or one without peculiarities."""
    return next((item for item in _PLATFORMS if tree.root.is_any_of(item.compatible)), _ANY)
