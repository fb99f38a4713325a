"""The cures that findings carry, each tried on a copy of the tree before it is offered.

A cure is offered when the whole question, asked again of the copy, has no error and no warning that the old answer had not,
for none of the releases and kernels asked about; whatever else is found then is told with it. Those of all findings are
tried together first, since most trees have one fault in many places; where that does not do, one after another. What a tree
that did not boot has hidden may come up: the trees that Xen writes for its guests are looked at only once it boots.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from dtanalyze.address.range import AddressRange
from dtanalyze.address.rangeset import RangeSet
from dtanalyze.analysis import check
from dtanalyze.analysis.editing import changed, edits_of
from dtanalyze.analysis.host_ram import tree_ram
from dtanalyze.analysis.questions import CheckOptions, HostQuestion
from dtanalyze.devicetree.blob import parse
from dtanalyze.facts import CheckResult, Fix, Offer
from dtanalyze.findings import Change, Cure, Finding, Severity
from dtanalyze.linux.boot import WORST_FIRST, Verdict
from dtanalyze.rules.model import GUEST, REST
from dtanalyze.rules.registry import ALL_RULES

__all__ = ["fix"]

_TRIES: Final = 96
"""So many copies are asked about at most: a tree may have any number of faults."""
_FEW: Final = 6
"""Of so many offers it is looked whether each is needed."""
_ROUNDS: Final = 32
"""A change may bring up what it hid; so many times is looked again."""
_OF_GUESTS: Final = frozenset(item.code for item in ALL_RULES if item.on == GUEST)
_OF_THE_WAY: Final = frozenset(
    {
        *("B03", "B05", "B06", "B07", "C02", "D02", "D03", "D05", "D08", "D12", "D13", "D20"),
        *("X18", "X33", "X39", "X41", "X42", "X43", "X45", "X46", "X47"),
    }
)
"""Rules about what Xen meets on its way: a stop hides what lies beyond it."""

Results = tuple[CheckResult, ...]
Key = tuple[str, str | None, str]


def fix(
    data: bytes,
    path: str,
    options: CheckOptions,
    question: HostQuestion,
    *,
    alternatives: bool = False,
    rules: frozenset[str] | None = None,
) -> Fix:
    """Return the changes that make findings go away, with the results before and after; ``data`` stays as it is.

    With ``alternatives`` the other cures of each finding are tried too; ``rules`` are those whose findings count, None for
    all.
    """
    trials = _Trials(data, path, options, question, alternatives=alternatives, rules=rules)
    for _ in range(_ROUNDS):
        if not (trials.all_at_once() or trials.one_of_them()):
            break
    trials.drop_needless(data)
    edits = edits_of(data, [offer.cure for offer in trials.offers])
    refused = tuple(trials.refused.items())
    known = set(map(_key, _all(trials.before)))
    new = tuple(tuple(item for item in result.findings if _key(item) not in known) for result in trials.results)
    return Fix(tuple(trials.offers), edits, trials.before, trials.results, trials.data if edits else data, refused, new)


class _Trials:
    """The tree as it stands with the cures taken so far, what is found in it, and what was tried."""

    def __init__(
        self,
        data: bytes,
        path: str,
        options: CheckOptions,
        question: HostQuestion,
        *,
        alternatives: bool,
        rules: frozenset[str] | None,
    ) -> None:
        self.data = data
        self.before = self.results = check(data, path, options, question)
        self.offers: list[Offer] = []
        self.refused: dict[Cure, str] = {}
        self._asked = (path, options, question)
        self._alternatives = alternatives
        self._rules = rules
        self._left = _TRIES
        self._had: set[Change] = set()
        """Changes that an offer has made: a finding that wants one undone contradicts the one that wanted it."""

    def all_at_once(self) -> bool:
        """Take the first cure of every finding, when they work together; tell whether that was so."""
        taken: dict[Cure, list[Finding]] = {}
        touched: set[tuple[str, str]] = set()
        for finding, cure in self._first_cures():
            places = {(item.node, item.prop) for item in cure.changes}
            if cure in taken or not places & touched:
                taken.setdefault(cure, []).append(finding)
                touched |= places
        if len(taken) < 2:
            return False
        copy, found = self._tried([change for cure in taken for change in cure.changes])
        every = [finding for findings in taken.values() for finding in findings]
        if found is None or _refusal(every, self.results, found) is not None or self._unfounded(copy):
            return False
        for cure, findings in taken.items():
            self._take(cure, findings)
        self.data, self.results = copy, found
        return True

    def one_of_them(self) -> bool:
        """Take the first cure that works; tell whether there was one."""
        for finding, cure in self._untried():
            why = self._taken_alone(finding, cure)
            if why is None:
                return True
            self.refused[cure] = why
        return False

    def drop_needless(self, data: bytes) -> None:
        """Drop each offer without which nothing more is found: another one has removed its finding as well."""
        for offer in self.offers if 1 < len(self.offers) <= _FEW else ():
            rest = [item for item in self.offers if item is not offer]
            copy = changed(data, [change for item in rest for change in item.cure.changes])
            if copy == self.data:
                continue  # a later change to the same property holds this one
            found = check(copy, *self._asked)
            if Counter(map(_key, _all(found))) <= Counter(map(_key, _all(self.results))):
                self.offers, self.data, self.results = rest, copy, found

    def _taken_alone(self, finding: Finding, cure: Cure) -> str | None:
        """Take a cure, or return why not."""
        copy, found = self._tried(list(cure.changes))
        if found is None:
            return "not tried: too many changes have been"
        why = _refusal([finding], self.results, found) or self._unfounded(copy)
        if why:
            return why
        gone = [item for item in _all(self.results) if cure in item.cures and _key(item) not in set(map(_key, _all(found)))]
        self._take(cure, gone or [finding])
        self.data, self.results = copy, found
        return None

    def _unfounded(self, copy: bytes) -> str:
        """Say what is known to lie in RAM and would not any more: Xen dies of that before it can say so (booted)."""
        host = self._asked[2].host
        if host is None or host.memory or self._asked[1].memory:
            return ""
        here, then = (RangeSet(tree_ram(parse(data))) for data in (self.data, copy))
        places = [host.grant_table] if host.grant_table is not None else []
        places += [AddressRange(host.fdt_address, 1)] if host.fdt_address is not None else []
        lost = [item for item in places if here.touches(item) and not then.touches(item)]
        return f"it would take RAM from under Xen, or the tree, at {lost[0].start:#x}" if lost else ""

    def _take(self, cure: Cure, findings: list[Finding]) -> None:
        others = self._others(findings[0], cure) if self._alternatives else ()
        self.offers.append(Offer(cure, tuple(dict.fromkeys(findings)), tuple(others)))
        self._had.update(cure.changes)

    def _others(self, finding: Finding, chosen: Cure) -> Iterator[tuple[Cure, str]]:
        for cure in finding.cures:
            if cure == chosen:
                continue
            _, found = self._tried(list(cure.changes))
            yield cure, "not tried" if found is None else _refusal([finding], self.results, found) or ""

    def _first_cures(self) -> Iterator[tuple[Finding, Cure]]:
        for finding in self._findings():
            cure = next((item for item in finding.cures if self._is_open(item)), None)
            if cure is not None:
                yield finding, cure

    def _findings(self) -> list[Finding]:
        return [item for item in _all(self.results) if self._rules is None or item.rule in self._rules]

    def _untried(self) -> Iterator[tuple[Finding, Cure]]:
        """Yield each cure of each finding, all first ones before the second."""
        found = self._findings()
        for place in range(max((len(item.cures) for item in found), default=0)):
            for finding in found:
                if place < len(finding.cures) and self._is_open(finding.cures[place]):
                    yield finding, finding.cures[place]

    def _is_open(self, cure: Cure) -> bool:
        if cure in self.refused:
            return False
        contradicted = all(item in self._had for item in cure.changes)
        if contradicted:
            self.refused[cure] = "another finding contradicts it, which wants the same property otherwise"
        return not contradicted

    def _tried(self, changes: list[Change]) -> tuple[bytes, Results | None]:
        if self._left == 0:
            return self.data, None
        self._left -= 1
        copy = changed(self.data, changes)
        return copy, check(copy, *self._asked)


def _refusal(findings: list[Finding], old: Results, new: Results) -> str | None:
    """Return why a cure of these findings is not offered, None when it is."""
    brought = next(_brought(old, new), None)
    if brought is not None:
        return f"it would bring {brought.rule} {brought.name}: {brought.message}"
    if _worst(new) < _worst(old):
        return f"the verdict would be {WORST_FIRST[_worst(new)].value}"
    were, are = Counter(map(_key, _all(old))), Counter(map(_key, _all(new)))
    if any(are[_key(item)] >= were[_key(item)] for item in findings):
        return "it would not remove the finding"
    return None


def _brought(old: Results, new: Results) -> Iterator[Finding]:
    """Yield what is found now and was not before, without what only a boot that came so far could show.

    What Linux loses of a region is no fault that was brought where the answer is a better one than before.
    """
    known = {_key(item) for item in _all(old)}
    counted = {item.rule for item in _all(old) if item.message.endswith(REST)}
    stopped, better = any(item.verdict is Verdict.NO_BOOT for item in old), _worst(new) > _worst(old)
    for item in _all(new):
        told = item.rule in counted or item.message.endswith(REST)  # one of those that were only counted
        of_question = item.rule[0] in "ES"  # of the options and the log, not of the tree
        if item.severity is Severity.INFO or _key(item) in known or told or of_question:
            continue
        of_guest = item.rule in _OF_GUESTS
        hidden = stopped and (of_guest or item.rule in _OF_THE_WAY or item.rule[0] == "V")
        if not hidden and not (of_guest and better and item.severity is not Severity.ERROR):
            yield item


def _all(results: Results) -> list[Finding]:
    return [item for result in results for item in result.findings]


def _key(finding: Finding) -> Key:
    # One verdict after another is no new finding, nor is another piece of a region lost; one place after another is.
    alike = finding.rule.startswith("V-") or (finding.rule in _OF_GUESTS and finding.severity is not Severity.ERROR)
    return finding.rule, finding.node, "" if alike else finding.message


def _worst(results: Results) -> int:
    return min((WORST_FIRST.index(item.verdict) for item in results), default=len(WORST_FIRST))
