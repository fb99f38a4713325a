"""A command line that a terminal or a mail wrapped, put together again.

Both break a long line; only a mail breaks it between words. Which it was shows in what comes next: the name of an option
begins a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

__all__ = ["whole_line"]

_NULL: Final = "<NULL>"
"""What printk says of a string that is not there."""
_WORD: Final = re.compile(r"[\w=,.@/][^\s:]*|-[\w-][^\s:]*|\S*=\S*")
"""What may stand on a command line; firmware's messages between have dashes and colons."""
_NAME: Final = re.compile(r"(?:no-)?([A-Za-z_][\w.-]*)")
_OPTIONS: Final = frozenset(
    {
        *("acpi", "badpage", "bootscrub", "buddy-alloc-size", "conring_size", "console", "console_timestamps", "cpufreq"),
        *("conswitch", "debug", "dom0", "dom0-iommu", "dom0-llc-colors", "dom0_max_vcpus", "dom0_mem", "dom0_vcpus_pin"),
        *("earlycon", "earlyprintk"),  # Linux's, which people write there too
        *("dtuart", "efi", "ext_regions", "flask", "gnttab", "gnttab_max_frames", "gnttab_max_maptrack_frames"),
        *("guest_loglvl", "hmp-unsafe", "iommu", "llc-coloring", "loglvl", "maxcpus", "noreboot", "partial-emulation"),
        *("pci-passthrough", "sched", "sched-gran", "serial_tx_buffer", "serrors", "spec-ctrl", "sync_console", "tee"),
        *("vwfi", "watchdog", "xen-llc-colors", "xsm"),
    }
)
"""What words of Xen's line on Arm begin with; only where a line is broken is this asked."""


def whole_line(text: str, after: Iterable[str]) -> str:
    """Return a command line with what the lines after it have of it, empty for one that is not there."""
    if text.strip() == _NULL:
        return ""
    for line in after:
        words = line.split()
        if not words or not all(map(_WORD.fullmatch, words)):
            break
        text += ("" if text[-1:].isspace() or _is_cut(text, words[0]) else " ") + line.lstrip()
    return text


def _is_cut(text: str, first: str) -> bool:
    """Tell whether ``first`` is the rest of the last word of ``text``."""
    name = _NAME.match(first)
    begins = name is not None and name[1] in _OPTIONS
    return text.endswith(("=", ",", "-", "_", ":")) or not begins
