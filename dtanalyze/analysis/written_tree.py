"""The tree that Xen wrote, as recorded, against the one that is predicted: node for node, property for property."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from dtanalyze.analysis.guest import kind_of
from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.tree import Tree
from dtanalyze.facts import Comparison
from dtanalyze.xen.prediction import Prediction

__all__ = ["against_tree"]

_LATER: Final = frozenset(
    {
        ("/chosen", "linux,initrd-start"),
        ("/chosen", "linux,initrd-end"),
        ("/chosen", "kaslr-seed"),
        ("/chosen", "rng-seed"),
    }
)
"""Written once the images are placed, or by Linux when it has read them."""
_SHOWN: Final = 4


def against_tree(predictions: Sequence[Prediction], recorded: tuple[str, Tree]) -> Iterator[Comparison]:
    """Yield one comparison with the prediction whose domain the tree is for: the one that is most like it."""
    name, tree = recorded
    kind = kind_of(tree)
    facts = _content(tree)
    # Without a hypervisor node (a domain without xen,enhanced) it may be anybody's.
    candidates = [
        item
        for item in predictions
        if item.blob is not None and kind in ("host", "dom0" if item.domain == "dom0" else "domu")
    ]
    if not candidates:
        yield Comparison("the tree Xen writes", "none", f"{len(facts)} properties", None, name, cause="no such domain")
        return
    differing = [(_differing(_content(parse(item.blob or b"")), facts), item) for item in candidates]
    missing, item = min(differing, key=lambda pair: len(pair[0]))
    what = f"tree of {item.domain}"
    if not missing:
        yield Comparison(what, f"{len(facts)} properties", "the same", True, name)
        return
    listed = ", ".join(missing[:_SHOWN]) + (f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else "")
    cause = "Xen's build, its release or firmware wrote them otherwise, or the model is wrong"
    yield Comparison(what, f"{len(facts)} properties", f"others: {listed}", False, name, cause=cause)


def _content(tree: Tree) -> dict[tuple[str, str], bytes]:
    nodes = {(node.path, ""): b"" for node in tree.root}
    values = {(node.path, prop.name): prop.value for node in tree.root for prop in node.properties.values()}
    return {key: value for key, value in (nodes | values).items() if key not in _LATER}


def _differing(mine: dict[tuple[str, str], bytes], seen: dict[tuple[str, str], bytes]) -> list[str]:
    keys = sorted(key for key in mine.keys() | seen.keys() if mine.get(key) != seen.get(key))
    return [f"{path}:{name}" if name else path for path, name in keys]
