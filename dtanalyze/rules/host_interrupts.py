"""Rules about what Xen cannot use or hand on: interrupts, the interrupt controller, devices that it refuses."""

from typing import Final

from dtanalyze.findings import Severity, Source
from dtanalyze.rules.cures.controller import gic_cures, named_cure, unnamed_gicv2
from dtanalyze.rules.cures.devices import beyond_descriptors, refused_cures
from dtanalyze.rules.cures.interrupts import passthrough_cure, trigger_cures
from dtanalyze.rules.examples import host
from dtanalyze.rules.host_devices import HANDLE_NODE, failures_of_kind
from dtanalyze.rules.model import HOST, Example, Hit, Hits, Rule, rule
from dtanalyze.rules.view import HostView, property_offset
from dtanalyze.xen.stage import DATA_ABORT

__all__ = ["HOST_INTERRUPTS"]

_SPI: Final = (
    'spi@9010000 {{ compatible = "arm,pl022"; reg = <0x0 0x9010000 0x0 0x1000>; interrupt-parent = <1>; '
    "interrupts = <0 {irq} {sense}>; }};"
)


@rule(
    "B01",
    "console-interrupt-shared",
    Severity.ERROR,
    HOST,
    what="A device shares an interrupt with the UART that is Xen's console.",
    why="Xen uses that interrupt. Mapping it to dom0 fails with -EBUSY, and Xen panics while it builds dom0, whether or "
    "not the device is enabled.",
    advice="Choose another console (`dtuart=` on Xen's command line), or remove the device's node from the tree that Xen "
    "gets.",
    sources=(Source("Xen", "xen/arch/arm/irq.c", "route_irq_to_guest", "4.16 to 4.22"), HANDLE_NODE),
    bad=Example(host(_SPI.format(irq=1, sense=4))),
    good=Example(host(_SPI.format(irq=2, sense=4))),
)
def console_interrupt_shared(view: HostView) -> Hits:
    for item in failures_of_kind(view, "shared-interrupt"):
        cures = (passthrough_cure(item.node),)
        yield Hit(item.text, item.node.path, (), property_offset(item.node, "interrupts"), cures=cures)


@rule(
    "B02",
    "interrupt-with-two-triggers",
    Severity.ERROR,
    HOST,
    what="Two nodes name one interrupt with different trigger types.",
    why="Xen sets the type at the first node and refuses another at the second. It panics while it builds dom0, whether or "
    "not the nodes are enabled.",
    advice="Write the same trigger type at all nodes that name the interrupt.",
    sources=(Source("Xen", "xen/arch/arm/irq.c", "irq_set_spi_type", "4.16 to 4.22"), HANDLE_NODE),
    bad=Example(host(_SPI.format(irq=2, sense=4) + _SPI.format(irq=2, sense=1).replace("9010000", "9020000"))),
    good=Example(host(_SPI.format(irq=2, sense=4) + _SPI.format(irq=2, sense=4).replace("9010000", "9020000"))),
)
def interrupt_with_two_triggers(view: HostView) -> Hits:
    for item in failures_of_kind(view, "trigger-type"):
        cures = tuple(trigger_cures(item.node, view.prediction.nodes.irqs))
        yield Hit(item.text, item.node.path, (), property_offset(item.node, "interrupts"), cures=cures)


_REFUSALS: Final = {
    "iommu": "Remove `iommus` from the device, disable the IOMMU's node, or boot Xen with `iommu=no`.",
    "interrupt": "Correct `interrupts`, `interrupt-parent` or `interrupt-map` of the node.",
    "window": "Correct `ranges` of the PCI host or of the buses above it.",
    "width": "Correct `reg` of the node: Xen can give no domain that address on this machine.",
    "gic": "Complete the interrupt controller's node.",
    "redistributors": "Correct reg of the interrupt controller: each CPU needs 128 KiB of redistributor.",
}
_NO_DESCRIPTOR: Final = "Remove `interrupts` from the node: Xen has no more descriptors up to 4.22, whatever the GIC has."


@rule(
    "B04",
    "device-that-xen-refuses",
    Severity.ERROR,
    HOST,
    what="Xen cannot give dom0 a device: its IOMMU, its interrupt, its registers or its windows do not work out.",
    why="Xen gives dom0 every node, disabled or not, and panics at the first that it cannot map.",
    advice="Correct the node, or remove it from the tree that Xen gets.",
    sources=(HANDLE_NODE, Source("Xen", "xen/drivers/passthrough/device_tree.c", "iommu_add_dt_device", "4.16 to 4.22")),
    bad=Example(host(_SPI.format(irq=980, sense=4))),
    good=Example(host(_SPI.format(irq=2, sense=4))),
)
def device_that_xen_refuses(view: HostView) -> Hits:
    for kind, advice in _REFUSALS.items():
        if kind == "redistributors" and view.host.args.dom0_max_vcpus is not None:
            continue  # the option is the cause, and has a rule of its own
        for item in failures_of_kind(view, kind):
            yield Hit(item.text, item.node.path, (), item.node.offset, advice=advice, cures=tuple(refused_cures(view, item)))
    for item in failures_of_kind(view, "crash"):
        advice = _NO_DESCRIPTOR if beyond_descriptors(item) else _crash_advice(item.because)
        yield Hit(item.text, item.node.path, (), item.node.offset, advice=advice, cures=tuple(refused_cures(view, item)))


