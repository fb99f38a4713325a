"""Linux's kernel log, from ``dmesg`` or a serial line: what one boot says of the kernel and of its memory.

The lines are those of arm64 kernels 5.16 to 7.3: init/main.c, arch/arm64/kernel/setup.c and kaslr.c, mm/mm_init.c,
arch/arm/xen/enlighten.c, drivers/xen/unpopulated-alloc.c, drivers/firmware/efi.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from dtanalyze.address.range import AddressRange
from dtanalyze.errors import InputError
from dtanalyze.evidence.lines import MOST_REST, XEN_MARK, Fact, Line, guest_of, linux_text
from dtanalyze.evidence.wrapped import whole_line

__all__ = ["TELLING", "EfiRange", "LinuxConsole", "read_linux_console"]

_MOST: Final = 4096
_EFI_RAM: Final = ("Conventional Memory", "Boot Code", "Boot Data")


class EfiRange(NamedTuple):
    """One line of the firmware's memory map as the kernel prints it (``efi=debug``)."""

    kind: str
    range: AddressRange


class LinuxConsole(NamedTuple):
    """What one boot of Linux says; empty or None where it is silent.

    ``release`` is the whole of it (``6.12.117+deb13-arm64``), ``xen`` the release that it found (``4.20``), ``kaslr``
    whether it says that it is randomized. ``ram`` are the memory node ranges, ``refused`` the lines about scratch pages.
    """

    boots: int = 0
    release: Fact[str] | None = None
    model: Fact[str] | None = None
    command_line: Fact[str] | None = None
    xen: Fact[str] | None = None
    kaslr: Fact[bool] | None = None
    ram: tuple[Fact[AddressRange], ...] = ()
    efi: tuple[Fact[EfiRange], ...] = ()
    refused: tuple[Fact[str], ...] = ()

    @property
    def efi_ram(self) -> tuple[AddressRange, ...]:
        """The firmware's RAM as Xen's EFI loader takes it (efi_process_memory_map_bootinfo): free, or boot services'."""
        return tuple(item.value.range for item in self.efi if item.value.kind in _EFI_RAM)

    @property
    def without_target(self) -> Fact[str] | None:
        """The line that says that the kernel goes without xen_resource, and balloons."""
        return next((item for item in self.refused if "Cannot initialize target resource" in item.value), None)


_MEM: Final = r"\[mem 0x([0-9a-f]+)-0x([0-9a-f]+)(?: flags 0x[0-9a-f]+)?\]"
_ONCE: Final[tuple[tuple[str, re.Pattern[str], Callable[[re.Match[str]], object]], ...]] = tuple(
    (key, re.compile(pattern), value)
    for key, pattern, value in (
        ("model", r"(?:OF: fdt: )?Machine model: (.+)", lambda match: match[1]),
        ("xen", r"Xen (\d+\.\d+) support found", lambda match: match[1]),
        ("kaslr", r"KASLR (enabled|disabled).*", lambda match: match[1] == "enabled"),
    )
)
_LINE: Final = "Kernel command line: "
TELLING: Final = (
    b"Linux version ", b"Machine model: ", b"command line: ", b"support found", b"KASLR", b": [mem 0x", b"efi: mem",
    b"xtended regions", b"xen:unpopulated", b"IOMEM resource", b"Cannot request resource",
)  # fmt: skip
"""What lines hold that are looked at: a part of a log without any of these is passed over."""
_VERSION: Final = re.compile(r"Linux version (\d+\.\d+\S*) .*")
_NODE: Final = re.compile(rf" *node +\d+: {_MEM}")
_EFI: Final = re.compile(r"efi: mem\d+: \[([^\]]*)\].*range=\[0x([0-9a-f]+)-0x([0-9a-f]+)\].*")
_REFUSED: Final = (
    "No extended regions are found",
    "xen:unpopulated: ",
    "Cannot allocate new IOMEM resource",
    "Cannot request resource ",
    "Cannot find the extended regions",
)


def read_linux_console(lines: Iterable[Line]) -> LinuxConsole:
    """Return what the last boot in the log says; raise `InputError` when no line of it is Linux's.

    Where Xen's console carries the kernels of several domains, dom0's counts, and the first other one where it is silent.
    """
    kernels: dict[int, _Kernel] = {}
    count, bare = 0, False
    for line in lines:
        text, domain = linux_text(line.text), guest_of(line.text)
        if text is None:
            # dmesg -t, or a kernel without printk.time: its lines are known by the first one.
            bare = bare or (not count and _VERSION.fullmatch(line.text) is not None)
            if not bare or not line.text or XEN_MARK in line.text:
                for kernel in kernels.values():
                    kernel.other(line.text)
                continue
            text = line.text
        count += 1
        kernels.setdefault(domain, _Kernel()).take(text, line.number)
    if not count:
        raise InputError("no line has a kernel's timestamp: it is not a Linux boot log")
    told = [item.done() for _, item in sorted(kernels.items())]
    return next((item for item in told if item.release is not None), told[0])


class _Kernel:
    """The log of one kernel that is being read."""

    def __init__(self) -> None:
        self._seen: dict[str, Any] = {}
        self._boots = 0
        self._line: tuple[str, int] | None = None
        self._rest: list[str] = []

    def take(self, text: str, number: int) -> None:
        """Take a line of it."""
        self._end_line()
        version = _VERSION.fullmatch(text)
        if version is not None:
            self._boots += 1
            self._seen = {"release": Fact(version[1], number)}
        elif text.startswith(_LINE):
            self._line = text.removeprefix(_LINE), number
        else:
            _take(self._seen, text, number)

    def other(self, text: str) -> None:
        """Take a line without a timestamp: what a terminal or a mail has wrapped of a long command line."""
        if self._line is not None and len(self._rest) < MOST_REST:
            self._rest.append(text)

    def done(self) -> LinuxConsole:
        """Return what its last boot says."""
        self._end_line()
        given: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in self._seen.items()
        }
        return LinuxConsole(**given, boots=self._boots)

    def _end_line(self) -> None:
        if self._line is not None:
            text, number = self._line
            self._seen.setdefault("command_line", Fact(whole_line(text, self._rest), number))
        self._line, self._rest = None, []


def _take(seen: dict[str, Any], text: str, line: int) -> None:
    for key, pattern, value in _ONCE:
        match = pattern.fullmatch(text)
        if match is not None:
            seen.setdefault(key, Fact(value(match), line))
            return
    node = _NODE.fullmatch(text)
    if node is not None:
        _add(seen, "ram", _range(node[1], node[2]), line)
        return
    efi = _EFI.fullmatch(text)
    if efi is not None:
        found = _range(efi[2], efi[3])
        _add(seen, "efi", EfiRange(efi[1].partition("|")[0].strip(), found) if found else None, line)
    elif text.startswith(_REFUSED):
        _add(seen, "refused", text, line)


def _range(first: str, last: str) -> AddressRange | None:
    start, stop = int(first, 16), int(last, 16) + 1
    return AddressRange.spanning(start, stop) if start < stop <= 1 << 64 else None


def _add(seen: dict[str, Any], key: str, value: object, line: int) -> None:
    known = seen.setdefault(key, [])
    if value is not None and len(known) < _MOST:
        known.append(Fact(value, line))
