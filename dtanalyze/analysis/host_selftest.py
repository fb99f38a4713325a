"""The self-test of a board's own tree: faults that stop Xen, each told by a rule and cured by what `fix` offers for it."""

from __future__ import annotations

from collections.abc import Iterator

from dtanalyze.analysis.faults import NotApplicable
from dtanalyze.analysis.fix import fix
from dtanalyze.analysis.host_faults import HOST_FAULTS, HostBench, HostFault
from dtanalyze.analysis.questions import CheckOptions, HostQuestion
from dtanalyze.devicetree.blob import parse
from dtanalyze.facts import CheckResult, Fix, Trial
from dtanalyze.findings import Finding, Severity
from dtanalyze.linux.boot import Verdict
from dtanalyze.xen.dt_uart import find_console
from dtanalyze.xen.guest_tree import with_memory
from dtanalyze.xen.options import XenOptions
from dtanalyze.xen.predict import predict, prepare
from dtanalyze.xen.profile import NEWEST, PRESETS

__all__ = ["host_selftest"]

Key = tuple[str, str | None, str]


def host_selftest(data: bytes, path: str, options: CheckOptions) -> Iterator[Trial]:
    """Yield what becomes of each fault of a host tree, with ``options.memory`` written into it where it is given."""
    # RAM that is given replaces the tree's: as nodes of the tree it is there to be named twice or cut.
    if options.memory:
        data = with_memory(parse(data), options.memory)
    asked = options._replace(tree="host", memory=())
    try:
        bench, clean = _bench(data, path, asked)
    except NotApplicable as reason:
        yield from (Trial(fault.name, fault.caught_by, (), (), str(reason)) for fault in HOST_FAULTS)
        return
    for fault in HOST_FAULTS:
        try:
            seeded = fault.seed(bench)
        except NotApplicable as reason:
            yield Trial(fault.name, fault.caught_by, (), (), str(reason))
            continue
        yield _trial(fault, fix(seeded, path, asked, _question(asked), rules=fault.caught_by), clean)


def _question(asked: CheckOptions) -> HostQuestion:
    return HostQuestion(asked, (asked.linux,))


def _bench(data: bytes, path: str, asked: CheckOptions) -> tuple[HostBench, set[Key]]:
    """Return the board with its own faults cured, and what is found there still; raise `NotApplicable` where Xen stops."""
    cured = fix(data, path, asked, _question(asked))
    stopped = next((item for item in cured.after if item.verdict in (Verdict.NO_BOOT, Verdict.UNKNOWN)), None)
    if stopped is not None:
        raise NotApplicable(stopped.reason)
    tree = parse(cured.blob)
    host, xen = prepare(tree, XenOptions()), PRESETS[NEWEST]
    prediction = predict(host, xen, XenOptions())[0]
    return HostBench(tree, prediction, find_console(tree, host.args, xen).node), set(map(_key, _errors(cured.after)))


def _errors(results: tuple[CheckResult, ...]) -> list[Finding]:
    return [item for result in results for item in result.findings if item.severity is Severity.ERROR]


def _key(finding: Finding) -> Key:
    return finding.rule, finding.node, finding.message


def _trial(fault: HostFault, found: Fix, clean: set[Key]) -> Trial:
    """Tell whether the fault was caught, and whether the offer leaves no error that the board had not."""
    every = [item for result in found.before for item in result.findings]
    caught = tuple(item for item in every if item.rule in fault.caught_by and _key(item) not in clean)
    if not caught:
        return Trial(fault.name, fault.caught_by, (), (), "")
    if not found.offers:
        why = next((why for _, why in found.refused), "no change of the tree is known for it")
        return Trial(fault.name, fault.caught_by, caught, (), "", cured=False, remedy=why)
    gone = {_key(item) for result in found.after for item in result.findings}
    left = [item for item in caught if _key(item) in gone]
    new = [item for item in _errors(found.after) if _key(item) not in clean and item.rule[0] != "V"]
    remedy = ", ".join(str(item.cure) for item in found.offers)
    return Trial(fault.name, fault.caught_by, caught, (), "", cured=not left and not new, remedy=remedy)
