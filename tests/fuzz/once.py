"""One input, as everything that it could be taken for."""

from __future__ import annotations

import contextlib
import random
from typing import Final

from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.overlay import apply_overlay
from dtanalyze.errors import DtanalyzeError
from dtanalyze.inputs.files import trees_in
from tests.fuzz.chain import answered
from tests.fuzz.mutants import SEEDS

__all__ = ["once"]

BASE: Final = SEEDS[0].read_bytes()


def once(data: bytes) -> None:
    """Try one input as a tree, as what holds trees, and as an overlay."""
    answered(data, random.Random(len(data)))
    with contextlib.suppress(DtanalyzeError):
        for item in trees_in("x.itb", data, None):
            if isinstance(item, tuple) and isinstance(item[1], bytes):
                parse(item[1])
    with contextlib.suppress(DtanalyzeError):
        apply_overlay(parse(BASE), parse(data))
