"""Rules about the domains that /chosen describes."""

from typing import Final

from dtanalyze.address.range import AddressRange
from dtanalyze.address.units import MIB, format_range, format_size
from dtanalyze.devicetree.cells import CellCounts, inherited_cells
from dtanalyze.devicetree.tree import Node
from dtanalyze.findings import Severity, Source
from dtanalyze.rules.cures.domains import domain_cures, memory_cures, p2m_cure, p2m_pool_mb, static_cures, xenstore_cure
from dtanalyze.rules.domain_advice import domain_advice
from dtanalyze.rules.examples import host
from dtanalyze.rules.model import HOST, Example, Hit, Hits, Rule, rule
from dtanalyze.rules.view import HostView, property_offset
from dtanalyze.xen.domain_build import GUEST_GNTTAB

__all__ = ["DOM0LESS"]

_P2M_DEFAULT: Final = 256 * MIB
_CREATE: Final = Source("Xen", "xen/common/device-tree/dom0less-build.c", "create_domUs, construct_domU", "4.17 to 4.22")
_SHM: Final = Source("Xen", "xen/common/device-tree/bootfdt.c", "process_shm_node", "4.17 to 4.22")
_GUEST: Final = (
    'guest {{ compatible = "xen,domain"; #address-cells = <2>; #size-cells = <2>; {properties} {children} '
    'module@4a000000 {{ compatible = "multiboot,kernel", "multiboot,module"; reg = <0x0 0x4a000000 0x0 0x1000000>; }}; }};'
)
_PLAIN: Final = "memory = <0x0 0x40000>; cpus = <1>;"
_ENHANCED: Final = _PLAIN + ' xen,enhanced = "no-xenstore";'


def _guest(properties: str = _ENHANCED, children: str = "") -> str:
    return _GUEST.format(properties=properties, children=children)


@rule(
    "D05",
    "domain-cannot-be-built",
    Severity.ERROR,
    HOST,
    what="Xen cannot build a domain of /chosen: its cpus, memory, kernel or RAM are missing or more than the host has.",
    why="Xen panics, and no domain runs.",
    advice="Give the domain's node cpus (at most 8 with a GICv2), memory (KiB in two cells), a kernel module, and no more "
    "RAM than the host has.",
    sources=(_CREATE,),
    bad=Example(host(chosen=_guest("memory = <0x0 0x40000>;"))),
    good=Example(host(chosen=_guest())),
)
def domain_cannot_be_built(view: HostView) -> Hits:
    stop = view.prediction.stopped_by
    if not view.first or stop is None:
        return
    for domu in view.domus:
        if domu.node.path == stop.domain:
            advice, cures = domain_advice(domu, stop.text), tuple(domain_cures(view, domu, stop.text))
            yield Hit(f"{domu.node.path}: {stop.text}", domu.node.path, (), domu.node.offset, None, advice, cures)
            return


_XENSTORE: Final = ("At the moment, Xenstore support", "xenstore requested")


@rule(
    "D06",
    "domain-not-enhanced",
    Severity.WARNING,
    HOST,
    what="xen,enhanced has a value that this release does not know.",
    why="Xen gives the domain no /hypervisor node: no grants, no extended regions, no Xen drivers.",
    advice='Write `xen,enhanced = "enabled";` or `"no-xenstore"` (or `"legacy"` from Xen 4.21 on). Remove the property if '
    "the domain is to be without Xen drivers.",
    sources=(_CREATE,),
    bad=Example(host(chosen=_guest(_PLAIN + ' xen,enhanced = "yes";'))),
    good=Example(host(chosen=_guest())),
)
def domain_not_enhanced(view: HostView) -> Hits:
    domu = view.domu
    prop = domu.node.prop("xen,enhanced") if domu is not None else None
    if domu is not None and prop is not None and not domu.enhanced and prop.string != "disabled":
        text = f'{domu.node.path}: Xen {view.xen.name} does not know xen,enhanced = "{prop.string}"'
        yield Hit(text, domu.node.path, (), prop.offset, cures=(xenstore_cure(domu),))


