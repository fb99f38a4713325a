"""How Xen boots: every stage that can refuse, in the order in which they run.

Mirrors start_xen (arch/arm/setup.c), create_dom0 and construct_dom0 (arch/arm/domain_build.c) and create_domUs
(arch/arm/dom0less-build.c, from 4.21 common/device-tree/dom0less-build.c) as a list. What a stage decides stands in the
mirror that it names; here is only in which order they are asked, and with what.
"""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from dtanalyze.address.units import format_size
from dtanalyze.board.architecture import RISCV
from dtanalyze.devicetree.blob import parse
from dtanalyze.xen.arch_timer import init_xen_time, preinit_xen_time
from dtanalyze.xen.boot import Boot
from dtanalyze.xen.boot_cpupool import cpupool_init
from dtanalyze.xen.bootfdt import Bank, dom0_modules_of
from dtanalyze.xen.device import mapped_pages
from dtanalyze.xen.dom0less_build import create_domUs
from dtanalyze.xen.early_fdt_map import early_fdt_map
from dtanalyze.xen.efi_stub import efi_start
from dtanalyze.xen.fdt_sw import INITRD_SIZE, bytes_needed
from dtanalyze.xen.gic import gic_init, gic_preinit
from dtanalyze.xen.hypervisor_node import dom0_regions, domu_regions
from dtanalyze.xen.iommu import iommu_setup
from dtanalyze.xen.kernel import (
    Mapped,
    copied_into_a_hole,
    discard_initial_modules,
    dom0_modules,
    dom0_ramdisk,
    kernel_probe,
)
from dtanalyze.xen.page_alloc import XenBug
from dtanalyze.xen.platforms import platform_init
from dtanalyze.xen.regions import Regions
from dtanalyze.xen.smpboot import make_cpus_node
from dtanalyze.xen.stage import Open, Outcome, Passed, Stage, Stop
from dtanalyze.xen.static_evtchn import alloc_static_evtchn
from dtanalyze.xen.sve import parse_arch_dom0_param
from dtanalyze.xen.vgic import vgic_max_vcpus

__all__ = ["STAGES", "Run", "open_questions", "reach", "stages_of", "start_xen"]


_LESS: Final = 64
"""Bytes that a tree in our spelling may be smaller than in Xen's, whose header is padded: near the end, its are counted."""
_PADDR_END: Final = 1 << 48
_DATA_ABORT: Final = "CPU0: Unexpected Trap: Data Abort"


class Run(NamedTuple):
    """The stages that ran, each with its outcome; the last is the one that refuses, if one does."""

    stages: tuple[tuple[Stage, Outcome], ...]

    @property
    def stop(self) -> Stop | None:
        """What stops Xen, if something does."""
        last = self.stages[-1][1] if self.stages else None
        return last if isinstance(last, Stop) else None


def start_xen(boot: Boot) -> Run:
    """Run the stages until one refuses."""
    return Run(tuple(_until_stop(boot)) if boot.arch != RISCV else ())


def open_questions(run: Run) -> tuple[str, ...]:
    """Return what no stage could tell, each with what would."""
    return tuple(
        f"{stage.name}: {outcome.because} (settled by {outcome.settled_by})"
        for stage, outcome in run.stages
        if isinstance(outcome, Open) and outcome.settled_by
    )


def reach(boot: Boot, run: Run) -> str:
    """Say how much was looked at."""
    words = boot.words
    read = sum(word.standing in ("modelled", "harmless") for word in words)
    domains = len(boot.domus) + boot.has_dom0
    return (
        f"looked at: stages {len(run.stages)} of {len(stages_of(boot))}, nodes {boot.node_count}, domains {domains}, "
        f"options of Xen's line {read} of {len(words)}"
    )


def _until_stop(boot: Boot) -> Iterator[tuple[Stage, Outcome]]:
    for stage in stages_of(boot):
        outcome = stage.run(boot)
        yield stage, outcome
        if isinstance(outcome, Stop):
            return


def _boot_scan(boot: Boot) -> Outcome:
    info = boot.info
    if info.hangs_at is not None:
        line = f"Warning: device tree node `{info.hangs_at.rpartition('/')[2]}' is nested too deep"
        because = f"{info.hangs_at} is 16 levels deep, and Xen comes back to it for ever"
        return Stop("boot-scan", (line,), because, info.hangs_at, silent=True)
    if info.panic is not None:
        lines = (info.panic,) if info.said is None else (info.said, info.panic)
        because = f"at {info.stopped_at}" if info.stopped_at else ""
        if info.said is not None:
            because += f": {boot.build.name} is without it"
        return Stop("boot-scan", lines, because, info.stopped_at, silent=True)
    if info.stopped_at is not None and not info.mem:
        if _ram_may_come_first(boot, info.stopped_at):
            because = f"the scan ends at {info.stopped_at} without a word; RAM that a boot loader fills in is seen before it"
            return Open(because, "--memory")
        because = f"the scan of the tree ends at {info.stopped_at} without a word, and no RAM is seen"
        return Stop("boot-scan", (), because, info.stopped_at)
    wrapping = next((bank.node for bank in info.mem if bank.wraps and bank.start < _PADDR_END), None)
    if wrapping is not None:
        because = f"the RAM of {wrapping} runs past the end of the address space, where Xen cannot map it"
        return Stop("boot-scan", (), because, wrapping)
    return Passed((_count(len(info.mem), "bank") + " of RAM", _count(len(info.reserved_mem), "reserved bank")))


