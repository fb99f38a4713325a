"""A recorded /proc/iomem as the iomem_resource view: what it shows was claimed for certain."""

from __future__ import annotations

import re
from typing import Final

from dtanalyze.address.range import AddressRange
from dtanalyze.address.rangeset import RangeSet
from dtanalyze.address.units import format_range
from dtanalyze.errors import InputError
from dtanalyze.linux.iomem import new_root
from dtanalyze.linux.memblock import Memblock
from dtanalyze.linux.resource import Resource

__all__ = ["hotplugged", "read_proc_iomem", "system_ram", "unlike"]

_LINE: Final = re.compile(r"( *)([0-9a-fA-F]+)-([0-9a-fA-F]+) : (.*)")
SCRATCH: Final = "Xen scratch"


def read_proc_iomem(text: str) -> Resource:
    """Return the tree that ``text`` lists, without "Xen scratch": those are what the analysis is to find.

    Raises `InputError` naming the line when it is no /proc/iomem, or when an unprivileged reader saw only zeros.
    """
    root = new_root()
    stack: list[tuple[int, Resource | None]] = [(-1, root)]
    highest = 0
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line.rstrip())
        if match is None:
            raise InputError(f"line {number} is not one of /proc/iomem: {line.strip()[:60]!r}")
        indent, start, end = len(match[1]), int(match[2], 16), int(match[3], 16)
        highest = max(highest, end)
        if end < start:
            raise InputError(f"line {number}: the range ends before it starts")
        while stack[-1][0] >= indent:
            stack.pop()
        parent = stack[-1][1]
        if parent is None or match[4] == SCRATCH:
            stack.append((indent, None))
            continue
        resource = Resource(match[4], start, end, system_ram=match[4].startswith("System RAM"))
        if parent.request_resource(resource) is not None:
            if highest == 0:
                break  # nothing but zeros so far: judged below
            raise InputError(f"line {number}: {match[4]} does not fit between its neighbours")
        stack.append((indent, resource))
    if not root.children:
        raise InputError("it lists no range; is it a /proc/iomem?")
    if highest == 0:
        raise InputError("all its addresses are zero: it was read without privilege, read it as root")
    return root


def system_ram(root: Resource) -> RangeSet:
    """Return the RAM that a recorded /proc/iomem shows; no-map parts are not told apart from devices there."""
    return RangeSet(AddressRange.spanning(item.start, item.end + 1) for item in root.children if item.system_ram)


def unlike(recorded: Resource, memory: Memblock, section_size: int) -> str | None:
    """Return the first way in which a record's RAM is not the tree's, or None.

    RAM from boot is entered run by run (request_standard_resources), so that each stands there with its own bounds: in a
    record of another board, of the same one without Xen, or of one that was cut, some do not. More RAM can only have been
    hot-plugged, in whole sections of ``section_size`` bytes.
    """
    expected = [(run, "System RAM") for run in memory.memory.difference(memory.nomap)]
    expected += [(run, "reserved") for run in memory.nomap]
    for run, name in sorted(expected):
        found = recorded.overlapping(run.start, run.last)
        if [(item.start, item.end, item.name) for item in found] != [(run.start, run.last, name)]:
            instead = ", ".join(f"{item.name} {item.start:#x}-{item.end:#x}" for item in found[:2]) or "nothing"
            return f"the tree's {name} {format_range(run.start, run.stop)} is recorded as {instead}"
    for item in recorded.children:
        whole = item.start % section_size == 0 and (item.end + 1) % section_size == 0
        from_boot = item.name == "reserved" or (item.system_ram and not whole)
        if from_boot and not memory.memory.touches(AddressRange.spanning(item.start, item.end + 1)):
            return f"it has {item.name} {item.start:#x}-{item.end:#x}, which the tree has not"
    return None


def hotplugged(recorded: Resource, memory: Memblock) -> RangeSet:
    """Return the RAM of a record that the tree does not have: what the balloon driver has hot-plugged since."""
    return system_ram(recorded).difference(memory.memory)
