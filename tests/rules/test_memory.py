"""RAM and reservations that overlap: each pair is named, in one node too."""

from __future__ import annotations

from dtanalyze.analysis.host import check_host
from dtanalyze.analysis.questions import CheckOptions, HostQuestion
from dtanalyze.findings import Finding
from dtanalyze.linux.profile import PRESETS as LINUX
from dtanalyze.xen.profile import preset
from tests.linux.build import answer, guest
from tests.xen.build import host


def said(findings: tuple[Finding, ...], rule: str) -> list[str]:
    return [item.message for item in findings if item.rule == rule]


def of_host(body: str, release: str = "4.20") -> tuple[Finding, ...]:
    options = CheckOptions(linux=LINUX["6.12"])
    (result,) = check_host(host(body), "board.dtb", HostQuestion(options, (options.linux,), (preset(release),)))
    return result.findings


def test_a_bank_that_holds_two_others() -> None:
    memory = """memory@40000000 { device_type = "memory"; reg = <0 0x40000000 0 0x40000000>; };
        memory@48000000 { device_type = "memory"; reg = <0 0x48000000 0 0x8000000>; };
        memory@60000000 { device_type = "memory"; reg = <0 0x60000000 0 0x8000000>; };
        memory@80000000 { device_type = "memory"; reg = <0 0x80000000 0 0x8000000>; };"""
    found = said(answer(guest([(0x100000000, 0x10000000)], memory=memory)).findings, "X40")
    assert found == [
        "/memory@48000000 [0x48000000-0x4fffffff] overlaps /memory@40000000 [0x40000000-0x7fffffff]",
        "/memory@60000000 [0x60000000-0x67ffffff] overlaps /memory@40000000 [0x40000000-0x7fffffff]",
    ]


RESERVED = "reserved-memory {{ #address-cells = <2>; #size-cells = <2>; ranges; {} }};"


def test_reservations_of_one_node_that_overlap() -> None:
    body = RESERVED.format("one@50000000 { reg = <0 0x50000000 0 0x2000>, <0 0x50001000 0 0x2000>; };")
    assert said(of_host(body), "X39") == [
        "/reserved-memory/one@50000000 (reg[1]) [0x50001000-0x50002fff] overlaps /reserved-memory/one@50000000 "
        "[0x50000000-0x50001fff]"
    ]
    assert said(of_host(body.replace("50001000", "50002000")), "X39") == [], "they touch, no more"


def test_both_sides_of_two_reservations_are_named_with_their_property() -> None:
    body = RESERVED.format(
        "one@50000000 { reg = <0 0x50000000 0 0x2000>; }; two@50001000 { reg = <0 0x50001000 0 0x2000>; };"
    )
    (text,) = said(of_host(body), "O03")
    assert text == (
        "/reserved-memory/two@50001000 (reg[0]) [0x50001000-0x50002fff] overlaps "
        "/reserved-memory/one@50000000 (reg[0]) [0x50000000-0x50001fff]"
    )
