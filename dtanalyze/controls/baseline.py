"""Known findings, written once and compared with later: only what is new counts.

The file is JSON, sorted, so that two runs over equal trees write equal bytes and a change shows as a change of lines.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final, NamedTuple

from dtanalyze.controls.identity import Identity, identified, relative
from dtanalyze.errors import InputError
from dtanalyze.facts import CheckResult
from dtanalyze.findings import Finding

__all__ = ["Compared", "compare", "read_baseline", "write_baseline"]

_VERSION: Final = 1
_KEYS: Final = ("path", "cell", "rule", "node", "number")


class Compared(NamedTuple):
    """``results`` hold the new findings only; ``known`` are those that the baseline lists, ``absent`` what is gone."""

    results: tuple[CheckResult, ...]
    known: tuple[tuple[CheckResult, Finding], ...]
    absent: tuple[Identity, ...]


def write_baseline(results: Iterable[CheckResult], root: str) -> str:
    """Return the baseline of all findings in ``results``, paths as seen from ``root``."""
    entries = sorted(identity for identity, _, _ in identified(results, root))
    rows = [json.dumps(item._asdict()) for item in entries]
    body = ",\n  ".join(rows)
    return f'{{"baseline_version": {_VERSION}, "findings": [' + (f"\n  {body}\n" if rows else "") + "]}\n"


def read_baseline(text: str) -> frozenset[Identity]:
    """Return what a baseline lists; raise `InputError` when it is none."""
    try:
        data = json.loads(text)
    except RecursionError as error:
        raise InputError("not a baseline: it is nested too deeply") from error
    except ValueError as error:
        raise InputError(f"not a baseline: {error}") from error
    if not isinstance(data, dict) or data.get("baseline_version") != _VERSION or not isinstance(data.get("findings"), list):
        raise InputError(f"not a baseline of version {_VERSION}: --write-baseline makes one")
    return frozenset(_identity(item, number) for number, item in enumerate(data["findings"]))


def _identity(item: object, number: int) -> Identity:
    if not isinstance(item, dict) or set(item) != set(_KEYS):
        raise InputError(f"baseline: entry {number} has to have exactly {', '.join(_KEYS)}")
    if not all(isinstance(item[key], int if key == "number" else str) for key in _KEYS):
        raise InputError(f"baseline: entry {number} has a value of the wrong type")
    return Identity(**item)


def compare(results: Iterable[CheckResult], baseline: frozenset[Identity], root: str) -> Compared:
    """Split the findings of ``results`` into new and known ones, and name what of their inputs' baseline is gone."""
    listed = tuple(results)
    fresh: dict[int, list[Finding]] = {id(result): [] for result in listed}
    known: list[tuple[CheckResult, Finding]] = []
    seen: set[Identity] = set()
    for identity, result, finding in identified(listed, root):
        seen.add(identity)
        if identity in baseline:
            known.append((result, finding))
        else:
            fresh[id(result)].append(finding)
    paths = {relative(result.path, root) for result in listed}
    absent = sorted(item for item in baseline - seen if item.path in paths)
    kept = tuple(result._replace(findings=tuple(fresh[id(result)])) for result in listed)
    return Compared(kept, tuple(known), tuple(absent))
