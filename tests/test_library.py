"""The library: its names and signatures are pinned, and it says what the command line says."""

from __future__ import annotations

import doctest
import importlib
import inspect
import json
import pydoc
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

import dtanalyze
from dtanalyze.cli import main
from dtanalyze.library.words import Asked
from dtanalyze.report import FORMATS
from tests.conftest import FIXTURES
from tests.trees import dtb

BOOT = FIXTURES / "dtb" / "boots" / "01-dom0-x420-l612.dtb"
HOST = FIXTURES / "dtb" / "hosts" / "01-dom0-x420-l612.dtb"

# A change here is a change for everybody who uses the library: a removal or a new meaning needs a new major version.
FUNCTIONS = [
    "__version__",
    "check",
    "diff",
    "explain",
    "fix",
    "linux_profile",
    "load",
    "map",
    "overlaps",
    "predict",
    "read_xen_log",
    "rules",
    "selftest",
]
TYPES = [
    "AddressRange",
    "BlobError",
    "ContainerError",
    "Devicetree",
    "Differences",
    "DtanalyzeError",
    "Finding",
    "Fixed",
    "InputError",
    "LinuxProfile",
    "OverlayError",
    "Picture",
    "Predicted",
    "Predictions",
    "Result",
    "Results",
    "Severity",
    "UsageError",
    "Verdict",
    "XenLog",
    "XenOptions",
]
NAMES = sorted([*FUNCTIONS, *TYPES])
ASKED = "linux xen iommu tree memory assume_memory kaslr requests need proc_iomem dom0_mem host"
PARAMETERS = {
    "load": "source *name *member *overlays",
    "check": "source asked",
    "predict": "source asked",
    "fix": "source asked",
    "diff": "old new asked",
    "map": "source asked",
    "selftest": "source asked",
    "overlaps": "source",
    "explain": "word",
    "linux_profile": "name *kconfig",
    "read_xen_log": "text",
}
FIELDS = {
    "Result": """path tree domain linux xen iommu assumed verdict reason kaslr alternatives grant_table extended_regions regions
        ram answer findings reuse file cause assumptions host remarks""",
    "Finding": "rule name severity message advice node ranges offset change place cures flows in_source",
    "Predicted": "prediction guest host",
    "Devicetree": "name data original tree file places",
    "AddressRange": "start size",
    "XenOptions": """iommu ipa_bits memory dom0_mem dom0_banks grant_table ext_regions log fdt_address efi guests iomem gic_lines build partial_trees toolstack efi_config""",
    "XenLog": "version ram grant_table dom0_banks extended_regions modules iommu ipa_bits console",
}
MEMBERS = {
    "Result": "location inside sections pages xen_view iomem_view to_dict row _repr_html_",
    "Results": "verdict findings render to_dict rows finding_rows asked _repr_html_",
    "Predicted": "result blob to_dict _repr_html_",
    "Predictions": "_repr_html_",
    "Fixed": "changes before after blob overlay summary",
    "Differences": "is_empty to_dict",
    "Picture": "html svg _repr_html_",
    "Devicetree": "kind",
}


def test_the_public_names_are_pinned() -> None:
    assert sorted(FUNCTIONS) == FUNCTIONS
    assert dir(dtanalyze) == NAMES
    assert list(Asked.__annotations__) == ASKED.split()
    for name in NAMES:
        assert getattr(dtanalyze, name) is not None


@pytest.mark.parametrize("name", PARAMETERS)
def test_signatures_are_pinned(name: str) -> None:
    found = inspect.signature(getattr(dtanalyze, name)).parameters.values()
    assert " ".join(f"{'*' if item.kind is item.KEYWORD_ONLY else ''}{item.name}" for item in found) == PARAMETERS[name]


@pytest.mark.parametrize("name", FIELDS)
def test_fields_are_pinned(name: str) -> None:
    assert list(getattr(dtanalyze, name)._fields) == FIELDS[name].split()


@pytest.mark.parametrize("name", MEMBERS)
def test_members_are_pinned(name: str) -> None:
    for member in MEMBERS[name].split():
        assert hasattr(getattr(dtanalyze, name), member), member


def test_verdicts_and_severities_are_pinned() -> None:
    verdicts = ["no-boot", "unknown", "native", "balloon", "conflict", "hazard", "iomem", "exhausted", "scratch"]
    assert [item.value for item in dtanalyze.Verdict] == verdicts
    assert [item.label for item in dtanalyze.Severity] == ["info", "warning", "error"]
    assert [dtanalyze.Verdict("scratch"), dtanalyze.Severity("error")] == ["scratch", "error"]
    assert dtanalyze.Severity.ERROR > "info" and dtanalyze.Severity.INFO <= "warning" and dtanalyze.Severity.ERROR >= "error"
    assert dtanalyze.Severity.INFO < dtanalyze.Severity.WARNING < dtanalyze.Severity.ERROR, "by rank, not by the alphabet"


