"""Small inputs with a known right answer: what is expected of each, and what of that is not met.

Each folder holds an input and ``expect.json``: the arguments for ``dtanalyze`` and what its answer has to say.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from dtanalyze.cli import main as dtanalyze
from dtanalyze.linux.boot import WORST_FIRST


class Ran(NamedTuple):
    """What one command left behind."""

    status: int
    out: str
    err: str

    @property
    def results(self) -> list[dict[str, Any]]:
        """The results of a JSON answer, none where there is no answer."""
        return list(json.loads(self.out)["results"]) if self.out.startswith("{") else []


def run(argv: list[str], folder: Path) -> Ran:
    """Run the command line in ``folder``, in this process."""
    raw, err = io.BytesIO(), io.StringIO()
    out = io.TextIOWrapper(raw, encoding="utf-8", write_through=True)
    status = 0
    before = Path.cwd()
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            dtanalyze(argv)
    except SystemExit as left:
        status = left.code if isinstance(left.code, int) else int(left.code is not None)
    finally:
        os.chdir(before)
    return Ran(status, raw.getvalue().decode(), err.getvalue())


def unmet(folder: Path) -> Iterator[str]:
    """Yield each expectation of ``folder`` that the answer does not meet."""
    said = json.loads((folder / "expect.json").read_text())
    argv, expect = list(said["args"]), dict(said["expect"])
    text = run(argv, folder)
    answer = run([*argv, "--format", "json"], folder)
    checked = run(["check", *argv[1:], "--format", "json"], folder).results if argv[0] == "predict" else answer.results
    for key, wanted in expect.items():
        found = _found(key, wanted, text, answer, checked, argv, folder)
        if found is not None:
            yield f"{key}: {found} instead of {wanted}"


def _found(
    key: str, wanted: Any, text: Ran, answer: Ran, checked: list[dict[str, Any]], argv: list[str], folder: Path
) -> object:
    """Return what was found where ``wanted`` was expected, or None when that is met."""
    if key == "exit":
        return None if text.status == wanted else text.status
    if key == "stderr":
        return None if re.search(wanted, text.err) else text.err
    if key == "mentions":
        return None if re.search(wanted, text.out) else text.out[:300] + text.err[:300]
    worst = min((item["verdict"] for item in checked), key=[item.value for item in WORST_FIRST].index, default="none")
    if key == "verdict":
        return None if worst == wanted else worst
    if key == "verdict_not":
        refused = wanted if isinstance(wanted, list) else [wanted]
        return worst if worst in refused else None
    if key in ("rules", "rules_not"):
        rules = {finding["rule"] for item in checked for finding in item["findings"]}
        met = set(wanted) <= rules if key == "rules" else not set(wanted) & rules
        return None if met else sorted(rules)
    if key == "assumed":
        lines = [line for item in checked for line in item["assumed"]]
        return None if any(re.search(wanted, line) for line in lines) else lines
    if key == "says":
        return _says(wanted, checked, argv, folder)
    return _placed(key, wanted, argv, folder)


def _says(wanted: str, checked: list[dict[str, Any]], argv: list[str], folder: Path) -> object:
    lines = [item["reason"] for item in checked]
    lines += [item["stopped_by"]["message"] for item in _predictions(argv, folder) if item["stopped_by"]]
    return None if any(re.search(wanted, line) for line in lines) else lines


def _predictions(argv: list[str], folder: Path) -> list[dict[str, Any]]:
    return run(["predict", *argv[1:], "--format", "json"], folder).results


def _placed(key: str, wanted: Any, argv: list[str], folder: Path) -> object:
    found = _predictions(argv, folder)
    dom0 = next((item for item in found if item["domain"] == "dom0"), None)
    if key == "regions_any":
        regions = [item["extended_regions"] for item in found]
        return None if wanted in regions else regions
    if dom0 is None:
        return "no dom0"
    if key == "regions_dom0":
        return None if dom0["extended_regions"] == wanted else dom0["extended_regions"]
    starts = [int(start, 16) for start, _ in dom0["dom0_memory"]]
    if key == "ram_dom0":
        return None if starts and starts[0] == int(wanted, 16) else [hex(start) for start in starts]
    assert key == "ram_dom0_within", key
    low, high = (int(edge, 16) for edge in wanted)
    return None if starts and low <= starts[0] < high else [hex(start) for start in starts]
