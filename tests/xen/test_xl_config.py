"""xl.cfg: its grammar, what of it concerns address space, and the guest that comes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtanalyze.address.units import GIB, MIB
from dtanalyze.cli import main
from dtanalyze.devicetree.blob import parse
from dtanalyze.errors import InputError
from dtanalyze.xen.options import XenOptions
from dtanalyze.xen.partial_tree import PartialTree
from dtanalyze.xen.predict import predict, prepare
from dtanalyze.xen.prediction import Prediction
from dtanalyze.xen.profile import preset
from dtanalyze.xen.toolstack import Iomem, Toolstack
from dtanalyze.xen.xl_config import read_xl_config
from tests.xen.build import HEAD, blob, host

WHOLE = """# a guest with a network card
name = "domd" ; memory = 2048
vcpus=4
type = 'pvh'
iomem = [ "e6020,1", "47fc7,2@37fc7", # a comment inside
          '0xfe000,10', ]
irqs = [ 112,
         "144" ]
dtdev = [ "/soc/eth@e6800000" ]
device_tree="domd.dtb"
passthrough = "enabled"
vuart = "sbsa_uart"
disk = [ [ 'a', 'b' ], 'phy:/dev/x,xvda,w' ]
on_crash = "restart"
"""


def test_what_a_configuration_says() -> None:
    assert read_xl_config(WHOLE) == Toolstack(
        name="domd",
        size=2048 * MIB,
        vcpus=4,
        iomem=(
            Iomem(0xE6020000, 0xE6020000, 0x1000),
            Iomem(0x47FC7000, 0x37FC7000, 0x2000),
            Iomem(0xFE000000, 0xFE000000, 0x10000),
        ),
        irqs=(112, 144),
        dtdev=("/soc/eth@e6800000",),
        passthrough=True,
        vuart=True,
        device_tree="domd.dtb",
    )


def test_the_last_setting_counts_and_lists_grow() -> None:
    found = read_xl_config('memory = 1\nmemory = 64\niomem = ["1,1"]\niomem += ["2,1"]\nirqs = []')
    assert found.size == 64 * MIB and [item.host for item in found.iomem] == [0x1000, 0x2000]
    assert read_xl_config('memory=64\niomem = ["1,1"]\niomem = ["2,1"]').iomem[0].host == 0x2000
    assert read_xl_config("memory=64\nname='a'\nname+='b'").name == "ab"


def test_lists_as_they_are_found() -> None:
    """Comments and lines between, a comma behind the last, settings that say nothing of addresses."""
    found = read_xl_config(
        """seclabel='system_u:system_r:domU_t'
memory = 1024
iomem=[
# the card
    "0xfd010,1@0xfd000",

    'fe000,1'  # its other half
 ]
dtdev = [ "/soc/one", "/soc/two", ]
vcamera = [[ 'backend=DomD', 'format=YUYV'
          ]]
