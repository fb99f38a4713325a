"""Arguments as people write them: the words of the command line, or the values that they stand for.

Whatever cannot be meant is one `UsageError` that names the argument and shows the form.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, TypeAlias, TypedDict

from dtanalyze.address.range import AddressRange
from dtanalyze.address.units import parse_ram, parse_ram_size, parse_size
from dtanalyze.analysis.questions import CheckOptions, HostQuestion
from dtanalyze.errors import UsageError
from dtanalyze.inputs.files import Overlays, read_overlays
from dtanalyze.linux.proc_iomem import read_proc_iomem
from dtanalyze.linux.profile import NEWEST, LinuxProfile, preset, preset_names
from dtanalyze.linux.unpopulated_alloc import MAX_REQUEST_PAGES
from dtanalyze.xen.options import XenOptions, usable
from dtanalyze.xen.profile import XenProfile, presets, release_of

__all__ = ["Asked", "Kind", "Memory", "PathWord", "call_words", "overlays_from", "question_from"]

Kind: TypeAlias = Literal["host", "dom0", "domu"]
Memory: TypeAlias = "str | AddressRange | Iterable[str | AddressRange]"
PathWord: TypeAlias = "str | os.PathLike[str]"


class Asked(TypedDict, total=False):
    """What may be asked of a tree; each is called as on the command line.

    ``linux`` and ``xen`` take a name, a comma list, ``"all"`` or several names; ``iommu`` takes ``"on"``, ``"off"``,
    ``"both"`` or a truth value; ``memory`` a range as ``"0x40000000+2G"`` or several; ``need`` pages or a size, ``"512M"``;
    ``requests`` pages; ``proc_iomem`` the text of a recorded one; ``dom0_mem`` a size; ``host`` what else is known;
    ``assume_memory`` is ``"auto"`` or ``"never"``.
    """

    linux: str | LinuxProfile | Iterable[str | LinuxProfile]
    xen: str | Iterable[str] | None
    iommu: bool | Literal["on", "off", "both"] | None
    tree: Kind | None
    memory: Memory
    assume_memory: Literal["auto", "never"]
    kaslr: bool | Literal["on", "off"] | None
    requests: int | Iterable[int]
    need: int | str | None
    proc_iomem: str | None
    dom0_mem: int | str | None
    host: XenOptions | None


_ON: Final[dict[object, bool | None]] = {"on": True, "off": False, True: True, False: False, None: None}


def question_from(asked: Mapping[str, Any]) -> tuple[CheckOptions, HostQuestion]:
    """Return the questions that the arguments ask; raise `UsageError` for one that cannot be meant."""
    for name in asked:
        if name not in Asked.__annotations__:
            near = difflib.get_close_matches(name, Asked.__annotations__, 1)
            hint = f"; the nearest is {near[0]}" if near else f"; there are {', '.join(Asked.__annotations__)}"
            raise UsageError(f"no argument is called {name}{hint}")
    kernels = _kernels(asked.get("linux", NEWEST))
    tree = asked.get("tree")
    if tree not in (None, "host", "dom0", "domu"):
        raise UsageError(f"tree is host, dom0 or domu, not {tree!r}")
    text = asked.get("proc_iomem")
    if text is not None and not isinstance(text, str):
        raise UsageError(f"proc_iomem takes the text of a recorded /proc/iomem, not {text!r}")
    assume = asked.get("assume_memory", "never")
    if assume not in ("auto", "never"):
        raise UsageError(f"assume_memory is auto or never, not {assume!r}")
    options = CheckOptions(
        linux=kernels[0],
        tree=tree,
        kaslr=_switch(asked.get("kaslr"), "kaslr"),
        memory=_memory(asked.get("memory", ())),
        requests=_requests(asked.get("requests", ())),
        need=_need(asked.get("need"), kernels[0].page_size),
        recorded=read_proc_iomem(text) if text is not None else None,
        assume_memory=assume == "auto",
    )
    return options, _host(options, kernels, asked)


def _host(options: CheckOptions, kernels: tuple[LinuxProfile, ...], asked: Mapping[str, Any]) -> HostQuestion:
    given = asked.get("host") or XenOptions()
    if not isinstance(given, XenOptions):
        raise UsageError(f"host takes XenOptions(...), not {given!r}")
    size = asked.get("dom0_mem")
    if size is not None:
        given = given._replace(dom0_mem=parse_ram_size(size) if isinstance(size, str) else _size(size, "dom0_mem"))
    if not given.memory:
        given = given._replace(memory=options.memory)
    iommu = asked.get("iommu")
    iommus = (False, True) if iommu == "both" else (_switch(iommu, "iommu", "both"),)
    if iommus == (None,):
        iommus = (given.iommu,)
    return HostQuestion(options, kernels, _releases(asked.get("xen"), given), iommus, usable(given))


def _names(value: object, argument: str, example: str) -> tuple[Any, ...]:
    """Return one name or several; a number is none, since 6.1 and 6.10 are the same number."""
    if isinstance(value, str):
        return (value,)
    if isinstance(value, Iterable) and not isinstance(value, bytes | tuple) or type(value) is tuple:
        return tuple(value)
    raise UsageError(f'{argument} takes a name such as "{example}" or several, not {value!r}')


def _kernels(value: object) -> tuple[LinuxProfile, ...]:
    if isinstance(value, LinuxProfile):
        return (value,)
    found: list[LinuxProfile] = []
    for item in _names(value, "linux", "6.12"):
        if isinstance(item, LinuxProfile):
            found.append(item)
        elif isinstance(item, str):
            found += map(preset, preset_names(item))
        else:
            raise UsageError(f'linux takes names such as "6.12", not {item!r}')
    if not found:
        raise UsageError("no kernel is asked about: linux is empty")
    return tuple(found)


def _releases(value: object, given: XenOptions) -> tuple[XenProfile, ...]:
    if value is None:
        return (release_of(given.log.version if given.log else None),)
    names = _names(value, "xen", "4.20")
    for item in names:
        if not isinstance(item, str):
            raise UsageError(f'xen takes names such as "4.20", not {item!r}')
    if not names:
        raise UsageError("no release is asked about: xen is empty")
    return tuple(release for item in names for release in presets(item))


def _switch(value: object, argument: str, *more: str) -> bool | None:
    if isinstance(value, str | bool) or value is None:
        found = _ON.get(value, "")
        if isinstance(found, bool) or found is None:
            return found
    raise UsageError(f"{argument} is {', '.join(('on', 'off', *more))}, True, False or None, not {value!r}")


def _memory(value: object) -> tuple[AddressRange, ...]:
    if isinstance(value, AddressRange):
        return (value,)
    if isinstance(value, str):
        return tuple(parse_ram(item) for item in value.split(","))
    if not isinstance(value, Iterable):
        raise UsageError(f'memory takes a range such as "0x40000000+2G" or several, not {value!r}')
    found: list[AddressRange] = []
    for item in value:
        if not isinstance(item, str | AddressRange):
            raise UsageError(f'memory takes ranges such as "0x40000000+2G", not {item!r}')
        found += _memory(item)
    return tuple(found)


def _requests(value: object) -> tuple[int, ...]:
    pages = (value,) if isinstance(value, int) else value
    if isinstance(pages, str | bytes) or not isinstance(pages, Iterable):
        raise UsageError(f"requests takes numbers of pages, not {value!r}")
    found = tuple(pages)
    for count in found:
        if isinstance(count, bool) or not isinstance(count, int):
            raise UsageError(f"requests takes numbers of pages, not {count!r}")
        if not 0 < count <= MAX_REQUEST_PAGES:
            raise UsageError(f"a request is for 1 to {MAX_REQUEST_PAGES} pages, not {count}")
    return found


def _need(value: object, page_size: int) -> int | None:
    """Return pages: a number, a text of digits, or a size in bytes with its unit."""
    if value is None:
        return None
    if isinstance(value, str) and not value.strip().isdigit():
        return -(-parse_size(value) // page_size)
    return _size(value, "need")


def _size(value: object, argument: str) -> int:
    if isinstance(value, str):
        return parse_size(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise UsageError(f'{argument} takes a number or a size such as "512M", not {value!r}')


def overlays_from(value: object) -> Overlays | None:
    """Return the overlays that a path, or several, name; raise `InputError` for one that cannot be read."""
    paths = (value,) if isinstance(value, str | os.PathLike) else value
    if not isinstance(paths, Iterable) or isinstance(paths, bytes):
        raise UsageError(f"overlays takes a path or several, not {value!r}")
    found = []
    for item in paths:
        if not isinstance(item, str | os.PathLike):
            raise UsageError(f"overlays takes paths, not {item!r}")
        found.append(os.fspath(item))
    return read_overlays(found, matrix=False)


def call_words(asked: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the arguments as options of the command line, for the commands that a report names."""
    words: list[str] = []
    for name, option in _OPTIONS.items():
        value = asked.get(name)
        for item in (value,) if isinstance(value, str | int | bool) or value is None else tuple(value):
            if isinstance(item, bool):
                words += [option, "on" if item else "off"] if name == "iommu" else [option if item else f"--no-{name}"]
            elif isinstance(item, AddressRange):
                words += [option, f"{item.start:#x}+{item.size:#x}"]
            elif item is not None:
                words += [option, item.name if isinstance(item, LinuxProfile) else str(item)]
    return tuple(words)


_OPTIONS: Final = {
    "linux": "--linux",
    "kaslr": "--kaslr",
    "tree": "--as",
    "memory": "--memory",
    "assume_memory": "--assume-memory",
    "xen": "--xen",
    "iommu": "--iommu",
    "dom0_mem": "--dom0-mem",
}
"""In the order in which the command line repeats them."""
