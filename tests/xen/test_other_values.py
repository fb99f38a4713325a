"""Whether another value of what is assumed would change the verdict: tried where one more boot answers it."""

from __future__ import annotations

import pytest

from dtanalyze.address.range import AddressRange
from dtanalyze.analysis import CheckOptions
from dtanalyze.analysis.host import check_host
from dtanalyze.analysis.questions import HostQuestion
from dtanalyze.facts import Assumption
from dtanalyze.linux.profile import PRESETS
from dtanalyze.rules.examples import host
from dtanalyze.xen.options import XenOptions
from dtanalyze.xen.profile import PRESETS as XEN
from tests.trees import tree

SMMU = 'iommu@5000000 { compatible = "arm,mmu-500"; reg = <0x0 0x5000000 0x0 0x10000>; status = "disabled"; };'
EMPTY = "firmware@0 { reg = <0x0 0x0 0x0 0x0>; };" + SMMU


def assumed(body: str, topic: str, options: XenOptions = XenOptions(), *, tries: bool = True) -> Assumption:  # noqa: B008
    linux = (PRESETS["6.12"],)
    question = HostQuestion(CheckOptions(linux=linux[0]), linux, (XEN["4.22"],), (options.iommu,), options, try_others=tries)
    (result,) = check_host(tree(body), "host.dtb", question)
    (found,) = [item for item in result.assumptions if item.topic == topic]
    return found


def test_an_iommu_that_would_change_the_verdict_is_said() -> None:
    """Without one Xen gives what RAM is left; with one its search for holes loses all at a range of size zero."""
    found = assumed(host(EMPTY), "IOMMU")
    assert (found.matters, found.option) == (True, "--iommu")
    assert found.instead.startswith("with it o") and found.instead.endswith("the verdict is balloon")
    assert assumed(host(SMMU), "IOMMU").matters is False
    assert assumed(host(), "IOMMU").matters is None, "a board without one has nothing to switch on"
    assert assumed(host(EMPTY), "IOMMU", tries=False).matters is None


@pytest.mark.parametrize(("first", "second", "matters"), [("57", "53", True), ("53", "57", None), ("57", "57", None)])
def test_cpus_of_two_kinds_whose_widths_decide_are_said(first: str, second: str, matters: bool | None) -> None:
    """All below 2^40 is in use: with a Cortex-A57's 44 bits there is room above, with a Cortex-A53's 40 there is none."""
    cpus = "".join(
        f'cpu@{at} {{ device_type = "cpu"; compatible = "arm,cortex-a{name}"; reg = <{at}>; enable-method = "psci"; }};'
        for at, name in enumerate((first, second))
    )
    everything = "soc@0 { reg = <0x0 0x0 0x0 0x40000000>, <0x0 0x80000000 0xff 0x80000000>; };"
    board = host(everything).replace('cpu@0 { device_type = "cpu"; compatible = "arm,cortex-a53"; reg = <0x0>; };', cpus)
    found = assumed(board, "guest physical addresses", XenOptions(iommu=True))
    assert found.matters is matters
    if matters:
        assert found.option == "--ipa-bits" and found.instead == "with the 40 bits of the others the verdict is balloon"


def ram(start: int, stop: int) -> str:
    size = stop - start
    return host(memory=f'memory@{start:x} {{ device_type = "memory"; reg = <0x0 {start:#x} 0x0 {size:#x}>; }};')


# dom0 has 0x48000000-0x5fffffff, and the only whole section that it leaves is 0x60000000-0x67ffffff.
DOM0 = XenOptions(dom0_banks=(AddressRange(0x48000000, 0x18000000),))


def test_a_grant_table_whose_place_decides_is_said() -> None:
    """16 MiB below the end of RAM, at 0x67000000, it cuts that section."""
    found = assumed(ram(0x44000000, 0x68000000), "grant table", DOM0)
    assert (found.matters, found.instead) == (True, "at 0x67000000 the verdict is exhausted")
    there = XenOptions(dom0_banks=DOM0.dom0_banks, grant_table=AddressRange(0x67000000, 0x40000))
    linux = (PRESETS["6.12"],)
    asked = HostQuestion(CheckOptions(linux=linux[0]), linux, (XEN["4.22"],), (None,), there)
    (result,) = check_host(tree(ram(0x44000000, 0x68000000)), "host.dtb", asked)
    assert result.verdict == "exhausted"


def test_a_grant_table_whose_place_does_not_decide_names_the_other() -> None:
    found = assumed(ram(0x44000000, 0x70000000), "grant table", DOM0)  # two sections, of which it cuts one there
    assert found.matters is None
    assert found.instead == "at 0x6f000000 the verdict is the same"


@pytest.mark.parametrize("place", [0x60000000, 0x67E00000, 0x68000000, 0x77000000])
def test_with_three_sections_no_place_of_the_grant_table_decides(place: int) -> None:
    """By the rule, and by trying: 4.20 gives three of four here, and cuts the region that ends where Xen lies, so two go."""
    assert assumed(ram(0x44000000, 0x80000000), "grant table", DOM0).matters is False
    there = DOM0._replace(grant_table=AddressRange(place, 0x40000))
    linux = (PRESETS["6.12"],)
    asked = HostQuestion(CheckOptions(linux=linux[0]), linux, (XEN["4.20"],), (None,), there)
    (result,) = check_host(tree(ram(0x44000000, 0x80000000)), "host.dtb", asked)
    assert result.verdict == "scratch"
