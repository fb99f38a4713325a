"""Whether Xen's security module starts: FLASK enforces a policy, and Xen does not boot without it.

Mirrors xsm_dt_init, xsm_core_init (xsm/xsm_core.c) and flask_init (xsm/flask/hooks.c). FLASK is built in by default and off:
``xsm=flask`` turns it on. Left out: what a policy module holds. One that is no policy ends Xen with or without
``xsm=flask``: its magic is compared first, and then nobody is in charge, so that the next question goes to address 0.
"""

from __future__ import annotations

from typing import Final

from dtanalyze.xen.bootinfo import BootInfo, Module
from dtanalyze.xen.build import Build
from dtanalyze.xen.parse_params import XenArgs
from dtanalyze.xen.stage import Outcome, Passed, Stop

__all__ = ["flask_wanted", "policy_module", "xsm_dt_init"]

_MODES: Final = ("enforcing", "late", "disabled", "permissive")
"""What flask= may say."""


def xsm_dt_init(args: XenArgs, info: BootInfo, build: Build) -> Outcome:
    """Start FLASK where it is wanted."""
    if not flask_wanted(args, build):
        return Passed(("no FLASK",))
    if args.flask not in _MODES:
        said = f"flask={args.flask} on Xen's line is none of {', '.join(_MODES)}"
        return Stop("xsm", ("Flask: Invalid value for flask= boot parameter.",), said)
    if args.flask == "enforcing" and policy_module(info) is None and not build.has("XSM_FLASK_POLICY"):
        because = f"FLASK enforces a policy, no module is one (xen,xsm-policy), and {build.name} has none of its own"
        return Stop("xsm", ("Unable to load FLASK policy",), because)
    return Passed((f"FLASK, {args.flask}",))


def flask_wanted(args: XenArgs, build: Build) -> bool:
    """Tell whether FLASK is in charge: by Xen's line, else by the build's default."""
    wanted = args.xsm == "flask" if args.xsm else build.has("XSM_FLASK_DEFAULT")
    return wanted and build.has("XSM_FLASK")


def policy_module(info: BootInfo) -> Module | None:
    """Return the module that is taken for a policy (boot_module_find_by_kind); one without bytes is none."""
    found = next((item for item in info.modules if item.kind == "XSM"), None)
    return found if found is not None and found.size else None
