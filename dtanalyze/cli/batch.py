"""How to go through many trees: options, and what comes of each input."""

from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, NamedTuple, TypeAlias

from dtanalyze.cli.console import complain
from dtanalyze.cli.kept import Kept
from dtanalyze.cli.limits import DEFAULT_MEMORY, DEFAULT_SECONDS, MOST_JOBS, Limits, limits_from
from dtanalyze.cli.option import Group, Option
from dtanalyze.cli.run import Outcome, usage_errors
from dtanalyze.errors import InputFailure, UsageError
from dtanalyze.facts import CheckResult
from dtanalyze.findings import Remark
from dtanalyze.inputs.files import Given

__all__ = ["BatchGroup", "BatchOptions", "Found", "Work", "gathered", "remembered"]

Checked: TypeAlias = Outcome[tuple[CheckResult, ...]]
Work: TypeAlias = Callable[[Given], Checked]


class BatchOptions(NamedTuple):
    """How to go through many trees."""

    jobs: Annotated[int, Option("--jobs", "-j", metavar="N", help="Processes that look at inputs.")] = 1
    timeout: Annotated[
        float, Option("--timeout", metavar="SECONDS", help="Most CPU time for one input; it costs only itself.")
    ] = DEFAULT_SECONDS
    memory_limit: Annotated[
        str, Option("--memory-limit", metavar="SIZE", help="Most memory for one input; it costs only itself.")
    ] = DEFAULT_MEMORY

    cache: Annotated[
        str | None,
        Option(
            "--cache",
            metavar="FOLDER",
            help="Keep what came of each tree here, and take it from here when nothing has changed; your own folder.",
            show_default=False,
        ),
    ] = None
    dask: Annotated[
        str | None,
        Option(
            "--dask",
            metavar="ADDRESS|local",
            help="Look at inputs on a Dask cluster: a scheduler's address, or local: --jobs workers started here.",
            show_default=False,
        ),
    ] = None

    def limits(self) -> Limits:
        """Return what one input may cost; raise `UsageError` for what is no limit, or no number of jobs."""
        if not 1 <= self.jobs <= MOST_JOBS:
            raise UsageError(f"--jobs takes 1 to {MOST_JOBS}, not {self.jobs}")
        if self.dask is not None and self.cache is not None:
            raise UsageError("--cache keeps what this machine finds: leave it out with --dask")
        return limits_from(self.timeout, self.memory_limit)


BatchGroup = Annotated[BatchOptions, Group("Many trees")]


class Found:
    """What came of all inputs: the results of each, and what else is told of them at the end."""

    def __init__(self) -> None:
        self.groups: Kept[tuple[CheckResult, ...]] = Kept()
        self.failures: list[InputFailure] = []
        self.kinds: set[str] = set()
        self.remarks: dict[Remark, None] = {}
        self.own: set[str] = set()

    def add(self, group: tuple[CheckResult, ...]) -> None:
        """Keep the results of one tree."""
        for item in group:
            self.kinds.add(item.tree)
            self.remarks.update(dict.fromkeys(item.remarks))
            self.own.add(item.location)
        self.groups.append(group)


def gathered(items: Iterable[Given | InputFailure], work: Work, batch: BatchOptions, *, shown: bool) -> Found:
    """Return what comes of all inputs; ``shown`` where a terminal shows how far it is.

    Raises `UsageError` or `InputError` for a cluster that cannot be used and for a list of inputs that cannot be read.
    """
    total = 0
    if shown:
        items = listed = list(items)
        total = len(listed) if len(listed) > 1 else 0
    found = Found()
    for groups, failed in _outcomes(iter(items), work, batch, total):
        for group in groups:
            found.add(group)
        found.failures += failed
    return found


def remembered(work: Work, folder: str, asked: tuple[object, ...]) -> Work:
    """Return the work as one that asks the cache first; a question that is no plain data is asked as ever, which is said."""
    from dtanalyze.cli.cache import Cache, cached
    from dtanalyze.cli.stored import NotStorableError, to_bytes

    with usage_errors():
        try:
            return cached(work, Cache(folder, to_bytes(asked)))
        except NotStorableError:
            complain("--cache: no effect with what these options read; every tree is looked at")
    return work


def _outcomes(
    items: Iterator[Given | InputFailure],
    work: Work,
    batch: BatchOptions,
    total: int,
) -> Iterator[Checked]:
    """Yield what comes of each input; one process and no terminal need nothing of what many trees need."""
    if batch.dask is not None:
        from dtanalyze.cli.cluster import on_cluster
        from dtanalyze.cli.jobs import shown

        return shown(on_cluster(items, work, batch.dask, batch.jobs), total)
    if batch.jobs == 1 and not total:
        return (([], [item]) if isinstance(item, InputFailure) else work(item) for item in items)
    from dtanalyze.cli.jobs import in_order, shown

    return shown(in_order(items, work, batch.jobs), total)
