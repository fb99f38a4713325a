"""Xen's own command line and dom0's: where they stand, and what of Xen's decides about a boot.

Mirrors boot_fdt_cmdline and boot_cmdline_find_by_kind (common/device-tree/bootinfo.c), parse_params (common/kernel.c) and
the parsers of the options read here. Every other word is named: one that could matter and is not modelled, or one that no
release knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from dtanalyze.address.units import GIB, KIB, MIB, TIB
from dtanalyze.devicetree.tree import Tree
from dtanalyze.xen.bootinfo import dom0_modules_of

__all__ = [
    "DOM0_MEM_DEFAULT",
    "CommandLine",
    "Word",
    "XenArgs",
    "dom0_command_line",
    "parse_bootargs",
    "words_of",
    "xen_bootargs",
    "xen_command_line",
]

DOM0_MEM_DEFAULT: Final = 512 * MIB
"""Bytes that dom0 gets when the command line has no dom0_mem."""

_UNIT: Final = {"": KIB, "b": 1, "k": KIB, "m": MIB, "g": GIB, "t": TIB}
_NUMBER: Final = re.compile(r"0[xX](?P<hex>[0-9a-fA-F]+)|(?P<octal>0[0-7]*)|(?P<decimal>[1-9][0-9]*)")
_ULL: Final = (1 << 64) - 1
_INT_MAX: Final = (1 << 31) - 1
_CHUNK: Final = 1000
"""Digits taken at once: Python reads no decimal number of more than 4,300."""
_UINT_MAX: Final = (1 << 32) - 1
_BADPAGE_LENGTH: Final = 99
"""Characters that opt_badpage holds."""
_LONGEST: Final = 40
_SVE: Final = re.compile(r"sve=-?[0-9]*")
_TRUE: Final = ("1", "yes", "on", "true", "enable")
_FALSE: Final = ("0", "no", "off", "false", "disable")


_MODELLED: Final = frozenset(
    {
        *("bootscrub", "console", "dom0_max_vcpus", "dom0_mem", "dtuart", "ext_regions", "gnttab_max_frames", "hmp-unsafe"),
        *("badpage", "iommu", "llc-coloring", "maxcpus"),
    }
)
_MATTERS: Final = frozenset(
    {
        *("acpi", "buddy-alloc-size", "dom0", "dom0-iommu", "dom0-llc-colors", "flask", "hardware_dom"),
        *("llc-nr-ways", "llc-size", "numa", "pci-passthrough", "pdx-compress", "scmi-smc-passthrough", "tee"),
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


class XenArgs(NamedTuple):
    """Options of Xen. ``dom0_mem`` is bytes, None when absent; ``iommu`` None leaves it to the default.

    ``console`` lists the consoles used: without ``dtuart`` among them Xen leaves every UART of the tree alone.
    ``bootscrub`` is ``idle`` (idle CPUs clean the heap while Xen boots), ``on`` (it is cleaned after dom0 is
    built) or ``off``. Without ``hmp_unsafe`` only CPUs of the kind of the first are used. ``bad_pages`` are frames that are
    kept out of use, the first of each run and the one after its last. ``dom0_sve``: dom0 is to have SVE.
    """

    dom0_mem: int | None = None
    ext_regions: bool = True
    iommu: bool | None = None
    iommu_force: bool = False
    dtuart: str | None = None
    console: str = "dtuart"
    max_grant_frames: int = 64
    dom0_max_vcpus: int | None = None
    bootscrub: str = "idle"
    llc_coloring: bool = False
    hmp_unsafe: bool = False
    dom0_sve: bool = False
    max_cpus: int | None = None
    bad_pages: tuple[tuple[int, int], ...] = ()


class CommandLine(NamedTuple):
    """A line and where it stands, in words; both empty when there is none."""

    text: str
    where: str


def xen_command_line(tree: Tree) -> CommandLine:
    """Return Xen's line: ``xen,xen-bootargs``, else ``bootargs`` when dom0's arguments stand apart."""
    chosen = tree.root.child("chosen")
    if chosen is None:
        return CommandLine("", "")
    for name in ("xen,xen-bootargs", "bootargs"):
        found = chosen.prop(name)
        if found is not None and (name != "bootargs" or _dom0_has_own_args(tree)):
            return CommandLine(found.string or "", f"{name} of /chosen")
    return CommandLine("", "")


def dom0_command_line(tree: Tree) -> CommandLine:
    """Return dom0's line: ``xen,dom0-bootargs`` outranks that of the kernel module, which outranks ``bootargs``."""
    chosen = tree.root.child("chosen")
    if chosen is None:
        return CommandLine("", "")
    own = chosen.prop("xen,dom0-bootargs")
    if own is not None:
        return CommandLine(own.string or "", "xen,dom0-bootargs of /chosen")
    module = _kernel_args(tree)
    if module is not None and module.text:
        return module
    found = chosen.prop("bootargs")
    return CommandLine(found.string or "", "bootargs of /chosen") if found is not None else CommandLine("", "")


def xen_bootargs(tree: Tree) -> str:
    """Return Xen's command line in /chosen, empty when there is none."""
    return xen_command_line(tree).text


def _dom0_has_own_args(tree: Tree) -> bool:
    chosen = tree.root.child("chosen")
    if chosen is not None and chosen.prop("xen,dom0-bootargs") is not None:
        return True
    module = _kernel_args(tree)
    return module is not None and bool(module.text)


def _kernel_args(tree: Tree) -> CommandLine | None:
    """Return the ``bootargs`` of dom0's first kernel module that has any (boot_cmdline_find_by_kind)."""
    for node, kind in dom0_modules_of(tree):
        prop = node.prop("bootargs")
        if kind == "Kernel" and prop is not None:
            return CommandLine(prop.string or "", f"bootargs of {node.path}")
    return None


