"""How Xen boots: every stage that can refuse, in the order in which they run.

Mirrors start_xen (arch/arm/setup.c), create_dom0 and construct_dom0 (arch/arm/domain_build.c) and create_domUs
(arch/arm/dom0less-build.c, from 4.21 common/device-tree/dom0less-build.c) as a list. What a stage decides stands in the
mirror that it names; here is only in which order they are asked, and with what.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise, takewhile
from typing import Final, NamedTuple

from dtanalyze.address.range import AddressRange
from dtanalyze.address.units import counted
from dtanalyze.board.architecture import RISCV
from dtanalyze.xen.arch_timer import domain_vtimer_init, init_xen_time, preinit_xen_time
from dtanalyze.xen.boot import Boot
from dtanalyze.xen.boot_cpupool import cpupool_init
from dtanalyze.xen.bootinfo import Bank
from dtanalyze.xen.create_dom0 import (
    construct_domain,
    dom0_cpus,
    dom0_devices,
    dom0_grant_table,
    dom0_memory,
    dom0_tree,
    kernel_of_dom0,
    modules_of_dom0,
)
from dtanalyze.xen.dom0less_build import domains
from dtanalyze.xen.dt_property import dt_device_is_available
from dtanalyze.xen.early_fdt_map import early_fdt_map, relocate_fdt
from dtanalyze.xen.efi_stub import efi_start
from dtanalyze.xen.frametable import cannot_cover
from dtanalyze.xen.gic import gic_init, gic_preinit
from dtanalyze.xen.heap_init_late import first_pages, heap_init_late
from dtanalyze.xen.initial_modules import GivenBack, discard_initial_modules, given_back
from dtanalyze.xen.iommu import iommu_setup
from dtanalyze.xen.llc_coloring import llc_coloring_init
from dtanalyze.xen.page_alloc import BootAllocator, XenBug, lines_below
from dtanalyze.xen.platforms import platform_init
from dtanalyze.xen.setup_mm import reserved_ranges
from dtanalyze.xen.smpboot import make_cpus_node
from dtanalyze.xen.stage import Open, Outcome, Passed, Stage, Stop
from dtanalyze.xen.static_evtchn import alloc_static_evtchn
from dtanalyze.xen.sve import parse_arch_dom0_param
from dtanalyze.xen.xsm import xsm_dt_init

__all__ = ["STAGES", "Run", "open_questions", "reach", "stages_of", "start_with_other_ram", "start_xen"]


_PADDR_END: Final = 1 << 48
_DOM0_MEMORY: Final = "dom0-memory"
_INVALID_PADDR: Final = (1 << 64) - 1


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
    return Run(tuple(_until_stop(boot, stages_of(boot))) if boot.arch != RISCV else ())


def start_with_other_ram(boot: Boot, run: Run) -> Run:
    """Run the stages of a boot that differs from that of ``run`` in dom0's RAM alone: up to there they come to the same."""
    before = tuple(takewhile(lambda passed: passed[0].name != _DOM0_MEMORY, run.stages))
    if len(before) == len(run.stages):
        return run
    return Run((*before, *_until_stop(boot, stages_of(boot)[len(before) :])))


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
    nodes = sum(1 for _ in boot.host.tree.root)
    return (
        f"looked at: stages {len(run.stages)} of {len(stages_of(boot))}, nodes {nodes}, domains {domains}, "
        f"options of Xen's line {read} of {len(words)}"
    )


def _until_stop(boot: Boot, stages: Iterable[Stage]) -> Iterator[tuple[Stage, Outcome]]:
    for stage in stages:
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
        said = boot.profile.no_bootmem_bug or cannot_cover(_INVALID_PADDR, 0)
        return Stop("boot-scan", (said,), because, info.stopped_at, silent=True)
    wrapping = next((bank.node for bank in info.mem if bank.wraps and bank.start < _PADDR_END), None)
    if wrapping is not None:
        because = f"the RAM of {wrapping} runs past the end of the address space, where Xen cannot map it"
        return Stop("boot-scan", (), because, wrapping)
    return Passed((counted(len(info.mem), "bank") + " of RAM", counted(len(info.reserved_mem), "reserved bank")))


