"""``python -m dtanalyze``."""

from dtanalyze.cli import run

if __name__ == "__main__":
    run()
