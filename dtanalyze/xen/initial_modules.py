"""What becomes of the boot modules' RAM once all domains are built: it goes to the heap.

Mirrors discard_initial_modules (arch/arm/setup.c) with init_heap_pages and mark_page_free (common/page_alloc.c), which die
of a page that is free already. There are two kinds of those: what two modules share, where Xen let both in, and what of a
module lies past the bank of RAM that it begins in. `setup_mm` keeps it out of that bank; banks that touch are not joined,
and the next one is handed out whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeAlias

from dtanalyze.address.range import AddressRange
from dtanalyze.xen.bootinfo import BootInfo, Module
from dtanalyze.xen.page_alloc import PAGE_SHIFT, BootAllocator
from dtanalyze.xen.setup_mm import dt_unreserved_regions
from dtanalyze.xen.stage import Open, Outcome, Passed, Stop

__all__ = ["GivenBack", "discard_initial_modules", "given_back"]

GivenBack: TypeAlias = Sequence[tuple[AddressRange, Module]]
"""Pages that go to the heap, in bytes, and whose they were."""
_PAGE: Final = 1 << PAGE_SHIFT


def discard_initial_modules(
    info: BootInfo,
    modules: GivenBack,
    boot: BootAllocator,
    dom0: Iterable[AddressRange],
    double_free_bug: str,
) -> Outcome:
    """Give the RAM of ``modules`` to the heap; ``boot`` is what was free before dom0 got its banks, ``dom0``.

    ``double_free_bug`` is Xen's line about a page that is free already.
    """
    heap = boot.free
    free, freed, lost = heap.difference(dom0), list[tuple[AddressRange, Module]](), list[Module]()
    for pages, module in modules:
        other = next((item for met, item in freed if met.overlaps(pages)), None)
        if other is not None or free.touches(pages):
            because = _overlap(module, other) if other is not None else _past_the_end(info, module)
            return Stop("modules", (double_free_bug,), because, module.node or (other.node if other else "") or None)
        if heap.touches(pages):
            lost.append(module)
        freed.append((pages, module))
    if lost:
        because = f"{_past_the_end(info, lost[0])}; it is dom0's by then, and Xen frees it all the same"
        return Open(because, "a place for it within one bank")
    return Passed((f"{len(info.modules)} modules given back",))


def given_back(info: BootInfo, reserved: list[tuple[int, int]]) -> Iterator[tuple[AddressRange, Module]]:
    """Yield the whole pages that are freed of each module but Xen itself, in Xen's order; ``reserved`` is (start, size).

    Only modules that begin in RAM, and end below its end, are: mfn_valid tells both.
    """
    top = max((bank.stop for bank in info.mem), default=0) & -_PAGE
    seen: set[tuple[str, int]] = set()
    for module in info.modules:
        same = (module.kind, module.start)  # one module for Xen, whoever names it
        stop = module.start + (-(-module.size // _PAGE) * _PAGE)
        in_ram = any(bank.start <= module.start < bank.stop for bank in info.mem)
        if module.kind == "Xen" or same in seen or not in_ram or stop & -_PAGE >= top:
            continue
        seen.add(same)
        for low, high in dt_unreserved_regions(module.start, stop, reserved):
            first, last = -(-low // _PAGE) * _PAGE, high // _PAGE * _PAGE
            if first < last:
                yield AddressRange.spanning(first, last), module


def _called(module: Module) -> str:
    return module.node or "the tree itself"


def _overlap(module: Module, other: Module) -> str:
    return f"{_called(module)} and {_called(other)} overlap"


def _past_the_end(info: BootInfo, module: Module) -> str:
    bank = next(bank for bank in info.mem if bank.start <= module.start < bank.stop)
    return (
        f"{_called(module)} [{module.start:#x}-{module.start + module.size - 1:#x}] runs past the bank of RAM that it "
        f"begins in, {bank.start:#x}-{bank.stop - 1:#x} of {bank.node}, and Xen keeps it out of that bank only"
    )
