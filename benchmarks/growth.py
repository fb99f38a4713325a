"""How time and memory grow with what a tree holds: ``python benchmarks/growth.py [--full] [NAME...]``.

Each line is one thing that can be many: a small and a large number of it, whole processes, and the exponent between them
(1 is linear, 2 quadratic) of user and system time and of the peak of memory, less what a tree with next to none of it takes.
That is the start of the process; it moves by some hundredths of a second from run to run. So that this is no part of the
answer, the large number is one that takes several times as long as the start: with less, noise passes for growth.
Leaves with status 1 when one is above the limit, or takes longer than a run may. ``--full`` goes to the largest numbers
that the reader takes.
"""

from __future__ import annotations

import math
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from dtanalyze.address.range import RawRange
from dtanalyze.devicetree.tree import Node
from dtanalyze.devicetree.write import cells, new_node, set_property, strings, to_blob

LIMIT: Final = 1.15
MIB: Final = 1 << 20
SECONDS: Final = 40
"""CPU time of one run, at most."""
RUNS: Final = 3
"""The least of several runs: a machine that others use too takes more of what it should, never less."""
ARGV: Final = ".argv"
STDERR: Final = ".stderr"
SECTION: Final = 128 * MIB
ABOVE: Final = 1 << 34
"""Where devices are put: above RAM and regions."""


class Load(NamedTuple):
    """Files to write, by name, and the arguments of the command line that looks at them."""

    files: dict[str, bytes]
    argv: list[str]


class Case(NamedTuple):
    """One thing that grows: a load for any number of it, and the numbers to take. ``full`` is what ``--full`` ends with."""

    name: str
    load: Callable[[int], Load]
    small: int
    large: int
    full: int


def reg(*pairs: tuple[int, int]) -> bytes:
    """Return a ``reg`` with two cells each."""
    return cells(word for pair in pairs for value in pair for word in (value >> 32, value & 0xFFFFFFFF))


COUNTS: Final = {"#address-cells": cells([2]), "#size-cells": cells([2])}


def root_of(*banks: tuple[int, int]) -> Node:
    """Return a root with RAM in these banks."""
    root = new_node("", None, {**COUNTS, "compatible": strings("maker,board")})
    memory = new_node("memory@40000000", root, {"device_type": strings("memory")})
    set_property(memory, "reg", reg(*(banks or ((0x40000000, 512 * MIB),))))
    return root


def guest(regions: int = 2, root: Node | None = None) -> Node:
    """Return a guest's tree: RAM, a grant table, and regions of one section, each a section apart."""
    root = root or root_of()
    xen = new_node("hypervisor", root, {"compatible": strings("xen,xen-4.20", "xen,xen")})
    spans = [(0x80000000 + 2 * SECTION * at, SECTION) for at in range(regions)]
    set_property(xen, "reg", reg((0x38000000, 16 * MIB), *spans))
    return root


def host(root: Node | None = None) -> Node:
    """Return a board's own tree with a GICv3."""
    root = root or root_of((0x40000000, 2048 * MIB))
    gic = new_node("interrupt-controller@8000000", root, {"compatible": strings("arm,gic-v3"), "phandle": cells([1])})
    for name in ("interrupt-controller", "ranges"):
        set_property(gic, name)
    set_property(gic, "#interrupt-cells", cells([3]))
    set_property(gic, "reg", reg((0x8000000, 0x10000), (0x80A0000, 0xF60000)))
    return root


def devices(parent: Node, count: int, *, apart: int = 0x10000, start: int = ABOVE) -> Node:
    """Add devices to ``parent`` and return it."""
    for at in range(count):
        address = start + apart * at
        child = new_node(f"dev{at}@{address:x}", parent, {"compatible": strings("maker,dev")})
        set_property(child, "reg", reg((address, 0x1000)))
    return parent


def one(root: Node, *argv: str, reservations: int = 0) -> Load:
    """Return the load of one tree."""
    rsv = [RawRange(0x40000000 + 0x2000 * at, 0x1000) for at in range(reservations)]
    return Load({"tree.dtb": to_blob(root, rsv)}, ["check", "tree.dtb", *argv])


