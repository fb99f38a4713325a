"""The picture: lines drawn by hand, pages for a guest, a host and a sweep, and names that cannot break out of any of them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from dtanalyze.address.range import AddressRange, RawRange
from dtanalyze.analysis import CheckOptions, HostQuestion, check
from dtanalyze.causes import folded
from dtanalyze.cli import main
from dtanalyze.facts import CheckResult
from dtanalyze.linux.boot import Verdict
from dtanalyze.linux.profile import PRESETS
from dtanalyze.report.picture.claims import claims
from dtanalyze.report.picture.guest import letter
from dtanalyze.report.picture.html import picture_html
from dtanalyze.report.picture.marks import LETTERS
from dtanalyze.report.picture.scene import Scene, scene
from dtanalyze.report.picture.svg import picture_svg
from dtanalyze.report.picture.terminal import picture_text
from dtanalyze.report.pieces import pieces
from dtanalyze.report.style import TERMINAL
from dtanalyze.xen.profile import preset
from tests.conftest import FIXTURES
from tests.trees import dtb

BOOTS = FIXTURES / "dtb" / "boots"
HOSTS = FIXTURES / "dtb" / "hosts"
GIB = 1 << 30


def recorded(name: str) -> Scene:
    (result,) = check((BOOTS / f"{name}.dtb").read_bytes(), f"{name}.dtb", CheckOptions(linux=PRESETS["6.12"]))
    return scene(folded(result))


def made(body: str, path: str = "a.dtb") -> CheckResult:
    text = "#address-cells = <2>; #size-cells = <2>; " + body
    (result,) = check(dtb(text), path, CheckOptions(linux=PRESETS["6.12"], tree="domu"))
    return folded(result)


def of_host(name: str, *releases: str) -> tuple[Scene, ...]:
    options = CheckOptions(linux=PRESETS["6.12"])
    question = HostQuestion(options, (options.linux,), tuple(map(preset, releases)))
    return tuple(scene(folded(item)) for item in check((HOSTS / f"{name}.dtb").read_bytes(), "host.dtb", options, question))


HYPERVISOR = """hypervisor {{ compatible = "xen,xen-4.22", "xen,xen";
    reg = <0 0x38000000 0 0x1000000>, <0 0x80000000 0 {size}>; }};
    memory@40000000 {{ device_type = "memory"; reg = <0 0x40000000 0 0x40000000>; }};"""


# ---- pieces and lines, worked out by hand ----


def test_lines_of_a_hand_drawn_tree() -> None:
    """Sections of 128 MiB, lines of 2 GiB: RAM and the table in the first, one section and 32 MiB lost in the second."""
    body = (
        HYPERVISOR.format(size="0xa000000")
        + "a@1000000 { reg = <0 0x1000000 0 0x1000>; }; b@1200000000 { reg = <0x12 0 0 0x1000>; };"
    )
    drawn = scene(made(body))
    assert drawn.line_size == 2 * GIB
    assert [(line.start, line.times, line.gap) for line in drawn.lines] == [
        (0, 1, 0),
        (2 * GIB, 1, 0),
        (0x1200000000, 1, 0x1200000000 - 4 * GIB),
    ]
    first, second, third = drawn.lines
    assert [(item.kind, *first.place(item)) for item in first.upper] == [("grant", 0x38 / 128, 0x39 / 128)]
    assert [(item.kind, *second.place(item)) for item in second.upper] == [
        ("scratch", 0, 1 / 16),
        ("lost", 1 / 16, 10 / 128),
    ]
    assert [(item.label, first.place(item)[0]) for item in first.lower] == [("a@1000000 ?", 1 / 128), ("RAM", 0.5)]
    assert [item.label for item in third.lower] == ["b@1200000000 ?"]


def test_lines_that_are_alike_are_drawn_once() -> None:
    body = HYPERVISOR.format(size="0").replace("0 0x80000000 0 0", "1 0 0x7f 0")
    first, rest = scene(made(body)).lines
    assert (first.start, first.times) == (0, 1)
    assert (rest.start, rest.times) == (4 * GIB, 0x7F00000000 // (2 * GIB))
    assert rest.place(rest.upper[0]) == (0.0, 1.0)


def test_two_million_sections_are_few_lines() -> None:
    body = HYPERVISOR.format(size="0").replace("0 0x80000000 0 0", "1 0 0x7fff 0")
    drawn = scene(made(body))
    assert len(drawn.lines) < 5 and len(picture_html((drawn,))) < 60_000
    assert len(picture_text(drawn).splitlines()) < 60


def test_a_page_of_sections_that_share_no_line() -> None:
    names = [letter(number) for number in (0, 25, 26, 51, 52, 701, 702)]
    assert names == ["A", "Z", "AA", "AZ", "BA", "ZZ", "AAA"]


def test_what_the_linear_map_does_not_reach() -> None:
    assert {item.kind for item in pieces(recorded("11i9-below-memstart").result)} >= {"outside"}
    cut = made(HYPERVISOR.format(size="0xa000000").replace("0x80000000 0 0xa", "0x3c000000 0 0x4"))
    assert [(item.range.size, item.label) for item in pieces(cut)] == [
        (0x1000000, "grant table"),
        (0x4000000, "outside the linear map"),
    ]


def test_sections_are_numbered_in_the_order_taken() -> None:
    found = [
        (item.kind, item.first, item.last) for item in pieces(recorded("09a-noiommu-rogue-in-ram").result) if item.first
    ]
    assert found == [("scratch", 1, 2), ("scratch", 3, 4), ("hazard", 5, 5), ("scratch", 6, 9)]


def test_a_refusal_and_what_is_never_reached() -> None:
    found = [(item.kind, item.label) for item in pieces(recorded("11e3-ram-first-then-free").result)]
    assert found == [("grant", "grant table"), ("refused", "refused because of System RAM"), ("unreached", "never reached")]


def test_regions_that_are_not_used() -> None:
    assert {item.kind for item in pieces(recorded("11d-overlap").result)} == {"grant", "unreached"}


def test_two_devices_that_overlap_in_part_are_both_there() -> None:
    """In JSON's view, in --list and in the picture: a driver of each may claim its registers."""
    body = (
        HYPERVISOR.format(size="0x8000000")
        + "a@1000000 { reg = <0 0x1000000 0 0x2000>; }; b@1001000 { reg = <0 0x1001000 0 0x2000>; };"
    )
    result = made(body)
    view = result.iomem_view
    assert view is not None and [child.name for child in view.children[:2]] == ["a@1000000", "b@1001000"]
    assert [item.name for item in claims(result)[:2]] == ["a@1000000", "b@1001000"]


