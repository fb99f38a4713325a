"""Colour for terminals; without it every style is the identity."""

from typing import NamedTuple

__all__ = ["PLAIN", "TERMINAL", "Style"]


class Style(NamedTuple):
    """Escape sequences around text; empty strings write nothing."""

    bold_on: str = ""
    dim_on: str = ""
    red_on: str = ""
    yellow_on: str = ""
    green_on: str = ""
    off: str = ""

    def bold(self, text: str) -> str:
        """Return ``text`` in bold."""
        return f"{self.bold_on}{text}{self.off}"

    def dim(self, text: str) -> str:
        """Return ``text`` in a faint colour."""
        return f"{self.dim_on}{text}{self.off}"

    def severity(self, label: str, text: str) -> str:
        """Return ``text`` in the colour of a severity; ``ok`` is green."""
        start = {"error": self.red_on, "warning": self.yellow_on, "ok": self.green_on}.get(label, self.bold_on)
        return f"{start}{text}{self.off}"


PLAIN = Style()
TERMINAL = Style("\x1b[1m", "\x1b[2m", "\x1b[1;31m", "\x1b[1;33m", "\x1b[1;32m", "\x1b[0m")