def parse_bootargs(text: str) -> XenArgs:
    """Return what ``text`` sets; the last word of a kind counts, and a value that Xen cannot read changes nothing."""
    args = XenArgs()
    for word in _words(text):
        key, equals, value = word.partition("=")
        negated = key.startswith("no-")
        name = key.removeprefix("no-")
        if name == "ext_regions":
            args = args._replace(ext_regions=_boolean(value, args.ext_regions, negated=negated))
        elif name == "llc-coloring":
            args = args._replace(llc_coloring=_boolean(value, args.llc_coloring, negated=negated))
        elif name == "iommu":
            said = "no" if negated else value
            args = args._replace(iommu=_iommu(said, args.iommu), iommu_force=_forced(said, default=args.iommu_force))
        elif name == "hmp-unsafe":
            args = args._replace(hmp_unsafe=_boolean(value, args.hmp_unsafe, negated=negated))
        elif name == "bootscrub":
            args = args._replace(bootscrub=_bootscrub("no" if negated and not value else value, args.bootscrub))
        elif negated or not equals:
            continue
        elif name == "dom0_mem":
            args = args._replace(dom0_mem=_parse_size_and_unit(value))
        elif name == "badpage":
            args = args._replace(bad_pages=tuple(_bad_pages(value)))
        elif name == "dom0":
            args = args._replace(dom0_sve=args.dom0_sve or any(_SVE.fullmatch(item) for item in value.split(",")))
        elif name == "dtuart":
            args = args._replace(dtuart=value or None)
        elif name == "console":
            args = args._replace(console=value)
        elif name == "gnttab_max_frames" and (frames := _whole(value)) is not None and frames <= _INT_MAX:
            args = args._replace(max_grant_frames=frames)
        elif name == "dom0_max_vcpus":
            args = args._replace(dom0_max_vcpus=_unsigned(value, args.dom0_max_vcpus))
        elif name == "maxcpus":
            args = args._replace(max_cpus=_unsigned(value, args.max_cpus))
    return args


def _words(text: str) -> list[str]:
    """Return the words: only blanks part them."""
    return [word for word in text.split(" ") if word]


def _unsigned(text: str, default: int | None) -> int | None:
    """An integer parameter of 32 bits (assign_integer_param): what follows the number is complained of, and no more."""
    number, _ = _strtoull(text.removeprefix("-"))
    if text.startswith("-"):
        number = -number & _ULL
    return default if _UINT_MAX < number < _ULL - _INT_MAX else number & _UINT_MAX


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
    return tuple(_word(word) for word in _words(text))


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


def _strtoull(text: str) -> tuple[int, str]:
    """Return the number at the start of ``text`` and the rest, as simple_strtoull does with base 0: 0x hex, 0 octal.

    A number of more than 64 bits wraps.
    """
    match = _NUMBER.match(text)
    if match is None:
        return 0, text
    base = {"hex": 16, "octal": 8, "decimal": 10}[match.lastgroup or "decimal"]
    digits, number = match[match.lastgroup or 0], 0
    for at in range(0, len(digits), _CHUNK):
        part = digits[at : at + _CHUNK]
        number = number * base ** len(part) + int(part, base) & _ULL
    return number, text[match.end() :]


def _bad_pages(text: str) -> Iterator[tuple[int, int]]:
    """Yield the ranges of ``badpage=``, as init_boot_pages reads what string_param kept of it, up to what is no number."""
    text = text[:_BADPAGE_LENGTH]
    while text:
        first, text = _strtoull(text)
        last = first
        if text.startswith("-"):
            last, text = _strtoull(text[1:])
        if text and not text.startswith(","):
            return
        text = text[1:]
        yield first, max(first, last) + 1


def _whole(text: str) -> int | None:
    """Return the number that all of ``text`` is, else None."""
    number, rest = _strtoull(text)
    return number if text and not rest else None


def _parse_size_and_unit(text: str) -> int:
    """Return a size in bytes: a bare number is KiB."""
    number, rest = _strtoull(text)
    return number * _UNIT.get(rest[:1].lower(), KIB) & _ULL


def _iommu(value: str, default: bool | None) -> bool | None:
    """Each item of the comma list is looked at; those that are no boolean (``force``, ``verbose``) decide nothing here."""
    for item in value.split(","):
        if item in _FALSE:
            default = False
        elif item in _TRUE:
            default = True
    return default


def _bootscrub(value: str, default: str) -> str:
    """parse_bootscrub_param: alone it means on; what is neither a boolean nor ``idle`` changes nothing."""
    if value in _FALSE:
        return "off"
    if not value or value in _TRUE:
        return "on"
    return "idle" if value == "idle" else default


def _forced(value: str, *, default: bool) -> bool:
    """Whether an IOMMU is a must (parse_iommu_param)."""
    for item in value.split(","):
        for name in ("force", "required"):
            default = _flag(name, item, default=default)
    return default


def _flag(name: str, item: str, *, default: bool) -> bool:
    """Return what ``item`` says of a boolean called ``name`` (parse_boolean): itself, ``no-`` itself or with a value."""
    negated = item.startswith("no-")
    key, equals, value = item.removeprefix("no-").partition("=")
    if key != name:
        return default
    if not equals:
        return not negated
    return (value in _TRUE) is not negated if value in _TRUE + _FALSE else default


def _boolean(value: str, default: bool, *, negated: bool) -> bool:
    """A boolean parameter; ``no-`` turns it round, so that ``no-name=0`` means on."""
    if value and value not in _TRUE and value not in _FALSE:
        return default
    return (value not in _FALSE) is not negated
