"""Where dom0's RAM lies: as the caller knows it, else as Xen's allocator places it.

Puts setup_mm, end_boot_allocator and allocate_memory_11 in a row, with what decides between their outcomes: how the heap is
scrubbed, and how many CPUs do it.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from dtanalyze.address.range import AddressRange
from dtanalyze.address.units import MIB, format_size
from dtanalyze.board.cpus import cpu_nodes
from dtanalyze.devicetree.tree import Tree
from dtanalyze.xen.allocate_memory import Dom0Allocation, Dom0Memory
from dtanalyze.xen.bootinfo import DEVICE_TREE, BootInfo, Module
from dtanalyze.xen.heap_use import SPREAD, nearby, own_pages, take_pages
from dtanalyze.xen.llc_coloring import allocate_hwdom_memory, llc_coloring_enabled
from dtanalyze.xen.options import XenOptions
from dtanalyze.xen.p2m import p2m_table_orders
from dtanalyze.xen.page_alloc import BootAllocator, XenBug
from dtanalyze.xen.parse_params import DOM0_MEM_DEFAULT, XenArgs
from dtanalyze.xen.platforms import platform_of
from dtanalyze.xen.profile import XenProfile
from dtanalyze.xen.scrubbing import Outcomes, under_scrubbing
from dtanalyze.xen.setup_mm import setup_mm
from dtanalyze.xen.stage import Stop

__all__ = ["XEN_IMAGE", "Dom0Placed", "free_memory", "known_modules", "loaded_modules", "place_dom0", "xen_at"]

_XEN_SIZE: Final = 0x13A000
"""Bytes of a stock build of Xen in RAM, about, where a log does not say more."""
_TREE_OFFSET: Final = 64 * MIB
"""Where the tree is taken to lie from the start of RAM when nothing says it, as on the machines recorded."""
_WHOLE: Final = 128 * MIB
_MOST_PLACES: Final = 16
_TREE_ALIGN: Final = 2 * MIB
XEN_IMAGE: Final = "Xen"
"""The kind of the module that is Xen itself (BOOTMOD_XEN)."""


class Dom0Placed(NamedTuple):
    """dom0's RAM: where, whether that is known, what stops Xen over it, and where the answer comes from.

    ``others`` are the outcomes that the same tree may have in another start.
    """

    banks: tuple[AddressRange, ...]
    known: bool
    stop: Stop | None
    note: str
    others: tuple["Dom0Placed", ...] = ()


def place_dom0(
    tree: Tree,
    info: BootInfo,
    profile: XenProfile,
    options: XenOptions,
    args: XenArgs,
    boot: BootAllocator | XenBug,
    loaded: tuple[Module, ...],
    grant_table: AddressRange | None,
    ipa_bits: int,
) -> Dom0Placed:
    """Return where dom0's RAM lies; ``boot`` is what is free then, ``loaded`` what was taken to lie in RAM."""
    log = options.log
    banks = options.dom0_banks or (log.dom0_banks if log else ())
    if banks:
        return Dom0Placed(tuple(sorted(banks)), True, None, "dom0's RAM: as given")
    wanted = options.dom0_mem
    if wanted == 0:
        return Dom0Placed((), True, None, "dom0's RAM: none assigned, as given")
    if wanted is None:
        wanted = args.dom0_mem or DOM0_MEM_DEFAULT
    if not info.ram_known:
        return Dom0Placed((), False, None, "dom0's RAM: not placed, the tree lists none")
    if llc_coloring_enabled(args, profile, options.build):
        return _coloured(allocate_hwdom_memory(info, profile, wanted, grant_table), wanted)
    if isinstance(boot, XenBug):
        return Dom0Placed((), False, None, "dom0's RAM: Xen does not come so far")
    replay = _Replay(tree, profile, args, boot, wanted, options.build.fewer_pages, ipa_bits)
    note = f"dom0's RAM: {format_size(wanted)}, placed by a replay of Xen's allocator (--dom0-bank or --xen-log settles it)"
    note += "".join(
        f"; the tree itself is taken to lie at {item.start:#x} (--fdt-address)" for item in loaded if item.kind != XEN_IMAGE
    )
    outcomes = replay.outcomes()
    if len(outcomes.found) > 1:
        note += _why_open(replay.dom0(replay.pages), wanted, outcomes)
    else:
        outcomes = replay.by_small_pieces(outcomes)
        note += _why_small(outcomes) if len(outcomes.found) > 1 else ""
    if not options.memory and any(item.unallocated for item in outcomes.found):
        note += "; RAM is what the tree lists, which a boot loader may replace (--memory)"
    return _open(outcomes, note)


