"""What becomes of one domain under one release of Xen. Data only."""

from __future__ import annotations

from typing import NamedTuple

from dtanalyze.address.range import AddressRange
from dtanalyze.xen.bootinfo import BootInfo
from dtanalyze.xen.regions import Regions

__all__ = ["Prediction", "Stop"]


class Stop(NamedTuple):
    """What stops Xen before Linux runs: ``boot-scan``, ``modules``, ``dom0-memory`` or ``dom0-devices``, and its line.

    ``node`` is the path of the domain that cannot be built, when it is one.
    """

    stage: str
    message: str
    node: str | None = None


class Prediction(NamedTuple):
    """What becomes of one domain. ``blob`` is the tree that Xen would write for it, None when it has nothing to write.

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
