"""What is said to do about a domain that Xen cannot build follows its cause. Numbers worked out by hand.

The host has 1 GiB of RAM and two CPUs.
"""

from __future__ import annotations

import pytest

from dtanalyze.analysis import CheckOptions
from dtanalyze.analysis.host import check_host
from dtanalyze.analysis.questions import HostQuestion
from dtanalyze.linux.profile import PRESETS
from dtanalyze.xen.options import XenOptions
from dtanalyze.xen.profile import PRESETS as XEN
from tests.xen.build import host
from tests.xen.test_dom0less import CHOSEN, CONSOLE, DOM0, KERNEL, PLAIN, STATIC, UART, VCPU, guest

RULES_OWN = "Give the domain's node cpus"


def advised(domain: str, dom0: str = "", args: str = CONSOLE) -> str:
    question = HostQuestion(CheckOptions(), (PRESETS["6.12"],), (XEN["4.22"],), (None,), XenOptions())
    results = check_host(host(UART + CHOSEN.format(args=args, dom0=dom0, domains=domain)), "host.dtb", question)
    (found,) = {item.advice for result in results for item in result.findings if item.rule == "D05"}
    return found


@pytest.mark.parametrize(
    ("properties", "advice"),
    [
        # 0x40006 KiB are 65,537.5 pages: the next whole one is 0x40008 KiB.
        ("memory = <0 0x40006>; cpus = <1>;", "Round `memory` to whole pages of 4 KiB: `memory = <0x0 0x40008>;`."),
        ("memory = <0 0x200000>; cpus = <1>;", "Lower `memory` to what the host has left"),
        # 256 pages for the CPU, 256 for 256 MiB, 128 for the mappings: 640 pages are 2.5 MiB, 3 in whole ones.
        (
            PLAIN + "xen,domain-p2m-mem-mb = <4096>;",
            "Lower `xen,domain-p2m-mem-mb` from 4096: 3 is what Xen takes without it.",
        ),
        # 1 MiB for each of 4,000,000 MiB of RAM: the page tables alone are larger than the host.
        ("memory = <0xf 0>; cpus = <1>;", "Lower `memory` or `cpus`: Xen sets page tables apart for both"),
        (PLAIN + "max_grant_frames = <0>;", "Set `max_grant_frames` to 1 or more, or remove it"),
        (PLAIN + "max_grant_version = <2>;", "Set `max_grant_version` to 1, or remove it."),
        (PLAIN + "max_maptrack_frames = <0x80000000>;", "Set the property that the message names to a number below 0x80000000"),
        (PLAIN + "nr_spis = <961>;", "Set `nr_spis` to what"),
        ("memory = <0 0x40000>; cpus = <9999>;", "Set `cpus` to what"),
        (PLAIN + "trap-unmapped-accesses = <2>;", "Set `trap-unmapped-accesses` to 0 or 1"),
        (PLAIN + 'xen,sci_type = "scmi_smc";', "Build Xen with CONFIG_SCMI_SMC=y"),
        (PLAIN + 'xen,sci_type = "psci";', 'Write `xen,sci_type = "none";`'),
        (PLAIN + 'v8r_el1_msa = "mmu";', "Remove `v8r_el1_msa`"),
        (PLAIN + "domain-cpupool = <1>;", "Let `domain-cpupool` name a node of /chosen"),
        ("memory = <0 0x400>; cpus = <1>;", "Raise `memory`, or load a smaller kernel"),
        ("memory = <0 0x1000>; cpus = <1>;", "Raise `memory`, or load a smaller kernel"),
        (STATIC.replace("0 0x10000000>", "0 0x8000000>"), "Set `memory` to the sum of `xen,static-mem`"),
    ],
)
def test_the_advice_follows_the_cause(properties: str, advice: str) -> None:
    assert advised(guest(properties)).startswith(advice)


@pytest.mark.parametrize(
    ("vcpu", "advice"),
    [
        ('hard-affinity = "0";', "Add `id`"),
        ("id = <1>;", "Set `id` of the `xen,vcpu` node below `cpus`"),
        ('id = <0>; hard-affinity = "2";', "Let `hard-affinity` name CPUs of the host alone"),
        ('id = <0>; hard-affinity = "1-0";', "Let `hard-affinity` name at least one CPU that Xen uses"),
    ],
)
def test_where_its_cpus_run(vcpu: str, advice: str) -> None:
    assert advised(guest(PLAIN, KERNEL + VCPU.format(vcpu))).startswith(advice)


def test_two_domains_of_one_kind() -> None:
    assert advised(guest(PLAIN + " capabilities = <4>;"), dom0=DOM0).startswith("Leave the xenstore capability to one domain")
    assert advised(guest(PLAIN + " capabilities = <2>;"), dom0=DOM0).startswith("Leave the hardware capability to one domain")


def test_no_advice_is_the_rules_own_where_the_cause_is_known() -> None:
    for properties in ("memory = <0 0x40000>;", "cpus = <1>;", "memory = <0 0>; cpus = <1>;", PLAIN + " direct-map;"):
        assert not advised(guest(properties)).startswith(RULES_OWN)
