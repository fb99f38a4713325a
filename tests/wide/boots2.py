"""The host's side of recorded boots against the command line's answers, by kind of question.

``python -m tests.wide.boots2 FOLDER [NAME …]`` reads ``FOLDER/cases`` and prints, for each kind of question, how many
answers agree, then each disagreement. Names may be prefixes; with ``-q`` only the counts are printed, with ``-k KIND`` only
the disagreements of that kind. Exit status 1 when anything differs.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from dtanalyze.cli import main as dtanalyze
from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.tree import Property

KINDS = ("go", "line", "banks", "regions", "tree", "requests", "open", "answer")
LATER = {("/chosen", "linux,initrd-start"), ("/chosen", "linux,initrd-end"), ("/chosen", "kaslr-seed"), ("/chosen", "rng-seed")}
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
        """Whether Xen stopped before it started a domain."""
        return bool(self.said["outcome"] == "no-boot")

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


@cache
def builds_can_be_named() -> bool:
    """Tell whether the command line takes a build of Xen yet."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        dtanalyze(["predict", "--help"])
    return "--xen-build" in out.getvalue()


def arguments(case: Case, config: Path) -> list[str]:
    """Return what is passed beside the tree: what the loader and the builder of Xen did."""
    said = case.said
    argv = ["--xen", said["xen_release"], "--iommu", "on" if said["iommu"] else "off", *said["options"]]
    if not said["options"] and said["grant_table"]:
        argv += ["--grant-table", "-".join(said["grant_table"])]
    if said["cpu"] == "max":
        argv += ["--ipa-bits", "48"]
    if not builds_can_be_named():
        return argv
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
        yield "go", f"{'stops' if stop else 'goes on'}: {stop['message'] if stop else expected}"
        return
    yield "go", None
    if stop is not None:
        if case.said["panic"]:
            yield "line", None if expected in stop["message"] else f"{stop['message']!r} instead of {expected!r}"
        return
    yield from _memory(case, results)
    yield from _trees(case, host, argv, results, folder)
    if case.said["linux_version"]:
        yield from _linux(case, host, argv)


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
    said = case.said
    config = said["kernel_config"]
    page = config["PAGE_KIB"]
    version = ".".join(said["linux_version"].split(".")[:2])
    argv = [*argv, "--linux", version, "--page-size", f"{page}K", "--va-bits", "47" if page == 16 else "48"]
    argv += ["--unpopulated-alloc" if config["XEN_UNPOPULATED_ALLOC"] else "--no-unpopulated-alloc", "--no-kaslr"]
    for item in said["requests"]:
        argv += ["--request", str(item["pages"])]
    results = run("check", host, *argv)["results"]
    chosen = [item for item in results if (item["domain"] == "dom0") == (said["guest"] == "dom0")]
    if not chosen:
        yield "requests", "no result for the domain"
        return
    taken = sorted((start, hex(int(stop, 16) - 1)) for one in chosen[0]["requests"] for start, stop in one["taken"])
    mine = [[start, end] for start, end in taken]
    yield "requests", _differs(mine, sorted(said["scratch_inclusive"]))
    failed = [one["outcome"] in ("conflict", "exhausted") for one in chosen[0]["requests"]]
    yield "requests", _differs(failed, [not item["ok"] for item in said["requests"]], "failed: ")


def _differs(mine: object, theirs: object, what: str = "") -> str | None:
    return None if mine == theirs else f"{what}{mine} instead of {theirs}"


def main(argv: list[str] | None = None) -> int:
    """Compare; return 1 when something differs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("-q", action="store_true", help="only the counts")
    parser.add_argument("-k", choices=KINDS, action="append", help="only disagreements of this kind")
    asked = parser.parse_args(argv)
    tally: Counter[tuple[str, bool]] = Counter()
    agreeing = total = 0
    with tempfile.TemporaryDirectory() as made:
        for path in sorted((asked.folder / "cases").glob("*/case.json")):
            if asked.names and not path.parent.name.startswith(tuple(asked.names)):
                continue
            case = Case(path.parent, json.loads(path.read_text()))
            found = [*compare(case, Path(made))]
            total += 1
            agreeing += all(difference is None for _, difference in found)
            for kind, difference in found:
                tally[kind, difference is None] += 1
                if difference is not None and not asked.q and (not asked.k or kind in asked.k):
                    print(f"{case.name}: {kind}: {difference[:400]}", flush=True)
    for kind in KINDS:
        good, bad = tally[kind, True], tally[kind, False]
        if good + bad:
            print(f"{kind:9} {good:5} of {good + bad:5} agree")
    print(f"{'cases':9} {agreeing:5} of {total:5} agree in everything")
    return int(agreeing != total)


if __name__ == "__main__":
    sys.exit(main())
