"""The picture: bands drawn by hand, and that what a tree is called cannot break out of any form of it."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from dtanalyze.analysis import CheckOptions, check
from dtanalyze.cli import main
from dtanalyze.facts import CheckResult
from dtanalyze.linux.profile import PRESETS
from dtanalyze.report.picture.html import picture_html
from dtanalyze.report.picture.scene import Scene, scene
from dtanalyze.report.picture.svg import COLOURS, height_of, picture_svg
from dtanalyze.report.picture.terminal import picture_text
from dtanalyze.report.style import TERMINAL
from tests.conftest import FIXTURES
from tests.trees import dtb

BOOTS = FIXTURES / "dtb" / "boots"


def recorded(name: str) -> Scene:
    (result,) = check((BOOTS / f"{name}.dtb").read_bytes(), f"{name}.dtb", CheckOptions(linux=PRESETS["6.12"]))
    return scene(result)


def made(body: str, path: str = "a.dtb") -> CheckResult:
    text = "#address-cells = <2>; #size-cells = <2>; " + body
    (result,) = check(dtb(text), path, CheckOptions(linux=PRESETS["6.12"], tree="domu"))
    return result


HYPERVISOR = """hypervisor {{ compatible = "xen,xen-4.22", "xen,xen";
    reg = <0 0x38000000 0 0x1000000>, <0 0x80000000 0 {size}>; }};
    memory@40000000 {{ device_type = "memory"; reg = <0 0x40000000 0 0x40000000>; }};"""


def test_bands_of_a_hand_drawn_tree() -> None:
    """Two devices in a row are one band, the empty space is folded, the region is a section and what is lost of it."""
    body = (
        HYPERVISOR.format(size="0xa000000")
        + "a@1000000 { reg = <0 0x1000000 0 0x1000>; }; b@2000000 { reg = <0 0x2000000 0 0x1000>; };"
    )
    bands = [
        (hex(band.range.start), hex(band.range.stop), band.piece.kind if band.piece else "", band.claims_text)
        for band in scene(made(body)).bands
    ]
    assert bands == [
        ("0x1000000", "0x2001000", "", "a@1000000 ?, b@2000000 ?"),
        ("0x2001000", "0x38000000", "", ""),
        ("0x38000000", "0x39000000", "grant", ""),
        ("0x39000000", "0x40000000", "", ""),
        ("0x40000000", "0x80000000", "", "System RAM"),
        ("0x80000000", "0x88000000", "scratch", ""),
        ("0x88000000", "0x8a000000", "lost", ""),
    ]


def test_what_the_linear_map_does_not_reach() -> None:
    kinds = [(hex(item.range.start), item.label) for band in recorded("11i9-below-memstart").bands if (item := band.piece)]
    assert kinds[0][1] == "lost: the linear map does not reach it"
    (cut,) = [scene(made(HYPERVISOR.format(size="0xa000000").replace("0x80000000 0 0xa", "0x3c000000 0 0x4")))]
    assert [(band.range.size, item.label) for band in cut.bands if (item := band.piece)] == [
        (0x1000000, "grant table"),
        (0x4000000, "lost: the linear map does not reach it"),
    ]


def test_many_users_of_one_section_are_counted() -> None:
    """Thirty devices in a section: the section in one line, the first twelve of them, and how many more there are."""
    devices = "".join(f"d{at:x}@{at:x} {{ reg = <0 {at:#x} 0 0x1000>; }};" for at in range(0x80000000, 0x803C0000, 0x20000))
    lines = picture_text(scene(made(HYPERVISOR.format(size="0x8000000") + devices))).splitlines()
    (at,) = [place for place, line in enumerate(lines) if "section 1: scratch over something in use" in line]
    assert lines[at].split()[:3] == ["80000000-87ffffff", "128", "MiB"]
    users = lines[at + 1 : at + 13]
    assert [line.split()[-2] for line in users] == [f"d{at:x}@{at:x}" for at in range(0x80000000, 0x80180000, 0x20000)]
    assert lines[at + 13].endswith("and 18 more (--html shows all)") and lines[at + 14] == ""


def test_sections_are_numbered_in_the_order_taken() -> None:
    pieces = [
        (item.kind, item.first, item.last) for band in recorded("09a-noiommu-rogue-in-ram").bands if (item := band.piece)
    ]
    assert [item for item in dict.fromkeys(pieces) if item[1]] == [
        ("scratch", 1, 2),
        ("scratch", 3, 4),
        ("hazard", 5, 5),
        ("scratch", 6, 9),
    ]


def test_a_refusal_and_what_is_never_reached() -> None:
    kinds = [(item.kind, item.label) for band in recorded("11e3-ram-first-then-free").bands if (item := band.piece)]
    assert kinds == [("grant", "grant table"), ("refused", "refused because of System RAM"), ("unreached", "never reached")]


def test_regions_that_are_not_used() -> None:
    kinds = {item.kind for band in recorded("11d-overlap").bands if (item := band.piece)}
    assert kinds == {"grant", "unreached"}


def test_a_result_without_a_kernels_answer() -> None:
    board = FIXTURES / "dtb" / "hosts" / "15a-untranslatable-x420.dtb"
    (result,) = check(board.read_bytes(), "host.dtb", CheckOptions(linux=PRESETS["6.12"]))
    text = picture_text(scene(result))
    assert "no-boot" in text and "Unable to retrieve address" in text and "RAM" in text
    bare = result._replace(grant_table=None, extended_regions=(), ram=())
    assert "nothing to draw" in picture_text(scene(bare))
    assert "no-boot" in picture_html((scene(bare),))


def test_two_million_sections_are_few_bands() -> None:
    body = HYPERVISOR.format(size="0").replace("0 0x80000000 0 0", "1 0 0x7fff 0")
    drawn = scene(made(body))
    assert len(drawn.bands) < 20 and len(picture_html((drawn,))) < 40_000


def test_the_terminal_picture() -> None:
    text = picture_text(recorded("01-dom0-x420-l612"))
    assert "  0048000000-0057ffffff    256 MiB  █████ sections 1 to 2: scratch\n" in text
    assert "⋮  253.3 GiB  ⋮" in text and "  0060000000-007fffffff    512 MiB" in text
    assert "\x1b[" in picture_text(recorded("11e-is-ram"), style=TERMINAL)


EVIL = '<script>alert("1")</script>&\'\x07'


def test_names_cannot_break_out() -> None:
    body = HYPERVISOR.format(size="0x10000000") + "x@84000000 { reg = <0 0x84000000 0 0x1000>; };"
    result = made(body, path=f"{EVIL}.dtb")
    findings = tuple(item._replace(node=EVIL, message=EVIL) for item in result.findings)
    evil = result._replace(findings=findings, reason=EVIL, domain=EVIL)
    drawn = scene(evil)
    drawn = drawn._replace(
        bands=tuple(
            band._replace(claims=tuple(item._replace(name=EVIL, node=EVIL) for item in band.claims)) for band in drawn.bands
        )
    )
    page = picture_html((drawn, drawn))
    assert page.count("<script>") == 1 and "alert(&quot;1&quot;)" in page and "\x07" not in page
    picture = picture_svg(drawn)
    assert "<script>" not in picture and "\x07" not in picture
    ElementTree.fromstring(picture)
    assert "\x07" not in picture_text(drawn)


def test_svg_is_a_document_with_every_band() -> None:
    drawn = recorded("11f3-pci-highwindow")
    top = ElementTree.fromstring(picture_svg(drawn))
    blocks = [item for item in top.iter("{http://www.w3.org/2000/svg}rect") if item.get("rx")]
    assert len(blocks) == sum((band.piece is not None) + bool(band.claims) for band in drawn.bands)
    assert {item.get("fill") for item in blocks} <= set(COLOURS.values())
    assert float(top.get("height", "0")) > sum(height_of(band) for band in drawn.bands)


def test_the_page_needs_nothing_from_outside() -> None:
    page = picture_html((recorded("01-dom0-x420-l612"),))
    for word in ("http://", "https://", "src=", "href=", "@import", "url("):
        assert word not in page, word
    assert page == picture_html((recorded("01-dom0-x420-l612"),)), "the same bytes for the same question"
    inner = picture_html((recorded("01-dom0-x420-l612"),), fragment=True)
    assert inner.startswith('<div class="dtanalyze">') and "<html" not in inner


def test_a_chain_of_buses_is_told() -> None:
    board = FIXTURES / "dtb" / "boards" / "broadcom-bcm2711-rpi-4-b.dtb"
    asked = CheckOptions(linux=PRESETS["6.12"], tree="dom0")
    (result,) = check(board.read_bytes(), "rpi4.dtb", asked)
    assert "0x7e00b880 on /soc -&gt; 0xfe00b880 on /" in picture_html((scene(result),))


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main(["map", *argv])
    printed = capsys.readouterr()
    return (left.value.code if isinstance(left.value.code, int) else 0), printed.out, printed.err


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree, host = str(BOOTS / "01-dom0-x420-l612.dtb"), str(FIXTURES / "dtb" / "hosts" / "01-dom0-x420-l612.dtb")
    page, picture = tmp_path / "map.html", tmp_path / "map.svg"
    assert run(capsys, tree, "--html", str(page), "--svg", str(picture)) == (0, "", "")
    assert page.read_text().startswith("<!doctype html>") and picture.read_text().startswith("<svg ")
    assert run(capsys, tree, "--svg", "-")[1].startswith("<svg ")
    assert run(capsys, host, "--xen", "4.20,4.22", "--html", "-")[1].count("<option") == 2
    status, _, err = run(capsys, host, "--xen", "4.20,4.22", "--svg", "-")
    assert status == 2 and "--svg draws one result, these are 2" in err
    assert "No such file" in run(capsys, tree, "--html", str(tmp_path / "no" / "map.html"))[2]
    assert "is an input, which is never written" in run(capsys, tree, "--html", tree)[2]
    assert "  000000000" in run(capsys, tree, "--list")[1]


@pytest.mark.parametrize("option", ["--html", "--svg"])
def test_what_cannot_be_read_is_said_and_no_empty_picture_is_written(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken, out = tmp_path / "broken.dtb", tmp_path / "out"
    broken.write_bytes(b"")
    status, _, err = run(capsys, str(broken), option, str(out))
    assert (status, out.exists()) == (2, False)
    assert err == f"dtanalyze: {broken}: the file is empty, not a flattened devicetree (at byte offset 0x0)\n"
    good = str(BOOTS / "01-dom0-x420-l612.dtb")
    assert (run(capsys, str(broken), good, option, str(out))[0], out.exists()) == (2, True)