def _ram_may_come_first(boot: Boot, stopped_at: str) -> bool:
    """Tell whether what a boot loader fills in stands before the node that ends the scan: it keeps the node's place.

    libfdt puts a node that it adds before all others, so that a tree without a memory node counts too.
    """
    nodes = boot.host.tree.root.children
    top = "/" + stopped_at.split("/")[1]
    first = next((node for node in nodes if node.base_name == "memory" or node.path == top), None)
    none = not any(node.base_name == "memory" for node in nodes)
    return none or (first is not None and first.base_name == "memory" and first.available)


def _memory(boot: Boot) -> Outcome:
    """RAM goes to the boot allocator and into the direct map, once; all of it before the console is up."""
    if not boot.ram_known:
        return Open("the tree lists no RAM, which a boot loader fills in", "--memory")
    found = boot.free_memory
    if not isinstance(found, XenBug):
        return Passed((_count(len(found.regions), "free region"),))
    twice = _ram_twice(boot.info.mem)
    because = f"{twice[0]} and {twice[1]} name the same RAM" if twice else found.because
    return Stop("memory", (str(found),), because, twice[1] if twice else None, silent=True)


def _ram_twice(banks: tuple[Bank, ...]) -> tuple[str, str] | None:
    """Return the nodes of two banks that overlap; the banks are sorted."""
    top: Bank | None = None
    for bank in banks:
        if top is not None and bank.start < top.stop:
            return top.node, bank.node
        top = bank if top is None or bank.stop > top.stop else top
    return None


def _console(boot: Boot) -> Outcome:
    """Without a console Xen boots on, unseen."""
    return Passed((boot.console.path if boot.console is not None else "no UART of the tree",))


def _dom0_cpus(boot: Boot) -> Outcome:
    """What Xen says of a dom0_max_vcpus= beyond what the GIC can serve; the host's own number never is."""
    most, vcpus = vgic_max_vcpus(boot.host.tree.root), boot.dom0_vcpus
    if not boot.host.args.dom0_max_vcpus or vcpus <= most:
        return Passed((_count(vcpus, "CPU") + " for dom0",))
    line = boot.profile.gives_up("Error creating domain 0", -22)
    return Stop("dom0-cpus", (line,), f"dom0_max_vcpus asks for {vcpus} CPUs, and a domain may have {most}")


def _dom0_grant_table(boot: Boot) -> Outcome:
    """grant_table_init wants INITIAL_NR_GRANT_FRAMES, one, or more; the least of gnttab_max_frames and Xen's text counts."""
    if boot.host.args.max_grant_frames:
        return Passed(("gnttab_max_frames allows a grant table",))
    line = boot.profile.gives_up("Error creating domain 0", -22)
    return Stop("dom0-grant-table", (line,), "gnttab_max_frames=0 leaves dom0 no grant table, and Xen makes no such domain")


def _dom0_memory(boot: Boot) -> Outcome:
    placed = boot.dom0_memory
    size = sum(bank.size for bank in placed.banks)
    return placed.stop or Passed((f"{format_size(size)} in {_count(len(placed.banks), 'bank')}",))


def _dom0_devices(boot: Boot) -> Outcome:
    stop = boot.nodes.stop(boot.profile) or _search_crash(boot, dom0_regions(boot)[1], "dom0")
    return stop or Passed((_count(len(boot.nodes.fates), "node"),))


def _search_crash(boot: Boot, regions: Regions, domain: str) -> Stop | None:
    """Return what Xen does when its search crashes; without RAM nothing is said, as its node may be the cause."""
    if regions.error != "crash" or not boot.ram_known:
        return None
    because = f"Xen crashes while it looks for the extended regions of {domain}: {regions.message}"
    return Stop("dom0-devices", (_DATA_ABORT,), because, domain=None if domain == "dom0" else domain)


def _dom0_tree(boot: Boot) -> Outcome:
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


def _dom0_modules(boot: Boot) -> Outcome:
    banks, blob = boot.dom0_memory.banks, boot.dom0_blob or b""
    devices = [
        item for item in _mapped(boot) if any(item.start < bank.stop and bank.start < item.stop for bank in banks[:1])
    ]
    size = len(blob)
    if blob and devices:  # a page that cannot be written decides, so that each byte counts
        size = bytes_needed(parse(blob).root) + (INITRD_SIZE if dom0_ramdisk(boot.info) is not None else 0)
    return dom0_modules(banks, boot.info, size, boot.profile, devices)


def _mapped(boot: Boot) -> Iterator[Mapped]:
    kept = (node for node in boot.host.tree.root if boot.nodes.is_kept(node))
    return (Mapped(start, stop, node.path) for node in kept for start, stop in mapped_pages(node))


