"""The command line of the lab."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

from dtanalyze.devicetree.blob import parse
from dtanalyze.errors import DtanalyzeError, InputError, UsageError
from lab.advice import advice_table, followed, read_advice
from lab.case import Case, read_cases
from lab.faulty import alone, drawn, recorded, seeded
from lab.machine import QEMU, Machine, MachineError
from lab.offers import check_tools, offers_table, tried
from lab.packages import Cache, MissingError
from lab.random_cases import random_cases
from lab.releases import xen_image
from lab.run import Lab, start_tree
from lab.table import table

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    """Run one command; return its exit status: 0 all agree, 1 something differs, 2 unusable, 3 the lab cannot run here."""
    options = _parser().parse_args(arguments)
    try:
        if options.run is not _evidence and shutil.which(QEMU) is None:
            raise MissingError(f"{QEMU} is not there: apt-get install qemu-system-arm")
        status: int = options.run(options)
    except (MissingError, subprocess.SubprocessError, tarfile.TarError) as error:
        sys.stderr.write(f"lab: {error}\n")
        return 3
    except (DtanalyzeError, MachineError, OSError) as error:
        sys.stderr.write(f"lab: {error}\n")
        return 2
    return status


def _parser() -> argparse.ArgumentParser:
    about = "Boot Debian's Xen and Linux, and hold the answers against them."
    parser = argparse.ArgumentParser(prog="python -m lab", description=about)
    home = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    default = os.environ.get("LAB_CACHE") or home / "dtanalyze-lab"
    parser.add_argument("--cache", type=Path, default=Path(default), help="where packages are kept (LAB_CACHE)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    tree = commands.add_parser("tree", help="boot one given tree under Xen, with an empty kernel image")
    tree.add_argument("dtb", type=Path)
    tree.add_argument("--xen", default="4.20", help="release or exact Debian version, or a path to an image")
    tree.add_argument("--machine", default="virt,gic-version=3,virtualization=on")
    tree.add_argument("--cpu", default="cortex-a57")
    tree.add_argument("--cpus", type=int, default=1)
    tree.add_argument("--ram", type=int, default=2048, metavar="MIB")
    tree.add_argument("--xen-address", type=_number, default=0x40400000)
    tree.add_argument("--fdt-address", type=_number, default=0x44000000)
    tree.add_argument("--stub-address", type=_number, default=0x40200000, help="4 KiB of RAM for the boot loader")
    tree.add_argument("--module", action="append", default=[], metavar="KIND|PATH=FILE", help="content of a module")
    tree.add_argument("--timeout", type=float, default=30.0)
    tree.add_argument("--out", type=Path, help="folder for xen.txt and guest.dtb; default: the console on stdout")
    tree.set_defaults(run=_tree)
    run = commands.add_parser("run", help="boot the cases of a file, verify each, and print a table")
    run.add_argument("cases", type=Path, nargs="?", default=Path(__file__).parent / "cases.toml")
    run.add_argument("--only", action="append", metavar="NAME", help="only this case (repeatable)")
    draw = commands.add_parser("random", help="the same with cases drawn by seeds")
    draw.add_argument("--seeds", default="0-11", metavar="FIRST-LAST")
    draw.add_argument("--linux", action="store_true", help="with Linux, about a minute each")
    for command in (run, draw):
        command.add_argument("--out", type=Path, default=Path("build/lab"), help="folder for the records")
        command.add_argument("--again", action="store_true", help="boot cases again that are recorded")
        command.add_argument("--limit", type=float, metavar="SECONDS", help="begin no case after this many seconds")
    run.set_defaults(run=_run)
    offers = commands.add_parser("offers", help="make every change that fix offers for faulty trees, and boot it")
    offers.add_argument("faults", type=Path, nargs="?", default=Path(__file__).parent / "faults.toml")
    offers.add_argument("--recorded", type=Path, action="append", default=[], metavar="FOLDER", help="records of boots too")
    offers.add_argument("--tree", type=Path, action="append", default=[], metavar="DTB", help="this tree too")
    offers.add_argument("--seeds", metavar="FIRST-LAST", help="random cases with random faults of the file instead")
    offers.add_argument("--only", action="append", metavar="NAME", help="only trees whose name begins so (repeatable)")
    offers.add_argument("--out", type=Path, default=Path("build/offers"), help="folder for the records")
    offers.add_argument("--again", action="store_true", help="try trees again that are recorded")
    offers.add_argument(
        "--record", type=Path, metavar="FILE", help="one file of all records, for docs/evidence.md"
    )
    offers.set_defaults(run=_offers)
    advice = commands.add_parser("advice", help="boot what the text of advice says, before and after it is followed")
    advice.add_argument("pieces", type=Path, nargs="?", default=Path(__file__).parent / "advice.toml")
    advice.add_argument("--out", type=Path, default=Path("build/advice"), help="folder for the records")
    advice.add_argument("--again", action="store_true", help="try again what is recorded")
    advice.add_argument(
        "--record", type=Path, metavar="FILE", help="one file of all records, for docs/evidence.md"
    )
    advice.set_defaults(run=_advice)
    page = commands.add_parser("evidence", help="print docs/evidence.md from the recorded boots in fixtures/")
    page.set_defaults(run=_evidence)
    draw.set_defaults(run=_random)
    return parser


def _run(options: argparse.Namespace) -> int:
    cases = [item for item in read_cases(options.cases) if not options.only or item.name in options.only]
    missing = set(options.only or ()) - {item.name for item in cases}
    if missing:
        raise UsageError(f"{options.cases}: no case is called {', '.join(sorted(missing))}")
    return _all(cases, options)


def _random(options: argparse.Namespace) -> int:
    return _all(list(random_cases(_seeds(options.seeds), linux=options.linux)), options)


def _seeds(text: str) -> range:
    """Return the seeds of ``FIRST-LAST``, or of one number."""
    first, _, last = text.partition("-")
    if not first.isdecimal() or not (last or first).isdecimal():
        raise UsageError(f"--seeds takes FIRST-LAST, two whole numbers, not {text!r}")
    return range(int(first), int(last or first) + 1)


def _offers(options: argparse.Namespace) -> int:
    check_tools()
    made = drawn(options.faults, _seeds(options.seeds)) if options.seeds else seeded(options.faults)
    found = chain(made, *map(recorded, options.recorded), chain.from_iterable(map(alone, options.tree)))
    xen = cache(lambda wanted: xen_image(Cache(options.cache), wanted))
    records = []
    for faulty in found:
        if options.only and not faulty.name.startswith(tuple(options.only)):
            continue
        folder = options.out / faulty.name
        kept = folder / "offer.json"
        if options.again or not kept.is_file():
            record = tried(faulty, xen(faulty.xen), folder)
            sys.stderr.write(f"lab: {faulty.name}: {record['before']} -> {record.get('after', 'nothing offered')}\n")
        records.append(json.loads(kept.read_text()))
    _record(options.record, records)
    sys.stdout.write("\n".join(offers_table(records)) + "\n")
    return int(any(not item["kept"] for item in records if item["changes"]))


def _record(path: Path | None, records: list[dict[str, Any]]) -> None:
    """Write what was seen, a line a tree."""
    if path is not None:
        lines = ",\n".join(json.dumps(item) for item in records)
        path.write_text(f"[\n{lines}\n]\n")


def _advice(options: argparse.Namespace) -> int:
    xen = cache(lambda wanted: xen_image(Cache(options.cache), wanted))
    records = []
    for item in read_advice(options.pieces):
        folder = options.out / item.name
        kept = folder / "advice.json"
        if options.again or not kept.is_file():
            record = followed(item, xen(item.before.xen), folder)
            sys.stderr.write(f"lab: {item.name}: {record['before']} -> {record['after']}\n")
        records.append(json.loads(kept.read_text()))
    _record(options.record, records)
    sys.stdout.write("\n".join(advice_table(records)) + "\n")
    return int(any(not item["kept"] for item in records))


def _evidence(_: argparse.Namespace) -> int:
    from lab.evidence import document

    sys.stdout.write(document())
    return 0


def _all(cases: list[Case], options: argparse.Namespace) -> int:
    lab, begun, rows = Lab(options.cache, options.out), time.monotonic(), []
    for case in cases:
        if options.limit is not None and time.monotonic() - begun > options.limit:
            sys.stderr.write(f"lab: {options.limit:g} s are over, the rest is left for the next run\n")
            break
        if options.again or not lab.done(case):
            try:
                seconds = lab.run(case)
            except (DtanalyzeError, MachineError) as error:
                sys.stderr.write(f"lab: {case.name}: {error}\n")
                continue
            lab.remember(case)
            sys.stderr.write(f"lab: {case.name}: {seconds:.1f} s\n")
        try:
            rows.append((case, lab.verified(case)))
        except InputError as error:
            sys.stderr.write(f"lab: {case.name}: {error}\n")
    sys.stdout.write(table(rows))
    return int(any(found.differences or found.wrong_pairing for _, found in rows))


def _number(text: str) -> int:
    return int(text, 0)


def _tree(options: argparse.Namespace) -> int:
    given = Path(options.xen)
    image = given.read_bytes() if given.is_file() else xen_image(Cache(options.cache), options.xen).image
    blob = options.dtb.read_bytes()
    parse(blob)
    content = {key: Path(file).read_bytes() for key, _, file in (item.partition("=") for item in options.module)}
    machine = Machine(
        board=options.machine,
        cpu=options.cpu,
        cpus=options.cpus,
        ram_mib=options.ram,
        xen=options.xen_address,
        tree=options.fdt_address,
        images=((options.xen_address, image),),
        stub=options.stub_address,
    )
    started = start_tree(machine, blob, content, options.timeout)
    if options.out is None:
        sys.stdout.write(started.console)
    else:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "xen.txt").write_text(started.console)
        for name, data in started.memory.items():
            (options.out / name).write_bytes(data)
    sys.stderr.write(f"{options.dtb}: {started.ended} after {started.seconds:.1f} s\n")
    return 0
