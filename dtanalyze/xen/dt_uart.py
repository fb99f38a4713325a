"""The UART that Xen takes for its console.

Mirrors dt_uart_init (drivers/char/arm-uart.c) and the match tables of the drivers beside it.
"""

from __future__ import annotations

from typing import Final

from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.xen.command_line import XenArgs

__all__ = ["console_node"]

_UARTS: Final = (
    "arm,pl011",
    "arm,sbsa-uart",
    "ns16550",
    "ns16550a",
    "snps,dw-apb-uart",
    "brcm,bcm2835-aux-uart",
    "cdns,uart-r1p8",
    "cdns,uart-r1p12",
    "xlnx,xuartps",
    "samsung,exynos4210-uart",
    "fsl,imx8qm-lpuart",
    "fsl,imx8qxp-lpuart",
    "fsl,imx6q-uart",
    "amlogic,meson-uart",
    "amlogic,meson-gx-uart",
    "marvell,armada-3700-uart",
    "ti,omap4-uart",
    "renesas,scif",
    "renesas,scifa",
)


def console_node(tree: Tree, args: XenArgs) -> Node | None:
    """Return the UART that Xen takes for its console: ``dtuart=``, else stdout-path; None when it has no driver.

    ``console=`` may name other consoles only, and then Xen leaves the UART to dom0 (console_has).
    """
    if not any(item.startswith("dtuart") for item in args.console.split(",")):
        return None
    chosen = tree.root.child("chosen")
    stdout = chosen.prop("stdout-path") if chosen else None
    name = (args.dtuart or (stdout.string if stdout else None) or "").partition(":")[0]
    if not name:
        return None
    if not name.startswith("/"):
        aliases = tree.root.child("aliases")
        alias = aliases.prop(name) if aliases else None
        name = (alias.string or "") if alias else ""
    node = tree.find(name) if name.startswith("/") else None
    return node if node is not None and node.available and node.is_any_of(_UARTS) else None
