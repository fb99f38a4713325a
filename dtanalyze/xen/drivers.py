"""Which hardware Xen has drivers for, on arm64: the UARTs that can be its console, and the IOMMUs.

The match tables of drivers/char and drivers/passthrough/arm as of master, each compatible with the Kconfig symbol that
builds its driver. A release that lacks some of them names these in `XenProfile.no_driver`. Left out: drivers for 32-bit
machines only (Exynos 4210).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dtanalyze.devicetree.tree import Node

if TYPE_CHECKING:
    from dtanalyze.xen.profile import XenProfile

__all__ = ["IOMMUS", "NEW_IN_4_17", "NEW_IN_4_18", "NEW_IN_4_19", "NEW_IN_4_20", "NEW_IN_4_23", "UARTS", "driver_symbol"]

UARTS: Final[dict[str, str]] = {
    "arm,pl011": "HAS_PL011",
    "arm,sbsa-uart": "HAS_PL011",
    "ns16550": "HAS_NS16550",
    "ns16550a": "HAS_NS16550",
    "snps,dw-apb-uart": "HAS_NS16550",
    "brcm,bcm2835-aux-uart": "HAS_NS16550",
    "cdns,uart-r1p8": "HAS_CADENCE_UART",
    "cdns,uart-r1p12": "HAS_CADENCE_UART",
    "fsl,s32v234-linflexuart": "HAS_LINFLEX",
    "nxp,s32g2-linflexuart": "HAS_LINFLEX",
    "nxp,s32g3-linflexuart": "HAS_LINFLEX",
    "fsl,imx6q-uart": "HAS_IMX_UART",
    "fsl,imx8qm-lpuart": "HAS_IMX_LPUART",
    "fsl,imx8qxp-lpuart": "HAS_IMX_LPUART",
    "marvell,armada-3700-uart": "HAS_MVEBU",
    "amlogic,meson6-uart": "HAS_MESON",
    "amlogic,meson8-uart": "HAS_MESON",
    "amlogic,meson8b-uart": "HAS_MESON",
    "amlogic,meson-uart": "HAS_MESON",
    "amlogic,meson-gx-uart": "HAS_MESON",
    "ti,omap4-uart": "HAS_OMAP",
    "ti,am654-uart": "HAS_OMAP",
    "renesas,scif": "HAS_SCIF",
    "renesas,scifa": "HAS_SCIF",
    "renesas,hscif": "HAS_SCIF",
}
IOMMUS: Final[dict[str, str]] = {
    "arm,smmu-v1": "ARM_SMMU",
    "arm,smmu-v2": "ARM_SMMU",
    "arm,mmu-400": "ARM_SMMU",
    "arm,mmu-401": "ARM_SMMU",
    "arm,mmu-500": "ARM_SMMU",
    "arm,smmu-v3": "ARM_SMMU_V3",
    "renesas,ipmmu-r8a7795": "IPMMU_VMSA",
    "renesas,ipmmu-r8a7796": "IPMMU_VMSA",
    "renesas,ipmmu-r8a77961": "IPMMU_VMSA",
    "renesas,ipmmu-r8a77965": "IPMMU_VMSA",
    "renesas,ipmmu-r8a779f0": "IPMMU_VMSA",
    "renesas,ipmmu-r8a779g0": "IPMMU_VMSA",
}

NEW_IN_4_17: Final = frozenset({"fsl,imx8qm-lpuart", "renesas,hscif", "renesas,ipmmu-r8a779f0"})
"""The i.MX 8 UART, 87319afb96, 095d665d77."""
NEW_IN_4_18: Final = frozenset({"arm,sbsa-uart"})
"""42473bae23."""
NEW_IN_4_19: Final = frozenset({"fsl,imx8qxp-lpuart", "ti,omap4-uart", "ti,am654-uart"})
"""2f85a6d9f5 (in place of fsl,imx8qm-lpuart), 672b26b66e (before, only for 32-bit machines)."""
NEW_IN_4_20: Final = frozenset(
    {"fsl,s32v234-linflexuart", "nxp,s32g2-linflexuart", "nxp,s32g3-linflexuart", "renesas,ipmmu-r8a779g0"}
)
"""6ba3b1f828, 3eda1f8912."""
NEW_IN_4_23: Final = frozenset({"fsl,imx6q-uart"})
"""ee53a871ed, after 4.22."""


def driver_symbol(node: Node, table: dict[str, str], profile: XenProfile) -> str | None:
    """Return the Kconfig symbol of the driver that this release has for the node, None when it has none."""
    for name in node.compatible:
        symbol = table.get(name.lower())
        if symbol and name.lower() not in profile.no_driver:
            return symbol
    return None
