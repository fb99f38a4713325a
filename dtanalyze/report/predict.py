"""What Xen does with a host tree, for people: what stops it, where RAM and regions lie, and how they came about."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from dtanalyze.address.range import AddressRange, RawRange
from dtanalyze.address.units import format_range, format_size
from dtanalyze.facts import Predicted
from dtanalyze.report.foreign import document
from dtanalyze.report.style import PLAIN, Style
from dtanalyze.xen.prediction import Prediction
from dtanalyze.xen.stage import Open, Outcome, Stop

__all__ = ["predict_text"]

_METHODS: Final = {
    "unallocated": "unallocated host RAM (no IOMMU)",
    "holes": "holes of the host's address space (IOMMU)",
    "guest-layout": "what the guest layout leaves free",
    "none": "none",
}


def predict_text(
    path: str, predicted: Predicted, *, style: Style = PLAIN, quiet: bool = False, explain: bool = False
) -> str:
    """Return the report for one domain under one release."""
    prediction = predicted.prediction
    if quiet:
        return document([_headline(path, predicted, style)])
    lines = [_headline(path, predicted, style), "", style.bold("Assumed")]
    lines += [f"  - {item}" for item in prediction.assumed]
    lines += ["", style.bold("Addresses"), *_addresses(prediction)]
    if explain:
        lines += ["", style.bold("How Xen boots"), *_stages(prediction)]
        lines += ["", style.bold("Step by step"), *(f"  {step}" for step in _steps(prediction))]
    return document(lines)


def _headline(path: str, predicted: Predicted, style: Style) -> str:
    prediction = predicted.prediction
    who = f"{path}: {prediction.domain}, Xen {prediction.xen}"
    stop, regions = prediction.stopped_by, prediction.regions
    if stop is not None:
        return f"{who}: {style.severity('error', 'no-boot')} ({stop.stage}): {stop.text}"
    count = len(regions.ranges)
    if not count:
        why = f", -{regions.error}: {regions.message}" if regions.error else f": {regions.message}"
        return f"{who}: {style.severity('warning', 'no extended region')}{why}"
    total = format_size(sum(item.size for item in regions.ranges))
    linux = f"; Linux {predicted.guest.linux.name}: {predicted.guest.verdict.value}" if predicted.guest else ""
    return f"{who}: {style.severity('ok', f'{count} extended region' + ('s' if count > 1 else ''))}, {total}{linux}"


def _addresses(prediction: Prediction) -> Iterator[str]:
    for bank in prediction.info.mem:
        yield f"  host RAM           {_shown(RawRange(bank.start, bank.size))}  {bank.node}"
    for bank in prediction.info.reserved_mem:
        yield f"  reserved           {_shown(RawRange(bank.start, bank.size))}  {bank.node}"
    for item in prediction.memory:
        known = "" if prediction.memory_known else "  predicted"
        yield f"  domain's RAM       {_shown(item)}{known}"
    if prediction.grant_table is not None:
        yield f"  grant table        {_shown(prediction.grant_table)}"
    for index, item in enumerate(prediction.regions.ranges):
        yield f"  extended region {index:<2} {_shown(item)}"


def _stages(prediction: Prediction) -> Iterator[str]:
    for number, (stage, outcome) in enumerate(prediction.stages, 1):
        yield f"  {number:2} {stage.name:<20} {stage.upstream}: {_outcome(outcome)}"
    if len(prediction.stages) < prediction.total:
        yield f"  {prediction.total - len(prediction.stages)} stages after it do not run"


def _outcome(outcome: Outcome) -> str:
    if isinstance(outcome, Stop):
        return f"REFUSES: {outcome.text}"
    if isinstance(outcome, Open):
        return f"open: {outcome.because}" + (f" ({outcome.settled_by})" if outcome.settled_by else "")
    return "; ".join(outcome.saw)


def _steps(prediction: Prediction) -> Iterator[str]:
    yield f"method: {_METHODS[prediction.method]}"
    yield from prediction.regions.steps
    if prediction.regions.message is not None:
        yield prediction.regions.message
    yield f"left after rounding to 2 MiB and dropping what is below 64 MiB: {len(prediction.regions.ranges)}"


def _shown(item: AddressRange | RawRange) -> str:
    return f"{format_range(item.start, item.stop)} ({format_size(item.size)})"
