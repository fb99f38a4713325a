"""Rules about dom0's RAM, and about the regions that it leaves."""

from typing import Final

from dtanalyze.address.range import AddressRange
from dtanalyze.address.units import format_range, format_size
from dtanalyze.findings import Severity, Source
from dtanalyze.rules.examples import IOMMU_ON, host, host_with_whole_holes
from dtanalyze.rules.model import HOST, Example, Hit, Hits, Rule, rule
from dtanalyze.rules.view import HostView, property_offset

__all__ = ["DOM0_MEMORY"]

_UNALLOCATED: Final = Source("Xen", "xen/arch/arm/domain_build.c", "find_unallocated_memory", "4.16 to 4.22")


@rule(
    "X42",
    "no-ram-left-for-regions",
    Severity.WARNING,
    HOST,
    what="Without an IOMMU Xen makes regions of unused RAM only, and the domain and reservations take all of it.",
    why="Xen finds no region (-ENOENT) and dom0 gets the grant table only. Each mapping then costs dom0 a page of RAM.",
    advice="Lower `dom0_mem=` on Xen's command line until 64 MiB, better 128 MiB, stay free in one piece.",
    sources=(_UNALLOCATED,),
    bad=Example(
        host(
            memory='memory@40000000 { device_type = "memory"; reg = <0 0x40000000 0 0x2000000 0 0x60000000 0 0x22000000>; };'
        )
    ),
    good=Example(host()),
)
def no_ram_left_for_regions(view: HostView) -> Hits:
    found = view.prediction
    if (
        found.method != "unallocated"
        or found.regions.error != "ENOENT"
        or not found.info.mem
        or found.stopped_by is not None
    ):
        return
    total = sum(bank.size for bank in found.info.mem)
    own = sum(item.size for item in found.memory)
    yield Hit(
        f"{format_size(own)} of {format_size(total)} go to {found.domain}, and what is left gives no extended region",
        view.prediction.info.mem[0].node or None,
        tuple(AddressRange(bank.start, bank.size) for bank in found.info.mem),
        None,
    )


@rule(
    "X43",
    "regions-cut-at-bank-limit",
    Severity.INFO,
    HOST,
    what="The host has more holes than Xen has banks for.",
    why="Xen stops at NR_MEM_BANKS (128 before 4.17, then 256) without a message, and does not offer the space above.",
    advice="Leave it so, unless a mapping needs the space above.",
    sources=(Source("Xen", "xen/arch/arm/domain_build.c", "add_ext_regions", "4.16 to 4.22"),),
    bad=Example(
        host("".join(f"d{at}@{at:x}00000000 {{ reg = <{at:#x} 0x0 0x0 0x1000>; }};" for at in range(1, 140))),
        xen="4.16",
        asks=IOMMU_ON,
    ),
    good=Example(host_with_whole_holes(), xen="4.16", asks=IOMMU_ON),
)
def regions_cut_at_bank_limit(view: HostView) -> Hits:
    count = len(view.prediction.regions.ranges)
    if count >= view.xen.nr_mem_banks:
        yield Hit(f"Xen {view.xen.name} stops after {count} extended regions, and does not offer the holes above", None)


@rule(
    "X45",
    "ram-offered-as-scratch",
    Severity.ERROR,
    HOST,
    what="Xen 4.16 is booted through EFI with an IOMMU on.",
    why="Xen deletes the memory nodes before it looks for holes. It then offers RAM, dom0's own included, as unused space.",
    advice="Use Xen 4.17 or newer (53701ecb8f).",
    sources=(Source("Xen", "xen/arch/arm/efi/efi-boot.h", "fdt_add_uefi_nodes", "4.16, fixed by 53701ecb8f"),),
    bad=Example(host_with_whole_holes(), xen="4.16", asks=("--iommu", "on", "--efi")),
    good=Example(host_with_whole_holes(), xen="4.16", asks=IOMMU_ON),  # the fault is Xen's: it shows when EFI starts it
)
def ram_offered_as_scratch(view: HostView) -> Hits:
    if not (view.first and view.options.efi and view.xen.efi_drops_memory_nodes and view.looks_for_holes):
        return
    for bank in view.prediction.info.mem:
        span = AddressRange(bank.start, bank.size)
        for region in view.prediction.regions.ranges:
            if region.overlaps(span):
                yield Hit(
                    f"extended region [{format_range(region.start, region.stop)}] covers RAM of {bank.node} "
                    f"[{format_range(span.start, span.stop)}]",
                    bank.node,
                    (region, span),
                )


@rule(
    "B03",
    "dom0-memory-does-not-fit",
    Severity.ERROR,
    HOST,
    what="Xen cannot place dom0's RAM.",
    why="Xen gives dom0 pieces of at least 64 MiB of the host's RAM, and panics if the pieces do not add up.",
    advice="Lower `dom0_mem=` on Xen's command line. If a boot loader fills in the memory node, pass the real RAM with "
    "--memory.",
    sources=(Source("Xen", "xen/arch/arm/domain_build.c", "allocate_memory_11", "4.16 to 4.22"),),
    bad=Example(host(chosen='xen,xen-bootargs = "dom0_mem=4G";')),
    good=Example(host(chosen='xen,xen-bootargs = "dom0_mem=1G";')),
)
def dom0_memory_does_not_fit(view: HostView) -> Hits:
    stop = view.prediction.stopped_by
    if view.first and stop is not None and stop.stage == "dom0-memory":
        banks = tuple(AddressRange(bank.start, bank.size) for bank in view.prediction.info.mem)
        yield Hit(stop.message, view.prediction.info.mem[0].node or None, banks)


_LOADED: Final = (
    'module@48000000 {{ compatible = "multiboot,kernel", "multiboot,module"; reg = <0x0 0x48000000 0x0 0x1000000>; }}; '
    'module@4a000000 {{ compatible = "multiboot,ramdisk", "multiboot,module"; reg = <0x0 0x4a000000 0x0 {size}>; }};'
)


@rule(
    "B06",
    "first-bank-too-small",
    Severity.ERROR,
    HOST,
    what="Kernel, ramdisk and tree do not fit into dom0's first bank of RAM.",
    why="Xen copies all three into the first bank, whatever the others have room for, and panics when they do not fit.",
    advice="Set a larger `dom0_mem=` on Xen's command line, so that the first bank holds all three. Or load a smaller "
    "ramdisk.",
    sources=(Source("Xen", "xen/arch/arm/kernel.c", "place_modules", "4.16 to 4.22"),),
    bad=Example(host(chosen=_LOADED.format(size="0x14000000")), asks=("--dom0-mem", "256M")),
    good=Example(host(chosen=_LOADED.format(size="0x1000000")), asks=("--dom0-mem", "256M")),
)
def first_bank_too_small(view: HostView) -> Hits:
    stop, memory = view.prediction.stopped_by, view.prediction.memory
    if view.first and stop is not None and stop.stage == "dom0-modules" and "first bank" in stop.text and memory:
        node = view.board.tree.find(stop.node) if stop.node else None
        yield Hit(stop.text, stop.node, memory[:1], property_offset(node) if node is not None else None)


DOM0_MEMORY: Final[tuple[Rule, ...]] = (
    no_ram_left_for_regions,
    regions_cut_at_bank_limit,
    ram_offered_as_scratch,
    dom0_memory_does_not_fit,
    first_bank_too_small,
)
