"""The published schemas: made from the program's own lists, true of what it prints, and as strict as the program itself."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import fastjsonschema
import pytest

from dtanalyze.cli import main
from tests.conftest import FIXTURES

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
BOOTS = FIXTURES / "dtb" / "boots"


def made_by(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_answer_has_a_schema() -> None:
    commands = {path.stem for path in (ROOT / "dtanalyze" / "cli").glob("*.py") if "def command(" in path.read_text()}
    told = {name for name in commands if '"json"' in (ROOT / "dtanalyze" / "cli" / f"{name}.py").read_text()} | {"check", "fix"}
    assert told == {"check", "predict", "fix", "diff", "addresses", "overlaps", "selftest", "verify", "rules"}
    published = {path.name.removesuffix(".schema.json") for path in (DOCS / "schema").iterdir()}
    assert published == told - {"check"} | {"report", "dtanalyze", "refusals"}


@pytest.mark.parametrize("name", sorted(made_by("make_schemas").SCHEMAS))
def test_the_published_files_are_those_of_today(name: str) -> None:
    maker = made_by("make_schemas")
    assert (DOCS / "schema" / name).read_text() == maker.written(maker.SCHEMAS[name]()), "make docs"


def closed(schema: Any) -> Any:
    """Return a schema that lets no key through that it does not name."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(item) for key, item in schema.items()}
    return {**found, "additionalProperties": False} if found.get("type") == "object" else found


@cache
def answers(name: str) -> Any:
    """Return the schema of a command's answer, closed: what is printed has to hold nothing that it does not name."""
    return fastjsonschema.compile(closed(json.loads((DOCS / "schema" / f"{name}.schema.json").read_text())))


def report() -> Any:
    return answers("report")


@cache
def settings() -> Any:
    return fastjsonschema.compile(json.loads((DOCS / "schema" / "dtanalyze.schema.json").read_text()))


def answer(capsys: pytest.CaptureFixture[str], *argv: str) -> Any:
    with pytest.raises(SystemExit):
        main(["check", *argv, "--format", "json"])
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    "argv",
    [
        (*map(str, sorted(BOOTS.glob("*.dtb"))[:30]), "--request", "1", "--request", "100000000", "--linux", "all"),
        (*map(str, sorted((FIXTURES / "dtb" / "hosts").glob("*.dtb"))[:4]), "--without-reserve", str(ROOT / "README.md")),
        (*map(str, sorted((FIXTURES / "dtb" / "boards").glob("*.dtb"))[:6]), "--iommu", "both"),
    ],
    ids=["guests", "hosts", "boards"],
)
def test_what_is_printed_fits_and_holds_nothing_more(capsys: pytest.CaptureFixture[str], argv: tuple[str, ...]) -> None:
    found = answer(capsys, *argv)
    assert found["results"]
    report()(found)


HOSTS, BOARDS = FIXTURES / "dtb" / "hosts", FIXTURES / "dtb" / "boards"
OTHERS = [
    ("predict", (*map(str, sorted(HOSTS.glob("*.dtb"))[:6]), str(ROOT / "README.md"), "--iommu", "both")),
    ("predict", (*map(str, sorted(BOARDS.glob("*.dtb"))[:6]), "--memory", "0x80000000+2G")),
    ("addresses", tuple(map(str, sorted(BOARDS.glob("*.dtb"))[:6]))),
    ("addresses", (*map(str, sorted(BOARDS.glob("*.dtb"))[:3]), "--rules", "xen")),
    ("overlaps", tuple(map(str, sorted(BOARDS.glob("*.dtb"))))),
    ("diff", (str(BOOTS / "06c-1G-dom0-640M.dtb"), str(BOOTS / "16b-zcu102-61dtb-x420.dtb"))),
    ("diff", (str(BOOTS / "16b-zcu102-61dtb-x420.dtb"), str(BOOTS / "11e-is-ram.dtb"))),
    ("fix", (str(BOOTS / "06c-1G-dom0-640M.dtb"), "--alternatives")),
    ("fix", (str(BOOTS / "11e-is-ram.dtb"), "--linux", "6.12")),
    ("selftest", (str(BOOTS / "01-dom0-x420-l612.dtb"),)),
    ("rules", ()),
]


