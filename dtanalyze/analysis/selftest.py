"""Whether the rules catch faults on a given board: each fault is seeded into a copy of its tree, and the copy is checked."""

from __future__ import annotations

from collections.abc import Iterator

from dtanalyze.address.range import AddressRange
from dtanalyze.analysis.faults import FAULTS, Bench, NotApplicable, bench
from dtanalyze.analysis.fix import fix
from dtanalyze.analysis.guest import check_guest, kind_of, memory_of
from dtanalyze.analysis.questions import CheckOptions, HostQuestion
from dtanalyze.board.build import build_board
from dtanalyze.devicetree.blob import parse
from dtanalyze.facts import Trial
from dtanalyze.findings import Finding, Severity

__all__ = ["guest_selftest", "selftest"]


def selftest(data: bytes, path: str, options: CheckOptions, memory: tuple[AddressRange, ...] = ()) -> tuple[Trial, ...]:
    """Try every fault on the tree in ``data``; ``memory`` replaces its RAM.

    Faults of the tree that Linux boots with are seeded into the board's with a hypervisor node; those that stop Xen into the
    board's own, where it is one.
    """
    return (*guest_selftest(data, path, options, memory), *_host_trials(data, path, options, memory))


def _host_trials(data: bytes, path: str, options: CheckOptions, memory: tuple[AddressRange, ...]) -> Iterator[Trial]:
    if kind_of(parse(data)) == "host":
        from dtanalyze.analysis.host_selftest import host_selftest  # a guest tree has no use for the mirrors of Xen

        yield from host_selftest(data, path, options._replace(memory=memory))


def guest_selftest(data: bytes, path: str, options: CheckOptions, memory: tuple[AddressRange, ...]) -> tuple[Trial, ...]:
    """Try the faults of the tree that Linux boots with."""
    asked = options._replace(tree="dom0", memory=memory)
    tree = parse(data)
    board = build_board(tree, options.linux.address_rules)
    ram = tuple(memory_of(board, asked)[0].memory)
    try:
        ready = bench(tree, ram)
    except NotApplicable as reason:
        return tuple(Trial(fault.name, fault.caught_by, (), (), str(reason)) for fault in FAULTS)
    clean = _keys(_findings(ready.blob(ready.root()), path, asked))
    return tuple(_trials(ready, clean, path, asked))


def _cured(trial: Trial, seeded: bytes, path: str, options: CheckOptions) -> Trial:
    """Return the trial with what `fix` makes of the fault."""
    rules = frozenset(item.rule for item in trial.caught)
    found = fix(seeded, path, options, HostQuestion(options, (options.linux,)), rules=rules)
    if not found.offers:
        why = next((why for _, why in found.refused), "no change of the tree is known for it")
        return trial._replace(cured=False, remedy=why)
    left = {(item.rule, item.node) for result in found.after for item in result.findings}
    gone = not any((item.rule, item.node) in left for item in trial.caught)
    return trial._replace(cured=gone, remedy=", ".join(str(item.cure) for item in found.offers))


def _trials(ready: Bench, clean: set[tuple[str, str | None]], path: str, options: CheckOptions) -> Iterator[Trial]:
    for fault in FAULTS:
        try:
            seeded = fault.seed(ready)
        except NotApplicable as reason:
            yield Trial(fault.name, fault.caught_by, (), (), str(reason))
            continue
        new = [item for item in _findings(seeded, path, options) if (item.rule, item.node) not in clean]
        allowed = fault.caught_by | fault.beside
        stated = [item for item in new if not item.rule.startswith("V-")]
        caught = tuple(item for item in stated if item.rule in fault.caught_by)
        lowest = Severity.ERROR if fault.caught_by else Severity.INFO
        false = tuple(item for item in stated if item.rule not in allowed and item.severity >= lowest)
        trial = Trial(fault.name, fault.caught_by, caught, false, "")
        yield _cured(trial, seeded, path, options) if any(item.cures for item in caught) else trial


def _findings(blob: bytes, path: str, options: CheckOptions) -> tuple[Finding, ...]:
    # RAM that was given stands in for memory nodes; a seeded memory node has to count beside it.
    tree = parse(blob)
    seeded = tree.root.child("memory")
    given = options.memory
    if given and seeded is not None:
        board = build_board(tree._replace(root=tree.root), options.linux.address_rules)
        extra = [bank.range for bank in memory_of(board, options._replace(memory=()))[0].banks if bank.source == seeded.path]
        given = tuple(sorted([*given, *extra]))
    return check_guest(tree, path, options._replace(memory=given)).findings


def _keys(found: tuple[Finding, ...]) -> set[tuple[str, str | None]]:
    return {(item.rule, item.node) for item in found}
