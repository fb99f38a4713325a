"""What an analysis hands on: the result of one check, as data."""

from typing import TYPE_CHECKING, Final, NamedTuple

from dtanalyze.address.range import AddressRange, RawRange
from dtanalyze.findings import Change, Cure, Finding, Remark
from dtanalyze.linux.balloon import HotplugReach
from dtanalyze.linux.boot import BootAnswer, Verdict
from dtanalyze.linux.profile import LinuxProfile
from dtanalyze.linux.view import View, iomem_view, view_of

if TYPE_CHECKING:  # a guest tree has no use for the mirrors of Xen, and start-up is most of a check's time
    from dtanalyze.xen.prediction import Prediction

__all__ = [
    "SOME_STARTS",
    "Alternative",
    "Assumption",
    "CheckResult",
    "Comparison",
    "Edit",
    "Fix",
    "HostFacts",
    "HostRange",
    "ModuleUse",
    "Offer",
    "Predicted",
    "RegionUse",
    "Rewritten",
    "Reuse",
    "ScanNode",
    "Trial",
]


SOME_STARTS: Final = " (in some starts only: where dom0's RAM lies is not settled)"
"""What a reason ends with that does not hold in every start."""


class Alternative(NamedTuple):
    """The answer under one value of what could not be known: KASLR, where Xen puts dom0's RAM, what a machine has.

    ``dom0_memory`` is empty where that is not what was open, ``kaslr`` None where it makes no difference or is not known.
    ``when`` says in words what is taken to be so, where neither does.
    """

    kaslr: bool | None
    verdict: Verdict
    sections: int
    dom0_memory: tuple[AddressRange, ...] = ()
    when: str = ""


class Assumption(NamedTuple):
    """One thing that an answer rests on. ``origin`` is ``tree``, ``option``, ``log``, ``default`` or ``guess``.

    ``option`` is what settles it on the command line, None when nothing does. ``matters`` tells whether another value would
    change the verdict; None where that was not tried. ``sentence`` says all of it, ``instead`` what another value gave that
    was tried, empty where that is said elsewhere.
    """

    topic: str
    value: str
    origin: str
    option: str | None
    sentence: str
    matters: bool | None = None
    instead: str = ""


class HostRange(NamedTuple):
    """A range of machine addresses: ``kind`` is ``ram``, ``reserved``, ``device`` or ``PCI window``."""

    kind: str
    range: RawRange
    node: str


class ModuleUse(NamedTuple):
    """A boot module, where it lies and which domains it is for; Xen itself and the tree are modules too."""

    kind: str
    range: RawRange
    node: str
    users: tuple[str, ...]


class ScanNode(NamedTuple):
    """A node that Xen comes to, in its order. ``state`` is ``read``, ``stops`` or ``not seen``.

    ``kind`` is ``memory``, ``reserved`` or ``module`` in the scan of the flat tree, ``device`` or ``domain`` where dom0 and
    the domains are built, ``node`` for one that stops Xen and is none of these.
    """

    node: str
    kind: str
    ranges: tuple[RawRange, ...]
    state: str


class HostFacts(NamedTuple):
    """The machine that Xen boots on, as far as the tree and a log tell; the same for all domains of a boot.

    ``scan`` is the walk over the tree that the stop ends, empty when nothing stops Xen. ``stop_node`` is the node at which
    Xen stops, ``stage`` where on its way.
    """

    ram: tuple[HostRange, ...]
    reserved: tuple[HostRange, ...]
    devices: tuple[HostRange, ...]
    modules: tuple[ModuleUse, ...]
    stage: str | None
    stop_node: str | None
    scan: tuple[ScanNode, ...]
    dom0_known: bool


class RegionUse(NamedTuple):
    """What Linux can make of one extended region; ``lost`` is in bytes, ``why_lost`` says to what.

    A section that straddles two regions counts as lost in neither.
    """

    region: RawRange
    sections: int
    lost: int
    note: str
    why_lost: str = "lost"


class Reuse(NamedTuple):
    """Who else could be given a scratch range if it were not entered into iomem_resource."""

    range: AddressRange
    balloon: HotplugReach | None
    pci: tuple[str, ...]
    drivers: tuple[str, ...]


