"""``make fuzz``: atheris on the reader, overlays, containers and the whole chain, from a corpus of the shipped small trees.

Also without atheris: mutants one after another until the time is up. What it finds is written to ``fuzz/`` with the traceback.
"""

from __future__ import annotations

import sys
import time
import traceback
from pathlib import Path

FOUND = Path("fuzz")


def seeded(seconds: float) -> int:
    """Go through mutants for so many seconds; return how many defects they brought out."""
    from tests.fuzz.mutants import mutants
    from tests.fuzz.once import once

    FOUND.mkdir(exist_ok=True)
    stop, seed, tried, defects = time.monotonic() + seconds, 0, 0, set[str]()
    while time.monotonic() < stop:
        seed += 1
        for path, blob in mutants(seed, 50):
            tried += 1
            try:
                once(blob)
            except Exception as error:  # noqa: BLE001  # what it looks for
                place = traceback.extract_tb(error.__traceback__)[-1]
                name = f"{type(error).__name__}-{Path(place.filename).stem}-{place.lineno}"
                if name not in defects:
                    defects.add(name)
                    (FOUND / f"{name}.dtb").write_bytes(blob)
                    print(f"{name} (from {path.name}): {FOUND / name}.dtb")
                    traceback.print_exc()
    print(f"{tried} mutants, {len(defects)} defects")
    return len(defects)


def main() -> None:
    """Fuzz with atheris for the seconds given, else with mutants alone."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    try:
        import atheris  # the extra [fuzz]
    except ImportError:
        print("== atheris is not installed (pip install '.[fuzz]'): mutants of the shipped trees only")
        sys.exit(1 if seeded(seconds) else 0)
    FOUND.mkdir(exist_ok=True)
    with atheris.instrument_imports(include=["dtanalyze"]):
        from tests.conftest import FIXTURES
        from tests.fuzz.once import once
    corpus = [str(FIXTURES / "dtb" / "hostile"), str(FIXTURES / "dtb" / "boots")]
    atheris.Setup(
        [sys.argv[0], f"-max_total_time={seconds:.0f}", "-max_len=20000", f"-artifact_prefix={FOUND}/", str(FOUND), *corpus],
        once,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
