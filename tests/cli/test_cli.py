"""The command line as scripts and people meet it: exit statuses, streams, broken input, options that change the answer."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Protocol

import pytest

from dtanalyze.cli import main

ROOT = Path(__file__).parents[2]
BOOTS = ROOT / "fixtures" / "dtb" / "boots"
HOSTS = ROOT / "fixtures" / "dtb" / "hosts"
BOARDS = ROOT / "fixtures" / "dtb" / "boards"
HOST = str(HOSTS / "01-dom0-x420-l612.dtb")
GOOD = str(BOOTS / "02-dom0-x417-l612.dtb")
CUT = str(BOOTS / "01-dom0-x420-l612.dtb")
EXHAUSTED = str(BOOTS / "06c-1G-dom0-640M.dtb")
BALLOON = str(BOOTS / "04-dom0-x420-l612-noext.dtb")
NATIVE = str(BOOTS / "07d-domU-not-enhanced.dtb")
HAZARD = str(BOOTS / "11g-unclaimed-dev.dtb")


class Run(Protocol):
    """Run the command line; return its status, stdout and stderr."""

    def __call__(self, *argv: str) -> tuple[int, str, str]: ...


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process; return its status, stdout and stderr."""

    def call(*argv: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main(list(argv))
        captured = capsys.readouterr()
        return int(left.value.code or 0), captured.out, captured.err

    return call


def process(*argv: str, stdin: bytes | None = None, **env: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "dtanalyze", *argv],
        input=stdin,
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, **env},
        check=False,
    )


