"""How dom0 is made: its CPUs, grant table, RAM, devices and tree, what is copied into it, and its other CPUs last.

Mirrors create_dom0, construct_dom0 and construct_domain (arch/arm/domain_build.c) as the stages that they ask for; what each
decides stands in the mirror that it calls.
"""

from __future__ import annotations

from typing import Final

from dtanalyze.address.units import counted, format_size
from dtanalyze.devicetree.blob import parse
from dtanalyze.xen.boot import Boot
from dtanalyze.xen.bootinfo import dom0_modules_of
from dtanalyze.xen.fdt_sw import INITRD_SIZE, bytes_needed
from dtanalyze.xen.heap_init_late import scrubbed_for_dom0
from dtanalyze.xen.hypervisor_node import search_crash
from dtanalyze.xen.kernel import dom0_modules, dom0_ramdisk, kernel_probe
from dtanalyze.xen.page_alloc import XenBug
from dtanalyze.xen.stage import Open, Outcome, Passed, Stop
from dtanalyze.xen.vgic import gic_node, vgic_max_vcpus, vgic_v3_served
from dtanalyze.xen.vmap import vmap_of_gic

__all__ = [
    "construct_domain",
    "dom0_cpus",
    "dom0_devices",
    "dom0_grant_table",
    "dom0_memory",
    "dom0_tree",
    "kernel_of_dom0",
    "modules_of_dom0",
]

_LESS: Final = 64
"""Bytes that a tree in our spelling may be smaller than in Xen's, whose header is padded: near the end, its are counted."""
_ENOMEM: Final = -12


def dom0_cpus(boot: Boot) -> Outcome:
    """What Xen says of a dom0_max_vcpus= beyond what the GIC serves (the host never has more), and of the first CPU."""
    most, vcpus = vgic_max_vcpus(boot.host.tree.root), boot.dom0_vcpus
    if boot.host.args.dom0_max_vcpus and vcpus > most:
        line = boot.profile.gives_up("Error creating domain 0", -22)
        return Stop("dom0-cpus", (line,), f"dom0_max_vcpus asks for {vcpus} CPUs, and a domain may have {most}")
    if boot.profile.redistributors_bounded and vgic_v3_served(boot.host.tree.root) == 0:
        gic = gic_node(boot.host.tree.root)
        because = "the redistributors of the interrupt controller have less room than one CPU needs"
        return Stop("dom0-cpus", (f"Error creating {boot.profile.first_cpu_called}",), because, gic.path if gic else None)
    return Passed((counted(vcpus, "CPU") + " for dom0",))


def dom0_grant_table(boot: Boot) -> Outcome:
    """grant_table_init wants INITIAL_NR_GRANT_FRAMES, one, or more; the least of gnttab_max_frames and Xen's text counts."""
    if boot.host.args.max_grant_frames:
        return Passed(("gnttab_max_frames allows a grant table",))
    line = boot.profile.gives_up("Error creating domain 0", -22)
    return Stop("dom0-grant-table", (line,), "gnttab_max_frames=0 leaves dom0 no grant table, and Xen makes no such domain")


def dom0_memory(boot: Boot) -> Outcome:
    placed = boot.dom0_memory
    size = sum(bank.size for bank in placed.banks)
    free = boot.free_memory
    stop = None
    if boot.ram_known and not isinstance(free, XenBug):
        stop = scrubbed_for_dom0(free, placed.banks, boot.host.args.bootscrub, boot.info)
    return stop or placed.stop or Passed((f"{format_size(size)} in {counted(len(placed.banks), 'bank')}",))


def dom0_devices(boot: Boot) -> Outcome:
    stop = boot.nodes.stop(boot.profile) or search_crash(boot, boot.dom0_regions[1], "dom0")
    return stop or Passed((counted(len(boot.nodes.fates), "node"),))


def dom0_tree(boot: Boot) -> Outcome:
    """Xen writes dom0's tree into a buffer little larger than the host's."""
    blob = boot.dom0_blob
    if blob is None:
        return Open("how large dom0's tree is: RAM is not known")
    needs, has = len(blob), boot.host.tree.totalsize + boot.profile.dom0_fdt_extra
    if needs + _LESS > has:
        needs = bytes_needed(parse(blob).root)
    if needs <= has:
        return Passed((f"{needs} bytes of {has}",))
    because = f"dom0's tree takes {needs} bytes, and Xen's buffer for it has {has}: the host's tree and a little"
    if boot.options.memory or not any(item.node for item in boot.info.modules):
        return Open(f"{because}; a boot loader that adds to the tree makes it larger")
    lines = (
        "Device tree generation failed (-3).",
        boot.profile.gives_up(f"Could not set up {boot.profile.dom0_called} guest OS", -22),
    )
    return Stop("dom0-tree", lines, because)


def modules_of_dom0(boot: Boot) -> Outcome:
    banks, blob = boot.dom0_memory.banks, boot.dom0_blob or b""
    devices = [
        item for item in boot.dom0_mapped if any(item.start < bank.stop and bank.start < item.stop for bank in banks[:1])
    ]
    size = len(blob)
    if blob and devices:  # a page that cannot be written decides, so that each byte counts
        size = bytes_needed(parse(blob).root) + (INITRD_SIZE if dom0_ramdisk(boot.info) is not None else 0)
    mapped, more_ram = vmap_of_gic(boot.host.tree.root), boot.more_ram
    placed = dom0_modules(banks, boot.info, size, boot.profile, devices, mapped=mapped, more_ram=more_ram)
    return placed if isinstance(placed, Stop) else _no_chosen(boot) or placed


def _no_chosen(boot: Boot) -> Stop | None:
    """initrd_load writes the ramdisk's place into dom0's /chosen, which a compatible that Xen keeps from dom0 takes away."""
    chosen, ramdisk = boot.host.tree.root.child("chosen"), dom0_ramdisk(boot.info)
    if chosen is None or boot.nodes.is_kept(chosen) or ramdisk is None or not ramdisk.size or not boot.ram_known:
        return None
    because = f"{chosen.path} is kept from dom0, for its compatible or its interrupts, and Xen looks for it in dom0's tree"
    return Stop("dom0-modules", ("Cannot find the /chosen node",), because, chosen.path)


def kernel_of_dom0(boot: Boot) -> Outcome:
    """A scan that ended early has seen none of the modules that a boot loader put further on."""
    unseen = [node.path for node, _ in dom0_modules_of(boot.host.tree)] if boot.info.stopped_at is not None else []
    return kernel_probe(boot.info, boot.profile, unseen, more_ram=boot.more_ram)


def construct_domain(boot: Boot) -> Outcome:
    """Make dom0's other CPUs, when all else is done: each needs a redistributor of its own (vgic_v3_vcpu_init)."""
    served, vcpus = vgic_v3_served(boot.host.tree.root), boot.dom0_vcpus
    if served is None or vcpus <= served or not boot.profile.redistributors_bounded:
        return Passed((counted(vcpus - 1, "further CPU"),))
    last = boot.profile.gives_up(f"Could not set up {boot.profile.dom0_called} guest OS", _ENOMEM)
    because = f"dom0 has {counted(vcpus, 'CPU')}, and the redistributors of the host's interrupt controller serve {served}"
    return Stop("dom0-cpus", (f"Failed to allocate d0v{served}", last), because)