# ---- causes ----


def test_a_cause_is_named_on_map_row_and_card() -> None:
    drawn = recorded("09a-noiommu-rogue-in-ram")
    (key,) = [card.key for card in drawn.cards if card.findings[0].rule == "X01"]
    kinds = {item.kind for item in drawn.places_of(drawn.cards[0])}
    assert key == "E1" and {"hazard", "device"} <= kinds
    page = picture_html((drawn,))
    (card,) = re.findall(r'<article class="card cE" id="(d[0-9a-f]{8}-E1)">', page)
    assert page.count(f'href="#{card}"') >= 4, "the sentence, the mark above the line, and two rows lead to the card"
    for target in re.findall(r'href="#([^"]+)"', page):
        assert page.count(f'id="{target}"') == 1, target


def test_names_of_places_are_unique_in_a_notebook() -> None:
    both = "".join(picture_html((recorded(name),), fragment=True) for name in ("11e-is-ram", "01-dom0-x420-l612"))
    names = re.findall(r' id="([^"]+)"', both)
    assert len(names) == len(set(names)) > 5


# ---- pages ----


def test_a_host_page_keeps_two_kinds_of_address_apart() -> None:
    page = picture_html(of_host("07a-domU-256M", "4.17"))
    for words in ("Who takes the", "Machine addresses", "What each domain sees", "Boot module", "section by section"):
        assert words in page
    assert page.index("Machine addresses") < page.index("What each domain sees")


