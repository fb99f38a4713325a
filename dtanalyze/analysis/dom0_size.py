"""Another ``dom0_mem``, where dom0's RAM cannot be placed, or leaves too little behind for what is asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from dtanalyze.address.units import MIB
from dtanalyze.analysis.starts import Guests, worst_start
from dtanalyze.facts import CheckResult
from dtanalyze.findings import Cure
from dtanalyze.linux.boot import Verdict
from dtanalyze.linux.profile import LinuxProfile
from dtanalyze.rules.cures.command_line import dom0_mem_cure, dom0_mem_sizes, larger_dom0_mem_sizes
from dtanalyze.xen.bootfdt import boot_fdt_info
from dtanalyze.xen.host import Host
from dtanalyze.xen.options import XenOptions
from dtanalyze.xen.parse_params import DOM0_MEM_DEFAULT
from dtanalyze.xen.predict import predict
from dtanalyze.xen.profile import XenProfile

__all__ = ["is_starved", "with_other_size"]

_STAGE: Final = "dom0-memory"
"""Where Xen stops over dom0's RAM."""
_STARVED: Final = frozenset({"B03", "B06", "X11", "X42", "V-need", "V-request"})
"""Findings that speak of dom0's RAM: it does not fit, holds too little, or leaves too little behind."""


def is_starved(result: CheckResult, iommu: bool | None) -> bool:
    """Whether another size of dom0's RAM may be a cure: regions are what it leaves, unless an IOMMU is on."""
    rules = {item.rule for item in result.findings if item.rule in _STARVED}
    return result.domain == "dom0" and bool(rules - {"V-need", "V-request"} if iommu else rules)


def with_other_size(
    result: CheckResult,
    host: Host,
    xen: XenProfile,
    options: XenOptions,
    guests: Guests,
    linux: LinuxProfile,
    need: int | None,
) -> CheckResult:
    """Return the result with another dom0_mem as advice and as cures of Xen's command line.

    What is set outside the tree (an option, a log, known banks) is not for the tree to change.
    """
    fixed = options.dom0_mem is not None or options.dom0_banks or (options.log is not None and options.log.dom0_banks)
    if fixed or result.verdict is Verdict.UNKNOWN:
        return result
    larger = any(item.rule == "B06" for item in result.findings)
    sizes = list(_sizes(host, xen, larger=larger))
    good = boots = None
    for size in sizes:
        verdict = _verdict(host, xen, options._replace(dom0_mem=size), guests, linux, need)
        if verdict is Verdict.SCRATCH:
            good = size
            break
        if verdict is Verdict.UNKNOWN and boots is None:
            boots = size
            break
        if verdict not in (Verdict.NO_BOOT, None) and boots is None:
            boots = size
    found = good if good is not None else boots if result.verdict is Verdict.NO_BOOT else None
    return result if found is None else _told(result, host, found, sizes, scratch=good is not None)


def _sizes(host: Host, xen: XenProfile, *, larger: bool) -> Iterator[int]:
    banks = boot_fdt_info(host.tree, xen).mem
    ram = sum(bank.size for bank in banks if not bank.wraps)
    wanted = DOM0_MEM_DEFAULT if host.args.dom0_mem is None else host.args.dom0_mem
    return larger_dom0_mem_sizes(wanted, ram) if larger else dom0_mem_sizes(wanted, ram)


def _verdict(
    host: Host, xen: XenProfile, options: XenOptions, guests: Guests, linux: LinuxProfile, need: int | None
) -> Verdict | None:
    """Return what a boot with these options comes to, in its worst start; ``exhausted`` too where less can be mapped than
    is asked, ``unknown`` where dom0's RAM is placed and something else stops Xen."""
    worst, _ = worst_start(predict(host, xen, options)[0], guests, linux)
    if worst.stopped_by is not None:
        return Verdict.NO_BOOT if worst.stopped_by.stage == _STAGE else Verdict.UNKNOWN
    if worst.blob is None:
        return None
    answer = guests.answer(worst.blob, linux, "dom0")
    short = need is not None and answer.pages < need
    failing = any(item.error is not None for item in (answer.answer.requests if answer.answer else ()))
    return Verdict.EXHAUSTED if answer.verdict is Verdict.SCRATCH and (short or failing) else answer.verdict


_ANOTHER: Final = ("Lower `dom0_mem=`", "Set a larger `dom0_mem=`")


def _beside(advice: str) -> str:
    """Return what else the rule advises: that dom0_mem has to be another is said with the size that was tried."""
    first, _, rest = advice.partition(". ")
    return rest if first.startswith(_ANOTHER) else advice


def _told(result: CheckResult, host: Host, size: int, sizes: list[int], *, scratch: bool) -> CheckResult:
    does = "scratch pages work with it" if scratch else "Xen places dom0's RAM with it"
    advice = f"Set `dom0_mem={size // MIB}M` on Xen's command line: dtanalyze tried it, and {does}."
    cures: tuple[Cure, ...] = tuple(dom0_mem_cure(host.tree, item) for item in dict.fromkeys((size, *sizes)))
    return result._replace(
        findings=tuple(
            item.with_cures(cures)._replace(advice=f"{advice} {_beside(item.advice)}".strip())
            if item.rule in _STARVED
            else item
            for item in result.findings
        )
    )
