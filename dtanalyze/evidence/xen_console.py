"""Xen's console, from a serial line or ``xl dmesg``: what one boot of Xen says of the machine and of its domains.

The lines are those of 4.16 to 4.22: ``printk`` calls in arch/arm (setup.c, domain_build.c, p2m.c), common/device-tree and
drivers/passthrough/iommu.c. Ends are printed inclusive or not, by line and by release; here every range has its true stop.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

from dtanalyze.address.range import ADDRESS_SPACE, AddressRange
from dtanalyze.errors import InputError
from dtanalyze.evidence.lines import MOST_REST, Fact, Line, xen_texts
from dtanalyze.evidence.wrapped import whole_line

__all__ = ["TELLING", "PrintedBank", "PrintedModule", "PrintedRegion", "XenConsole", "read_xen_console"]

_MOST: Final = 4096
"""Facts of one kind that are kept: no boot prints more, and a file that does is no log."""


class PrintedModule(NamedTuple):
    """A MODULE line; ``kind`` as Xen calls it."""

    kind: str
    range: AddressRange


class PrintedBank(NamedTuple):
    """A bank of a domain's RAM; ``domain`` is ``d0``, ``d1`` and so on, ``number`` what Xen counts it by, from 0."""

    domain: str
    range: AddressRange
    number: int


class PrintedRegion(NamedTuple):
    """An extended region of ``domain``; ``number`` is what Xen counts it by, from 0."""

    domain: str
    range: AddressRange
    number: int


class XenConsole(NamedTuple):
    """What one boot says; empty or None where it is silent.

    ``boots`` counts those that the log holds, ``boot`` (from 1) is the one taken. ``version`` is as the banner has it
    (``4.20.5-pre``), ``package`` a distribution's own version of it. ``ended`` is Xen's last line before it stopped,
    ``started`` the line on which it was done. ``refused`` are the domains (``d0``) for which it printed that it found no
    extended regions, ``totals`` the MiB that each domain's RAM is said to have. ``begun`` tells that the log has what stands
    before the RAM: without it, some of it may be missing. ``platform`` is the machine's name as Xen knows it, ``form`` the
    release whose form of words a line has, ``named`` the nodes that lines about what cannot be done name.
    """

    boots: int = 0
    boot: int = 0
    version: Fact[str] | None = None
    package: Fact[str] | None = None
    command_line: Fact[str] | None = None
    ram: tuple[Fact[AddressRange], ...] = ()
    reserved: tuple[Fact[AddressRange], ...] = ()
    modules: tuple[Fact[PrintedModule], ...] = ()
    cpus: Fact[int] | None = None
    iommu: Fact[bool] | None = None
    ipa_bits: Fact[int] | None = None
    grant_table: Fact[AddressRange] | None = None
    banks: tuple[Fact[PrintedBank], ...] = ()
    regions: tuple[Fact[PrintedRegion], ...] = ()
    refused: tuple[Fact[str], ...] = ()
    ended: Fact[str] | None = None
    started: Fact[str] | None = None
    totals: tuple[Fact[tuple[str, int]], ...] = ()
    begun: Fact[bool] | None = None
    platform: Fact[str] | None = None
    form: Fact[str] | None = None
    named: tuple[Fact[str], ...] = ()

    @property
    def goes_on(self) -> bool:
        """Whether the log goes on to where Xen started its domains, or stopped."""
        return self.started is not None or self.ended is not None

    def whole_banks_of(self, domain: str) -> tuple[AddressRange, ...]:
        """Return a domain's RAM where no line of it is missing: they count from 0, and come to what was said."""
        banks = [item.value for item in self.banks if item.value.domain == domain]
        size = sum(item.range.size for item in banks) >> 20
        said = next((item.value[1] for item in self.totals if item.value[0] == domain), size)
        whole = size == said and [item.number for item in banks] == list(range(len(banks)))
        return tuple(item.range for item in banks) if whole else ()

    def banks_of(self, domain: str) -> tuple[AddressRange, ...]:
        """Return where this domain's RAM lies, in the order of the log."""
        return tuple(item.value.range for item in self.banks if item.value.domain == domain)

    def regions_of(self, domain: str) -> tuple[AddressRange, ...]:
        """Return this domain's extended regions, in the order of the log."""
        return tuple(item.value.range for item in self.regions if item.value.domain == domain)

    @property
    def tells(self) -> int:
        """How much of a boot this is: to choose among several."""
        parts = (self.version, self.grant_table, self.banks, self.regions or self.refused, self.ended or self.started)
        return sum(map(bool, parts))


