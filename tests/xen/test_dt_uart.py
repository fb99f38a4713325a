"""Which UART becomes Xen's console, and why none does: dt_uart_init and the drivers' own start, by hand."""

from __future__ import annotations

import pytest

from dtanalyze.devicetree.tree import Tree
from dtanalyze.xen.dt_uart import find_console
from dtanalyze.xen.parse_params import XenArgs
from dtanalyze.xen.profile import preset
from tests.trees import tree

GIC = """#address-cells = <1>; #size-cells = <1>; interrupt-parent = <1>;
gic@8000 { compatible = "arm,gic-v3"; interrupt-controller; #interrupt-cells = <3>; phandle = <1>; reg = <0x8000 0x1000>; };
pmu { interrupt-controller; #interrupt-cells = <1>; phandle = <2>; };
aliases { serial0 = "/uart@9000"; }; chosen { stdout-path = "serial0:115200n8"; };"""
UART = 'uart@9000 { compatible = "arm,pl011"; reg = <0x9000 0x1000>; interrupts = <0 1 4>; };'


def board(uart: str) -> Tree:
    return tree(GIC + uart)


@pytest.mark.parametrize(
    ("old", "new", "because"),
    [
        ("", "", ""),
        ("interrupts", 'status = [6f 6b 61 79]; interrupts', ""),  # booted: the byte behind it is zero
        ("interrupts", 'status = "disabled"; interrupts', "is not enabled"),
        ("interrupts", "xen,passthrough; interrupts", "is to be passed through"),
        ("arm,pl011", "fsl,imx6q-uart", "is none that this Xen drives (fsl,imx6q-uart)"),
        ("reg = <0x9000 0x1000>;", "", "has no registers that Xen can reach"),
        ("interrupts = <0 1 4>;", "", "has no interrupt of the interrupt controller"),
        ("interrupts = <0 1 4>;", "interrupt-parent = <2>; interrupts = <5>;", "has no interrupt of the interrupt controller"),
        ('arm,pl011"', 'ns16550a"; reg-io-width = <2>', "has reg-io-width = <2>, and Xen's driver reads one byte or four"),
        ('arm,pl011"', 'ns16550a"; reg-io-width = <4>', ""),
    ],
)
def test_what_a_driver_wants(old: str, new: str, because: str) -> None:
    found = find_console(board(UART.replace(old, new) if old else UART), XenArgs(), preset("4.20"))
    said = f"stdout-path of /chosen names /uart@9000, which {because}" if because else ""
    assert (found.node is None, found.because) == (bool(because), said)


@pytest.mark.parametrize(
    ("args", "because"),
    [
        (XenArgs(dtuart="/uart@9000"), ""),
        (XenArgs(dtuart="/nowhere"), "dtuart=/nowhere names no node"),
        (XenArgs(console="null"), "console= leaves out dtuart"),
    ],
)
def test_what_xens_line_names(args: XenArgs, because: str) -> None:
    assert find_console(board(UART), args, preset("4.20")).because == because


def test_nobody_names_one() -> None:
    found = find_console(tree(GIC.replace("stdout-path", "other") + UART), XenArgs(), preset("4.20"))
    assert found == (None, "neither dtuart= nor stdout-path of /chosen names a UART")