def reserved(root: Node, count: int) -> Node:
    """Add no-map reservations and return the root."""
    parent = new_node("reserved-memory", root, {**COUNTS, "ranges": b""})
    for at in range(count):
        address = 0x40000000 + 0x2000 * at
        new_node(f"fw@{address:x}", parent, {"reg": reg((address, 0x1000)), "no-map": b""})
    return root


def _many_ranges(count: int) -> Load:
    root = guest()
    entries = [value for at in range(count) for value in (0x10000 * at, ABOVE + 0x10000 * at, 0x10000)]
    bus = new_node("bus", root, {**COUNTS, "compatible": strings("simple-bus")})
    set_property(bus, "ranges", cells(word for value in entries for word in (value >> 32, value & 0xFFFFFFFF)))
    devices(bus, count, start=0)
    return one(root)


def _nested(depth: int) -> Load:
    """As many devices at any depth, so that only the depth grows."""
    root = inner = guest()
    for at in range(depth):
        inner = new_node(f"bus{at}", inner, {**COUNTS, "compatible": strings("simple-bus"), "ranges": b""})
    devices(inner, 2000)
    return one(root)


def _domains(count: int) -> Load:
    root = host()
    chosen = new_node("chosen", root, COUNTS)
    for at in range(count):
        domain = new_node(f"guest{at}", chosen, {**COUNTS, "compatible": strings("xen,domain")})
        set_property(domain, "memory", cells([0, 0x1000]))
        set_property(domain, "cpus", cells([1]))
        set_property(domain, "xen,enhanced", strings("enabled"))
        start = 0x60000000 + 0x2000 * at
        kernel = new_node(f"module@{start:x}", domain, {"compatible": strings("multiboot,kernel", "multiboot,module")})
        set_property(kernel, "reg", reg((start, 0x1000)))
    return one(root)


