"""What to do about a stop of Xen that no rule explains: the node, the option, the line of a `.config` or the release."""

from __future__ import annotations

from typing import Final

__all__ = ["stop_advice"]

_WHOLE_PAGES: Final = "Correct reg of that memory node: let its RAM begin and end at a multiple of 4 KiB."

_ADVICE: Final = (
    ("boot-scan", "nested too deep", "Use Xen 4.20.4, 4.21.2, 4.22 or newer (3b717f57dc), or flatten the nodes below it."),
    (
        "boot-scan",
        "STATIC_SHM",
        "Build Xen with CONFIG_STATIC_MEMORY=y and CONFIG_STATIC_SHM=y in its .config (both need CONFIG_UNSUPPORTED=y), or "
        "remove the domain's shared memory.",
    ),
    (
        "boot-scan",
        "STATIC_MEMORY",
        "Build Xen with CONFIG_STATIC_MEMORY=y in its .config (it needs CONFIG_UNSUPPORTED=y), or give the domain `memory` "
        "alone.",
    ),
    ("boot-scan", "past the end of the address space", "Correct reg of that memory node: it runs past the last address."),
    (
        "boot-scan",
        "no RAM is seen",
        "Correct the node at which the scan ends; Xen 4.19 and newer name the fault.",
    ),
    ("boot-scan", "", "Correct the node that Xen's line names."),
    ("memory", "is no RAM of it", "Correct the reservation or the static memory: all of it has to be RAM of the host."),
    (
        "memory",
        "no block of Xen's heap",
        "Give Xen more heap: enlarge `xen,static-heap` or remove it, list more RAM, or make the tree smaller.",
    ),
    ("memory", "begin at a whole page", _WHOLE_PAGES),
    ("memory", "it frees them", "Load the module so that it ends within RAM, or correct its reg."),
    ("memory", "", "Correct the memory nodes: RAM has to hold Xen, its frame table and the page tables of all RAM."),
    ("platform", "firmware", "Update the board's firmware, as Xen's line says: no change of the tree makes up for it."),
    (
        "timer",
        "vtimer.c",
        "Correct `interrupts` of the timer: secure, non-secure and virtual are three interrupts, mostly PPIs 13, 14, 11.",
    ),
    (
        "timer",
        "another trigger type",
        "Give the interrupt one trigger type in both nodes, or correct its number in one of them.",
    ),
    (
        "timer",
        "",
        'Add the timer\'s node: compatible = "arm,armv8-timer", with its secure, non-secure, virtual and hypervisor '
        "interrupts.",
    ),
    ("interrupt-controller", "is not enabled", "Remove `status` from the interrupt controller's node."),
    ("interrupt-controller", "passed through", "Remove `xen,passthrough` from the interrupt controller's node."),
    (
        "interrupt-controller",
        "needs a driver",
        "Build Xen with CONFIG_GICV2=y or CONFIG_GICV3=y in its .config, whichever the controller is.",
    ),
    (
        "interrupt-controller",
        "Unable to find compatible",
        "Use another board: this one has no interrupt controller that Xen drives (a GICv2 with its hypervisor registers, or "
        "a GICv3), and no change of the tree replaces a driver.",
    ),
    (
        "iommu",
        "configure correctly",
        "Correct the IOMMU's node that the message names, or the ranges above it, or boot Xen with `iommu=no`.",
    ),
    ("xsm", "Invalid value", "Write `flask=enforcing`, `permissive`, `late` or `disabled` on Xen's command line."),
    (
        "xsm",
        "Unable to load",
        'Load a policy as a module with compatible = "xen,xsm-policy", "multiboot,module", remove `xsm=flask` from Xen\'s '
        "command line, or build Xen with CONFIG_XSM_FLASK_POLICY=y in its .config.",
    ),
    (
        "dom0-cpus",
        "redistributors",
        "Correct reg and #redistributor-regions of the interrupt controller: each CPU needs 128 KiB of redistributor.",
    ),
    ("cpus", "", 'Add /cpus with a node of device_type = "cpu", with compatible and reg, for each CPU.'),
    (
        "dom0-tree",
        "",
        "Pad the host tree (`dtc -I dtb -O dtb -p 16384`), since Xen's buffer for dom0's tree is as large as it and a "
        "little, or use Xen 4.22 or newer (ad6f396a3f).",
    ),
    ("dom0-memory", "begin at a whole page", _WHOLE_PAGES),
    ("dom0-devices", "Data Abort", "Use a newer release of Xen, or remove the entry of size zero that the message names."),
    ("dom0-devices", "Cannot cope with this size", "Give the root #address-cells = <2> and #size-cells = <2>."),
    (
        "dom0-modules",
        "Data Abort",
        "Load the module into RAM, or correct its reg. If there is RAM, list it in a memory node.",
    ),
    (
        "dom0-modules",
        "Unable to map",
        "Load a smaller one, packed for example: Xen maps it whole, and has 1 GiB of addresses for all that it maps.",
    ),
    ("dom0-modules", "/chosen node", "Remove `compatible` and `interrupts` from /chosen, or boot dom0 without a ramdisk."),
    ("dom0-modules", "mapped", "Set another `dom0_mem=`, so that Xen puts dom0's first bank apart from that device."),
    (
        "modules",
        "Data Abort",
        "Load the module into RAM, or correct its reg. If there is RAM, list it in a memory node.",
    ),
    ("modules", "runs past the bank", "Load the module within one bank of RAM, or join the two banks in one reg."),
    ("modules", " overlap)", "Load the modules apart from each other."),
    ("modules", "", "Load a kernel for dom0, and add its node below /chosen."),
    (
        "domains",
        "outside the RAM",
        "Load the module into RAM, or correct its reg. If there is RAM, list it in a memory node.",
    ),
    ("domains", "Data Abort", "Correct `xen,static-mem`: all of it has to be RAM of the host."),
)
"""Stage, words of the stop, advice; the first row of the stage whose words stand there."""


def stop_advice(stage: str, text: str) -> str:
    """Return what to do about a stop at ``stage``, told as ``text``; empty where nothing is known."""
    return next((advice for where, words, advice in _ADVICE if where == stage and words in text), "")