virtio = [ "backend=Domain-0,type=virtio,device22,transport=mmio,grant_usage=1" ]
extra = "root=/dev/xvda1 rw console=hvc0 # no comment"
"""
    )
    assert found.iomem == (Iomem(0xFD010000, 0xFD000000, 0x1000), Iomem(0xFE000000, 0xFE000000, 0x1000))
    assert found.dtdev == ("/soc/one", "/soc/two")


def test_ram_is_the_most_that_it_may_have() -> None:
    """On Arm a guest is built with maxmem when that is stated (libxl__build_dom)."""
    assert read_xl_config("memory = 512\nmaxmem = 1024").size == GIB
    assert read_xl_config("maxmem = 1024").size == GIB
    assert read_xl_config("memory = 0x200\nvcpus = 2\nmaxvcpus = 3") == Toolstack("guest", 512 * MIB, 3)
    assert read_xl_config("memory = 0100").size == 64 * MIB, "octal, as strtol reads it"


@pytest.mark.parametrize(
    ("said", "meant"),
    [("disabled", False), ("enabled", True), ("sync_pt", True), ("share_pt", True), ("default", None), ("Enabled", True)],
)
def test_passthrough(said: str, meant: bool | None) -> None:
    assert read_xl_config(f'memory=64\npassthrough="{said}"').passthrough is meant


def test_strings_with_escapes() -> None:
    assert read_xl_config(r"""memory=64; name="a\"b\\\t" """).name == 'a"b\\\t'
    assert read_xl_config("memory=64; name='it\\'s' # end\n").name == "it's"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it says no memory"),
        ("memory = 64\n???", "line 2: '???' is nothing"),
        ("memory 64", "line 1: 'memory' begins no setting"),
        ("memory = 64 65", "line 1: '65' after the value of memory"),
        ("memory =", "is no value"),
        ("memory = sixty", "'sixty' is no value"),
        ("memory = 12z", "'z' after"),
        ('memory = "x"', "memory: 'x' is no number"),
        ("memory = 0", "memory of 0 MiB"),
        ("memory = 99999999999", "cannot be meant"),
        ("memory = [64]", "memory is a list"),
        ("memory=64\niomem = 5", "iomem is no list"),
        ('memory=64\niomem = ["5"]', "iomem: '5' is not START,PAGES"),
        ('memory=64\niomem = ["g,1"]', "is not START,PAGES"),
        ('memory=64\niomem = ["1,1@"]', "is not START,PAGES"),
        ('memory=64\niomem = ["fffffffffffff,2"]', "beyond 64 bits"),
        ('memory=64\niomem = ["1,1"', "the list that begins here has no end"),
        ("memory=64\niomem = [ a ]", "'a' inside a list"),
        ('memory=64\nirqs = ["x"]', "irqs: 'x' is no decimal number"),
        ("memory=64\nirqs = [0x90]", "irqs: '0x90' is no decimal number, and xl reads no other"),
        ("memory=64\nirqs = [1 2]", "line 2: '2' where a list has a comma"),
        ("memory=64\nirqs = [1,,2]", "line 2: ',' where a list has a value"),
        ("memory=64\nirqs = [1; 2]", "line 2: ';' inside a list"),
        ("memory=64\niomem = [['1,1']]", "line 2: iomem has a list inside it"),
        ("memory=64\niomem = ['1,1 ']", "iomem: '1,1 ' is not START,PAGES"),
        ("Memory=64\n", "line 1: 'Memory=64' is nothing"),
        ("memory=64\r\n", "line 1: a carriage return, which xl takes for no blank"),
        ("memory=64\n# end", "line 2: xl does not read a comment that no newline ends"),
        ("memory=64\nmemory += 1", "line 2: += is for strings and lists"),
        ("memory=64\nname='a'\nname += ['b']", "line 3: += adds a list to a string"),
        ("memory=64\nname='\\x41'", "line 2: xl cannot read '\\x' in a string"),
        ("memory=64\nvuart='vpl011'", "vuart is one of unknown, sbsa_uart, not 'vpl011'"),
        ("memory=64\npassthrough='0'", "passthrough is one of default, disabled"),
        ("memory='1_0'", "memory: '1_0' is no number"),
        ('memory=64\npassthrough = "maybe"', "passthrough is one of"),
        ('memory=64\nname = "open', "is nothing that a configuration"),
    ],
)
def test_what_is_no_configuration(text: str, words: str) -> None:
    with pytest.raises(InputError, match=None) as raised:
        read_xl_config(text)
    assert words in str(raised.value)


@given(st.text(alphabet="memory=64[]\"',;#@0x1fiomn \n\\", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read_xl_config(text)
    except InputError as error:
        assert str(error)


BOARD = """
interrupt-parent = <1>;
gic@8000000 { compatible = "arm,gic-v3"; #interrupt-cells = <3>; interrupt-controller; phandle = <1>;
    reg = <0 0x8000000 0 0x10000>, <0 0x80a0000 0 0xf60000>; interrupts = <1 9 4>; };