@rule(
    "D07",
    "static-memory-misread",
    Severity.ERROR,
    HOST,
    what="xen,static-mem does not fit the cells that this release reads it with, or overlaps a reservation.",
    why="Xen 4.16 cuts it by #xen,static-mem-address-cells and -size-cells, later releases by the cells of /chosen. If it "
    "does not fit, Xen ends its scan of the tree, and panics from 4.19 on.",
    advice="Write both pairs of cells alike, and choose a range that overlaps no reservation and no module; where there are "
    "too many ranges, join those that touch.",
    sources=(Source("Xen", "xen/common/device-tree/bootfdt.c", "process_domain_node", "4.16 to 4.22"),),
    bad=Example(host(chosen=_guest(_ENHANCED + " xen,static-mem = <0x60000000 0x10000000 0x0>;"))),
    good=Example(host(chosen=_guest(_ENHANCED + " xen,static-mem = <0x0 0x60000000 0x0 0x10000000>;"))),
)
def static_memory_misread(view: HostView) -> Hits:
    info = view.prediction.info
    for domu in view.domus if view.first else ():
        prop = domu.node.prop("xen,static-mem")
        if prop is None or domu.node.parent is None:
            continue
        counts = inherited_cells(domu.node.parent, CellCounts(2, 1))
        if view.xen.static_mem_own_cells:
            counts = CellCounts(*(_u32(domu.node, f"#xen,static-mem-{name}-cells") for name in ("address", "size")))
        width = 4 * (counts.address + counts.size)
        if not counts.address or not counts.size or len(prop.value) % width:
            text = f"has {len(prop.value)} bytes, and each range takes {width} ({counts.address}+{counts.size} cells)"
        elif info.stopped_at == domu.node.path and len(info.reserved_mem) >= view.xen.nr_mem_banks:
            text = f"is more than Xen has room for: {view.xen.nr_mem_banks} reserved ranges, with the others of the tree"
        elif info.stopped_at == domu.node.path and info.said is None:
            text = "overlaps a reservation or a module"
        else:
            continue
        cures = tuple(static_cures(domu, counts, own_cells=view.xen.static_mem_own_cells))
        yield Hit(f"{domu.node.path}: xen,static-mem {text}", domu.node.path, (), prop.offset, cures=cures)


def _u32(node: Node, name: str) -> int:
    prop = node.prop(name)
    return (prop.u32 or 0) if prop is not None else 0


_SHM_NODE: Final = (
    'shm@70000000 {{ compatible = "xen,domain-shared-memory-v1"; xen,shm-id = "{name}"; '
    "xen,shared-mem = <0x0 0x70000000 0x0 {guest} 0x0 0x1000000>; }};"
)


@rule(
    "D08",
    "shared-memory-refused",
    Severity.ERROR,
    HOST,
    what="Static shared memory is described wrongly, or lies where Xen makes extended regions.",
    why="Xen ends its scan of the tree at a wrong length, an address off 4 KiB, an id of 16 or more characters, or one id "
    "for two ranges; 4.19 and newer panic. Xen up to 4.18 makes a guest's regions without a look at shared memory, and "
    "scratch pages land on it.",
    advice="Correct `xen,shared-mem` or `xen,shm-id` of the node, or build Xen with CONFIG_STATIC_SHM=y if it is built "
    "without. With Xen 4.18 and older choose a guest address outside the regions.",
    sources=(_SHM,),
    bad=Example(host(chosen=_guest(children=_SHM_NODE.format(name="a-name-that-is-too-long", guest="0x30000000")))),
    good=Example(host(chosen=_guest(children=_SHM_NODE.format(name="a", guest="0x30000000")))),
)
def shared_memory_refused(view: HostView) -> Hits:
    info = view.prediction.info
    node = view.board.tree.find(info.stopped_at) if view.first and info.stopped_at is not None else None
    if node is not None and node.is_compatible("xen,domain-shared-memory-v1"):
        built = view.options.build.has("STATIC_SHM")
        why = "" if built else ": it is built without CONFIG_STATIC_SHM, and its scan of the tree ends there"
        yield Hit(f"Xen {view.xen.name} refuses {node.path}{why}", node.path, (), property_offset(node, "xen,shared-mem"))
    domu = view.domu
    for shared in domu.shared if domu is not None else ():
        for region in view.prediction.regions.ranges:
            if domu is not None and region.overlaps(shared):
                yield Hit(
                    f"extended region [{format_range(region.start, region.stop)}] of {domu.node.path} covers its shared "
                    f"memory [{format_range(shared.start, shared.stop)}]",
                    domu.node.path,
                    (region, shared),
                    domu.node.offset,
                )


_LOW_RAM: Final = 'memory@30000000 { device_type = "memory"; reg = <0x0 0x30000000 0x0 0x80000000>; };'
_DIRECT: Final = _ENHANCED + " direct-map; xen,static-mem = <0x0 0x60000000 0x0 0x10000000>;"


@rule(
    "D09",
    "direct-map-grant-table-collides",
    Severity.ERROR,
    HOST,
    what="A direct-mapped domain's grant table, at 0x38000000, lies in the domain's own RAM or in one of its regions.",
    why="Xen places the grant table by the guest layout, and everything else of the domain where the host has it. Without "
    "an IOMMU Xen cuts the table out of the regions. In the search for holes it does not.",
    advice="Move `xen,static-mem` away from 0x38000000, or remove `xen,enhanced`.",
    sources=(Source("Xen", "xen/common/device-tree/dom0less-build.c", "make_hypervisor_node", "4.17 to 4.22"),),
    bad=Example(host(chosen=_guest(_DIRECT.replace("0x60000000", "0x34000000")), memory=_LOW_RAM)),
    good=Example(host(chosen=_guest(_DIRECT))),
)
def direct_map_grant_table_collides(view: HostView) -> Hits:
    domu = view.domu
    if domu is None or not (domu.direct_map and domu.enhanced):
        return
    for bank in domu.memory:
        if bank.overlaps(GUEST_GNTTAB):
            yield _grant_hit(domu.node, bank, "its RAM")
    for region in view.prediction.regions.ranges:
        if region.overlaps(GUEST_GNTTAB):
            yield _grant_hit(domu.node, region, "an extended region")


