"""dtanalyze: what Linux on Xen does with the extended regions of a device tree, known before boot.

    >>> import dtanalyze
    >>> results = dtanalyze.check("fixtures/dtb/boots/01-dom0-x420-l612.dtb", linux="6.12")
    >>> results.verdict == "scratch"
    True

Functions (help(dtanalyze.check) and so on say more):

    check(tree, ...)       the verdict for each domain, kernel and release: Results
    predict(tree, ...)     what Xen does with a board's own tree: Predictions
    fix(tree, ...)         the smallest changes that remove findings, as an overlay
    diff(old, new, ...)    what changed from one tree to another
    map(tree, ...)         the address space as text, SVG or a page; a notebook shows it
    overlaps(tree)         devices that share addresses, and why
    selftest(tree, ...)    whether the rules catch faults seeded into this tree
    rules(), explain(word) the rules; one of them, or a term of the glossary
    load(source, ...)      a tree from a path or bytes, with overlays
    linux_profile(...)     a kernel from a preset or a .config
    read_xen_log(text)     what a Xen boot log tells

A tree is a path, bytes, or what load() returns. What is asked is written as on the command line:

    linux="6.12"  "6.1,6.12"  "all"         xen="4.20"  ["4.18", "4.20"]  "all"
    iommu="on"  "off"  "both"               memory="0x40000000+2G", or several
    need="512M", or pages                   requests=[1, 65536] (pages)
    dom0_mem="1G"                           kaslr="on"  "off"
    tree="host"  "dom0"  "domu"             assume_memory="auto"
    proc_iomem=text of a /proc/iomem        host=XenOptions(...)

Whatever cannot be meant is a UsageError, and a tree that cannot be read a BlobError, InputError or OSError; all but the last
are DtanalyzeErrors. Results are tuples of Result and print as the command line prints them; render("json"), to_dict() and
rows() give them to programs: pandas.DataFrame(results.rows()). Verdicts and severities equal their words.

Types: AddressRange, Devicetree, Finding, LinuxProfile, Predicted, Predictions, Result, Results, Severity, Verdict, XenLog,
XenOptions. All these names keep their meaning within a major version.
"""

import importlib
from typing import TYPE_CHECKING, Any, Final

from dtanalyze.version import __version__

if TYPE_CHECKING:
    from dtanalyze.address.range import AddressRange as AddressRange
    from dtanalyze.errors import BlobError as BlobError
    from dtanalyze.errors import ContainerError as ContainerError
    from dtanalyze.errors import DtanalyzeError as DtanalyzeError
    from dtanalyze.errors import InputError as InputError
    from dtanalyze.errors import OverlayError as OverlayError
    from dtanalyze.errors import UsageError as UsageError
    from dtanalyze.findings import Finding as Finding
    from dtanalyze.findings import Severity as Severity
    from dtanalyze.library.asking import check, linux_profile, load, predict
    from dtanalyze.library.results import Devicetree as Devicetree
    from dtanalyze.library.results import Predicted as Predicted
    from dtanalyze.library.results import Predictions as Predictions
    from dtanalyze.library.results import Result as Result
    from dtanalyze.library.results import Results as Results
    from dtanalyze.library.tools import Differences as Differences
    from dtanalyze.library.tools import Fixed as Fixed
    from dtanalyze.library.tools import Picture as Picture
    from dtanalyze.library.tools import diff, explain, fix, map, overlaps, rules, selftest
    from dtanalyze.linux.boot import Verdict as Verdict
    from dtanalyze.linux.profile import LinuxProfile as LinuxProfile
    from dtanalyze.xen.boot_log import XenLog as XenLog
    from dtanalyze.xen.boot_log import read_xen_log
    from dtanalyze.xen.options import XenOptions as XenOptions

__all__ = [
    "__version__",
    "check",
    "diff",
    "explain",
    "fix",
    "linux_profile",
    "load",
    "map",
    "overlaps",
    "predict",
    "read_xen_log",
    "rules",
    "selftest",
]
# The functions only: help() prints whole classes, base classes included, for every class named here.

_HOMES: Final = {
    "address.range": ("AddressRange",),
    "errors": ("BlobError", "ContainerError", "DtanalyzeError", "InputError", "OverlayError", "UsageError"),
    "findings": ("Finding", "Severity"),
    "library.asking": ("check", "linux_profile", "load", "predict"),
    "library.results": ("Devicetree", "Predicted", "Predictions", "Result", "Results"),
    "library.tools": (
        "Differences",
        "Fixed",
        "Picture",
        "diff",
        "explain",
        "fix",
        "map",
        "overlaps",
        "rules",
        "selftest",
    ),
    "linux.boot": ("Verdict",),
    "linux.profile": ("LinuxProfile",),
    "xen.boot_log": ("XenLog", "read_xen_log"),
    "xen.options": ("XenOptions",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"dtanalyze.{home}"), name)
    raise AttributeError(f"module 'dtanalyze' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(["__version__", *(name for names in _HOMES.values() for name in names)])
