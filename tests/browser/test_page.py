"""The page in a real browser, headless Chromium: it renders at every width, its controls work, nothing goes wrong, and axe-core
finds nothing that keeps somebody from reading it.

A script of this test is put behind the page's own; it works the controls and leaves what it saw in the document, which
Chromium then prints (``--dump-dom``). Narrow widths are those of a frame, since a headless window is 500 pixels at least.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from functools import cache
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest

from dtanalyze.analysis import CheckOptions, HostQuestion, check
from dtanalyze.causes import folded
from dtanalyze.linux.profile import PRESETS
from dtanalyze.report.picture.html import picture_html
from dtanalyze.report.picture.scene import Scene, scene
from dtanalyze.xen.profile import preset
from tests.conftest import FIXTURES
from tests.trees import dtb

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium: the page is NOT tested in a browser")
AXE = FIXTURES.parent / "node_modules" / "axe-core" / "axe.min.js"
needs_axe = pytest.mark.skipif(
    not AXE.is_file(), reason="no axe-core (make test-all fetches it): accessibility is NOT tested"
)

LISTEN = """<script>window.wrong = [];
window.addEventListener("error", (event) => window.wrong.push(String(event.message)));
for (const name of ["error", "warn"]) { console[name] = (...words) => window.wrong.push(words.join(" ")); }</script>"""
BOOTS = FIXTURES / "dtb" / "boots"
HOSTS = FIXTURES / "dtb" / "hosts"
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--allow-file-access-from-files", "--virtual-time-budget=20000")  # fmt: skip
DARK = "--blink-settings=preferredColorScheme=0"


def recorded(name: str) -> Scene:
    (result,) = check((BOOTS / f"{name}.dtb").read_bytes(), f"{name}.dtb", CheckOptions(linux=PRESETS["6.12"]))
    return scene(folded(result))


def asked(data: bytes, linux: tuple[str, ...], xen: tuple[str, ...], iommu: tuple[bool | None, ...]) -> tuple[Scene, ...]:
    options = CheckOptions(linux=PRESETS[linux[0]])
    question = HostQuestion(options, tuple(PRESETS[name] for name in linux), tuple(map(preset, xen)), iommu)
    return tuple(scene(folded(item)) for item in check(data, "host.dtb", options, question))


STOPS = dtb(
    "#address-cells = <2>; #size-cells = <2>; reserved-memory { #address-cells = <2>; #size-cells = <2>; ranges;"
    " a@50000000 { reg = <0 0x50000000 0 0x2000>; }; b@50001000 { reg = <0 0x50001000 0 0x1000>; }; };"
    ' memory@40000000 { device_type = "memory"; reg = <0 0x40000000 0 0x40000000>; };'
)


@cache
def page(kind: str) -> str:
    """A page of each kind: a guest with a fault, a host with a domain, those where Xen stops, a sweep."""
    if kind == "guest":
        return picture_html((recorded("09a-noiommu-rogue-in-ram"),))
    if kind == "host":
        return picture_html(asked((HOSTS / "07a-domU-256M.dtb").read_bytes(), ("6.12",), ("4.17",), (None,)))
    if kind == "stops":
        return picture_html(asked(STOPS, ("6.12",), ("4.18",), (None,)))
    if kind == "stops later":
        return picture_html(asked((HOSTS / "16a-zcu102-612dtb-x420.dtb").read_bytes(), ("6.12",), ("4.20",), (None,)))
    everything = ("4.16", "4.17", "4.18", "4.19.2", "4.19", "4.20.0", "4.20", "4.21", "4.22", "master")
    board = (HOSTS / "01-dom0-x420-l612.dtb").read_bytes()
    return picture_html(asked(board, ("v2", "v3", "5.16", "6.12", "7.3"), everything, (False, True)))


KINDS = ("guest", "host", "stops", "stops later", "sweep")


def dumped(path: Path, folder: Path, *flags: str) -> str:
    ran = subprocess.run(
        [str(BROWSER), *FLAGS, f"--user-data-dir={folder}/profile", *flags, "--dump-dom", path.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return ran.stdout


def seen(text: str, script: str, folder: Path, *flags: str, width: int | None = None) -> Any:
    """Return what ``script`` (the body of an async function that returns something) saw in the page."""
    probe = (
        f"<script>(async () => {{ let told, failed = null; try {{ told = await (async () => {{ {script} }})(); }}\n"
        "catch (error) { failed = String(error); } const out = parent.document.createElement('pre'); out.id = 'told';\n"
        "out.textContent = JSON.stringify({told, failed, wrong: window.wrong}); parent.document.body.append(out); })();"
        "</script></body>"
    )
    path = folder / "page.html"
    path.write_text(text.replace("<head>", f"<head>{LISTEN}", 1).replace("</body>", probe, 1), encoding="utf-8")
    if width is not None:
        frame = folder / "frame.html"
        frame.write_text(
            f'<body style="margin:0"><iframe src="page.html" style="border:0;width:{width}px;height:900px"></iframe>'
        )
        path = frame
    out = dumped(path, folder, *flags)
    found = re.search(r'<pre id="told">(.*?)</pre>', out, re.S)
    assert found is not None, out[-2000:]
    answer = json.loads(unescape(found[1]))
    assert (answer["failed"], answer["wrong"]) == (None, [])
    return answer["told"]


@pytest.mark.parametrize("width", [320, 390, 1280])
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_runs_out_of_the_window(kind: str, width: int, tmp_path: Path) -> None:
    script = """const wide = [...document.querySelectorAll('.dtanalyze *')].filter((item) =>
        !item.closest('.sr, thead, .strip, .scroll') && item.getBoundingClientRect().right > innerWidth + 1);
        document.querySelectorAll('details').forEach((item) => { item.open = true; });
        return {wide: wide.map((item) => item.className), scroll: document.scrollingElement.scrollWidth - innerWidth,
                tall: document.body.offsetHeight};"""
    told = seen(page(kind), script, tmp_path, width=width)
    assert told["wide"] == [] and told["scroll"] <= 0 and told["tall"] > 300


@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("kind", KINDS)
def test_a_label_is_whole_or_gone(kind: str, width: int, tmp_path: Path) -> None:
    """One that does not fit wraps below its block, out of sight: none is cut off in the middle of a letter."""
    script = """document.querySelectorAll('details').forEach((item) => { item.open = true; });
        const cut = [], shown = [];
        for (const box of document.querySelectorAll('.b, .bar li')) {
            const out = box.getBoundingClientRect(), walker = document.createTreeWalker(box, NodeFilter.SHOW_TEXT);
            for (let node; (node = walker.nextNode());) {
                const range = document.createRange(); range.selectNodeContents(node);
                const at = range.getBoundingClientRect();
                if (!node.textContent.trim() || !at.width || at.top >= out.bottom - 2) continue;
                (at.left >= out.left - 1 && at.right <= out.right + 1 ? shown : cut).push(node.textContent);
            } }
        return {cut, shown: shown.length};"""
    told = seen(page(kind), script, tmp_path, width=width)
    assert told["cut"] == []
    assert told["shown"] > 0 or kind == "stops"


@pytest.mark.parametrize("kind", KINDS)
def test_text_can_be_read(kind: str, tmp_path: Path) -> None:
    """10.5 px at least, 9.5 px in the cells of a sweep, on a phone too."""
    script = """const sizes = [...document.querySelectorAll('.dtanalyze *')]
        .filter((item) => [...item.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim())
                && !['STYLE', 'SCRIPT'].includes(item.tagName) && item.getClientRects().length)
        .map((item) => [parseFloat(getComputedStyle(item).fontSize), !!item.closest('.mx')]);
        return {small: Math.min(...sizes.map(([size, cell]) => cell ? 99 : size)), cell: Math.min(...sizes.map(([size]) => size))};"""
    told = seen(page(kind), script, tmp_path, width=320)
    assert told["small"] >= 10.5 and told["cell"] >= 9.5


@needs_axe
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("kind", KINDS)
def test_axe_finds_nothing(kind: str, theme: str, tmp_path: Path) -> None:
    """All rules of axe-core, contrast among them, with everything unfolded."""
    text = page(kind).replace("</body>", f"<script>{AXE.read_text(encoding='utf-8')}</script></body>", 1)
    script = """document.querySelectorAll('details').forEach((item) => { item.open = true; });
        const found = await axe.run(document, {resultTypes: ['violations']});
        return {dark: getComputedStyle(document.body).backgroundColor, violations: found.violations.map((item) =>
            [item.id, item.nodes.length, item.nodes[0].html.slice(0, 160), item.nodes[0].failureSummary])};"""
    told = seen(text, script, tmp_path, *([DARK] if theme == "dark" else []))
    assert told["dark"] == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 22, 26)"}[theme]
    assert told["violations"] == []


def test_the_page_is_whole_without_scripts(tmp_path: Path) -> None:
    """No control is shown that does nothing, and the links lead to their places."""
    path = tmp_path / "plain.html"
    path.write_text(re.sub(r"<script>.*?</script>", "", page("guest"), flags=re.S), encoding="utf-8")
    frame = tmp_path / "frame.html"
    script = (
        "addEventListener('load', () => { const inner = document.querySelector('iframe').contentDocument;"
        "const link = inner.querySelector('.say a'); link.click(); const out = document.createElement('pre'); out.id = 'told';"
        "out.textContent = JSON.stringify({tools: inner.querySelector('.tools').getClientRects().length,"
        "card: !!inner.querySelector(link.getAttribute('href'))}); document.body.append(out); });"
    )
    frame.write_text(
        f'<body><iframe src="{escape(path.name)}" style="width:900px;height:900px"></iframe><script>{script}</script>'
    )
    found = re.search(r'<pre id="told">(.*?)</pre>', dumped(frame, tmp_path), re.S)
    assert found is not None and json.loads(unescape(found[1])) == {"tools": 0, "card": True}


def test_zoom_steps_and_search(tmp_path: Path) -> None:
    told = seen(
        page("guest"),
        """const click = (name) => document.querySelector(name).click(), said = () => document.querySelector('.step').textContent;
        const grid = document.querySelector('.grid'), before = grid.offsetWidth;
        click('.in'); const zoomed = grid.offsetWidth / before, zoom = said(); click('.out');
        click('.play'); const dim = document.querySelectorAll('[data-n].dim').length, first = said(); click('.play');
        const after = document.querySelectorAll('[data-n].dim').length;
        const find = document.querySelector('.find'); find.value = 'rogue'; find.dispatchEvent(new Event('input'));
        return {zoomed, zoom, dim, first, after, found: said(), hidden: document.querySelectorAll('li.r.dim').length > 0};""",
        tmp_path,
    )
    assert told["zoomed"] == pytest.approx(2, abs=0.1) and told["zoom"].startswith("zoom 2 times")
    assert (told["dim"], told["after"]) == (8, 0), "nine sections, the first of them shown"
    assert told["first"].startswith("section 1, 0x") and re.fullmatch(r"[1-9]\d* found", told["found"]) and told["hidden"]


def test_several_in_a_notebook(tmp_path: Path) -> None:
    """Two fragments in one document, the second one's script run apart from its place, as some notebooks do."""
    one, two = (picture_html((recorded(name),), fragment=True) for name in ("11e-is-ram", "01-dom0-x420-l612"))
    markup, script = two.split("<script>", 1)
    script, rest = script.split("</script>", 1)
    told = seen(
        f"<!doctype html><html><head></head><body>{one}{markup}{rest}<script>{script}</script></body></html>",
        """const [one, two] = document.querySelectorAll('.dtanalyze');
        two.querySelector('.in').click();
        return [one, two].map((item) => item.querySelector('.step').textContent);""",
        tmp_path,
    )
    assert told == ["", "zoom 2 times; lines scroll"]


