"""A dom0 that is not 1:1: the free parts of the host's RAM, from the largest down or from the lowest up."""

from __future__ import annotations

import pytest

from dtanalyze.address.range import AddressRange
from dtanalyze.address.units import MIB
from dtanalyze.xen.build import BUILDS, read_build
from dtanalyze.xen.color_heap import ColorHeap
from dtanalyze.xen.llc_coloring import allocate_hwdom_memory, bad_color_config, parse_color_config
from dtanalyze.xen.options import XenOptions
from dtanalyze.xen.predict import predict, prepare
from dtanalyze.xen.profile import preset
from tests.xen.build import host
from tests.xen.test_predict import GIC
from tests.xen.test_setup_mm import scan

GRANT = AddressRange(0x40400000, 0x40000)


@pytest.mark.parametrize(
    ("release", "banks"),
    [
        # Free from 2 MiB on: 0x40000000-0x40400000, 0x40600000-0x44000000, 0x44200000-0x50000000, 0x80000000-0xa0000000.
        pytest.param("4.20", [(0x80000000, 0x9FE00000), (0x44200000, 0x46400000)], id="the largest, less 2 MiB of each"),
        pytest.param("4.21", [(0x80000000, 0xA0000000), (0x44200000, 0x46200000)], id="the largest"),
        pytest.param("4.22", [(0x44200000, 0x50000000), (0x80000000, 0x96200000)], id="the lowest of 128 MiB"),
    ],
)
def test_where_544_mib_go(release: str, banks: list[tuple[int, int]]) -> None:
    info = scan((0x40000000, 0x50000000), (0x80000000, 0xA0000000), reserved=((0x44000000, 0x44000001),))
    found = allocate_hwdom_memory(info, preset(release), 544 * MIB, GRANT)
    assert ([(bank.start, bank.stop) for bank in found.banks], found.unallocated) == (banks, 0)


def test_what_does_not_fit_is_left() -> None:
    found = allocate_hwdom_memory(scan((0x40000000, 0x50000000)), preset("4.22"), 512 * MIB, None)
    assert (found.banks, found.unallocated) == ((AddressRange(0x40000000, 256 * MIB),), 256 * MIB)


def test_the_command_line_asks_for_it_and_the_build_may_not_have_it() -> None:
    tree = host(GIC + 'chosen { xen,xen-bootargs = "llc-coloring=on dom0_mem=512M"; xen,dom0-bootargs = ""; };')

    def start(release: str, **known: object) -> tuple[int, str]:
        options = XenOptions(**known)  # type: ignore[arg-type]
        found = predict(prepare(tree, options), preset(release), options)[0]
        return found.memory[0].start, next(item for item in found.assumed if item.startswith("dom0's RAM"))

    at, note = start("4.22")
    assert at == 0x40600000
    assert "not 1:1" in note and "CONFIG_LLC_COLORING" in note
    assert start("4.22", build=BUILDS["stock"])[0] == start("4.19")[0] == 0x50000000, "1:1: two blocks of 256 MiB"


def test_too_much_has_another_line() -> None:
    tree = host(GIC + 'chosen { xen,xen-bootargs = "llc-coloring dom0_mem=2G"; xen,dom0-bootargs = ""; };')
    found = predict(prepare(tree, XenOptions()), preset("4.22"), XenOptions())[0]
    assert found.stopped_by is not None
    kib = (2048 - 1018) * 1024  # 1 GiB less what lies below 0x40600000
    assert (
        found.stopped_by.message
        == f"Failed to allocate requested domain memory. {kib}KB unallocated. Fix the VMs configurations."
    )


