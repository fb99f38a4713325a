"""``make performance`` writes docs/performance.md: what the other two measurements print, from a run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
HEAD: Final = """# Performance

Made by `make performance`, from runs. Ratios of interleaved pairs and exponents carry over; seconds depend on the machine
and on who else uses it.

## Beside programs that everybody knows

CPU of whole processes, user and system time, medians of interleaved pairs (`benchmarks/ratios.py`).
"""
GROWTH: Final = """
## Growth

From a small number of one thing to a larger one: the exponent of CPU time and of the peak of memory, 1 being linear
(`benchmarks/growth.py`; `--full` goes to the largest numbers that the reader takes). `inf` is a run that was ended.
"""
MEMORY: Final = """
## Memory against trees

The peak of memory of one run over many trees, in each format (`benchmarks/memory.py`). The aim is at most 1.3 for 16 times
the trees.
"""
HOLDS: Final = """
## What holds the limits that are missed

* A board alone is booted up to four times, each in every order of scrubbing that ends elsewhere: as assumed, with the other
  IOMMU setting, with Xen elsewhere and, where it has two kinds of CPUs as the ARM Juno measured here has, with the width of
  the other kind; in a batch once. Starts that differ in dom0's RAM share all stages before it, and KASLR is booted again
  only where it moves the linear map. Trees that are only tried are booted, not judged, but each is written, read and made a
  board of: more than half of the work. The rest is start-up, most of it with other boards: 175 classes of named tuples at
  0.09 ms each, and 210 modules.
* Requests that grow are quadratic: freed pages go back in the order in which they were handed out, as in the kernel, and
  each request leaves one more run on the list of free pages (64,000 runs put back in 400 requests). Runs turn round: no
  neighbours.
* `selftest` answers some fifty copies of a tree: linear, about 2.5 ms for each node, so that a tree of 60,000 nodes takes
  minutes. What one input may cost, 300 seconds of CPU time, ends it there.
* Compiling 21 modules of the reader, the board and the mirrors' loops with mypyc 2.4.1 makes 14 boards 0.76 times as long,
  the Juno 0.85 times, and a guest 1.09 times: a library of 3.3 MB is loaded first. Not adopted: a wheel for each platform
  and version of Python instead of one, and the usual call, of one guest tree, loses.
* Exponents of runs below a second move by some tenths, more on a busy machine: one line above the limit is to be
  measured again, from small to large numbers that are further apart.
"""


def figure(script: str) -> str:
    """Return all that a measurement prints: a table and a figure."""
    return subprocess.run([sys.executable, str(HERE / script)], stdout=subprocess.PIPE, text=True, check=False).stdout


def table(script: str, *argv: str) -> str:
    """Return the table that a measurement prints; what it misses is for `make bench` to refuse."""
    ran = subprocess.run([sys.executable, str(HERE / script), *argv], stdout=subprocess.PIPE, text=True, check=False)
    return "".join(line + "\n" for line in ran.stdout.splitlines() if line.startswith("|"))


def main() -> None:
    """Measure and print the document."""
    print(HEAD)
    print(table("ratios.py"), end="")
    print(GROWTH)
    print(table("growth.py", *sys.argv[1:]), end="")
    print(MEMORY)
    print(figure("memory.py"), end="")
    print(HOLDS, end="")


if __name__ == "__main__":
    main()
