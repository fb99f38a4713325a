"""One tree, several starts: the answer where Xen may put dom0's RAM at more than one place.

The starts differ in nothing else, so they are answered one by one and joined as the answers with and without KASLR are: the
worst is the verdict, and the others stand beside it where they differ.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from dtanalyze.facts import Alternative, CheckResult
from dtanalyze.linux.boot import WORST_FIRST, Verdict
from dtanalyze.linux.profile import LinuxProfile
from dtanalyze.xen.prediction import Prediction

__all__ = ["Guests", "verdict_of", "worst_start"]


class Guests(Protocol):
    """Whoever answers for the trees that Xen writes."""

    def answer(self, blob: bytes, linux: LinuxProfile, kind: str) -> CheckResult:
        """Return what Linux makes of one."""

    def ends(self, blob: bytes, linux: LinuxProfile, kind: str) -> tuple[Alternative, ...]:
        """Return how a boot on one ends: once, or without and with KASLR where the two are not alike."""


def worst_start(prediction: Prediction, guests: Guests, linux: LinuxProfile) -> tuple[Prediction, tuple[Alternative, ...]]:
    """Return the start with the worst answer, of equals the likeliest, and all answers when they are not the same."""
    if not prediction.others:
        return prediction, ()
    starts = [(item, tuple(_answers(item, guests, linux))) for item in (prediction, *prediction.others)]
    worst, _ = min(starts, key=lambda start: min(_rank(answer) for answer in start[1]))
    every = tuple(answer for _, answers in starts for answer in answers)
    same = len({(answer.verdict, answer.sections) for answer in every}) == 1
    if worst is not prediction:
        worst = worst._replace(others=tuple(item for item, _ in starts if item is not worst))
    return worst, () if same else every


def verdict_of(prediction: Prediction, guests: Guests, linux: LinuxProfile) -> Verdict | None:
    """Return the verdict of a boot in its worst start; None where nothing can be said without the RAM."""
    worst, _ = worst_start(prediction, guests, linux)
    if worst.stopped_by is not None:
        return Verdict.NO_BOOT
    if worst.blob is None:
        return None
    return min(guests.ends(worst.blob, linux, "dom0"), key=_rank).verdict


def _rank(answer: Alternative) -> int:
    return WORST_FIRST.index(answer.verdict)


def _answers(start: Prediction, guests: Guests, linux: LinuxProfile) -> Iterable[Alternative]:
    """Yield the answer for one start, or two where KASLR makes a difference to it."""
    where = () if start.when else start.memory
    if start.stopped_by is not None:
        yield Alternative(None, Verdict.NO_BOOT, 0, where, start.when)
        return
    if start.blob is None:
        yield Alternative(None, Verdict.UNKNOWN, 0, where, start.when)
        return
    ends = guests.ends(start.blob, linux, "dom0" if start.domain == "dom0" else "domu")
    yield from (item._replace(dom0_memory=where, when=start.when) for item in ends)
