"""The page in a real browser, headless Chromium: it renders, its controls work, nothing goes wrong, it stays fluid.

A script of this test is put behind the page's own; it works the controls and leaves what it saw in the document, which
Chromium then prints (``--dump-dom``).
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from dtanalyze.analysis import CheckOptions, HostQuestion, check
from dtanalyze.linux.profile import PRESETS
from dtanalyze.report.picture.html import picture_html
from dtanalyze.report.picture.scene import Scene, scene
from dtanalyze.xen.profile import preset
from tests.conftest import FIXTURES
from tests.trees import dtb

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium: the page is NOT tested in a browser")

LISTEN = """<script>window.wrong = [];
window.addEventListener("error", (event) => window.wrong.push(String(event.message)));
for (const name of ["error", "warn"]) { console[name] = (...words) => window.wrong.push(words.join(" ")); }</script>"""
BOOTS = FIXTURES / "dtb" / "boots"


def recorded(name: str) -> Scene:
    (result,) = check((BOOTS / f"{name}.dtb").read_bytes(), f"{name}.dtb", CheckOptions(linux=PRESETS["6.12"]))
    return scene(result)


def seen(page: str, script: str, folder: Path, *flags: str) -> Any:
    """Return what ``script`` (the body of a function that returns something) saw in the page."""
    probe = f"<script>(() => {{ const told = (() => {{ {script} }})(); const out = document.createElement('pre'); out.id = 'told';\n"
    probe += (
        "out.textContent = JSON.stringify({told, wrong: window.wrong}); document.body.append(out); })();</script></body>"
    )
    path = folder / "page.html"
    path.write_text(page.replace("<head>", f"<head>{LISTEN}", 1).replace("</body>", probe, 1), encoding="utf-8")
    ran = subprocess.run(
        [str(BROWSER), "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/profile", *flags, "--dump-dom", path.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    found = re.search(r'<pre id="told">(.*?)</pre>', ran.stdout, re.S)
    assert found is not None, ran.stderr[-2000:]
    answer = json.loads(unescape(found[1]))
    assert answer["wrong"] == []
    return answer["told"]


def test_it_renders(tmp_path: Path) -> None:
    drawn = recorded("09a-noiommu-rogue-in-ram")
    told = seen(
        picture_html((drawn,)),
        "return {rows: document.querySelectorAll('table.map tbody tr').length, "
        "tall: document.querySelector('table.map').offsetHeight, wide: document.body.scrollWidth <= window.innerWidth};",
        tmp_path,
    )
    assert told["rows"] == len(drawn.bands) and told["tall"] > 200 and told["wide"], "nothing runs out of the window"


def test_a_finding_marks_its_place(tmp_path: Path) -> None:
    told = seen(
        picture_html((recorded("09a-noiommu-rogue-in-ram"),)),
        """const button = [...document.querySelectorAll('.finding')].find((item) => item.textContent.includes('X01'));
        button.click();
        const hit = [...document.querySelectorAll('tr.hit')].map((row) => row.dataset.start);
        return {hit, pressed: button.getAttribute('aria-pressed'), focus: document.activeElement.dataset.start,
                said: document.querySelector('.step').textContent};""",
        tmp_path,
    )
    assert "90000000" in told["hit"] and told["pressed"] == "true" and told["focus"] in told["hit"]
    assert "ranges marked" in told["said"]


def test_keys_zoom_and_the_allocation(tmp_path: Path) -> None:
    told = seen(
        picture_html((recorded("01-dom0-x420-l612"),)),
        """const key = (target, name) => target.dispatchEvent(new KeyboardEvent('keydown', {key: name, bubbles: true}));
        const rows = [...document.querySelectorAll('tbody tr[tabindex]')];
        rows[0].focus(); key(rows[0], 'ArrowDown');
        const moved = document.activeElement === rows[1];
        const before = document.querySelector('table.map').offsetHeight;
        key(document.body.querySelector('.in'), '+'); document.querySelector('.in').click();
        const after = document.querySelector('table.map').offsetHeight;
        document.querySelector('.play').click();
        const playing = [...document.querySelectorAll('tr.now')].map((row) => row.dataset.first);
        const said = document.querySelector('.step').textContent;
        key(document.activeElement, 'Escape');
        return {moved, grown: after > before, playing, said, stopped: document.querySelectorAll('tr.now').length};""",
        tmp_path,
    )
    assert told == {"moved": True, "grown": True, "playing": ["1"], "said": "sections 1 to 2", "stopped": 0}


def test_the_selector_of_a_sweep(tmp_path: Path) -> None:
    options = CheckOptions(linux=PRESETS["6.12"])
    question = HostQuestion(options, (options.linux,), (preset("4.20"), preset("4.22")))
    results = check((FIXTURES / "dtb" / "hosts" / "01-dom0-x420-l612.dtb").read_bytes(), "host.dtb", options, question)
    told = seen(
        picture_html(tuple(scene(result) for result in results)),
        """const which = document.querySelector('.which'); which.value = '1'; which.dispatchEvent(new Event('change'));
        return [...document.querySelectorAll('section.result')].map((item) => item.hidden);""",
        tmp_path,
    )
    assert told == [True, False]


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
    assert told == ["", "zoom 125 %"]


def test_dark_and_narrow(tmp_path: Path) -> None:
    script = (
        "const style = getComputedStyle(document.body); "
        "return {dark: style.backgroundColor, fits: document.documentElement.scrollWidth <= window.innerWidth + 1};"
    )
    page = picture_html((recorded("11e-is-ram"),))
    dark = seen(
        page, script, tmp_path, "--force-dark-mode", "--enable-features=WebContentsForceDark", "--window-size=520,900"
    )
    assert dark["fits"]
    assert seen(page, script, tmp_path, "--window-size=1600,900")["dark"] == "rgb(255, 255, 255)"


def test_a_thousand_nodes_stay_fluid(tmp_path: Path) -> None:
    """Each zoom step lays out the whole table: about 60 ms here, and a slow machine may take its time."""
    devices = "".join(
        f"d{at}@{0x20000000 * at:x} {{ reg = <{at >> 3} {at * 0x20000000 & 0xFFFFFFFF:#x} 0 0x1000>; }};"
        for at in range(16, 1016)
    )
    body = "#address-cells = <2>; #size-cells = <2>; " + devices + (
        'hypervisor { compatible = "xen,xen-4.22", "xen,xen"; reg = <0 0x38000000 0 0x1000000>, <0 0x80000000 0 0x10000000>; };'
        'memory@40000000 { device_type = "memory"; reg = <0 0x40000000 0 0x40000000>; };'
    )  # fmt: skip
    (result,) = check(dtb(body), "large.dtb", CheckOptions(linux=PRESETS["6.12"], tree="domu"))
    drawn = scene(result)
    assert len(drawn.bands) > 1900
    told = seen(
        picture_html((drawn,)),
        """const table = document.querySelector('table.map'); table.offsetHeight; const took = [];
        for (let step = 0; step < 10; step++) {
          const start = performance.now();
          document.querySelector(step % 2 ? '.out' : '.in').click();
          table.offsetHeight;
          took.push(performance.now() - start);
        }
        return took;""",
        tmp_path,
    )
    assert sorted(told)[len(told) // 2] < 300, told
