"""Small inputs with a known right answer: ``python -m tests.wide.field FOLDER [NAME …]``.

Prints each expectation that is not met; exit status 1 when there is one.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.reports import unmet


def main(argv: list[str] | None = None) -> int:
    """Run every case; return 1 when one is not met."""
    root, *names = sys.argv[1:] if argv is None else argv
    folders = [path.parent for path in sorted(Path(root).glob("*/expect.json")) if not names or path.parent.name in names]
    met = 0
    for folder in folders:
        lines = list(unmet(folder))
        met += not lines
        for line in lines:
            print(f"{folder.name}: {line[:500]}", flush=True)
    print(f"{met} of {len(folders)} are answered as expected")
    return int(met != len(folders))


if __name__ == "__main__":
    sys.exit(main())
