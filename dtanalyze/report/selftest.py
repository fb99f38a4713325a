"""The outcome of a self-test, a line for each fault."""

from __future__ import annotations

from typing import Any

from dtanalyze.facts import Trial
from dtanalyze.report.foreign import document
from dtanalyze.report.style import PLAIN, Style

__all__ = ["selftest_json", "selftest_text"]


def selftest_text(path: str, trials: tuple[Trial, ...], *, style: Style = PLAIN) -> str:
    """Return what caught each fault, what was missed and what was said falsely."""
    width = max(len(trial.fault) for trial in trials)
    lines = [style.bold(f"{path}: faults seeded into a copy of the tree")]
    lines += [f"  {trial.fault:{width}}  {_outcome(trial, style)}" for trial in trials]
    tried = [trial for trial in trials if not trial.skipped]
    good = sum(trial.passed for trial in tried)
    lines.append(
        f"  {good} of {len(tried)} faults tried are told right; {len(trials) - len(tried)} have no place in this tree"
    )
    return document(lines)


def _outcome(trial: Trial, style: Style) -> str:
    if trial.skipped:
        return style.dim(f"not tried: {trial.skipped}")
    if trial.false:
        first = trial.false[0]
        return style.severity("error", "false alarm") + f": {first.rule} {first.node or ''}: {first.message}"
    if trial.caught:
        # The device itself rather than the count of the others.
        first = next((item for item in trial.caught if item.node != "/hypervisor"), trial.caught[0])
        return (
            style.severity("ok", "caught") + f" by {first.rule} {first.name}" + (f" at {first.node}" if first.node else "")
        )
    if not trial.expected:
        return style.severity("ok", "silent") + ", as it has to be"
    return style.severity("error", "missed") + f": {' or '.join(sorted(trial.expected))} did not fire"


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
            }
            for trial in trials
        ],
    }
