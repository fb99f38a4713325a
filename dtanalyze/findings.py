"""What is reported: severities, sources and findings. Data only."""

from enum import StrEnum
from typing import Final, NamedTuple

from dtanalyze.address.range import AddressRange, RawRange
from dtanalyze.devicetree.source_map import Place, Remark

__all__ = ["Change", "Cure", "Finding", "Place", "Remark", "Rewrite", "Severity", "Source", "SourceCure", "Step", "cures_of"]


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
    """One property of one node, as bytes and as DTS (without ``=``). A node that the tree does not have is made.

    ``value`` None removes the property: a tree and its source can be changed so, an overlay cannot say it.
    """

    node: str
    prop: str
    value: bytes | None
    text: str

    @property
    def statement(self) -> str:
        """What a source says in the node."""
        if self.value is None:
            return f"/delete-property/ {self.prop};"
        return f"{self.prop} = {self.text};" if self.text else f"{self.prop};"

    def __str__(self) -> str:
        return f"{self.node}: {self.statement}"


class Cure(NamedTuple):
    """The smallest legal changes that remove a finding, made together.

    ``assumes`` is what has to be so and no tree shows; ``besides`` is what somebody has to do beside it: the boot loader.
    Both are sentences, or empty.
    """

    changes: tuple[Change, ...]
    assumes: str = ""
    besides: str = ""

    def __str__(self) -> str:
        return ", ".join(str(item) for item in self.changes)


def cures_of(found: Cure | None) -> tuple[Cure, ...]:
    """Return a cure that may not be there in the form in which findings hold them."""
    return (found,) if found is not None else ()


class Step(NamedTuple):
    """One line of a source that an address came by, and what it does there."""

    text: str
    place: Place


class Rewrite(NamedTuple):
    """Text of a source from the beginning of ``line`` up to ``column`` of the line ``stop``, and what takes its place.

    The column is the first, but where the file ends without a newline. A piece without length: the text is put there.
    """

    file: str
    line: int
    stop: int
    column: int
    text: str


class SourceCure(NamedTuple):
    """A cure as lines of the sources: what it is in a sentence, and every change that belongs to it."""

    text: str
    rewrites: tuple[Rewrite, ...]


class Finding(NamedTuple):
    """One thing worth acting on, with the node, the ranges and the byte offset in the file that show it.

    ``cures`` are ways to remove it, the smallest first, where such can be told, ``change`` is the first change of the first;
    ``place`` is where it was written, where the sources are known, and ``flows`` how the addresses of each node that it
    speaks of came about, line by line. ``in_source`` is what ``fix`` would write there, where somebody wants to know.
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
    cures: tuple[Cure, ...] = ()
    flows: tuple[tuple[Step, ...], ...] = ()
    in_source: SourceCure | None = None

    def with_cures(self, cures: tuple[Cure, ...]) -> "Finding":
        """Return the finding with other cures."""
        return self._replace(cures=cures, change=cures[0].changes[0] if cures else None)

    @property
    def sort_key(self) -> tuple[int, str, str, str]:
        """Most severe first, then rule, node and message."""
        return (-self.severity.rank, self.rule, self.node or "", self.message)
