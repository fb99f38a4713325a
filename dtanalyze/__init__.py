"""dtanalyze: what Linux on Xen does with the extended regions of a devicetree, known before boot.

The names of ``__all__`` are the library; they keep their meaning within a major version. Each is imported when it is
first used, so that importing the package costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any, Final

from dtanalyze.version import __version__

if TYPE_CHECKING:
    from dtanalyze.address.range import AddressRange
    from dtanalyze.errors import BlobError, ContainerError, DtanalyzeError, InputError, OverlayError, UsageError
    from dtanalyze.findings import Finding, Severity
    from dtanalyze.library import (
        Devicetree,
        Predicted,
        Predictions,
        Result,
        Results,
        check,
        linux_profile,
        load,
        predict,
    )
    from dtanalyze.linux.boot import Verdict
    from dtanalyze.linux.profile import LinuxProfile
    from dtanalyze.xen.boot_log import XenLog, read_xen_log
    from dtanalyze.xen.options import XenOptions

__all__ = [
    "AddressRange",
    "BlobError",
    "ContainerError",
    "Devicetree",
    "DtanalyzeError",
    "Finding",
    "InputError",
    "LinuxProfile",
    "OverlayError",
    "Predicted",
    "Predictions",
    "Result",
    "Results",
    "Severity",
    "UsageError",
    "Verdict",
    "XenLog",
    "XenOptions",
    "__version__",
    "check",
    "linux_profile",
    "load",
    "predict",
    "read_xen_log",
]

_HOMES: Final = {
    "address.range": ("AddressRange",),
    "errors": ("BlobError", "ContainerError", "DtanalyzeError", "InputError", "OverlayError", "UsageError"),
    "findings": ("Finding", "Severity"),
    "library": (
        "Devicetree",
        "Predicted",
        "Predictions",
        "Result",
        "Results",
        "check",
        "linux_profile",
        "load",
        "predict",
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
    return __all__
