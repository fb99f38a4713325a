"""What the options of Xen's command line come to, as Xen reads them.

Mirrors parse_params and assign_integer_param (common/kernel.c), simple_strtoull and parse_size_and_unit (common/lib), and
the parsers of the options that decide about a boot. Which words there are besides stands in `known_options`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, TypeVar

from dtanalyze.address.units import GIB, KIB, MIB, TIB

__all__ = ["DOM0_MEM_DEFAULT", "XenArgs", "parse_bootargs", "simple_strtoull", "words_on"]

DOM0_MEM_DEFAULT: Final = 512 * MIB
"""Bytes that dom0 gets when the command line has no dom0_mem."""

_UNIT: Final = {"": KIB, "b": 1, "k": KIB, "m": MIB, "g": GIB, "t": TIB}
_NUMBER: Final = re.compile(r"0[xX](?P<hex>[0-9a-fA-F]+)|(?P<octal>0[0-7]*)|(?P<decimal>[1-9][0-9]*)")
_ULL: Final = (1 << 64) - 1
_Default = TypeVar("_Default")
_CUSTOM: Final = frozenset({"bootscrub", "dom0", "dom0_mem", "flask", "gnttab_max_frames", "iommu", "xsm"})
"""Options with a reader of their own: ``no-`` before one hands it the word no, and with a value too it is not read."""
_MAX_PARAM_SIZE: Final = 128
_CONSOLE_LENGTH: Final = 30
"""Bytes that Xen keeps of a word, and of ``console=``, the end included."""
_INT_MAX: Final = (1 << 31) - 1
_CHUNK: Final = 1000
"""Digits taken at once: Python reads no decimal number of more than 4,300."""
_UINT_MAX: Final = (1 << 32) - 1
_BADPAGE_LENGTH: Final = 99
"""Characters that opt_badpage holds."""
_SVE: Final = re.compile(r"sve=-?[0-9]*")
_XSM: Final = ("dummy", "flask", "silo")
_TRUE: Final = ("1", "yes", "on", "true", "enable")
_FALSE: Final = ("0", "no", "off", "false", "disable")


class XenArgs(NamedTuple):
    """Options of Xen. ``dom0_mem`` is bytes, None when absent; ``iommu`` None leaves it to the default.

    ``console`` lists the consoles used: without ``dtuart`` among them Xen leaves every UART of the tree alone.
    ``bootscrub`` is ``idle`` (idle CPUs clean the heap while Xen boots), ``on`` (it is cleaned after dom0 is
    built) or ``off``. Without ``hmp_unsafe`` only CPUs of the kind of the first are used. ``bad_pages`` are frames that are
    kept out of use, the first of each run and the one after its last. ``dom0_sve``: dom0 is to have SVE. ``xsm`` is
    the security module, empty where the build's default counts, ``flask`` how FLASK starts.
    """

    dom0_mem: int | None = None
    ext_regions: bool = True
    iommu: bool | None = None
    iommu_force: bool = False
    dtuart: str | None = None
    console: str = "dtuart"
    max_grant_frames: int = 64
    dom0_max_vcpus: int | None = None
    bootscrub: str = "idle"
    llc_coloring: bool | None = None
    llc_size: int = 0
    llc_nr_ways: int | None = 0
    hmp_unsafe: bool = False
    dom0_sve: bool = False
    max_cpus: int | None = None
    bad_pages: tuple[tuple[int, int], ...] = ()
    xsm: str = ""
    flask: str = "enforcing"


def parse_bootargs(text: str) -> XenArgs:
    """Return what ``text`` sets; the last word of a kind counts, and a value that Xen cannot read changes nothing."""
    args = XenArgs()
    for word in words_on(text):
        key, _, value = word[: _MAX_PARAM_SIZE - 1].partition("=")
        negated = key.startswith("no-")
        name = key.removeprefix("no-")
        if negated and name in _CUSTOM:
            if value:
                continue
            value = "no"
        if name in _PARAMS:
            args = _PARAMS[name](args, value, negated)
    return args


def words_on(text: str) -> list[str]:
    """Return the words: only blanks part them."""
    return [word for word in text.split(" ") if word]


def _unsigned(text: str, default: int | None) -> int | None:
    """An integer parameter of 32 bits (assign_integer_param): what follows the number is complained of, and no more."""
    number, _ = simple_strtoull(text.removeprefix("-"))
    if text.startswith("-"):
        number = -number & _ULL
    return default if _UINT_MAX < number < _ULL - _INT_MAX else number & _UINT_MAX


def simple_strtoull(text: str) -> tuple[int, str]:
    """Return the number at the start of ``text`` and the rest, as simple_strtoull does with base 0: 0x hex, 0 octal.

    A number of more than 64 bits wraps.
    """
    match = _NUMBER.match(text)
    if match is None:
        return 0, text
    base = {"hex": 16, "octal": 8, "decimal": 10}[match.lastgroup or "decimal"]
    digits, number = match[match.lastgroup or 0], 0
    for at in range(0, len(digits), _CHUNK):
        part = digits[at : at + _CHUNK]
        number = number * base ** len(part) + int(part, base) & _ULL
    return number, text[match.end() :]


def _bad_pages(text: str) -> Iterator[tuple[int, int]]:
    """Yield the ranges of ``badpage=``, as init_boot_pages reads what string_param kept of it, up to what is no number."""
    text = text[:_BADPAGE_LENGTH]
    while text:
        first, text = simple_strtoull(text)
        last = first
        if text.startswith("-"):
            last, text = simple_strtoull(text[1:])
        if text and not text.startswith(","):
            return
        text = text[1:]
        yield first, max(first, last) + 1


def _frames(text: str, default: int) -> int:
    """parse_gnttab_limit: a number that is all of ``text``, and that an int holds."""
    number, rest = simple_strtoull(text)
    return number if not rest and number <= _INT_MAX else default


def _wants_sve(value: str) -> bool:
    return any(_SVE.fullmatch(item) for item in value.split(","))


def _parse_size_and_unit(text: str) -> int:
    """Return a size in bytes: a bare number is KiB."""
    number, rest = simple_strtoull(text)
    return number * _UNIT.get(rest[:1].lower(), KIB) & _ULL


def _iommu(value: str, default: bool | None) -> bool | None:
    """Each item of the comma list is looked at; those that are no boolean (``force``, ``verbose``) decide nothing here."""
    for item in value.split(","):
        if item in _FALSE:
            default = False
        elif item in _TRUE:
            default = True
    return default


def _bootscrub(value: str, default: str) -> str:
    """parse_bootscrub_param: alone it means on; what is neither a boolean nor ``idle`` changes nothing."""
    if value in _FALSE:
        return "off"
    if not value or value in _TRUE:
        return "on"
    return "idle" if value == "idle" else default


def _forced(value: str, *, default: bool) -> bool:
    """Whether an IOMMU is a must (parse_iommu_param)."""
    for item in value.split(","):
        for name in ("force", "required"):
            default = _flag(name, item, default=default)
    return default


def _flag(name: str, item: str, *, default: bool) -> bool:
    """Return what ``item`` says of a boolean called ``name`` (parse_boolean): itself, ``no-`` itself or with a value."""
    negated = item.startswith("no-")
    key, equals, value = item.removeprefix("no-").partition("=")
    if key != name:
        return default
    if not equals:
        return not negated
    return (value in _TRUE) is not negated if value in _TRUE + _FALSE else default


def _boolean(value: str, default: _Default, *, negated: bool) -> bool | _Default:
    """A boolean parameter; ``no-`` turns it round, so that ``no-name=0`` means on."""
    if value and value not in _TRUE and value not in _FALSE:
        return default
    return (value not in _FALSE) is not negated


_PARAMS: Final[dict[str, Callable[[XenArgs, str, bool], XenArgs]]] = {
    "badpage": lambda args, value, _: args._replace(bad_pages=tuple(_bad_pages(value))),
    "bootscrub": lambda args, value, _: args._replace(bootscrub=_bootscrub(value, args.bootscrub)),
    "console": lambda args, value, _: args._replace(console=value[: _CONSOLE_LENGTH - 1]),
    "dom0": lambda args, value, _: args._replace(dom0_sve=args.dom0_sve or _wants_sve(value)),
    "dom0_max_vcpus": lambda args, value, _: args._replace(dom0_max_vcpus=_unsigned(value, args.dom0_max_vcpus)),
    "dom0_mem": lambda args, value, _: args._replace(dom0_mem=_parse_size_and_unit(value)),
    "dtuart": lambda args, value, _: args._replace(dtuart=value or None),
    "ext_regions": lambda args, value, no: args._replace(ext_regions=_boolean(value, args.ext_regions, negated=no)),
    "flask": lambda args, value, _: args._replace(flask=value),
    "gnttab_max_frames": lambda args, value, _: args._replace(max_grant_frames=_frames(value, args.max_grant_frames)),
    "hmp-unsafe": lambda args, value, no: args._replace(hmp_unsafe=_boolean(value, args.hmp_unsafe, negated=no)),
    "iommu": lambda args, value, _: args._replace(
        iommu=_iommu(value, args.iommu), iommu_force=_forced(value, default=args.iommu_force)
    ),
    "llc-coloring": lambda args, value, no: args._replace(llc_coloring=_boolean(value, args.llc_coloring, negated=no)),
    "llc-nr-ways": lambda args, value, _: args._replace(llc_nr_ways=_unsigned(value, args.llc_nr_ways)),
    "llc-size": lambda args, value, _: args._replace(llc_size=_parse_size_and_unit(value) & _UINT_MAX),
    "maxcpus": lambda args, value, _: args._replace(max_cpus=_unsigned(value, args.max_cpus)),
    "xsm": lambda args, value, _: args._replace(xsm=value if value in _XSM else args.xsm),
}
"""What each word sets, as __setup_start lists them: only a boolean asks whether ``no-`` stands before it."""