class _Boot:
    """The boot that is being read."""

    def __init__(self) -> None:
        self.seen: dict[str, Any] = {}
        self.domain = "d0"
        self.after_panic = False
        self.module_ends: list[tuple[str, int, int, int]] = []

    def one(self, key: str, value: object, line: int) -> None:
        self.seen.setdefault(key, Fact(value, line))

    def many(self, key: str, value: object, line: int) -> None:
        known = self.seen.setdefault(key, [])
        if len(known) < _MOST:
            known.append(Fact(value, line))

    def done(self) -> XenConsole:
        """Return the boot, the ends of its modules made exclusive: from 4.21 on they are printed inclusive.

        Xen's own module is whole pages, so its end tells.
        """
        inclusive = int(any(kind == "Xen" and end & 0xFFF == 0xFFF for kind, _, end, _ in self.module_ends))
        modules = tuple(
            Fact(PrintedModule(kind, found), line)
            for kind, start, end, line in self.module_ends
            if (found := _range(start, end + inclusive)) is not None
        )
        given: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in self.seen.items()}
        return XenConsole(**given, modules=modules)


def _range(start: int, stop: int) -> AddressRange | None:
    return AddressRange.spanning(start, stop) if start < stop <= ADDRESS_SPACE else None


_HEX: Final = r"(?:0x)?([0-9a-fA-F]{1,16})"
_Rule = tuple[re.Pattern[str], Callable[[_Boot, re.Match[str], int], None]]


def _ram(boot: _Boot, match: re.Match[str], line: int) -> None:
    start, stop = int(match[1], 16), int(match[2], 16) + 1
    if stop < start:
        raise InputError(f"line {line}: the range {match[1]}-{match[2]} is empty")
    found = _range(start, stop)
    if found is not None:
        boot.many("ram", found, line)


def _reserved(boot: _Boot, match: re.Match[str], line: int) -> None:
    # Entries of the reserve map are printed with an exclusive end up to 4.19, reserved-memory nodes never.
    end = int(match[2], 16)
    found = _range(int(match[1], 16), end + (end & 1))
    if found is not None:
        boot.many("reserved", found, line)


def _module(boot: _Boot, match: re.Match[str], line: int) -> None:
    if len(boot.module_ends) < _MOST:
        boot.module_ends.append((match[3].strip(), int(match[1], 16), int(match[2], 16), line))


def _grant(boot: _Boot, match: re.Match[str], line: int) -> None:
    found = _range(int(match[1], 16), int(match[2], 16))
    if found is not None:
        boot.one("grant_table", found, line)


def _building(boot: _Boot, match: re.Match[str], line: int) -> None:
    boot.domain = _domain(match[2])
    boot.many("totals", (boot.domain, int(match[1])), line)


def _bank(boot: _Boot, match: re.Match[str], line: int) -> None:
    found = _range(int(match[3], 16), int(match[4], 16))
    if found is not None:
        boot.many("banks", PrintedBank(_domain(match[1]) if match[1] else boot.domain, found, int(match[2])), line)


