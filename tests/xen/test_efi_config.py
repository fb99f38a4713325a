"""``xen.cfg``: the documented example, the parser's own ways (pre_parse, get_value), and what Xen's loader makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dtanalyze.cli import main
from dtanalyze.devicetree.blob import parse
from dtanalyze.errors import InputError
from dtanalyze.xen.efi_config import EfiConfig, Value, read_efi_config
from dtanalyze.xen.efi_stub import reads_config, started_by_efi
from dtanalyze.xen.options import XenOptions
from dtanalyze.xen.predict import predict, prepare
from dtanalyze.xen.profile import preset
from dtanalyze.xen.stage import Stop
from tests.xen.build import host

# docs/misc/efi.pandoc, the example.
DOCUMENTED = """
[global]
default=sle11sp2

[sle11sp2]
options=console=vga,com1 com1=57600 loglvl=all noreboot
kernel=vmlinuz-3.0.31-0.4-xen [domain 0 command line options]
ramdisk=initrd-3.0.31-0.4-xen
"""
CHOSEN = 'chosen { xen,xen-bootargs = "dom0_mem=64M"; };'


def read(text: str, section: str | None = None) -> EfiConfig:
    return read_efi_config({"xen.cfg": text}, section)


def test_the_documented_example() -> None:
    found = read(DOCUMENTED)
    assert found == EfiConfig(
        section="sle11sp2",
        source="xen.cfg",
        options=Value("console=vga,com1 com1=57600 loglvl=all noreboot", 6),
        kernel=Value("vmlinuz-3.0.31-0.4-xen", 7),
        dom0_options="[domain 0 command line options]",
        ramdisk=Value("initrd-3.0.31-0.4-xen", 8),
    )
    assert found.modules == (("kernel", "vmlinuz-3.0.31-0.4-xen"), ("ramdisk", "initrd-3.0.31-0.4-xen"))


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("options=a#b c\n", "a"),  # '#' anywhere begins a comment
        (" \xa0 options=  a\n", "a"),  # blanks before the name and before the value go
        ("options=a;b\n", "a;b"),
        (";options=a\noptions=b\n", "b"),
        ("options=a\tb\n", "a"),  # a tab is a control character, and ends the line
        ("options=a\r\noptions=b\r\n", "a"),  # the first counts
        ("options =a\noptions=b\n", "b"),  # no blank before '='
        ("Options=a\nkernel=k\n", None),
        ("[one]\nkernel=k\n[two]\noptions=a\n", "a"),  # without default= headers are passed over
        ("kernel=k\noptions=a", "a"),
    ],
)
def test_the_loaders_grammar(text: str, options: str | None) -> None:
    found = read(text)
    assert (found.options.text if found.options else None) == options
    assert found.unended is not text.endswith("\n")


def test_sections() -> None:
    text = "[global]\ndefault=b\n[a]\nkernel=one\n[b]\nramdisk=r\n[b]\nkernel=late\n[ab]\nkernel=two x\n"
    assert (read(text).kernel, read(text).ramdisk) == (None, Value("r", 6)), "only the first section of a name counts"
    assert read(text, "a").kernel == Value("one", 4)
    assert (read(text, "ab").kernel, read(text, "ab").dom0_options) == (Value("two", 10), "x")
    assert read(text, "").kernel == Value("one", 4), "an empty name is none: the first in the file"
    assert read("[global]\ndefault=a\noptions=no\n[a]\nkernel=k \n") == EfiConfig(
        "a", "xen.cfg", kernel=Value("k", 5), dom0_options=""
    )


def test_chains_are_followed_among_the_files_given() -> None:
    first = "[global]\ndefault=a\nchain=efi\\more.cfg\n[a]\noptions=old\n"
    more = "[a]\nkernel=k\n"
    found = read_efi_config({"xen.cfg": first, "dir/more.cfg": more})
    assert (found.source, found.kernel, found.options) == ("dir/more.cfg", Value("k", 2), None), (
        "nothing of the first counts"
    )
    with pytest.raises(InputError, match=r"xen\.cfg: line 3: chain=efi\\more.cfg: .* not given"):
        read(first)
    with pytest.raises(InputError, match="in a circle for ever"):
        read("[global]\nchain=xen.cfg\ndefault=a\n")
    assert read(first.replace("[a]\n", "[a]\nkernel=here\n")).kernel == Value("here", 5), "a chain is for want of a kernel"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no xen.cfg"),
        ("\xd0\r\xfe\xed\0\0", "no xen.cfg"),
        ("#options=\n", "no xen.cfg"),
        ("kernel=k\noptions=" + "a" * 4095 + "\n", "line 2: options= has 4095 bytes.*FDT string overflow"),
    ],
)
def test_what_is_none(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read(text)
    assert read("options=" + "a" * 4094).options, "with the blank before it, a page less the end"


def test_the_tree_as_the_loader_leaves_it() -> None:
    config = read("options=dom0_mem=1G\nkernel=Image root=/dev/x\nramdisk=initrd\nxsm=policy\n")
    tree = started_by_efi(host(CHOSEN), config)
    chosen = tree.root.child("chosen")
    assert chosen is not None and [node.name for node in chosen.children] == ["xsm", "ramdisk", "kernel"]
    line = chosen.prop("xen,xen-bootargs")
    assert line is not None and line.value == b" dom0_mem=1G\0", "the file's line replaces the tree's"
    kernel = chosen.child("kernel")
    assert kernel is not None and kernel.compatible == ("multiboot,kernel", "multiboot,module")
    assert (kernel.prop("bootargs"), kernel.prop("reg")) != (None, None) and kernel.prop("reg") is None
    kept = started_by_efi(host(CHOSEN), read("kernel=Image\n")).root.child("chosen")
    assert kept is not None and kept.prop("xen,xen-bootargs") is not None, "without options= the tree's stays"
    bare = started_by_efi(host(""), config).root.child("chosen")
    assert bare is not None and bare.prop("#address-cells") is not None, "a tree without /chosen gets one"


MODULE = 'm { compatible = "multiboot,kernel", "multiboot,module"; reg = <0 0x48000000 0 0x1000>; };'


@pytest.mark.parametrize(
    ("chosen", "config", "read_"),
    [
        ("", "kernel=k\n", True),
        (MODULE, "kernel=k\n", False),
        ("xen,uefi-cfg-load; " + MODULE, "kernel=k\n", True),
        (MODULE, "kernel=k\ndtb=board.dtb\n", True),
    ],
)
def test_modules_in_the_firmwares_tree_take_the_files_place(chosen: str, config: str, read_: bool) -> None:
    tree = host(f"chosen {{ #address-cells = <2>; #size-cells = <2>; {chosen} }};")
    assert reads_config(tree, read(config)) is read_


def stop_of(chosen: str, text: str) -> Stop | None:
    options = XenOptions(efi=True, efi_config=read(text))
    tree = host(f"chosen {{ #address-cells = <2>; #size-cells = <2>; {chosen} }};")
    return predict(prepare(tree, options), preset("4.20"), options)[0].stopped_by


NAMED = 'm { compatible = "multiboot,%s", "multiboot,module"; xen,uefi-binary = "x"; };'
DOMAIN = 'xen,uefi-cfg-load; d { compatible = "xen,domain"; cpus = <1>; memory = <0 0x10000>; %s k { compatible = "multiboot,kernel", "multiboot,module"; xen,uefi-binary = "g"; }; };'


@pytest.mark.parametrize(
    ("chosen", "text", "line"),
    [
        ("", "options=x\n", "No initial domain kernel specified."),
        ("xen,uefi-cfg-load; " + NAMED % "kernel", "kernel=k\n", "Dom0 kernel already found in cfg file."),
        ("xen,uefi-cfg-load; " + NAMED % "ramdisk", "kernel=k\nramdisk=r\n", "Dom0 ramdisk already found in cfg file."),
        (DOMAIN % "", "options=x\n", "#address-cells not found in domain node."),
        (DOMAIN % "#address-cells = <2>;", "options=x\n", "#size-cells not found in domain node."),
    ],
)
def test_what_the_loader_refuses(chosen: str, text: str, line: str) -> None:
    stop = stop_of(chosen, text)
    assert stop is not None and (stop.stage, stop.lines[0]) == ("efi-loader", line)


def test_what_the_loader_takes() -> None:
    for chosen, text in (
        ("", "kernel=k\n"),
        ("xen,uefi-cfg-load; " + NAMED % "ramdisk", "kernel=k\n"),
        (DOMAIN % "#address-cells = <2>; #size-cells = <2>;", "options=x\n"),
    ):
        stop = stop_of(chosen, text)
        assert stop is None or stop.stage != "efi-loader", text


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    board = Path("fixtures/dtb/hosts/01-dom0-x420-l612.dtb")
    plain = parse(board.read_bytes())
    assert not reads_config(plain, read("kernel=k\n")), "its loader put modules there"
    config = tmp_path / "xen.cfg"
    config.write_text("[global]\ndefault=a\n[a]\ndtb=board.dtb\noptions=dom0_mem=256M\nkernel=Image console=hvc0\n")
    for command in ("check", "predict"):
        main_([command, str(board), "--xen-cfg", str(config), "--format", "json"])
        out = capsys.readouterr().out
        assert '\\" dom0_mem=256M\\"' in out and "section [a]; loads kernel Image" in out
    assert main_(["check", str(board), "--xen-cfg-section", "a"]) == 2
    assert main_(["check", str(board), "--xen-cfg", str(board)]) == 2
    assert "no xen.cfg" in capsys.readouterr().err


def main_(arguments: list[str]) -> int:
    try:
        main(arguments)
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else 0
    return 0
