"""What becomes of one domain under one release of Xen. Data only."""

from __future__ import annotations

from typing import NamedTuple

from dtanalyze.address.range import AddressRange
from dtanalyze.xen.bootinfo import BootInfo
from dtanalyze.xen.dom0less import DomU
from dtanalyze.xen.handle_node import HostNodes
from dtanalyze.xen.regions import Regions
from dtanalyze.xen.stage import Outcome, Stage, Stop
from dtanalyze.xen.toolstack import Toolstack

__all__ = ["Prediction"]


class Prediction(NamedTuple):
    """What becomes of one domain. ``blob`` is the tree that Xen would write for it, None when it has nothing to write.

    ``nodes`` is what becomes of the host's nodes in dom0; ``stages`` is how far Xen came, what each stage saw.

    ``others`` is what becomes of it in starts that the tree does not settle: dom0's RAM elsewhere, RAM that is not listed.
    ``when`` says what this start takes to be so, where that is not said by where dom0's RAM lies.

    ``arch`` is that of the host's CPUs; ``total`` is how many stages there are. ``has_dom0`` is False where /chosen
    describes domains and no kernel for a dom0.

    ``domain`` is ``dom0``, a node's path, or ``libxl:SIZE``; ``memory_known`` is False for a predicted placement.
    """

    xen: str
    iommu: bool
    domain: str
    method: str
    info: BootInfo
    stopped_by: Stop | None
    memory: tuple[AddressRange, ...]
    memory_known: bool
    grant_table: AddressRange | None
    regions: Regions
    blob: bytes | None
    assumed: tuple[str, ...]
    nodes: HostNodes
    stages: tuple[tuple[Stage, Outcome], ...]
    arch: str = "arm64"
    total: int = 0
    has_dom0: bool = True
    others: tuple[Prediction, ...] = ()
    domu: DomU | None = None
    toolstack: Toolstack | None = None
    when: str = ""
