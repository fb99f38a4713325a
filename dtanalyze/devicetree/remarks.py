"""Comments in a devicetree source that are addressed to this program: ``/* dtanalyze: … */`` and ``// dtanalyze: …``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from dtanalyze.devicetree.source_map import Remark

__all__ = ["remarks_in"]

_CALLED: Final = b"dtanalyze:"
_SKIPPED: Final = re.compile(rb'"(?:[^"\\\n]|\\.)*"|/\*(.*?)(?:\*/|\Z)|//([^\n]*)', re.DOTALL)
"""Strings, in which nothing is a comment, and comments."""


def remarks_in(file: str, data: bytes) -> Iterator[Remark]:
    """Yield each such comment of a source with the line that it begins in, and what it says."""
    if _CALLED not in data:
        return
    for found in _SKIPPED.finditer(data):
        said = (found[1] or found[2] or b"").strip(b" \t\r\n*")
        if said.startswith(_CALLED):
            text = " ".join(said.removeprefix(_CALLED).decode("utf-8", "surrogateescape").split())
            yield Remark(file, data.count(b"\n", 0, found.start()) + 1, text)
