"""The host's side of recorded boots against the command line's answers, by kind of question.

Each case is a folder: ``host.dtb`` (what Xen was given), ``case.json`` (what was seen), and, where Xen came that far,
``guest*.dtb`` (the tree that it wrote).
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from dtanalyze.cli import main as dtanalyze
from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.tree import Property

KINDS = ("go", "line", "banks", "regions", "tree", "requests", "open", "answer")
LATER = {
    ("/chosen", "linux,initrd-start"),
    ("/chosen", "linux,initrd-end"),
    ("/chosen", "kaslr-seed"),
    ("/chosen", "rng-seed"),
}
"""Written after the tree is built (initrd placement), or by Linux once it has read it (the seeds)."""

UPSTREAM_WITH = "CONFIG_STATIC_MEMORY=y\nCONFIG_STATIC_SHM=y\nCONFIG_ARM_SMMU_V3=y\n"


class Case(NamedTuple):
    """One recorded boot: its folder and what ``case.json`` says."""

    folder: Path
    said: dict[str, Any]

    @property
    def name(self) -> str:
        """The case's name."""
        return self.folder.name

    @property
    def stopped(self) -> bool:
        """Whether Xen stopped before it started a domain; what Linux did of its own after that is not Xen's."""
        console = self.folder / "xen.txt"
        started = not self.said["panic"] and console.exists() and "Hardware Dom0 shutdown" in console.read_text()
        return bool(self.said["outcome"] == "no-boot") and not started

    @property
    def printed_nothing(self) -> bool:
        """Whether Xen died before its console and left no line."""
        return self.stopped and not self.said["panic"]


def run(*argv: str) -> dict[str, Any]:
    """Return the JSON answer of one command."""
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="utf-8", write_through=True)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(SystemExit):
        dtanalyze([*argv, "--format", "json", "--fail-on", "never"] if argv[0] == "check" else [*argv, "--format", "json"])
    found: dict[str, Any] = json.loads(raw.getvalue())
    return found


def arguments(case: Case, config: Path) -> list[str]:
    """Return what is passed beside the tree: what the loader and the builder of Xen did."""
    said = case.said
    argv = ["--as", "host", "--xen", said["xen_release"], "--iommu", "on" if said["iommu"] else "off", *said["options"]]
    if not said["options"] and said["grant_table"]:
        argv += ["--grant-table", "-".join(said["grant_table"])]
    if said["cpu"] == "max":
        argv += ["--ipa-bits", "48"]
    for partial in sorted(case.folder.glob("*.partial.dtb")):
        argv += ["--partial-dtb", f"{partial.name.partition('.')[0]}={partial}"]
    if said["xen_build_options"].startswith("Debian"):
        return [*argv, "--xen-build", "debian"]
    config.write_text(UPSTREAM_WITH)
    return [*argv, "--xen-config", str(config)]


def compare(case: Case, folder: Path) -> Iterator[tuple[str, str | None]]:
    """Yield each kind of question that the case can answer, with the difference or None."""
    argv = arguments(case, folder / "xen.config")
    host = str(case.folder / "host.dtb")
    answer = run("predict", host, *argv)
    if answer["errors"]:
        yield "answer", answer["errors"][0]["message"]
        return
    results = answer["results"]
    stop = next((item["stopped_by"] for item in results if item["stopped_by"]), None)
    known = all(item["dom0_memory_known"] for item in results if item["domain"] == "dom0")
    if not case.said["deterministic"]:
        yield "open", "sold as certain" if known and stop is None else None
        return
    expected = case.said["panic"] or "(nothing printed)"
    if case.stopped != (stop is not None):
        unlisted = [item for item in results[0]["alternatives"] if "when" in item and not item["stopped_by"]]
        if unlisted and not case.stopped:
            yield "open", _differs(unlisted[0]["dom0_memory"], case.said["banks"]["0"])
            return
        yield "go", f"{'stops' if stop else 'goes on'}: {stop['message'] if stop else expected}"
        return
    yield "go", None
    if stop is not None:
        if case.said["panic"]:
            yield "line", None if expected in stop["message"] else f"{stop['message']!r} instead of {expected!r}"
        return
    if _among_several(case, results[0]):
        yield "open", None
        return
    yield from _memory(case, results)
    yield from _trees(case, host, argv, results, folder)
    if case.said["linux_version"]:
        yield from _linux(case, host, argv)


