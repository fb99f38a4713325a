"""The outcome of a self-test: what became of each fault."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from dtanalyze.facts import Trial
from dtanalyze.report.foreign import document
from dtanalyze.report.lines import WIDTH, wrapped
from dtanalyze.report.style import PLAIN, Style

__all__ = ["selftest_json", "selftest_text"]

_OUTCOME: Final = 11
"""Columns of the word that each fault begins with: ``caught``, ``silent``, ``missed``, ``false alarm``, ``not tried``."""


def selftest_text(path: str, trials: tuple[Trial, ...], *, style: Style = PLAIN, width: int = WIDTH) -> str:
    """Return what caught each fault, what was missed and what was said falsely, within ``width`` columns."""
    lines = [style.bold(line) for line in wrapped(f"{path}: faults seeded into a copy of the tree", width)]
    for trial in trials:
        severity, word, told = _outcome(trial)
        first, *more = wrapped(f"{trial.fault}: {told}", width, first=" " * (_OUTCOME + 4))
        painted = style.severity(severity, word) if severity else style.dim(word)
        lines += [f"  {painted}{' ' * (_OUTCOME - len(word))}  {first.lstrip()}", *more]
    return document([*lines, *_counts(trials, width)])


def _counts(trials: tuple[Trial, ...], width: int) -> Iterator[str]:
    tried = [trial for trial in trials if not trial.skipped]
    good = sum(trial.passed for trial in tried)
    yield from wrapped(
        f"{good} of {len(tried)} faults tried are told right; {len(trials) - len(tried)} have no place in this tree",
        width, first="  ",
    )  # fmt: skip
    offered = [trial for trial in tried if trial.cured is not None]
    if offered:
        cured = sum(trial.cured is True for trial in offered)
        said = f"{cured} of {len(offered)} that `fix` knows a cure for are cured by its offer on this board"
        yield from wrapped(said, width, first="  ")


def _outcome(trial: Trial) -> tuple[str, str, str]:
    """Return how the outcome is coloured, its word, and the rest of the sentence."""
    if trial.skipped:
        return "", "not tried", trial.skipped
    if trial.false:
        first = trial.false[0]
        return "error", "false alarm", f"{first.rule} {first.node or ''}: {first.message}"
    if trial.caught:
        # The device itself rather than the count of the others.
        first = next((item for item in trial.caught if item.node != "/hypervisor"), trial.caught[0])
        place = f" at {first.node}" if first.node else ""
        return "ok", "caught", f"{first.rule} {first.name}{place}{_remedy(trial)}"
    if not trial.expected:
        return "ok", "silent", "as it has to be"
    return "error", "missed", f"{' or '.join(sorted(trial.expected))} did not fire"


def _remedy(trial: Trial) -> str:
    """Say whether what ``fix`` offers cures the fault; the offer itself where it does not."""
    if trial.cured is None:
        return ""
    return "; `fix` cures it" if trial.cured else f"; not cured: {trial.remedy}"


def selftest_json(path: str, trials: tuple[Trial, ...]) -> dict[str, Any]:
    """Return the same as data."""
    return {
        "path": path,
        "faults": [
            {
                "name": trial.fault,
                "expected": sorted(trial.expected),
                "caught_by": sorted({item.rule for item in trial.caught}),
                "false": [f"{item.rule}: {item.message}" for item in trial.false],
                "skipped": trial.skipped or None,
                "passed": trial.passed,
                "cured": trial.cured,
                "remedy": trial.remedy or None,
            }
            for trial in trials
        ],
    }
