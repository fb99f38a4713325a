"""Devicetree source for reading: the body of a root node, a statement a line."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["dts_text"]

_TOKENS: Final = re.compile(r'"[^"]*"|[{};]|[^"{};]+')


def dts_text(body: str) -> str:
    """Return ``body`` as a whole source file, indented with tabs as the kernel's sources are."""
    lines = ["/dts-v1/;", "", "/ {"]
    depth, current = 1, ""
    for token in _TOKENS.findall(body):
        if token == "{":
            if depth == 1 and lines[-1] not in ("/ {", ""):
                lines.append("")
            lines.append("\t" * depth + " ".join(current.split()) + " {")
            depth, current = depth + 1, ""
        elif token == "}":
            depth, current = depth - 1, "}"
        elif token == ";":
            lines.append("\t" * depth + " ".join(current.split()) + ";")
            current = ""
        else:
            current += token
    return "\n".join([*lines, "};"]) + "\n"
