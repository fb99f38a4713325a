"""What came out, as one table and a line for each difference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from dtanalyze.analysis.verify import Verified
from lab.case import Case

__all__ = ["table"]


def table(rows: Iterable[tuple[Case, Verified]]) -> str:
    """Return a line for each thing that was compared, how often it agreed, and then each difference."""
    listed = list(rows)
    counts: dict[str, Counter[bool | None]] = {}
    lines = []
    for case, found in listed:
        if found.wrong_pairing:
            lines.append(f"{case.name} (Xen {case.xen}): {found.wrong_pairing}")
        for item in found.comparisons:
            counts.setdefault(item.what, Counter())[item.agrees] += 1
            if item.agrees is False:
                lines.append(f"{case.name} (Xen {case.xen}): {item.what}: predicted {item.predicted}; seen {item.seen}")
                lines.append(f"    {item.cause}")
    whole = sum(not found.differences for _, found in listed)
    head = [f"{len(listed)} boots, {whole} agree in everything", "", f"{'compared':28} agree differ open"]
    body = [f"{what:28} {count[True]:5} {count[False]:6} {count[None]:4}" for what, count in sorted(counts.items())]
    return "\n".join([*head, *body, "", *lines]).rstrip() + "\n"