def _region(boot: _Boot, match: re.Match[str], line: int) -> None:
    found = _range(int(match[3], 16), int(match[4], 16))
    if found is not None:
        if not match[1]:  # 4.16 has regions for dom0 alone, and does not name it
            boot.one("form", "4.16", line)
        boot.many("regions", PrintedRegion(_domain(match[1]) if match[1] else "d0", found, int(match[2])), line)


def _domain(name: str) -> str:
    return re.sub(r"^dom(\d+)$", r"d\1", name)


def _panic(boot: _Boot, _match: re.Match[str], _line: int) -> None:
    boot.after_panic = True


def _banner(boot: _Boot, match: re.Match[str], line: int) -> None:
    boot.one("version", match[1], line)
    if match[2]:
        boot.one("package", match[2], line)


def _set(key: str, value: Callable[[re.Match[str]], object]) -> Callable[[_Boot, re.Match[str], int], None]:
    return lambda boot, match, line: boot.one(key, value(match), line)


_DOM: Final = r"(?:(d\d+|dom\d+|\[VE\]|dom0):? )?"
_RULES: Final[tuple[_Rule, ...]] = tuple(
    (re.compile(pattern), action)
    for pattern, action in (
        (r"Xen version (\d+\.\d+\S*)(?: \(((?:Debian|Ubuntu) [^()]+)\))?.*", _banner),
        (r"Checking for initrd in /chosen", _set("begun", lambda _: True)),
        (rf"RAM: {_HEX} - {_HEX}", _ram),
        (rf" ?RESVD\[\d+\]: {_HEX} - {_HEX}", _reserved),
        (rf"MODULE\[\d+\]: {_HEX} - {_HEX} (\w[\w ]*?)(?:=20)?", _module),
        (r"Brought up (\d+) CPUs", _set("cpus", lambda match: int(match[1]))),
        (r"I/O virtualisation (en|dis)abled", _set("iommu", lambda match: match[1] == "en")),
        (r"P2M: (\d+)-bit IPA with .*", _set("ipa_bits", lambda match: int(match[1]))),
        (rf"Grant table range: {_HEX}-{_HEX}", _grant),
        (r"Allocating (?:1:1 )?mappings totalling (\d{1,9})MB for (d\d+|dom\d+):", _building),
        (rf"{_DOM}(?:STATIC )?BANK\[(\d{{1,9}})\] {_HEX}-{_HEX}(?: \(\d+MB\))?", _bank),
        (rf"{_DOM}[Ee]xtended region (\d{{1,9}}): {_HEX}->{_HEX}", _region),
        (r"(d\d+): failed to allocate extended regions", lambda boot, match, line: boot.many("refused", match[1], line)),
        (r"Failed to allocate extended regions", lambda boot, _, line: boot.many("refused", "d0", line)),
        (r"Platform: (.*)", _set("platform", lambda match: match[1])),
        (r"Unable to .* (/\S+).*", lambda boot, match, line: boot.many("named", match[1], line)),
        (r"Panic on CPU \d+:", _panic),
        # What a panic repeats; a log may end before it does.
        (r"(?:Assertion '.*' failed at |Xen BUG at |CPU\d+: Unexpected Trap: ).*", _set("ended", lambda match: match[0])),
        (r"(?:\*\*\* Serial input to|Freed \d+kB init memory).*", _set("started", lambda match: match[0])),
    )
)
_LATER: Final = frozenset({"cpus", "iommu", "grant_table", "banks", "ended", "started"})
"""What Xen says long after it has listed the RAM."""
_LINE: Final = "Command line: "
_REMARK: Final = re.compile(r"\s+<[-=]{2,}(?:\s.*)?$")
"""An arrow and a remark, which people write behind a line that they show."""
TELLING: Final = (
    b"Xen version", b"Command line", b"Checking for", b"RAM: ", b"RESVD[", b"MODULE[", b"Brought up", b"I/O virt", b"P2M: ",
    b"Grant table", b"Allocating ", b"BANK[", b"xtended region", b"Panic on", b"***", b"Freed ", b"Assertion ", b"Xen BUG",
    b"Unexpected Trap", b"Platform: ", b"Unable to ",
)  # fmt: skip
"""What lines hold that are looked at: a part of a log without any of these is passed over."""
_STARTS: Final = (
    "Xen version", "Command line", "Checking", "RAM:", "RESVD[", " RESVD[", "MODULE[", "Brought up", "I/O virt", "P2M:",
    "Grant table r", "Allocating", "d", "BANK[", "STATIC BANK[", "Extended", "Failed to", "Panic on", "***", "Freed",
    "Assertion '", "Xen BUG", "CPU", "Platform: ", "Unable to ",
)  # fmt: skip


