"""What differs between releases of Xen, as behaviours; only the preset table knows version numbers.

All on arm64. Left out: Kconfig choices that a release leaves open (static shared memory, ACPI, PCI passthrough, cache
colouring), which stay at their defaults.
"""

import re
from typing import Final, NamedTuple

from dtanalyze.errors import UsageError
from dtanalyze.xen.drivers import NEW_IN_4_17, NEW_IN_4_18, NEW_IN_4_19, NEW_IN_4_20, NEW_IN_4_23

__all__ = ["NEWEST", "PRESETS", "XenProfile", "preset", "presets", "release_of"]


class XenProfile(NamedTuple):
    """One release's behaviour, by default that of master."""

    name: str
    nr_mem_banks: int = 256
    """NR_MEM_BANKS: 128 before 4.17."""
    rangeset_pages: bool = True
    """Rangesets count page frames, bytes before 4.18 (f37a59813979)."""
    last_page_start_is_end: bool = False
    """add_ext_regions takes the start of the last page for the end: 4.18 to 4.20, fixed by 9b21841fd1 (4.21)."""
    removal_extends_lower_range: bool = False
    """rangeset_remove_range gives back the gap in which a removal starts; fixed by e118fc98e7 (4.19.3, 4.20.1)."""
    domu_hypervisor: bool = True
    """dom0less domains get a /hypervisor node, from 4.17 (2a2447757b)."""
    domu_direct_map: bool = True
    """``direct-map`` places a dom0less domain's static memory 1:1, from 4.17; before, nobody reads it."""
    static_mem_needs_build: bool = True
    """``xen,static-mem`` in Xen built without CONFIG_STATIC_MEMORY ends the scan: master (e888192d13), and 4.20 as
    booted from Debian's package of 4.20.4, whose branch has it; before, the domain that wants it cannot be built."""
    static_shm: bool = True
    """Static shared memory exists, from 4.17 (in Xen built with CONFIG_STATIC_SHM, which is off by default)."""
    static_evtchn: bool = True
    """The tree may set up event channels between domains, from 4.17 (1fe16b3ed7)."""
    shm_without_host_address: bool = True
    """xen,shared-mem may leave out the host address, from 4.19 (1544d355b5)."""
    xenstore_needs_dom0: bool = False
    """A domain that wants xenstore panics Xen at once when there is no dom0, up to 4.20; then once all are built."""
    shm_excluded: bool = True
    """Static shared memory is kept out of the regions, from 4.19."""
    xen_reg_excluded: bool = True
    """Passed-through MMIO (xen,reg) is kept out of a guest's regions, from 4.21 (fba1b0974d, 3af8a6ed8e)."""
    memory_by_name_anywhere: bool = False
    """Any node called memory or memory@… at any depth is RAM, up to 4.19; then depth 1 with device_type."""
    reserved_overlap_checked: bool = True
    """Overlapping reserved regions are an error, from 4.18 (6f7d56ccd3)."""
    scan_error_panics: bool = True
    """An error while scanning the flat tree panics, from 4.19 (02d0a615b3); before, the scan stops without a word."""
    memreserve_is_reserved: bool = True
    """/memreserve/ entries count as reserved memory, from 4.19."""
    overlap_within_memreserve: bool = True
    """A reservation or module may lie inside a /memreserve/ entry, from 4.19.2 (6f7af8383f) and 4.20
    (a14593e399) on."""
    status_honoured: bool = True
    """Disabled memory and reserved-memory nodes are skipped, from 4.19 (c419d2dd35)."""
    pci_range_checked: bool = True
    """A PCI window that wraps or has no address is -ERANGE, from 4.18."""
    hwdom_uses_host_layout: bool = True
    """The hardware domain has the host's layout even when it is not direct-mapped, from 4.20."""
    domain_capabilities: bool = True
    """``capabilities`` make a domU the control, hardware or xenstore domain, from 4.21."""
    enhanced_legacy: bool = True
    """``xen,enhanced = "legacy"`` exists, from 4.21."""
    efi_drops_memory_nodes: bool = False
    """Booted through EFI, memory nodes are deleted first; fixed by 53701ecb8f (4.17)."""
    static_mem_own_cells: bool = False
    """xen,static-mem is cut by #xen,static-mem-address-cells and -size-cells, in 4.16 only."""
    ipa_bits_default: int | None = 48
    """CONFIG_PADDR_BITS and its predecessors; None: whatever the hardware has (4.16)."""
    gic_node_keeps_name: bool = True
    """dom0's GIC node is called as the host's (seen in 4.22), plain interrupt-controller up to 4.20."""
    boot_allocator_before_directmap: bool = True
    """All free RAM is in the boot allocator before any of it is mapped, from 4.17 (942eb0a831)."""
    numbers_loop: bool = False
    """A number has as many cells as it is said to, up to 4.20; of more than two only the first counts since c65ff27d71."""
    no_bootmem_bug: str = ""
    """Where alloc_boot_pages finds nothing to give, up to 4.17: what no RAM comes to before a frame table is limited."""
    domu_names_computed: bool = True
    """Nodes of a domU's tree are named by their addresses, from 4.17 (c4f2a96102, 3580c8b2df); before, the macros that say
    where they are give the name as C has it: ``interrupt-controller@0x03001000ULL``."""
    passthrough_without_iommu: bool = True
    """A domain with a partial tree is made where Xen has no IOMMU, from 4.17 (02d552627c)."""
    directmap_by_level: bool = True
    """The direct map uses entries of 1 GiB, 2 MiB and 4 KiB, from 4.17 (26a470875b); before, whole GiB only."""
    directmap_limited: bool = True
    """RAM beyond the 5 TiB of the direct map panics, from 4.21 (9fc76a2e35)."""
    frametable_limited: bool = True
    """A frame table above 32 GiB panics, from 4.18 (93017efd7c)."""
    frametable_by_groups: bool = True
    """The frame table leaves out holes in RAM, from 4.22 (10d417b8b6)."""
    static_heap: bool = True
    """``xen,static-heap`` names the only RAM that becomes heap, from 4.17 (4596329291)."""
    static_heap_keeps_modules: bool = True
    """With ``xen,static-heap`` the modules' RAM is not given to the heap, from 4.20 (4cde11cdae)."""
    llc_coloring: bool = True
    """``llc-coloring=on`` exists, from 4.20 (in Xen built with CONFIG_LLC_COLORING, which is off by default)."""
    hwdom_lowest_region_first: bool = True
    """A dom0 that is not 1:1 gets the lowest free regions, from 4.22 (de99f32635); before, the largest."""
    libxl_excludes_iomem: bool = True
    """libxl keeps iomem= out of a guest's regions, from 4.21 (108308feef)."""

    no_driver: frozenset[str] = frozenset({"fsl,imx8qm-lpuart"})
    """Compatibles of `drivers` that this release has no driver for; the i.MX 8QM's went with 2f85a6d9f5 (4.19)."""
    domains_called_d: bool = True
    """Lines about interrupts say ``d0``, from 4.18 (b8be19ce43); before, ``dom0``."""
    virq_is_invalid: bool = True
    """A virtual interrupt beyond the GIC is called invalid, from 4.21 (bdde400c6e); before, too high."""
    iommu_map_hidden: bool = True
    """What leads to the IOMMU is kept from dom0 at a host bridge with only iommu-map too, from 4.19 (a236b74b96)."""
    disabled_iommu_ends_it: bool = True
    """A device one of whose IOMMUs is disabled is behind none, from 4.21 (b8f43b71da)."""
    interrupt_map_failure_ignored: bool = False
    """A line of an interrupt-map that cannot be routed is no error, up to 4.17 (5b34e896a3)."""
    dom0less_nodes_skipped: bool = True
    """What /chosen says of dom0less domains and of the static heap is kept from dom0, from 4.18 (c6bda36af0, 290f82375d)."""
    redistributors_bounded: bool = True
    """A domain's GICv3 has no more redistributors than the host's, and a CPU without one is refused, from 4.20.4, 4.21.2 and
    4.22 on (961cc8cc0f, e3aa330017)."""
    unstarted_cpus_numbered: bool = False
    """A CPU that cannot be started takes a number; fixed by ccde3773c1 (4.20.4, 4.21.2, after 4.22.0)."""
    deep_nodes_hang: bool = False
    """A node 16 levels deep is scanned for ever; fixed by 3b717f57dc (4.20.4, 4.21.2, 4.22)."""
    bootmem_bug: str = "Xen BUG at common/page_alloc.c:308"
    """Where bootmem_region_add finds that RAM is there twice; the line moves from release to release."""
    double_free_bug: str = "Xen BUG at common/page_alloc.c:1532"
    """Where mark_page_free finds a page that is free already."""
    mapping_twice_refused: bool = True
    """RAM that is there twice cannot be entered into the direct map again, from 4.17 (26a470875b)."""
    no_interrupt_controller: str = "Unable to find compatible interrupt controller in the device tree"
    """What Xen says of a tree without one: ``GIC`` up to 4.19 (2e853c1920)."""
    timer_by_name: bool = True
    """The timer's interrupts are found by interrupt-names, from 4.18 (391f1e135f)."""
    timer_frequency_checked: bool = True
    """A timer of less than 1 kHz panics, from 4.18 (9a5bbb2d34)."""
    vtimer_bug: str = "Xen BUG at arch/arm/vtimer.c"
    """What Xen says when dom0 cannot have an interrupt of its timer, up to the line's number."""
    vtimer_bug_lines: tuple[int, int, int] = (81, 84, 87)
    """And that number, for the secure, the physical and the virtual timer."""
    timer_khz_rounded: bool = True
    """The timer's frequency is rounded to kHz, from 4.22 (986707b461); before, it is cut."""
    heap_pages: int = 43
    """Pages that Xen takes of the heap before dom0's RAM, beside those for the tree and for CPUs (`heap_use`)."""
    dom0_fdt_extra: int = 128 + 16 + 256 * 16
    """DOM0_FDT_EXTRA_SIZE, what the buffer of dom0's tree has beyond the host's, in bytes: 144 up to 4.21 (ad6f396a3f)."""
    uart_irq_checked: bool = True
    """A direct-mapped domain without a console UART is refused, from 4.18 (4c2f82d95e); before, nobody looks."""
    domu_grant_limits: bool = True
    """``max_grant_frames``, ``max_maptrack_frames`` and ``sve`` of a domain are read, from 4.18 (9c57a29737, 870394de44)."""
    dom0_sve: bool = True
    """``dom0=sve=`` is read, and refused by a Xen without CONFIG_ARM64_SVE, from 4.18 (f2095a51ac)."""
    domu_vcpu_nodes: bool = True
    """``xen,vcpu`` nodes of a domain say where its CPUs run, from 4.21 (29a9638fd4)."""
    domu_sci: bool = True
    """``xen,sci_type`` of a domain is read, from 4.21 (10e7473d60)."""
    domu_trap_switch: bool = True
    """``trap-unmapped-accesses`` of a domain is read, from 4.21 (5f91a9b209)."""
    domu_v8r_el1_msa: bool = True
    """``v8r_el1_msa`` of a domain is refused by Xen for machines with an MMU, from 4.22 (1afacf7b15)."""
    boot_cpupools: bool = True
    """``xen,cpupool`` nodes make pools of CPUs, from 4.17 (a6dc3b947c)."""
    passthrough_property: bool = True
    """``passthrough`` of a domain is read, from 4.19 (1d2b4f3049)."""
    passthrough_sticks: bool = False
    """A domain that asks for an IOMMU asks for all that follow too: 4.19 and 4.20."""
    static_memory_counted_whole: bool = True
    """A static range that goes on in the next guest bank counts whole, from 4.22 (d6a6ea77e1)."""
    shm_direct_map_checked: bool = True
    """Shared memory of a direct-mapped domain has to be mapped 1:1, from 4.19 (c56f1ef577)."""
    shm_in_memory_node: bool = True
    """A domain's memory node lists its static shared memory, from 4.19."""
    domu_redistributors_said: bool = True
    """A domain's GICv3 has #redistributor-regions, from 4.20 (3679ed232e)."""
    psci_before_cpus: bool = False
    """A domain's /psci stands before /cpus, its UART before /hypervisor, up to 4.20; then both stand last (43afe6f030)."""
    partial_tree_first: bool = True
    """A partial tree is copied before anything else is written, from 4.22 (a010efd323)."""
    partial_phandles_bounded: bool = True
    """A partial tree with a phandle from 64999 on is refused, from 4.22 (a010efd323)."""
    partial_gic_needs_phandle: bool = True
    """/gic of a partial tree counts only with a phandle, from 4.20 (081683ea57)."""
    domu_spis_bounded: bool = True
    """A domain without ``nr_spis`` has no more of them than Xen emulates, from 4.21 (6044c988c1)."""
    partial_errors_ignored_below: bool = False
    """What fails below /passthrough is printed and forgotten, up to 4.17 (f51c92383b)."""
    partial_size_added: bool = True
    """A domain's tree may be larger by the size of its partial tree, from 4.18 (d27d274ffa)."""
    xen_reg_cells_checked: bool = True
    """xen,reg in other cells than one or two is refused, from 4.20.4, 4.21.2 and 4.22 on (b83e1d9a1a)."""
    domu_tree_size: int = 2048 + 128 * 128
    """Bytes for a domain's tree: 4096 up to 4.21 (e80f4da85b)."""
    prints_rc: bool = True
    """A panic over a domain that cannot be built ends in its return code, from 4.18 (91c45cfbab)."""
    first_cpu_called: str = "d0v0"
    """What the panic over dom0's first CPU calls it: ``domain 0 vcpu0`` up to 4.20 (5104e05904)."""
    dom0_called: str = "d0"
    """What the panic over dom0 calls it: ``DOM0`` up to 4.20 (5104e05904)."""
    copies_to: str = ""
    """Whose memory a panic says that a module cannot be copied to: ``hwdom`` up to 4.20, then the domain's (23bb5f1a11)."""

    def gives_up(self, line: str, rc: int) -> str:
        """Return a panic's line as this release prints it, with the return code or without."""
        return f"{line} (rc = {rc})" if self.prints_rc else line


