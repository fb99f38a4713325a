"""A recorded /proc/iomem as the iomem_resource view."""

from __future__ import annotations

import json

import pytest

from dtanalyze.errors import InputError
from dtanalyze.linux.boot import Verdict
from dtanalyze.linux.proc_iomem import read_proc_iomem, system_ram
from dtanalyze.linux.resource import Resource
from tests.conftest import FIXTURES
from tests.linux.build import answer, guest

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


def test_a_claim_that_the_record_does_not_show_is_none() -> None:
    device = 'eth@102000000 { compatible = "arm,primecell"; reg = <1 0x2000000 0 0x1000>; };'
    body = guest([(0x100000000, 0x8000000)], device)
    assert answer(body).verdict is Verdict.CONFLICT
    assert answer(body, recorded=recorded()).verdict in (Verdict.HAZARD, Verdict.SCRATCH)


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