def _crash_advice(because: str) -> str:
    if "compatible of" in because:
        return "End `compatible` with a NUL, as a string of a source does."
    if "in a circle" in because:
        return "Correct `interrupt-parent` or `interrupt-map`: they have to lead to an interrupt controller."
    return "Correct `reg` of the node: it runs past the last address."


_GIC400: Final = (
    'gic@3000000 {{ compatible = "arm,gic-400"; #interrupt-cells = <3>; interrupt-controller; phandle = <1>; '
    "interrupt-parent = <1>; interrupts = <1 9 4>; reg = <0x0 0x3001000 0x0 0x1000>, <0x0 0x3002000 0x0 0x2000>{more}; }};"
)
_VIRTUAL: Final = ", <0x0 0x3004000 0x0 0x2000>, <0x0 0x3006000 0x0 0x2000>"
_INCOMPLETE: Final = (
    ("for the hypervisor", "Add the registers of the hypervisor interface to reg, as its third entry."),
    ("for the virtual CPU", "Add the registers of the virtual CPU interface to reg, as its fourth entry."),
    ("Cannot find a valid", "Correct reg of the interrupt controller: the CPU has to reach every entry of it."),
    ("another trigger type", "Give the interrupt one trigger type in both nodes, or correct its number in one of them."),
    (
        "maintenance IRQ",
        "Add the maintenance interrupt, on most boards `interrupts = <1 9 4>;` with the controller as parent.",
    ),
    ("don't match", "Give the second and the fourth entry of reg the same size."),
    ("v2m", "Correct reg, arm,msi-base-spi and arm,msi-num-spis of the MSI frame."),
    ("aligned", "Correct reg of the interrupt controller: its entries begin at whole pages."),
    ("ioremap", "Correct the size in reg: Xen has 1 GiB of addresses for all that it maps."),
    ("remap", "Correct the size in reg of the MSI frame: Xen has 1 GiB of addresses for all that it maps."),
    ("two frames", "Correct the size in reg: each CPU needs 128 KiB of redistributor."),
    ("rdist base", "Make #redistributor-regions agree with the number of entries in reg, less the distributor's."),
)


_NAME_IT: Final = (
    'Add "arm,cortex-a15-gic" to `compatible` of the node: it states the registers and the interrupt that Xen asks for. '
    "Firmware has to start Xen at EL2, which no tree tells."
)


@rule(
    "B07",
    "interrupt-controller-incomplete",
    Severity.ERROR,
    HOST,
    what="The interrupt controller's node lacks registers or the interrupt that Xen needs for virtualization, states them "
    "wrongly, or has no name by which Xen drives it.",
    why="Xen reads four registers and the maintenance interrupt of a GICv2, the distributor, the redistributors and the "
    "interrupt of a GICv3. It panics without one of them. Kernels that run on bare hardware need less.",
    advice="Correct the interrupt controller's node as its manual says.",
    sources=(
        Source("Xen", "xen/arch/arm/gic-v2.c", "gicv2_dt_init", "4.16 to 4.22"),
        Source("Xen", "xen/arch/arm/gic-v3.c", "gicv3_dt_init", "4.16 to 4.22"),
    ),
    bad=Example(host(gic=_GIC400.format(more=""))),
    good=Example(host(gic=_GIC400.format(more=_VIRTUAL))),
)
def interrupt_controller_incomplete(view: HostView) -> Hits:
    stop = view.prediction.stopped_by
    if not view.first or stop is None or stop.stage != "interrupt-controller":
        return
    unnamed = unnamed_gicv2(view) if stop.message.startswith("Unable to find compatible") else None
    if unnamed is not None:
        text = f"{unnamed.path} is a GICv2 for Linux ({unnamed.compatible[0]}), and Xen knows none of its names"
        where = property_offset(unnamed, "compatible")
        yield Hit(text, unnamed.path, (), where, advice=_NAME_IT, cures=(named_cure(unnamed),))
    if stop.node is None:
        return
    node = view.board.tree.find(stop.node)
    if node is not None and stop.message.startswith(("GIC", DATA_ABORT)):
        advice = next((advice for words, advice in _INCOMPLETE if words in stop.text), "")
        yield Hit(stop.text, node.path, (), property_offset(node), advice=advice, cures=tuple(gic_cures(view, node)))


HOST_INTERRUPTS: Final[tuple[Rule, ...]] = (
    console_interrupt_shared,
    interrupt_with_two_triggers,
    device_that_xen_refuses,
    interrupt_controller_incomplete,
)
