"""Whether the rules catch faults on a given board: each fault is seeded into a copy of its tree, and the copy is checked."""

from __future__ import annotations

from collections.abc import Iterator

from dtanalyze.address.range import AddressRange
from dtanalyze.analysis.faults import FAULTS, Bench, NotApplicable, bench
from dtanalyze.analysis.guest import check_guest, memory_of
from dtanalyze.analysis.questions import CheckOptions
from dtanalyze.board.build import build_board
from dtanalyze.devicetree.blob import parse
from dtanalyze.facts import Trial
from dtanalyze.findings import Finding, Severity

__all__ = ["selftest"]


def selftest(data: bytes, path: str, options: CheckOptions, memory: tuple[AddressRange, ...] = ()) -> tuple[Trial, ...]:
    """Try every fault on the tree in ``data``; ``memory`` replaces its RAM."""
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
        yield Trial(fault.name, fault.caught_by, caught, false, "")


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