def pages(text: str, folder: Path) -> int:
    """Print a page and return on how many sheets."""
    path, out = folder / "page.html", folder / "page.pdf"
    path.write_text(text, encoding="utf-8")
    command = [str(BROWSER), *FLAGS, f"--user-data-dir={folder}/profile", f"--print-to-pdf={out}", path.as_uri()]
    subprocess.run(command, capture_output=True, timeout=120, check=True)
    assert out.read_bytes().startswith(b"%PDF")
    return len(re.findall(rb"/Type\s*/Page\b", out.read_bytes()))


def test_a_page_for_print(tmp_path: Path) -> None:
    """What is folded on a screen is printed, as nobody can unfold paper; long lists are named and left out."""
    text = page("guest")
    short = pages(text, tmp_path)
    assert 1 <= short <= 4
    more = "</summary>" + "<p>more</p>" * 300
    assert pages(re.sub(r"(<details><summary>(?:(?!</summary>).)*)</summary>", rf"\1{more}", text), tmp_path) > short + 4
    assert pages(re.sub(r'(<details class="long"><summary>(?:(?!</summary>).)*)</summary>', rf"\1{more}", text), tmp_path) == short


def test_a_thousand_nodes_stay_fluid(tmp_path: Path) -> None:
    """Each zoom step lays out the whole page: a slow machine may take its time."""
    devices = "".join(
        f"d{at}@{0x20000000 * at:x} {{ reg = <{at >> 3} {at * 0x20000000 & 0xFFFFFFFF:#x} 0 0x1000>; }};"
        for at in range(16, 1016)
    )
    body = "#address-cells = <2>; #size-cells = <2>; " + devices + (
        'hypervisor { compatible = "xen,xen-4.22", "xen,xen"; reg = <0 0x38000000 0 0x1000000>, <0 0x80000000 0 0x10000000>; };'
        'memory@40000000 { device_type = "memory"; reg = <0 0x40000000 0 0x40000000>; };'
    )  # fmt: skip
    (result,) = check(dtb(body), "large.dtb", CheckOptions(linux=PRESETS["6.12"], tree="domu"))
    told = seen(
        picture_html((scene(result),)),
        """const took = [];
        for (let step = 0; step < 10; step++) {
          const start = performance.now();
          document.querySelector(step % 2 ? '.out' : '.in').click();
          document.body.offsetHeight;
          took.push(performance.now() - start);
        }
        return took;""",
        tmp_path,
    )
    assert sorted(told)[len(told) // 2] < 300, told
