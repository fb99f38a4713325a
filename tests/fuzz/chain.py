"""The whole chain on one blob: read it, ask everything of it, write every report. Whatever is raised beyond errors is a defect."""

from __future__ import annotations

import random
from typing import Final

from dtanalyze.address.range import AddressRange
from dtanalyze.analysis import CheckOptions, HostQuestion, check
from dtanalyze.errors import DtanalyzeError
from dtanalyze.linux.profile import PRESETS as KERNELS
from dtanalyze.report import FORMATS, rendered
from dtanalyze.report.whole import Report
from dtanalyze.xen.profile import PRESETS as RELEASES

__all__ = ["answered"]

_RAM: Final = (AddressRange(0x40000000, 1 << 31),)


def answered(blob: bytes, chance: random.Random) -> bool:
    """Put a blob through the chain with options drawn by ``chance``; tell whether it was a tree."""
    linux = chance.choice(list(KERNELS.values()))
    options = CheckOptions(
        linux=linux,
        memory=_RAM if chance.random() < 0.3 else (),
        requests=(1, 40000) if chance.random() < 0.5 else (),
        need=100,
        reuse=chance.random() < 0.3,
    )
    iommu = chance.choice((None, True, False))
    question = HostQuestion(options, (linux,), (chance.choice(list(RELEASES.values())),), (iommu,))
    try:
        results = check(blob, "x.dtb", options, question)
    except DtanalyzeError:
        return False
    report = Report((results,), explain=True, statistics=True)
    text = rendered(chance.choice(list(FORMATS)), report)
    assert "\x1b" not in text and "\n::error::x" not in text, "what others wrote became a line or an escape of ours"
    return True