class CheckResult(NamedTuple):
    """The answer for one tree and one kernel.

    ``file`` is the file that the tree stands in, where ``path`` names more: a tree inside a file, overlays applied to it.
    ``host`` is the machine, for a domain on a host's tree.
    ``cause`` is the finding that says why the verdict is what it is; None when only the verdict's own says it.
    ``remarks`` are the comments for this program in the sources of the tree.
    """

    path: str
    tree: str
    domain: str | None
    linux: LinuxProfile
    xen: str | None
    iommu: bool | None
    assumed: tuple[str, ...]
    verdict: Verdict
    reason: str
    kaslr: bool | None
    alternatives: tuple[Alternative, ...]
    grant_table: RawRange | None
    extended_regions: tuple[RawRange, ...]
    regions: tuple[RegionUse, ...]
    ram: tuple[AddressRange, ...]
    answer: BootAnswer | None
    findings: tuple[Finding, ...]
    reuse: tuple[Reuse, ...]
    file: str = ""
    cause: Finding | None = None
    assumptions: tuple[Assumption, ...] = ()
    host: HostFacts | None = None
    remarks: tuple[Remark, ...] = ()

    @property
    def location(self) -> str:
        """The file that offsets count in."""
        return self.file or self.path

    @property
    def inside(self) -> str:
        """What of the path is not the file: the tree in it, overlays applied to it; usually nothing."""
        return self.path.removeprefix(self.location).lstrip(":+")

    @property
    def sections(self) -> int:
        """Sections obtainable by one-section fills until the first refusal."""
        return self.answer.sections if self.answer else 0

    @property
    def pages(self) -> int:
        """The same in pages."""
        return self.sections * self.linux.pages_per_section

    @property
    def xen_view(self) -> View | None:
        """xen_resource after the requests; None when it is not the target."""
        answer = self.answer
        return view_of(answer.target) if answer and answer.target and answer.target_name == "xen_resource" else None

    @property
    def iomem_view(self) -> View | None:
        """iomem_resource after the requests, possible claims entered last; None when no kernel ran."""
        return iomem_view(self.answer) if self.answer else None


class Predicted(NamedTuple):
    """One domain under one cell: what Xen does, and what Linux does with the tree that Xen wrote.

    ``guest`` is None when Xen stops before or has no tree to write; ``host`` is always there.
    """

    prediction: "Prediction"
    guest: CheckResult | None
    host: CheckResult


class Offer(NamedTuple):
    """A cure that was tried, and the findings that are gone with it.

    ``others`` are further cures of the same finding, each with what is wrong with it, empty where it works as well; they are
    tried only where they are asked for.
    """

    cure: Cure
    cured: tuple[Finding, ...]
    others: tuple[tuple[Cure, str], ...] = ()


class Edit(NamedTuple):
    """What becomes of one property when all offers are taken: the old value, None without one, and the change.

    ``anchor`` is the path of the nearest node that the tree has: the node itself, or one above a node that is made.
    ``unsaid`` is why no overlay says it, empty when one does.
    """

    change: Change
    old: bytes | None
    anchor: str
    unsaid: str = ""


class Rewritten(NamedTuple):
    """A source file as it is and as it would be."""

    file: str
    old: bytes
    new: bytes


class Fix(NamedTuple):
    """Cures that were made in a copy of a tree, the results before and after, and the copy.

    ``refused`` are cures that were tried and dropped, each with the reason. ``new`` are, for each result of ``after``, the
    findings of any severity that the tree as it was does not have: brought, or hidden so far by what stopped it.
    """

    offers: tuple[Offer, ...]
    edits: tuple[Edit, ...]
    before: tuple[CheckResult, ...]
    after: tuple[CheckResult, ...]
    blob: bytes
    refused: tuple[tuple[Cure, str], ...] = ()
    new: tuple[tuple[Finding, ...], ...] = ()

    @property
    def changes(self) -> tuple[Change, ...]:
        """Each property's change, those of several offers in one."""
        return tuple(item.change for item in self.edits)


class Trial(NamedTuple):
    """What became of one fault of a self-test. ``expected`` names the rules of which one has to fire; none: all stay silent.

    ``caught`` are their findings, ``false`` errors that are none. ``skipped`` says why a fault has no place in this tree;
    it is empty when it was seeded. ``cured`` tells whether what ``fix`` offers for it removes it on this board, None where
    that was not tried; ``remedy`` is the offer, or why there is none.
    """

    fault: str
    expected: frozenset[str]
    caught: tuple[Finding, ...]
    false: tuple[Finding, ...]
    skipped: str
    cured: bool | None = None
    remedy: str = ""

    @property
    def passed(self) -> bool:
        """Whether the fault was caught, or stayed silent where it has to, and nothing false was said.

        That no cure is offered does not count: what lies beside the fault on this board may forbid it.
        """
        return not self.false and bool(self.caught or self.skipped or not self.expected)


class Comparison(NamedTuple):
    """One thing that was predicted, and what a machine said of it.

    ``agrees`` is None where the evidence does not settle it. ``source`` and ``line`` are where the machine said it;
    ``cause`` is why the two differ, or what would settle it.
    """

    what: str
    predicted: str
    seen: str
    agrees: bool | None
    source: str = ""
    line: int | None = None
    cause: str = ""