def test_where_xen_stops_is_drawn() -> None:
    """What was read, the node that stops the scan, and what is never seen, in the order of the tree."""
    tree = dtb(
        "#address-cells = <2>; #size-cells = <2>; chosen { #address-cells = <2>; #size-cells = <2>; m@48000000 {"
        ' compatible = "multiboot,kernel", "multiboot,module"; reg = <0 0x48000000 0 0x1000>; }; };'
        " reserved-memory { #address-cells = <2>; #size-cells = <2>; ranges;"
        " a@50000000 { reg = <0 0x50000000 0 0x2000>; }; b@50001000 { reg = <0 0x50001000 0 0x1000>; };"
        " c@60000000 { reg = <0 0x60000000 0 0x1000>; }; };"
        ' memory@40000000 { device_type = "memory"; reg = <0 0x40000000 0 0x40000000>; };'
    )
    options = CheckOptions(linux=PRESETS["6.12"])
    (result,) = check(tree, "host.dtb", options, HostQuestion(options, (options.linux,), (preset("4.18"),)))
    assert result.verdict is Verdict.NO_BOOT and result.host is not None
    assert result.host.scan[0].ranges == (RawRange(0x48000000, 0x1000),), "/chosen has no ranges, and the scan asks for none"
    assert [(item.node.rpartition("/")[2], item.state) for item in result.host.scan] == [
        ("m@48000000", "read"),
        ("a@50000000", "read"),
        ("b@50001000", "stops"),
        ("c@60000000", "not seen"),
        ("memory@40000000", "not seen"),
    ]
    page = picture_html((scene(folded(result)),))
    assert page.index("✕ stops") < page.index("not seen") and "The place, to scale" in page


GIC = (
    'interrupt-parent = <1>; gic@8000000 { compatible = "arm,gic-v3"; #interrupt-cells = <3>; interrupt-controller;'
    " phandle = <1>; reg = <0 0x8000000 0 0x10000>, <0 0x80a0000 0 0xf60000>; interrupts = <1 9 4>; };"
    ' timer { compatible = "arm,armv8-timer"; interrupts = <1 13 8>, <1 14 8>, <1 11 8>, <1 10 8>; };'
)
BUSY = (
    ' uart@9000000 { compatible = "arm,pl011"; reg = <0 0x9000000 0 0x1000>; interrupts = <0 121 4>; };'
    " a@9001000 { reg = <0 0x9001000 0 0x1000>; }; b@9002000 { reg = <0 0x9002000 0 0x1000>; %s };"
    ' c@9003000 { status = "disabled"; reg = <0 0x9003000 0 0x1000>; };'
    ' chosen { #address-cells = <2>; #size-cells = <2>; stdout-path = "/uart@9000000"; %s %s };'
)
DOM0 = 'm@4a000000 { compatible = "multiboot,kernel", "multiboot,module"; reg = <0 0x4a000000 0 0x10000>; };'
GUESTS = (
    'one { compatible = "xen,domain"; #address-cells = <2>; #size-cells = <2>; memory = <0 0x8000>; cpus = <1>;'
    ' m@48000000 { compatible = "multiboot,kernel", "multiboot,module"; reg = <0 0x48000000 0 0x10000>; }; };'
    ' two { compatible = "xen,domain"; cpus = <1>; }; three { compatible = "xen,domain"; cpus = <1>; };'
)


