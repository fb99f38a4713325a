"""What Linux said and listed on a machine, against what is predicted for its tree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from dtanalyze.address.range import AddressRange
from dtanalyze.address.rangeset import RangeSet
from dtanalyze.address.units import KIB
from dtanalyze.analysis.guest import check_guest
from dtanalyze.analysis.observed import same_ram, shown
from dtanalyze.analysis.questions import CheckOptions
from dtanalyze.devicetree.tree import Tree
from dtanalyze.errors import InputError
from dtanalyze.evidence.bundle import Bundle, Named, memblock_ranges
from dtanalyze.evidence.linux_console import LinuxConsole
from dtanalyze.facts import CheckResult, Comparison
from dtanalyze.linux.proc_iomem import read_proc_iomem, system_ram
from dtanalyze.linux.profile import NEWEST, LinuxProfile, preset
from dtanalyze.linux.resource import Resource

__all__ = ["linux_comparisons", "linux_of"]

_LONG_LINE: Final = 900
_PAGES: Final = {"16k": (16 * KIB, 47), "64k": (64 * KIB, 48)}
"""Page size and address bits of distributions' flavours, as their names end."""


def linux_of(bundle: Bundle, named: str | None) -> tuple[LinuxProfile, list[str]]:
    """Return the kernel that the evidence speaks of, and what was taken for granted of it."""
    console = bundle.linux[1] if bundle.linux is not None else LinuxConsole()
    release = console.release.value if console.release is not None else _proc_version(bundle)
    match = re.match(r"\d+\.\d+", release or "")
    name = named or (match[0] if match else None)
    if bundle.kconfig is not None:
        from dtanalyze.linux.kconfig import profile_of

        note = f"Linux {release or name or NEWEST}, configured by {bundle.kconfig.name}"
        return profile_of(bundle.kconfig.text, name), [note]
    profile = preset(name or NEWEST)
    size, bits = _PAGES.get((release or "").rpartition("-")[2], (profile.page_size, profile.va_bits))
    profile = profile._replace(page_size=size, va_bits=bits)
    note = f"Linux {release or profile.name}: upstream's defaults, as its configuration is not known (/proc/config.gz)"
    return profile, [note]


def _proc_version(bundle: Bundle) -> str | None:
    return bundle.version.text.split()[2] if bundle.version is not None else None


def linux_comparisons(tree: Tree, linux: LinuxProfile, bundle: Bundle) -> Iterator[Comparison]:
    """Yield what dmesg and /proc/iomem say against what ``linux`` does with ``tree``."""
    console = bundle.linux[1] if bundle.linux is not None else LinuxConsole()
    source = bundle.linux[0] if bundle.linux is not None else ""
    kaslr = console.kaslr.value if console.kaslr is not None else None
    result = check_guest(tree, "", CheckOptions(linux=linux, kaslr=kaslr, requests=(1,)), written=True)
    said = bundle.cmdline
    if console.command_line is not None:
        yield _line(tree, console.command_line.value, source, console.command_line.line)
    elif said is not None:
        yield _line(tree, said.text, said.name, 1)
    yield from _dmesg(result, check_guest(tree, "", CheckOptions(linux=linux), written=True), console, source)
    if bundle.memblock is not None:
        seen = memblock_ranges(bundle.memblock)
        same = same_ram(result.ram, seen)
        cause = "" if same else "the boot loader, mem= or firmware changed the RAM"
        yield Comparison("memblock", shown(result.ram), shown(seen), same, bundle.memblock.name, cause=cause)
    for listed in (bundle.iomem, bundle.iomem_after):
        if listed is not None:
            yield from _iomem(result, listed)
    if bundle.iomem_after is not None:
        yield _scratch(result, bundle.iomem_after)


def _line(tree: Tree, printed: str, source: str, line: int) -> Comparison:
    """Compare the command line that the tree hands to Linux with the one that it started with."""
    chosen = tree.root.child("chosen")
    prop = chosen.prop("bootargs") if chosen is not None else None
    mine, seen = " ".join((prop.string or "").split()) if prop is not None else "", " ".join(printed.split())
    whole, said = "".join(mine.split()), "".join(seen.split())  # where a log is wrapped, blanks are a guess
    # printk cuts a line at about 1,000 characters (LOG_LINE_MAX).
    same = whole == said or (len(seen) > _LONG_LINE and whole.startswith(said))
    cut = not same and bool(said) and whole.startswith(said)
    cause = "" if same else "CONFIG_CMDLINE, or the boot loader gave another line than the tree has"
    cause = "the log's line is cut, or the kernel was given less" if cut else cause
    agrees: bool | None = True if same else None if not mine or cut else False
    return Comparison("Linux's command line", mine or "none", seen, agrees, source, line, cause)


