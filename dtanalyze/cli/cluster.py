"""The same batch on a Dask cluster: one that is there already, or worker processes started here.

A unit is an input: its bytes travel with the question, so that workers need no files of ours. Results come back in order,
each as soon as those before it are there. What a lost worker had in hand is done again by another; the answer is the same,
byte for byte. Sources are compiled here, where the folders are that they include from; so are images too large to be read
whole, of which only their trees are looked at.

Whoever runs the scheduler can have anything run here and on the workers: Dask sends pickles. So no settings file and no
variable names a cluster, the command line alone does.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, TypeVar

from dtanalyze.cli.run import Outcome
from dtanalyze.cli.serving import answered
from dtanalyze.errors import DtanalyzeError, InputFailure, UsageError
from dtanalyze.inputs.files import Given
from dtanalyze.version import __version__

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["LOCAL", "on_cluster"]

T = TypeVar("T")

LOCAL: Final = "local"
_SCHEMES: Final = ("tcp://", "tls://", "ws://", "wss://")
_SECONDS: Final = 30
"""How long a scheduler may take to answer, and a first worker to be there."""
_PATIENCE: Final = 10
"""How often in a row a wait of so many seconds may find no worker at all before the run is given up."""
_QUEUED: Final = 4
"""Inputs that are on their way for each thread of the workers: enough to keep all busy, few enough to hold in memory."""


def on_cluster(
    items: Iterator[Given | InputFailure], work: Callable[[Given], Outcome[T]], address: str, jobs: int
) -> Iterator[Outcome[T]]:
    """Yield what ``work``, which has to be picklable, makes of each input on the cluster, in order.

    Raises `UsageError` when there is no cluster to be had at ``address``, or its workers are of another version.
    """
    with ExitStack() as stack:
        yield from _outcomes(items, work, _connected(address, jobs, stack))


def _connected(address: str, jobs: int, stack: ExitStack) -> Client:
    """Return the client of a cluster with at least one worker; the stack closes what was opened."""
    if address != LOCAL and not address.startswith(_SCHEMES):
        raise UsageError(f"--dask takes {LOCAL} or an address such as tcp://10.0.0.1:8786, not '{address}'")
    if address != LOCAL and jobs != 1:
        raise UsageError("--jobs has no effect on a cluster that is there already: leave it out with --dask ADDRESS")
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise UsageError("--dask needs Dask: pip install 'dtanalyze[dask]'") from error
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # a lost worker is no news: its inputs are done again
    stack.enter_context(warnings.catch_warnings())
    warnings.simplefilter("ignore")  # an input may be large, and its bytes have to travel
    try:
        if address == LOCAL:
            os.environ["PYTHONSAFEPATH"] = "1"  # for the workers: the working folder may hold modules of strangers
            # Memory is limited for each input. No page that shows the run, and nothing that listens beyond this machine.
            cluster = stack.enter_context(
                LocalCluster(jobs, threads_per_worker=1, memory_limit=0, dashboard_address=None, host="127.0.0.1")
            )
            client: Client = stack.enter_context(Client(cluster))
        else:
            client = stack.enter_context(Client(address, timeout=_SECONDS, set_as_default=False))
        client.wait_for_workers(1, timeout=_SECONDS)
    except (OSError, ValueError, RuntimeError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(f"--dask {address}: no cluster that works: {said}") from error
    return client


def _outcomes(
    items: Iterator[Given | InputFailure], work: Callable[[Given], Outcome[T]], client: Client
) -> Iterator[Outcome[T]]:
    line: deque[Outcome[T] | Future] = deque()
    for item in items:
        line.append(_begun(item, work, client))
        while len(line) >= _QUEUED * max(_threads(client), 1):
            yield _finished(line.popleft(), client)
    while line:
        yield _finished(line.popleft(), client)


def _threads(client: Client) -> int:
    return sum(client.nthreads().values())


def _begun(item: Given | InputFailure, work: Callable[[Given], Outcome[T]], client: Client) -> Outcome[T] | Future:
    """Return what is known of an input at once, or the promise of it."""
    if isinstance(item, InputFailure):
        return [], [item]
    try:
        data = item.read()
    except DtanalyzeError:
        return work(item)  # says why
    if not isinstance(data, bytes):
        data.file.close()
        return work(item)  # an image that is too large to be read whole does not travel
    given = item._replace(data=data)
    if item.name.endswith(".dts") or _has_source(work):
        return work(given)
    return client.submit(answered, work, given, pure=False)


def _has_source(work: Callable[..., object]) -> bool:
    """Whether the places of findings come from a source, which is a file of ours."""
    sources: Any = getattr(work, "keywords", {}).get("sources")
    return sources is not None and sources.sourcing.source is not None


def _finished(found: Outcome[T] | Future, client: Client) -> Outcome[T]:
    if isinstance(found, tuple):
        return found
    try:
        version, outcome = _awaited(found, client)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"--dask: the workers cannot run dtanalyze {__version__}: {error}") from error
    if version != __version__:
        raise UsageError(f"--dask: the workers have dtanalyze {version}, this is {__version__}")
    done: Outcome[T] = outcome
    return done


def _awaited(found: Future, client: Client) -> Any:
    """Return the result of a future; raise `UsageError` when no worker is left for too long."""
    alone = 0
    while True:
        try:
            return found.result(timeout=_SECONDS)
        except TimeoutError:
            alone = 0 if _threads(client) else alone + 1
            if alone >= _PATIENCE:
                raise UsageError("--dask: the cluster has lost all its workers") from None
