"""Small hostile inputs through every command and format: an answer or one sentence, and no line of somebody else's making."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dtanalyze.cli import main
from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.write import set_property, strings, to_blob
from dtanalyze.xen.parse_params import parse_bootargs
from tests.cli.test_cli import ROOT

HOSTILE = sorted((ROOT / "fixtures" / "dtb" / "hostile").iterdir())
GOOD = str(ROOT / "fixtures" / "dtb" / "boots" / "02-dom0-x417-l612.dtb")
CALLS = [
    *(("check", "--format", form) for form in ("text", "json", "sarif", "junit", "gitlab", "markdown")),
    ("check", "--explain", "--statistics"),
    ("predict", "--explain"),
    ("map", "--list"),
    ("map",),
    ("map", "--html", "-"),
    ("addresses",),
    ("overlaps",),
    ("diff", GOOD),
]


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as left:
        main(list(argv))
    printed = capsys.readouterr()
    return left.value.code, printed.out, printed.err


@pytest.mark.parametrize("path", HOSTILE, ids=lambda path: path.name)
def test_no_defect_and_no_line_of_others(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for call in CALLS:
        overlay = path.suffix == ".dtbo" and call[0] not in ("addresses", "overlaps")
        argv = (*call, GOOD, "--overlay", str(path)) if overlay else (*call, str(path))
        status, out, err = run(capsys, *argv)
        assert status in (0, 1, 2) and "internal error" not in err, argv
        for text in (out, err):
            assert not re.search(r"(?m)^\s*::|\x1b|##\[", text), argv
            assert all(line.isprintable() for line in text.splitlines()) or "html" in call or "text" not in call, argv


def test_github_writes_no_command_of_others(capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, "check", "--format", "github", *map(str, HOSTILE))[1]
    assert all(re.match(r"::(error|warning|notice) file=", line) for line in out.splitlines())


def test_no_grant_table_is_no_domain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """grant_table_init: max_grant_frames < INITIAL_NR_GRANT_FRAMES (1) is -EINVAL, in every release."""
    tree = parse((ROOT / "fixtures" / "dtb" / "hosts" / "01-dom0-x420-l612.dtb").read_bytes())
    chosen = tree.root.child("chosen")
    assert chosen is not None
    set_property(chosen, "xen,xen-bootargs", strings("dom0_mem=512M gnttab_max_frames=0"))
    path = tmp_path / "board.dtb"
    path.write_bytes(to_blob(tree.root))
    for release in ("4.16", "4.20", "4.22"):
        out = " ".join(run(capsys, "check", str(path), "--xen", release)[1].split())
        assert ": no-boot: " in out and "(dom0-grant-table): Error creating domain 0" in out


def test_numbers_wrap_as_in_c() -> None:
    """simple_strtoull keeps the low 64 bits; parse_gnttab_limit refuses more than INT_MAX (-ERANGE)."""
    assert parse_bootargs(f"dom0_mem={(1 << 64) + 4096}K").dom0_mem == 4 << 20
    assert parse_bootargs("dom0_mem=0x10000000000000400K").dom0_mem == 1 << 20
    # A word keeps 127 letters (opt[128] of _cmdline_parse): 118 digits and no suffix, which are KiB.
    assert parse_bootargs(f"dom0_mem={'9' * 5000}B").dom0_mem == (10**118 - 1) * 1024 % (1 << 64)
    assert parse_bootargs("gnttab_max_frames=2147483648").max_grant_frames == 64
    assert parse_bootargs("gnttab_max_frames=2147483647").max_grant_frames == 2147483647


def test_no_report_quotes_more_of_a_property_than_a_sample(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = parse((ROOT / "fixtures" / "dtb" / "hosts" / "01-dom0-x420-l612.dtb").read_bytes())
    (module,) = [node for node in tree.root if node.is_compatible("multiboot,kernel")]
    set_property(module, "compatible", strings("multiboot,kernel", "multiboot,moduleQ" + "Q" * 5000))
    path = tmp_path / "board.dtb"
    path.write_bytes(to_blob(tree.root))
    out = run(capsys, "check", str(path), "--format", "json")[1]
    assert "multiboot,moduleQ" in out and "Q" * 256 not in out
