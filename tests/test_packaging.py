"""What a distribution is made of: the same bytes whenever and by whomever it is packed."""

from __future__ import annotations

import importlib.util
import io
import re
import tarfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]


def packed(names: tuple[str, ...], when: int, user: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as made:
        for name in names:
            member = tarfile.TarInfo(name)
            member.mtime, member.uname, member.uid, member.size = when, user, len(user), 3
            member.mode = 0o664 if user == "a" else 0o644
            made.addfile(member, io.BytesIO(name[-3:].encode()))
    return out.getvalue()


def test_when_who_and_in_which_order_is_not_seen() -> None:
    spec = importlib.util.spec_from_file_location("dist", ROOT / "packaging" / "dist.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    one = module.normalized(packed(("d/abc", "d/xyz"), 1, "a"), 1_700_000_000)
    other = module.normalized(packed(("d/xyz", "d/abc"), 2_000, "somebody"), 1_700_000_000)
    assert one == other != module.normalized(packed(("d/xyz", "d/abc"), 1, "a"), 1_700_000_001)
    with tarfile.open(fileobj=io.BytesIO(one)) as made:
        assert [(item.name, item.mtime, item.uid, item.uname, item.mode) for item in made] == [
            ("d/abc", 1_700_000_000, 0, "", 0o644), ("d/xyz", 1_700_000_000, 0, "", 0o644)
        ]  # fmt: skip
        content = made.extractfile("d/xyz")
        assert content is not None and content.read() == b"xyz"


def needed(package: str, extras: tuple[str, ...]) -> Iterator[str]:
    """Yield what a package needs with these extras, and what that needs in turn, as far as it is installed."""
    for line in metadata.requires(package) or ():
        item = Requirement(line)
        if item.marker is not None and not any(item.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            continue
        try:
            metadata.distribution(item.name)
        except metadata.PackageNotFoundError:
            continue
        yield canonicalize_name(item.name)
        yield from needed(item.name, tuple(item.extras))


def stated(package: str) -> str:
    """Return what a package says of its licence, in one of the three places that there are for it."""
    fields = metadata.metadata(package)
    classifiers = [item for item in fields.get_all("Classifier") or () if item.startswith("License")]
    for said in (fields.get_all("License-Expression"), fields.get_all("License"), classifiers):
        if said and said[0]:
            return str(said[0]).partition("\n")[0]
    return ""


def test_the_licences_of_what_it_needs_are_those_that_the_packages_state() -> None:
    rows = re.findall(r"^\| ([a-z0-9-]+) \| ([^|]+) \| (?:always|`\[)", (ROOT / "docs" / "licences.md").read_text(), re.M)
    table = dict(rows)
    assert len(table) == len(rows)
    found = set(needed("dtanalyze", ("images", "dask")))
    assert {"fdt", "intervaltree", "typer"} <= found <= set(table), "a package without a row"
    assert not set(table) & {"pytest", "mypy"}
    for package in found:
        families = re.findall(r"Apache|MIT|BSD|ISC|PSF", table[package])
        assert families and all(family in stated(package) for family in families), (package, stated(package))
        assert not re.search(r"GPL|Affero", stated(package)), f"{package}: not for an Apache-2.0 package"
