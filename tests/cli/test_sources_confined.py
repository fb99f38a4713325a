"""A source is a stranger's program for cpp and dtc: it runs nothing, and reads nothing that the user did not name."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from dtanalyze.cli import main
from dtanalyze.errors import InputError
from dtanalyze.inputs.confined import run_confined
from dtanalyze.inputs.dts import compiled
from dtanalyze.inputs.sourcing import Sourcing

needs_tools = pytest.mark.skipif(
    shutil.which("dtc") is None or shutil.which("cpp") is None, reason="dtc or cpp is not installed"
)
SECRET = b"root:x:0:0:the secret"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a secret outside of it."""
    (tmp_path / "secret").write_bytes(SECRET)
    (tmp_path / "secret.h").write_bytes(b'#define S "' + SECRET + b'"\n')
    work = tmp_path / "work"
    work.mkdir()
    (work / "link").symlink_to(tmp_path / "secret")
    (work / "here.bin").write_bytes(b"four")
    (work / "here.h").write_text("#define V 3\n")
    monkeypatch.chdir(work)
    return work


def blob(source: str, includes: tuple[str, ...] = (), seconds: float = 5.0) -> bytes:
    return compiled("board.dts", source.encode(), Sourcing(includes), seconds).blob


@needs_tools
@pytest.mark.parametrize(
    "source",
    [
        '/dts-v1/; / { a = /incbin/("../secret"); };',
        '/dts-v1/; / { a = /incbin/ /* a comment */ ("../secret"); };',
        '/dts-v1/; / { a = /incbin/("link"); };',
        '/dts-v1/; /include/ "../secret"',
        '/dts-v1/; /include/ "nested.dtsi"',
        '#include "../secret.h"\n/dts-v1/; / { a = S; };',
        '#include "nested.h"\n/dts-v1/; / { a = S; };',
        '#define F "../secret.h"\n#include F\n/dts-v1/; / { a = S; };',
        '#define F "../secret"\n/dts-v1/; / { a = /incbin/(F); };',
        '/dts-v1/; / { a = /incbin/("/dev/zero"); };',
        '#include "/dev/zero"\n',
        '/dts-v1/;\n# 1 "/etc/passwd"\n/ { };',
        '/dts-v1/;\n#line 1 "../secret"\n/ { };',
        '#define A\n/dts-v1/;\n# 1 "../secret" 3\n/ { };',
    ],
)
def test_a_file_that_nobody_named_is_refused_by_name(source: str, place: Path) -> None:
    (place / "nested.dtsi").write_text('/ { a = /incbin/("../secret"); };')
    (place / "nested.h").write_text('#include "../secret.h"\n')
    with pytest.raises(InputError, match=r"it reads \S+, which is in no folder that was named \(--include names one\)"):
        blob(source)


@needs_tools
def test_a_folder_that_the_user_named_may_be_read(place: Path) -> None:
    for source in ('/dts-v1/; / { a = /incbin/("../secret"); };', '#include "../secret.h"\n/dts-v1/; / { a = S; };'):
        assert SECRET in blob(source, ("..",))


@needs_tools
@pytest.mark.parametrize(
    "source",
    [
        '/dts-v1/; / { a = /incbin/("\\x2e./secret"); };',
        '/dts-v1/; / { a = /incbin/("a b/../../secret"); };',
    ],
)
def test_a_name_that_hides_what_it_means_is_refused(source: str, place: Path) -> None:
    (place / "a b").mkdir()
    with pytest.raises(InputError, match="/incbin/ takes the plain name of a file here"):
        blob(source)


@needs_tools
@pytest.mark.parametrize("line", ['#pragma GCC pch_preprocess "x"', '#embed "x"', '#if __has_include("/etc/shadow")\n#endif', '_Pragma("GCC dependency \\"x\\"")'])
def test_what_reads_files_unseen_is_refused(line: str, place: Path) -> None:
    with pytest.raises(InputError, match="reads files unseen"):
        blob(f"#define A\n{line}\n/dts-v1/; / {{ }};")


@needs_tools
def test_a_pipe_is_no_file(place: Path) -> None:
    os.mkfifo(place / "pipe")
    with pytest.raises(InputError, match="pipe, which is no file"):
        blob('/dts-v1/; / { a = /incbin/("pipe"); };')


@needs_tools
def test_what_lies_beside_the_source_or_was_named_is_read(place: Path) -> None:
    assert b"four" in blob('#include "here.h"\n/dts-v1/; / { a = /incbin/("here.bin"); b = <V>; };')
    (place.parent / "named").mkdir()
    (place.parent / "named" / "there.h").write_text('#define W "there"\n')
    assert b"there" in blob("#include <there.h>\n/dts-v1/; / { a = W; };", ("../named",))


@needs_tools
def test_a_folder_that_looks_like_an_option_is_a_folder(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`cpp -I x -fplugin=./evil.dts` would load the plugin."""
    folder = place / "-fplugin=."
    folder.mkdir()
    (folder / "evil.dts").write_text("#define V 1\n/dts-v1/; / { v = <V>; };")
    (place / "list").write_text("-fplugin=./evil.dts\n")
    for name in ("**/*.dts", "*/*.dts", "@list"):
        with pytest.raises(SystemExit):
            main(["addresses", "--format", "json", name])
        answer = json.loads(capsys.readouterr().out)
        assert [item["path"] for item in answer["results"]] == ["-fplugin=./evil.dts"] and not answer["errors"]


@needs_tools
def test_the_environment_of_a_compiler_is_not_ours(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPENDENCIES_OUTPUT", str(place / "written"))
    monkeypatch.setenv("CPATH", str(place.parent))
    blob("#define V 1\n/dts-v1/; / { v = <V>; };")
    assert not (place / "written").exists()
    with pytest.raises(InputError, match=r"secret\.h: No such file"):
        blob("#include <secret.h>\n/dts-v1/; / { };")


def test_a_helper_has_limits(place: Path) -> None:
    def shell(script: str, seconds: float = 5.0) -> None:
        run_confined(["/bin/sh", "-c", script], b"", str(place), seconds)

    with pytest.raises(InputError, match="more CPU time than is left"):
        shell("while :; do :; done", 0.1)
    with pytest.raises(InputError, match="writes more than 64 MiB"):
        shell("exec head -c 100000000 /dev/zero")
    assert run_confined(["/bin/sh", "-c", "ulimit -v"], b"", str(place), 1).output == b"1048576\n"


def test_a_helper_that_is_none(place: Path) -> None:
    with pytest.raises(InputError, match="/nowhere cannot be run: No such file"):
        run_confined(["/nowhere"], b"", str(place), 1)


@needs_tools
def test_macros_that_explode_cost_only_their_source(place: Path) -> None:
    with pytest.raises(InputError):
        blob(
            "#define A(x) x x x x x x x x x x\n#define B(x) A(A(A(A(x))))\n"
            '/dts-v1/; / { a = B(B(B("aaaaaaaaaaaaaaaaaaaaaaaaa"))); };'
        )


@needs_tools
@pytest.mark.parametrize("first", ["", ".", "bin"])
def test_no_tool_of_the_working_folder_runs(first: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where PATH has an empty or a relative folder, whoever wrote the sources would say what runs."""
    for folder in (place, place / "bin"):
        folder.mkdir(exist_ok=True)
        for name in ("dtc", "cpp"):
            (folder / name).write_text("#!/bin/sh\ntouch ran\n")
            (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{first}{os.pathsep}{os.environ['PATH']}")
    assert blob("#define A a\n/dts-v1/; / { A; };").endswith(b"a\0")
    assert not (place / "ran").exists()