_MASTER: Final = XenProfile("master")
_4_22: Final = _MASTER._replace(
    name="4.22",
    unstarted_cpus_numbered=True,
    heap_pages=53,
    bootmem_bug="Xen BUG at common/page_alloc.c:309",
    double_free_bug="Xen BUG at common/page_alloc.c:1522",
    static_mem_needs_build=False,
    no_driver=_MASTER.no_driver | NEW_IN_4_23,
)
_4_21: Final = _4_22._replace(
    name="4.21",
    unstarted_cpus_numbered=False,
    double_free_bug="Xen BUG at common/page_alloc.c:1510",
    frametable_by_groups=False,
    hwdom_lowest_region_first=False,
    timer_khz_rounded=False,
    dom0_fdt_extra=144,
    static_memory_counted_whole=False,
    partial_tree_first=False,
    partial_phandles_bounded=False,
    domu_tree_size=4096,
    domu_v8r_el1_msa=False,
)
_4_20: Final = _4_21._replace(
    name="4.20",
    numbers_loop=True,
    static_mem_needs_build=True,
    bootmem_bug="Xen BUG at common/page_alloc.c:308",
    double_free_bug="Xen BUG at common/page_alloc.c:1480",
    directmap_limited=False,
    last_page_start_is_end=True,
    xen_reg_excluded=False,
    domain_capabilities=False,
    domu_vcpu_nodes=False,
    domu_sci=False,
    domu_trap_switch=False,
    enhanced_legacy=False,
    xenstore_needs_dom0=True,
    gic_node_keeps_name=False,
    libxl_excludes_iomem=False,
    first_cpu_called="domain 0 vcpu0",
    dom0_called="DOM0",
    copies_to="hwdom",
    virq_is_invalid=False,
    disabled_iommu_ends_it=False,
    passthrough_sticks=True,
    domu_spis_bounded=False,
    psci_before_cpus=True,
)
_4_19: Final = _4_20._replace(
    name="4.19",
    unstarted_cpus_numbered=True,
    deep_nodes_hang=True,
    static_mem_needs_build=False,
    bootmem_bug="Xen BUG at common/page_alloc.c:293",
    double_free_bug="Xen BUG at common/page_alloc.c:1443",
    no_driver=_4_20.no_driver | NEW_IN_4_20,
    redistributors_bounded=False,
    llc_coloring=False,
    static_heap_keeps_modules=False,
    no_interrupt_controller="Unable to find compatible GIC in the device tree",
    domu_redistributors_said=False,
    partial_gic_needs_phandle=False,
    xen_reg_cells_checked=False,
    memory_by_name_anywhere=True,
    hwdom_uses_host_layout=False,
)
_4_18: Final = _4_19._replace(
    name="4.18",
    heap_pages=70,
    iommu_map_hidden=False,
    overlap_within_memreserve=False,
    bootmem_bug="Xen BUG at common/page_alloc.c:292",
    double_free_bug="Xen BUG at common/page_alloc.c:1438",
    no_driver=_4_19.no_driver - {"fsl,imx8qm-lpuart"} | NEW_IN_4_19,
    removal_extends_lower_range=True,
    shm_excluded=False,
    shm_without_host_address=False,
    shm_direct_map_checked=False,
    shm_in_memory_node=False,
    passthrough_property=False,
    passthrough_sticks=False,
    scan_error_panics=False,
    memreserve_is_reserved=False,
    status_honoured=False,
)
_4_17: Final = _4_18._replace(
    name="4.17",
    bootmem_bug="Xen BUG at common/page_alloc.c:285",
    double_free_bug="Xen BUG at common/page_alloc.c:1423",
    no_bootmem_bug="Xen BUG at common/page_alloc.c:406",
    no_driver=_4_18.no_driver | NEW_IN_4_18,
    prints_rc=False,
    domains_called_d=False,
    interrupt_map_failure_ignored=True,
    uart_irq_checked=False,
    dom0_sve=False,
    domu_grant_limits=False,
    partial_errors_ignored_below=True,
    partial_size_added=False,
    dom0less_nodes_skipped=False,
    frametable_limited=False,
    timer_by_name=False,
    vtimer_bug_lines=(77, 80, 83),
    timer_frequency_checked=False,
    rangeset_pages=False,
    last_page_start_is_end=False,
    reserved_overlap_checked=False,
    pci_range_checked=False,
)
_4_16: Final = _4_17._replace(
    name="4.16",
    mapping_twice_refused=False,
    bootmem_bug="Xen BUG at page_alloc.c:281",
    double_free_bug="Xen BUG at page_alloc.c:1419",
    vtimer_bug="Xen BUG at vtimer.c",
    no_bootmem_bug="Xen BUG at page_alloc.c:402",
    no_driver=_4_17.no_driver | NEW_IN_4_17,
    boot_allocator_before_directmap=False,
    directmap_by_level=False,
    static_heap=False,
    boot_cpupools=False,
    nr_mem_banks=128,
    domu_hypervisor=False,
    domu_direct_map=False,
    static_shm=False,
    static_evtchn=False,
    efi_drops_memory_nodes=True,
    static_mem_own_cells=True,
    ipa_bits_default=None,
    domu_names_computed=False,
    passthrough_without_iommu=False,
)

