"""CPU of ``dtanalyze check`` on one guest tree against a bare typer command that does nothing.

Whole processes, in turn A B A B …, user plus system time as the operating system accounts it. Prints the medians and the
median of the ratios; leaves with status 1 when that is above the limit.
"""

import os
import statistics
import sys
import tempfile
from pathlib import Path

PAIRS = 25
LIMIT = 1.5
TREE = Path(__file__).parents[1] / "fixtures" / "dtb" / "boots" / "01-dom0-x420-l612.dtb"
BARE = """import typer
app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
@app.command()
def check(path: str) -> None: pass
app()
"""


def cpu_seconds(argv: list[str]) -> float:
    """Run ``argv`` with its output thrown away; return the CPU seconds it took."""
    null = os.open(os.devnull, os.O_WRONLY)
    pid = os.posix_spawn(
        argv[0], argv, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, null, 2)]
    )
    os.close(null)
    _, _, usage = os.wait4(pid, 0)
    return usage.ru_utime + usage.ru_stime


def main() -> int:
    """Measure, print, and compare with the limit."""
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "bare.py"
        bare.write_text(BARE)
        ours = [sys.executable, "-m", "dtanalyze", "check", str(TREE)]
        theirs = [sys.executable, str(bare), "x"]
        for argv in (ours, theirs):
            cpu_seconds(argv)
        pairs = [(cpu_seconds(ours), cpu_seconds(theirs)) for _ in range(PAIRS)]
    ratio = statistics.median(a / b for a, b in pairs)
    print(f"check: {statistics.median(a for a, _ in pairs) * 1e3:.0f} ms CPU, median of {PAIRS}")
    print(f"bare typer command: {statistics.median(b for _, b in pairs) * 1e3:.0f} ms CPU")
    print(f"ratio: {ratio:.2f} (limit {LIMIT})")
    return 0 if ratio <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