def test_what_is_no_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'chekc'"):
        dtanalyze.chekc  # noqa: B018  # the access is what is tested


def test_importing_costs_nothing() -> None:
    script = "import sys, dtanalyze; print([item for item in sys.modules if item.startswith(('dtanalyze.', 'typer'))])"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, cwd=Path(__file__).parents[1])
    assert out.stdout == b"['dtanalyze.version']\n"


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_it_renders_what_the_command_line_prints(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["check", str(BOOT), "--linux", "6.12", "--format", name, "--no-config"])
    assert dtanalyze.check(BOOT, linux="6.12").render(name) == capsys.readouterr().out


def test_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["check", str(HOST), "--linux", "6.1,6.12", "--xen", "4.18,4.22", "--iommu", "both", "--dom0-mem", "768M"]
             + ["--memory", "0x40000000+1G", "--request", "100", "--need", "2G", "--format", "json", "--no-config"]
             + ["--grant-table", "0x50000000+256K", "--no-kaslr"])  # fmt: skip
    found = dtanalyze.check(
        HOST,
        linux=["6.1", dtanalyze.linux_profile("6.12")],
        xen="4.18,4.22",
        iommu="both",
        dom0_mem="768M",
        memory=["0x40000000+1G"],
        requests=[100],
        need=(2 << 30) // 4096,
        kaslr=False,
        host=dtanalyze.XenOptions(grant_table=dtanalyze.AddressRange(0x50000000, 256 << 10)),
    )
    assert found.render("json") == capsys.readouterr().out
    assert len(found) == 8 and len(json.loads(found.render("json"))["results"]) == 8


def test_a_sweep_is_a_table() -> None:
    text = str(dtanalyze.check(HOST, xen="4.18,4.22"))
    assert "Xen 4.18, IOMMU off" in text and "Xen 4.22, IOMMU off" in text


def test_results() -> None:
    found = dtanalyze.check(HOST, xen="4.20,4.22", linux="6.12")
    assert [item.verdict for item in found] == [dtanalyze.Verdict.SCRATCH] * 2
    assert found.verdict is dtanalyze.Verdict.SCRATCH
    assert [item.rule for item in found.findings][:2] == ["X17", "X17"], "4.20 cuts both regions, 4.22 none"
    assert repr(found[0]) == f"<{HOST}: dom0, Linux 6.12, Xen 4.20, IOMMU off: scratch>"
    assert " ".join(str(found[1]).split()).startswith(f"{HOST}: scratch: scratch pages work")
    worse = dtanalyze.check(FIXTURES / "dtb" / "boots" / "06c-1G-dom0-640M.dtb", linux="6.12")
    assert worse.verdict is dtanalyze.Verdict.EXHAUSTED


def test_the_example_of_the_readme_prints_words() -> None:
    """Kernel, verdict and severity are printed as reports spell them."""
    (found,) = dtanalyze.check(BOOT, linux="6.12")
    assert f"{found.linux}: {found.verdict}" == "6.12: scratch"
    assert {str(item.severity) for item in found.findings} <= {"error", "warning", "info"}


def test_a_notebook_shows_the_map() -> None:
    found = dtanalyze.check(HOST, xen="4.20,4.22", linux="6.12")
    assert "<html" not in found._repr_html_() and 'class="mx"' in found._repr_html_(), "several releases are a matrix"
    assert 'class="mx"' not in found[0]._repr_html_() and "How much: one line is" in found[0]._repr_html_()
    predicted = dtanalyze.predict(HOST, xen="4.20,4.22", linux="6.12")
    assert 'class="mx"' in predicted._repr_html_() and "How much: one line is" in predicted[1]._repr_html_()


def test_predictions(capsys: pytest.CaptureFixture[str]) -> None:
    found = dtanalyze.predict(HOST, xen="4.18,4.22", iommu="both")
    with pytest.raises(SystemExit):
        main(["predict", str(HOST), "--xen", "4.18,4.22", "--iommu", "both"])
    assert str(found) == capsys.readouterr().out
    assert repr(found[0]) == f"<{HOST}: dom0, Linux 7.3, Xen 4.18, IOMMU off: scratch>"
    assert dtanalyze.load(found[0].blob or b"").kind == "dom0"
    assert found[0].result.verdict is dtanalyze.Verdict.SCRATCH
    with pytest.raises(dtanalyze.InputError, match="nothing to predict"):
        dtanalyze.predict(BOOT)