_NOT_YET: Final[dict[str, object]] = {
    "deep_nodes_hang": True,
    "redistributors_bounded": False,
    "unstarted_cpus_numbered": True,
    "xen_reg_cells_checked": False,
}
"""What 4.20.4 and 4.21.2 were the first to fix."""
_BEFORE_POINT: Final[dict[str, tuple[tuple[int, dict[str, object]], ...]]] = {
    "4.19": ((3, {"removal_extends_lower_range": True}), (2, {"overlap_within_memreserve": False})),
    "4.20": (
        (4, _NOT_YET | {"double_free_bug": "Xen BUG at common/page_alloc.c:1473"}),
        (1, {"removal_extends_lower_range": True}),
    ),
    "4.21": (
        (2, _NOT_YET | {"double_free_bug": "Xen BUG at common/page_alloc.c:1503"}),
        (1, {"double_free_bug": "Xen BUG at common/page_alloc.c:1502"}),
    ),
}
"""What changed in a point release, and how it was before, the newest first: a bare minor means its latest."""


def _point(minor: XenProfile, point: int) -> XenProfile:
    """Return a point release of ``minor``."""
    found = minor._replace(name=f"{minor.name}.{point}")
    for fixed_in, before in _BEFORE_POINT.get(minor.name, ()):
        found = found._replace(**before) if point < fixed_in else found  # type: ignore[arg-type]
    return found


