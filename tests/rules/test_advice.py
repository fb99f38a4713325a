"""Advice names what to write into this tree: the sections that stay, the cell, the property. Worked out by hand."""

from __future__ import annotations

import pytest

from dtanalyze.analysis import CheckOptions
from dtanalyze.analysis.host import check_host
from dtanalyze.analysis.questions import HostQuestion
from dtanalyze.devicetree.blob import parse
from dtanalyze.facts import CheckResult
from dtanalyze.linux.profile import PRESETS
from dtanalyze.rules.examples import host as board
from dtanalyze.rules.registry import ALL_RULES
from dtanalyze.xen.options import XenOptions
from dtanalyze.xen.profile import PRESETS as XEN
from tests.conftest import FIXTURES
from tests.linux.build import answer, guest, reg
from tests.trees import tree

S = 0x8000000
RULES = {item.code: item for item in ALL_RULES}
OF_XEN = " If Xen wrote this tree, check the tree that Xen booted with: that is the one to correct."


def device(start: int, size: int) -> str:
    return f'dev@{start:x} {{ compatible = "v,d"; {reg([(start, size)])} }};'


@pytest.mark.parametrize(
    ("region", "devices", "advice"),
    [
        (
            (0x80000000, 4 * S),
            [(0x91000000, 0x1000)],
            "Cut extended region 0 to 0x80000000-0x8fffffff and 0x98000000-0x9fffffff, the whole sections that nothing uses.",
        ),
        (
            (0x80000000, 2 * S),
            [(0x8FFFF000, 0x1000)],
            "Cut extended region 0 to 0x80000000-0x87ffffff, the whole sections that nothing uses.",
        ),
        (
            (0x80000000, S),
            [(0x80000000, 0x1000)],
            "Remove extended region 0: something uses a part of each of its sections.",
        ),
        (
            (0x80000000, 10 * S),
            [(0x80000000 + at * S, 0x1000) for at in (1, 3, 5, 7)],
            "Cut extended region 0 to 0x80000000-0x87ffffff and 0x90000000-0x97ffffff and 0xa0000000-0xa7ffffff and 2 more, "
            "the whole sections that nothing uses.",
        ),
    ],
    ids=["two pieces", "end", "nothing left", "five pieces"],
)
def test_a_region_is_cut_to_whole_free_sections(
    region: tuple[int, int], devices: list[tuple[int, int]], advice: str
) -> None:
    result = answer(guest([region], " ".join(device(*item) for item in devices)))
    assert {item.advice for item in result.findings if item.rule == "X01"} == {advice + OF_XEN}


def host(rule: str, **options: object) -> list[tuple[str, str]]:
    """Return what is advised about the bad tree of a rule of the host, by rule."""
    asked = CheckOptions(linux=PRESETS["6.12"])._replace(**options)  # type: ignore[arg-type]
    question = HostQuestion(asked, (PRESETS["6.12"],), (XEN["4.22"],), (True,), XenOptions())
    found = check_host(tree(RULES[rule].bad.dts), "host.dtb", question)
    return [(item.rule, item.advice) for result in found for item in result.findings]


def test_a_region_of_xen_over_a_node_that_it_does_not_see_is_cured_at_that_node() -> None:
    advised = dict(host("X35"))
    cure = 'Add `device_type = "pci";` to the node in the tree that Xen gets.'
    assert (advised["X35"], advised["X02"]) == (cure, f"Xen makes this region. {cure}")


def test_the_pool_is_computed() -> None:
    """256 pages for the vCPU, 256 for 256 MiB of RAM, 256 for 512 MiB of 2 MiB each: 768 pages of 4 KiB are 3 MiB."""
    advised = dict(host("D11", need=512 << 20 >> 12))
    assert advised["D11"].startswith("Set `xen,domain-p2m-mem-mb = <3>;` in the domain's node")


