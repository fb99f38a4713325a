"""The UART that Xen takes for its console.

Mirrors dt_uart_init (drivers/char/arm-uart.c, from 4.20 drivers/char/uart-init.c).
"""

from __future__ import annotations

from dtanalyze.address.range import AddressRange
from dtanalyze.board.bus import XEN
from dtanalyze.board.model import entry_range
from dtanalyze.board.translate import reg_entries
from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.xen.drivers import UARTS, driver_symbol
from dtanalyze.xen.dt_property import EINVAL, dt_property_read_string
from dtanalyze.xen.parse_params import XenArgs
from dtanalyze.xen.profile import XenProfile

__all__ = ["console_node", "console_registers"]


def console_node(tree: Tree, args: XenArgs, profile: XenProfile) -> Node | None:
    """Return the UART that Xen takes for its console: ``dtuart=``, else stdout-path; None when it has no driver.

    ``console=`` may name other consoles only, and then Xen leaves the UART to dom0 (console_has).
    """
    if not any(item.startswith("dtuart") for item in args.console.split(",")):
        return None
    chosen = tree.root.child("chosen")
    stdout = dt_property_read_string(chosen, "stdout-path") if chosen else EINVAL
    name = (args.dtuart or (stdout if isinstance(stdout, str) else "")).partition(":")[0]
    if not name:
        return None
    if not name.startswith("/"):
        aliases = tree.root.child("aliases")
        alias = aliases.prop(name) if aliases else None
        name = (alias.string or "") if alias else ""
    node = tree.find(name) if name.startswith("/") else None
    if node is None or not node.available or node.prop("xen,passthrough") is not None:
        return None  # device_init
    return node if driver_symbol(node, UARTS, profile) is not None else None


def console_registers(console: Node | None) -> AddressRange | None:
    """Return where the console's registers are, None without a console or an address."""
    entry = next(iter(reg_entries(console, XEN)), None) if console is not None else None
    return entry_range(entry) if entry is not None else None
