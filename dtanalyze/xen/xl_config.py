"""What a toolstack guest's configuration (xl.cfg) says of its memory and of what is passed through.

Mirrors parse_config_data (tools/xl/xl_parse.c) over `xlu_cfg`'s settings. What xl ignores with a warning, as a string where
it wants a list, is refused here: nobody means it. Left out: settings that do not concern address space.
"""

from __future__ import annotations

import re
from typing import Final

from dtanalyze.address.units import MIB
from dtanalyze.errors import InputError
from dtanalyze.xen.toolstack import Iomem, Toolstack
from dtanalyze.xen.xlu_cfg import Setting, read_settings

__all__ = ["read_xl_config"]

_PAGE: Final = 4096
_NUMBER: Final = re.compile(r"\s*[-+]?(?:0[xX][0-9A-Fa-f]+|[0-9]+)")
_IOMEM: Final = re.compile(r"\s*(?:0[xX])?([0-9A-Fa-f]+),\s*(?:0[xX])?([0-9A-Fa-f]+)(?:@\s*(?:0[xX])?([0-9A-Fa-f]+))?")
_PASSTHROUGH: Final = ("default", "disabled", "enabled", "sync_pt", "share_pt")
_VUART: Final = ("unknown", "sbsa_uart")


def read_xl_config(text: str) -> Toolstack:
    """Return what the configuration says; raise `InputError` with the line when it is none."""
    settings = read_settings(text)
    memory, most = (_number(settings, name) for name in ("memory", "maxmem"))
    if memory is None and most is None:
        raise InputError("it says no memory, and xl would give the guest 32 MiB: a configuration has memory = MEGABYTES")
    size = (most or memory or 0) * MIB
    if not 0 < size <= 1 << 40:
        raise InputError(f"memory of {size // MIB} MiB cannot be meant")
    vcpus = _number(settings, "maxvcpus") or _number(settings, "vcpus") or 1
    return Toolstack(
        name=_string(settings, "name") or "guest",
        size=size,
        vcpus=vcpus,
        iomem=tuple(_iomem(item) for item in _list(settings, "iomem")),
        irqs=tuple(map(_irq, _list(settings, "irqs"))),
        dtdev=tuple(_list(settings, "dtdev")),
        passthrough=_passthrough(_one_of(settings, "passthrough", _PASSTHROUGH)),
        vuart=_one_of(settings, "vuart", _VUART) == "sbsa_uart",
        device_tree=_string(settings, "device_tree"),
    )


def _passthrough(said: str | None) -> bool | None:
    return None if said in (None, "default") else said != "disabled"


def _one_of(settings: dict[str, Setting], name: str, words: tuple[str, ...]) -> str | None:
    """Return a setting that is one of a few words, in small letters (libxl__enum_from_string)."""
    said = _string(settings, name)
    if said is not None and said.lower() not in words:
        raise InputError(f"{name} is one of {', '.join(words)}, not '{said}'")
    return said.lower() if said is not None else None


def _string(settings: dict[str, Setting], name: str) -> str | None:
    found = settings.get(name)
    if found is None:
        return None
    if isinstance(found.value, list):
        raise InputError(f"line {found.line}: {name} is a list, and one value is expected")
    return found.value


def _list(settings: dict[str, Setting], name: str) -> list[str]:
    found = settings.get(name)
    if found is None:
        return []
    if isinstance(found.value, str):
        raise InputError(f'line {found.line}: {name} is no list, so that xl ignores it: {name} = ["…"]')
    items = [item for item in found.value if isinstance(item, str)]
    if len(items) < len(found.value):
        raise InputError(f"line {found.line}: {name} has a list inside it, and strings are expected")
    return items


def _number(settings: dict[str, Setting], name: str) -> int | None:
    text = _string(settings, name)
    if text is None:
        return None
    if settings[name].added:
        raise InputError(f"line {settings[name].line}: += is for strings and lists: xl ignores {name}")
    if _NUMBER.fullmatch(text) is None:
        raise InputError(f"line {settings[name].line}: {name}: '{text}' is no number")
    try:
        return int(text, 8 if re.fullmatch(r"\s*[-+]?0[0-9]+", text) else 0)
    except ValueError as error:
        raise InputError(f"line {settings[name].line}: {name}: '{text}' is no number") from error


def _irq(text: str) -> int:
    """Return the number of an interrupt, which xl reads as a decimal one."""
    if not re.fullmatch(r"\s*\+?[0-9]{1,10}", text):
        raise InputError(f"irqs: '{text}' is no decimal number, and xl reads no other")
    return int(text)


def _iomem(text: str) -> Iomem:
    """Cut ``START,PAGES[@GUEST]``, page frames in hex."""
    match = _IOMEM.fullmatch(text)
    if match is None:
        raise InputError(f"iomem: '{text}' is not START,PAGES or START,PAGES@GUEST in hex page frames")
    start, pages = int(match[1], 16), int(match[2], 16)
    guest = int(match[3], 16) if match[3] is not None else start
    if max(start, guest) + pages > 1 << 52:
        raise InputError(f"iomem: '{text}' reaches beyond 64 bits of addresses")
    return Iomem(start * _PAGE, guest * _PAGE, pages * _PAGE)
