"""A machine held against its prediction: differences first, agreements folded into one line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from dtanalyze.facts import Comparison
from dtanalyze.report.foreign import document
from dtanalyze.report.lines import WIDTH, fitted
from dtanalyze.report.style import PLAIN, Style

if TYPE_CHECKING:
    from typing import Protocol

    class Shown(Protocol):
        """What a verification holds, whoever made it."""

        @property
        def profile(self) -> tuple[str, ...]: ...
        @property
        def wrong_pairing(self) -> str: ...
        @property
        def comparisons(self) -> tuple[Comparison, ...]: ...


__all__ = ["verify_json", "verify_text"]


def verify_text(verified: Shown, *, style: Style = PLAIN, explain: bool = False, width: int = WIDTH) -> str:
    """Return the whole as text; ``explain`` unfolds what agrees."""
    return document(fitted(_lines(verified, style, explain), width)).rstrip() + "\n"


def _lines(verified: Shown, style: Style, explain: bool) -> Iterator[str]:
    differing = [item for item in verified.comparisons if item.agrees is False]
    open_ = [item for item in verified.comparisons if item.agrees is None]
    agreeing = [item for item in verified.comparisons if item.agrees]
    count = "1 thing differs" if len(differing) == 1 else f"{len(differing)} things differ"
    yield style.bold(f"{count}, {len(agreeing)} agree")
    if verified.wrong_pairing:
        yield style.severity("error", f"wrong pairing: {verified.wrong_pairing}")
    yield from _block(style.bold("Differences"), differing)
    yield from _block(style.bold("Not settled"), open_)
    if explain:
        yield from _block(style.bold("Agreements"), agreeing)
    elif agreeing:
        yield ""
        yield "Agree: " + ", ".join(dict.fromkeys(item.what for item in agreeing)) + " (--explain shows each)"
    if verified.profile:
        yield ""
        yield style.bold("Predicted with")
        yield from (f"  - {note}" for note in verified.profile)


def _block(head: str, items: Sequence[Comparison]) -> Iterator[str]:
    if items:
        yield ""
        yield head
    for item in items:
        place = f"{item.source}:{item.line}" if item.line is not None else item.source
        yield f"  {item.what}"
        yield f"    predicted  {item.predicted}"
        yield f"    seen       {item.seen}" + (f"  ({place})" if place else "")
        if item.cause:
            yield f"    cause      {item.cause}"


def verify_json(verified: Shown) -> dict[str, Any]:
    """Return the same as data: ``agrees`` is null where the evidence settles nothing."""
    return {
        "profile": list(verified.profile),
        "wrong_pairing": verified.wrong_pairing or None,
        "differences": sum(item.agrees is False for item in verified.comparisons),
        "comparisons": [
            {
                "what": item.what,
                "predicted": item.predicted,
                "seen": item.seen,
                "agrees": item.agrees,
                "source": item.source or None,
                "line": item.line,
                "cause": item.cause or None,
            }
            for item in verified.comparisons
        ],
    }
