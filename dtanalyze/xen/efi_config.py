"""What Xen's EFI loader reads: the configuration file (``xen.cfg``) that names kernel, ramdisk and command lines.

Mirrors pre_parse, get_value and split_string and the loop over ``chain=`` (efi_start, common/efi/boot.c; docs/misc/
efi.pandoc). Nothing that the file names is read here. Left out: ``video=`` and ``ucode=``, which no Arm build uses, and
what a unified image carries in sections of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from dtanalyze.errors import InputError

__all__ = ["EfiConfig", "Value", "read_efi_config"]

_LINE: Final = re.compile(r"[^\x00-\x1f\x7f]+")
"""A line: every control character ends one, a tab too."""
_BLANK: Final = " \xa0"
"""What isspace() of Xen's own ctype takes for blank beside the control characters."""
_SETTINGS: Final = ("default=", "chain=", "options=", "kernel=", "ramdisk=", "xsm=", "dtb=", "video=", "ucode=")
_ROOM: Final = 4096
"""EFI_PAGE_SIZE: what Xen's command line is put together in."""


class Value(NamedTuple):
    """A value and the number of its line (from 1)."""

    text: str
    line: int


class EfiConfig(NamedTuple):
    """What counts of a configuration file; None where nothing says it.

    ``section`` is the one that is booted, empty where every line of the file counts; ``source`` the file that was read in
    the end, which ``chain=`` may have led to. ``kernel`` is a file, ``dom0_options`` what stands behind it.
    """

    section: str = ""
    source: str = ""
    options: Value | None = None
    kernel: Value | None = None
    dom0_options: str | None = None
    ramdisk: Value | None = None
    xsm: Value | None = None
    dtb: Value | None = None
    unended: bool = False

    @property
    def modules(self) -> tuple[tuple[str, str], ...]:
        """The files that are loaded, each with the name of its node, in the loader's order."""
        listed = (("kernel", self.kernel), ("ramdisk", self.ramdisk), ("xsm", self.xsm))
        return tuple((kind, value.text) for kind, value in listed if value is not None)


def read_efi_config(files: Mapping[str, str], section: str | None = None) -> EfiConfig:
    """Return what the first of ``files`` says, or the one that its ``chain=`` leads to.

    ``files`` are texts by name, the first the one that Xen begins with; ``section`` is what the EFI command line names,
    None where it names none. Raise `InputError` for a chain that ends nowhere, and for what Xen's loader has no room for.
    """
    name = next(iter(files))
    lines = _known(name, files[name])
    if section is None:
        default = _value(lines, "global", "default")
        section = default.text if default is not None else ""
    seen = {name}
    while _value(lines, section, "kernel") is None and (chain := _value(lines, "global", "chain")) is not None:
        where = f"{name}: line {chain.line}: chain={chain.text}"
        found = next((item for item in files if _base(item) == _base(chain.text)), None)
        if found is None:
            raise InputError(f"{where}: Xen reads that file instead, and it is not given (--xen-cfg {chain.text} too)")
        if found in seen:
            raise InputError(f"{where}: Xen reads these files in a circle for ever: none has kernel= for '{section}'")
        seen.add(found)
        name, lines = found, _known(found, files[found])
    return _config(name, files[name], lines, section)


def _config(name: str, text: str, lines: tuple[Value, ...], section: str) -> EfiConfig:
    kernel = _value(lines, section, "kernel")
    options = _value(lines, section, "options")
    file, behind = _split_string(kernel.text) if kernel is not None else ("", None)
    if options is not None and len(options.text) + 1 >= _ROOM:
        raise InputError(
            f"{name}: line {options.line}: options= has {len(options.text)} bytes: Xen's loader stops, 'FDT string overflow'"
        )
    return EfiConfig(
        section=section,
        source=name,
        options=options,
        kernel=Value(file, kernel.line) if kernel is not None else None,
        dom0_options=behind,
        ramdisk=_value(lines, section, "ramdisk"),
        xsm=_value(lines, section, "xsm"),
        dtb=_file(_value(lines, section, "dtb")),
        unended=_LINE.fullmatch(text[-1:]) is not None,
    )


def _file(value: Value | None) -> Value | None:
    return Value(_split_string(value.text)[0], value.line) if value is not None else None


def _base(name: str) -> str:
    """Return a file's own name: firmware writes paths with backslashes."""
    return re.split(r"[/\\]", name)[-1]


def _known(name: str, text: str) -> tuple[Value, ...]:
    """Return the lines of a file; raise `InputError` when it holds no setting, and so is something else."""
    lines = tuple(_lines(text))
    if not any(line.text.startswith(_SETTINGS) for line in lines):
        raise InputError(f"{name}: it is no xen.cfg: no line says {' or '.join(_SETTINGS)}")
    return lines


def _lines(text: str) -> Iterator[Value]:
    """Yield what pre_parse leaves: every control character ends a line, ``#`` anywhere and ``;`` first begin a comment."""
    at, number = 0, 1
    for match in _LINE.finditer(text):
        number += text.count("\n", at, match.start())
        at = match.start()
        line = match[0].lstrip(_BLANK)
        line = "" if line.startswith(";") else line.partition("#")[0]
        if line:
            yield Value(line, number)


def _value(lines: tuple[Value, ...], section: str, item: str) -> Value | None:
    """Return the first value of ``item`` in the first such section; without a section, the first in the whole file."""
    inside = not section
    for line in lines:
        if line.text.startswith("[") and section:
            if inside:
                return None
            inside = line.text.startswith(f"[{section}]")
        elif inside and line.text.startswith(f"{item}="):
            return Value(line.text[len(item) + 1 :].lstrip(_BLANK), line.line)
    return None


def _split_string(text: str) -> tuple[str, str | None]:
    """Return what stands before the first blank and what behind it, None where there is no blank."""
    found = re.search(f"[{_BLANK}]", text)
    return (text[: found.start()], text[found.end() :]) if found is not None else (text, None)