@pytest.mark.parametrize(
    ("words", "asked", "advice", "line"),
    [
        ("ext_regions=0 dom0_mem=1G", None, "Remove `ext_regions=0` from Xen's command line (xen,xen-bootargs of /chosen).", "dom0_mem=1G"),
        ("dom0_mem=1G no-ext_regions", None, "Remove `no-ext_regions` from Xen's command line (xen,xen-bootargs of /chosen).", "dom0_mem=1G"),
        ("ext_regions=1", False, "Leave out `--no-ext-regions`, unless Xen's command line has `ext_regions=0`.", None),
    ],
    ids=["=0", "no-", "asked"],
)  # fmt: skip
def test_what_switches_the_regions_off_is_named(words: str, asked: bool | None, advice: str, line: str | None) -> None:
    body = board(chosen=f'xen,xen-bootargs = "{words}";')
    question = HostQuestion(CheckOptions(), (PRESETS["6.12"],), (XEN["4.22"],), (None,), XenOptions(ext_regions=asked))
    (result,) = check_host(tree(body), "host.dtb", question)
    (found,) = [item for item in result.findings if item.rule == "X22"]
    assert found.advice == advice
    assert [item.value for item in (found.change,) if item] == ([line.encode() + b"\0"] if line else [])


def test_a_host_without_a_section_is_not_told_to_edit_regions_that_xen_makes() -> None:
    """And what it is told does what it says: with the option on Xen's line Linux balloons."""
    blob = (FIXTURES / "dtb" / "hosts" / "06c-1G-dom0-640M.dtb").read_bytes()

    def asked(**options: object) -> CheckResult:
        xen = XenOptions(**options)  # type: ignore[arg-type]
        question = HostQuestion(CheckOptions(linux=PRESETS["6.12"]), (PRESETS["6.12"],), (XEN["4.20"],), (None,), xen)
        (result,) = check_host(parse(blob), "host.dtb", question)
        return result

    result = asked()
    (found,) = [item for item in result.findings if item.rule == "X11"]
    assert result.verdict == "exhausted" and "Add a region" not in found.advice
    assert "add `ext_regions=0` to it, and Linux balloons" in found.advice
    assert asked(ext_regions=False).verdict == "balloon"


def test_the_size_that_was_tried_stands_for_the_advice_to_set_another() -> None:
    blob = (FIXTURES / "reports" / "first-bank-too-small" / "tree.dtb").read_bytes()
    question = HostQuestion(CheckOptions(), (PRESETS["6.12"],), (XEN["4.22"],), (None,), XenOptions())
    (result,) = check_host(parse(blob), "host.dtb", question)
    (found,) = [item for item in result.findings if item.rule == "B06"]
    assert found.advice.count("dom0_mem=") == 1 and found.advice.endswith("work with it. Or load a smaller ramdisk.")


@pytest.mark.parametrize(("place", "rules"), [("reg = <0x0 0x4a000000 0x0 0x1000>;", {"D21"}), ("", {"D01"})])
def test_a_module_that_xen_does_not_have_loses_no_command_line(place: str, rules: set[str]) -> None:
    """Another name of the domain's node would not help where the kernel's node has no reg."""
    module = f'linux {{ compatible = "multiboot,kernel", "multiboot,module"; bootargs = "rw"; {place} }};'
    cells = "#address-cells = <2>; #size-cells = <2>;"
    domain = f'guest@1 {{ compatible = "xen,domain"; {cells} memory = <0x0 0x40000>; cpus = <1>; {module} }};'
    question = HostQuestion(CheckOptions(), (PRESETS["6.12"],), (XEN["4.22"],), (None,), XenOptions())
    found = check_host(tree(board(chosen=domain)), "host.dtb", question)
    assert {item.rule for result in found for item in result.findings} & {"D01", "D21"} == rules


def test_one_region_is_not_none_of_the_1_regions() -> None:
    (found,) = [item for item in answer(guest([(0x80200000, 0xDE00000)])).findings if item.rule == "X11"]
    assert found.message == "the one extended region holds no aligned section of 128 MiB that this kernel can use"