@pytest.mark.parametrize(
    ("board", "done", "stops", "undone"),
    [
        # b asks for the console's interrupt: c, whatever its status, and the domains are never come to.
        (GIC + BUSY % ("interrupts = <0 121 4>;", DOM0, GUESTS), "a", "b", "c one two three"),
        # All devices are dom0's, one is built, two has no memory.
        (GIC + BUSY % ("", DOM0, GUESTS), "a b c one", "two", "three"),
        # Without a kernel for dom0 nobody gets the devices.
        (GIC + BUSY % ("interrupts = <0 121 4>;", "", GUESTS), "one", "two", "three"),
        # Without an interrupt controller nothing is built, and no node is to blame.
        (BUSY % ("", DOM0, GUESTS), "", "", "a b c one two three"),
    ],
)
def test_what_xen_never_comes_to_once_its_scan_is_done(board: str, done: str, stops: str, undone: str) -> None:
    head = (
        "#address-cells = <2>; #size-cells = <2>; cpus { #address-cells = <1>; #size-cells = <0>;"
        ' cpu@0 { device_type = "cpu"; compatible = "arm,cortex-a53"; reg = <0>; }; };'
        ' memory@40000000 { device_type = "memory"; reg = <0 0x40000000 0 0x40000000>; };'
    )
    options = CheckOptions(linux=PRESETS["6.12"])
    results = check(dtb(head + board), "host.dtb", options, HostQuestion(options, (options.linux,), (preset("4.22"),)))
    assert results[0].host is not None
    reached = [(item.node.rpartition("/")[2].partition("@")[0], item.state) for item in results[0].host.scan]
    assert reached == [
        *((name, "read") for name in done.split()),
        *((name, "stops") for name in stops.split()),
        *((name, "not seen") for name in undone.split()),
    ]
    page = picture_html(tuple(scene(folded(item)) for item in results))
    assert page.index("✕ stops") < page.index("not reached</b>")
    text = " ".join(picture_text(scene(folded(results[0]))).split())
    assert "Xen never comes to: " in text and text.index("never comes to") < text.index("/chosen/three (--html lists them).")


def test_the_device_over_which_xen_stops_has_the_thick_edge() -> None:
    """IRQ of the console: Xen stops at the second UART, and nothing else on the page is drawn as it is."""
    path = FIXTURES / "dtb" / "boards" / "freescale-fsl-ls1028a-kontron-sl28-var2.dtb"
    options = CheckOptions(linux=PRESETS["6.12"], memory=(AddressRange(0x80000000, 2 * GIB),))
    (result,) = check(path.read_bytes(), path.name, options, HostQuestion(options, (options.linux,), (preset("4.22"),)))
    assert result.host is not None and result.host.stop_node is not None
    page = picture_html((scene(folded(result)),))
    assert re.findall(r'class="b k-refused"[^>]*title="([^:]*): here Xen stops', page) == [result.host.stop_node]


@pytest.mark.parametrize(("name", "told"), [("01-dom0-x420-l612", False), ("09a-noiommu-rogue-in-ram", True)])
def test_what_to_do_stands_first_where_something_is_wrong(name: str, told: bool) -> None:
    """The first tree works, and its warning has a card."""
    drawn = recorded(name)
    assert drawn.cards and ('class="do"' in picture_html((drawn,))) is told


def test_a_sweep_is_a_matrix_worst_first() -> None:
    options = CheckOptions(linux=PRESETS["6.12"])
    kernels = tuple(PRESETS[name] for name in ("5.16", "6.12"))
    question = HostQuestion(options, kernels, (preset("4.18"), preset("4.22")), (False, True))
    results = check((HOSTS / "01-dom0-x420-l612.dtb").read_bytes(), "host.dtb", options, question)
    page = picture_html(tuple(scene(folded(item)) for item in results))
    assert page.count('<table class="mx">') == 2, "one for each setting of the IOMMU"
    assert page.count('<th scope="row">5.16</th>') == 2 and len(page) < 1_000_000
    letters = re.findall(r'<a class="(\w)" href="#[^"]+" title="Xen (\S+), Linux (\S+):', page)
    assert len(letters) == len(results) and {letter for letter, _, linux in letters if linux == "5.16"} == {"B"}
    assert page.index('class="v sm B"') < page.index('class="v sm S"')


