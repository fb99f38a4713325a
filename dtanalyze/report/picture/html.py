"""The pictures as one page that needs nothing from outside: what a person opens from a CI run.

The page is whole without its script: links lead from map to card and back, long lists fold. The script adds zoom, the
allocation step by step and a search. Names of places begin with a digest of the page, since a notebook shows several pages
in one document.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from hashlib import sha256
from importlib.resources import files
from itertools import groupby

from dtanalyze.facts import CheckResult
from dtanalyze.report.lines import sentence
from dtanalyze.report.naming import cell
from dtanalyze.report.picture.guest import do_html, facts_html, guest_body
from dtanalyze.report.picture.host import host_body
from dtanalyze.report.picture.marks import badge, cause, words
from dtanalyze.report.picture.scene import Scene
from dtanalyze.report.picture.sweep import sweep_body

__all__ = ["picture_html"]


def picture_html(scenes: tuple[Scene, ...], *, fragment: bool = False) -> str:
    """Return the page for these results; as a ``fragment`` what stands inside ``body``, style and script included."""
    body = "\n".join([f"<style>{_asset('page.css')}</style>", *_body(scenes), f"<script>{_asset('page.js')}</script>"])
    if fragment:
        return f'<div class="dtanalyze">{body}</div>'
    worst = scenes[0].title if len(scenes) == 1 else f"{len(scenes)} results"
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width, initial-scale=1"><title>dtanalyze map: {words(worst)}</title></head>\n'
        f'<body class="dtanalyze">\n{body}\n</body>\n</html>\n'
    )


@cache
def _asset(name: str) -> str:
    return files("dtanalyze.report.picture").joinpath(name).read_text(encoding="utf-8")


def _body(scenes: tuple[Scene, ...]) -> Iterator[str]:
    yield "<main>"
    yield (
        '<div class="tools" role="toolbar" aria-label="View" hidden>'
        '<button type="button" class="out" aria-label="Zoom out">−</button>'
        '<button type="button" class="in" aria-label="Zoom in">+</button>'
        '<button type="button" class="play">Step by step</button>'
        '<input class="find" type="search" aria-label="Search" placeholder="Search: node, address, rule">'
        '<output class="step s mute" aria-live="polite"></output></div>'
    )
    for _, group in groupby(scenes, lambda item: item.result.path):
        yield from _tree(tuple(group))
    yield "</main>"


def _tree(scenes: tuple[Scene, ...]) -> Iterator[str]:
    """Yield all that was asked of one tree: a sweep, a host with its domains, or one domain."""
    prefix = f"d{sha256('|'.join(item.title for item in scenes).encode('utf-8', 'surrogateescape')).hexdigest()[:8]}-"
    first = scenes[0].result
    yield f'<article class="tree" aria-label="{words(first.path)}">'
    if len({(item.result.xen, item.result.iommu, item.result.linux) for item in scenes}) > 1:
        yield from sweep_body(scenes, prefix)
    elif len(scenes) > 1 or first.host is not None:
        yield from host_body(scenes, prefix)
    else:
        yield from _head(scenes[0], prefix)
        yield from guest_body(scenes[0], prefix)
    yield "</article>"


def _head(scene: Scene, prefix: str) -> Iterator[str]:
    result = scene.result
    yield f'<div class="top">{badge(result.verdict)}<div><h1>{words(result.path)}</h1>'
    kernel = f"{cell(result)}, {result.linux.arch.value}, {result.linux.page_size >> 10}K pages"
    yield f'<p class="mute s">{words(kernel)}</p></div></div>'
    key = scene.cards[0].key if scene.cards and _explains(result) else None
    yield f'<p class="say">{words(sentence(result.reason))}{" " + cause(key, prefix) if key else ""}</p>'
    yield facts_html(scene)
    yield do_html(scene)


def _explains(result: CheckResult) -> bool:
    rules: Iterable[str] = (item.rule for item in result.findings)
    return result.cause is not None or f"V-{result.verdict.value}" in rules
