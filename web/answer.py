"""What the page in the browser asks of the analyzer: one file and a few words in, one answer as JSON out.

The same calls work under any Python, so that the page's answers are tested without a browser.
"""

from __future__ import annotations

import json
from typing import Any

import dtanalyze
from dtanalyze.errors import DtanalyzeError

__all__ = ["answer", "asked"]

CHOICES = ("memory", "xen", "linux", "dom0-mem", "iommu")


def asked(words: dict[str, str]) -> dict[str, Any]:
    """Return the arguments for `dtanalyze.check`; empty words leave the choice to the tree."""
    given = {key: words.get(key, "").strip() for key in CHOICES}
    found: dict[str, Any] = {}
    if given["memory"]:
        found["memory"] = tuple(given["memory"].replace(",", " ").split())
    for key in ("xen", "linux"):
        if given[key]:
            found[key] = given[key]
    if given["dom0-mem"]:
        found["dom0_mem"] = given["dom0-mem"]
    if given["iommu"] in ("on", "off"):
        found["iommu"] = given["iommu"] == "on"
    return found


def command(name: str, words: dict[str, str]) -> str:
    """Return the command line that asks the same; quoting is the shell's."""
    import shlex

    parts = ["dtanalyze", "check", name]
    for key in CHOICES:
        for value in words.get(key, "").replace(",", " ").split() if key == "memory" else [words.get(key, "").strip()]:
            if value:
                parts += [f"--{key}", value]
    return shlex.join(parts)


def answer(name: str, data: bytes | memoryview, words: str) -> str:
    """Return the answer for one file: ``command``, then ``text``, ``map`` and ``verdict``, or ``error``."""
    said: dict[str, str] = json.loads(words)
    out: dict[str, str] = {"command": command(name, said)}
    try:
        tree = dtanalyze.load(bytes(data), name=name)
        results = dtanalyze.check(tree, **asked(said))
        out |= {"verdict": str(results.verdict.value), "text": results.render(), "map": _page(results)}
    except (DtanalyzeError, ValueError) as error:
        out["error"] = f"{name}: {error}"
    return json.dumps(out)


def _page(results: dtanalyze.Results) -> str:
    """Return the map as a page of its own."""
    from dtanalyze.report.picture.html import picture_html
    from dtanalyze.report.picture.scene import scene

    return picture_html(tuple(scene(item) for item in results))
