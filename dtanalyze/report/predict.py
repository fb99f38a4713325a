"""What Xen does with a host tree, for people: what stops it, where RAM and regions lie, and how they came about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from dtanalyze.address.range import RawRange
from dtanalyze.address.units import counted, format_size
from dtanalyze.facts import Predicted
from dtanalyze.report.foreign import document
from dtanalyze.report.lines import WIDTH, fitted, spanned, wrapped
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
    path: str,
    predicted: Predicted,
    *,
    style: Style = PLAIN,
    quiet: bool = False,
    explain: bool = False,
    width: int = WIDTH,
    asked: Iterable[str] = (),
) -> str:
    """Return the report for one domain under one release; ``asked`` are the options that a command which goes on repeats."""
    prediction = predicted.prediction
    if quiet:
        return document([_headline(path, predicted, style, 1 << 20)[0]])
    lines = _headline(path, predicted, style, width)
    if prediction.stopped_by is not None and path != "-":
        import shlex  # needed where something is to be done

        lines += ["", style.bold("What to do")]
        lines += fitted([f"  {shlex.join(['dtanalyze', 'check', path, *asked])} says what to change"], width)
    sections = [("Addresses", _addresses(prediction, width)), ("Assumed", [f"  - {item}" for item in prediction.assumed])]
    if explain:
        sections.append(("How Xen boots", [*_stages(prediction)]))
        sections.append(("Step by step", [f"  {step}" for step in _steps(prediction)]))
    for title, body in sections:
        lines += ["", style.bold(title), *fitted(body, width)]
    return document(lines)


def _headline(path: str, predicted: Predicted, style: Style, width: int) -> list[str]:
    """Say in the first lines what comes out, its word coloured."""
    label, word, rest = _outcome_of(predicted)
    who = f"{path}: {predicted.prediction.domain}, Xen {predicted.prediction.xen}: "
    lines = wrapped(f"{who}{word}{rest}", width, rest="  ")
    at = next((number for number, line in enumerate(lines) if word in line), None)
    if at is not None:
        head, _, tail = lines[at].rpartition(word)
        lines[at] = f"{head}{style.severity(label, word)}{tail}"
    return lines


def _outcome_of(predicted: Predicted) -> tuple[str, str, str]:
    """Return the severity, the word for it, and what else there is to say."""
    prediction = predicted.prediction
    stop, regions = prediction.stopped_by, prediction.regions
    if stop is not None:
        return "error", "no-boot", f" ({stop.stage}): {stop.text}"
    count = len(regions.ranges)
    if not count:
        why = f", -{regions.error}: {regions.message}" if regions.error else f": {regions.message}"
        return "warning", "no extended region", why
    total = format_size(sum(item.size for item in regions.ranges))
    linux = f"; Linux {predicted.guest.linux.name}: {predicted.guest.verdict.value}" if predicted.guest else ""
    return "ok", counted(count, "extended region"), f", {total}{linux}"


def _addresses(prediction: Prediction, width: int) -> list[str]:
    """Return a row for each range: what it is, where, and which node says so."""
    known = "" if prediction.memory_known else "  predicted"
    info = prediction.info
    banks = [("host RAM", bank) for bank in info.mem] + [("reserved", bank) for bank in info.reserved_mem]
    rows = [(label, f"{spanned(RawRange(bank.start, bank.size))}  {bank.node}") for label, bank in banks]
    rows += [("domain's RAM", f"{spanned(item)}{known}") for item in prediction.memory]
    if prediction.grant_table is not None:
        rows.append(("grant table", spanned(prediction.grant_table)))
    rows += [(f"extended region {index}", spanned(item)) for index, item in enumerate(prediction.regions.ranges)]
    return [line for label, text in rows for line in wrapped(text, width, first=f"  {label:<18} ")]


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

