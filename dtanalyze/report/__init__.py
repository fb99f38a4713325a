"""Results as text: pure functions from data to strings. ``FORMATS`` is the one table of formats."""

from __future__ import annotations

from dtanalyze.errors import UsageError

__all__ = ["FORMATS", "check_format"]

FORMATS = ("text", "json")
"""What ``check`` can print."""


def check_format(name: str) -> str:
    """Return ``name`` when it is a format; raise `UsageError` naming all when it is not."""
    if name not in FORMATS:
        raise UsageError(f"no format is called '{name}'; there are {', '.join(FORMATS)}")
    return name
