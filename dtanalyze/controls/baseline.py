"""Known findings, written once and compared with later: only what is new counts.

The file is JSON, sorted, so that two runs over equal trees write equal bytes and a change shows as a change of lines.
It says which releases were asked about by default only: where a newer program has newer ones, its findings are held against
those.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final, NamedTuple

from dtanalyze.controls.identity import Identity, identified, relative
from dtanalyze.errors import InputError
from dtanalyze.facts import CheckResult
from dtanalyze.findings import Finding

__all__ = ["Baseline", "Compared", "Defaults", "compare", "read_baseline", "write_baseline"]

_VERSION: Final = 1
_KEYS: Final = ("path", "cell", "rule", "node", "number")


class Defaults(NamedTuple):
    """The releases of Linux and Xen that a run was about because nobody named any; None where somebody did."""

    linux: str | None = None
    xen: str | None = None

    def renamed(self, then: Defaults) -> dict[str, str]:
        """Return today's defaults with what was the default when a baseline was written."""
        pairs = (("linux", self.linux, then.linux), ("xen", self.xen, then.xen))
        return {f"{what} {now}": f"{what} {old}" for what, now, old in pairs if now and old and now != old}


class Baseline(NamedTuple):
    """What a baseline lists, and the defaults of the run that wrote it."""

    findings: frozenset[Identity]
    defaults: Defaults = Defaults()


class Compared(NamedTuple):
    """``results`` hold the new findings only; ``known`` are those that the baseline lists, ``absent`` what is gone.

    ``renamed`` are releases that are the default today, with what was when the baseline was written.
    """

    results: tuple[CheckResult, ...]
    known: tuple[tuple[CheckResult, Finding], ...]
    absent: tuple[Identity, ...]
    renamed: tuple[tuple[str, str], ...] = ()


def write_baseline(results: Iterable[CheckResult], root: str, defaults: Defaults) -> str:
    """Return the baseline of all findings in ``results``, paths as seen from ``root``."""
    entries = sorted(identity for identity, _, _ in identified(results, root))
    rows = [json.dumps(item._asdict()) for item in entries]
    body = ",\n  ".join(rows)
    head = f'{{"baseline_version": {_VERSION}, "defaults": {json.dumps(defaults._asdict())}, "findings": ['
    return head + (f"\n  {body}\n" if rows else "") + "]}\n"


def read_baseline(text: str) -> Baseline:
    """Return what a baseline lists; raise `InputError` when it is none."""
    try:
        data = json.loads(text)
    except RecursionError as error:
        raise InputError("not a baseline: it is nested too deeply") from error
    except ValueError as error:
        raise InputError(f"not a baseline: {error}") from error
    if not isinstance(data, dict) or data.get("baseline_version") != _VERSION or not isinstance(data.get("findings"), list):
        raise InputError(f"not a baseline of version {_VERSION}: --write-baseline makes one")
    found = frozenset(_identity(item, number) for number, item in enumerate(data["findings"]))
    return Baseline(found, _defaults(data.get("defaults", {})))


def _defaults(item: object) -> Defaults:
    """Return the defaults of a baseline; one of before they were written has none."""
    known = Defaults._fields
    if not isinstance(item, dict) or not set(item) <= set(known):
        raise InputError(f"baseline: defaults holds {', '.join(known)}, and nothing else")
    if not all(isinstance(value, str | None) for value in item.values()):
        raise InputError("baseline: defaults has a value of the wrong type")
    return Defaults(**item)


def _identity(item: object, number: int) -> Identity:
    if not isinstance(item, dict) or set(item) != set(_KEYS):
        raise InputError(f"baseline: entry {number} has to have exactly {', '.join(_KEYS)}")
    if not all(isinstance(item[key], int if key == "number" else str) for key in _KEYS):
        raise InputError(f"baseline: entry {number} has a value of the wrong type")
    return Identity(**item)


def compare(results: Iterable[CheckResult], baseline: Baseline, root: str, defaults: Defaults) -> Compared:
    """Split the findings of ``results`` into new and known ones, and name what of their inputs' baseline is gone.

    ``defaults`` are those of this run.
    """
    listed, renamed = tuple(results), defaults.renamed(baseline.defaults)
    fresh: dict[int, list[Finding]] = {id(result): [] for result in listed}
    known: list[tuple[CheckResult, Finding]] = []
    seen: set[Identity] = set()
    for identity, result, finding in identified(listed, root, renamed):
        seen.add(identity)
        if identity in baseline.findings:
            known.append((result, finding))
        else:
            fresh[id(result)].append(finding)
    paths = {relative(result.path, root) for result in listed}
    absent = sorted(item for item in baseline.findings - seen if item.path in paths)
    kept = tuple(result._replace(findings=tuple(fresh[id(result)])) for result in listed)
    return Compared(kept, tuple(known), tuple(absent), tuple(renamed.items()))