PRESETS: Final[dict[str, XenProfile]] = {
    "4.16": _4_16,
    "4.17": _4_17,
    "4.18": _4_18,
    "4.19.2": _point(_4_19, 2),
    "4.19": _4_19,
    "4.20.0": _point(_4_20, 0),
    "4.20": _4_20,
    "4.21": _4_21,
    "4.22": _4_22,
    "master": _MASTER,
}
"""Releases, oldest first: a bare minor means its latest point release; points stand where behaviour changed."""

NEWEST: Final = "4.22"
_POINT: Final = re.compile(r"(\d+\.\d+)\.(\d+)")


def presets(names: str) -> tuple[XenProfile, ...]:
    """Return the releases that a comma list names, each once, or ``all``; raise `UsageError` when one is none."""
    listed = dict.fromkeys(name.strip() for name in names.split(","))
    return tuple(PRESETS.values()) if names == "all" else tuple(map(preset, listed))


def preset(name: str) -> XenProfile:
    """Return the release called ``name``, any point release included; raise `UsageError` when there is none."""
    found = PRESETS.get(name)
    point = _POINT.fullmatch(name)
    if found is None and point and point[1] in PRESETS:
        found = _point(PRESETS[point[1]], int(point[2]))
    if found is None:
        raise UsageError(f"no Xen release is called '{name}'; there are {', '.join(PRESETS)} and their point releases")
    return found


def release_of(version: str | None) -> XenProfile:
    """Return the release that a boot log names; one newer than all known is taken for master, none for the newest.

    Raises `UsageError` for one that is older.
    """
    numbers, newest, oldest = (
        [int(part) for part in name.split(".")[:2]] for name in (version or NEWEST, NEWEST, next(iter(PRESETS)))
    )
    if numbers < oldest:
        first = next(iter(PRESETS))
        raise UsageError(f"Xen {version} is older than {first}, the oldest release known here: --xen {first} is the nearest")
    return preset("master" if numbers > newest else version or NEWEST)
