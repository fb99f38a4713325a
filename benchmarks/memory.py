"""The peak of memory against the number of trees, in each format: ``python benchmarks/memory.py [FORMAT...]``.

Results are kept on disk and let go once they are written, so that sixteen times the trees may take a third more, not sixteen
times. A figure shows it for each count in between. Leaves with status 1 when a format takes more.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Final

from growth import Load, devices, guest, measured

from dtanalyze.devicetree.write import to_blob
from dtanalyze.report import FORMATS

LIMIT: Final = 1.3
COUNTS: Final = (32, 128, 512)
WIDTH: Final = 40


def load(name: str, count: int) -> Load:
    """Return the load of so many trees that stand in the way of their regions, each with some findings."""
    blob = to_blob(devices(guest(), 100, apart=0x1000, start=0x80000000))
    names = [f"t{at}.dtb" for at in range(count)]
    return Load(dict.fromkeys(names, blob), ["check", *names, "--format", name])


def bar(amount: float, most: float) -> str:
    """Return a line of the figure."""
    return "#" * round(WIDTH * amount / most)


def main(wanted: list[str]) -> int:
    """Measure, print a table and the figure."""
    found: dict[str, list[float]] = {}
    print("| format | " + " | ".join(f"{count} trees" for count in COUNTS) + f" | {COUNTS[-1] // COUNTS[0]} x the trees |")
    print("| --- " * (len(COUNTS) + 2) + "|")
    for name in wanted or FORMATS:
        peaks = found[name] = [measured(partial(load, name), count, 1)[1] for count in COUNTS]
        cells = [f"{peak:.0f} MiB" for peak in peaks]
        print(f"| {name} | {' | '.join(cells)} | {peaks[-1] / peaks[0]:.2f} x |", flush=True)
    most = max(peak for peaks in found.values() for peak in peaks)
    print("\n```text")
    for name, peaks in found.items():
        for count, peak in zip(COUNTS, peaks, strict=True):
            print(f"{name if count == COUNTS[0] else '':10} {count:5} trees {peak:4.0f} MiB {bar(peak, most)}")
    print("```")
    return 1 if any(peaks[-1] / peaks[0] > LIMIT for peaks in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
