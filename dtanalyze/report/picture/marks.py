"""The small parts that every picture on a page is made of: verdicts, blocks, names of causes, escaped words."""

from __future__ import annotations

from html import escape
from typing import Final

from dtanalyze.address.range import AddressRange, RawRange
from dtanalyze.address.units import format_range, format_size
from dtanalyze.linux.boot import Verdict
from dtanalyze.report.foreign import visible

__all__ = ["LETTERS", "badge", "block", "cause", "letter_class", "sized", "span", "swatch", "prose", "words"]

LETTERS: Final[dict[Verdict, str]] = {
    Verdict.NO_BOOT: "N",
    Verdict.UNKNOWN: "?",
    Verdict.CONFLICT: "C",
    Verdict.HAZARD: "H",
    Verdict.EXHAUSTED: "X",
    Verdict.IOMEM: "I",
    Verdict.BALLOON: "B",
    Verdict.NATIVE: "V",
    Verdict.SCRATCH: "S",
}
"""A verdict is a colour, a letter and a word, so that none of them has to be seen alone."""


def words(text: str) -> str:
    """Return text as HTML, what others wrote made visible."""
    return escape(visible(text), quote=True)


def prose(text: str) -> str:
    """Return a sentence of ours as HTML: what stands in backquotes is something to write, in the type for that."""
    return "".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(words(text).split("`")))


def letter_class(verdict: Verdict) -> str:
    """Return the class that colours a verdict."""
    return LETTERS[verdict].replace("?", "U")


def badge(verdict: Verdict, *, small: bool = False) -> str:
    """Return the verdict's letter and word on its colour."""
    size = " sm" if small else ""
    return (
        f'<span class="v{size} {letter_class(verdict)}"><b aria-hidden="true">{LETTERS[verdict]}</b> {verdict.value}</span>'
    )


def cause(key: str, prefix: str) -> str:
    """Return the name of a cause, leading to its card."""
    return f'<a class="f f{key[0]}" href="#{prefix}{key}">{key}</a>'


def span(item: AddressRange | RawRange) -> str:
    """Return a range as the kernel prints it."""
    return format_range(item.start, item.stop)


def block(kind: str, left: float, right: float, title: str, label: str = "") -> str:
    """Return a block from ``left`` to ``right`` (0 to 1) of its lane; narrow ones are drawn 3 pixels wide."""
    width = right - left
    # From the end of the lane, or the least width would push the last blocks out of it.
    place = f"right:{100 * (1 - right):.3f}%" if right > 0.9 and width < 0.02 else f"left:{100 * left:.3f}%"
    return f'<span class="b k-{kind}" style="{place};width:{100 * width:.3f}%" title="{words(title)}">{label}</span>'


def swatch(kind: str) -> str:
    """Return the sample of a kind for a row or the legend."""
    return f'<span class="b sw k-{kind}" aria-hidden="true"></span>'


def sized(item: AddressRange | RawRange) -> str:
    """Return a range with its size."""
    return f"{span(item)}, {format_size(item.size)}"