def test_every_verdict_has_a_letter_of_its_own() -> None:
    assert len(set(LETTERS.values())) == len(Verdict)


def test_the_page_needs_nothing_from_outside() -> None:
    page = picture_html((recorded("01-dom0-x420-l612"),))
    outside = page.replace("https://github.com/dtanalyze/dtanalyze/blob/main/docs/rules.md", "#rules")
    for word in ("http://", "https://", "src=", "@import", "url("):
        assert word not in outside, word
    assert page == picture_html((recorded("01-dom0-x420-l612"),)), "the same bytes for the same question"
    inner = picture_html((recorded("01-dom0-x420-l612"),), fragment=True)
    assert inner.startswith('<div class="dtanalyze">') and "<html" not in inner


def test_cards_lead_to_the_rules() -> None:
    assert "docs/rules.md#x03" in picture_html((recorded("11e-is-ram"),))


def test_a_result_without_a_kernels_answer() -> None:
    (drawn,) = of_host("15a-untranslatable-x420", "4.20")
    text = picture_text(drawn)
    assert text.startswith("NO-BOOT") and "Unable to retrieve address" in " ".join(text.split())
    bare = scene(drawn.result._replace(grant_table=None, extended_regions=(), ram=(), host=None))
    assert "nothing to draw" in picture_text(bare)
    assert "no-boot" in picture_html((bare,))


def test_a_chain_of_buses_is_told() -> None:
    board = FIXTURES / "dtb" / "boards" / "broadcom-bcm2711-rpi-4-b.dtb"
    (result,) = check(board.read_bytes(), "rpi4.dtb", CheckOptions(linux=PRESETS["6.12"], tree="dom0"))
    body = HYPERVISOR.format(size="0x8000000") + (
        'soc { compatible = "simple-bus"; #address-cells = <1>; #size-cells = <1>; ranges = <0x10000000 0 0x80000000 0x1000>;'
        " x@10000800 { reg = <0x10000800 0x100>; }; };"
    )
    assert "0x10000800 on /soc -&gt; 0x80000800 on /" in picture_html((scene(made(body)),))
    assert scene(result).claims


# ---- the terminal ----


