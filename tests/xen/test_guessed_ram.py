"""RAM that nobody gave: what ``--assume-memory auto`` takes, and that no board is refused for a guess."""

from __future__ import annotations

import pytest

from dtanalyze.analysis import check
from dtanalyze.analysis.questions import CheckOptions
from dtanalyze.facts import CheckResult
from dtanalyze.linux.boot import Verdict
from tests.trees import dtb

_TOP = '#address-cells = <2>; #size-cells = <2>; compatible = "maker,board";'
_GIC = """
interrupt-controller@8000000 { compatible = "arm,gic-v3"; #interrupt-cells = <3>; interrupt-controller; phandle = <1>;
    reg = <0 0x8000000 0 0x10000>, <0 0x80a0000 0 0xf60000>; interrupt-parent = <1>; interrupts = <1 9 4>; };
"""
_TIMER = (
    'timer { compatible = "arm,armv8-timer"; interrupt-parent = <1>; interrupts = <1 13 4>, <1 14 4>, <1 11 4>, <1 10 4>; };'
)
_CPUS = """
cpus { #address-cells = <1>; #size-cells = <0>;
    cpu@0 { device_type = "cpu"; compatible = "arm,cortex-a53"; enable-method = "psci"; reg = <0>; }; };
"""
_MEMORY = 'memory@40000000 { device_type = "memory"; reg = <0 0x40000000 0 0>; };'


def _reserved(*ranges: tuple[int, int]) -> str:
    nodes = "".join(f"r@{start:x} {{ reg = <0 {start:#x} 0 {size:#x}>; no-map; }};" for start, size in ranges)
    return f"reserved-memory {{ #address-cells = <2>; #size-cells = <2>; ranges; {nodes} }};"


def _asked(body: str) -> CheckResult:
    (found,) = check(dtb(_TOP + body), "board.dtb", CheckOptions(tree="host", assume_memory=True))
    return found


_ABOVE = 'dev@80000000 { compatible = "maker,dev"; reg = <0 0x80000000 0 0x1000>; };'


def test_a_guess_in_which_dom0_finds_no_room_is_no_refusal() -> None:
    """512 MiB are guessed below the device, and dom0 wants 512 MiB of them."""
    near = _ABOVE.replace("80000000", "60000000")
    found = _asked(_GIC + _TIMER + _CPUS + _MEMORY + near)
    assert found.verdict is Verdict.UNKNOWN
    assert "--memory 0x40000000+512M" in found.reason
    assert "512 MiB at 0x40000000, a guess" in found.reason and "Failed to allocate requested dom0 memory" in found.reason
    (said,) = [item for item in found.findings if item.rule == "V-unknown"]
    assert said.message == found.reason
    assert not {"B03", "S04", "V-no-boot"} & {item.rule for item in found.findings}


def test_what_stops_xen_without_the_guess_too_is_a_refusal() -> None:
    """No interrupt controller, whatever the RAM."""
    near = _ABOVE.replace("80000000", "60000000")
    found = _asked(_TIMER + _CPUS + _MEMORY + near)
    assert found.verdict is Verdict.NO_BOOT
    assert "interrupt controller" in found.reason and "guess" not in found.reason


def test_a_guess_that_boots_is_kept() -> None:
    found = _asked(_GIC + _TIMER + _CPUS + _MEMORY)
    assert found.verdict is Verdict.SCRATCH
    assert "S04" in {item.rule for item in found.findings}


@pytest.mark.parametrize("device", [0x40000000, 0x48000000])
def test_no_ram_is_guessed_where_a_device_is(device: int) -> None:
    """Less than the smallest usual size lies below the device."""
    found = _asked(_GIC + _TIMER + _CPUS + _MEMORY + _ABOVE.replace("80000000", f"{device:x}"))
    assert found.verdict is Verdict.UNKNOWN
    assert "guess" not in found.reason


def test_reserved_memory_of_a_device_shows_no_ram() -> None:
    """The lowest reservation lies among the devices, the next one in RAM."""
    body = _GIC + _TIMER + _CPUS + _reserved((0x15194000, 0x1000), (0x83000000, 0x30000))
    body += 'dev@1001e000 { compatible = "maker,dev"; reg = <0 0x1001e000 0 0x1000>; };'
    found = _asked(body)
    assert found.verdict is Verdict.SCRATCH
    assert any("2 GiB at 0x80000000, a guess" in note and "r@83000000" in note for note in found.assumed)


@pytest.mark.parametrize(
    ("reservations", "source"),
    [
        # i.MX93: the table lies in a core's own memory, below a device that RAM from 0 on could not pass.
        (_reserved((0x2021E000, 0x1000), (0xA4000000, 0x8000)), "r@a4000000"),
        # i.MX91: nothing is reserved at a place, but Linux is told where RAM for its CMA is.
        (
            "reserved-memory { #address-cells = <2>; #size-cells = <2>; ranges; linux,cma { reusable;"
            ' compatible = "shared-dma-pool"; alloc-ranges = <0 0x80000000 0 0x40000000>; size = <0 0x10000000>; }; };',
            "linux,cma",
        ),
    ],
)
def test_ram_begins_where_it_can_reach_what_shows_it(reservations: str, source: str) -> None:
    body = _GIC + _TIMER + _CPUS + reservations
    body += 'dev@20400000 { compatible = "maker,dev"; reg = <0 0x20400000 0 0x1000>; };'
    found = _asked(body)
    assert any("2 GiB at 0x80000000, a guess" in note and source in note for note in found.assumed), found.assumed