def test_a_log_names_the_release() -> None:
    log = dtanalyze.read_xen_log("(XEN) Xen version 4.18.1\n(XEN) RAM: 0000000040000000 - 00000000bfffffff\n")
    found = dtanalyze.predict(HOST, host=dtanalyze.XenOptions(log=log))
    assert found[0].prediction.xen == "4.18.1"


# --- load -----------------------------------------------------------------------------------------------------------

PLAIN = dtb('dev: dev@1000 { reg = <0x1000 0x10>; }; __symbols__ { dev = "/dev@1000"; };')
OVERLAY = dtb('f { target-path = "/"; __overlay__ { added; }; };')


def test_load(tmp_path: Path) -> None:
    found = dtanalyze.load(BOOT)
    assert (found.name, found.kind, found.data) == (str(BOOT), "dom0", BOOT.read_bytes())
    assert repr(found) == f"<dom0 tree {BOOT}, {len(found.data)} bytes>"
    assert dtanalyze.load(found) is found
    assert dtanalyze.load(PLAIN).name == "<bytes>" and dtanalyze.load(PLAIN, name="mine").name == "mine"
    (tmp_path / "o.dtbo").write_bytes(OVERLAY)
    laid = dtanalyze.load(PLAIN, name="a.dtb", overlays=[tmp_path / "o.dtbo"])
    assert laid.name == "a.dtb+o.dtbo" and laid.tree.root.prop("added") is not None and laid.original == PLAIN


def test_findings_of_a_tree_with_overlays_count_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "o.dtbo").write_bytes(OVERLAY)
    original = HOST.read_bytes()
    plain = dtanalyze.check(original, xen="4.18")
    laid = dtanalyze.check(dtanalyze.load(original, overlays=[tmp_path / "o.dtbo"]), xen="4.18")
    assert plain.findings and [item.offset for item in laid.findings] == [item.offset for item in plain.findings]


def test_a_member_is_chosen() -> None:
    both = PLAIN + BOOT.read_bytes()
    with pytest.raises(dtanalyze.UsageError, match=r"x holds 2 trees, choose one with member=: #1, #2"):
        dtanalyze.load(both, name="x")
    assert dtanalyze.load(both, name="x", member="#2").kind == "dom0"
    with pytest.raises(dtanalyze.UsageError, match="choose one"):
        dtanalyze.load(both, name="x", member="#3")


def test_what_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(dtanalyze.BlobError, match="byte offset"):
        dtanalyze.load(b"no tree")
    with pytest.raises(FileNotFoundError):
        dtanalyze.load(tmp_path / "none.dtb")
    (tmp_path / "o.dtbo").write_bytes(dtb("f { target = <&{/nowhere}>; __overlay__ { };};".replace("<&{/nowhere}>", "<9>")))
    with pytest.raises(dtanalyze.InputError, match=r"x\+o\.dtbo: o\.dtbo: "):
        dtanalyze.load(PLAIN, name="x", overlays=[tmp_path / "o.dtbo"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"linux": 6.12}, r'linux takes a name such as "6\.12" or several, not 6\.12'),
        ({"linux": [6.12]}, r"linux takes names such as"),
        ({"xen": 4.2}, r'xen takes a name such as "4\.20"'),
        ({"xen": [4.2]}, r'xen takes names such as "4\.20", not 4\.2'),
        ({"xen": []}, "xen is empty"),
        ({"iommu": "of"}, "iommu is on, off, both, True, False or None, not 'of'"),
        ({"iommu": 1.5}, "iommu is on, off, both"),
        ({"kaslr": "both"}, "kaslr is on, off, True"),
        ({"memory": 5}, "memory takes a range such as"),
        ({"memory": [5]}, "memory takes ranges such as"),
        ({"need": -1}, "need takes a number or a size"),
        ({"need": 1.5}, "need takes a number or a size"),
        ({"requests": "many"}, "requests takes numbers of pages"),
        ({"requests": [True]}, "requests takes numbers of pages"),
        ({"dom0_mem": []}, "dom0_mem takes a number or a size"),
        ({"host": {"a": 1}}, "host takes XenOptions"),
        ({"proc_iomem": b""}, "proc_iomem takes the text"),
        ({"assume_memory": "yes"}, "assume_memory is auto or never"),
        ({"kernel": "6.12"}, "no argument is called kernel"),
        ({"linus": "6.12"}, "the nearest is linux"),
        ({"linux": "2.4"}, "no Linux preset is called '2.4'"),
        ({"linux": []}, "linux is empty"),
        ({"xen": "1.0"}, "no Xen release is called '1.0'"),
        ({"tree": "guest"}, "tree is host, dom0 or domu, not 'guest'"),
        ({"requests": [0]}, "a request is for 1 to"),
        ({"memory": ["1G"]}, "is not a range"),
        ({"dom0_mem": "much"}, "is not a size"),
        ({"host": dtanalyze.XenOptions(ipa_bits=64)}, "32 to 52 bits, not 64"),
        ({"host": dtanalyze.XenOptions(dom0_mem=-1)}, "dom0 cannot have -1 bytes"),
        ({"proc_iomem": "nothing of it"}, "iomem"),
    ],
)
def test_a_wrong_question(given: dict[str, Any], said: str) -> None:
    with pytest.raises(dtanalyze.DtanalyzeError, match=said):
        dtanalyze.check(HOST, **given)