def test_the_terminal_picture() -> None:
    """Four characters a section at 80 columns: RAM of 512 MiB at 1.5 GiB is the last quarter of the first line."""
    lines = picture_text(recorded("01-dom0-x420-l612")).splitlines()
    (sections,) = [line for line in lines if line.startswith("0x0 ") and "[ 1]" in line]
    assert sections[16:].index("[ 1]") == 4 * (0x48000000 // 0x8000000)
    ram = lines[lines.index(sections) + 1]
    assert ram.startswith(" " * 14 + "I ") and ram[16:].index("M") == 48 and ram[64:80] == "M" * 16
    assert "\x1b[" in picture_text(recorded("11e-is-ram"), style=TERMINAL)


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("name", ["01-dom0-x420-l612", "09a-noiommu-rogue-in-ram", "11e-is-ram", "11i9-below-memstart"])
def test_the_terminal_picture_fits(name: str, width: int) -> None:
    lines = picture_text(recorded(name), width=width).splitlines()
    assert max(map(len, lines)) <= max(width, 48), "no narrower than two characters a section"


def test_a_section_over_something_is_drawn_as_such() -> None:
    text = picture_text(recorded("09a-noiommu-rogue-in-ram"))
    assert "! 5!" in text and "x 1x" in picture_text(recorded("11e-is-ram"))


# ---- what others wrote ----

EVIL = '<script>alert("1")</script>&\'\x07'


def test_names_cannot_break_out() -> None:
    body = HYPERVISOR.format(size="0x10000000") + "x@84000000 { reg = <0 0x84000000 0 0x1000>; };"
    result = made(body, path=f"{EVIL}.dtb")
    findings = tuple(item._replace(node=EVIL, message=EVIL, advice=EVIL) for item in result.findings)
    evil = result._replace(findings=findings, reason=EVIL, domain=EVIL)
    drawn = scene(evil)
    drawn.claims = tuple(item._replace(name=EVIL, node=EVIL) for item in drawn.claims)
    page = picture_html((drawn, drawn))
    assert page.count("<script>") == 1 and "alert(&quot;1&quot;)" in page and "\x07" not in page
    picture = picture_svg(drawn)
    assert "<script>" not in picture and "\x07" not in picture
    ElementTree.fromstring(picture)
    assert "\x07" not in picture_text(drawn)


def test_svg_is_a_document_with_every_section() -> None:
    drawn = recorded("09a-noiommu-rogue-in-ram")
    top = ElementTree.fromstring(picture_svg(drawn))
    titles = [item.text for item in top.iter("{http://www.w3.org/2000/svg}title")]
    assert [f"section {number}" for number in range(1, 10)] == [
        item for item in titles if item and item.startswith("section")
    ]


# ---- the command, and the JSON that a page is made of ----


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main([*argv])
    printed = capsys.readouterr()
    return (left.value.code if isinstance(left.value.code, int) else 0), printed.out, printed.err


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree, host = str(BOOTS / "01-dom0-x420-l612.dtb"), str(HOSTS / "01-dom0-x420-l612.dtb")
    page, picture = tmp_path / "map.html", tmp_path / "map.svg"
    assert run(capsys, "map", tree, "--html", str(page), "--svg", str(picture)) == (0, "", "")
    assert page.read_text().startswith("<!doctype html>") and picture.read_text().startswith("<svg ")
    assert run(capsys, "map", tree, "--svg", "-")[1].startswith("<svg ")
    assert 'class="mx"' in run(capsys, "map", host, "--xen", "4.20,4.22", "--html", "-")[1]
    status, _, err = run(capsys, "map", host, "--xen", "4.20,4.22", "--svg", "-")
    assert status == 2 and "--svg draws one result, these are 2" in err
    assert "No such file" in run(capsys, "map", tree, "--html", str(tmp_path / "no" / "map.html"))[2]
    assert "is an input, which is never written" in run(capsys, "map", tree, "--html", tree)[2]
    assert "  000000000" in run(capsys, "map", tree, "--list")[1]


@pytest.mark.parametrize("option", ["--html", "--svg"])
def test_what_cannot_be_read_is_said_and_no_empty_picture_is_written(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken, out = tmp_path / "broken.dtb", tmp_path / "out"
    broken.write_bytes(b"")
    status, _, err = run(capsys, "map", str(broken), option, str(out))
    assert (status, out.exists()) == (2, False)
    assert err == f"dtanalyze: {broken}: the file is empty, not a flattened devicetree (at byte offset 0x0)\n"
    good = str(BOOTS / "01-dom0-x420-l612.dtb")
    assert (run(capsys, "map", str(broken), good, option, str(out))[0], out.exists()) == (2, True)


def test_json_has_what_a_page_needs(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(
        capsys, "check", str(HOSTS / "07a-domU-256M.dtb"), "--xen", "4.17", "--linux", "6.12", "--format", "json"
    )
    (result,) = json.loads(out)["results"]
    assert result["section_runs"][-1]["state"] == "scratch"
    orders = [item["order"] for item in result["section_runs"] if item["order"]]
    assert orders[0][0] == 1 and orders[-1][1] == result["sections"]
    host = result["host"]
    assert host["memory"][0]["node"].startswith("/memory@") and host["stopped_by"] is None and host["devices"]
    assert {item["kind"] for item in host["modules"]} >= {"Kernel", "Ramdisk"}
    assert host["modules"][0]["users"] == ["/chosen/domU1"]
    assert {item["origin"] for item in result["assumptions"]} <= {"tree", "option", "log", "default", "guess"}
    assert [item["sentence"] for item in result["assumptions"]] == result["assumed"]
