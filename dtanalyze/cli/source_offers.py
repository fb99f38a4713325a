"""What ``fix`` would write into the sources, beside the findings that it cures: for formats whose readers make the change.

The cures are those of ``fix``, tried on a copy of the tree, and the changed sources were compiled before they are offered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import SequenceMatcher

from dtanalyze.analysis import CheckOptions, HostQuestion
from dtanalyze.analysis.editing import edits_of
from dtanalyze.analysis.fix import fix
from dtanalyze.cli.source_fix import source_fix
from dtanalyze.errors import DtanalyzeError
from dtanalyze.facts import CheckResult, Rewritten
from dtanalyze.findings import Cure, Finding, Rewrite, SourceCure
from dtanalyze.inputs.sourcing import Sourcing

__all__ = ["with_source_cures"]


def with_source_cures(
    data: bytes, path: str, results: tuple[CheckResult, ...], asked: tuple[CheckOptions, HostQuestion], sourcing: Sourcing
) -> tuple[CheckResult, ...]:
    """Return results whose findings carry the change of the sources that cures them, where there is one.

    ``data`` is what the source at ``path`` compiles to.
    """
    if not any(item.cures for result in results for item in result.findings):
        return results
    found: dict[tuple[str, str | None, str], SourceCure] = {}
    try:
        for offer in fix(data, path, *asked).offers:
            made = _in_source(data, path, offer.cure, sourcing)
            if made is not None:
                found.update((_key(item), made) for item in offer.cured)
    except DtanalyzeError:  # an answer without offers is one as well
        return results
    return tuple(
        result._replace(findings=tuple(item._replace(in_source=found.get(_key(item))) for item in result.findings))
        for result in results
    )


def _key(item: Finding) -> tuple[str, str | None, str]:
    return item.rule, item.node, item.message


def _in_source(data: bytes, path: str, cure: Cure, sourcing: Sourcing) -> SourceCure | None:
    """Return a cure as lines of the sources; None where these do not say a part of it."""
    made = source_fix(path, edits_of(data, [cure]), sourcing)
    if made.left or not made.files:
        return None
    try:
        rewrites = tuple(item for file in made.files for item in rewrites_of(file))
    except UnicodeDecodeError:  # a file that is no UTF-8 has no text for the formats that want one
        return None
    does = ", ".join(f"{'set' if item.value is not None else 'remove'} {item.prop} of {item.node}" for item in cure.changes)
    return SourceCure(" ".join(filter(None, (f"{does[:1].upper()}{does[1:]}.", cure.assumes, cure.besides))), rewrites)


def rewrites_of(file: Rewritten) -> Iterator[Rewrite]:
    """Yield the runs of lines that change, with what takes their place."""
    old, new = (re.findall(r"[^\n]*\n|[^\n]+\Z", data.decode("utf-8")) for data in (file.old, file.new))
    for what, first, last, begin, end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if what != "equal":
            ends = last == len(old) and last > first and not old[-1].endswith("\n")
            stop, column = (last, len(old[-1]) + 1) if ends else (last + 1, 1)
            yield Rewrite(file.file, first + 1, stop, column, "".join(new[begin:end]))
