"""Settings of ``check`` from a file or the environment: one table of keys, and what values they take.

A file is ``dtanalyze.toml`` or the table ``[tool.dtanalyze]`` of ``pyproject.toml``, its content already parsed. The
environment has each key as ``DTANALYZE_KEY``. Values become defaults of the command line's options.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from dtanalyze.errors import UsageError

__all__ = ["KEYS", "PREFIX", "SUPPRESS", "FileUsed", "Key", "Setting", "from_beside", "from_environment", "from_file"]

PREFIX: Final = "DTANALYZE_"
SUPPRESS: Final = "suppress"
"""The one key of a file that is no option: a list of tables."""


class Key(NamedTuple):
    """``param`` is the option's parameter; ``kind`` is text, number, switch, texts or numbers."""

    param: str
    kind: str


class Setting(NamedTuple):
    """A value and where it comes from: a file with its key, or an environment variable."""

    value: Any
    origin: str


class FileUsed(NamedTuple):
    """A settings file of this run: the keys that it sets, and those that do not count where it lies."""

    path: str
    keys: tuple[str, ...]
    without_effect: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return one sentence for a report."""
        sets = f"sets {', '.join(self.keys)}" if self.keys else "sets nothing"
        if not self.without_effect:
            return f"{self.path} {sets}"
        left = ", ".join(self.without_effect)
        return f"{self.path} {sets}; beside the input {left} has no effect (--config {self.path} takes all of it)"


KEYS: Final[dict[str, Key]] = {
    "linux": Key("linux", "text"),
    "arch": Key("arch", "text"),
    "kconfig": Key("kconfig", "text"),
    "unpopulated-alloc": Key("unpopulated_alloc", "switch"),
    "page-size": Key("page_size", "text"),
    "va-bits": Key("va_bits", "number"),
    "kaslr": Key("kaslr", "switch"),
    "proc-iomem": Key("proc_iomem", "text"),
    "request": Key("request", "numbers"),
    "need": Key("need", "text"),
    "as": Key("as_", "text"),
    "memory": Key("memory", "texts"),
    "xen": Key("xen", "text"),
    "iommu": Key("iommu", "text"),
    "ipa-bits": Key("ipa_bits", "number"),
    "dom0-mem": Key("dom0_mem", "text"),
    "dom0-bank": Key("dom0_bank", "texts"),
    "grant-table": Key("grant_table", "text"),
    "ext-regions": Key("ext_regions", "switch"),
    "xen-log": Key("xen_log", "text"),
    "fdt-address": Key("fdt_address", "text"),
    "efi": Key("efi", "switch"),
    "domu": Key("domu", "texts"),
    "iomem": Key("iomem", "texts"),
    "fail-on": Key("fail_on", "text"),
    "exit-zero": Key("exit_zero", "switch"),
    "select": Key("select", "texts"),
    "ignore": Key("ignore", "texts"),
    "min-severity": Key("min_severity", "text"),
    "baseline": Key("baseline", "text"),
    "suppressions": Key("suppressions", "text"),
    "include": Key("include", "texts"),
    "define": Key("define", "texts"),
    "jobs": Key("jobs", "number"),
    "timeout": Key("timeout", "number"),
    "memory-limit": Key("memory_limit", "text"),
    "color": Key("color", "text"),
}
_BESIDE: Final = frozenset({"memory", "dom0-mem", "iommu", "ext-regions"})
"""What whoever sent the tree could have written into it: memory nodes, and dom0_mem, iommu and ext_regions of Xen's
command line.

A file that comes with the input decides nothing more. Any other key could turn a gate green: which kernel is asked
about, which findings are reported, which of them fail the run.
"""
_DIGITS: Final = re.compile(r"[0-9]{1,20}")
_SWITCH: Final = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
_WORDS: Final = {
    "text": "text",
    "number": "a whole number",
    "switch": "true or false",
    "texts": "a list of texts",
    "numbers": "a list of whole numbers",
}


def from_file(table: Mapping[str, Any], path: str) -> dict[str, Setting]:
    """Return the settings of a file's table; raise `UsageError` for a key or a value that is none."""
    found = {}
    for key, value in table.items():
        if key == SUPPRESS:
            continue
        known = KEYS.get(key)
        if known is None:
            near = difflib.get_close_matches(key, [*KEYS, SUPPRESS], 1)
            hint = f"; the nearest is {near[0]}" if near else ""
            raise UsageError(f"{path}: no setting is called '{key}'{hint}")
        checked = _typed(value, known.kind)
        if checked is None:
            raise UsageError(f"{path}: {key} takes {_WORDS[known.kind]}, not {value!r}")
        found[known.param] = Setting(checked, f"{path}: {key}")
    return found


def from_beside(table: Mapping[str, Any], path: str) -> tuple[dict[str, Setting], FileUsed]:
    """Return what counts of a file that lies beside the input, and what it holds; raise `UsageError` as `from_file`."""
    found = from_file(table, path)
    counted = {KEYS[key].param: found[KEYS[key].param] for key in table if key in _BESIDE}
    ignored = tuple(key for key in table if key not in _BESIDE)
    return counted, FileUsed(path, tuple(key for key in table if key in _BESIDE), ignored)


def _typed(value: Any, kind: str) -> Any:
    """Return the value as its option takes it, None when it is of another type. Lists may be given as one item."""
    if kind == "text":
        return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None
    if kind == "number":
        return value if isinstance(value, int) and not isinstance(value, bool) else None
    if kind == "switch":
        return value if isinstance(value, bool) else None
    items = value if isinstance(value, list) else [value]
    typed = [_typed(item, kind.removesuffix("s")) for item in items]
    return None if None in typed else typed


def from_environment(environ: Mapping[str, str]) -> dict[str, Setting]:
    """Return the settings of ``DTANALYZE_*``; lists are separated by blanks. Raise `UsageError` for what is none."""
    known = {PREFIX + key.upper().replace("-", "_"): key for key in KEYS}
    found = {}
    for name, text in environ.items():
        if not name.startswith(PREFIX):
            continue
        key = known.get(name)
        if key is None:
            near = difflib.get_close_matches(name, known, 1)
            raise UsageError(f"{name}: no setting is called so" + (f"; the nearest is {near[0]}" if near else ""))
        value = _read(text, KEYS[key].kind)
        if value is None:
            raise UsageError(f"{name}: takes {_WORDS[KEYS[key].kind]}, not '{text}'")
        found[KEYS[key].param] = Setting(value, name)
    return found


def _read(text: str, kind: str) -> Any:
    if kind == "text":
        return text
    if kind == "switch":
        return _SWITCH.get(text.lower())
    if kind == "number":
        return int(text) if _DIGITS.fullmatch(text) else None
    items = [_read(item, kind.removesuffix("s")) for item in text.split()]
    return None if None in items else items
