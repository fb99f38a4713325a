"""What Linux on Xen does with a device tree's extended regions, known before boot.

    >>> import dtanalyze
    >>> found = dtanalyze.check("fixtures/dtb/boots/05b-2banks-rsv.dtb")
    >>> assert found.verdict == "scratch"

help(dtanalyze.check) lists what may be asked; help() of the others says more.
    check(tree, ...)        the verdict for each domain, kernel and release
    predict(tree, ...)      what Xen does with a board's own tree
    fix(tree, ...)          the smallest changes that remove findings
    diff(old, new, ...)     what changed from one tree to another
    map(tree, ...)          the address space: text, SVG, page, notebook
    overlaps(tree)          devices that share addresses, and why
    selftest(tree, ...)     whether faults seeded into the tree are caught
    rules(), explain(word)  the rules; one of them, or a term
    load(source, ...)       a tree with overlays; read_xen_log(text) a log
    linux_profile(...)      a kernel from a preset or a .config

A tree is a path, bytes, or what load() returns. What cannot be meant is a
UsageError, a tree that cannot be read a BlobError, InputError or OSError.
Results print as the command line prints them; render("json"), to_dict() and
rows() give them to programs. Verdicts and severities equal their words.

dir(dtanalyze) names the types: Result, Finding, Severity, Verdict and so on.
All names keep their meaning within a major version.
"""

import importlib
from typing import TYPE_CHECKING, Any, Final

from dtanalyze.version import __version__ as __version__

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
    from dtanalyze.library.asking import check as check
    from dtanalyze.library.asking import linux_profile as linux_profile
    from dtanalyze.library.asking import load as load
    from dtanalyze.library.asking import predict as predict
    from dtanalyze.library.results import Devicetree as Devicetree
    from dtanalyze.library.results import Predicted as Predicted
    from dtanalyze.library.results import Predictions as Predictions
    from dtanalyze.library.results import Result as Result
    from dtanalyze.library.results import Results as Results
    from dtanalyze.library.tools import Differences as Differences
    from dtanalyze.library.tools import Fixed as Fixed
    from dtanalyze.library.tools import Picture as Picture
    from dtanalyze.library.tools import diff as diff
    from dtanalyze.library.tools import explain as explain
    from dtanalyze.library.tools import fix as fix
    from dtanalyze.library.tools import map as map
    from dtanalyze.library.tools import overlaps as overlaps
    from dtanalyze.library.tools import rules as rules
    from dtanalyze.library.tools import selftest as selftest
    from dtanalyze.linux.boot import Verdict as Verdict
    from dtanalyze.linux.profile import LinuxProfile as LinuxProfile
    from dtanalyze.xen.boot_log import XenLog as XenLog
    from dtanalyze.xen.boot_log import read_xen_log as read_xen_log
    from dtanalyze.xen.options import XenOptions as XenOptions

__all__ = ["__version__"]
# help() prints in full whatever is named here, every class with its bases: what there is stands above, and in dir().

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
