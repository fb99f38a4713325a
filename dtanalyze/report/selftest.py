"""The outcome of a self-test, a line for each fault."""

from __future__ import annotations

from typing import Any, Final

from dtanalyze.facts import Trial
from dtanalyze.report.foreign import document
from dtanalyze.report.style import PLAIN, Style

__all__ = ["selftest_json", "selftest_text"]

_LONG: Final = 120


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
    offered = [trial for trial in tried if trial.cured is not None]
    if offered:
        cured = sum(trial.cured is True for trial in offered)
        lines.append(f"  {cured} of {len(offered)} that fix knows a cure for are cured by its offer on this board")
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
        place = f" at {first.node}" if first.node else ""
        return style.severity("ok", "caught") + f" by {first.rule} {first.name}{place}" + _remedy(trial)
    if not trial.expected:
        return style.severity("ok", "silent") + ", as it has to be"
    return style.severity("error", "missed") + f": {' or '.join(sorted(trial.expected))} did not fire"


def _remedy(trial: Trial) -> str:
    """Say whether what ``fix`` offers cures the fault."""
    if trial.cured is None:
        return ""
    said = trial.remedy if len(trial.remedy) <= _LONG else f"{trial.remedy[:_LONG]}…"
    return f"; cured by {said}" if trial.cured else f"; not cured: {said}"


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
