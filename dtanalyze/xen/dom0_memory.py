"""Where dom0's RAM lies: as the caller knows it, else as Xen's allocator would place it."""

from typing import NamedTuple

from dtanalyze.address.range import AddressRange
from dtanalyze.address.units import MIB, format_size
from dtanalyze.devicetree.tree import Tree
from dtanalyze.xen.allocate_memory import allocate_memory_11, boot_heap
from dtanalyze.xen.bootfdt import BootInfo
from dtanalyze.xen.command_line import DOM0_MEM_DEFAULT, XenArgs
from dtanalyze.xen.options import XenOptions
from dtanalyze.xen.platforms import platform_of
from dtanalyze.xen.profile import XenProfile
from dtanalyze.xen.stage import Stop

__all__ = ["Dom0Placed", "place_dom0"]


class Dom0Placed(NamedTuple):
    """dom0's RAM: where, whether that is known, what stops Xen over it, and where the answer comes from."""

    banks: tuple[AddressRange, ...]
    known: bool
    stop: Stop | None
    note: str


def place_dom0(
    tree: Tree,
    info: BootInfo,
    profile: XenProfile,
    options: XenOptions,
    args: XenArgs,
    grant_table: AddressRange | None,
) -> Dom0Placed:
    """Return where dom0's RAM lies."""
    log = options.log
    banks = options.dom0_banks or (log.dom0_banks if log else ())
    if banks:
        return Dom0Placed(tuple(sorted(banks)), True, None, "dom0's RAM: as given")
    wanted = options.dom0_mem
    if wanted == 0:
        return Dom0Placed((), True, None, "dom0's RAM: none assigned, as given")
    if wanted is None:
        wanted = args.dom0_mem or DOM0_MEM_DEFAULT
    if not any(bank.node.count("/") == 1 for bank in info.mem):
        return Dom0Placed((), False, None, "dom0's RAM: not placed, the tree lists none")
    image = AddressRange(grant_table.start, 2 * MIB) if grant_table else None
    bits = platform_of(tree).dma_bitsize
    got = allocate_memory_11(boot_heap(info, image), wanted, dma_bits=bits, max_banks=profile.nr_mem_banks)
    note = f"dom0's RAM: {format_size(wanted)}, placed by a model of Xen's allocator (--dom0-bank or --xen-log settles it)"
    stop = None
    if got.unallocated:
        line = f"Failed to allocate requested dom0 memory. {got.unallocated >> 20}MB unallocated"
        stop = Stop("dom0-memory", (line,))
        if not options.memory:
            note += "; RAM is what the tree lists, which a boot loader may replace (--memory)"
    return Dom0Placed(got.banks, False, stop, note)
