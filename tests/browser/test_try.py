"""The page that needs no install, in headless Chromium: a real board is dropped, the answer is the command line's.

A server on this machine serves the page and adds one script to it, which plays the visitor and sends back what it saw.
Chromium's own record of its network shows that no other host was asked.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import pytest

import dtanalyze
from tests.conftest import FIXTURES

ROOT = Path(__file__).parents[2]
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
BOARD = FIXTURES / "dtb" / "hosts" / "06c-1G-dom0-640M.dtb"
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-extensions",
]

pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="no Chromium: the page that needs no install is NOT tested"),
    pytest.mark.skipif(shutil.which("npm") is None, reason="no npm: Pyodide cannot be had, the page is NOT tested"),
]

VISITOR = """
addEventListener("error", (event) => tell({wrong: String(event.message)}));
addEventListener("securitypolicyviolation", (event) => tell({wrong: "refused: " + event.blockedURI + " " + event.violatedDirective}));
const tell = (what) => fetch("/told", {method: "POST", body: JSON.stringify(what)});
const answered = (number) => new Promise((done) => {
  const look = () => document.documentElement.dataset.answered === String(number) ? done() : setTimeout(look, 50);
  look();
});
const drop = async (name, bytes) => {
  const moved = new DataTransfer();
  moved.items.add(new File([bytes], name));
  document.getElementById("drop").dispatchEvent(new DragEvent("drop", {dataTransfer: moved, bubbles: true, cancelable: true}));
};
const seen = () => ({
  state: document.getElementById("state").textContent, text: document.getElementById("text").textContent,
  command: document.getElementById("command").textContent, map: document.getElementById("map").srcdoc.length,
  hidden: document.getElementById("answer").hidden, link: location.hash, wide: document.body.scrollWidth <= innerWidth,
});
const play = async () => {
  const board = await (await fetch("/board.dtb")).arrayBuffer();
  const told = [];
  await drop("board.dtb", board);
  await answered(1);
  told.push(seen());
  const form = document.getElementById("words");
  form.elements.namedItem("dom0-mem").value = "256M";
  form.elements.namedItem("linux").value = "";
  form.dispatchEvent(new Event("change", {bubbles: true}));
  await answered(2);
  told.push(seen());
  await drop("cut.dtb", board.slice(0, 100));
  await answered(3);
  told.push(seen());
  tell({told});
};
play().catch((error) => tell({wrong: String(error)}));
"""


class Visited(SimpleHTTPRequestHandler):
    """Serves the built page; what the visitor tells goes into a queue."""

    told: Queue[Any]

    def do_GET(self) -> None:
        """Serve a file, the board, or the page with the visitor's script in it."""
        if self.path == "/board.dtb":
            self._send(BOARD.read_bytes(), "application/octet-stream")
        elif self.path == "/visitor.js":
            self._send(VISITOR.encode(), "text/javascript")
        elif self.path == "/poor.js":
            self._send(b"delete globalThis.WebAssembly;", "text/javascript")
        elif self.path == "/poor.html":
            page = (Path(self.directory) / "index.html").read_text()
            self._send(page.replace("<head>", '<head><script src="poor.js"></script>').encode(), "text/html")
        elif self.path == "/":
            page = (Path(self.directory) / "index.html").read_text()
            self._send(
                page.replace("</body>", '<script type="module" src="visitor.js"></script></body>').encode(), "text/html"
            )
        else:
            super().do_GET()

    def do_POST(self) -> None:
        """Take what the visitor saw."""
        self.told.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self._send(b"", "text/plain")

    def _send(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("try") / "page"
    made = subprocess.run([sys.executable, ROOT / "web" / "build.py", folder], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"the page cannot be built here: {made.stderr.strip().splitlines()[-1]}")
    return folder


@pytest.fixture
def served(page: Path) -> Iterator[tuple[str, Queue[Any]]]:
    handler = type("Handler", (Visited,), {"told": Queue()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(page)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", handler.told  # type: ignore[attr-defined]  # the class made above has it
    server.shutdown()
    server.server_close()


def asked_hosts(record: Path) -> set[str]:
    """Return the hosts that pages, frames and workers asked, by Chromium's own network record.

    What the browser asks for itself (updates, sign-in) is "not an origin" there.
    """
    text = record.read_text()
    events = json.loads(text if text.rstrip().endswith("}") else text.rstrip().rstrip(",") + "]}")["events"]
    asked = [item["params"] for item in events if "initiator" in item.get("params", {})]
    assert len(asked) > 10, "the record tells who asked"
    return {item["url"].split("/")[2] for item in asked if item["initiator"] != "not an origin"}


def test_a_board_is_answered_in_the_browser_and_nothing_leaves_it(served: tuple[str, Queue[Any]], tmp_path: Path) -> None:
    address, told = served
    record = tmp_path / "net.json"
    options = [
        f"--user-data-dir={tmp_path}/profile",
        f"--log-net-log={record}",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ]
    browser = subprocess.Popen(
        [str(BROWSER), *FLAGS, *options, "--remote-debugging-port=0", f"{address}#linux=6.12"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        said = told.get(timeout=120)
    except Empty:
        pytest.fail("the page gave no answer within two minutes")
    finally:
        browser.terminate()
        browser.wait(timeout=30)
    assert "wrong" not in said, said
    first, second, broken = said["told"]
    expected = dtanalyze.check(dtanalyze.load(BOARD, name="board.dtb"), linux="6.12")
    assert first["text"] == expected.render(), first["state"]
    assert first["state"] == f"board.dtb: {expected.verdict.value}" and first["map"] > 5000 and not first["hidden"]
    assert first["command"] == "dtanalyze check board.dtb --linux 6.12", "the link's options were used"
    assert second["link"] == "#dom0-mem=256M" and second["command"] == "dtanalyze check board.dtb --dom0-mem 256M"
    assert "cut.dtb" in broken["state"] and broken["hidden"], "a broken file is one sentence"
    assert asked_hosts(record) == {address.split("/")[2]}


def test_a_browser_without_webassembly_is_told(served: tuple[str, Queue[Any]], tmp_path: Path) -> None:
    address, _ = served
    options = [
        f"--user-data-dir={tmp_path}/profile",
        "--dump-dom",
        "--virtual-time-budget=5000",
    ]
    seen = subprocess.run(
        [str(BROWSER), *FLAGS, *options, f"{address}poor.html"], capture_output=True, text=True, timeout=60, check=True
    )
    assert "This browser has no WebAssembly or no workers, which the analyzer needs. Install it instead" in seen.stdout
