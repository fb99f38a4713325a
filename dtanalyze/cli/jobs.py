"""Many trees at once: worker processes, a time limit for each tree, and a progress bar on a terminal."""

from __future__ import annotations

import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any, Final, NamedTuple, TypeVar

import typer

from dtanalyze.cli.run import TreeInput
from dtanalyze.errors import DtanalyzeError, InputError, InputFailure

__all__ = ["Workload", "in_order"]

T = TypeVar("T")
_QUEUED: Final = 4
"""Trees handed out ahead for each worker: enough to keep it busy, few enough to hold in memory."""


class Workload(NamedTuple):
    """How to go through many trees: worker processes, seconds for each tree (None: no limit).

    ``total`` is how many a progress bar counts to, 0 for none.
    """

    jobs: int = 1
    timeout: float | None = None
    total: int = 0


class _TimeUpError(InputError):
    """A tree took longer than it may."""


@contextmanager
def _limited(seconds: float | None) -> Iterator[None]:
    """Raise `_TimeUpError` in the body when it takes longer."""
    if seconds is None:
        yield
        return

    def over(_signal: int, _frame: object) -> None:
        raise _TimeUpError(f"it takes longer than {seconds:g} seconds")

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _one(analyse: Callable[[TreeInput], T], item: TreeInput, timeout: float | None) -> T | InputFailure:
    try:
        with _limited(timeout):
            return analyse(item)
    except DtanalyzeError as error:
        return InputFailure(item.name, str(error), error.offset, item.file)


def in_order(
    items: Iterator[TreeInput | InputFailure], analyse: Callable[[TreeInput], T], load: Workload
) -> tuple[list[T], list[InputFailure]]:
    """Return what ``analyse`` makes of each tree, in order, and the failures, in order.

    With several jobs what ``analyse`` returns has to be picklable; a worker that dies costs only its tree.
    """
    results: list[T] = []
    failures: list[InputFailure] = []
    outcomes = _here(items, analyse, load.timeout) if load.jobs == 1 else _apart(items, analyse, load)
    for outcome in _shown(outcomes, load.total):
        if isinstance(outcome, InputFailure):
            failures.append(outcome)
        else:
            results.append(outcome)
    return results, failures


def _here(
    items: Iterator[TreeInput | InputFailure], analyse: Callable[[TreeInput], T], timeout: float | None
) -> Iterator[T | InputFailure]:
    for item in items:
        yield item if isinstance(item, InputFailure) else _one(analyse, item, timeout)


def _apart(
    items: Iterator[TreeInput | InputFailure], analyse: Callable[[TreeInput], T], load: Workload
) -> Iterator[T | InputFailure]:
    """Keep the workers busy, hand the outcomes on in order."""
    crew = _Crew(analyse, load)
    waiting: deque[InputFailure | tuple[TreeInput, Future[Any]]] = deque()
    try:
        for item in items:
            waiting.append(item if isinstance(item, InputFailure) else (item, crew.give(item)))
            if len(waiting) >= load.jobs * _QUEUED:
                yield crew.outcome(waiting)
        while waiting:
            yield crew.outcome(waiting)
    finally:
        crew.dismiss()


class _Crew:
    """Worker processes, replaced when one of them dies.

    They are forked: each finds the question as it stands, and nothing of it has to be sent.
    """

    def __init__(self, analyse: Callable[[TreeInput], object], load: Workload) -> None:
        self._analyse, self._load = analyse, load
        self._pool = self._hired(load.jobs)

    def _hired(self, workers: int) -> ProcessPoolExecutor:
        arguments = (self._analyse, self._load.timeout)
        return ProcessPoolExecutor(workers, mp_context=get_context("fork"), initializer=_ready, initargs=arguments)

    def give(self, item: TreeInput) -> Future[Any]:
        try:
            return self._pool.submit(_work, item)
        except BrokenProcessPool:  # a worker died over an earlier tree, whose turn is still to come
            self._pool = self._hired(self._load.jobs)
            return self._pool.submit(_work, item)

    def outcome(self, waiting: deque[InputFailure | tuple[TreeInput, Future[Any]]]) -> Any:
        """Return the outcome of the first that waits."""
        first = waiting.popleft()
        if isinstance(first, InputFailure):
            return first
        item, future = first
        try:
            return future.result()
        except BrokenProcessPool:
            self.dismiss()
            found = self._alone(item)
            self._pool = self._hired(self._load.jobs)
            for _ in range(len(waiting)):
                left = waiting.popleft()
                waiting.append(left if isinstance(left, InputFailure) else (left[0], self.give(left[0])))
            return found

    def _alone(self, item: TreeInput) -> Any:
        """Try a tree in a worker of its own: the one that died may have looked at another."""
        with self._hired(1) as pool:
            try:
                return pool.submit(_work, item).result()
            except BrokenProcessPool:
                return InputFailure(item.name, "the process that looked at it has died", None, item.file)

    def dismiss(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


class _Worker:
    """What a worker process has to do; set once, when it starts."""

    analyse: Callable[[TreeInput], object] | None = None
    timeout: float | None = None


def _ready(analyse: Callable[[TreeInput], object], timeout: float | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends everything
    _Worker.analyse, _Worker.timeout = analyse, timeout


def _work(item: TreeInput) -> object:
    if _Worker.analyse is None:
        raise RuntimeError("a worker was not made ready")
    return _one(_Worker.analyse, item, _Worker.timeout)


def _shown(outcomes: Iterator[T], total: int) -> Iterator[T]:
    """Hand the outcomes on and say on a terminal how many there were, how fast, and how long it will take."""
    if not total or not sys.stderr.isatty():
        yield from outcomes
        return
    began = time.monotonic()
    done = 0

    def rate(_: T | None) -> str:
        return f"{done / max(time.monotonic() - began, 1e-3):.0f}/s"

    bar = typer.progressbar(outcomes, length=total, label="trees", file=sys.stderr, show_pos=True, item_show_func=rate)
    with bar:
        for outcome in bar:
            done += 1
            yield outcome