def _ram_may_come_first(boot: Boot, stopped_at: str) -> bool:
    """Tell whether what a boot loader fills in stands before the node that ends the scan: it keeps the node's place.

    libfdt puts a node that it adds before all others, so that a tree without a memory node counts too.
    """
    nodes = boot.host.tree.root.children
    top = "/" + stopped_at.split("/")[1]
    first = next((node for node in nodes if node.base_name == "memory" or node.path == top), None)
    none = not any(node.base_name == "memory" for node in nodes)
    return none or (first is not None and first.base_name == "memory" and dt_device_is_available(first))


def _memory(boot: Boot) -> Outcome:
    """RAM goes to the boot allocator and into the direct map, once; all of it before the console is up."""
    if not boot.ram_known:
        return _unlike_memory(boot) or Open("the tree lists no RAM, which a boot loader fills in", "--memory")
    found = boot.free_memory
    if not isinstance(found, XenBug):
        return Passed((counted(len(found.regions), "free region"),))
    twice = _ram_twice(boot.info.mem)
    because = f"{twice[0]} and {twice[1]} name the same RAM" if twice else found.because
    return Stop("memory", (str(found),), because, twice[1] if twice else None, silent=True)


def _unlike_memory(boot: Boot) -> Stop | None:
    """Return what stops Xen where a boot loader has been at the tree, and its RAM stands in nodes that Xen passes over."""
    if boot.info.mem or boot.options.efi or not any(item.node for item in boot.info.modules):
        return None
    nodes = (node for node in boot.host.tree.root.children if node.base_name == "memory")
    node = next((node for node in nodes if any(prop.cells if (prop := node.prop("reg")) else ())), None)
    if node is None:
        return None
    why = f"{node.path} is disabled" if node.device_type == "memory" else f'{node.path} has no device_type = "memory"'
    line = boot.profile.no_bootmem_bug or cannot_cover(_INVALID_PADDR, 0)
    return Stop("memory", (line,), f"no RAM is seen: {why}", node.path, silent=True)


def _ram_twice(banks: tuple[Bank, ...]) -> tuple[str, str] | None:
    """Return the nodes of two banks that overlap; the banks are sorted."""
    met = ((one, other) for one, other in pairwise(banks) if other.start < one.stop)
    return next(((one.node, other.node) for one, other in met), None)


def _with_heap(run: Callable[[Boot, BootAllocator], Outcome]) -> Callable[[Boot], Outcome]:
    """Return the stage as it runs where it is known what is free."""

    def stage(boot: Boot) -> Outcome:
        found = boot.free_memory
        return run(boot, found) if isinstance(found, BootAllocator) and boot.ram_known else Passed()

    return stage


def _discard_initial_modules(boot: Boot, free: BootAllocator) -> Outcome:
    line = lines_below(boot.profile.double_free_bug, boot.build.more_lines)
    return discard_initial_modules(boot.info, _given_back(boot), free, _dom0_banks(boot), line)


def _heap_init_late(boot: Boot, free: BootAllocator) -> Outcome:
    return heap_init_late(free, boot.info, _given_back(boot), _dom0_banks(boot), boot.host.args.bootscrub)


def _given_back(boot: Boot) -> GivenBack:
    if boot.info.static_heap and boot.profile.static_heap_keeps_modules:
        return ()
    memreserve = [(entry.start, entry.size) for entry, _ in boot.host.tree.reservations]
    return tuple(given_back(boot.info, reserved_ranges(boot.info, memreserve, boot.profile)))


def _dom0_banks(boot: Boot) -> tuple[AddressRange, ...]:
    return boot.dom0_memory.banks if boot.has_dom0 else ()


def _console(boot: Boot) -> Outcome:
    """Without a console Xen boots on, unseen."""
    return Passed((boot.console.path if boot.console is not None else f"none, since {boot.console_found.because}",))