def read_xen_console(lines: Iterable[Line]) -> XenConsole:
    """Return what the last boot in the log says; raise `InputError` when no line of it is Xen's.

    The last but for one that ends before a domain is built, where an earlier one goes further.
    """
    boots: list[XenConsole] = []
    boot, number, count = _Boot(), 0, 0
    for number, text, rest in _said(lines):
        count += 1
        if _begins(text, boot.seen):
            boots = _kept(boots, boot.done())
            boot = _Boot()
        _take(boot, number, text, rest)
    if not count:
        raise InputError("no line begins with (XEN): it is not a Xen boot log")
    boots = _kept(boots, boot.done())
    last = max(boots, key=lambda item: (item.tells > 1, item.boot))
    return last._replace(boots=boots[-1].boot)


def _kept(boots: list[XenConsole], boot: XenConsole) -> list[XenConsole]:
    """Return the boots worth remembering: the best so far and the newest, so that a log of any length stays small."""
    numbered = boot._replace(boot=boots[-1].boot + 1 if boots else 1)
    best = [item for item in boots if item.tells > 1][-1:]
    return [*best, numbered]


def _said(lines: Iterable[Line]) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """Yield what Xen says: line number, text, and the lines before its next one, which may be the rest of it."""
    held: tuple[int, str] | None = None
    rest: list[str] = []
    for line in lines:
        texts = xen_texts(line.text)
        if not texts:
            if len(rest) < MOST_REST:
                rest.append(line.text)
            continue
        if held is not None:
            yield *held, tuple(rest)
        yield from ((line.number, text, ()) for text in texts[:-1])
        held, rest = (line.number, texts[-1]), []
    if held is not None:
        yield *held, tuple(rest)


def _begins(text: str, seen: dict[str, Any]) -> bool:
    """Tell whether this line opens another boot: RAM is listed before the banner, by releases whose console is early."""
    if text.startswith("Xen version"):
        return "version" in seen
    if text.startswith("Checking for initrd in /chosen"):
        return bool(seen)
    return text.startswith("RAM: ") and not _LATER.isdisjoint(seen)


def _take(boot: _Boot, number: int, text: str, after: tuple[str, ...]) -> None:
    if boot.after_panic and text.strip():
        boot.one("ended", text.strip().removesuffix("="), number)  # where mail cut it
        boot.after_panic = False
        return
    if not text.startswith(_STARTS):
        return
    if text.startswith(_LINE):
        boot.one("command_line", whole_line(text.removeprefix(_LINE), after), number)
        return
    text = _REMARK.sub("", text)
    # A line that the terminal or a mail wrapped: whole only together with the next.
    rest = after[0].strip() if after else ""
    wholes = [text.removesuffix("=") + rest, f"{text} {rest}", text] if rest else [text]
    for whole in wholes:
        for pattern, action in _RULES:
            match = pattern.fullmatch(whole)
            if match is not None and not (whole != text and _swallows(pattern)):
                action(boot, match, number)
                return


def _swallows(pattern: re.Pattern[str]) -> bool:
    """Tell whether the pattern takes any end, so that a next line proves nothing."""
    return pattern.pattern.endswith(".*") or pattern.pattern.endswith("(.*)")
