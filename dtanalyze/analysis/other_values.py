"""Would another value of what is assumed change the verdict? Tried where one more boot answers it: IOMMU, CPUs, grant table.

The IOMMU is on or off, so both are tried where the tree has one that Xen knows. The grant table is Xen's text, wherever a
boot loader puts it in RAM: with sections to spare no place of it matters, else one other place is tried, the end of the
largest bank, and the sentence says which. Which CPU Xen boots on firmware decides: where others are narrower, so is
another start.
"""

from __future__ import annotations

from typing import Final

from dtanalyze.address.range import AddressRange
from dtanalyze.address.units import MIB
from dtanalyze.analysis.starts import Guests, verdict_of
from dtanalyze.board.cpus import pa_bits
from dtanalyze.facts import Assumption, CheckResult
from dtanalyze.linux.boot import Verdict
from dtanalyze.linux.profile import LinuxProfile
from dtanalyze.xen.drivers import IOMMUS
from dtanalyze.xen.host import Host
from dtanalyze.xen.options import XenOptions
from dtanalyze.xen.predict import predict
from dtanalyze.xen.prediction import Prediction
from dtanalyze.xen.profile import XenProfile

__all__ = ["with_other_values"]

_TEXT: Final = 16 * MIB
"""More than Xen's image takes, so that it lies in RAM whole."""
_SPARE: Final = 3
"""So many leave a section wherever Xen lies: its text takes one, and up to 4.20 the region before it loses its end."""


def with_other_values(
    result: CheckResult,
    prediction: Prediction,
    host: Host,
    xen: XenProfile,
    options: XenOptions,
    guests: Guests,
    linux: LinuxProfile,
) -> CheckResult:
    """Return the result with what its assumptions about dom0 matter to its verdict, where that can be tried."""
    if result.domain != "dom0" or not prediction.info.ram_known:
        return result

    def verdict_with(other: XenOptions) -> Verdict:
        return verdict_of(predict(host, xen, other)[0], guests, linux) or result.verdict

    def told(item: Assumption) -> Assumption:
        if item.topic == "IOMMU" and options.iommu is None and _has_iommu(host):
            found = verdict_with(options._replace(iommu=not result.iommu))
            if found is result.verdict:
                return item._replace(matters=False, option="--iommu")
            tried = _tried(f"with it {'off' if result.iommu else 'on'}", found, result)
            return item._replace(matters=True, option="--iommu", instead=tried)
        if item.topic == "guest physical addresses" and item.origin == "guess":
            bits = pa_bits(host.tree)
            if bits is None:
                return item
            found = verdict_with(options._replace(ipa_bits=bits))
            if found is result.verdict:
                return item._replace(matters=False)
            return item._replace(matters=True, instead=_tried(f"with the {bits} bits of the others", found, result))
        if item.topic != "grant table" or item.origin != "guess":
            return item
        if result.verdict is Verdict.SCRATCH and result.sections >= _SPARE:
            return item._replace(matters=False)
        place = _elsewhere(prediction) if result.verdict in (Verdict.SCRATCH, Verdict.EXHAUSTED) else None
        if place is None:
            return item
        found = verdict_with(options._replace(grant_table=place))
        # Another place gave the same answer, which says nothing of a third one: not that it cannot matter.
        matters = True if found is not result.verdict else None
        return item._replace(matters=matters, instead=_tried(f"at {place.start:#x}", found, result))

    return result._replace(assumptions=tuple(map(told, result.assumptions)))


def _tried(with_what: str, found: Verdict, result: CheckResult) -> str:
    return f"{with_what} the verdict is {'the same' if found is result.verdict else found.value}"


def _has_iommu(host: Host) -> bool:
    return any(node.is_any_of(tuple(IOMMUS)) for node in host.tree.root)


def _elsewhere(prediction: Prediction) -> AddressRange | None:
    """Return another place of Xen's text: near the end of the largest bank of RAM, clear of what is reserved and loaded."""
    largest = max(prediction.info.mem, key=lambda bank: bank.size, default=None)
    grant = prediction.grant_table
    if largest is None or grant is None or largest.wraps or largest.size < 2 * _TEXT:
        return None
    start = (largest.stop - _TEXT) // (2 * MIB) * (2 * MIB)
    used = [(item.start, item.size) for item in prediction.info.reserved_mem]
    used += [(item.start, item.size) for item in prediction.info.modules]
    if any(at < start + _TEXT and start < at + size for at, size in used):
        return None
    found = AddressRange(start, grant.size)
    return None if found.overlaps(grant) else found
