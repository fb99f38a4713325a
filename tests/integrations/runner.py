"""A composite action run as GitHub's runner does: its steps in order, expressions filled in, outputs read back.

Only what this action uses: ``if`` and ``${{ }}`` with names, strings, ``||``, ``&&``, ``==``, ``!=`` and ``always()``; an input that is
not given has its default; a step fails by its exit status and the rest is left out but for those of ``always()``. Steps
that use other actions are recorded.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_TOKEN = re.compile(r"'[^']*'|\|\||&&|==|!=|[()]|\d+|[\w.]+")


class Runner:
    """One job: a workspace, what the event says, and what steps leave behind."""

    def __init__(
        self, action: Mapping[str, Any], folder: Path, workspace: Path, place: Path, github: dict[str, Any]
    ) -> None:
        """``folder`` is the action's own, ``place`` a folder for what the runner keeps."""
        self.action, self.workspace, self.place = action, workspace, place
        self.github = {**github, "action_path": str(folder)}
        self.temp = place / "temp"
        self.temp.mkdir(parents=True)
        self.outputs: dict[str, dict[str, str]] = {}
        self.said: dict[str, str] = {}
        self.used: list[dict[str, Any]] = []
        self.inputs: dict[str, str] = {}
        self.failed = False

    def run(self, inputs: dict[str, str], **environment: str) -> int:
        """Run all steps; return 0, or the status of the step that failed first."""
        declared = self.action["inputs"]
        assert set(inputs) <= set(declared) and all(
            name in inputs or not item.get("required") for name, item in declared.items()
        )
        self.inputs = {name: inputs.get(name, item.get("default", "")) for name, item in declared.items()}
        status = 0
        for number, step in enumerate(self.action["runs"]["steps"]):
            condition = str(step.get("if", "success()"))
            if (self.failed and "always()" not in condition) or not self._value(condition):
                continue
            if "uses" in step:
                self.used.append({"uses": step["uses"], **{key: self._filled(item) for key, item in step["with"].items()}})
                continue
            done = self._step(step, number, environment)
            if done and not step.get("continue-on-error"):
                self.failed, status = True, status or done
        return status

    def _step(self, step: Mapping[str, Any], number: int, environment: dict[str, str]) -> int:
        assert step["shell"] == "bash", "a composite action has to name the shell"
        output = self.place / f"output-{number}"
        output.touch()
        own = {key: self._filled(item) for key, item in step.get("env", {}).items()}
        github = {
            "GITHUB_ACTION_PATH": self.github["action_path"],
            "GITHUB_OUTPUT": str(output),
            "GITHUB_STEP_SUMMARY": str(self.place / "summary.md"),
            "RUNNER_TEMP": str(self.temp),
        }
        script = self.place / f"step-{number}.sh"
        script.write_text(self._filled(step["run"]))
        ran = subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(script)],
            cwd=self.workspace, env={**os.environ, **environment, **github, **own}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        self.said[step["name"]] = ran.stdout + ran.stderr
        if "id" in step:
            self.outputs[step["id"]] = dict(line.split("=", 1) for line in output.read_text().splitlines())
        return ran.returncode

    def _filled(self, text: object) -> str:
        return re.sub(r"\$\{\{(.*?)\}\}", lambda found: str(self._value(found[1])), str(text))

    def _value(self, text: str) -> Any:
        words = {"||": " or ", "&&": " and ", "==": " == ", "!=": " != ", "(": "(", ")": ")"}
        made = []
        for token in _TOKEN.findall(text):
            if token in words:
                made.append(words[token])
            elif token.startswith("'") or token.isdigit():
                made.append(token)
            elif token in ("always", "success"):
                made.append("bool")
                made.append("(1) or bool")
            else:
                made.append(repr(self._looked_up(token)))
        return eval("".join(made).replace("bool(1) or bool()", "True"), {"__builtins__": {}})

    def _looked_up(self, name: str) -> str:
        first, *rest = name.split(".")
        if first == "steps":
            step, kind, key = rest
            assert kind == "outputs"
            return self.outputs.get(step, {}).get(key, "")
        found: Any = {"inputs": self.inputs, "github": self.github, "runner": {"temp": str(self.temp)}}[first]
        for part in rest:
            found = found.get(part, "") if isinstance(found, dict) else ""
        return str(found)
