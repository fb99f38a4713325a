"""How wide guest physical addresses are: setup_virt_paging takes the least of the CPUs that are on (start_secondary)."""

from __future__ import annotations

import pytest

from dtanalyze.address.range import AddressRange
from dtanalyze.xen.boot import Boot
from dtanalyze.xen.options import XenOptions
from dtanalyze.xen.p2m import IpaBits
from dtanalyze.xen.predict import predict, prepare
from dtanalyze.xen.profile import preset
from tests.trees import tree


def width(cpus: tuple[str, ...], line: str = "", release: str = "4.22", more: str = "", iommu: bool | None = None) -> IpaBits:
    nodes = " ".join(
        f'cpu@{at} {{ device_type = "cpu"; compatible = "{name}"; reg = <{at}>; }};' for at, name in enumerate(cpus)
    )
    body = f"cpus {{ #address-cells = <1>; #size-cells = <0>; {nodes} }}; {more}"
    options = XenOptions(iommu=iommu)
    host = prepare(tree(f'{body} chosen {{ xen,xen-bootargs = "{line}"; }};'), options)
    return Boot(host, preset(release), options).p2m_ipa_bits


A53, A57, OTHER = "arm,cortex-a53", "arm,cortex-a57", "vendor,unknown"


@pytest.mark.parametrize(
    ("cpus", "line", "bits", "words"),
    [
        ((A53, A53), "", 40, "as the CPUs have"),
        ((A57, A53), "", 44, "as /cpus/cpu@0 has"),  # the small one is off: its MIDR is another one
        ((A53, A57), "", 40, "as the CPUs have"),
        ((A57, A53), "hmp-unsafe=true", 40, "as the CPUs have"),
        ((A57, A53), "hmp-unsafe=true maxcpus=1", 44, "as /cpus/cpu@0 has"),
        ((A57, OTHER), "", 44, "as /cpus/cpu@0 has"),
        ((A57, OTHER), "hmp-unsafe=true", 44, "at most, since one CPU's is not known"),
        ((OTHER, A53), "", 48, "the CPUs' width is not known"),
        ((OTHER,), "", 48, "the CPUs' width is not known"),
        ((), "", 48, "the CPUs' width is not known"),
        (("cavium,thunder",), "", 48, "as the CPUs have"),
    ],
)
def test_the_cpus_that_are_on_decide(cpus: tuple[str, ...], line: str, bits: int, words: str) -> None:
    found = width(cpus, line)
    assert found.value == bits and words in found.note


def test_an_ipmmu_has_40_bits_where_it_is_used() -> None:
    ipmmu = 'mmu@1000 { compatible = "renesas,ipmmu-r8a7795"; reg = <0x1000 0x1000>; };'
    assert width((A57,), more=ipmmu, iommu=True).value == 40
    assert width((A57,), more=ipmmu, iommu=False).value == 44


def test_regions_of_a_board_with_two_kinds_of_cpus() -> None:
    """Holes are looked for up to the width: 2^44 where a Cortex-A57 boots, 2^40 where a Cortex-A53 does."""
    ram = XenOptions(iommu=True, memory=(AddressRange(0x40000000, 0x40000000),))
    for first, second, bits in ((A57, A53, 44), (A53, A57, 40)):
        nodes = f'cpu@0 {{ device_type = "cpu"; compatible = "{first}"; reg = <0>; }};'
        nodes += f'cpu@1 {{ device_type = "cpu"; compatible = "{second}"; reg = <1>; }};'
        board = tree(f"#address-cells = <2>; #size-cells = <2>; cpus {{ #address-cells = <1>; #size-cells = <0>; {nodes} }};")
        found = predict(prepare(board, ram), preset("4.22"), ram)[0]
        assert found.regions.ranges[-1].stop == 1 << bits