timer { compatible = "arm,armv8-timer"; interrupts = <1 13 8>, <1 14 8>, <1 11 8>, <1 10 8>; };
eth@b000000 { reg = <0 0xb000000 0 0x1000>; interrupts = <0 40 4>; };
"""


def guest(config: str, release: str = "4.22", **known: Any) -> Prediction:
    options = XenOptions(toolstack=(read_xl_config(config),), **known)
    return predict(prepare(host(BOARD), options), preset(release), options)[-1]


def test_regions_leave_iomem_out_from_4_21_on() -> None:
    """128 MiB of RAM at 1 GiB; one page at 0x60000000 cuts what is behind it."""
    config = 'name="g"\nmemory=128\niomem=["b000,1@60000"]'
    older, newer = ([(item.start, item.stop) for item in guest(config, name).regions.ranges] for name in ("4.20", "4.21"))
    assert older[0] == (0x48000000, 0x100000000)
    assert newer[:2] == [(0x48000000, 0x60000000), (0x60001000, 0x100000000)]
    assert guest(config).domain == "libxl:g"


def test_a_partial_tree_of_the_toolstack_is_copied_as_it_stands() -> None:
    data = blob(
        '#address-cells = <2>; #size-cells = <2>; other { }; aliases { net = "x"; };'
        "passthrough { #address-cells = <2>; #size-cells = <2>; ranges; eth@60000000 { reg = <0 0x60000000 0 0x1000>; }; };"
    )
    config = 'name="g"\nmemory=128\ndevice_tree="/etc/xen/g.dtb"'
    missing = guest(config)
    assert any("/etc/xen/g.dtb is not at hand (--partial-dtb g=FILE)" in item for item in missing.assumed)
    found = guest(config, partial_trees=(("g", PartialTree(parse(data), len(data), "g.dtb")),))
    tree = parse(found.blob or b"")
    assert tree.find("/passthrough/eth@60000000") is not None and tree.find("/aliases") is not None
    assert tree.find("/other") is None
    assert not any("is not at hand" in item for item in found.assumed)


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main(list(argv))
    printed = capsys.readouterr()
    return int(left.value.code or 0), printed.out, printed.err


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    board, config = tmp_path / "board.dtb", tmp_path / "guest.cfg"
    board.write_bytes(blob(HEAD + BOARD))
    config.write_text(
        'name = "domd"\nmemory = 256\niomem = ["b000,1@3001"]\nirqs = [72, 73]\ndtdev = ["/eth@b000000", "/no"]'
    )
    status, out, _ = run(capsys, "check", str(board), "--xl-config", str(config), "--quiet")
    assert status == 1 and "libxl:domd" in out
    _, out, _ = run(capsys, "check", str(board), "--xl-config", str(config), "--verbose")
    said = " ".join(out.split())
    for words in (
        "over the interrupt controller of libxl:domd",
        "Choose another guest address in `iomem`, the page frame behind the `@`",
        "omd is given interrupt 72, which dom0 has for /eth@b000000",
        "tdev of domd names /eth@b000000, which dom0 keeps",
        "tdev of domd names /no, which the host tree does not have",
        "tdev of domd names 2 devices, and Xen uses no IOMMU",
    ):
        assert words in said, words
    assert "interrupt 73" not in said
    config.write_text("memory = [")
    status, _, err = run(capsys, "check", str(board), "--xl-config", str(config))
    assert status == 2 and "guest.cfg: line 1: the list that begins here has no end" in err


def test_partial_trees_that_cannot_be_had(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    board, bad = tmp_path / "board.dtb", tmp_path / "bad.dtb"
    board.write_bytes(blob(HEAD + BOARD))
    bad.write_bytes(b"no tree")
    for given_, words in (
        ("domU1", "--partial-dtb takes DOMAIN=FILE"),
        (f"domU1={tmp_path / 'none.dtb'}", "none.dtb: No such file"),
        (f"domU1={bad}", "bad.dtb: not a flattened devicetree"),
        (f"domU1={board}", "a partial tree is given for 'domU1', and the domains of /chosen are none"),
    ):
        status, _, err = run(capsys, "check", str(board), "--partial-dtb", given_)
        assert status == 2 and words in err, (given_, err)
