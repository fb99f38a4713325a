"""Everything that is known of one machine: each file recognised by what it holds, never by its name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import BinaryIO, Final, NamedTuple

from dtanalyze.address.range import ADDRESS_SPACE, AddressRange
from dtanalyze.errors import InputError, PackedError
from dtanalyze.evidence import linux_console, xen_console
from dtanalyze.evidence.lines import XEN, cleaned, read_lines
from dtanalyze.evidence.linux_console import LinuxConsole, read_linux_console
from dtanalyze.evidence.xen_console import XenConsole, read_xen_console

__all__ = ["Bundle", "Item", "Named", "gathered", "memblock_ranges", "version_of"]

MOST_BYTES: Final = 1 << 24
"""What a file that is no log may have: trees and configs are far smaller."""
_HEAD: Final = 1 << 16
_IOMEM: Final = re.compile(r"\s*[0-9a-f]{8,16}-[0-9a-f]{8,16} : ")
_MEMBLOCK: Final = re.compile(r"\s*\d+: +(0x[0-9a-f]+)\.\.(0x[0-9a-f]+).*")
_VERSION: Final = re.compile(r"Linux version \d+\.\d+\S* .*\n?")
"""/proc/version."""
_CMDLINE: Final = re.compile(r"(?:\S+ )*(?:console|root|rdinit|init|earlycon)=\S*(?: \S+)* ?\n?")
"""/proc/cmdline: one line of words, of which Linux knows one."""
_TREE: Final = b"\xd0\x0d\xfe\xed"


class Item(NamedTuple):
    """One file of the evidence, unpacked; ``open`` may be called more than once."""

    name: str
    open: Callable[[], BinaryIO]


class Named(NamedTuple):
    """A text and what its file is called."""

    name: str
    text: str


class Bundle(NamedTuple):
    """The evidence. ``trees`` are blobs with their names, ``unknown`` the names of files that say nothing known.

    ``version`` and ``cmdline`` are what /proc says of the kernel.
    """

    trees: tuple[tuple[str, bytes], ...] = ()
    xen: tuple[str, XenConsole] | None = None
    linux: tuple[str, LinuxConsole] | None = None
    iomem: Named | None = None
    iomem_after: Named | None = None
    kconfig: Named | None = None
    xl_info: Named | None = None
    memblock: Named | None = None
    version: Named | None = None
    cmdline: Named | None = None
    unknown: tuple[str, ...] = ()


def memblock_ranges(named: Named) -> tuple[AddressRange, ...]:
    """Return the ranges of a file of /sys/kernel/debug/memblock, whose ends are inclusive."""
    found = (_MEMBLOCK.fullmatch(line.rstrip()) for line in named.text.split("\n"))
    pairs = [(int(match[1], 16), int(match[2], 16) + 1) for match in found if match is not None]
    return tuple(AddressRange.spanning(start, stop) for start, stop in pairs if start < stop <= ADDRESS_SPACE)


def version_of(named: Named) -> str | None:
    """Return the release that ``xl info`` names (xen_version), without what follows its numbers."""
    found = re.search(r"^xen_version +: +(\d+\.\d+(?:\.\d+)?)", named.text, re.MULTILINE)
    return found[1] if found is not None else None


def gathered(items: Iterable[Item]) -> Bundle:
    """Return what the files hold; raise `InputError` naming the one that cannot be used, or a second of a kind."""
    found = Bundle()
    for item in items:
        try:
            found = _with(found, item)
        except InputError as error:
            raise InputError(f"{item.name}: {error}") from error
        except OSError as error:
            raise InputError(f"{item.name}: {error.strerror or error}") from error
    return found


def _with(found: Bundle, item: Item) -> Bundle:
    with item.open() as stream:
        head = stream.read(_HEAD)
    if head.startswith(_TREE):
        return found._replace(trees=(*found.trees, (item.name, _whole(item))))
    return _with_text(found, item, cleaned(head.decode("utf-8", "replace")))


def _with_text(found: Bundle, item: Item, head: str) -> Bundle:
    first = next((line for line in head.splitlines() if line.strip()), "")
    if _IOMEM.match(first):
        named = Named(item.name, cleaned(_whole(item).decode("utf-8", "replace")))
        if "Xen scratch" in named.text:
            return found._replace(iomem_after=named)
        return found._replace(iomem=named)
    if _MEMBLOCK.match(first):
        return found._replace(memblock=Named(item.name, cleaned(_whole(item).decode("utf-8", "replace"))))
    if _VERSION.fullmatch(head):
        return found._replace(version=Named(item.name, head.strip()))
    if _CMDLINE.fullmatch(head):
        return found._replace(cmdline=Named(item.name, head.strip()))
    if _is_config(head):
        return found._replace(kconfig=Named(item.name, _whole(item).decode("utf-8", "replace")))
    if re.search(r"^(xen_version|xen_major) +:", head, re.MULTILINE):
        return found._replace(xl_info=Named(item.name, cleaned(_whole(item).decode("utf-8", "replace"))))
    return _with_log(found, item)


def _with_log(found: Bundle, item: Item) -> Bundle:
    """Read a log for both: a serial line carries Xen's console and dom0's."""
    xen = linux = None
    try:
        with item.open() as stream:
            xen = read_xen_console(read_lines(stream, XEN, xen_console.TELLING))
    except PackedError:
        raise
    except InputError:
        xen = None
    try:
        with item.open() as stream:
            linux = read_linux_console(read_lines(stream, b"", linux_console.TELLING))
    except InputError:
        linux = None
    if xen is not None and found.xen is not None and found.xen[1].tells >= xen.tells:
        xen = None  # dom0's dmesg repeats nothing of Xen's; of two logs the fuller counts
    if xen is None and linux is None and (found.xen is None or item.name != found.xen[0]):
        return found._replace(unknown=(*found.unknown, item.name))
    if xen is not None:
        found = found._replace(xen=(item.name, xen))
    if linux is not None and linux.release is not None:
        found = found._replace(linux=(item.name, linux))
    return found


def _is_config(head: str) -> bool:
    return re.search(r"^(CONFIG_\w+=|# CONFIG_\w+ is not set)", head, re.MULTILINE) is not None


def _whole(item: Item) -> bytes:
    with item.open() as stream:
        data = stream.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise InputError(f"it has more than {MOST_BYTES >> 20} MiB and is no log")
    return data
