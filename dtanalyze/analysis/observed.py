"""What was predicted for a host against what Xen printed on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from dtanalyze.address.range import AddressRange
from dtanalyze.address.rangeset import RangeSet
from dtanalyze.address.units import format_range
from dtanalyze.facts import Comparison
from dtanalyze.findings import Finding
from dtanalyze.verdicts import LOG_CONTRADICTS
from dtanalyze.xen.prediction import Prediction

if TYPE_CHECKING:  # only a caller with a log needs its reader
    from dtanalyze.evidence.lines import Fact
    from dtanalyze.evidence.xen_console import PrintedRegion, XenConsole

__all__ = [
    "against_console",
    "contradictions",
    "is_part_of_ram",
    "ram_listed",
    "reach",
    "regions",
    "same_ram",
    "shown",
    "xen_line",
]

_SHOWN: Final = 8
_TELLING: Final = 40
"""So many letters of Xen's last line, or all of it, say which it is."""


def shown(ranges: Iterable[AddressRange]) -> str:
    """Return ranges as one line, the kernel's way; many are cut short."""
    listed = [format_range(item.start, item.stop) for item in ranges]
    more = f", and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more if listed else "none"


def against_console(predictions: Sequence[Prediction], console: XenConsole, source: str) -> Iterator[Comparison]:
    """Yield how far Xen came and each domain's regions; dom0's RAM is taken as given or as the log has it."""
    yield reach(predictions, console, source)
    yield from regions(predictions, console, source)


def reach(predictions: Sequence[Prediction], console: XenConsole, source: str) -> Comparison:
    """Compare whether Xen starts its domains, and what stops it."""
    stop = next((item.stopped_by for item in predictions if item.stopped_by is not None), None)
    predicted = f"stops: {stop.message}" if stop else "starts its domains"
    if console.ended is not None:
        ended = console.ended
        same = stop is not None and (not stop.lines or _alike(stop.lines[-1], ended.value))
        cause = "" if same else ("it stops for another reason" if stop else "the model does not know this stop")
        return Comparison("Xen", predicted, f"stops: {ended.value}", same, source, ended.line, cause)
    if console.started is not None:
        cause = "the model stops where this Xen goes on" if stop else ""
        return Comparison("Xen", predicted, "starts its domains", stop is None, source, console.started.line, cause)
    if stop is not None and (stop.silent or not stop.lines):
        return Comparison("Xen", predicted, "the log ends without a word", True, source)
    return Comparison("Xen", predicted, "the log ends before that", None, source, cause="the whole log settles it")


def _alike(one: str, other: str) -> bool:
    """Compare Xen's lines without regard to blanks, the printed one as far as it goes: a log may have been wrapped."""
    mine, seen = "".join(one.split()).rstrip("."), "".join(other.split()).rstrip(".")
    return mine == seen or (len(seen) >= _TELLING and mine.startswith(seen))


def regions(predictions: Sequence[Prediction], console: XenConsole, source: str) -> Iterator[Comparison]:
    """Compare each domain's extended regions, of those domains that the log speaks of."""
    for name, item in _named(predictions):
        facts = [fact for fact in console.regions if fact.value.domain == name]
        refused = [fact for fact in console.refused if fact.value == name]
        built = console.banks_of(name) or facts or refused
        if not built:
            continue
        mine = tuple(item.regions.ranges)
        seen = console.regions_of(name)
        what = f"extended regions of {item.domain}"
        line = next(iter([fact.line for fact in facts] + [fact.line for fact in refused]), None)
        if mine and not seen and not refused and console.started is None:
            yield Comparison(what, shown(mine), "the log ends before them", None, source)
            continue
        if _is_part(mine, facts, console):
            yield Comparison(what, shown(mine), shown(seen), None, source, line, "the log lacks lines of them")
            continue
        yield Comparison(what, shown(mine), shown(seen), mine == seen, source, line)


def _is_part(mine: tuple[AddressRange, ...], facts: Sequence[Fact[PrintedRegion]], console: XenConsole) -> bool:
    """Tell whether the regions are those that were predicted, as far as the log has their lines: Xen counts them."""
    numbers = [fact.value.number for fact in facts]
    fits = all(number < len(mine) and mine[number] == fact.value.range for number, fact in zip(numbers, facts, strict=True))
    lost = set(range(max(numbers, default=-1))) - set(numbers)
    behind = len(mine) - 1 - max(numbers, default=len(mine))
    return bool(facts) and fits and (bool(lost) if console.goes_on else bool(lost) or behind > 0)


def _named(predictions: Sequence[Prediction]) -> Iterator[tuple[str, Prediction]]:
    """Yield each domain with its number: dom0 is 0, those of /chosen count from 1 in the order of the tree."""
    number = 0
    for item in predictions:
        if item.domain == "dom0":
            yield "d0", item
        elif item.domain.startswith("/"):
            number += 1
            yield f"d{number}", item


def contradictions(ram: Sequence[AddressRange], predictions: Sequence[Prediction], console: XenConsole) -> Iterator[Finding]:
    """Yield what a log says against the answer that was made with it; ``ram`` is the RAM that the answer stands on."""
    for item in (ram_listed(ram, console, "the log"), *against_console(predictions, console, "the log")):
        if item is not None and item.agrees is False:
            place = f" (line {item.line})" if item.line else ""
            yield Finding(
                LOG_CONTRADICTS.code,
                LOG_CONTRADICTS.name,
                LOG_CONTRADICTS.severity,
                f"{item.what}: predicted {item.predicted}; the log{place} says {item.seen}",
                LOG_CONTRADICTS.advice,
            )


def ram_listed(ram: Sequence[AddressRange], console: XenConsole, source: str) -> Comparison | None:
    """Compare the RAM of the tree with that of the log; None when one of them lists none."""
    seen = [item.value for item in console.ram]
    if not ram or not seen:
        return None
    same = same_ram(ram, seen)
    cause = "" if same else "the boot loader changed the memory nodes, or the log is another board's"
    agrees: bool | None = same
    if not same and is_part_of_ram(ram, console):
        agrees, cause = None, "the log may begin among its lines"
    return Comparison("RAM", shown(ram), shown(seen), agrees, source, console.ram[0].line, cause)


def is_part_of_ram(ram: Iterable[AddressRange], console: XenConsole) -> bool:
    """Tell whether a log lists RAM of the tree's only, and may lack the first lines of it."""
    seen = RangeSet(item.value for item in console.ram)
    return console.begun is None and not list(seen.difference(RangeSet(ram)))


def xen_line(line: str, console: XenConsole, source: str) -> Comparison | None:
    """Compare Xen's command line with the printed one, which counts; None when the log has none."""
    printed = console.command_line
    if printed is None:
        return None
    mine, seen = line.strip(), printed.value.strip()
    whole, said = "".join(mine.split()), "".join(seen.split())  # where a log is wrapped, blanks are a guess
    agrees, cause = whole == said, "the boot loader, or xen.cfg, gave Xen another line than the tree has"
    if not agrees and (not mine or (seen and whole.startswith(said))):
        cause = "the log's line is cut" if mine else "the boot loader wrote it into the tree: taken from the log"
        return Comparison("Xen's command line", mine or "none", seen, None, source, printed.line, cause)
    return Comparison("Xen's command line", mine, seen, agrees, source, printed.line, "" if agrees else cause)


def same_ram(one: Iterable[AddressRange], other: Iterable[AddressRange]) -> bool:
    """Tell whether two lists of banks are the same RAM."""
    return list(RangeSet(one)) == list(RangeSet(other))