class _Replay(NamedTuple):
    """dom0's RAM out of what is free when the heap is made."""

    tree: Tree
    profile: XenProfile
    args: XenArgs
    boot: BootAllocator
    wanted: int
    fewer_pages: int
    ipa_bits: int

    @property
    def scrubbed(self) -> bool:
        """Whether idle CPUs clean the heap meanwhile."""
        return self.args.bootscrub == "idle" and len(cpu_nodes(self.tree)) > 1

    @property
    def pages(self) -> int:
        """Pages that Xen itself takes first, about."""
        pages = own_pages(self.tree, len(cpu_nodes(self.tree)) or 1, self.profile) - self.fewer_pages
        return max(pages, 0)

    def dom0(self, pages: int) -> Dom0Allocation:
        """Return the allocation to be run after Xen took ``pages``."""
        heap = self.boot.end_boot_allocator(need_scrub=self.args.bootscrub == "idle")
        take_pages(heap, pages)
        bits = min(32, platform_of(self.tree).dma_bitsize)
        return Dom0Allocation(heap, self.wanted, bits, self.profile.nr_mem_banks, p2m_table_orders(self.ipa_bits))

    def outcomes(self) -> Outcomes:
        """Return where the RAM lies, in every order of scrubbing."""
        first = self.dom0(self.pages)
        return under_scrubbing(first) if self.scrubbed else Outcomes((first.run(),), complete=True)

    def by_small_pieces(self, likely: Outcomes) -> Outcomes:
        """Return the outcome with those of builds that take more or fewer pages; the likely one stays the first."""
        tried = (self.dom0(pages).run() for pages in self._other_pages(likely.found[0]))
        return likely._replace(found=tuple(dict.fromkeys((*likely.found, *tried)))[:_MOST_PLACES])

    def _other_pages(self, likely: Dom0Memory) -> Iterator[int]:
        """Yield the numbers of pages to be tried: none where the extremes change nothing, as with nearly every size."""
        ends = (max(self.pages - SPREAD, 0), self.pages + SPREAD)
        alone = likely if not self.scrubbed else self.dom0(self.pages).run()
        if any(self.dom0(pages).run() != alone for pages in ends):
            yield from nearby(self.pages)


def _why_small(outcomes: Outcomes) -> str:
    """Say why the last pieces may lie elsewhere, and which those are."""
    low, high = {*outcomes.found[0].banks}, {bank for item in outcomes.found[1:] for bank in item.banks}
    moved = sum(bank.size for bank in low - high)
    return (
        f". Its last {format_size(moved)} may lie elsewhere in that part of RAM: they come from blocks out of which Xen "
        f"itself takes pages before, and how many depends on its build; {len(outcomes.found)} placements were found. A "
        "dom0_mem in whole 4 MiB makes it certain"
    )


def _coloured(got: Dom0Memory, wanted: int) -> Dom0Placed:
    note = (
        f"dom0's RAM: {format_size(wanted)}, not 1:1, since Xen's command line turns cache colouring on; Xen is taken to be "
        "built with CONFIG_LLC_COLORING, which is off by default (--xen-config)"
    )
    if not got.unallocated:
        return Dom0Placed(got.banks, False, None, note)
    line = f"Failed to allocate requested domain memory. {got.unallocated >> 10}KB unallocated. Fix the VMs configurations."
    return Dom0Placed(got.banks, False, Stop("dom0-memory", (line,)), note)


def free_memory(
    tree: Tree, info: BootInfo, profile: XenProfile, args: XenArgs, loaded: tuple[Module, ...]
) -> BootAllocator | XenBug:
    """Return what is free once the memory subsystem is set up, or Xen's line where it dies before."""
    memreserve = [(entry.start, entry.size) for entry, _ in tree.reservations]
    try:
        return setup_mm(info._replace(modules=(*loaded, *info.modules)), memreserve, profile, args.bad_pages)
    except XenBug as bug:
        return bug


