"""One step on the way from Xen's entry to dom0's first instruction, and the three ways in which it ends. Data only."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from dtanalyze.xen.boot import Boot

__all__ = ["DATA_ABORT", "Open", "Outcome", "Passed", "Stage", "Stop"]

DATA_ABORT: Final = "CPU0: Unexpected Trap: Data Abort"
"""What Xen says last of an address that it cannot reach."""


class Passed(NamedTuple):
    """The stage lets the boot go on; ``saw`` is what it looked at, a phrase each."""

    saw: tuple[str, ...] = ()


class Stop(NamedTuple):
    """Xen goes no further.

    ``lines`` are Xen's own, exactly as printed and in order, the panic last; empty when it dies without a word.
    ``because`` is ours: the cause, with node and property. ``node`` is the path of the node to look at, ``domain`` that of
    the domU that cannot be built, when it is one. ``silent`` says that the lines reach no console, which is not up yet.
    ``unless`` is what may be so, cannot be told from the tree, and lets Xen go on.
    """

    stage: str
    lines: tuple[str, ...]
    because: str = ""
    node: str | None = None
    domain: str | None = None
    silent: bool = False
    unless: str = ""

    @property
    def message(self) -> str:
        """All of Xen's lines, the panic last, or what is known when it prints none."""
        return "; ".join(self.lines) or self.because

    @property
    def text(self) -> str:
        """Everything in one line: Xen's lines, then the cause."""
        quiet = "it dies before the console is up, so that nothing is printed" if self.silent else ""
        on_if = f"it goes on if {self.unless}" if self.unless else ""
        rest = "; ".join(item for item in (self.because if self.lines else "", quiet, on_if) if item)
        return f"{self.message} ({rest})" if rest else self.message


class Open(NamedTuple):
    """Whether the stage refuses cannot be told from what is given; ``settled_by`` is the option that would tell."""

    because: str
    settled_by: str = ""


Outcome = Passed | Stop | Open


class Stage(NamedTuple):
    """``name`` is as reports and ``stopped_by.stage`` call it, ``upstream`` the functions it mirrors."""

    name: str
    upstream: str
    run: "Callable[[Boot], Outcome]"