def printed(capsys: pytest.CaptureFixture[str], *argv: str) -> Any:
    with pytest.raises(SystemExit):
        main([*argv, "--format", "json"])
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(("command", "argv"), OTHERS, ids=[f"{name}-{number}" for number, (name, _) in enumerate(OTHERS)])
def test_what_other_commands_print_fits_and_holds_nothing_more(
    capsys: pytest.CaptureFixture[str], command: str, argv: tuple[str, ...]
) -> None:
    answers(command)(printed(capsys, command, *argv))


def test_what_diff_prints_of_folders_fits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for side, names in (("old", ("a", "b")), ("new", ("b", "c"))):
        (tmp_path / side).mkdir()
        for name in names:
            shutil.copy(BOOTS / "11e-is-ram.dtb", tmp_path / side / f"{name}.dtb")
    (tmp_path / "new" / "bad.dtb").write_bytes(b"")
    found = printed(capsys, "diff", str(tmp_path / "old"), str(tmp_path / "new"))
    assert len(found["trees"]) == 3 and found["errors"]
    answers("diff")(found)


def test_the_account_of_refusals_fits(capsys: pytest.CaptureFixture[str]) -> None:
    answers("refusals")(printed(capsys, "rules", "--refusals"))


def test_what_verify_prints_fits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.evidence.test_verify import evidence

    found = printed(capsys, "verify", *evidence("01-dom0-x420-l612", tmp_path))
    assert found["results"][0]["comparisons"]
    answers("verify")(found)


@pytest.mark.skipif(shutil.which("dtc") is None or shutil.which("cpp") is None, reason="no dtc or cpp: the answer of fix --diff is NOT held")
def test_what_fix_prints_of_a_source_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.cli.test_fix_source import BOARD, DTSI

    monkeypatch.chdir(tmp_path)
    (tmp_path / "board.dts").write_text(BOARD)
    (tmp_path / "soc.dtsi").write_text(DTSI)
    found = printed(capsys, "fix", "board.dts", "--linux", "6.12", "--diff")
    assert found["results"][0]["source"]["files"]
    answers("fix")(found)
    report()(printed(capsys, "check", "board.dts", "--linux", "6.12"))


def test_a_wrong_answer_of_another_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    good = printed(capsys, "predict", str(HOSTS / "06c-1G-dom0-640M.dtb"))
    changes: list[Callable[[Any], object]] = [
        lambda item: item["results"][0].pop("dom0_memory"),
        lambda item: item["results"][0].update(method="guess"),
        lambda item: item["results"][0]["check"].update(verdict="fine"),
        lambda item: item["results"][0]["boot"].update(memory=[["0x0"]]),
        lambda item: item.pop("errors"),
    ]
    for change in changes:
        bad = json.loads(json.dumps(good))
        change(bad)
        with pytest.raises(fastjsonschema.JsonSchemaException):
            answers("predict")(bad)


def test_suppressed_baseline_and_settings_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(BOOTS / "11e-is-ram.dtb", tmp_path / "a.dtb")
    shutil.copy(BOOTS / "11e-is-ram.dtb", tmp_path / "b.dtb")
    (tmp_path / "dtanalyze.toml").write_text('linux = "6.12"\n[[suppress]]\nrule = "X03"\nreason = "r"\nowner = "o"\nexpires = 2099-01-01\n')
    with pytest.raises(SystemExit):
        main(["check", "a.dtb", "b.dtb", "--write-baseline", "known.json"])
    capsys.readouterr()
    shutil.copy(BOOTS / "01-dom0-x420-l612.dtb", tmp_path / "b.dtb")
    found = answer(capsys, "a.dtb", "b.dtb", "--baseline", "known.json")
    assert found["suppressed"] and found["settings"] and found["baseline"]["absent"]
    report()(found)


