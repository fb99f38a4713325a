"""The other commands: what to change, what has changed, what a rule says, a picture."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, SupportsIndex, TypeVar, Unpack, overload

from dtanalyze import facts
from dtanalyze.analysis.fix import fix as fixed
from dtanalyze.analysis.selftest import selftest as tried
from dtanalyze.board.build import build_board
from dtanalyze.board.bus import LINUX
from dtanalyze.causes import folded
from dtanalyze.controls.difference import CellChange, changes
from dtanalyze.errors import UsageError
from dtanalyze.library.asking import checked, load
from dtanalyze.library.results import Result, Results, Source
from dtanalyze.library.words import Asked, call_words, question_from
from dtanalyze.report.difference import difference_json, difference_text
from dtanalyze.report.fix import overlay_text, summary_text
from dtanalyze.report.glossary import Term, named, term_text
from dtanalyze.report.overlaps import overlaps_text
from dtanalyze.report.picture.html import picture_html
from dtanalyze.report.picture.scene import scene
from dtanalyze.report.picture.svg import picture_svg
from dtanalyze.report.picture.terminal import picture_text
from dtanalyze.report.rules import explain_text
from dtanalyze.report.selftest import selftest_text
from dtanalyze.rules.model import Rule
from dtanalyze.rules.overlap import Overlap, device_overlaps
from dtanalyze.rules.registry import ALL_RULES

__all__ = ["Differences", "Fixed", "Listed", "Picture", "diff", "explain", "fix", "map", "overlaps", "rules", "selftest"]

T = TypeVar("T")


class Fixed(NamedTuple):
    """Changes that remove findings: ``overlay`` is their source, ``blob`` the tree with them made."""

    changes: tuple[Any, ...]
    before: Results
    after: Results
    blob: bytes
    overlay: str
    summary: str

    def __str__(self) -> str:
        """Return the overlay, as ``dtanalyze fix`` prints it."""
        return self.overlay


class Differences(tuple[CellChange, ...]):
    """What changed from one tree to another, for each domain, kernel and release."""

    __slots__ = ()

    @overload
    def __getitem__(self, key: SupportsIndex) -> CellChange: ...
    @overload
    def __getitem__(self, key: slice) -> Differences: ...
    def __getitem__(self, key: SupportsIndex | slice) -> CellChange | Differences:
        """Return one change, or those of a slice."""
        found = super().__getitem__(key)
        return found if isinstance(found, CellChange) else Differences(found)

    @property
    def is_empty(self) -> bool:
        """Whether nothing changed."""
        return all(item.is_empty for item in self)

    def to_dict(self) -> list[dict[str, Any]]:
        """Return the ``changes`` of ``dtanalyze diff --format json``."""
        return difference_json(self)

    def __str__(self) -> str:
        """Return what ``dtanalyze diff`` prints."""
        return difference_text(self)


class Picture(NamedTuple):
    """The address space of one question's results, to be drawn."""

    results: Results

    def html(self) -> str:
        """Return the page that ``dtanalyze map --html`` writes."""
        return picture_html(tuple(scene(item) for item in self.results))

    def svg(self) -> str:
        """Return the first result's picture, as ``dtanalyze map --svg`` writes it."""
        return picture_svg(scene(self.results[0]))

    def __str__(self) -> str:
        """Return what ``dtanalyze map`` prints."""
        return "\n".join(picture_text(scene(item)) for item in self.results)

    def _repr_html_(self) -> str:
        """Return the picture, for a notebook."""
        return self.results._repr_html_()


class Listed(tuple[T, ...]):
    """What a command lists, which prints as the command line prints it."""

    text = ""

    def __str__(self) -> str:
        """Return what the command prints."""
        return self.text


def _listed(items: Iterable[T], text: str) -> Listed[T]:
    made = Listed(items)
    made.text = text
    return made


def fix(source: Source, **asked: Unpack[Asked]) -> Fixed:
    """Return the smallest changes that remove findings, as ``dtanalyze fix`` does; arguments as for `check`.

    >>> [str(item.prop) for item in fix("fixtures/dtb/boots/11d-overlap.dtb", linux="6.12").changes]
    ['reg']
    """
    found = load(source)
    options, question = question_from(asked)
    made = fixed(found.data, found.name, options, question)
    return Fixed(
        made.changes,
        _results(made.before, asked),
        _results(made.after, asked),
        made.blob,
        overlay_text(made, found.name),
        summary_text(made, found.name),
    )


def _results(found: tuple[facts.CheckResult, ...], asked: Asked) -> Results:
    made = Results(Result(*folded(item)) for item in found)
    made.asked = call_words(asked)
    return made


def diff(old: Source, new: Source, **asked: Unpack[Asked]) -> Differences:
    """Return what changed from one tree to another, as ``dtanalyze diff`` does; arguments as for `check`.

    >>> tree = "fixtures/dtb/boots/01-dom0-x420-l612.dtb"
    >>> diff(tree, tree).is_empty
    True
    """
    return Differences(changes(checked(load(old), asked), checked(load(new), asked)))


def map(source: Source, **asked: Unpack[Asked]) -> Picture:
    """Return the picture of the address space, as ``dtanalyze map`` draws it; arguments as for `check`.

    >>> map("fixtures/dtb/boots/01-dom0-x420-l612.dtb").svg()[:4]
    '<svg'
    """
    return Picture(checked(load(source), asked))


def overlaps(source: Source) -> Listed[Overlap]:
    """Return devices that share addresses, each pair with the reason why that is meant, or none.

    >>> overlaps("fixtures/dtb/boots/01-dom0-x420-l612.dtb")
    ()
    """
    tree = load(source)
    found = tuple(device_overlaps(build_board(tree.tree, LINUX)))
    return _listed(found, overlaps_text(tree.name, found))


def rules() -> tuple[Rule, ...]:
    """Return every rule: code, name, severity, what, why, advice, sources, a bad and a good tree.

    >>> rules()[0].code
    'B01'
    """
    return ALL_RULES


def explain(word: str) -> str:
    """Return what ``dtanalyze explain`` prints of a rule's code or name, or of a term of the glossary.

    >>> print(explain("section").splitlines()[0])
    section
    """
    if not isinstance(word, str):
        raise UsageError(f"explain takes a word, not {word!r}")
    found = named(word)
    return term_text(found) if isinstance(found, Term) else explain_text(found)


def selftest(source: Source, **asked: Unpack[Asked]) -> Listed[facts.Trial]:
    """Seed faults into copies of a tree and tell which rule catches each; ``linux``, ``kaslr``, ``memory`` as for `check`.

    >>> all(trial.passed for trial in selftest("fixtures/dtb/boots/01-dom0-x420-l612.dtb"))
    True
    """
    found = load(source)
    options, _ = question_from(asked)
    trials = tried(found.data, found.name, options, options.memory)
    return _listed(trials, selftest_text(found.name, trials))
