"""Every place where Xen says no, and what is known of it here: the account that the stages are held against.

The table is data (``refusals.tsv``): each ``panic``, ``BUG_ON`` and error return of the files between Xen's entry and dom0's
first instruction, as of the releases that it names. A check over Xen's sources lists what it lacks
(``docs/refusals_of.py``). ASSERTs do not count, and neither do 32-bit Arm, x86 and the library for flat trees.
"""

from __future__ import annotations

from enum import Enum
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

__all__ = ["COMPARED", "Refusal", "Standing", "refusals"]

COMPARED: Final = {
    "4.17": "RELEASE-4.17.7",
    "4.18": "RELEASE-4.18.6",
    "4.19": "RELEASE-4.19.6",
    "4.20": "RELEASE-4.20.4",
    "4.21": "RELEASE-4.21.2",
    "4.22": "RELEASE-4.22.0",
    "master": "c447b7308b",
}
"""The tags and the commit that the account was made from."""


class Standing(Enum):
    """What is known of a refusal: a stage decides it; it is not modelled; the hardware decides it; no input reaches it."""

    MIRRORED = "mirrored"
    OPEN = "open"
    HARDWARE = "hardware"
    UNREACHABLE = "unreachable"


class Refusal(NamedTuple):
    """One refusal, or several that are alike.

    ``says`` is the format of Xen's line, the condition of a BUG_ON, or ``returns an error``; ``functions`` is ``*`` where
    whole files were judged. ``where`` is the stage that mirrors it, the trigger of `unmodelled` that announces it, or the
    reason why it is out of reach. ``releases`` are those of `COMPARED` that have it.
    """

    standing: Standing
    where: str
    says: str
    functions: tuple[str, ...]
    files: tuple[str, ...]
    releases: tuple[str, ...]

    def covers(self, file: str, function: str, says: str) -> bool:
        """Tell whether the row speaks of this place; a panic is known by its words alone, wherever it moves."""
        if file not in self.files:
            return False
        if self.functions == ("*",):
            return says == self.says or (self.says == "BUG, BUG_ON" and says.startswith("BUG"))
        return says == self.says and (says != "returns an error" or function in self.functions)


@cache
def refusals() -> tuple[Refusal, ...]:
    """Return the account, what is mirrored first, in the order of the stages."""
    text = files("dtanalyze.xen").joinpath("refusals.tsv").read_text(encoding="utf-8")
    return tuple(_refusal(line.split("\t")) for line in text.splitlines()[1:])


def _refusal(cells: list[str]) -> Refusal:
    standing, where, says, functions, names, releases = cells
    found = tuple(names.split()), tuple(releases.split())
    return Refusal(Standing(standing), where, says, tuple(functions.split()), *found)
