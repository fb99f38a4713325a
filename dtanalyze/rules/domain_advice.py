"""What to do about each line with which Xen gives up a domain of /chosen: the property, the option or the build."""

from __future__ import annotations

from typing import Final

from dtanalyze.address.units import KIB, MIB
from dtanalyze.rules.cures.domains import p2m_pool_mb
from dtanalyze.xen.dom0less import DomU

__all__ = ["domain_advice"]

_PAGE: Final = 4 * KIB
_CELL: Final = (1 << 32) - 1
_P2M_DEFAULT: Final = 256 * MIB
"""Room for mappings that domain_p2m_pages adds to a domain's RAM."""

_ADVICE: Final = (
    ("is not all RAM", "Correct `xen,static-mem`: all of it has to be RAM of the host."),
    (
        "outside the RAM",
        "Load the module into RAM, or correct its reg. If there is RAM, list it in a memory node.",
    ),
    (
        "Unable to map",
        "Load a smaller one, packed for example: Xen maps it whole, and has 1 GiB of addresses for all that it maps.",
    ),
    ("a phandle of", "Number the phandles of the partial tree from 1 on."),
    ("Missing property 'cpus'", "Add `cpus = <1>;`, or as many as the guest is to have."),
    (
        "CONFIG_STATIC_MEMORY",
        "Build Xen with CONFIG_STATIC_MEMORY=y in its .config (it needs CONFIG_UNSUPPORTED=y), or give "
        "the domain `memory` alone, without `xen,static-mem` and `direct-map`.",
    ),
    ("CONFIG_ARM64_SVE", "Build Xen with CONFIG_ARM64_SVE=y in its .config, or remove `sve`."),
    ("llc-colors", "Add `llc-coloring=on` to Xen's command line, or remove `llc-colors`."),
    ("direct-map is not valid", "Add `xen,static-mem` with the domain's RAM, or remove `direct-map`."),
    (
        "goes past the guest's first",
        "Use Xen 4.22.0 or newer (d6a6ea77e1), or cut `xen,static-mem` into banks that fit the guest's own banks of RAM.",
    ),
    ("doesn't match up with", "Set `memory` to the sum of `xen,static-mem`, in KiB."),
    ("guest banks", "Give the domain less static memory than the guest layout has room for."),
    ('cannot read "memory"', "Add `memory = <0x0 0x40000>;`: two cells, in KiB (256 MiB here)."),
    ("it has no RAM", "Set `memory` to the RAM that the domain is to have: two cells, in KiB."),
    ("no whole pages", "Round `memory` to whole pages of 4 KiB: {whole}"),
    ("leaves no page tables", "Remove `xen,domain-p2m-mem-mb`, or set it to the MiB of page tables that the domain needs."),
    ("vIRQ number", "Set `nr_spis` of the domain to the interrupt less 31 at least, or remove it."),
    (
        "domain memory",
        "Lower `memory` to what the host has left beside dom0 and the other domains, or lower `dom0_mem=`.",
    ),
    (
        "Missing kernel",
        'Add a kernel module to the domain: compatible = "multiboot,kernel", "multiboot,module", with reg.',
    ),
    (
        "Error getting IRQ",
        "Name a UART that Xen drives with `dtuart=` on Xen's command line or with `stdout-path` of /chosen.",
    ),
    (
        "too small",
        "Give the UART's node a reg of 4 KiB (0x1000) in the tree that Xen gets, name another UART, or remove `vpl011`.",
    ),
    (
        "xen,force-assign-without-iommu",
        "Boot Xen with an IOMMU that it drives, or set `xen,force-assign-without-iommu` at the device in the partial tree: "
        "its DMA then reaches all RAM, and finds its own only in a directly mapped domain (`direct-map`).",
    ),
    ("vpl011", "Name a UART that Xen drives with `dtuart=` or `stdout-path`, or remove `vpl011`."),
    ("its tree takes", "Lower `cpus`, or use Xen 4.22 or newer, whose buffer for the domain's tree is larger."),
    ("Invalid capabilities", "Clear the bits of `capabilities` that this release does not know."),
    (
        "requires iommu",
        "Enable an IOMMU that Xen drives, or map the domain directly (`direct-map` and `xen,static-mem`).",
    ),
    (
        "Don't specify passthrough",
        "Remove `passthrough` from the domain: the hardware domain has all devices anyway.",
    ),
    (
        "redistributors",
        "Lower `cpus` to what the host's redistributors serve, or leave out `direct-map`: a domain of the guest layout has "
        "room for 128.",
    ),
    ("static memory are incompatible", "Remove the domain's `xen,static-mem`, or `llc-coloring=` from Xen's command line."),
    ("domain-cpupool", "Let `domain-cpupool` name a node of /chosen that is a `xen,cpupool` with CPUs, or remove it."),
    ("v8r_el1_msa", "Remove `v8r_el1_msa` from the domain: it is for machines without an MMU."),
    ("CONFIG_SCMI_SMC", "Build Xen with CONFIG_SCMI_SMC=y in its .config, or remove `xen,sci_type`."),
    ("SCI configuration", 'Write `xen,sci_type = "none";` or `"scmi_smc"`, or remove it.'),
    ("trap-unmapped-accesses", "Set `trap-unmapped-accesses` to 0 or 1, or remove it."),
    ("xen,vcpu node", "Add `id`, the number of the domain's CPU, to the `xen,vcpu` node."),
    ("Invalid vcpu_id", "Set `id` of the `xen,vcpu` node below `cpus`: a domain's CPUs count from 0."),
    ("Invalid pCPU", "Let `hard-affinity` name CPUs of the host alone: they count from 0."),
    ("set hard affinity", "Let `hard-affinity` name at least one CPU that Xen uses."),
    ("first bank", "Raise `memory`, or load a smaller kernel or ramdisk: all of them go into the domain's first bank."),
    ("suitable location", "Raise `memory`, or load a smaller kernel or ramdisk: all go into the domain's first bank."),
    (
        "Xenstore support requires dom0",
        'Write `xen,enhanced = "no-xenstore";`, or load a kernel for dom0, which serves the xenstore.',
    ),
    ("Only 1 xenstore domain", "Leave the xenstore capability to one domain, and to none where there is a dom0 kernel."),
    ("nr_spis cannot", "Remove `nr_spis` from the domain."),
    ("incompatible with hardware", "Remove the multiboot,device-tree module from the domain."),
    (
        "Only 1 hardware domain",
        "Leave the hardware capability to one domain, and to none where there is a dom0 kernel.",
    ),
    ("direct-mapped", "Give `xen,shared-mem` the same host and guest address."),
    ("missing for", "Give nodes of the partial tree both `xen,reg` and `xen,path`, or neither."),
    ("nr_spis is", "Set `nr_spis` to what the message allows."),
    ("may have", "Set `cpus` to what the message allows."),
    ("max_grant_frames is 0", "Set `max_grant_frames` to 1 or more, or remove it: Xen then takes `gnttab_max_frames=`."),
    ("max_grant_version", "Set `max_grant_version` to 1, or remove it."),
    (" overflow", "Set the property that the message names to a number below 0x80000000."),
    ("Failed to allocate P2M pages", "{pool}"),
    (
        "allows 1 to",
        "Set `max_grant_frames` to what the message allows, or raise `gnttab_max_frames=` on Xen's command line.",
    ),
)
"""Words of Xen's line or of its cause, and what to do; the first that stand there."""


def domain_advice(domu: DomU, text: str) -> str:
    """Return what to do about one of Xen's lines with its cause; empty for the rule's own."""
    advice = next((advice for words, advice in _ADVICE if words in text), "")
    return advice.format(whole=_whole(domu), pool=_pool(domu)) if "{" in advice else advice


def _whole(domu: DomU) -> str:
    """Spell the next size of RAM that is whole pages."""
    kib = -(-(domu.size or 0) // _PAGE) * _PAGE // KIB
    return f"`memory = <{kib >> 32:#x} {kib & _CELL:#x}>;`."


def _pool(domu: DomU) -> str:
    """Say what makes the page tables smaller: what the domain asks for itself, or what Xen works them out from."""
    if domu.p2m_mb is None:
        return "Lower `memory` or `cpus`: Xen sets page tables apart for both, and the host has no room for them."
    usual = p2m_pool_mb(domu, _P2M_DEFAULT)
    return f"Lower `xen,domain-p2m-mem-mb` from {domu.p2m_mb}: {usual} is what Xen takes without it."
