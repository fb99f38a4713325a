"""What is reported: severities, sources and findings. Data only."""

from enum import StrEnum
from typing import Final, NamedTuple

from dtanalyze.address.range import AddressRange, RawRange
from dtanalyze.devicetree.source_map import Place

__all__ = ["Change", "Finding", "Place", "Severity", "Source"]


class Severity(StrEnum):
    """How bad, ordered: an error stops a feature or a boot, a warning costs something, info is worth knowing.

    Equal to the word of the command line and of every report: ``finding.severity == "error"``.
    """

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    @property
    def label(self) -> str:
        """The lower-case word."""
        return self.value

    @property
    def rank(self) -> int:
        """1 for info, 2 for a warning, 3 for an error."""
        return _RANKS[self.value]

    def __lt__(self, other: str) -> bool:
        """Whether it is less bad; words compare by what they mean, not by the alphabet."""
        return self.rank < _RANKS[str(other)]

    def __le__(self, other: str) -> bool:
        """Whether it is not worse."""
        return self.rank <= _RANKS[str(other)]

    def __gt__(self, other: str) -> bool:
        """Whether it is worse."""
        return self.rank > _RANKS[str(other)]

    def __ge__(self, other: str) -> bool:
        """Whether it is as bad or worse."""
        return self.rank >= _RANKS[str(other)]


_RANKS: Final = {"info": 1, "warning": 2, "error": 3}


class Source(NamedTuple):
    """Where a fact comes from: project, file in its tree, symbol, and the release or commit."""

    project: str
    path: str
    symbol: str
    version: str

    def __str__(self) -> str:
        return f"{self.project} {self.version}, {self.path}: {self.symbol}"


class Change(NamedTuple):
    """A smallest legal change that removes a finding: one property of one node, as bytes and as DTS (without ``=``)."""

    node: str
    prop: str
    value: bytes
    text: str

    def __str__(self) -> str:
        stated = f"{self.prop} = {self.text};" if self.text else f"{self.prop};"
        return f"{self.node}: {stated}"


class Finding(NamedTuple):
    """One thing worth acting on, with the node, the ranges and the byte offset in the file that show it.

    ``change`` is what would remove it, where such a change can be told; ``place`` is where it was written, where the
    sources are known.
    """

    rule: str
    name: str
    severity: Severity
    message: str
    advice: str = ""
    node: str | None = None
    ranges: tuple[AddressRange | RawRange, ...] = ()
    offset: int | None = None
    change: Change | None = None
    place: Place | None = None

    @property
    def sort_key(self) -> tuple[int, str, str, str]:
        """Most severe first, then rule, node and message."""
        return (-self.severity.rank, self.rule, self.node or "", self.message)
