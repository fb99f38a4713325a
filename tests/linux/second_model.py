"""A second model of Linux on a guest's tree, as simple as can be: sets of 2 MiB granules, one section after another.

A `Guest` is drawn, written as a tree for the program, and answered here from what was drawn, never from the tree. Everything
is slow and literal on purpose; the names in comments are those of the kernel's functions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tests.linux.build import ROOT, hypervisor, reg, words

G = 2 << 20
"""Bytes of a granule: every address here is a multiple."""
SECTION = 64
"""Granules of a section of 128 MiB."""
PAGES = 512
"""Pages of 4 KiB in a granule."""

OLD = ("v3", "5.17", "6.1")
"""Kernels that read the reserve map first and end at 2^48."""

Span = tuple[int, int]
"""Start and size, in granules."""


class Reserved(NamedTuple):
    """A child of /reserved-memory."""

    spans: tuple[Span, ...]
    nomap: bool = False
    enabled: bool = True


class Device(NamedTuple):
    """A device. ``kind``: plain, amba, gicv3, generic (a PCI host), vendor (one too). ``bus``: none, simple, vendor, off.

    ``spans`` are its registers, ``windows`` memory windows of a PCI host; ``name`` and ``typed`` say how a host is called
    and whether it has device_type. A bus moves addresses up by ``SHIFT``.
    """

    kind: str
    spans: tuple[Span, ...]
    windows: tuple[Span, ...] = ()
    bus: str = "none"
    enabled: bool = True
    name: str = "pcie"
    typed: bool = True


class Guest(NamedTuple):
    """A whole guest, and what is asked of it: mappings of so many granules."""

    banks: tuple[Span, ...]
    reserved: tuple[Reserved, ...]
    memreserve: tuple[Span, ...]
    parent_fits: bool
    devices: tuple[Device, ...]
    grant: Span
    regions: tuple[Span, ...]
    requests: tuple[int, ...]
    linux: str
    va_bits: int
    kaslr: bool


class Answer(NamedTuple):
    """What the kernel comes to; ranges are (start, stop) in granules."""

    verdict: str
    sections: int
    largest: int
    taken: tuple[Span | None, ...]
    outcomes: tuple[str, ...]
    claims: tuple[tuple[str, int, int], ...]


# The tree.


def write(guest: Guest) -> str:
    """Return the guest as the body of the root node."""
    parts = [ROOT]
    parts += [f'memory@{n} {{ device_type = "memory"; {_reg([bank])} }};' for n, bank in enumerate(guest.banks)]
    parts.append(
        hypervisor([(start * G, size * G) for start, size in guest.regions], (guest.grant[0] * G, guest.grant[1] * G))
    )
    if guest.reserved:
        children = " ".join(
            f"r{n} {{ {_reg(item.spans)} {'no-map;' if item.nomap else ''} {_status(item.enabled)} }};"
            for n, item in enumerate(guest.reserved)
        )
        parts.append(f"reserved-memory {{ {ROOT} {'ranges;' if guest.parent_fits else ''} {children} }};")
    if guest.kaslr:
        parts.append("chosen { kaslr-seed = <0x1234 0x5678>; };")
    parts += [_device(n, item) for n, item in enumerate(guest.devices)]
    return " ".join(parts)


SHIFT = 32
_COMPATIBLE = {
    "plain": '"vendor,device"',
    "amba": '"arm,pl011", "arm,primecell"',
    "gicv3": '"arm,gic-v3"',
    "generic": '"pci-host-ecam-generic"',
    "vendor": '"vendor,pcie"',
}
_BUS = {
    "simple": 'compatible = "simple-bus";',
    "vendor": 'compatible = "vendor,bus";',
    "off": 'compatible = "simple-bus"; status = "disabled";',
}


def _halves(value: int) -> tuple[int, int]:
    return value >> 32, value & 0xFFFFFFFF


def _status(enabled: bool) -> str:
    return "" if enabled else 'status = "disabled";'


def _reg(spans: tuple[Span, ...] | list[Span]) -> str:
    return reg([(start * G, size * G) for start, size in spans])


def _device(number: int, device: Device) -> str:
    moved = SHIFT if device.bus != "none" else 0
    spans = [(start - moved, size) for start, size in device.spans]
    extra = ""
    name = f"dev@{number}"
    if device.kind in ("generic", "vendor"):
        name = f"{device.name}@{number}"
        extra = "#address-cells = <3>; #size-cells = <2>;" + (' device_type = "pci";' if device.typed else "")
        cells: list[int] = []
        for at, (start, size) in enumerate(device.windows):  # each at a bus address of its own: none continues another
            cells += [0x02000000, at, 0, *_halves((start - moved) * G), *_halves(size * G)]
        extra += f" ranges = {words(cells, 1)};" if cells else " ranges;"
    body = f"{name} {{ compatible = {_COMPATIBLE[device.kind]}; {_status(device.enabled)} {_reg(spans)} {extra} }};"
    if device.bus == "none":
        return body
    return f"bus{number} {{ {_BUS[device.bus]} {ROOT} ranges = {words((0, moved * G, 1 << 45))}; {body} }};"


# The answer.


def _granules(span: Span) -> set[int]:
    return set(range(span[0], span[0] + span[1]))


def _runs(granules: set[int]) -> Iterator[Span]:
    """Yield maximal runs as (start, stop)."""
    ordered = sorted(granules)
    at = 0
    while at < len(ordered):
        end = at
        while end + 1 < len(ordered) and ordered[end + 1] == ordered[end] + 1:
            end += 1
        yield ordered[at], ordered[end] + 1
        at = end + 1


class Kernel:
    """One boot."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self.claims: list[tuple[str, int, int]] = []
        self.unseen: list[set[int]] = []
        self._memory()
        self._claims()

    # arm64_memblock_init, fdt_scan_reserved_mem

    def _memory(self) -> None:
        guest = self.guest
        ram: set[int] = set()
        for bank in guest.banks:
            ram |= _granules(bank)
        described = [span for item in guest.reserved if item.enabled for span in item.spans]
        honoured = [item for item in guest.reserved if item.enabled] if guest.parent_fits else []
        early = guest.linux in OLD
        mapped: set[int] = set()
        nomap: set[int] = set()
        if early:
            for span in guest.memreserve:
                mapped |= _granules(span)
        for item in honoured:
            for span in item.spans[:1] if guest.linux == "7.3" else item.spans:
                if not item.nomap:
                    mapped |= _granules(span)
                elif _granules(span) & ram and not _granules(span) & mapped:
                    nomap |= _granules(span) & ram
        strays = [*described, *guest.memreserve]
        self.unseen += [_granules(span) - ram for span in strays if _granules(span) - ram]
        base = min(ram) // 512 * 512  # 1 GiB
        reach = (1 << guest.va_bits - 1) // G
        self.low, self.high = base, base + reach
        if guest.kaslr and guest.linux in (*OLD, "6.12") and guest.va_bits == 48:
            self.low = 0  # 2^47 - 2^44 is room; memstart goes below zero and wraps
        ram = {at for at in ram if at < base + reach}
        if guest.linux in OLD:
            self.high = min(self.high, (1 << 48) // G)
        self.ram = ram - nomap
        self.nomap = nomap & ram

    # request_standard_resources, gic_of_init, of_platform_populate, pci_host_common_probe

    def _request(self, name: str, start: int, stop: int) -> bool:
        if any(start < other_stop and other_start < stop for _, other_start, other_stop in self.claims):
            return False
        self.claims.append((name, start, stop))
        return True

    def _claims(self) -> None:
        for start, stop in _runs(self.ram):
            self.claims.append(("System RAM", start, stop))
        for start, stop in _runs(self.nomap):
            self.claims.append(("reserved", start, stop))
        devices = [item for item in self.guest.devices if item.enabled and item.bus != "off"]
        entered = [item for item in devices if item.bus in ("none", "simple")]
        got: set[tuple[int, int]] = set()
        for device in devices:
            if device.kind == "gicv3":
                for at, (start, size) in enumerate(device.spans[:2]):
                    if self._request("gic", start, start + size):
                        got.add((id(device), at))
        for device in entered:
            if device.kind == "amba":
                start, size = device.spans[0]
                if self._request("amba", start, start + size):
                    got.add((id(device), 0))
        probed = []
        for device in entered:
            if device.kind == "generic":
                before = list(self.claims)
                is_pci = device.typed or device.name == "pcie"
                wanted = [*(device.windows if is_pci else ()), device.spans[0]]
                if all(self._request("pci", start, start + size) for start, size in wanted):
                    probed.append(id(device))
                    got.add((id(device), 0))
                else:
                    self.claims = before
        for device in devices:
            if device.kind == "generic" and id(device) not in probed:
                continue  # no driver has it
            for at, span in enumerate(device.spans):
                if (id(device), at) not in got:
                    self.unseen.append(_granules(span))
            if device.kind == "vendor" and (device.typed or device.name == "pcie"):
                self.unseen += [_granules(span) for span in device.windows]
        if self.guest.grant[0]:
            self.unseen.append(_granules(self.guest.grant))

    # arch_xen_unpopulated_init, fill_list, xen_alloc_unpopulated_pages

    def accepted(self) -> bool:
        regions = self.guest.regions
        return bool(regions) and all(
            before + size <= start for (before, size), (start, _) in zip(regions, regions[1:], strict=False)
        )

    def space(self) -> set[int]:
        out: set[int] = set()
        for span in self.guest.regions:
            out |= {at for at in _granules(span) if self.low <= at < self.high}
        return out

    def find(self, free: set[int], sections: int) -> int | None:
        """Return the lowest aligned place of so many sections."""
        for start in sorted({-(-at // SECTION) * SECTION for at in free}):
            if all(at in free for at in range(start, start + sections * SECTION)):
                return start
        return None

    def refused(self, start: int, sections: int) -> bool:
        stop = start + sections * SECTION
        return any(start < other_stop and other_start < stop for _, other_start, other_stop in self.claims)

    def touched(self, granules: set[int]) -> bool:
        return any(granules & user for user in self.unseen)

    def answer(self) -> Answer:
        claims = tuple(sorted(self.claims))
        if not self.accepted():
            return Answer(
                "balloon", 0, 0, (None,) * len(self.guest.requests), ("balloon",) * len(self.guest.requests), claims
            )
        verdict, count = self._one_by_one()
        taken, outcomes = self._requests()
        return Answer(verdict, count, self._largest(), taken, outcomes, claims)

    def _one_by_one(self) -> tuple[str, int]:
        free, count, hit = self.space(), 0, False
        while (start := self.find(free, 1)) is not None:
            if self.refused(start, 1):
                return "conflict", count
            section = set(range(start, start + SECTION))
            hit = hit or self.touched(section)
            free -= section
            count += 1
        return ("hazard" if hit else "scratch" if count else "exhausted"), count

    def _largest(self) -> int:
        best, free = 0, self.space()
        for sections in range(1, len(free) // SECTION + 1):
            start = self.find(free, sections)
            if start is not None and not self.refused(start, sections):
                best = sections
        return best

    def _requests(self) -> tuple[tuple[Span | None, ...], tuple[str, ...]]:
        free = self.space()
        stack: list[int] = []  # the list of pages, by granules; its end is the top
        taken: list[Span | None] = []
        outcomes: list[str] = []
        claims = list(self.claims)
        for wanted in self.guest.requests:
            fill: Span | None = None
            if len(stack) < wanted:
                sections = -(-(wanted - len(stack)) // SECTION)
                start = self.find(free, sections)
                if start is None or self.refused(start, sections):
                    outcomes.append("exhausted" if start is None else "conflict")
                    taken.append(None)
                    continue
                fill = (start, start + sections * SECTION)
                free -= set(range(*fill))
                stack += range(*fill)
                self.claims.append(("scratch", *fill))
            handed = [stack.pop() for _ in range(wanted)]
            stack += handed
            on = set(handed) | (set(range(*fill)) if fill else set())
            outcomes.append("hazard" if self.touched(on) else "scratch")
            taken.append(fill)
        self.claims = claims
        return tuple(taken), tuple(outcomes)
