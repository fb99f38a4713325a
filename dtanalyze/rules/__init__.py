"""What can be wrong with a tree: one rule for each hazard, with its sources, a bad and a good tree, and the check."""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dtanalyze.rules.model import Rule


class _Rules(ModuleType):
    """``dtanalyze.rules`` is this package and a function of the library: called, it returns every rule."""

    def __call__(self) -> "tuple[Rule, ...]":
        """Return every rule: code, name, severity, what, why, advice, sources, a bad and a good tree."""
        from dtanalyze.rules.registry import ALL_RULES

        return ALL_RULES


importlib.import_module(__name__).__class__ = _Rules
