"""Which architecture a tree is for, and what follows for the kernel that is taken to read it."""

from __future__ import annotations

import pytest

from dtanalyze import check
from dtanalyze.address.range import AddressRange
from dtanalyze.analysis.memory_hint import memory_hint
from dtanalyze.board.architecture import arch_of
from dtanalyze.board.build import build_board
from dtanalyze.board.bus import LINUX
from dtanalyze.errors import InputError
from tests.trees import dtb, tree

CPU = 'cpus {{ #address-cells = <1>; #size-cells = <0>; cpu@0 {{ device_type = "cpu"; reg = <0>; compatible = "{0}"; {1} }}; }};'
GUEST = """
	#address-cells = <2>; #size-cells = <2>;
	hypervisor {{ compatible = "xen,xen-4.20", "xen,xen"; reg = <0x0 0x38000000 0x0 0x1000000>; interrupts = <1 15 8>; }};
	memory@40000000 {{ device_type = "memory"; reg = <0x0 0x40000000 0x0 0x20000000>; }};
	cpus {{ #address-cells = <1>; #size-cells = <0>; cpu@0 {{ device_type = "cpu"; reg = <0>; compatible = "{0}"; }}; }};
"""


@pytest.mark.parametrize(
    ("compatible", "more", "arch"),
    [
        ("arm,cortex-a53", "", "arm64"),
        ("arm,cortex-a15", "", "arm"),
        ("ARM,Cortex-A7", "", "arm"),
        ("brcm,brahma-b15", "", "arm"),
        ("sifive,u54", 'riscv,isa = "rv64imafdc";', "riscv"),
        ("nobody,knows", "", "arm64"),
    ],
)
def test_arch_is_that_of_the_cpus(compatible: str, more: str, arch: str) -> None:
    assert arch_of(tree(CPU.format(compatible, more))) == arch


@pytest.mark.parametrize("compatible", ["PowerPC,e500", "loongson,la464", "intel,atom"])
def test_a_foreign_cpu_is_named(compatible: str) -> None:
    with pytest.raises(InputError, match=r"/cpus/cpu@0 is a CPU of "):
        arch_of(tree(CPU.format(compatible, "")))


def test_a_32_bit_guest_has_a_32_bit_kernel() -> None:
    """Cortex-A15 is what Xen calls a 32-bit domain's CPUs; no 32-bit Arm kernel has ZONE_DEVICE (arch/arm/Kconfig)."""
    blob = dtb(GUEST.format("arm,cortex-a15"))
    result = check(blob)[0]
    assert (result.linux.arch, result.verdict) == ("arm", "balloon")
    assert "X22" not in {item.rule for item in result.findings}  # Xen gives a 32-bit domain no extended regions to miss
    assert result.kaslr is False
    advice = next(item.advice for item in result.findings if item.rule == "V-balloon")
    assert "CPUs are 32-bit" in advice  # not "use a 64-bit kernel", which cannot be followed here


def test_a_64_bit_guest_without_regions_misses_them() -> None:
    result = check(dtb(GUEST.format("arm,armv8")))[0]
    assert result.linux.arch == "arm64"
    assert "X22" in {item.rule for item in result.findings}


def test_a_guess_of_ram_ends_where_one_address_cell_ends() -> None:
    """0xc0000000 and one cell leave 1 GiB below 4 GiB: 2 GiB could not be written into such a tree."""
    body = '#address-cells = <1>; #size-cells = <1>; memory@c0000000 { device_type = "memory"; reg = <0xc0000000 0>; };'
    hint = memory_hint(build_board(tree(body), LINUX))
    assert hint is not None
    assert hint.guess == AddressRange(0xC0000000, 0x40000000)
