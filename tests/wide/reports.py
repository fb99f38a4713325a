"""``python -m tests.wide.reports BOARDS``: the reports of a folder of real boards, measured as a reader meets them.

How long, how wide, and whether the first screen (24 lines) holds the verdict, its cause and what to do. Each board is asked
about plainly, and with RAM made up where its tree lists none. Leaves with status 1 when a report is wider than 80 columns or
longer than 120 lines, when half of them are longer than 40, or when a first screen lacks the cause.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import NamedTuple

import dtanalyze
from dtanalyze.errors import DtanalyzeError

SCREEN = 24
MOST_COLUMNS, MOST_LINES, USUAL_LINES = 80, 120, 40
ASKED: tuple[tuple[str, dict[str, str]], ...] = (("plain", {}), ("RAM made up", {"assume_memory": "auto"}))


class Measured(NamedTuple):
    """One report. ``cause`` and ``action`` tell whether the first screen holds them; ``told`` is what to do, if anything."""

    board: str
    verdict: str
    lines: int
    columns: int
    cause: bool
    action: bool
    told: str


def measured(board: Path, asked: dict[str, str]) -> Measured:
    """Return the measures of one board's report, as the command line prints it at 80 columns."""
    results = dtanalyze.check(board, **asked)  # type: ignore[arg-type]
    text = str(results)
    lines = text.splitlines()
    screen = " ".join(" ".join(lines[:SCREEN]).split())
    result = results[0]
    # Lines are broken inside long paths: compare without blanks.
    cause = "".join(result.reason.split()).lower() in screen.replace(" ", "").lower()
    needs = any(item.severity >= "warning" for item in result.findings)
    return Measured(
        board.name,
        result.verdict.value,
        len(lines),
        max(map(len, lines)),
        cause and result.verdict.value in lines[0] + lines[1],
        not needs or "Do:" in screen,
        next((item.advice for item in result.findings if item.severity == "error"), ""),
    )


def table(found: Iterable[Measured], failed: int) -> list[str]:
    """Return the measures of all, a line each."""
    every = sorted(found, key=lambda item: item.lines)
    lines = [item.lines for item in every]
    advice = Counter(item.told for item in every if item.told)
    common = advice.most_common(1)[0] if advice else ("", 0)
    return [
        f"boards {len(every)}, unreadable {failed}",
        f"verdicts {dict(Counter(item.verdict for item in every).most_common())}",
        f"lines: median {median(lines):.0f}, 9 of 10 at most {lines[len(lines) * 9 // 10]}, most {lines[-1]} ({every[-1].board})",
        f"longer than {USUAL_LINES} lines: {sum(item > USUAL_LINES for item in lines)}; than {MOST_LINES}: "
        f"{sum(item > MOST_LINES for item in lines)}",
        f"widest {max(item.columns for item in every)} columns",
        f"first screen without verdict and cause: {sum(not item.cause for item in every)}; without what to do: "
        f"{sum(not item.action for item in every)}",
        f"the same advice for most: {common[1]} times, {common[0]!r}",
    ]


def is_bad(item: Measured) -> bool:
    """Whether a report is too wide or too long, or hides its cause."""
    return item.columns > MOST_COLUMNS or item.lines > MOST_LINES or not item.cause


def main(folder: Path) -> int:
    """Print the tables, and what is out of bounds."""
    boards = sorted(folder.rglob("*.dtb"))
    bad = not boards
    for name, asked in ASKED:
        found, failed = [], 0
        for board in boards:
            try:
                found.append(measured(board, asked))
            except DtanalyzeError:
                failed += 1
        wrong = [
            f"! {item.board}: {item.lines} lines, {item.columns} columns, cause on the first screen: {item.cause}"
            for item in found
            if is_bad(item)
        ]
        sys.stdout.write("\n  ".join([name, *table(found, failed), *wrong]) + "\n")
        bad = bad or bool(wrong) or median(item.lines for item in found) > USUAL_LINES
    return int(bad)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
