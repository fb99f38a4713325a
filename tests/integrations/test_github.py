"""The GitHub action, every step of it, on a repository made here: as a pull request sees it, with a stand-in for the network."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import site
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from tests.integrations.runner import Runner

yaml = pytest.importorskip("yaml", reason="no PyYAML: the GitHub action is NOT run")
ROOT = Path(__file__).parents[2]
STORY = runpy.run_path(str(ROOT / "integrations" / "story.py"))
BOARD, PARTS, SOC, SPI, UART = (STORY[name] for name in ("BOARD", "PARTS", "SOC", "SPI", "UART"))
TOOLS = ("git", "bash", "dtc", "cpp")
pytestmark = pytest.mark.skipif(
    any(shutil.which(name) is None for name in TOOLS), reason=f"not all of {TOOLS}: the GitHub action is NOT run"
)
PROGRAM = Path(sys.executable).parent / "dtanalyze"
PIP = "--no-index --no-deps --no-build-isolation"
"""pip takes nothing from anywhere: what the program needs is what these tests run with."""

GH = """#!{python}
import json, sys
from pathlib import Path
state = Path({state!r})
comments = json.loads(state.read_text()) if state.exists() else []
words = sys.argv[1:]
assert words.pop(0) == "api"
words = [item for item in words if item not in ("--paginate", "--silent")]
options = {{}}
for name in ("--method", "--field", "--jq"):
    if name in words:
        at = words.index(name)
        options[name] = words[at + 1]
        del words[at : at + 2]
(path,) = words
if "--method" not in options:
    assert path == "repos/o/r/issues/7/comments", path
    assert options["--jq"] == '.[] | select(.body | startswith("<!-- dtanalyze -->")) | .id', options
    print("".join(f"{{item['id']}}\\n" for item in comments if item["body"].startswith("<!-- dtanalyze -->")), end="")
else:
    name, _, file = options["--field"].partition("=@")
    assert name == "body"
    body = Path(file).read_text()
    if options["--method"] == "POST":
        assert path == "repos/o/r/issues/7/comments", path
        comments.append({{"id": 100 + len(comments), "body": body}})
    else:
        assert options["--method"] == "PATCH" and path.startswith("repos/o/r/issues/comments/"), path
        (known,) = [item for item in comments if item["id"] == int(path.rpartition("/")[2])]
        known["body"] = body
    state.write_text(json.dumps(comments))
"""


class Desk:
    """A repository with a board, a pull request that adds a device, and the action's own checkout."""

    def __init__(self, place: Path) -> None:
        self.place, self.repository = place, place / "work"
        self.checkout = place / "checkout"
        self.checkout.mkdir()
        for part in (*PARTS, "integrations"):
            take = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
            take(ROOT / part, self.checkout / part)
        self.gh = place / "bin" / "gh"
        self.gh.parent.mkdir()
        self.gh.write_text(GH.format(python=sys.executable, state=str(place / "comments.json")))
        self.gh.chmod(0o755)
        boards = self.repository / "boards"
        boards.mkdir(parents=True)
        (boards / "board.dts").write_text(BOARD)
        (boards / "soc.dtsi").write_text(SOC)
        (self.repository / "dtanalyze.toml").write_text('linux = "6.12"\nxen = "4.20"\n')
        self.git("init", "--quiet", "--initial-branch=main")
        self.base = self.commit("a board")
        self.runs = 0

    def git(self, *words: str) -> str:
        who = ("-c", "user.name=n", "-c", "user.email=n@example.invalid", "-c", "commit.gpgsign=false")
        return subprocess.run(
            ["git", *who, *words], cwd=self.repository, capture_output=True, text=True, check=True
        ).stdout.strip()

    def commit(self, message: str) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        return self.git("rev-parse", "HEAD")

    def action(
        self, inputs: dict[str, str] | None = None, event: str = "pull_request", install: bool = False
    ) -> tuple[int, Runner]:
        folder = self.checkout / "integrations" / "github"
        self.runs += 1
        github = {"event_name": event, "token": "t", "repository": "o/r"}
        pull = {"pull_request": {"base": {"sha": self.base}, "number": 7}} if event == "pull_request" else {}
        action = yaml.safe_load((folder / "action.yml").read_text())
        if not install:  # once is enough
            action["runs"]["steps"] = [item for item in action["runs"]["steps"] if item["name"] != "Install"]
        runner = Runner(action, folder, self.repository, self.place / f"run-{self.runs}", {**github, "event": pull})
        if not install:
            program = runner.temp / "dtanalyze" / "bin" / "dtanalyze"
            program.parent.mkdir(parents=True)
            program.symlink_to(PROGRAM)
        path = os.pathsep.join((str(self.gh.parent), os.environ["PATH"]))
        status = runner.run(
            {"paths": "boards\n\n", **(inputs or {})},
            PATH=path,
            PIP_ARGS=PIP,
            PYTHONPATH=site.getsitepackages()[0] if install else "",
        )
        return status, runner

    @property
    def comments(self) -> list[dict[str, Any]]:
        state = self.place / "comments.json"
        found: list[dict[str, Any]] = json.loads(state.read_text()) if state.exists() else []
        return found


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def add_device(desk: Desk) -> None:
    (desk.repository / "boards" / "soc.dtsi").write_text(SOC.replace(SPI, SPI + UART))
    desk.commit("soc: a UART")


