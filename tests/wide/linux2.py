"""Linux's side of recorded boots: the tree that Linux booted with, against its requests, its lines and its iomem_resource.

``python -m tests.wide.linux2 FOLDER [NAME …]`` reads ``FOLDER/cases``; names may be prefixes. Nothing here depends on what Xen
would have written. Exit status 1 when anything differs.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dtanalyze.analysis import CheckOptions, check
from dtanalyze.facts import CheckResult
from dtanalyze.linux.proc_iomem import read_proc_iomem, unlike
from dtanalyze.linux.profile import LinuxProfile, preset

_LINE = re.compile(r"( *)([0-9a-f]+)-([0-9a-f]+) : (.*)")


def profile_of(said: dict[str, Any]) -> LinuxProfile:
    """Return the kernel of the boot: its release, and what its configuration changed."""
    config = said["kernel_config"]
    return preset(re.sub(r"[-+].*", "", said["linux_version"].split()[0]))._replace(
        unpopulated_alloc=config["XEN_UNPOPULATED_ALLOC"],
        page_size=config["PAGE_KIB"] << 10,
        va_bits=config["VA_BITS"] if said["cpu"] == "max" else 47 if config["PAGE_KIB"] == 16 else 48,
        randomize_base=config["RANDOMIZE_BASE"],
    )


def answer(folder: Path, said: dict[str, Any], **more: Any) -> CheckResult:
    """Return what the kernel is said to do with the tree that it booted with."""
    requests = tuple(item["pages"] for item in said["requests"])
    tree = "dom0" if said["guest"] == "dom0" else "domu"
    options = CheckOptions(linux=profile_of(said), tree=tree, requests=requests)._replace(**more)
    (result,) = check((folder / "guest.dtb").read_bytes(), folder.name, options)
    return result


def compare(folder: Path, said: dict[str, Any]) -> Iterator[tuple[str, str | None]]:
    """Yield each kind of question with the difference or None."""
    result = answer(folder, said)
    assert result.answer is not None
    taken = sorted((item.taken.start, item.taken.last) for item in result.answer.requests if item.taken is not None)
    yield "taken", _differs(taken, sorted((int(a, 16), int(b, 16)) for a, b in said["scratch_inclusive"]))
    failed = [item.error is not None for item in result.answer.requests]
    yield "failed", _differs(failed, [not item["ok"] for item in said["requests"]])
    lines = [[item.message] if item.message else [] for item in result.answer.requests]
    printed = [[line for line in item["kernel"] if line.startswith("Cannot")] for item in said["requests"]]
    yield "lines", _differs(lines, printed)
    before = sorted(folder.glob("iomem-before*.txt"))
    if before:
        recorded = _top_level(before[0].read_text())
        fresh = answer(folder, said, requests=()).answer
        assert fresh is not None
        mine = [(item.start, item.end, item.name) for item in fresh.iomem.root.children]
        bound = [(user.range.start, user.range.last) for user in fresh.iomem.possible]
        extra = [item for item in recorded if item not in mine and item[:2] not in bound]
        missing = [item for item in mine if item not in recorded]
        yield "claims", _differs((missing, extra), ([], []))
        yield "fits", unlike(read_proc_iomem(before[0].read_text()), fresh.memory, result.linux.section_size)


def _top_level(text: str) -> list[tuple[int, int, str]]:
    found = (_LINE.fullmatch(line) for line in text.splitlines())
    return [(int(item[2], 16), int(item[3], 16), item[4]) for item in found if item is not None and not item[1]]


def _differs(mine: object, theirs: object) -> str | None:
    return None if mine == theirs else f"{mine} instead of {theirs}"


def main(argv: list[str]) -> int:
    """Compare; return 1 when something differs."""
    tally: Counter[tuple[str, bool]] = Counter()
    for path in sorted((Path(argv[0]) / "cases").glob("*/case.json")):
        said = json.loads(path.read_text())
        if not said.get("linux_version") or not (path.parent / "guest.dtb").exists():
            continue
        if argv[1:] and not path.parent.name.startswith(tuple(argv[1:])):
            continue
        for kind, difference in compare(path.parent, said):
            tally[kind, difference is None] += 1
            if difference is not None:
                print(f"{path.parent.name}: {kind}: {difference[:600]}", flush=True)
    for kind in dict.fromkeys(kind for kind, _ in tally):
        print(f"{kind:9} {tally[kind, True]:5} of {tally[kind, True] + tally[kind, False]:5} agree")
    return int(any(not good for _, good in tally))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
