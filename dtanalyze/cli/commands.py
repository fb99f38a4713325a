"""The commands, and their modules: one is imported only when it is called, since start-up is most of a check's time."""

import importlib
from types import ModuleType
from typing import Final

__all__ = ["COMMANDS", "COMPLETING", "module_of"]

COMPLETING: Final = "_DTANALYZE_COMPLETE"
"""Set by a shell that asks what it may offer."""
COMMANDS: Final = (
    "check",
    "predict",
    "verify",
    "collect",
    "map",
    "addresses",
    "diff",
    "rules",
    "explain",
    "selftest",
    "fix",
    "overlaps",
)


def module_of(name: str) -> ModuleType:
    """Return the module of a command."""
    return importlib.import_module(f"dtanalyze.cli.{name}")
