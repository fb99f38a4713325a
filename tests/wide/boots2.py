"""The host's side of recorded boots against the command line's answers, by kind of question.

``python -m tests.wide.boots2 FOLDER [NAME …]`` reads ``FOLDER/cases`` and prints, for each kind of question, how many
answers agree, then each disagreement. Names may be prefixes; with ``-q`` only the counts are printed, with ``-k KIND`` only
the disagreements of that kind. Exit status 1 when anything differs.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.xen.host_boots import KINDS, Case, compare


def main(argv: list[str] | None = None) -> int:
    """Compare; return 1 when something differs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("-q", action="store_true", help="only the counts")
    parser.add_argument("-k", choices=KINDS, action="append", help="only disagreements of this kind")
    asked = parser.parse_args(argv)
    tally: Counter[tuple[str, bool]] = Counter()
    agreeing = total = 0
    with tempfile.TemporaryDirectory() as made:
        for path in sorted((asked.folder / "cases").glob("*/case.json")):
            if asked.names and not path.parent.name.startswith(tuple(asked.names)):
                continue
            case = Case(path.parent, json.loads(path.read_text()))
            found = [*compare(case, Path(made))]
            total += 1
            agreeing += all(difference is None for _, difference in found)
            for kind, difference in found:
                tally[kind, difference is None] += 1
                if difference is not None and not asked.q and (not asked.k or kind in asked.k):
                    print(f"{case.name}: {kind}: {difference[:400]}", flush=True)
    for kind in KINDS:
        good, bad = tally[kind, True], tally[kind, False]
        if good + bad:
            print(f"{kind:9} {good:5} of {good + bad:5} agree")
    print(f"{'cases':9} {agreeing:5} of {total:5} agree in everything")
    return int(agreeing != total)


if __name__ == "__main__":
    sys.exit(main())