def _among_several(case: Case, dom0: dict[str, Any]) -> bool:
    """Tell whether the answer is an open one, and the boot is one of those that it names without being the likely one."""
    recorded = case.said["banks"].get("0")
    others = [item["dom0_memory"] for item in dom0["alternatives"]]
    return recorded != dom0["dom0_memory"] and recorded in others


def _memory(case: Case, results: list[dict[str, Any]]) -> Iterator[tuple[str, str | None]]:
    domains = {f"d{number + (results[0]['domain'] != 'dom0')}": item for number, item in enumerate(results)}
    said = case.said
    if said["guest"] == "dom0" and "0" in said["banks"]:
        mine = domains.get("d0", results[0])["dom0_memory"]
        yield "banks", _differs(mine, said["banks"]["0"])
    for domain, regions in said["extended_regions_by_domain"].items():
        mine = domains[domain]["extended_regions"] if domain in domains else None
        yield "regions", _differs(mine, regions, f"{domain}: ")


def _trees(
    case: Case, host: str, argv: list[str], results: list[dict[str, Any]], folder: Path
) -> Iterator[tuple[str, str | None]]:
    recorded = sorted(case.folder.glob("guest*.dtb"))
    if len(recorded) != 1:
        return
    out = folder / "out"
    out.mkdir(exist_ok=True)
    for old in out.iterdir():
        old.unlink()
    run("predict", host, *argv, "--emit-dtb", str(out if len(results) > 1 else out / "one.dtb"))
    written = sorted(out.glob("*.dtb"))
    wanted = recorded[0].name == "guest.dtb" and case.said["guest"] == "dom0"
    chosen = [item for item in written if len(written) == 1 or ("dom0" in item.name) == wanted]
    if not chosen:
        yield "tree", f"none written among {[item.name for item in written]}"
        return
    theirs = _properties(recorded[0].read_bytes())
    differences = [_tree_difference(_properties(item.read_bytes()), theirs) for item in chosen]
    yield "tree", None if None in differences else differences[0]


def _properties(blob: bytes) -> dict[tuple[str, str], bytes]:
    return {
        (node.path, prop.name): prop.value
        for node in parse(blob).root
        for prop in (*node.properties.values(), Property("", b"", 0))
        if (node.path, prop.name) not in LATER
    }


def _tree_difference(mine: dict[tuple[str, str], bytes], theirs: dict[tuple[str, str], bytes]) -> str | None:
    if mine == theirs:
        return None
    added = [f"+{path}:{name}" for path, name in mine if (path, name) not in theirs]
    lost = [f"-{path}:{name}" for path, name in theirs if (path, name) not in mine]
    other = [
        f"{key[0]}:{key[1]} {mine[key].hex()[:40]} instead of {theirs[key].hex()[:40]}"
        for key in mine
        if key in theirs and mine[key] != theirs[key]
    ]
    return "; ".join((added + lost + other)[:4])


def _linux(case: Case, host: str, argv: list[str]) -> Iterator[tuple[str, str | None]]:
    """Compare what Linux took. No record tells whether KASLR moved the linear map, so that either answer may be the one."""
    said = case.said
    config = said["kernel_config"]
    page = config["PAGE_KIB"]
    version = ".".join(said["linux_version"].split(".")[:2])
    argv = [*argv, "--linux", version, "--page-size", f"{page}K", "--va-bits", "47" if page == 16 else "48"]
    argv += ["--unpopulated-alloc" if config["XEN_UNPOPULATED_ALLOC"] else "--no-unpopulated-alloc"]
    for item in said["requests"]:
        argv += ["--request", str(item["pages"])]
    found = [_requested(said, run("check", host, *argv, kaslr)["results"]) for kaslr in ("--no-kaslr", "--kaslr")]
    yield "requests", None if None in found else found[0]


def _requested(said: dict[str, Any], results: list[dict[str, Any]]) -> str | None:
    chosen = [item for item in results if (item["domain"] == "dom0") == (said["guest"] == "dom0")]
    if not chosen:
        return "no result for the domain"
    taken = sorted((start, hex(int(stop, 16) - 1)) for one in chosen[0]["requests"] for start, stop in one["taken"])
    failed = [one["outcome"] in ("conflict", "exhausted") for one in chosen[0]["requests"]]
    mine = [[start, end] for start, end in taken]
    scratch = _differs(mine, sorted(said["scratch_inclusive"]))
    return scratch or _differs(failed, [not item["ok"] for item in said["requests"]], "failed: ")


def _differs(mine: object, theirs: object, what: str = "") -> str | None:
    return None if mine == theirs else f"{what}{mine} instead of {theirs}"
