"""The two resource trees as plain data, for showing.

Possible claims are entered last and into a copy: they are for showing and must not stop a simulated request. One that
overlaps a claim only in part has no place in a tree, as its driver would be refused; it stands beside the other.
"""

from typing import NamedTuple

from dtanalyze.address.range import RawRange
from dtanalyze.linux.boot import BootAnswer, copy_resource
from dtanalyze.linux.resource import Resource

__all__ = ["View", "iomem_view", "view_of"]


class View(NamedTuple):
    """One resource for showing: ``claim`` is ``certain`` or ``possible``; a range of size 0 holds no address."""

    name: str
    range: RawRange
    source: str | None
    claim: str
    children: "tuple[View, ...]"


def view_of(resource: Resource) -> View:
    """Return ``resource`` and all below it."""
    return View(
        resource.name,
        RawRange(resource.start, resource.end + 1 - resource.start),
        resource.source,
        "certain" if resource.certain else "possible",
        tuple(view_of(child) for child in resource.children),
    )


def iomem_view(answer: BootAnswer) -> View:
    """Return iomem_resource with the possible claims entered."""
    root = copy_resource(answer.iomem.root)
    beside = []
    for item in answer.iomem.possible:
        name = item.source.rpartition("/")[2]
        made = Resource(name, item.range.start, item.range.last, source=item.source, certain=False)
        if root.insert_resource(made) is not None:
            beside.append(view_of(made))
    shown = view_of(root)
    for view in beside:
        shown = _with(shown, view)
    return shown


def _with(root: View, view: View) -> View:
    """Return ``root`` with ``view`` below the smallest resource that holds it, in address order."""
    for place, child in enumerate(root.children):
        if child.range.start <= view.range.start and view.range.stop <= child.range.stop:
            return root._replace(children=(*root.children[:place], _with(child, view), *root.children[place + 1 :]))
    return root._replace(children=tuple(sorted((*root.children, view), key=lambda item: item.range.start)))
