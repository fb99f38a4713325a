"""Many inputs at once: worker processes, and a progress bar on a terminal.

Each worker is a fork of this process, so that it finds the question as it stands, and gets one input at a time over a
pipe of its own: when it dies, what it died of is known. It does not outlive this process, whatever ends it: the kernel
ends it (Linux), and everywhere a pipe that ends does. It holds none of our streams, so that whoever reads them sees
the end when we end.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from multiprocessing.connection import Connection, Pipe, wait
from typing import Final, Generic, NamedTuple, TypeVar

from dtanalyze.cli.run import Outcome
from dtanalyze.errors import InputFailure
from dtanalyze.inputs.confined import die_with
from dtanalyze.inputs.files import Given
from dtanalyze.inputs.reading import READ, remember

__all__ = ["in_order", "shown"]

T = TypeVar("T")

_QUEUED: Final = 4
"""Outcomes that may wait for an earlier one, for each worker: enough to keep all busy, few enough to hold in memory."""


def in_order(items: Iterator[Given | InputFailure], work: Callable[[Given], Outcome[T]], jobs: int) -> Iterator[Outcome[T]]:
    """Yield what ``work`` makes of each input, in order; with several jobs it has to be picklable.

    A worker that dies costs only its input.
    """
    if jobs == 1:
        for item in items:
            yield ([], [item]) if isinstance(item, InputFailure) else work(item)
        return
    crew = _Crew(work, jobs)
    try:
        yield from crew.outcomes(items)
    finally:
        crew.dismiss()


class _Turn(Generic[T]):
    """An input in the line, and what came of it once that is known."""

    def __init__(self, item: Given | InputFailure) -> None:
        self.item = item
        self.outcome: Outcome[T] | None = ([], [item]) if isinstance(item, InputFailure) else None


class _Worker(NamedTuple):
    """A process, and two pipes rather than one of both ways, which would be a socket."""

    process: int
    orders: Connection
    answers: Connection

    def close(self) -> None:
        self.orders.close()
        self.answers.close()


class _Crew(Generic[T]):
    """Worker processes, each made when there is work for it and none is idle, and replaced when it dies."""

    def __init__(self, work: Callable[[Given], Outcome[T]], jobs: int) -> None:
        self._work, self._jobs = work, jobs
        self._idle: list[_Worker] = []
        self._busy: dict[_Worker, _Turn[T]] = {}

    def outcomes(self, items: Iterator[Given | InputFailure]) -> Iterator[Outcome[T]]:
        line: deque[_Turn[T]] = deque()
        more = True
        while more or line:
            while more and len(line) < max(self._jobs, 1) * _QUEUED and self._ready():
                item = next(items, None)
                more = item is not None
                if item is not None:
                    line.append(turn := _Turn[T](item))
                    self._give(turn)
            while line and (outcome := line[0].outcome) is not None:
                line.popleft()
                yield outcome
            if self._busy:
                self._listen()

    def _ready(self) -> bool:
        """Whether somebody can take an input now. Where the system gives no process or pipe more, those that there are
        do it all; where it gives none, this process does."""
        if not self._idle and len(self._busy) < self._jobs:
            try:
                self._idle.append(self._hired())
            except OSError:
                self._jobs = len(self._busy)
        return bool(self._idle) or not self._jobs

    def _give(self, turn: _Turn[T]) -> None:
        if isinstance(turn.item, InputFailure):
            return
        if not self._idle:
            turn.outcome = self._work(turn.item)
            return
        remember(turn.item.name)
        worker = self._idle.pop()
        self._busy[worker] = turn
        try:
            worker.orders.send(turn.item)
        except OSError:
            self._lost(worker)

    def _listen(self) -> None:
        """Wait until a worker has an outcome, or has died."""
        by_pipe = {worker.answers: worker for worker in self._busy}
        for pipe in wait(list(by_pipe)):
            worker = by_pipe[pipe]  # type: ignore[index]  # what was given comes back
            try:
                outcome, read = worker.answers.recv()
            except (EOFError, OSError):
                self._lost(worker)
                continue
            READ.update(read)
            self._busy.pop(worker).outcome = outcome
            self._idle.append(worker)

    def _lost(self, worker: _Worker) -> None:
        turn = self._busy.pop(worker)
        name = turn.item[0]
        turn.outcome = ([], [InputFailure(name, "the process that looked at it has died", None, name)])
        self._end(worker)

    def _hired(self) -> _Worker:
        with ExitStack() as on_failure:
            orders, our_orders = map(on_failure.enter_context, Pipe(duplex=False))
            our_answers, answers = map(on_failure.enter_context, Pipe(duplex=False))
            parent = os.getpid()
            process = os.fork()
            on_failure.pop_all()
        if process == 0:
            # Pipes of the others would keep them from seeing that we have ended.
            for worker in (*self._idle, *self._busy):
                worker.close()
            our_orders.close()
            our_answers.close()
            _serve(orders, answers, self._work, parent)
        orders.close()
        answers.close()
        return _Worker(process, our_orders, our_answers)

    def _end(self, worker: _Worker) -> None:
        worker.close()
        os.kill(worker.process, signal.SIGKILL)
        os.waitpid(worker.process, 0)

    def dismiss(self) -> None:
        for worker in (*self._idle, *self._busy):
            self._end(worker)
        self._idle, self._busy = [], {}


def _serve(orders: Connection, answers: Connection, work: Callable[[Given], Outcome[T]], parent: int) -> None:
    """Be a worker: answer each input until the pipe ends, and never return."""
    status = 1
    try:
        die_with(parent)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends everything
        for name in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(name, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1):
            os.dup2(nothing, stream)
        while True:
            READ.clear()
            outcome = work(orders.recv())
            answers.send((outcome, frozenset(READ)))
    except (EOFError, OSError):
        status = 0
    finally:
        os._exit(status)


def shown(outcomes: Iterator[T], total: int) -> Iterator[T]:
    """Hand the outcomes on and say on a terminal how many there were, how fast, and how long it will take."""
    if not total or sys.stderr is None or not sys.stderr.isatty():
        yield from outcomes
        return
    import typer

    began = time.monotonic()
    done = 0

    def rate(_: T | None) -> str:
        return f"{done / max(time.monotonic() - began, 1e-3):.0f}/s"

    bar = typer.progressbar(outcomes, length=total, label="trees", file=sys.stderr, show_pos=True, item_show_func=rate)
    with bar:
        for outcome in bar:
            done += 1
            yield outcome
