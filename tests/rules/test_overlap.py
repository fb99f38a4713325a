"""Which shared addresses are meant: drawn trees for each reason, and real ones that must stay silent."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtanalyze.address.range import RawRange
from dtanalyze.board.build import build_board
from dtanalyze.board.bus import LINUX
from dtanalyze.cli import main
from dtanalyze.devicetree.blob import parse
from dtanalyze.rules.boot_modules import _sharing
from dtanalyze.rules.overlap import device_overlaps, sits_in_ram
from tests.conftest import FIXTURES
from tests.trees import node, tree

ROOT = "#address-cells = <1>; #size-cells = <1>; "


@pytest.mark.parametrize(
    ("body", "shape", "words"),
    [
        (
            "a@1000 { reg = <0x1000 0x1000>; ranges; b@1800 { reg = <0x1800 0x100>; }; };",
            "inside",
            "one node lies below the other",
        ),
        (
            'a@1000 { compatible = "syscon"; reg = <0x1000 0x1000>; }; b@1800 { reg = <0x1800 0x100>; };',
            "inside",
            "/a@1000 is a block of registers that several drivers share (syscon)",
        ),
        (
            'a@1000 { reg-names = "x"; reg = <0x1000 0x1000>; }; b@1000 { reg-names = "x"; reg = <0x1000 0x1000>; };',
            "equal",
            "both nodes call this entry x",
        ),
        (
            'a@1000 { compatible = "k"; reg = <0x1000 0x1000>; }; b@1000 { compatible = "k"; reg = <0x1000 0x1000>; };',
            "equal",
            "two instances of one kind",
        ),
        (
            "a@1000 { reg = <0x1000 0x1000>, <0x5000 0x1000>; }; b@5000 { reg = <0x5000 0x100>; };",
            "inside",
            "a block with several drivers",
        ),
        ("a@1000 { reg = <0x1000 0x1000>; }; b@1800 { reg = <0x1800 0x1000>; };", "partial", ""),
        ("a@1000 { reg = <0x1000 0x1000>; }; b@1000 { reg = <0x1000 0x1000>; };", "equal", ""),
        (
            'a@1000 { compatible = "syscon"; reg = <0x1000 0x1000>; }; b@1800 { reg = <0x1800 0x1000>; };',
            "partial",
            "",
        ),
    ],
)
def test_reasons(body: str, shape: str, words: str) -> None:
    (found,) = device_overlaps(build_board(tree(ROOT + body), LINUX))
    assert found.shape == shape and words in found.reason and bool(found.reason) is bool(words)


@pytest.mark.parametrize(
    "body",
    [
        "a@1000 { reg = <0x1000 0x1000>; }; b@2000 { reg = <0x2000 0x1000>; };",  # next to each other
        'a@1000 { reg = <0x1000 0x1000>; }; b@1000 { status = "disabled"; reg = <0x1000 0x1000>; };',
        "a@1000 { reg = <0x1000 0x1000>; }; b@1000 { reg = <0x1000 0>; };",  # a placeholder
        "a@1000 { reg = <0x1000 0x1000>, <0x1000 0x100>; };",  # one node
        # The same number on a bus that moves addresses is another place.
        "a@1000 { reg = <0x1000 0x1000>; }; bus { #address-cells = <1>; #size-cells = <1>; ranges = <0 0x10000000 0x10000>; "
        "b@1000 { reg = <0x1000 0x1000>; }; };",
    ],
)
def test_no_overlap(body: str) -> None:
    assert list(device_overlaps(build_board(tree(ROOT + body), LINUX))) == []


def test_devices_that_are_memory() -> None:
    body = 'a { compatible = "ramoops"; }; b { memory-region = <1>; }; c { compatible = "ns16550a"; };'
    made = tree(ROOT + body)
    assert "ramoops" in sits_in_ram(node(made, "/a")) and "reserved memory" in sits_in_ram(node(made, "/b"))
    assert sits_in_ram(node(made, "/c")) == ""


def test_the_raspberry_pi_4_shares_its_hdmi_blocks_on_purpose(capsys: pytest.CaptureFixture[str]) -> None:
    path = FIXTURES / "dtb" / "boards" / "broadcom-bcm2711-rpi-4-b.dtb"
    found = list(device_overlaps(build_board(parse(path.read_bytes()), LINUX)))
    assert found and all(item.reason for item in found)
    with pytest.raises(SystemExit):
        main(["overlaps", str(path), "--format", "json"])
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert len(result["overlaps"]) == len(found)
    with pytest.raises(SystemExit):
        main(["overlaps", str(path)])
    assert "1 pair of devices shares addresses, 0 without a reason" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(SystemExit) as left:
        main(["overlaps", "/nowhere.dtb"])
    assert left.value.code == 2


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 6)), max_size=12))
def test_modules_that_share_an_address_against_every_pair(drawn: list[tuple[int, int]]) -> None:
    spans = [RawRange(start, size) for start, size in drawn]
    expected = {
        first: later
        for first in range(len(spans))
        if (
            later := [
                other
                for other in range(first + 1, len(spans))
                if spans[first].start < spans[other].stop and spans[other].start < spans[first].stop
            ]
        )
    }
    assert _sharing(spans) == expected