def _cells(count: int) -> Load:
    """Kernels times releases times IOMMU settings: 12, 24, 48, … cells of one board with 300 devices."""
    releases = ["4.17", "4.18", "4.19", "4.20", "4.21", "4.22"]
    kernels = ["5.16", "5.17", "6.1", "6.12", "6.16", "7.3", "v2", "v3"]
    xen, linux = releases[: min(count // 2, 6)], kernels[: max(count // 12, 1)]
    return one(devices(host(), 300), "--xen", ",".join(xen), "--linux", ",".join(linux), "--iommu", "both")


def _overlays(count: int) -> Load:
    root = guest()
    target = new_node("soc", root, {**COUNTS, "ranges": b""})
    devices(target, 50)
    files, argv = {"tree.dtb": to_blob(root)}, ["check", "tree.dtb"]
    for at in range(count):
        over = new_node("")
        fragment = new_node("fragment@0", over, {"target-path": strings("/soc")})
        devices(new_node("__overlay__", fragment), 5, start=ABOVE + 0x1000000 * (at + 1))
        files[f"{at}.dtbo"] = to_blob(over)
        argv += ["--overlay", f"{at}.dtbo"]
    return Load(files, argv)


def _trees(count: int) -> Load:
    blob = to_blob(devices(guest(), 100))
    names = [f"t{at}.dtb" for at in range(count)]
    return Load(dict.fromkeys(names, blob), ["check", *names])


CASES: Final = (
    Case("nodes of a guest's tree", lambda n: one(devices(guest(), n)), 4000, 16000, 100_000),
    Case("nodes of a board's tree", lambda n: one(devices(host(), n)), 4000, 16000, 100_000),
    Case("extended regions", lambda n: one(guest(n)), 2000, 8000, 65_000),
    Case("no-map reservations", lambda n: one(reserved(guest(), n)), 2000, 8000, 65_000),
    Case("reserve map entries", lambda n: one(guest(), reservations=n), 1000, 4000, 4000),
    Case(
        "banks of RAM",
        lambda n: one(guest(root=root_of(*((0x40000000 + 2 * MIB * at, MIB) for at in range(n))))),
        2000, 8000, 65_000,
    ),
    Case("devices on one address", lambda n: one(devices(guest(), n, apart=0)), 1000, 4000, 16_000),
    Case("devices under a region", lambda n: one(devices(guest(), n, apart=0x1000, start=0x80000000)), 4000, 16_000, 32_000),
    Case("devices of a board on one address", lambda n: one(devices(host(), n, apart=0)), 1000, 4000, 16_000),
    Case("entries of ranges", _many_ranges, 2000, 8000, 65_000),
    Case("levels of nesting", _nested, 15, 60, 60),
    Case("growing requests", lambda n: one(guest(64), *(f"--request={at * 500}" for at in range(1, n))), 200, 800, 800),
    Case("domains", _domains, 200, 800, 3200),
    Case("cells of a sweep", _cells, 12, 96, 96),
    Case("overlays on one tree", _overlays, 640, 2560, 2560),
    Case("trees", _trees, 64, 1024, 4096),
)  # fmt: skip


def written(make: Callable[[int], Load], count: int, folder: Path) -> list[str]:
    """Write the files of a load into ``folder`` and return its arguments.

    A process of its own does it: what one holds when it starts another counts as the other's peak of memory.
    """
    pid = os.fork()
    if pid == 0:
        try:
            load = make(count)
            for name, data in load.files.items():
                (folder / name).write_bytes(data)
            (folder / ARGV).write_text("\0".join(load.argv))
            os._exit(0)
        finally:
            os._exit(1)
    if os.waitpid(pid, 0)[1]:
        raise RuntimeError("the load was not written")
    return (folder / ARGV).read_text().split("\0")


def measured(make: Callable[[int], Load], count: int, runs: int = RUNS) -> tuple[float, float]:
    """Return the least CPU seconds of some runs, and the peak of memory, MiB, of the program over a load."""
    with tempfile.TemporaryDirectory() as folder:
        argv = written(make, count, Path(folder))
        found = [_run(argv, folder) for _ in range(runs)]
    return min(time for time, _ in found), min(memory for _, memory in found)


def _run(argv: list[str], folder: str) -> tuple[float, float]:
    said = Path(folder) / STDERR
    out, err = os.open(os.devnull, os.O_WRONLY), os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    pid = os.fork()
    if pid == 0:
        os.chdir(folder)
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.execv(sys.executable, [sys.executable, "-m", "dtanalyze", *argv])
    os.close(out)
    os.close(err)
    _, status, usage = os.wait4(pid, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL):
        return float("inf"), usage.ru_maxrss / 1024
    if os.waitstatus_to_exitcode(status) not in (0, 1) or "Traceback" in said.read_text():  # which leaves with 1 too
        raise RuntimeError(f"dtanalyze {' '.join(argv)[:200]}: status {status}: {said.read_text()[-500:]}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def exponent(small: float, large: float, factor: float) -> float:
    """Return by which power of ``factor`` a quantity grew; what is too small to measure did not."""
    return math.log(large / small, factor) if small > 0 and large > small else 0.0


def main(argv: list[str]) -> int:
    """Measure, print a line each, compare with the limit."""
    full, wanted = "--full" in argv, [item for item in argv if not item.startswith("-")]
    print("| grows | from | to | CPU s | memory MiB | exponent of time | of memory |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    above = 0
    for case in CASES:
        if wanted and not any(item in case.name for item in wanted):
            continue
        large = case.full if full else case.large
        least, some, most = (measured(case.load, count) for count in (2, case.small, large))
        found = [exponent(some[at] - least[at], most[at] - least[at], large / case.small) for at in (0, 1)]
        above += max(found) > LIMIT
        print(
            f"| {case.name} | {case.small} | {large} | {some[0]:.2f} to {most[0]:.2f} | {some[1]:.0f} to {most[1]:.0f} "
            f"| {found[0]:.2f} | {found[1]:.2f} |", flush=True,
        )  # fmt: skip
    return 1 if above else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