def test_a_report_of_another_form_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    good = answer(capsys, str(BOOTS / "11e-is-ram.dtb"))
    changes: list[Callable[[Any], object]] = [
        lambda item: item.update(schema_version=3),
        lambda item: item["results"][0].update(verdict="fine"),
        lambda item: item["results"][0].pop("cause"),
        lambda item: item["results"][0]["findings"][0].update(severity="bad"),
        lambda item: item["results"][0].update(section_size=134217728),
        lambda item: item["results"][0].update(unknown=1),
    ]
    for change in changes:
        bad = json.loads(json.dumps(good))
        change(bad)
        with pytest.raises(fastjsonschema.JsonSchemaException):
            report()(bad)


def test_the_sample_is_one_that_the_program_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(DOCS / "dtanalyze.toml", tmp_path)
    data = tomllib.loads((DOCS / "dtanalyze.toml").read_text())
    data["suppress"][0]["expires"] = data["suppress"][0]["expires"].isoformat()  # editors see the date as text
    settings()(data)
    monkeypatch.chdir(tmp_path)
    shutil.copy(BOOTS / "01-dom0-x420-l612.dtb", tmp_path / "a.dtb")
    (tmp_path / "known.json").write_text('{"baseline_version": 1, "findings": []}')
    with pytest.raises(SystemExit) as left:
        main(["check", "a.dtb"])
    assert left.value.code in (0, 1), capsys.readouterr().err


@pytest.mark.parametrize(
    "table",
    [
        {"linx": "6.12"},
        {"jobs": "many"},
        {"kaslr": "yes"},
        {"request": ["one"]},
        {"suppress": [{"rule": "X01", "reason": "r"}]},
        {"suppress": [{"rule": "X00", "reason": "r", "owner": "o"}]},
        {"suppress": [{"rule": "X01", "reason": "r", "owner": "o", "until": "2027-01-01"}]},
        {"suppress": {"rule": "X01", "reason": "r", "owner": "o"}},
    ],
)
def test_what_the_program_refuses_the_schema_refuses(
    table: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(fastjsonschema.JsonSchemaException):
        settings()(table)
    from dtanalyze.controls.selection import known_rules
    from dtanalyze.controls.settings import from_file
    from dtanalyze.controls.suppressions import suppressions_from
    from dtanalyze.errors import UsageError

    with pytest.raises(UsageError):
        from_file(table, "x")
        suppressions_from(table["suppress"], "x", known_rules())


def test_the_manual_page_names_every_option() -> None:
    page = made_by("make_man").manual().replace("\\-", "-")
    for command in ("check", "fix", "verify", "collect"):
        names = re.findall(r'Option\(\s*"(--[a-z-]+)"', (ROOT / "dtanalyze" / "cli" / f"{command}.py").read_text())
        assert all(f"{name}" in page for name in names) and f".SH DTANALYZE {command.upper()}\n" in page
    assert "\n.SS Sources\n" in page and page.count(".SS Options\n") <= page.count(".SH DTANALYZE ")


@pytest.mark.skipif(shutil.which("man") is None or shutil.which("groff") is None, reason="no man or groff: the page is NOT formatted")
def test_the_manual_page_is_formatted_without_a_warning(tmp_path: Path) -> None:
    (tmp_path / "dtanalyze.1").write_text(made_by("make_man").manual())
    ran = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", str(tmp_path / "dtanalyze.1")],
        capture_output=True, text=True, check=False, env={"MANWIDTH": "100", "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    assert ran.returncode == 0 and ran.stderr == ""
    assert "--write" in ran.stdout and "Make the changes in the source" in ran.stdout and "EXIT STATUS" in ran.stdout
