"""The outcome of a search for extended regions. Data only."""

from __future__ import annotations

from typing import NamedTuple

from dtanalyze.address.range import AddressRange

__all__ = ["Regions"]


class Regions(NamedTuple):
    """The regions in the order Xen writes them, or the error and its line.

    ``error`` is ``ENOENT``, ``EINVAL``, ``ERANGE``, ``crash`` or None.
    """

    ranges: tuple[AddressRange, ...]
    error: str | None
    message: str | None
    steps: tuple[str, ...] = ()
