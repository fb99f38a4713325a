"""What changed from one tree to another: verdict, findings, the map. Asked of the same question."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from dtanalyze.address.range import AddressRange, RawRange
from dtanalyze.address.rangeset import RangeSet
from dtanalyze.controls.identity import identified
from dtanalyze.facts import CheckResult
from dtanalyze.findings import Finding, Severity
from dtanalyze.linux.boot import WORST_FIRST

__all__ = ["CellChange", "Moved", "TreeChange", "changes"]


class Moved(NamedTuple):
    """A region that is another one now: it overlaps the old one, or has its size."""

    old: RawRange
    new: RawRange


class CellChange(NamedTuple):
    """One domain under one kernel and release, before and after; None where it is in one of the trees only."""

    old: CheckResult | None
    new: CheckResult | None
    new_findings: tuple[Finding, ...]
    fixed_findings: tuple[Finding, ...]
    gained: tuple[RawRange, ...]
    lost: tuple[RawRange, ...]
    moved: tuple[Moved, ...]
    ram_gained: tuple[AddressRange, ...]
    ram_lost: tuple[AddressRange, ...]

    @property
    def sections(self) -> int:
        """Sections won, negative when lost."""
        return (self.new.sections if self.new else 0) - (self.old.sections if self.old else 0)

    @property
    def is_empty(self) -> bool:
        """Whether nothing changed."""
        lists = (self.new_findings, self.fixed_findings, self.gained, self.lost, self.moved, self.ram_gained, self.ram_lost)
        same = self.old is not None and self.new is not None and self.old.verdict is self.new.verdict
        return same and not self.sections and not any(lists)

    def is_worse(self, threshold: Severity | None) -> bool:
        """Whether something got worse: the verdict, fewer sections, a domain gone, a new finding at or above ``threshold``.

        Without a threshold nothing is.
        """
        if threshold is None:
            return False
        found = any(item.severity >= threshold for item in self.new_findings)
        if self.old is None or self.new is None:
            return found or self.new is None
        verdict = WORST_FIRST.index(self.new.verdict) < WORST_FIRST.index(self.old.verdict)
        return verdict or found or self.sections < 0


class TreeChange(NamedTuple):
    """What became of one tree among many: its name, where it lay before and lies after, and the change of each cell.

    ``old`` is None for a tree that is new, ``new`` for one that is gone.
    """

    name: str
    old: str | None
    new: str | None
    cells: tuple[CellChange, ...]

    @property
    def is_empty(self) -> bool:
        """Whether nothing changed."""
        return all(cell.is_empty for cell in self.cells)


def changes(old: Iterable[CheckResult], new: Iterable[CheckResult]) -> tuple[CellChange, ...]:
    """Return the change of each cell, those of ``new`` first."""
    before, after = _by_cell(old), _by_cell(new)
    return tuple(_change(before.get(key), after.get(key)) for key in dict.fromkeys((*after, *before)))


def _by_cell(results: Iterable[CheckResult]) -> dict[tuple[object, ...], CheckResult]:
    # The release that a guest's tree names is part of what may change.
    return {
        (item.domain or item.tree, item.linux.name, item.xen if item.tree == "host" else None, item.iommu): item
        for item in results
    }


def _change(old: CheckResult | None, new: CheckResult | None) -> CellChange:
    findings_before = _findings(old)
    findings_after = _findings(new)
    gained, lost, moved = _regions(old.extended_regions if old else (), new.extended_regions if new else ())
    ram_before, ram_after = RangeSet(old.ram if old else ()), RangeSet(new.ram if new else ())
    return CellChange(
        old,
        new,
        tuple(item for key, item in findings_after.items() if key not in findings_before),
        tuple(item for key, item in findings_before.items() if key not in findings_after),
        gained,
        lost,
        moved,
        tuple(ram_after.difference(ram_before)),
        tuple(ram_before.difference(ram_after)),
    )


def _findings(result: CheckResult | None) -> dict[tuple[str, str, int], Finding]:
    found = identified([result], None) if result else ()
    return {(identity.rule, identity.node, identity.number): finding for identity, _, finding in found}


def _regions(
    old: tuple[RawRange, ...], new: tuple[RawRange, ...]
) -> tuple[tuple[RawRange, ...], tuple[RawRange, ...], tuple[Moved, ...]]:
    lost = [item for item in old if item not in new]
    gained = [item for item in new if item not in old]
    moved: list[Moved] = []
    for item in list(gained):
        partner = next((other for other in lost if _alike(other, item)), None)
        if partner is not None:
            moved.append(Moved(partner, item))
            gained.remove(item)
            lost.remove(partner)
    return tuple(gained), tuple(lost), tuple(moved)


def _alike(one: RawRange, other: RawRange) -> bool:
    return one.size == other.size or (one.start < other.stop and other.start < one.stop)