def known_modules(options: XenOptions, text: AddressRange | None, totalsize: int) -> tuple[Module, ...]:
    """Return what start_xen registers before it scans the tree: Xen itself, whose ``text`` is known, and the tree.

    Only what the caller or a log knows; ``totalsize`` is the tree's in bytes.
    """
    known = options.log.modules if options.log is not None else ()
    if text is not None and all(item.kind != XEN_IMAGE for item in known):
        known = (xen_at(text), *known)
    if options.fdt_address is None:
        return known
    known = tuple(item for item in known if item.kind != DEVICE_TREE)
    return (*known, Module(DEVICE_TREE, options.fdt_address, totalsize, "", False))


def loaded_modules(info: BootInfo, grant_table: AddressRange | None, tree: Tree) -> tuple[Module, ...]:
    """Return Xen's image and the tree as modules, as far as the scan does not know them, in start_xen's order."""
    if not info.mem:
        return ()
    kinds = {item.kind for item in info.modules}
    found: list[Module] = []
    if XEN_IMAGE not in kinds and grant_table is not None:
        found.append(xen_at(grant_table))
    if DEVICE_TREE not in kinds:
        found += _tree_guess(info, tree.totalsize)
    return tuple(found)


def xen_at(text: AddressRange) -> Module:
    """Return Xen's own image, which begins with its text."""
    return Module(XEN_IMAGE, text.start, _XEN_SIZE, "", False)


def _tree_guess(info: BootInfo, size: int) -> list[Module]:
    """Return where the tree may lie: 64 MiB into RAM, past what is there, since no boot loader puts it on that."""
    start = info.mem[0].start + _TREE_OFFSET
    there = [(item.start, item.stop) for item in info.reserved_mem]
    there += [(item.start, item.start + item.size) for item in info.modules]
    for low, high in sorted(there):
        if low < start + size and start < high:
            start = -(-high // _TREE_ALIGN) * _TREE_ALIGN
    return [Module(DEVICE_TREE, start, size, "", False)] if start + size <= info.mem[0].stop else []


def _placed(got: Dom0Memory, note: str) -> Dom0Placed:
    if not got.unallocated:
        return Dom0Placed(got.banks, False, None, note)
    line = f"Failed to allocate requested dom0 memory. {got.unallocated >> 20}MB unallocated"
    return Dom0Placed(got.banks, False, Stop("dom0-memory", (line,)), note)


def _open(outcomes: Outcomes, note: str) -> Dom0Placed:
    """Return the likely outcome with the others beside it."""
    first, *rest = outcomes.found
    return _placed(first, note)._replace(others=tuple(_placed(item, note) for item in rest))


def _why_open(dom0: Dom0Allocation, wanted: int, outcomes: Outcomes) -> str:
    """Say why the tree does not settle where the RAM lies, and what does."""
    shown = f"{len(outcomes.found)} placements are possible"
    if not outcomes.complete:
        shown = f"more placements are possible than can be tried, {len(outcomes.found)} of them were"
    certain = " or ".join(f"`dom0_mem={size // MIB}M`" for size in _certain_sizes(dom0, wanted))
    return (
        f". It may differ from start to start: idle CPUs scrub the heap while Xen builds dom0, so {shown}. "
        f"`bootscrub=0` on Xen's command line makes it certain{f', so does {certain}' if certain else ''}"
    )


def _certain_sizes(dom0: Dom0Allocation, wanted: int) -> list[int]:
    """Return the sizes next to the wanted one that can be had in one way only: whole 128 MiB, a power of two."""
    sizes = {wanted // _WHOLE * _WHOLE, 1 << wanted.bit_length() - 1} - {wanted}
    trials = {size: under_scrubbing(dom0.of_size(size)) for size in sorted(sizes, reverse=True) if size >= _WHOLE}
    return [
        size for size, made in trials.items() if made.complete and len(made.found) == 1 and not made.found[0].unallocated
    ]
