"""Settings: the file found upward, the environment, the command line above both, and every wrong key."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dtanalyze.cli import main
from dtanalyze.controls.settings import KEYS
from tests.conftest import FIXTURES

CUT = FIXTURES / "dtb" / "boots" / "01-dom0-x420-l612.dtb"  # two warnings and an info, scratch


class Desk:
    def __init__(self, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.place, self.capsys = place, capsys
        (place / "trees").mkdir()
        shutil.copy(CUT, place / "trees" / "board.dtb")

    def run(self, *argv: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main(["check", "trees/board.dtb", *argv])
        printed = self.capsys.readouterr()
        return (left.value.code if isinstance(left.value.code, int) else 0), printed.out, printed.err

    def write(self, text: str, name: str = "dtanalyze.toml") -> None:
        (self.place / name).write_text(text)


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path, capsys)


def test_nothing_set(desk: Desk) -> None:
    status, out, _ = desk.run("--show-settings")
    lines = out.splitlines()
    assert status == 0 and len(lines) == len(KEYS)
    assert all(line.endswith("(default)") for line in lines)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("dtanalyze.toml", 'fail-on = "warning"'),
        ("pyproject.toml", '[tool.dtanalyze]\nfail-on = "warning"'),
        ("../dtanalyze.toml", 'fail-on = "warning"'),
    ],
)
def test_a_file_is_found_upward_from_the_working_folder(name: str, text: str, desk: Desk) -> None:
    desk.write(text, name)
    try:
        assert desk.run("-q")[0] == 1
        assert desk.run("-q", "--no-config")[0] == 0
        assert desk.run("-q", "--fail-on", "error")[0] == 0, "the command line stands above the file"
    finally:
        (desk.place / name).unlink()


def test_the_nearest_file_counts_and_a_foreign_pyproject_does_not(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.write('fail-on = "warning"')
    monkeypatch.chdir(desk.place / "trees")
    desk.write("[project]\nname = 'x'", "trees/pyproject.toml")
    assert f"warning  ({desk.place}/dtanalyze.toml: fail-on)" in desk.run("--show-settings")[1]
    desk.write('fail-on = "error"', "trees/dtanalyze.toml")
    assert "error  (dtanalyze.toml: fail-on)" in desk.run("--show-settings")[1]


def test_the_search_ends_at_the_project(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.write('fail-on = "warning"')
    assert desk.run("-q")[0] == 1
    (desk.place / "project" / ".git").mkdir(parents=True)
    (desk.place / "project" / "trees").symlink_to(desk.place / "trees")
    monkeypatch.chdir(desk.place / "project")
    assert desk.run("-q")[0] == 0, "what lies above the project is somebody else's"


GREEN = """
fail-on = "never"
exit-zero = true
select = "X17"
linux = "v2"
unpopulated-alloc = false
suppress = [{rule = "X12", reason = "x", owner = "x"}]
memory = "0x60000000+512M"
"""


def test_a_file_that_comes_with_the_input_turns_nothing_green(desk: Desk) -> None:
    desk.write(GREEN, "trees/dtanalyze.toml")
    plain = json.loads(desk.run("--no-config", "--format", "json", "--memory", "0x60000000+512M")[1])
    status, out, _ = desk.run("--fail-on", "warning", "--format", "json")
    answer = json.loads(out)
    (used,) = answer.pop("settings")
    assert status == 1 and answer == plain, "the kernel, the findings and the status are what they are without it"
    assert used == {
        "path": "trees/dtanalyze.toml",
        "keys": ["memory"],
        "without_effect": ["fail-on", "exit-zero", "select", "linux", "unpopulated-alloc", "suppress"],
    }
    assert desk.run("--config", "trees/dtanalyze.toml", "-q", "--ignore", "V-balloon")[0] == 0, "named by the user it counts"


@pytest.mark.parametrize("form", ["text", "json", "sarif", "junit", "github", "gitlab", "markdown"])
def test_every_format_names_the_file_its_keys_and_what_is_suppressed(form: str, desk: Desk) -> None:
    desk.write('fail-on = "never"\nsuppress = [{rule = "X12", reason = "by design", owner = "ann"}]')
    out = desk.run("--format", form)[1].replace("\\", "")
    assert "dtanalyze.toml" in out and "fail-on" in out and "suppress" in out
    assert "X12" in out and "by design" in out and "ann" in out


def test_a_quiet_run_says_it_on_the_other_stream(desk: Desk) -> None:
    desk.write('fail-on = "never"')
    status, out, err = desk.run("-q")
    assert status == 0 and out.count("\n") == 1
    assert err == "dtanalyze: dtanalyze.toml sets fail-on\n"


def test_the_environment_stands_above_the_file(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.write('fail-on = "error"\nlinux = "6.1"\nrequest = [1, 2]\nefi = true\nva-bits = 39\nmemory = "0x60000000+512M"')
    monkeypatch.setenv("DTANALYZE_FAIL_ON", "warning")
    monkeypatch.setenv("DTANALYZE_SELECT", "X17 X12")
    monkeypatch.setenv("DTANALYZE_REQUEST", "3 4")
    monkeypatch.setenv("DTANALYZE_KASLR", "off")
    monkeypatch.setenv("DTANALYZE_IPA_BITS", "40")
    status, out, _ = desk.run("--show-settings", "--linux", "6.12")
    said = {line.split()[0]: line.split(None, 1)[1] for line in out.splitlines()}
    assert status == 0
    assert said["fail-on"] == "warning  (DTANALYZE_FAIL_ON)"
    assert said["linux"] == "6.12  (command line)"
    assert said["va-bits"] == "39  (dtanalyze.toml: va-bits)"
    assert said["request"] == "3 4  (DTANALYZE_REQUEST)"
    assert said["select"] == "X17 X12  (DTANALYZE_SELECT)"
    assert said["efi"] == "true  (dtanalyze.toml: efi)"
    assert said["kaslr"] == "false  (DTANALYZE_KASLR)"
    assert said["memory"] == "0x60000000+512M  (dtanalyze.toml: memory)"
    assert said["arch"] == "-  (default)"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('fail_on = "error"', "dtanalyze.toml: no setting is called 'fail_on'; the nearest is fail-on"),
        ("zzzz = 1", "dtanalyze.toml: no setting is called 'zzzz'"),
        ("va-bits = '48'", "dtanalyze.toml: va-bits takes a whole number, not '48'"),
        ("linux = ['6.1']", "dtanalyze.toml: linux takes text, not ['6.1']"),
        ("efi = 1", "dtanalyze.toml: efi takes true or false, not 1"),
        ("request = ['a']", "dtanalyze.toml: request takes a list of whole numbers"),
        ("memory = [true]", "dtanalyze.toml: memory takes a list of texts"),
        ("=", "dtanalyze.toml: not TOML"),
        ("linux = '9.9'", "no Linux preset is called '9.9'"),
    ],
)
def test_wrong_settings(text: str, words: str, desk: Desk) -> None:
    desk.write(text)
    status, out, err = desk.run()
    assert (status, out) == (2, "") and words in err


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("DTANALYZE_FAIL", "error", "DTANALYZE_FAIL: no setting is called so; the nearest is DTANALYZE_FAIL_ON"),
        ("DTANALYZE_VA_BITS", "many", "DTANALYZE_VA_BITS: takes a whole number, not 'many'"),
        ("DTANALYZE_EFI", "perhaps", "DTANALYZE_EFI: takes true or false, not 'perhaps'"),
        ("DTANALYZE_REQUEST", "1 x", "DTANALYZE_REQUEST: takes a list of whole numbers, not '1 x'"),
    ],
)
def test_wrong_variables(name: str, value: str, words: str, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    status, _, err = desk.run()
    assert status == 2 and words in err


def test_a_named_file(desk: Desk) -> None:
    desk.write('fail-on = "warning"', "other.toml")
    assert desk.run("-q", "--config", "other.toml")[0] == 1
    assert desk.run("-q", "--config=other.toml")[0] == 1
    assert "none.toml: No such file" in desk.run("--config", "none.toml")[2]
    desk.write("[project]", "pyproject.toml")
    assert "it has no table [tool.dtanalyze]" in desk.run("--config", "pyproject.toml")[2]
    desk.write("[tool]\ndtanalyze = 1", "pyproject.toml")
    assert "tool.dtanalyze has to be a table" in desk.run()[2]
    (desk.place / "raw.toml").write_bytes(b"\xff")
    assert "raw.toml: not TOML" in desk.run("--config", "raw.toml")[2]


@pytest.mark.parametrize("command", ["map", "fix", "predict", "diff"])
def test_other_commands_ask_what_the_gate_asks(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The kernel stands in the file: none of them has to be told again."""
    board = FIXTURES / "dtb" / "hosts" / "06c-1G-dom0-640M.dtb"
    shutil.copy(board, tmp_path / "board.dtb")
    (tmp_path / "dtanalyze.toml").write_text('linux = "6.6"\njobs = 2\n')
    monkeypatch.chdir(tmp_path)
    argv = [command, "board.dtb", *(["board.dtb"] if command == "diff" else [])]
    argv += ["--format", "json"] if command in ("fix", "predict", "diff") else []

    def said(*more: str) -> tuple[str, str]:
        with pytest.raises(SystemExit):
            main([*argv, *more])
        printed = capsys.readouterr()
        return printed.out, printed.err

    out, err = said()
    assert "6.6" in out and err.startswith("dtanalyze: dtanalyze.toml sets linux\n"), "jobs is no option of theirs"
    assert "6.6" not in said("--linux", "6.12")[0], "the command line stands above the file"
    out, err = said("--no-config")
    assert "6.6" not in out and "dtanalyze.toml" not in err


@pytest.mark.skipif(
    shutil.which("dtc") is None or shutil.which("cpp") is None, reason="no dtc or cpp: sources are NOT compiled"
)
def test_macros_and_folders_of_sources_may_stand_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "x.h").write_text(
        "#ifdef GOOD\n#if GOOD != 7\n#error another number\n#endif\n#else\n#error none\n#endif\n"
    )
    (tmp_path / "a.dts").write_text("/dts-v1/;\n#include <x.h>\n/ { a = <GOOD>; b = <1 };\n")
    monkeypatch.chdir(tmp_path)
    for settings, said in (
        ('define = ["GOOD=7"]', "dtc: a.dts:3:21: syntax error"),
        ('define = "GOOD=8"', "another number"),
        ("", "none"),
    ):
        (tmp_path / "dtanalyze.toml").write_text(f'include = ["include"]\n{settings}\n')
        with pytest.raises(SystemExit):
            main(["check", "a.dts"])
        assert said in capsys.readouterr().err
