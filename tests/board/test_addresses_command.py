"""``dtanalyze addresses``: the whole answer for a small tree, written by hand after the contract."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dtanalyze import __version__
from dtanalyze.cli import main
from tests.trees import dtb

BODY = """
#address-cells = <2>; #size-cells = <2>;
memory@40000000 { device_type = "memory"; reg = <0 0x40000000 0 0x10000000>, <0 0x80000000 0 0>; };
cpus { #address-cells = <1>; #size-cells = <0>; cpu@0 { reg = <0>; }; };
soc { #address-cells = <1>; #size-cells = <1>; ranges = <0x0 0x8 0x10000000 0x1000>;
    uart@100 { reg = <0x100 0x10>, <0x2000 0x10>; };
};
pcie@0 { device_type = "pci"; #address-cells = <3>; #size-cells = <2>; reg = <0 0x30000000 0 0x1000>;
    ranges = <0x81000000 0 0 0 0x20000000 0 0x1000>, <0x82000000 0 0x21000000 0 0x21000000 0 0x1000000>;
    dev@0 { reg = <0x800 0 0 0 0>; };
};
top { reg = <0xffffffff 0xfffff000 0 0x1000>; };
"""


def entry(
    node: str, index: int, address: str | None, size: str, untranslatable: str | None, *chain: tuple[str, str]
) -> dict[str, Any]:
    return {
        "node": node,
        "index": index,
        "address": address,
        "size": size,
        "untranslatable": untranslatable,
        "chain": [list(hop) for hop in chain],
    }


MEMORY = (
    entry("/memory@40000000", 0, "0x40000000", "0x10000000", None, ("/", "0x40000000")),
    entry("/memory@40000000", 1, "0x80000000", "0x0", None, ("/", "0x80000000")),
)
CPU = entry("/cpus/cpu@0", 0, None, "0x0", "/cpus has #address-cells 1 and #size-cells 0: no CPU addresses below it")
UART = (
    entry("/soc/uart@100", 0, "0x810000100", "0x10", None, ("/soc", "0x100"), ("/", "0x810000100")),
    entry("/soc/uart@100", 1, None, "0x10", "the ranges of /soc do not cover 0x2000", ("/soc", "0x2000")),
)
PCIE = entry("/pcie@0", 0, "0x30000000", "0x1000", None, ("/", "0x30000000"))
FUNCTION = entry(
    "/pcie@0/dev@0",
    0,
    None,
    "0x0",
    "a PCI configuration or I/O address, not memory (at /pcie@0/dev@0)",
    ("/pcie@0", "0x0"),
)
TOP = entry("/top", 0, "0xfffffffffffff000", "0x1000", None, ("/", "0xfffffffffffff000"))
WINDOWS = [{"node": "/pcie@0", "ranges": [["0x21000000", "0x22000000"]]}]


def expected(path: str, *addresses: dict[str, Any]) -> dict[str, Any]:
    return {
        "schema_version": 2,
        "tool": {"name": "dtanalyze", "version": __version__},
        "results": [{"path": path, "addresses": list(addresses), "windows": WINDOWS}],
        "errors": [],
    }


@pytest.fixture
def board(tmp_path: Path) -> str:
    path = tmp_path / "board.dtb"
    path.write_bytes(dtb(BODY))
    return str(path)


def run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main(["addresses", *args])
    out, err = capsys.readouterr()
    return int(left.value.code or 0), out, err


def test_linux(board: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, board, "--format", "json")
    assert (code, err) == (0, "")
    assert json.loads(out) == expected(board, *MEMORY, CPU, *UART, PCIE, FUNCTION, TOP)


def test_xen_lists_what_dt_device_get_paddr_is_asked_for(board: str, capsys: pytest.CaptureFixture[str]) -> None:
    # Not asked: /cpus is no bus without ranges, and a PCI function's reg is no address.
    code, out, _ = run(capsys, board, "--format", "json", "--rules", "xen")
    assert code == 0
    assert json.loads(out) == expected(board, *MEMORY, *UART, PCIE, TOP)


def test_the_same_bytes_every_time(board: str, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (run(capsys, board, "--format", "json") for _ in range(2))
    assert first == second
    assert first[1].endswith("}\n")


def test_standard_input() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dtanalyze", "addresses", "-", "--format", "json"],
        input=dtb(BODY),
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout) == expected("<stdin>", *MEMORY, CPU, *UART, PCIE, FUNCTION, TOP)
    assert done.stderr == b""


def test_an_unreadable_input_costs_only_itself(board: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cut, missing = tmp_path / "cut.dtb", tmp_path / "missing.dtb"
    cut.write_bytes(dtb(BODY)[:100])
    size = len(dtb(BODY))
    code, out, err = run(capsys, str(cut), board, str(missing), board, "--format", "json")
    answer = json.loads(out)
    assert code == 2
    assert [item["path"] for item in answer["results"]] == [board, board]
    assert answer["errors"] == [
        {
            "path": str(cut),
            "message": f"the file is cut off: the header promises {size} bytes, the file has 100 (at byte offset 0x4)",
            "offset": 4,
        },
        {"path": str(missing), "message": "No such file or directory", "offset": None},
    ]
    assert err.splitlines() == [f"dtanalyze: {item['path']}: {item['message']}" for item in answer["errors"]]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--rules", "uboot"), "uboot"),
        (("--format", "yaml"), "no format is called 'yaml'; there are text, json"),
    ],
)
def test_usage(board: str, args: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, board, *args)
    assert (code, out) == (2, "")
    assert message in err


def test_text(board: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, board)
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == f"{board}:"
    assert lines[1].split() == ["0x40000000-0x4fffffff", "/memory@40000000[0]"]
    assert lines[2].split() == ["0x80000000+0", "/memory@40000000[1]"]
    assert lines[4].split() == ["0x810000100-0x81000010f", "/soc/uart@100[0]", "(0x100", "on", "/soc)"]
    assert lines[5].split(maxsplit=2) == ["-", "/soc/uart@100[1]", "(the ranges of /soc do not cover 0x2000)"]
    assert lines[-1].split() == ["0x21000000-0x21ffffff", "/pcie@0", "memory", "window"]
