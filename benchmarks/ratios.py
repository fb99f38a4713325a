"""CPU of the program against programs that everybody knows, as ratios of interleaved pairs.

Whole processes, in turn A B A B …, user plus system time as the operating system accounts it; the median of the ratios,
since a machine that others use too slows down both of a pair. What is not installed is said and left out. Leaves with
status 1 when a ratio misses its limit.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, NamedTuple

PAIRS: Final = 15
FIXTURES: Final = Path(__file__).parents[1] / "fixtures" / "dtb"
GUEST: Final = str(FIXTURES / "boots" / "01-dom0-x420-l612.dtb")
BOARD: Final = str(FIXTURES / "boards" / "arm-juno.dtb")
BOARDS: Final = sorted(str(path) for path in (FIXTURES / "boards").glob("*.dtb"))
OURS: Final = (sys.executable, "-m", "dtanalyze")
BARE: Final = """import typer
app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
@app.command()
def check(path: str) -> None: pass
app()
"""
WALK: Final = """import sys, libfdt
data = open(sys.argv[1], "rb").read()
for _ in range(int(sys.argv[2])):
    fdt = libfdt.Fdt(data)
    node, depth, seen = 0, 0, []
    while node >= 0 and depth >= 0:
        properties, at = {}, fdt.first_property_offset(node, libfdt.QUIET_NOTFOUND)
        while at >= 0:
            prop = fdt.get_property_by_offset(at)
            properties[prop.name] = bytes(prop)
            at = fdt.next_property_offset(at, libfdt.QUIET_NOTFOUND)
        seen.append((fdt.get_name(node), properties))
        try:
            node, depth = fdt.next_node(node, depth)
        except libfdt.FdtException:
            break
"""
READ: Final = """import sys
from dtanalyze.devicetree.blob import parse
data = open(sys.argv[1], "rb").read()
for _ in range(int(sys.argv[2])):
    parse(data)
"""


class Pair(NamedTuple):
    """What is measured against what, how many of the second one of the first stands for, and the most it may be.

    ``least`` makes it the least instead.
    """

    name: str
    ours: Callable[[], float]
    theirs: Callable[[], float]
    limit: float
    times: int = 1
    least: bool = False


def cpu_seconds(argv: Iterable[str]) -> float:
    """Run a program with its output thrown away; return the CPU seconds that it and its children took."""
    null = os.open(os.devnull, os.O_WRONLY)
    given = list(argv)
    actions = [(os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, null, 2)]
    pid = os.posix_spawnp(given[0], given, os.environ, file_actions=actions)
    os.close(null)
    _, _, usage = os.wait4(pid, 0)
    return usage.ru_utime + usage.ru_stime


def elapsed_seconds(argv: Iterable[str]) -> float:
    """Return the seconds on the clock that a program takes."""
    began = time.perf_counter()
    cpu_seconds(argv)
    return time.perf_counter() - began


def pairs(folder: Path) -> Iterable[Pair]:
    """Yield what can be measured on this machine."""
    scripts = {name: folder / f"{name}.py" for name in ("bare", "walk", "read")}
    for name, text in (("bare", BARE), ("walk", WALK), ("read", READ)):
        scripts[name].write_text(text)

    def ours(*argv: str) -> Callable[[], float]:
        return lambda: cpu_seconds((*OURS, *argv))

    def python(name: str, *argv: str) -> Callable[[], float]:
        return lambda: cpu_seconds((sys.executable, str(scripts[name]), *argv))

    bare = python("bare", "x")
    yield Pair("`check` of a guest / a bare typer command", ours("check", GUEST), bare, 1.2)
    yield Pair("`check` of a board / a bare typer command", ours("check", BOARD), bare, 1.5)
    yield Pair("`--version` / a bare typer command", ours("--version"), bare, 0.6)
    if shutil.which("dtc"):

        def dtc() -> float:
            return cpu_seconds(("dtc", "-q", "-I", "dtb", "-O", "dtb", "-o", "/dev/null", BOARD))

        yield Pair(f"{len(BOARDS)} boards / starting dtc for each", ours("check", *BOARDS), dtc, 10, len(BOARDS))
    else:
        print("dtc is not installed: not measured beside it", file=sys.stderr)
    if subprocess.run([sys.executable, "-c", "import libfdt"], capture_output=True, check=False).returncode == 0:
        yield Pair("the reader / pylibfdt's walk", python("read", BOARD, "40"), python("walk", BOARD, "40"), 1.0)
    else:
        how = "pip install pylibfdt, which gcc and swig 4.4 build"
        print(f"pylibfdt is not installed ({how}): not measured beside it", file=sys.stderr)
    idle = (os.cpu_count() or 1) - os.getloadavg()[0]
    if idle >= 1.5:
        many = [*BOARDS * 4]
        one, two = ((*OURS, "check", f"--jobs={count}", *many) for count in (1, 2))
        yield Pair(
            "`--jobs 1` / `--jobs 2`, elapsed", lambda: elapsed_seconds(one), lambda: elapsed_seconds(two), 1.7, least=True
        )
    else:
        print(f"{idle:.1f} cores are idle: --jobs 2 is not measured", file=sys.stderr)


def ratio_of(pair: Pair) -> float:
    """Return the median of the ratios of interleaved runs; the first of each warms up."""
    pair.ours(), pair.theirs()
    return statistics.median(pair.ours() / (pair.theirs() * pair.times) for _ in range(PAIRS))


def main() -> int:
    """Measure and print a table; compare with the limits."""
    print("| what | ratio of CPU | limit |\n| --- | --- | --- |")
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        for pair in pairs(Path(folder)):
            ratio = ratio_of(pair)
            missed += ratio < pair.limit if pair.least else ratio > pair.limit
            print(f"| {pair.name} | {ratio:.2f} | {'at least' if pair.least else 'at most'} {pair.limit:g} |", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
