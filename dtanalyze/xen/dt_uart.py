"""The UART that Xen takes for its console.

Mirrors dt_uart_init (drivers/char/arm-uart.c, from 4.20 drivers/char/uart-init.c) and what every driver of drivers/char
wants of its node before it keeps it for Xen: registers and an interrupt.
"""

from __future__ import annotations

from typing import NamedTuple

from dtanalyze.address.range import AddressRange
from dtanalyze.board.bus import XEN
from dtanalyze.board.model import entry_range
from dtanalyze.board.translate import reg_entries
from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.xen.drivers import UARTS, driver_symbol
from dtanalyze.xen.dt_irq import DtIrqs
from dtanalyze.xen.dt_property import EINVAL, dt_device_is_available, dt_property_read_string
from dtanalyze.xen.parse_params import XenArgs
from dtanalyze.xen.profile import XenProfile
from dtanalyze.xen.vgic import gic_node

__all__ = ["Console", "console_registers", "find_console"]


class Console(NamedTuple):
    """The UART that Xen takes for its console, or None and why it has none."""

    node: Node | None
    because: str = ""


def find_console(tree: Tree, args: XenArgs, profile: XenProfile) -> Console:
    """Return the UART that ``dtuart=`` or else stdout-path names, where its driver starts.

    ``console=`` may name other consoles only, and then Xen leaves the UART to dom0 (console_has).
    """
    if not any(item.startswith("dtuart") for item in args.console.split(",")):
        return Console(None, "console= leaves out dtuart")
    chosen = tree.root.child("chosen")
    stdout = dt_property_read_string(chosen, "stdout-path") if chosen else EINVAL
    name = (args.dtuart or (stdout if isinstance(stdout, str) else "")).partition(":")[0]
    if not name:
        return Console(None, "neither dtuart= nor stdout-path of /chosen names a UART")
    named = f"dtuart={args.dtuart}" if args.dtuart else "stdout-path of /chosen"
    node = _node_named(tree, name)
    if node is None:
        return Console(None, f"{named} names no node")
    missing = _missing(tree, node, profile)
    return Console(None, f"{named} names {node.path}, which {missing}") if missing else Console(node)


def _node_named(tree: Tree, name: str) -> Node | None:
    if not name.startswith("/"):
        aliases = tree.root.child("aliases")
        alias = aliases.prop(name) if aliases else None
        name = (alias.string or "") if alias else ""
    return tree.find(name) if name.startswith("/") else None


def _missing(tree: Tree, node: Node, profile: XenProfile) -> str:
    """Return why no driver takes the UART (device_init and the drivers' own start), empty when one does."""
    if not dt_device_is_available(node):
        return "is not enabled"
    if node.prop("xen,passthrough") is not None:
        return "is to be passed through"
    symbol = driver_symbol(node, UARTS, profile)
    if symbol is None:
        called = f" ({node.compatible[0]})" if node.compatible else ""
        return f"is none that this Xen drives{called}"
    if console_registers(node) is None:
        return "has no registers that Xen can reach"
    dt = DtIrqs.of(tree, gic_node(tree.root))
    if dt.gic is not None and dt.gic_irq(next(iter(dt.raw_irqs(node)), None)) is None:
        return "has no interrupt of the interrupt controller"
    width = node.prop("reg-io-width")
    if symbol == "HAS_NS16550" and width is not None and width.u32 not in (1, 4, None):
        return f"has reg-io-width = <{width.u32}>, and Xen's driver reads one byte or four"
    return ""


def console_registers(console: Node | None) -> AddressRange | None:
    """Return where the console's registers are, None without a console or an address."""
    entry = next(iter(reg_entries(console, XEN)), None) if console is not None else None
    return entry_range(entry) if entry is not None else None
