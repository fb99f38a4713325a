"""Which words of Xen's command line decide something here, which could and do not, which no release knows.

Every parameter of common/, drivers/ and arch/arm has its place in one of three tables, 4.17 to master.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from dtanalyze.xen.parse_params import words_on

__all__ = ["Word", "words_of"]

_LONGEST: Final = 40


_MODELLED: Final = frozenset(
    {
        *("bootscrub", "console", "dom0_max_vcpus", "dom0_mem", "dtuart", "ext_regions", "gnttab_max_frames", "hmp-unsafe"),
        *("badpage", "iommu", "llc-coloring", "llc-nr-ways", "llc-size", "maxcpus"),
    }
)
_MATTERS: Final = frozenset(
    {
        *("acpi", "buddy-alloc-size", "dom0", "dom0-iommu", "dom0-llc-colors", "flask", "hardware_dom"),
        *("numa", "pci-passthrough", "pdx-compress", "scmi-smc-passthrough", "tee"),
        *("xen-llc-colors", "xenheap_megabytes", "xsm"),
    }
)
"""Options that can move RAM or regions, or stop a boot, and that are not modelled here."""
_HARMLESS: Final = frozenset(
    {
        *("argo", "ats", "bootscrub_chunk", "com1", "com2", "conring_size", "console_timestamps", "console_to_ring"),
        *("conswitch", "core_parking", "cpufreq", "crash-debug-debugkey", "crash-debug-hwdom", "crash-debug-kexeccmd"),
        *("crash-debug-panic", "crash-debug-watchdog", "crashinfo_maxaddr", "crashkernel", "credit2_balance_over"),
        *("credit2_balance_under", "credit2_cap_period_ms", "credit2_load_precision_shift", "credit2_load_window_shift"),
        *("credit2_runqueue", "dbgp", "debug_stack_lines", "debugtrace", "dit", "dma_bits", "dom0_vcpus_pin", "efi"),
        *("extra_guest_irqs", "font", "gdb", "gnttab", "gnttab_max_maptrack_frames", "guest_loglvl"),
        *("iommu_dev_iotlb_timeout", "load-balance-ratelimit", "lock-depth-size", "loglvl", "low_crashinfo"),
        *("low_mem_virq_limit", "max_lpi_bits", "memop-max-order", "noreboot", "partial-emulation", "pci", "pci-phantom"),
        *("rcu-idle-timer-period-ms", "sched", "sched-gran", "sched_credit2_max_cpus_runqueue"),
        *("sched_credit2_migrate_resist", "sched_credit_tslice_ms", "sched_ratelimit_us", "sched_smt_power_savings"),
        *("scrub-domheap", "serial_tx_buffer", "serrors", "spec-ctrl", "sync_console", "tbuf_size", "tevt_mask"),
        *("tickle_one_idle_cpu", "timer_slop", "vcpu_migration_delay", "vesa-ram", "vga", "vwfi"),
    }
)
"""The other parameters of common/, drivers/ and arch/arm, 4.17 to master: none of them changes what is answered here."""


class Word(NamedTuple):
    """A word of Xen's line. ``standing`` is ``modelled``, ``harmless``, ``not modelled`` or ``unknown``.

    ``near`` is the known name that an unknown one looks like.
    """

    text: str
    name: str
    standing: str
    near: str = ""


def words_of(text: str) -> tuple[Word, ...]:
    """Return each word of Xen's line with what is known of it."""
    return tuple(_word(word) for word in words_on(text))


def _word(word: str) -> Word:
    name = word.partition("=")[0].removeprefix("no-")
    if name in _MODELLED:
        return Word(word, name, "modelled")
    if name in _MATTERS:
        return Word(word, name, "not modelled")
    if name in _HARMLESS:
        return Word(word, name, "harmless")
    from difflib import get_close_matches  # needed where a word is unknown

    near = get_close_matches(name[:_LONGEST], sorted(_MODELLED | _MATTERS | _HARMLESS), 1, 0.7)
    return Word(word, name, "unknown", near[0] if near else "")