def _dmesg(result: CheckResult, as_tree: CheckResult, console: LinuxConsole, source: str) -> Iterator[Comparison]:
    answer = result.answer
    if console.xen is not None:
        mine = answer.detection.version if answer is not None else None
        yield Comparison(
            "Xen, as Linux sees it", mine or "none", console.xen.value, mine == console.xen.value, source, console.xen.line
        )
    if console.kaslr is not None and as_tree.kaslr is not None:
        same = as_tree.kaslr == console.kaslr.value
        cause = "" if same else "the kernel is built without CONFIG_RANDOMIZE_BASE, or something on its command line says so"
        agrees: bool | None = same
        if console.kaslr.value and not same:
            agrees, cause = None, "the seed came from the CPU (FEAT_RNG) or the firmware: no tree shows that"
        yield Comparison("KASLR", _on(as_tree.kaslr), _on(console.kaslr.value), agrees, source, console.kaslr.line, cause)
    if console.ram:
        seen = [item.value for item in console.ram]
        same = same_ram(result.ram, seen)
        cause = "" if same else "the boot loader, mem= or firmware changed the RAM"
        yield Comparison("Linux's RAM", shown(result.ram), shown(RangeSet(seen)), same, source, console.ram[0].line, cause)
    # The line about the target follows that one: a log that has it reaches far enough.
    if answer is not None and console.xen is not None and answer.detection.found:
        line = console.without_target
        seen_target = "none: it balloons" if line is not None else "xen_resource, or the option is off"
        mine_target = answer.target_name or "none: it balloons"
        agrees = (line is not None) == (answer.target is None and result.linux.unpopulated_alloc)
        yield Comparison("scratch pages from", mine_target, seen_target, agrees, source, line.line if line else None)


def _on(value: bool) -> str:
    return "on" if value else "off"


def _iomem(result: CheckResult, listed: Named) -> Iterator[Comparison]:
    try:
        recorded = read_proc_iomem(listed.text)
    except InputError as error:
        yield Comparison("/proc/iomem", "", str(error), None, listed.name, cause="read it as root")
        return
    if result.answer is None:
        return
    mine = RangeSet(_range(item) for item in result.answer.iomem.root.children if item.system_ram)
    seen = system_ram(recorded)
    size = result.linux.section_size
    # What the balloon driver adds later comes in whole sections (xen_hotplug_unpopulated, add_memory_resource).
    added = list(seen.difference(mine))
    same = not list(mine.difference(seen)) and all(run.start % size == run.size % size == 0 for run in added)
    cause = "" if same else "mem=, firmware, or another board's record"
    if same and added:
        cause = f"{shown(added)} was hot-plugged since"
    yield Comparison("System RAM", shown(mine), shown(seen), same, listed.name, cause=cause)
    others = [item for item in result.answer.iomem.root.children if not item.system_ram and item.name != "Xen scratch"]
    missing = [item for item in others if item.certain and not recorded.overlapping(item.start, item.end)]
    cause = "the driver did not bind, or is not built" if missing else ""
    text = ", ".join(f"{item.name} {item.start:#x}-{item.end:#x}" for item in missing[:4])
    seen_text = f"not there: {text}" if missing else "all there"
    yield Comparison("claims that are certain", f"{len(others)} ranges", seen_text, not missing, listed.name, cause=cause)


def _range(item: Resource) -> AddressRange:
    return AddressRange.spanning(item.start, item.end + 1)


def _first_fit(allowed: RangeSet, size: int) -> int | None:
    """Return where the first request of all lands when it takes ``size`` bytes."""
    return next((run.start for run in allowed if run.size >= size), None)


def _scratch(result: CheckResult, listed: Named) -> Comparison:
    """Compare where scratch pages were put: whole sections, where the model allows them, from the first one on."""
    pattern = re.compile(r"\s*([0-9a-f]+)-([0-9a-f]+) : Xen scratch", re.IGNORECASE)
    seen = [
        (number, AddressRange.spanning(int(match[1], 16), int(match[2], 16) + 1))
        for number, line in enumerate(listed.text.split("\n"), 1)
        if (match := pattern.fullmatch(line.rstrip())) is not None
    ]
    size = result.linux.section_size
    room = result.answer.capacity if result.answer is not None else None
    allowed = RangeSet(AddressRange(run.start, run.sections * size) for run in (room.gaps if room else ()))
    first = next((item.taken for item in result.answer.requests if item.taken), None) if result.answer is not None else None
    inside = all(any(run.covers(item) for run in allowed) for _, item in seen)
    whole = all(item.start % size == 0 and item.size % size == 0 for _, item in seen)
    begun = first is None or any(item.start == _first_fit(allowed, item.size) for _, item in seen)
    mine = f"whole sections of {size >> 20} MiB within {shown(allowed)}" + (f", {shown((first,))} first" if first else "")
    why = [
        text
        for good, text in (
            (inside, "a range lies outside: something else was claimed there, or the regions are others"),
            (whole, "not whole sections: another page size or a patched kernel"),
            (begun, "the first section is not among them: KASLR, or a claim that the model does not have"),
        )
        if not good
    ]
    line = seen[0][0] if seen else None
    return Comparison("Xen scratch", mine, shown(item for _, item in seen), not why, listed.name, line, "; ".join(why))
