"""Where the command lines stand, and what each word of Xen's is: by boot_cmdline_find_by_kind, write_properties, parse_params."""

from __future__ import annotations

import pytest

from dtanalyze.devicetree.blob import parse
from dtanalyze.xen.command_line import dom0_command_line, xen_command_line
from dtanalyze.xen.known_options import words_of
from dtanalyze.xen.options import XenOptions
from dtanalyze.xen.parse_params import parse_bootargs
from dtanalyze.xen.predict import predict, prepare
from dtanalyze.xen.profile import preset
from tests.xen.build import blob
from tests.xen.test_start_xen import CPUS, GICV3, HEAD, TIMER

KERNEL = 'm@1 {{ compatible = "multiboot,kernel", "multiboot,module"; reg = <0 1>; bootargs = "{}"; }};'


@pytest.mark.parametrize(
    ("chosen", "text", "where"),
    [
        ('xen,dom0-bootargs = "a"; bootargs = "b";' + KERNEL.format("c"), "a", "xen,dom0-bootargs of /chosen"),
        ('bootargs = "b";' + KERNEL.format("c"), "c", "bootargs of /chosen/m@1"),
        ('bootargs = "b";' + KERNEL.format(""), "b", "bootargs of /chosen"),
        ('xen,xen-bootargs = "x"; bootargs = "b";', "b", "bootargs of /chosen"),
        ('xen,xen-bootargs = "x";', "", ""),
    ],
)
def test_where_dom0s_line_stands(chosen: str, text: str, where: str) -> None:
    assert dom0_command_line(parse(blob(f"chosen {{ {chosen} }};"))) == (text, where)


def test_where_xens_line_stands() -> None:
    tree = parse(blob('chosen { xen,xen-bootargs = "x"; bootargs = "b"; };'))
    assert xen_command_line(tree) == ("x", "xen,xen-bootargs of /chosen")
    assert xen_command_line(parse(blob('chosen { bootargs = "b"; };'))) == ("", "")
    assert xen_command_line(parse(blob("a { };"))) == ("", "")
    assert dom0_command_line(parse(blob("a { };"))) == ("", "")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("dom0_mem=640M no-dom0_mem", 0),  # booted: "PLEASE SPECIFY dom0_mem PARAMETER", its reader was handed the word no
        ("dom0_mem=640M no-dom0_mem=1G", 640 << 20),
        ("dom0_mem=640M dom0_mem", 0),
        ("dom0_mem=640M dom0_mem[=1G", 640 << 20),
    ],
)
def test_no_before_what_has_a_reader_of_its_own(text: str, size: int) -> None:
    assert parse_bootargs(text).dom0_mem == size


@pytest.mark.parametrize(
    ("text", "vcpus"),
    [
        ("dom0_max_vcpus=2", 2),
        ("dom0_max_vcpus=2x", 2),  # complained of, and taken
        ("dom0_max_vcpus=0x10", 16),
        ("dom0_max_vcpus=010", 8),
        ("dom0_max_vcpus=4294967296", None),  # beyond 32 bits: not taken
        ("dom0_max_vcpus=3 dom0_max_vcpus=4294967296", 3),
        ("dom0_max_vcpus=18446744073709551618", 2),  # wraps at 64 bits first
        ("dom0_max_vcpus=-1", 0xFFFFFFFF),
        ("dom0_max_vcpus=3 dom0_max_vcpus=5", 5),
        ("no-dom0_max_vcpus=3", 3),  # booted: parse_params turns round booleans only
        ("dom0_max_vcpus=2\tdom0_max_vcpus=4", 2),  # only blanks part words
    ],
)
def test_a_number_of_32_bits(text: str, vcpus: int | None) -> None:
    assert parse_bootargs(text).dom0_max_vcpus == vcpus


@pytest.mark.parametrize(
    ("text", "pages"),
    [
        ("badpage=0x3f45,0x8a321", ((0x3F45, 0x3F46), (0x8A321, 0x8A322))),  # as page_alloc.c shows it
        ("badpage=0x60000-0x7ffff", ((0x60000, 0x80000),)),
        ("badpage=0x20-0x10,010", ((0x20, 0x21), (8, 9))),
        ("badpage=5,6x,7", ((5, 6),)),  # what is no number ends it
        ("badpage=5,,", ((5, 6), (0, 1))),
        ("badpage=5 badpage=6", ((6, 7),)),
        ("badpage=" + "0" * 98 + "7" + "7", ((7, 8),)),  # 99 characters are kept
        ("no-badpage=5", ((5, 6),)),  # a string is taken as it is
    ],
)
def test_pages_that_are_bad(text: str, pages: tuple[tuple[int, int], ...]) -> None:
    assert parse_bootargs(text).bad_pages == pages


def test_each_word_is_named() -> None:
    found = words_of("dom0_mem=1G  no-sync_console buddy-alloc-size=64K dom0_men=1G no-hmp-unsafe zzzzzzzz")
    assert [(word.name, word.standing, word.near) for word in found] == [
        ("dom0_mem", "modelled", ""),
        ("sync_console", "harmless", ""),
        ("buddy-alloc-size", "not modelled", ""),
        ("dom0_men", "unknown", "dom0_mem"),
        ("hmp-unsafe", "modelled", ""),
        ("zzzzzzzz", "unknown", ""),
    ]


def assumed(chosen: str, cpus: str = CPUS) -> tuple[str, ...]:
    tree = parse(blob(HEAD + cpus + TIMER + GICV3 + f"chosen {{ {chosen} }};"))
    return predict(prepare(tree, XenOptions()), preset("4.22"), XenOptions())[0].assumed


def test_the_lines_are_quoted_with_their_place() -> None:
    notes = assumed('xen,xen-bootargs = "dom0_mem=1G buddy-alloc-size=64K"; xen,dom0-bootargs = "quiet";')
    assert 'Xen\'s command line: "dom0_mem=1G buddy-alloc-size=64K" (xen,xen-bootargs of /chosen)' in notes
    assert 'dom0\'s command line: "quiet" (xen,dom0-bootargs of /chosen)' in notes
    assert "not modelled of Xen's command line: buddy-alloc-size=64K" in notes
    assert "Xen's command line: none in /chosen" in assumed('bootargs = "quiet";')


TWO_KINDS = """cpus { #address-cells = <1>; #size-cells = <0>;
    cpu@0 { device_type = "cpu"; compatible = "arm,cortex-a53"; reg = <0>; };
    cpu@1 { device_type = "cpu"; compatible = "arm,cortex-a53"; reg = <1>; };
    cpu@100 { device_type = "cpu"; compatible = "arm,cortex-a72"; reg = <256>; }; };"""


@pytest.mark.parametrize(
    ("line", "count"),
    [("", 2), ("hmp-unsafe", 3), ("hmp-unsafe=0", 2), ("maxcpus=1", 1), ("maxcpus=0", 2), ("maxcpus=8", 2)],
)
def test_cpus_that_xen_uses(line: str, count: int) -> None:
    """start_secondary (arch/arm/smpboot.c) turns a CPU of another kind away, unless hmp-unsafe is set."""
    tree = parse(blob(HEAD + TWO_KINDS + TIMER + GICV3 + f'chosen {{ xen,xen-bootargs = "{line}"; }};'))
    found = predict(prepare(tree, XenOptions()), preset("4.22"), XenOptions())[0]
    assert found.blob is not None
    cpus = parse(found.blob).root.child("cpus")
    assert cpus is not None and len(cpus.children) == count
