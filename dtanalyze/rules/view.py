"""What rules look at: one view for each kind of tree, made once and asked by all rules of a family."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from dtanalyze.address.range import AddressRange, RawRange
from dtanalyze.address.rangeset import RangeSet
from dtanalyze.address.units import format_range
from dtanalyze.board.model import Board
from dtanalyze.board.translate import RegEntry, Translated, chain_text
from dtanalyze.devicetree.cells import read_number
from dtanalyze.devicetree.tree import Node
from dtanalyze.findings import Severity
from dtanalyze.linux.boot import BootAnswer
from dtanalyze.linux.enlighten import decode_regions, find_xen_node
from dtanalyze.linux.memblock import Memblock
from dtanalyze.linux.profile import LinuxProfile
from dtanalyze.rules.overlap import Side, device_sides

if TYPE_CHECKING:  # a guest tree has no use for the mirrors of Xen
    from dtanalyze.xen.dom0less import DomU
    from dtanalyze.xen.host import Host
    from dtanalyze.xen.options import XenOptions
    from dtanalyze.xen.prediction import Prediction
    from dtanalyze.xen.profile import XenProfile

__all__ = ["GuestView", "HostView", "Region", "TreeView", "guest_view", "property_offset", "shown"]


class TreeView(NamedTuple):
    """A tree as Linux reads it, whoever boots with it first. ``kind`` is ``host``, ``dom0`` or ``domu``."""

    kind: str
    board: Board
    memory: Memblock
    linux: LinuxProfile


class Region(NamedTuple):
    """One extended region: its number counted from 0, as it stands, and as addresses when it is one."""

    number: int
    entry: RegEntry
    raw: RawRange
    range: AddressRange | None

    def __str__(self) -> str:
        return f"extended region {self.number} [{format_range(self.raw.start, self.raw.stop)}]"


class GuestView(NamedTuple):
    """A guest's tree with what the kernel made of it.

    ``sides`` are the addresses of enabled devices. ``reach`` is every whole section that the kernel's bounds and
    alignment allow, whether or not a refusal comes before. ``xen`` is the release named by the tree; ``requests`` and
    ``need`` are pages; ``pa_bits`` the most that all CPUs can have; ``written`` says that the mirror of Xen made the tree.
    """

    kind: str
    board: Board
    memory: Memblock
    linux: LinuxProfile
    answer: BootAnswer
    xen: str | None
    node: Node | None
    grant: RegEntry | None
    regions: tuple[Region, ...]
    reach: RangeSet
    sides: tuple[Side, ...]
    pa_bits: int | None
    requests: tuple[int, ...]
    need: int | None
    written: bool

    @property
    def on_xen(self) -> bool:
        """Whether the kernel sees Xen at all."""
        return self.answer.detection.found

    @property
    def uses_regions(self) -> bool:
        """Whether this kernel takes scratch space from the regions when they are sound."""
        return self.on_xen and self.answer.init is not None

    @property
    def path(self) -> str | None:
        """Full path of the hypervisor node, None where there is none."""
        return self.node.path if self.node is not None else None

    def placed(self) -> Iterator[tuple[Region, AddressRange]]:
        """Yield the regions that are addresses, when the kernel sees Xen."""
        for region in self.regions if self.on_xen else ():
            if region.range is not None:
                yield region, region.range

    def severity(self, touched: AddressRange) -> Severity:
        """Return ERROR where a section of this kernel can touch the range, WARNING where none does."""
        return Severity.ERROR if self.reach.touches(touched) else Severity.WARNING

    def consequence(self, touched: AddressRange) -> str:
        """Say whether a section can touch the range."""
        if self.reach.touches(touched):
            return ""
        if not self.uses_regions or self.answer.target_name != "xen_resource":
            return "; this kernel takes nothing from the regions as they stand"
        return "; no whole section of this kernel reaches it"


class HostView(NamedTuple):
    """A host tree with what one release of Xen made of it, for one domain.

    ``entries`` are every node's addresses by Xen's rules. ``domu`` is the domain in /chosen that the prediction is for,
    of all ``domus``. ``first`` says that it is the first prediction of its boot, which carries what concerns the whole boot.
    """

    board: Board
    linux: LinuxProfile
    host: "Host"
    entries: tuple[tuple[Node, tuple[RegEntry, ...]], ...]
    options: "XenOptions"
    prediction: "Prediction"
    xen: "XenProfile"
    domus: "tuple[DomU, ...]"
    domu: "DomU | None"
    first: bool
    requests: tuple[int, ...]
    need: int | None

    @property
    def looks_for_holes(self) -> bool:
        """Whether the regions are holes in the address space: an IOMMU is on."""
        return self.prediction.method == "holes"


def guest_view(
    kind: str,
    board: Board,
    memory: Memblock,
    linux: LinuxProfile,
    answer: BootAnswer,
    *,
    pa_bits: int | None,
    requests: tuple[int, ...] = (),
    need: int | None = None,
    written: bool = False,
) -> GuestView:
    """Return the view of a guest's tree."""
    node = find_xen_node(board) or next(iter(board.hypervisors), None)
    entries = decode_regions(node, board) if node is not None else ()
    regions = tuple(_region(number, entry) for number, entry in enumerate(entries[1:]))
    size = linux.section_size
    if answer.capacity is not None:
        reach = RangeSet(AddressRange(run.start, run.sections * size) for run in answer.capacity.gaps)
    elif answer.init is not None and answer.init.resource is not None:
        reach = RangeSet(item.range for item in regions if item.range is not None)  # where RAM begins is not known
    else:
        reach = RangeSet()
    return GuestView(
        kind=kind,
        board=board,
        memory=memory,
        linux=linux,
        answer=answer,
        xen=answer.detection.version,
        node=node,
        grant=entries[0] if entries else None,
        regions=regions,
        reach=reach,
        sides=device_sides(board) if regions else (),
        pa_bits=pa_bits,
        requests=requests,
        need=need,
        written=written,
    )


def _region(number: int, entry: RegEntry) -> Region:
    start = entry.address if entry.address is not None else read_number(entry.bus_cells)
    raw = RawRange(start, entry.size)
    return Region(number, entry, raw, raw.checked() if entry.address is not None else None)


def property_offset(node: Node, name: str = "reg") -> int:
    """Return the byte offset of a property's value, or of the node when it has no such property."""
    prop = node.prop(name)
    return prop.offset if prop is not None else node.offset


def shown(node: Node, entry: RegEntry, found: AddressRange | RawRange, prop: str = "reg") -> str:
    """Name one side of a finding: node, property and entry, CPU range, and the buses when the address was translated."""
    text = f"{node.path} ({prop}[{entry.nth}]) [{format_range(found.start, found.stop)}]"
    where = entry.where
    chain = chain_text(where.chain) if isinstance(where, Translated) else ""
    return f"{text}, {chain}" if chain else text
