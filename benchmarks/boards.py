"""CPU of reading and analysing whole boards, as ratios to ``fdt.parse_dtb`` on the same trees.

``python benchmarks/boards.py [FOLDER...]``; by default the shipped boards and host trees.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import fdt

from dtanalyze.analysis import CheckOptions, check
from dtanalyze.board.build import build_board
from dtanalyze.board.bus import LINUX
from dtanalyze.devicetree.blob import parse

FIXTURES = Path(__file__).parents[1] / "fixtures" / "dtb"


def milliseconds(work: Callable[[bytes], object], blobs: list[bytes]) -> float:
    """Return the CPU milliseconds that ``work`` takes for each blob, the best of three rounds."""
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        for blob in blobs:
            work(blob)
        best = min(best, time.process_time() - start)
    return best * 1e3 / len(blobs)


def main(folders: list[Path]) -> None:
    """Measure and print a line for each step."""
    blobs = [path.read_bytes() for folder in folders for path in sorted(folder.rglob("*.dtb"))]
    floor = milliseconds(fdt.parse_dtb, blobs)
    print(f"{len(blobs)} trees; fdt.parse_dtb: {floor:.2f} ms CPU each")
    for name, work in (
        ("parse", parse),
        ("parse and board", lambda blob: build_board(parse(blob), LINUX)),
        ("check, Xen and Linux", lambda blob: check(blob, "board.dtb", CheckOptions())),
    ):
        spent = milliseconds(work, blobs)
        print(f"{name}: {spent:.2f} ms CPU each, {spent / floor:.2f} x fdt.parse_dtb")


if __name__ == "__main__":
    main([Path(item) for item in sys.argv[1:]] or [FIXTURES / "boards", FIXTURES / "hosts"])