def _grant_hit(node: Node, span: AddressRange, what: str) -> Hit:
    return Hit(
        f"the grant table of {node.path} [{format_range(GUEST_GNTTAB.start, GUEST_GNTTAB.stop)}] lies in {what} "
        f"[{format_range(span.start, span.stop)}]",
        node.path,
        (GUEST_GNTTAB, span),
        node.offset,
    )


@rule(
    "D11",
    "p2m-pool-too-small",
    Severity.WARNING,
    HOST,
    what="A domain is to map more than 256 MiB, and nothing sizes its P2M pool.",
    why="Each 2 MiB of scratch space takes a page of page tables. The default pool holds 128 of them, and mappings beyond "
    "fail.",
    advice="Set `xen,domain-p2m-mem-mb` of the domain to at least 1 for each 512 MiB that it maps, on top of the default.",
    sources=(Source("Xen", "xen/common/device-tree/dom0less-build.c", "domain_p2m_pages", "4.17 to 4.22"),),
    bad=Example(host(chosen=_guest()), asks=("--need", "512M")),
    good=Example(host(chosen=_guest(_ENHANCED + " xen,domain-p2m-mem-mb = <16>;")), asks=("--need", "512M")),
)
def p2m_pool_too_small(view: HostView) -> Hits:
    domu = view.domu
    pages = max([*view.requests, view.need or 0])
    planned = pages * view.linux.page_size
    if domu is not None and domu.enhanced and domu.p2m_mb is None and planned > _P2M_DEFAULT:
        yield Hit(
            f"{domu.node.path} is to map {format_size(planned)}, its default P2M pool holds tables for "
            f"{format_size(_P2M_DEFAULT)}",
            domu.node.path,
            (),
            domu.node.offset,
            advice=f"Set `xen,domain-p2m-mem-mb = <{p2m_pool_mb(domu, planned)}>;` in the domain's node: 1 MiB for each "
            "vCPU, and a page for each MiB of RAM and each 2 MiB that it maps.",
            cures=(p2m_cure(domu, planned),),
        )


@rule(
    "D12",
    "guest-layout-full",
    Severity.WARNING,
    HOST,
    what="A domain's RAM fills the lower bank of the guest layout, and the upper bank is out of reach.",
    why="Xen makes regions of what is free behind the RAM in each bank; less than 64 MiB gives none. With 33 or fewer bits "
    "of guest addresses the second bank, at 8 GiB, does not exist.",
    advice="Lower `memory` of the domain until 64 MiB, better 128 MiB, stay free below 4 GiB.",
    sources=(Source("Xen", "xen/arch/arm/domain_build.c", "find_domU_holes", "4.17 to 4.22"),),
    bad=Example(
        host(
            chosen=_guest('memory = <0x0 0x2f8000>; cpus = <1>; xen,enhanced = "no-xenstore";'),
            memory='memory@40000000 { device_type = "memory"; reg = <0x0 0x40000000 0x1 0x0>; };',
        ),
        asks=("--ipa-bits", "33"),
    ),
    good=Example(host(chosen=_guest()), asks=("--ipa-bits", "33")),
)
def guest_layout_full(view: HostView) -> Hits:
    domu, found = view.domu, view.prediction
    if domu is not None and found.method == "guest-layout" and not found.regions.ranges and found.stopped_by is None:
        size = format_size(sum(item.size for item in found.memory))
        text = f"{domu.node.path} with {size} of RAM leaves no room for an extended region"
        at = property_offset(domu.node, "memory")
        yield Hit(text, domu.node.path, found.memory, at, cures=() if domu.static else tuple(memory_cures(domu)))


@rule(
    "D13",
    "xenstore-without-server",
    Severity.WARNING,
    HOST,
    what="A domain wants xenstore, and neither dom0 nor a xenstore domain serves it.",
    why='Xen panics: "Xenstore support requires dom0 to be present" up to 4.20, "xenstore requested, but xenstore domain '
    'not present" from 4.21 on. V-no-boot reports the stop as an error of its own.',
    advice='Write `xen,enhanced = "no-xenstore";`, or add a dom0 kernel. From Xen 4.21 on a domain with the xenstore '
    "capability serves too.",
    sources=(_CREATE,),
    bad=Example(host(chosen=_guest(_PLAIN + " xen,enhanced;"))),
    good=Example(host(chosen=_guest())),
)
def xenstore_without_server(view: HostView) -> Hits:
    stop = view.prediction.stopped_by
    if not view.first or stop is None or not stop.message.startswith(_XENSTORE):
        return
    for domu in view.domus:
        if domu.xenstore:
            at = property_offset(domu.node, "xen,enhanced")
            yield Hit(f"{domu.node.path}: {stop.text}", domu.node.path, (), at, cures=(xenstore_cure(domu),))


DOM0LESS: Final[tuple[Rule, ...]] = (
    domain_cannot_be_built,
    domain_not_enhanced,
    static_memory_misread,
    shared_memory_refused,
    direct_map_grant_table_collides,
    p2m_pool_too_small,
    guest_layout_full,
    xenstore_without_server,
)