@pytest.mark.parametrize(
    ("tree", "as_", "fail_on", "status"),
    [
        (GOOD, "dom0", "info", 0),
        (EXHAUSTED, "dom0", "error", 1),
        (EXHAUSTED, "dom0", "never", 0),
        (BALLOON, "dom0", "error", 0),
        (BALLOON, "dom0", "warning", 1),
        (NATIVE, "domu", "warning", 0),
        (NATIVE, "domu", "info", 1),
        (HAZARD, "dom0", "error", 1),
    ],
)
def test_exit_status(run: Run, tree: str, as_: str, fail_on: str, status: int) -> None:
    assert run("check", "-q", "--as", as_, "--fail-on", fail_on, tree)[0] == status


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["check", GOOD, "--frmat", "json"], "No such option: --frmat"),
        (["check"], "Missing argument"),
        (["frobnicate"], "No such command 'frobnicate'"),
        (["check", GOOD, "--format", "yaml"], "no format is called 'yaml'; there are text"),
        (["check", GOOD, "--linux", "9.9"], "no Linux preset is called '9.9'; there are v2,"),
        (["check", GOOD, "--xen", "9.9"], "no Xen release is called '9.9'; there are 4.16,"),
        (["check", GOOD, "--arch", "mips"], "--arch takes arm64, arm or x86, not 'mips'"),
        (["check", GOOD, "--as", "guest"], "--as takes host, dom0 or domu, not 'guest'"),
        (["check", GOOD, "--page-size", "8K"], "--page-size takes 4K, 16K or 64K, not '8K'"),
        (["check", GOOD, "--va-bits", "40"], "--va-bits takes one of 36, 39, 42, 47, 48, 52, not 40"),
        (["check", GOOD, "--memory", "1G"], "'1G' is not a range: write START+SIZE or START-STOP"),
        (["check", GOOD, "--memory", "2G-1G"], "the range '2G-1G' is empty"),
        (["check", GOOD, "--memory", "0+x"], "'x' is not a size"),
        (["check", GOOD, "--request", "0"], "--request takes 1 to 4294967295 pages, not 0"),
        (["check", GOOD, "--need", "lots"], "'lots' is not a size"),
        (["check", GOOD, "--fail-on", "maybe"], "--fail-on takes error, warning, info or never"),
        (["check", GOOD, "--color", "red"], "--color takes auto, always or never"),
        (["check", GOOD, "--iommu", "perhaps"], "--iommu takes on, off or both"),
        (["check", GOOD, "--ipa-bits", "64"], "guest physical addresses have 32 to 52 bits, not 64"),
        (["check", GOOD, "--proc-iomem", "/no/such/iomem"], "/no/such/iomem: No such file"),
        (["check", GOOD, "--kconfig", GOOD], "not a kernel .config"),
        (["check", GOOD, "--xen-log", GOOD], "not a Xen boot log"),
        (["addresses", GOOD, "--rules", "bsd"], "--rules takes linux or xen"),
        (["predict", GOOD], "a guest's tree"),
    ],
)
def test_a_wrong_call_is_one_sentence_and_status_2(run: Run, argv: list[str], words: str) -> None:
    status, out, err = run(*argv)
    assert (status, out) == (2, "")
    assert words in err and "Traceback" not in err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"\x00\x01\x02\x03" * 20, "does not begin with the magic"),
        (Path(GOOD).read_bytes()[:300], "the file is cut off"),
    ],
)
def test_a_broken_file(run: Run, tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "board.dtb"
    path.write_bytes(content)
    for command in ("check", "predict", "map", "addresses"):
        status, out, err = run(command, str(path))
        assert status == 2 and words in err and "byte offset" in err, command
        assert out == ""


@pytest.mark.parametrize("path", ["/nowhere/board.dtb", str(ROOT / "docs")])
def test_a_file_that_cannot_be_read(run: Run, path: str) -> None:
    status, out, err = run("check", path)
    assert (status, out) == (2, "") and path in err and len(err.splitlines()) == 1


def test_one_bad_file_costs_only_itself(run: Run, tmp_path: Path) -> None:
    bad = tmp_path / "bad.dtb"
    bad.write_bytes(b"")
    status, out, err = run("check", "--format", "json", GOOD, str(bad), EXHAUSTED)
    answer = json.loads(out)
    assert status == 2 and "bad.dtb" in err
    assert [item["path"] for item in answer["results"]] == [GOOD, EXHAUSTED]
    assert answer["errors"] == [
        {"path": str(bad), "message": "the file is empty, not a flattened devicetree (at byte offset 0x0)", "offset": 0}
    ]


def test_standard_input_module_and_version() -> None:
    found = process("check", "-q", "-", stdin=Path(GOOD).read_bytes())
    assert found.returncode == 0 and found.stdout.startswith(b"<stdin>: scratch: ")
    assert process("--version").stdout == b"dtanalyze 0.1.0\n"


def test_a_reader_that_leaves_gives_no_traceback() -> None:
    command = f"{sys.executable} -m dtanalyze addresses {' '.join([GOOD] * 40)} | head -1"
    found = subprocess.run(command, shell=True, capture_output=True, cwd=ROOT, check=False)
    assert found.stderr == b"" and len(found.stdout.splitlines()) == 1


@pytest.mark.parametrize("command", ["check", "predict", "map", "addresses"])
def test_help_has_examples(run: Run, command: str) -> None:
    status, out, _ = run(command, "--help")
    assert status == 0 and f"dtanalyze {command} " in out and "Examples:" in out


def test_colour(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    assert "\x1b[" not in run("check", GOOD)[1], "not a terminal"
    assert "\x1b[" in run("check", GOOD, "--color", "always")[1]
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" in run("check", GOOD)[1]
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in run("check", GOOD)[1]
    assert "\x1b[" not in run("check", GOOD, "--color", "never")[1]


def test_quiet_is_one_line(run: Run) -> None:
    assert run("check", "-q", GOOD, EXHAUSTED)[1].count("\n") == 2
    assert run("predict", "-q", str(HOSTS / "01-dom0-x420-l612.dtb"))[1].count("\n") == 1


def test_same_bytes_out() -> None:
    first, second = (process("check", "--format", "json", HAZARD, PYTHONHASHSEED=seed).stdout for seed in ("1", "2"))
    assert first == second != b""


RESULT: dict[str, Any] = {
    "path": str, "tree": str, "domain": (str, type(None)), "linux": str, "arch": str, "xen": (str, type(None)),
    "iommu": (bool, type(None)), "assumed": list, "verdict": str, "reason": str, "kaslr": (bool, type(None)),
    "alternatives": list, "target": (str, type(None)), "grant_table": (list, type(None)), "extended_regions": list,
    "section_size": str, "page_size": str, "sections": int, "pages": int, "largest_request": int, "requests": list,
    "views": dict, "findings": list,
}  # fmt: skip


@pytest.mark.parametrize("tree", [GOOD, EXHAUSTED, BALLOON, NATIVE, HAZARD, str(HOSTS / "01-dom0-x420-l612.dtb")])
def test_json_keeps_its_promise(run: Run, tree: str) -> None:
    answer = json.loads(run("check", "--format", "json", "--request", "1", tree)[1])
    assert list(answer) == ["schema_version", "tool", "results", "errors"]
    assert (answer["schema_version"], answer["tool"]["name"]) == (2, "dtanalyze")
    (result,) = answer["results"]
    assert set(RESULT) <= set(result)
    for key, kind in RESULT.items():
        assert isinstance(result[key], kind), key
    assert set(result["views"]) == {"xen_resource", "iomem_resource"}
    for item in result["requests"]:
        assert set(item) == {"pages", "outcome", "taken", "error", "message"}
    for item in result["findings"]:
        assert {"rule", "name", "severity", "message", "node", "ranges", "offset"} <= set(item)


def test_json_of_the_recorded_boot(run: Run) -> None:
    """Hand-read from the recorded boot and the worked capacity of its two regions."""
    out = run("check", "--format", "json", "--linux", "6.12", "--request", "1", "--request", "65536", CUT)[1]
    (result,) = json.loads(out)["results"]
    assert (result["tree"], result["domain"], result["xen"], result["verdict"]) == ("dom0", "dom0", "4.20", "scratch")
    assert result["grant_table"] == ["0x40400000", "0x40440000"]
    assert result["extended_regions"] == [["0x40600000", "0x5fe00000"], ["0x80000000", "0xbfe00000"]]
    assert (result["section_size"], result["page_size"]) == ("0x8000000", "0x1000")
    # 0x48000000 and 0x50000000; then 0x80000000 to 0xb8000000 in steps of 128 MiB
    assert (result["sections"], result["pages"], result["largest_request"]) == (9, 9 * 32768, 7 * 32768)
    assert result["requests"] == [
        {"pages": 1, "outcome": "scratch", "taken": [["0x48000000", "0x50000000"]], "error": None, "message": None},
        # the first page went back to the list, so 32768 more are wanted
        {"pages": 65536, "outcome": "scratch", "taken": [["0x50000000", "0x58000000"]], "error": None, "message": None},
    ]
    xen = result["views"]["xen_resource"]
    assert (xen["name"], xen["range"]) == ("Xen unused space", ["0x40600000", "0xbfe00000"])
    assert [(item["name"], item["range"][0]) for item in xen["children"]] == [
        ("Xen scratch", "0x48000000"), ("Xen scratch", "0x50000000"), ("Unavailable space", "0x5fe00000")
    ]  # fmt: skip
    claims = {item["name"]: item["claim"] for item in result["views"]["iomem_resource"]["children"]}
    assert (claims["GICD"], claims["System RAM"], claims["PCI ECAM"], claims["flash@0"]) == (
        "certain", "certain", "certain", "possible"
    )  # fmt: skip


def test_proc_iomem_settles_claims(run: Run, tmp_path: Path) -> None:
    """The rogue device's range, claimed in a recorded /proc/iomem, turns a hazard into a conflict."""
    recorded = json.loads((ROOT / "fixtures" / "boots" / "11g-unclaimed-dev.json").read_text())["iomem_before"]
    path = tmp_path / "iomem"
    path.write_text("\n".join(recorded) + "\n")
    assert "hazard" in run("check", "-q", HAZARD, "--proc-iomem", str(path))[1]
    path.write_text("\n".join([*recorded, "d0000000-d0000fff : rogue"]) + "\n")
    assert "conflict" in run("check", "-q", HAZARD, "--proc-iomem", str(path))[1]


def test_kconfig_overrides_the_preset(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(
        "# Linux/arm64 6.1.0 Kernel Configuration\nCONFIG_ARM64=y\nCONFIG_ARM64_4K_PAGES=y\nCONFIG_ARM64_VA_BITS=48\n"
        "CONFIG_XEN=y\nCONFIG_RANDOMIZE_BASE=y\n# CONFIG_XEN_UNPOPULATED_ALLOC is not set\n"
    )
    status, out, _ = run("check", "-q", GOOD, "--kconfig", str(path))
    assert (status, "balloon" in out, "Linux 6.1" in out) == (0, True, True)
    assert "scratch" in run("check", "-q", GOOD, "--kconfig", str(path), "--unpopulated-alloc")[1]


def test_need(run: Run) -> None:
    assert run("check", CUT, "--need", "1G")[0] == 0
    status, out, _ = run("check", CUT, "--need", "294913")
    assert status == 1 and "V-need" in out and "294912" in out, "9 sections of 32768 pages"


def test_explain_and_without_reserve(run: Run) -> None:
    out = run("check", HAZARD, "--request", "1", "--explain", "--without-reserve")[1]
    assert "gap 0xd0000000-0xdfffffff, aligned to 0xd0000000: fits" in out
    assert "chosen 0xd0000000-0xd7ffffff" in out
    assert "to a driver that binds later: /rogue@d0000000" in out
    assert "to balloon memory hotplug, as System RAM at 0xd0000000" in out
    refused = run("check", str(BOOTS / "11e-is-ram.dtb"), "--request", "1", "--explain")[1]
    assert "refused by System RAM [0x60000000-0x7fffffff]: -EBUSY" in refused


def test_map(run: Run) -> None:
    out = run("map", "--list", HAZARD, "--request", "1")[1]
    assert "d0000000-d7ffffff : Xen scratch" in out and "rogue@d0000000 ? /rogue@d0000000" in out
    assert "?" not in run("map", "--list", HAZARD, "--certain")[1]


def test_sweep_order_and_table(run: Run) -> None:
    host = str(HOSTS / "06c-1G-dom0-640M.dtb")
    argv = ("check", host, "--xen", "4.20,4.22", "--linux", "6.1,6.12", "--iommu", "both")
    results = json.loads(run(*argv, "--format", "json")[1])["results"]
    assert [(item["xen"], item["linux"], item["iommu"]) for item in results] == [
        (xen, linux, iommu) for xen in ("4.20", "4.22") for linux in ("6.1", "6.12") for iommu in (False, True)
    ]
    table = run(*argv)[1]
    assert "Xen 4.20, IOMMU off  exhausted" in table and "Xen 4.22, IOMMU off  scratch 2" in table


def test_emit_dtb(run: Run, tmp_path: Path) -> None:
    host = str(HOSTS / "01-dom0-x420-l612.dtb")
    single = tmp_path / "dom0.dtb"
    assert run("predict", host, "--emit-dtb", str(single))[0] == 0
    assert "scratch" in run("check", "-q", str(single))[1]
    folder = tmp_path / "trees"
    assert run("predict", host, "--xen", "4.20,4.22", "--emit-dtb", str(folder))[0] == 0
    assert sorted(path.name for path in folder.iterdir()) == [
        "01-dom0-x420-l612-dom0-xen4.20-noiommu.dtb",
        "01-dom0-x420-l612-dom0-xen4.22-noiommu.dtb",
    ]
    status, _, err = run("predict", host, "--xen", "4.20,4.22", "--emit-dtb", str(single))
    assert status == 2 and "is a file, and 2 trees need a folder" in err
    board = str(ROOT / "fixtures" / "dtb" / "boards" / "rockchip-rk3399-rockpro64.dtb")
    status, _, err = run("predict", board, "--emit-dtb", str(tmp_path / "x.dtb"))
    assert status == 2 and "--memory supplies it" in err


def test_predict_json(run: Run) -> None:
    host = str(HOSTS / "16a-zcu102-612dtb-x420.dtb")
    status, out, _ = run("predict", host, "--xen", "4.20", "--format", "json")
    (result,) = json.loads(out)["results"]
    assert status == 1
    assert result["stopped_by"]["stage"] == "dom0-devices"
    assert result["stopped_by"]["message"].endswith("; Could not set up DOM0 guest OS (rc = -22)")
    assert result["stopped_by"]["lines"][0] == "Unable to retrieve address 0 for /remoteproc@ffe00000/r5f@1"
    assert (result["domain"], result["method"], result["iommu"], result["check"]) == ("dom0", "unallocated", False, None)
    assert result["boot"]["panic"] is None and result["boot"]["memory"][0] == ["0x0", "0x80000000"]


def test_predict_text(run: Run) -> None:
    out = run("predict", str(HOSTS / "01-dom0-x420-l612.dtb"), "--xen", "4.20", "--explain")[1]
    assert "dom0, Xen 4.20: 2 extended regions, 1526 MiB" in " ".join(out.split())
    assert "remove the domain's RAM 0x60000000-0x7fffffff" in out
    assert max(map(len, out.splitlines())) <= 80
    assert out.index("\nAddresses\n") < out.index("\nAssumed\n") < out.index("\nHow Xen boots\n")
    assert "  host RAM           0x40000000-0xbfffffff (2 GiB) /memory@40000000\n" in out


@pytest.mark.parametrize("more", [(), ("--refusals",)])
def test_the_catalogue_fits_where_there_is_no_terminal(more: tuple[str, ...], run: Run) -> None:
    out = run("rules", *more)[1]
    assert 70 < max(map(len, out.splitlines())) <= 80


def test_predict_of_a_board_that_stops_names_the_command_that_says_what_to_do(run: Run) -> None:
    board = str(BOARDS / "xilinx-zynqmp-zcu102-rev1.0.dtb")
    out = run("predict", board, "--xen", "4.20", "--dom0-mem", "1G")[1]
    said = " ".join(out.partition("\nWhat to do\n")[2].partition("\n\n")[0].split())
    assert said == f"dtanalyze check {board} --xen 4.20 --dom0-mem 1G says what to change"
    assert run("predict", board, "--xen", "4.20", "--quiet")[1].count("\n") == 1


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (
            ["--xen", "4.20", "--dom0-mem", "1G"],
            "--xen, --dom0-mem: no effect, every tree is a guest's, which Xen has written already",
        ),
        (["--quiet", "--xen", "4.20"], ""),
        ([], ""),
    ],
)
def test_options_without_effect_are_said(argv: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["check", GOOD, "--no-config", *argv])
    assert capsys.readouterr().err == (f"dtanalyze: {said}\n" if said else "")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["check", HOST, "--annotate-limit", "3"], "--annotate-limit: no effect without --format github"),
        (["check", HOST, "--annotate-limit", "3", "--format", "github"], ""),
        (["check", HOST, "-D", "A=1", "-I", "."], "--include, --define: no effect, nothing is compiled from a source"),
        (["map", HOST, "--certain"], "--certain: no effect without --list"),
        (["map", HOST, "--certain", "--list"], ""),
        (["map", HOST, "--list", "--html", "-"], "--list: no effect, --html and --svg draw"),
        (["map", GOOD, "--xen", "4.20"], "--xen: no effect, every tree is a guest's, which Xen has written already"),
        (["diff", GOOD, GOOD, "--xen", "4.20"], "--xen: no effect, every tree is a guest's, which Xen has written already"),
        (["diff", HOST, HOST, "--xen", "4.20"], ""),
        (["fix", GOOD, "--iommu", "on"], "--iommu: no effect, every tree is a guest's, which Xen has written already"),
    ],
)
def test_each_command_says_what_cannot_matter(argv: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(argv)
    lines = [line for line in capsys.readouterr().err.splitlines() if "no effect" in line]
    assert lines == ([f"dtanalyze: {said}"] if said else [])


def test_a_folder_may_hold_sources(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.dtb").write_bytes(Path(GOOD).read_bytes())
    with pytest.raises(SystemExit):
        main(["check", str(tmp_path), "-D", "A=1"])
    assert "no effect" not in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--va-bits", "39"], ["--page-size", "64K"]])
@pytest.mark.parametrize("arch", ["arm", "x86"])
def test_what_only_arm64_kernels_have_is_refused_for_others(
    option: list[str], arch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["check", GOOD, "--arch", arch, *option])
    assert left.value.code == 2 and f"{option[0]} is of arm64 kernels: one on {arch}" in capsys.readouterr().err


def test_iomem_needs_a_guest(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["check", str(HOSTS / "01-dom0-x420-l612.dtb"), "--no-config", "--iomem", "0x10000000+4K"])
    assert "--iomem: no effect without --domu" in capsys.readouterr().err