def test_a_red_pull_request_and_a_green_one(desk: Desk) -> None:
    add_device(desk)
    status, runner = desk.action()
    assert status == 1, runner.said
    line = SOC[: SOC.index(SPI)].count("\n") + 2
    assert runner.said["Check"].splitlines()[0].startswith(f"::error file=boards/soc.dtsi,line={line},endLine={line},col=")
    out = desk.repository / "dtanalyze-out"
    assert [item["uses"].partition("@")[0] for item in runner.used] == [
        "github/codeql-action/upload-sarif",
        "actions/upload-artifact",
    ]
    log = json.loads((desk.repository / runner.used[0]["sarif_file"]).read_text())
    assert log["version"] == "2.1.0" and log["runs"][0]["results"][0]["fixes"]
    assert runner.used[1]["path"] == "dtanalyze-out" and (out / "map.html").read_text().startswith("<!doctype html>")
    assert ET.parse(out / "dtanalyze.junit.xml").getroot().tag == "testsuites"
    (comment,) = desk.comments
    assert comment["body"].startswith("<!-- dtanalyze -->\n#### dtanalyze: <code>boards/board.dts</code>")
    assert "Linux 6.12, Xen 4.20" in comment["body"], "the question is the gate's, from dtanalyze.toml"
    assert "new: **error** X34" in comment["body"]
    assert f"<code>boards/soc.dtsi:{line}:" in comment["body"]
    assert (runner.place / "summary.md").read_text() == (out / "comment.md").read_text()

    subprocess.run([PROGRAM, "fix", "boards/board.dts", "--write"], cwd=desk.repository, check=True, capture_output=True)
    desk.commit("soc: the bus reaches it")
    assert desk.action()[0] == 0
    (again,) = desk.comments
    assert again["id"] == comment["id"], "one comment, made anew"
    assert again["body"] == "<!-- dtanalyze -->\n**dtanalyze**: nothing changed for Xen and Linux in 1 tree.\n"


def test_a_change_that_introduces_nothing_gets_no_comment(desk: Desk) -> None:
    """The tree has findings, and had them before: the job is red, the comment is not made."""
    add_device(desk)
    desk.base = desk.git("rev-parse", "HEAD")
    (desk.repository / "boards" / "board.dts").write_text(f"// a word\n{BOARD}")
    desk.commit("a word")
    status, runner = desk.action()
    assert status == 1 and desk.comments == []
    assert "nothing changed" in (desk.repository / "dtanalyze-out" / "comment.md").read_text(), runner.said


def test_the_commit_before_is_fetched_where_the_checkout_is_shallow(desk: Desk) -> None:
    add_device(desk)
    subprocess.run(
        ["git", "clone", "--quiet", "--depth=1", desk.repository.as_uri(), desk.place / "shallow"],
        check=True,
        capture_output=True,
    )
    desk.repository = desk.place / "shallow"
    status, _ = desk.action()
    assert status == 1 and "new: **error** X34" in desk.comments[0]["body"]


def test_without_a_commit_before_the_comment_tells_all(desk: Desk) -> None:
    add_device(desk)
    desk.base = "0" * 40
    status, runner = desk.action()
    assert status == 1 and "cannot be had" in runner.said["Before"]
    assert desk.comments[0]["body"].startswith("<!-- dtanalyze -->\n### dtanalyze\n")


def test_a_push_is_not_commented(desk: Desk) -> None:
    add_device(desk)
    status, runner = desk.action(event="push")
    assert status == 1 and desk.comments == [] and "Comment" not in runner.said and "Before" not in runner.said


def test_names_of_files_are_no_commands(desk: Desk) -> None:
    shutil.copy(desk.repository / "boards" / "board.dts", desk.repository / "boards" / "a b;$(touch pwned).dts")
    add_device(desk)
    status, runner = desk.action({"paths": "boards/a b;$(touch pwned).dts\n"})
    assert status == 1 and "::error file=boards/soc.dtsi" in runner.said["Check"]
    assert not list(desk.place.rglob("pwned"))


def test_no_paths_and_unreadable_ones(desk: Desk) -> None:
    status, runner = desk.action({"paths": " \n"})
    assert status == 2 and "names no tree" in runner.said["Check"] and desk.comments == []
    (desk.repository / "boards" / "broken.dts").write_text("/dts-v1/;\n/ { a = <1 };\n")
    desk.commit("broken")
    status, runner = desk.action()
    assert (
        status == 2
        and "::error file=boards/broken.dts,line=2,col=12,title=unreadable input::dtc: boards/broken.dts:2:12: syntax error"
        in runner.said["Check"]
    )


def test_a_long_comment_is_cut_where_github_cuts(desk: Desk) -> None:
    text = desk.place / "comment.md"
    text.write_text("### dtanalyze\n" + "- a line of sixty letters, more or less, about one node\n" * 2000)
    environment = {
        **os.environ,
        "PATH": f"{desk.gh.parent}{os.pathsep}{os.environ['PATH']}",
        "REPOSITORY": "o/r",
        "PULL_REQUEST": "7",
        "COMMENT": str(text),
    }
    subprocess.run(["bash", ROOT / "integrations" / "github" / "comment.sh"], env=environment, check=True)
    body = desk.comments[0]["body"]
    assert len(body) < 65536 and body.endswith("… the rest stands in `comment.md` of the artifact `dtanalyze`.\n")
    assert body.split("\n")[-4] == "- a line of sixty letters, more or less, about one node"
