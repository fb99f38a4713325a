"""The account of every place where Xen says no: as a table for people, as the document in ``docs/``, as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

from dtanalyze.report.lines import WIDTH, wrapped
from dtanalyze.report.style import PLAIN, Style
from dtanalyze.xen.refusals import COMPARED, Refusal, Standing
from dtanalyze.xen.unmodelled import TRIGGERS

__all__ = ["refusals_json", "refusals_markdown", "refusals_text"]

_TITLES: Final = {
    Standing.MIRRORED: "mirrored by a stage",
    Standing.OPEN: "not modelled",
    Standing.HARDWARE: "decided by the hardware",
    Standing.UNREACHABLE: "out of reach",
}
_MEANS: Final = {
    Standing.MIRRORED: "The stage of `predict --explain` that refuses for Xen.",
    Standing.OPEN: "Said under *Assumed* where the trigger is in the tree, on Xen's line or in the build.",
    Standing.HARDWARE: "What registers or firmware say: no tree tells.",
    Standing.UNREACHABLE: "Why nothing that a boot is given leads there.",
}
_HEADS: Final = {Standing.MIRRORED: "stage", Standing.OPEN: "trigger"}
_MOST_FUNCTIONS: Final = 8


def refusals_text(rows: Iterable[Refusal], *, style: Style = PLAIN, width: int = WIDTH) -> str:
    """Return each refusal, below what is known of it."""
    kept = tuple(rows)
    lines = wrapped(_counted(kept), width)
    for standing, title in _TITLES.items():
        found = [row for row in kept if row.standing is standing]
        lines += ["", style.bold(f"{title} ({len(found)})")]
        for row in found:
            lines += wrapped(f"{row.where}: {row.says} [{_place(row)}; {_releases(row)}]", width, first="  ", rest="    ")
    return "\n".join(lines) + "\n"


def _counted(rows: tuple[Refusal, ...]) -> str:
    counts = Counter(row.standing for row in rows)
    parts = ", ".join(f"{counts[standing]} {title}" for standing, title in _TITLES.items())
    return f"Where Xen {', '.join(COMPARED)} says no: {len(rows)} entries, {parts}."


def _place(row: Refusal) -> str:
    names = row.functions[:_MOST_FUNCTIONS]
    more = len(row.functions) - len(names)
    where = "whole files" if row.functions == ("*",) else " ".join(names) + (f" and {more} more" if more else "")
    return f"{where} in {' '.join(row.files)}"


def _releases(row: Refusal) -> str:
    return "all" if set(row.releases) == set(COMPARED) else " ".join(row.releases)


def refusals_json(rows: Iterable[Refusal]) -> dict[str, Any]:
    """Return the account as data, with what announces what is not modelled."""
    return {
        "compared": dict(COMPARED),
        "refusals": [{**row._asdict(), "standing": row.standing.value} for row in rows],
        "triggers": [{"name": item.name, "what": item.what, "words": item.words} for item in TRIGGERS],
    }


def refusals_markdown(rows: Iterable[Refusal]) -> str:
    """Return the account as a document; ``docs/refusals.md`` is this text."""
    return "\n".join(_document(tuple(rows)))


def _document(rows: tuple[Refusal, ...]) -> Iterator[str]:
    yield "# Where Xen says no"
    yield ""
    yield "Made by `make docs` from `dtanalyze/xen/refusals.tsv`; `dtanalyze rules --refusals` prints the same."
    yield (
        "Each `panic`, `BUG_ON` and error return between Xen's entry and dom0's first instruction, in "
        + ", ".join(f"{name} ({tag})" for name, tag in COMPARED.items())
        + ". ASSERTs do not count. `make refusals XEN=clone` lists what a release has and this account lacks."
    )
    yield ""
    yield _counted(rows)
    for standing, title in _TITLES.items():
        yield ""
        yield f"## {title[0].upper()}{title[1:]}"
        yield ""
        yield _MEANS[standing]
        yield ""
        yield f"| {_HEADS.get(standing, 'why')} | Xen says | where | releases |"
        yield "| --- | --- | --- | --- |"
        for row in rows:
            if row.standing is standing:
                yield f"| {row.where} | {_cell(row.says)} | {_cell(_place(row))} | {_releases(row)} |"
    yield ""
    yield "## What announces what is not modelled"
    yield ""
    yield "| trigger | not modelled | also announced by these words of Xen's line |"
    yield "| --- | --- | --- |"
    for item in TRIGGERS:
        yield f"| {item.name} | {item.what} | {', '.join(f'`{word}`' for word in item.words) or 'none'} |"
    yield ""


def _cell(text: str) -> str:
    """Return text as it may stand in a table."""
    return "`` " + text.replace("|", "\\|") + " ``"
