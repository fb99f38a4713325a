"""Suppressions that stand where the fault does: a comment on the property's line, with the rule, a reason and an end.

``/* dtanalyze: suppress X08 until 2027-01-31: the two never run at once */``
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import date
from typing import Final

from dtanalyze.controls.suppressions import Suppression
from dtanalyze.errors import SourcePlace, UsageError
from dtanalyze.findings import Remark

__all__ = ["suppressions_in"]

_FORM: Final = re.compile(r"suppress (?P<rules>[^:]*?)(?: until (?P<end>[^: ]+))? ?: ?(?P<reason>.+)")
_SHOWN: Final = "/* dtanalyze: suppress X08 until 2027-01-31: the reason */"


def suppressions_in(
    remarks: Iterable[Remark], known: Mapping[str, str], own: Collection[str] = ()
) -> tuple[Suppression, ...]:
    """Return what the comments suppress, each place once; ``known`` are codes and names of rules.

    One without use is told only where it stands in a file of ``own``: another board needs it in an include. Raises
    `UsageError` with file and line for a comment that is none.
    """
    return tuple(_entry(item, known, told=item.file in own) for item in dict.fromkeys(remarks))


def _entry(remark: Remark, known: Mapping[str, str], *, told: bool) -> Suppression:
    where = f"{remark.file}:{remark.line}"
    found = _FORM.fullmatch(remark.text)
    if found is None:
        raise _wrong(remark, f"a comment that begins with dtanalyze: has to look like {_SHOWN}")
    words = [word for word in re.split(r"[, ]+", found["rules"]) if word]
    codes = frozenset(code for code, name in known.items() for word in words if word in (code, name))
    unknown = [word for word in words if not any(word in item for item in known.items())]
    if unknown or not words:
        raise _wrong(remark, f"no rule is called '{unknown[0] if unknown else ''}'")
    end = _end(found["end"], remark)
    return Suppression(where, codes, ", ".join(words), found["reason"], where, expires=end, at=remark, told=told)


def _end(text: str | None, remark: Remark) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError as error:
        raise _wrong(remark, f"until takes a date such as 2027-01-31, not '{text}'") from error


def _wrong(remark: Remark, said: str) -> UsageError:
    error = UsageError(f"{remark.file}:{remark.line}: {said}")
    error.at = SourcePlace(remark.file, remark.line)
    return error
