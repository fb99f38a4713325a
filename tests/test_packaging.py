"""What a distribution is made of: the same bytes whenever and by whomever it is packed."""

from __future__ import annotations

import importlib.util
import io
import tarfile
from pathlib import Path

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
