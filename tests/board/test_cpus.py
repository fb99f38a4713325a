"""How many CPUs, and how many address bits they have: known cores only."""

from __future__ import annotations

import pytest

from dtanalyze.board.cpus import OPEN_WIDTHS, PARANGE_BITS, cpu_nodes, most_pa_bits, pa_bits
from tests.trees import tree


def cpus(*compatible: str) -> str:
    return "cpus { " + " ".join(f'cpu@{n} {{ compatible = "{name}"; }};' for n, name in enumerate(compatible)) + " };"


def test_cpu_nodes() -> None:
    board = tree('cpus { cpu-map { cluster0 { }; }; cpu@0 { }; core@1 { device_type = "cpu"; }; cache { }; }; cpu@9 { };')
    assert [item.path for item in cpu_nodes(board)] == ["/cpus/cpu@0", "/cpus/core@1"]
    assert cpu_nodes(tree("soc { };")) == ()


@pytest.mark.parametrize(
    ("body", "bits"),
    [
        (cpus("arm,cortex-a53"), 40),
        (cpus("arm,cortex-a57"), 44),
        (cpus("arm,cortex-a57", "arm,cortex-a53"), 40),
        (cpus("arm,cortex-a72", "vendor,unknown"), None),
        (cpus("vendor,unknown"), None),
        (cpus('vendor,core", "arm,cortex-a72'), 44),
        (cpus(), None),
        ("", None),
    ],
    ids=["a53 40", "a57 44", "the least of all", "one unknown", "unknown", "second compatible", "no CPU", "no /cpus"],
)
def test_pa_bits(body: str, bits: int | None) -> None:
    # The recorded boots ran on cortex-a57 (44 bits) and cortex-a53 (40): fixtures/README.md.
    assert pa_bits(tree(body)) == bits


@pytest.mark.parametrize(
    ("names", "bits"),
    [
        (("arm,cortex-a72", "vendor,unknown"), 44),
        (("arm,cortex-a72", "vendor,unknown", "arm,cortex-a53"), 40),
        (("vendor,unknown",), None),
        ((), None),
    ],
)
def test_the_most_that_all_can_have(names: tuple[str, ...], bits: int | None) -> None:
    assert most_pa_bits(tree(cpus(*names))) == bits


# The 64-bit cores of the kernel's binding (Documentation/devicetree/bindings/arm/cpus.yaml, as stored for 6.2) and those that
# later trees name.
BINDING = """apple,avalanche apple,blizzard apple,icestorm apple,firestorm arm,armv8 arm,cortex-a34 arm,cortex-a35 arm,cortex-a53
    arm,cortex-a55 arm,cortex-a57 arm,cortex-a65 arm,cortex-a72 arm,cortex-a73 arm,cortex-a75 arm,cortex-a76 arm,cortex-a77
    arm,cortex-a78 arm,cortex-a78ae arm,cortex-a78c arm,cortex-a510 arm,cortex-a710 arm,cortex-a715 arm,cortex-x1 arm,cortex-x1c
    arm,cortex-x2 arm,cortex-x3 arm,neoverse-e1 arm,neoverse-n1 arm,neoverse-n2 arm,neoverse-v1 brcm,brahma-b53 brcm,vulcan
    cavium,thunder cavium,thunder2 nvidia,tegra132-denver nvidia,tegra186-denver nvidia,tegra194-carmel qcom,kryo qcom,kryo240
    qcom,kryo250 qcom,kryo260 qcom,kryo280 qcom,kryo360 qcom,kryo385 qcom,kryo468 qcom,kryo485 qcom,kryo560 qcom,kryo570
    qcom,kryo660 qcom,kryo685 qcom,kryo780 arm,cortex-a520 arm,cortex-a720 arm,cortex-x4 qcom,oryon"""


def test_every_core_of_the_binding_has_a_width_or_is_named_as_open() -> None:
    assert set(BINDING.split()) <= PARANGE_BITS.keys() | OPEN_WIDTHS
    assert not PARANGE_BITS.keys() & OPEN_WIDTHS
    # What QEMU's models of them say (target/arm/tcg/cpu64.c, the low digit of ID_AA64MMFR0: 2 is 40, 4 is 44, 5 is 48).
    qemu = {
        "arm,cortex-a35": 0x1122, "arm,cortex-a53": 0x1122, "arm,cortex-a57": 0x1124, "arm,cortex-a72": 0x1124,
        "arm,cortex-a710": 0x101122, "arm,neoverse-n1": 0x101125, "fujitsu,a64fx": 0x1122,
    }  # fmt: skip
    assert {name: {2: 40, 4: 44, 5: 48}[value & 15] for name, value in qemu.items()} == {
        name: PARANGE_BITS[name] for name in qemu
    }