def test_a_kernel_config_as_text() -> None:
    text = (
        "# Linux/arm64 6.1.55 Kernel Configuration\nCONFIG_ARM64=y\nCONFIG_ARM64_64K_PAGES=y\nCONFIG_ARM64_VA_BITS=48\n"
        "CONFIG_XEN=y\n# CONFIG_RANDOMIZE_BASE is not set\n# CONFIG_ZONE_DEVICE is not set\n"
    )
    profile = dtanalyze.linux_profile(kconfig=text)
    assert (profile.name, profile.page_size, profile.unpopulated_alloc) == ("6.1.55", 65536, False)
    assert dtanalyze.check(BOOT, linux=profile).verdict is dtanalyze.Verdict.BALLOON
    assert dtanalyze.linux_profile().name == "7.3"


# --- words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "values"),
    [
        ({"xen": "4.18,4.20"}, {"xen": ["4.18", "4.20"]}),
        ({"iommu": "off"}, {"iommu": False}),
        ({"iommu": "on"}, {"iommu": True}),
        ({"kaslr": "off"}, {"kaslr": False}),
        ({"need": "2G"}, {"need": (2 << 30) // 4096}),
        ({"need": "1000"}, {"need": 1000}),
        ({"memory": "0x40000000+1G"}, {"memory": [dtanalyze.AddressRange(0x40000000, 1 << 30)]}),
        ({"memory": dtanalyze.AddressRange(0x40000000, 1 << 30)}, {"memory": "0x40000000-0x80000000"}),
        ({"requests": 5}, {"requests": [5]}),
        ({"dom0_mem": "768M"}, {"dom0_mem": 768 << 20}),
    ],
)
def test_words_and_values_ask_the_same(words: dict[str, Any], values: dict[str, Any]) -> None:
    assert dtanalyze.check(HOST, **words).render("json") == dtanalyze.check(HOST, **values).render("json")


def test_one_overlay_is_a_path(tmp_path: Path) -> None:
    (tmp_path / "o.dtbo").write_bytes(OVERLAY)
    assert dtanalyze.load(PLAIN, name="a", overlays=str(tmp_path / "o.dtbo")).name == "a+o.dtbo"
    with pytest.raises(dtanalyze.InputError, match=r"none\.dtbo: "):
        dtanalyze.load(PLAIN, overlays=tmp_path / "none.dtbo")
    wrong: Any
    for wrong in (5, [5]):
        with pytest.raises(dtanalyze.UsageError, match="overlays takes"):
            dtanalyze.load(PLAIN, overlays=wrong)
    with pytest.raises(dtanalyze.UsageError, match="a tree is a path"):
        dtanalyze.load(cast("Any", 5))


def test_a_slice_stays_what_it_is() -> None:
    found = dtanalyze.check(HOST, xen="4.20,4.22", linux="6.12")
    assert type(found[:1]) is dtanalyze.Results and found[:1][0] is found[0] and found[:1].asked == found.asked
    assert type(dtanalyze.predict(HOST)[:1]) is dtanalyze.Predictions
    with pytest.raises(dtanalyze.UsageError, match="no verdict"):
        _ = found[:0].verdict


def test_rows_and_dicts() -> None:
    found = dtanalyze.check(FIXTURES / "dtb" / "boots" / "11e-is-ram.dtb", linux="6.12")
    (row,) = found.rows()
    assert (row["verdict"], row["cause"], row["errors"], row["sections"]) == ("conflict", "X03", 1, 0)
    assert all(isinstance(value, str | int | None) for value in row.values())
    (finding,) = found.finding_rows()
    assert (finding["rule"], finding["node"], finding["domain"]) == ("X03", "/memory@60000000", "dom0")
    assert found.to_dict() == json.loads(found.render("json"))
    assert found[0].to_dict() == found.to_dict()["results"][0]
    assert dtanalyze.predict(HOST)[0].to_dict()["domain"] == "dom0"


@pytest.mark.parametrize("command", ["map", "fix", "diff"])
def test_tools_print_what_the_command_line_prints(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    tree = str(FIXTURES / "dtb" / "boots" / "11d-overlap.dtb")
    with pytest.raises(SystemExit):
        main([command, tree, *([str(BOOT)] if command == "diff" else []), "--linux", "6.12"])
    made = {"map": dtanalyze.map, "fix": dtanalyze.fix}
    found = dtanalyze.diff(tree, str(BOOT), linux="6.12") if command == "diff" else made[command](tree, linux="6.12")
    assert str(found) == capsys.readouterr().out


def test_fixed_and_differences() -> None:
    made = dtanalyze.fix(FIXTURES / "dtb" / "boots" / "11d-overlap.dtb", linux="6.12")
    assert (made.before.verdict, made.after.verdict) == ("balloon", "scratch")
    assert dtanalyze.check(made.blob, linux="6.12").verdict == "scratch"
    found = dtanalyze.diff(FIXTURES / "dtb" / "boots" / "11d-overlap.dtb", made.blob, linux="6.12")
    assert not found.is_empty and found[0].is_worse(dtanalyze.Severity.ERROR) is False
    assert type(found[:1]) is dtanalyze.Differences and found.to_dict()


def test_a_page_and_a_picture() -> None:
    found = dtanalyze.map(BOOT, linux="6.12")
    assert found.html().startswith("<!doctype html>") and found.svg().startswith("<svg")
    assert "How much: one line is" in found._repr_html_()


def test_explaining() -> None:
    assert [item.code for item in dtanalyze.rules()][:3] == ["B01", "B02", "B03"]
    assert dtanalyze.explain("X08").startswith("X08 regions-not-ascending")
    assert dtanalyze.explain("Linear Map").startswith("linear map\n")
    with pytest.raises(dtanalyze.UsageError, match="no rule is called"):
        dtanalyze.explain("nothing")


@pytest.mark.parametrize("module", ["asking", "tools"])
def test_the_examples_run(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FIXTURES.parent)
    found = doctest.testmod(importlib.import_module(f"dtanalyze.library.{module}"))
    assert found.failed == 0 and found.attempted >= 4
    assert doctest.testmod(dtanalyze).failed == 0


@pytest.mark.parametrize(
    ("called", "said"),
    [
        (lambda: dtanalyze.linux_profile(cast(Any, 6.12)), r'a kernel is called "6\.12" or the like, not 6\.12'),
        (lambda: dtanalyze.linux_profile(kconfig=cast(Any, b"CONFIG_XEN=y")), r"kconfig takes the text of a \.config, not bytes"),
        (lambda: dtanalyze.explain(cast(Any, 5)), "explain takes a word, not 5"),
    ],
)
def test_what_is_no_word_is_a_wrong_question(called: Callable[[], object], said: str) -> None:
    with pytest.raises(dtanalyze.UsageError, match=said):
        called()


def test_help_fits_two_screens() -> None:
    text = pydoc.plain(pydoc.render_doc(dtanalyze))
    assert len(text.splitlines()) <= 60
    assert max(map(len, text.partition("PACKAGE CONTENTS")[0].splitlines())) <= 100
    assert all(f"{name}(" in text for name in FUNCTIONS if name != "__version__")


def test_what_may_be_asked_stands_in_the_help_of_check() -> None:
    text = pydoc.plain(pydoc.render_doc(dtanalyze.check))
    assert len(text.splitlines()) <= 40
    assert all(f"``{name}" in text for name in ASKED.split() if name != "assume_memory") and "assume_memory=" in text


@pytest.mark.parametrize("command", ["overlaps", "selftest"])
def test_what_a_command_lists_prints_as_there(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    tree = str(FIXTURES / "dtb" / "boots" / "01-dom0-x420-l612.dtb")
    found = getattr(dtanalyze, command)(tree)
    with pytest.raises(SystemExit):
        main([command, tree])
    assert str(found) == capsys.readouterr().out and isinstance(found, tuple)
