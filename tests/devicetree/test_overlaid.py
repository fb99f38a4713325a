"""Many overlays on one tree in memory come to what each of them comes to on the blob that the one before left."""

from hypothesis import event, given, settings
from hypothesis import strategies as st

from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.overlay import Overlaid, apply_overlay
from dtanalyze.devicetree.tree import Node
from dtanalyze.devicetree.write import cells, new_node, set_property, strings, to_blob
from dtanalyze.errors import BlobError, OverlayError

TARGETS = ("/", "/", "/soc", "/soc", "/soc", "/soc/dev", "/soc/n0", "/soc/n0", 1, 1, 1, 2, 2, 3, "/n1", "/soc/n0/n2", "/none")
NAMES = ("n0", "n1", "n2", "n2@1", "dev@10")
PHANDLES = st.dictionaries(st.sampled_from(["phandle", "linux,phandle"]), st.integers(1, 6), max_size=2)
CONTENT = st.recursive(
    st.tuples(PHANDLES, st.just(())),
    lambda below: st.tuples(PHANDLES, st.lists(st.tuples(st.sampled_from(NAMES), below), max_size=3).map(tuple)),
    max_leaves=6,
)
OVERLAY = st.lists(st.tuples(st.sampled_from(TARGETS), CONTENT), min_size=1, max_size=2)


def fill(node: Node, content: tuple[dict[str, int], tuple]) -> None:  # type: ignore[type-arg]  # of itself
    phandles, children = content
    for name, value in phandles.items():
        set_property(node, name, cells([value]))
    for name, below in children:
        fill(new_node(name, node), below)


def overlay_of(fragments: list[tuple[str | int, tuple]]) -> bytes:  # type: ignore[type-arg]  # likewise
    over = new_node("")
    for at, (target, content) in enumerate(fragments):
        fragment = new_node(f"fragment@{at}", over)
        if isinstance(target, str):
            set_property(fragment, "target-path", strings(target))
        else:
            set_property(fragment, "target", cells([target]))
        fill(new_node("__overlay__", fragment), content)
    labels = new_node("__symbols__", over)
    set_property(labels, "label", strings("/fragment@0/__overlay__/n0"))
    return to_blob(over)


def base() -> bytes:
    root = new_node("")
    soc = new_node("soc", root, {"phandle": cells([1])})
    new_node("dev@10", soc, {"phandle": cells([2]), "linux,phandle": cells([2])})
    new_node("n0", soc, {"phandle": cells([2])})
    return to_blob(root)


@settings(max_examples=150)
@given(st.lists(OVERLAY, min_size=1, max_size=4))
def test_one_after_another(drawn: list[list[tuple[str | int, tuple]]]) -> None:  # type: ignore[type-arg]  # likewise
    overlays = [overlay_of(item) for item in drawn]
    expected = base()
    refused = None
    overlaid = Overlaid(parse(expected))
    for at, item in enumerate(overlays):
        try:
            expected = apply_overlay(parse(expected), parse(item))
        except (OverlayError, BlobError) as error:
            refused = at, str(error)
            break
    event("refused" if refused else f"{len(overlays)} applied")
    for at, item in enumerate(overlays):
        try:
            overlaid.apply(parse(item))
        except OverlayError as error:
            assert refused == (at, str(error))
            return
    assert refused is None
    assert overlaid.blob() == expected
