"""A recorded /proc/iomem as the iomem_resource view."""

from __future__ import annotations

import json

import pytest

from dtanalyze.analysis import CheckOptions, check
from dtanalyze.errors import InputError
from dtanalyze.linux.boot import Verdict
from dtanalyze.linux.proc_iomem import read_proc_iomem, system_ram
from dtanalyze.linux.resource import Resource
from tests.conftest import FIXTURES
from tests.linux.build import ROOT, answer, guest

RECORDS = {path.stem: json.loads(path.read_text()) for path in sorted((FIXTURES / "boots").glob("*.json"))}
BOOTS = [name for name, record in RECORDS.items() if record["outcome"] != "no-boot"]

SMALL = """\
08000000-0800ffff : GICD
09010000-09010fff : pl031@9010000
  09010000-09010fff : rtc-pl031
40000000-47ffffff : System RAM
  40000000-41d2ffff : Kernel code
48000000-4fffffff : Xen scratch
  48000000-480000ff : left behind
50000000-50000fff : reserved
"""


def lines_of(text: str) -> list[tuple[int, int, int, str]]:
    return [(depth, item.start, item.end, item.name) for depth, item in read_proc_iomem(text).walk()][1:]


def test_nesting_and_names() -> None:
    assert lines_of(SMALL) == [
        (1, 0x8000000, 0x800FFFF, "GICD"),
        (1, 0x9010000, 0x9010FFF, "pl031@9010000"),
        (2, 0x9010000, 0x9010FFF, "rtc-pl031"),
        (1, 0x40000000, 0x47FFFFFF, "System RAM"),
        (2, 0x40000000, 0x41D2FFFF, "Kernel code"),
        (1, 0x50000000, 0x50000FFF, "reserved"),
    ]


def test_the_root_and_what_is_system_ram() -> None:
    root = read_proc_iomem(SMALL)
    assert (root.start, root.end) == (0, (1 << 64) - 1)
    assert [item.name for _, item in root.walk() if item.system_ram] == ["System RAM"]
    assert [(item.start, item.stop) for item in system_ram(root)] == [(0x40000000, 0x48000000)]
    assert all(item.certain for _, item in root.walk())


def test_blank_lines_and_carriage_returns_do_not_matter() -> None:
    assert lines_of("\n" + SMALL.replace("\n", "\r\n") + "\n") == lines_of(SMALL)