def _kernel_probe(boot: Boot) -> Outcome:
    """A scan that ended early has seen none of the modules that a boot loader put further on."""
    unseen = [node.path for node, _ in dom0_modules_of(boot.host.tree)] if boot.info.stopped_at is not None else []
    return kernel_probe(boot.info, boot.profile, unseen)


def _into_a_hole(boot: Boot) -> Stop | None:
    """Return what Xen dies of when it loads a domain whose static memory is no RAM of the tree there."""
    for domu in boot.domus if boot.ram_known else ():
        address = copied_into_a_hole(boot.info, domu.node.path)
        if address is not None:
            because = f"xen,static-mem of {domu.node.path} is not all RAM: Xen copies a module to {address:#x}"
            return Stop("domains", (_DATA_ABORT,), because, domu.node.path, domu.node.path)
    return None


def _not_built(boot: Boot) -> Stop | None:
    """Return what a build without static memory says of the first domain that wants it."""
    domu = next((item for item in boot.domus if item.static), None)
    if domu is None or boot.build.has("STATIC_MEMORY"):
        return None
    name, path = domu.node.base_name, domu.node.path
    lines: tuple[str, ...] = (f"direct-map is not valid for domain {name} without static allocation.",)
    if not domu.direct_map:
        lines = ("Device tree generation failed (-2).", boot.profile.gives_up(f"Could not set up domain {name}", -22))
    return Stop("domains", lines, f"{boot.build.name} has no CONFIG_STATIC_MEMORY", path, path)


def _domains(boot: Boot) -> Outcome:
    stop = _not_built(boot) or create_domUs(boot) or _into_a_hole(boot)
    crashes = (_search_crash(boot, domu_regions(boot, domu)[1], domu.node.path) for domu in boot.domus)
    return stop or next((crash for crash in crashes if crash), None) or Passed((_count(len(boot.domus), "domain"),))


def _of_dom0(run: Callable[[Boot], Outcome]) -> Callable[[Boot], Outcome]:
    """Return the stage as it runs where there is a dom0."""
    return lambda boot: run(boot) if boot.has_dom0 else Passed(("no dom0",))


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


STAGES: Final = (
    Stage("boot-scan", "early_fdt_map", lambda boot: early_fdt_map(boot.host.tree, boot.options.fdt_address)),
    Stage("boot-scan", "boot_fdt_info", _boot_scan),
    Stage(
        "command-line",
        "cmdline_parse",
        lambda boot: parse_arch_dom0_param(boot.host.args, boot.profile, boot.build),
    ),
    Stage("memory", "setup_mm", _memory),
    Stage("platform", "platform_init", lambda boot: platform_init(boot.host.tree)),
    Stage("timer", "preinit_xen_time", lambda boot: preinit_xen_time(boot.host.tree, boot.profile)),
    Stage(
        "interrupt-controller",
        "gic_preinit",
        lambda boot: gic_preinit(boot.host.tree, boot.profile, boot.build),
    ),
    Stage("console", "uart_init", _console),
    Stage("timer", "init_xen_time", lambda boot: init_xen_time(boot.host.tree, boot.profile)),
    Stage("interrupt-controller", "gic_init", lambda boot: gic_init(boot.host.tree, boot.build)),
    Stage("iommu", "iommu_setup", lambda boot: iommu_setup(boot.host.args, boot.iommus, enabled=boot.iommu)),
    Stage("cpupools", "cpupool_init", lambda boot: cpupool_init(boot.cpupools)),
    Stage("dom0-cpus", "create_dom0", _of_dom0(_dom0_cpus)),
    Stage("dom0-grant-table", "grant_table_init", _of_dom0(_dom0_grant_table)),
    Stage("modules", "kernel_probe", _of_dom0(_kernel_probe)),
    Stage("dom0-memory", "allocate_memory_11", _of_dom0(_dom0_memory)),
    Stage("dom0-devices", "handle_node, make_hypervisor_node", _of_dom0(_dom0_devices)),
    Stage("cpus", "make_cpus_node", _of_dom0(lambda boot: make_cpus_node(boot.host.tree, boot.profile))),
    Stage("dom0-tree", "prepare_dtb_hwdom", _of_dom0(_dom0_tree)),
    Stage("dom0-modules", "place_modules", _of_dom0(_dom0_modules)),
    Stage("domains", "create_domUs", _domains),
    Stage("domains", "alloc_static_evtchn", lambda boot: alloc_static_evtchn(boot) or Passed()),
    Stage("modules", "discard_initial_modules", lambda boot: discard_initial_modules(boot.info, boot.profile)),
)
"""The table of contents of a boot."""
_EFI_LOADER: Final = Stage("efi-loader", "efi_start", efi_start)


def stages_of(boot: Boot) -> tuple[Stage, ...]:
    """Return the stages of this boot: through EFI, Xen's own loader comes first."""
    return (_EFI_LOADER, *STAGES) if boot.options.efi else STAGES
