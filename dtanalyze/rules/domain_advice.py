"""What to do about each line with which Xen gives up a domain of /chosen: the property, the option or the build."""

from __future__ import annotations

from typing import Final

__all__ = ["domain_advice"]

_ADVICE: Final = (
    ("is not all RAM", "Correct `xen,static-mem`: all of it has to be RAM of the host."),
    (
        "outside the RAM",
        "Load the module into RAM, or correct its reg. If there is RAM, list it in a memory node.",
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
    ("nr_spis cannot", "Remove `nr_spis` from the domain."),
    ("incompatible with hardware", "Remove the multiboot,device-tree module from the domain."),
    (
        "Only 1 hardware domain",
        "Leave the hardware capability to one domain, and to none where there is a dom0 kernel.",
    ),
    ("direct-mapped", "Give `xen,shared-mem` the same host and guest address."),
    ("missing for", "Give nodes of the partial tree both `xen,reg` and `xen,path`, or neither."),
    ("may have", "Set `cpus` or `nr_spis` to what the message allows."),
    (
        "allows 1 to",
        "Set `max_grant_frames` to what the message allows, or raise `gnttab_max_frames=` on Xen's command line.",
    ),
)
"""Words of Xen's line or of its cause, and what to do; the first that stand there."""


def domain_advice(text: str) -> str:
    """Return what to do about one of Xen's lines; empty for the rule's own."""
    return next((advice for words, advice in _ADVICE if words in text), "")