def _dom0_timer(boot: Boot) -> Outcome:
    own = boot.own_irqs
    return domain_vtimer_init(boot.host.tree, boot.profile, own.timer, own.irqs.lines)


def _of_dom0(run: Callable[[Boot], Outcome]) -> Callable[[Boot], Outcome]:
    """Return the stage as it runs where there is a dom0."""
    return lambda boot: run(boot) if boot.has_dom0 else Passed(("no dom0",))


STAGES: Final = (
    Stage("boot-scan", "early_fdt_map", lambda boot: early_fdt_map(boot.host.tree, boot.options.fdt_address)),
    Stage("boot-scan", "boot_fdt_info", _boot_scan),
    Stage(
        "command-line",
        "cmdline_parse",
        lambda boot: parse_arch_dom0_param(boot.host.args, boot.profile, boot.build),
    ),
    Stage(
        "command-line",
        "llc_coloring_init",
        lambda boot: llc_coloring_init(boot.host.args, boot.profile, boot.build) or Passed(),
    ),
    Stage("memory", "setup_mm", _memory),
    Stage("memory", "relocate_fdt", _with_heap(lambda boot, free: relocate_fdt(boot.host.tree, free))),
    Stage("platform", "platform_init", lambda boot: platform_init(boot.host.tree)),
    Stage("timer", "preinit_xen_time", lambda boot: preinit_xen_time(boot.host.tree, boot.profile)),
    Stage(
        "interrupt-controller",
        "gic_preinit",
        lambda boot: gic_preinit(boot.host.tree, boot.profile, boot.build),
    ),
    Stage("console", "uart_init", _console),
    Stage("timer", "init_xen_time", lambda boot: init_xen_time(boot.host.tree, boot.own_irqs.timer)),
    Stage(
        "interrupt-controller",
        "gic_init",
        lambda boot: gic_init(boot.host.tree, boot.build, boot.own_irqs.maintenance),
    ),
    Stage("xsm", "xsm_dt_init", lambda boot: xsm_dt_init(boot.host.args, boot.info, boot.build)),
    Stage("iommu", "iommu_setup", lambda boot: iommu_setup(boot.host.args, boot.iommus, enabled=boot.iommu)),
    Stage("cpupools", "cpupool_init", lambda boot: cpupool_init(boot.cpupools)),
    Stage("memory", "alloc_heap_pages", _with_heap(lambda boot, free: first_pages(free, boot.info))),
    Stage("dom0-cpus", "create_dom0", _of_dom0(dom0_cpus)),
    Stage("dom0-grant-table", "grant_table_init", _of_dom0(dom0_grant_table)),
    Stage("timer", "domain_vtimer_init", _of_dom0(_dom0_timer)),
    Stage("modules", "kernel_probe", _of_dom0(kernel_of_dom0)),
    Stage(_DOM0_MEMORY, "allocate_memory_11", _of_dom0(dom0_memory)),
    Stage("dom0-devices", "handle_node, make_hypervisor_node", _of_dom0(dom0_devices)),
    Stage("cpus", "make_cpus_node", _of_dom0(lambda boot: make_cpus_node(boot.host.tree, boot.profile))),
    Stage("dom0-tree", "prepare_dtb_hwdom", _of_dom0(dom0_tree)),
    Stage("dom0-modules", "place_modules", _of_dom0(modules_of_dom0)),
    Stage("dom0-cpus", "construct_domain", _of_dom0(construct_domain)),
    Stage("domains", "create_domUs", domains),
    Stage("domains", "alloc_static_evtchn", lambda boot: alloc_static_evtchn(boot) or Passed()),
    Stage("modules", "discard_initial_modules", _with_heap(_discard_initial_modules)),
    Stage("memory", "heap_init_late", _with_heap(_heap_init_late)),
)
"""The table of contents of a boot."""
_EFI_LOADER: Final = Stage("efi-loader", "efi_start", efi_start)


def stages_of(boot: Boot) -> tuple[Stage, ...]:
    """Return the stages of this boot: through EFI, Xen's own loader comes first."""
    return (_EFI_LOADER, *STAGES) if boot.options.efi else STAGES
