"""What a shell offers after an option: read when a shell asks, so that no other run pays for it."""

import inspect
import re
from collections.abc import Callable, Iterable
from copy import copy
from functools import partial
from typing import Annotated, Any, Final, get_args, get_origin

from typer.models import ArgumentInfo, OptionInfo

__all__ = ["offering"]


def _linux() -> Iterable[str]:
    from dtanalyze.linux.profile import PRESETS

    return (*PRESETS, "all")


def _xen() -> Iterable[str]:
    from dtanalyze.xen.profile import PRESETS

    return (*PRESETS, "all")


def _rules() -> Iterable[str]:
    from dtanalyze.rules.model import Rule, Statement
    from dtanalyze.rules.registry import ALL_RULES
    from dtanalyze.verdicts import STATEMENTS

    rules: list[Rule | Statement] = [*ALL_RULES, *STATEMENTS]
    return [name for rule in rules for name in (rule.code, rule.name)]


_PLACEHOLDER: Final = re.compile(r"\b[A-Z]{2,}\b")
_WORDS: Final[dict[str, Callable[[], Iterable[str]]]] = {
    "linux": _linux,
    "xen": _xen,
    "select": _rules,
    "ignore": _rules,
    "codes": _rules,
}
"""By parameter; every other option whose metavar reads ``one|another`` offers those."""


def offering(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with the words that each option takes; after a comma they are offered again."""
    signature = inspect.signature(command, eval_str=True)
    changed = [_offered(item) for item in signature.parameters.values()]

    def call(**given: Any) -> None:
        command(**given)

    call.__doc__ = command.__doc__
    call.__signature__ = signature.replace(parameters=changed)  # type: ignore[attr-defined]  # what inspect reads
    call.__annotations__ = {}
    return call


def _offered(parameter: inspect.Parameter) -> inspect.Parameter:
    if get_origin(parameter.annotation) is not Annotated:
        return parameter
    value, info, *_ = get_args(parameter.annotation)
    if not isinstance(info, OptionInfo | ArgumentInfo):
        return parameter
    words = _WORDS.get(parameter.name)
    metavar = info.metavar or ""
    if words is None and "|" in metavar and not _PLACEHOLDER.search(metavar):
        words = partial(list, metavar.split("|"))
    if words is None:
        return parameter
    own = copy(info)
    own.autocompletion = _among(words)
    return parameter.replace(annotation=Annotated[value, own])


def _among(words: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    def complete(incomplete: str) -> list[str]:
        before, comma, _ = incomplete.rpartition(",")
        return [f"{before}{comma}{word}" for word in words() if f"{before}{comma}{word}".startswith(incomplete)]

    return complete