@pytest.mark.parametrize(
    ("words", "coloured", "line"),
    [
        ("llc-size=1M llc-nr-ways=16", True, ""),
        ("llc-size=1M", False, ""),
        ("llc-coloring=off llc-size=1M llc-nr-ways=16", False, ""),
        ("llc-size=1M llc-nr-ways=3", True, "LLC way size must be a multiple of PAGE_SIZE"),
        ("llc-size=48K llc-nr-ways=4", True, "Number of LLC colors (3) isn't a power of 2"),
        ("llc-size=4K llc-nr-ways=1", True, "Number of LLC colors 1 < 2"),
    ],
)
def test_a_cache_that_is_described_is_coloured(words: str, coloured: bool, line: str) -> None:
    """Booted with 4.20.4, built with CONFIG_LLC_COLORING."""
    tree = host(GIC + f'chosen {{ xen,xen-bootargs = "{words} dom0_mem=512M"; xen,dom0-bootargs = ""; }};')
    found = predict(prepare(tree, XenOptions()), preset("4.20"), XenOptions())[0]
    assert (found.stopped_by.message if found.stopped_by is not None else "") == line
    assert any("not 1:1" in item for item in found.assumed) == coloured


@pytest.mark.parametrize(
    ("text", "most", "bad"),
    [("0-3", 16, False), ("0,1", 16, False), ("", 16, False), ("0-15,0", 16, True), ("0-15,0", None, False)]
    + [("0-200", 16, True), ("0-200", None, True), ("16", 16, True), ("x", 16, True), ("3-1", 16, True)],
)
def test_colours_that_xen_refuses(text: str, most: int | None, bad: bool) -> None:
    """All with 16 booted with 4.20.4: "Error initializing LLC coloring for domain domU1 (rc = -22)"."""
    assert bad_color_config(text, most) is bad


def test_colours_of_a_list() -> None:
    assert [parse_color_config(text) for text in ("0", "1,3", "0-2,0x8-9")] == [[0], [1, 3], [0, 1, 2, 8, 9]]


def test_each_page_comes_from_the_fullest_list() -> None:
    """Ten pages of four colours are 3, 3, 2, 2."""
    heap = ColorHeap(10, 4)
    assert [heap.left([at]) for at in range(4)] == [3, 3, 2, 2]
    heap.take([0, 2], 2)  # one of the first, then one of either
    assert heap.left([0, 2]) == 3 and sorted(heap.free[::2]) == [1, 2]
    heap.take(range(4), 4)
    assert sorted(heap.free) == [1, 1, 1, 1]
    heap.take([0, 0, 1], 9)
    assert heap.free == [0, 0, 1, 1], "no more than there are, and a colour named twice is one"


@pytest.mark.parametrize(
    ("colours", "mib", "stopped"),
    [
        # booted: 4.21.2 and 4.22.0 with 2 GiB, 16 colours and 512 MiB of dom0 stop over 256 MiB of one colour
        ("0", 256, True),
        ("0-15", 256, False),
        ("0-5", 256, False),
        ("0-3", 256, True),
        ("", 256, False),
        ("0", 40, False),
        ("15", 20, True),
    ],
)
@pytest.mark.parametrize("release", ["4.20", "4.22"])
def test_a_domain_of_few_colours(release: str, colours: str, mib: int, stopped: bool) -> None:
    """(1024 - 64 - 128) MiB of 16 colours are 52 MiB of each at most; the domain before has 40 of the last."""
    of = f'llc-colors = "{colours}";' if colours else ""
    module = 'm@%x { compatible = "multiboot,kernel", "multiboot,module"; reg = <0 0x%x 0 0x1000>; };'
    tree = host(
        GIC + 'chosen { xen,xen-bootargs = "llc-size=1M llc-nr-ways=16 dom0_mem=128M bootscrub=0"; xen,dom0-bootargs = ""; '
        'd { compatible = "xen,domain"; cpus = <1>; memory = <0 0xa000>; llc-colors = "15"; ' + module % (0x49000000, 0x49000000) + " }; "
        f'e {{ compatible = "xen,domain"; cpus = <1>; memory = <0 {mib << 10:#x}>; {of} ' + module % (0x4A000000, 0x4A000000) + " }; "
        + module % (0x48000000, 0x48000000) + " };"
    )
    options = XenOptions(build=read_build("CONFIG_LLC_COLORING=y"))
    stop = predict(prepare(tree, options), preset(release), options)[0].stopped_by
    line = f"Failed to allocate requested domain memory. {mib << 10}KB unallocated. Fix the VMs configurations."
    assert (stop.lines if stop else None) == ((line,) if stopped else None)
    assert stop is None or "of its colours of the cache" in stop.because