@pytest.mark.parametrize("name", BOOTS)
@pytest.mark.parametrize("when", ["iomem_before", "iomem_after"])
def test_recorded_files_are_read_back(name: str, when: str) -> None:
    """Every line is there again, at its depth, in its order; only Xen's scratch ranges are left out."""
    lines = RECORDS[name][when]
    root = read_proc_iomem("\n".join(lines))
    made = [f"{'  ' * (depth - 1)}{item.start:08x}-{item.end:08x} : {item.name}" for depth, item in root.walk() if depth]
    assert made == [line for line in lines if not line.endswith(" : Xen scratch")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lists no range"),
        ("\n  \n", "lists no range"),
        ("48000000-4fffffff : Xen scratch\n", "lists no range"),
        ("hello\n", "line 1 is not one of /proc/iomem: 'hello'"),
        (SMALL + "60000000-zzzzzzzz : x\n", "line 9 is not one of /proc/iomem"),
        ("0-f : a\n\t10-1f : b\n", "line 2 is not one of /proc/iomem"),
        ("0000-00ff:System RAM\n", "line 1 is not one"),
        ("1000-0fff : a\n", "line 1: the range ends before it starts"),
        ("1000-1fff : a\n1800-27ff : b\n", "line 2: b does not fit between its neighbours"),
        ("1000-1fff : a\n  0800-17ff : b\n", "line 2: b does not fit between its neighbours"),
        ("1000-1fffffffffffffffff : a\n", "line 1: a does not fit"),
        ("00000000-00000000 : System RAM\n", "all its addresses are zero"),
        (
            "00000000-00000000 : GICD\n00000000-00000000 : System RAM\n  00000000-00000000 : Kernel code\n",
            "all its addresses are zero: it was read without privilege",
        ),
    ],
)
def test_what_is_no_proc_iomem(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_proc_iomem(text)


# What recorded claims change.


def recorded(*more: str) -> Resource:
    return read_proc_iomem("\n".join(["40000000-47ffffff : System RAM", *more]))


def test_a_recorded_claim_makes_a_hazard_a_conflict() -> None:
    device = "eth@102000000 { reg = <1 0x2000000 0 0x1000>; };"
    body = guest([(0x100000000, 0x8000000)], device)
    assert answer(body).verdict is Verdict.HAZARD
    assert answer(body, recorded=recorded("102000000-102000fff : eth")).verdict is Verdict.CONFLICT
    assert answer(body, recorded=recorded()).verdict is Verdict.HAZARD


def test_what_the_record_does_not_show_is_unclaimed_and_there() -> None:
    device = 'eth@102000000 { compatible = "arm,primecell"; reg = <1 0x2000000 0 0x1000>; };'
    body = guest([(0x100000000, 0x8000000)], device)
    assert answer(body).verdict is Verdict.CONFLICT
    result = answer(body, recorded=recorded())
    assert (result.verdict, result.sections) == (Verdict.HAZARD, 1)
    host = """pcie@2 { compatible = "pci-host-ecam-generic"; device_type = "pci"; #address-cells = <3>; #size-cells = <2>;
        reg = <0x40 0 0 0x1000000>; ranges = <0x02000000 0 0x2000000 1 0x2000000 0 0x1000>; };"""
    assert answer(guest([(0x100000000, 0x8000000)], host), recorded=recorded()).verdict is Verdict.HAZARD


# Whether it is of a boot with this tree at all.

TWO_BANKS = f"""memory@40000000 {{ device_type = "memory"; reg = <0 0x40000000 0 0x8000000 0 0x60000000 0 0x8000000>; }};
    reserved-memory {{ {ROOT} ranges; fw@44000000 {{ reg = <0 0x44000000 0 0x1000000>; no-map; }}; }};"""
FITTING = (
    "40000000-43ffffff : System RAM",
    "44000000-44ffffff : reserved",
    "45000000-47ffffff : System RAM",
    "60000000-67ffffff : System RAM",
)


def test_a_record_whose_ram_is_the_trees_fits() -> None:
    body = guest([(0x100000000, 0x10000000)], memory=TWO_BANKS)
    assert answer(body, recorded=read_proc_iomem("\n".join(FITTING))).verdict is Verdict.SCRATCH


@pytest.mark.parametrize(
    ("lines", "difference"),
    [
        (FITTING[:3], "the tree's System RAM 0x60000000-0x67ffffff is recorded as nothing"),
        (FITTING[1:], "the tree's System RAM 0x40000000-0x43ffffff is recorded as nothing"),
        (
            ("40000000-bfffffff : System RAM",),
            "the tree's System RAM 0x40000000-0x43ffffff is recorded as System RAM 0x40000000-0xbfffffff",
        ),
        (
            ("40000000-47ffffff : System RAM", FITTING[3]),
            "the tree's System RAM 0x40000000-0x43ffffff is recorded as System RAM 0x40000000-0x47ffffff",
        ),
        ((FITTING[0], *FITTING[2:]), "the tree's reserved 0x44000000-0x44ffffff is recorded as nothing"),
        (
            (*FITTING[:3], "60000000-60000fff : eth", "60001000-67ffffff : System RAM"),
            "the tree's System RAM 0x60000000-0x67ffffff is recorded as eth 0x60000000-0x60000fff, System RAM 0x60001000-0x67ffffff",
        ),
        ((*FITTING, "d8001000-d8001fff : System RAM"), "it has System RAM 0xd8001000-0xd8001fff, which the tree has not"),
        ((*FITTING, "90000000-97ffffff : reserved"), "it has reserved 0x90000000-0x97ffffff, which the tree has not"),
    ],
    ids=[
        "cut",
        "another board",
        "without Xen",
        "no-map mapped",
        "no-map missing",
        "cut by a device",
        "a page more",
        "no-map more",
    ],
)
def test_a_record_of_another_boot_is_refused_with_the_first_difference(lines: tuple[str, ...], difference: str) -> None:
    body = guest([(0x100000000, 0x10000000)], memory=TWO_BANKS)
    with pytest.raises(InputError) as caught:
        answer(body, recorded=read_proc_iomem("\n".join(lines)))
    assert difference in str(caught.value)
    assert "as root" in str(caught.value)


def test_ram_that_the_balloon_hotplugged_is_said() -> None:
    body = guest([(0x100000000, 0x10000000)], memory=TWO_BANKS)
    more = (*FITTING, "80000000-8fffffff : System RAM")
    result = answer(body, recorded=read_proc_iomem("\n".join(more)))
    assert "RAM recorded beyond the tree's, hot-plugged by the balloon driver: 0x80000000-0x8fffffff" in result.assumed


@pytest.mark.parametrize("name", BOOTS)
@pytest.mark.parametrize("when", ["iomem_before", "iomem_after"])
def test_every_recorded_boot_fits_its_own_tree(name: str, when: str) -> None:
    blob = (FIXTURES / "dtb" / "boots" / f"{name}.dtb").read_bytes()
    kind = "dom0" if RECORDS[name]["guest"] == "dom0" else "domu"
    asked = CheckOptions(tree=kind, recorded=read_proc_iomem("\n".join(RECORDS[name][when])))
    assert check(blob, name, asked)


def test_a_record_of_another_of_the_boots_does_not_fit() -> None:
    blob = (FIXTURES / "dtb" / "boots" / "01-dom0-x420-l612.dtb").read_bytes()
    other = read_proc_iomem("\n".join(RECORDS["05b-2banks-rsv"]["iomem_before"]))
    with pytest.raises(InputError, match="not of a boot with this tree"):
        check(blob, "01", CheckOptions(tree="dom0", recorded=other))


def test_recorded_ram_serves_where_the_tree_lists_none() -> None:
    body = guest([(0x100000000, 0x8000000)], memory="")
    assert answer(body).verdict is Verdict.UNKNOWN
    assert answer(body, recorded=recorded()).verdict is Verdict.SCRATCH


def test_one_recorded_tree_serves_several_questions() -> None:
    shared = recorded()
    body = guest([(0x100000000, 0x10000000)])
    first = answer(body, recorded=shared, requests=(1,))
    second = answer(body, recorded=shared, requests=(1,))
    assert first.answer is not None
    assert second.answer is not None
    assert first.answer.requests == second.answer.requests
    assert len(shared.children) == 1
