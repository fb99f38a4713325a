"""The process: ``python -m dtanalyze`` and the ``dtanalyze`` command."""

import os
import sys
from typing import NoReturn

from dtanalyze.version import __version__

__all__ = ["run"]


def run() -> NoReturn:
    """Answer ``--version`` at once, as build systems ask for it all the time; leave everything else to the command line."""
    if sys.argv[1:] == ["--version"]:
        try:
            os.write(1, f"dtanalyze {__version__}\n".encode())
        except OSError:
            pass  # the command line says what is wrong with standard output
        else:
            os._exit(0)
    from dtanalyze.cli import run as command_line

    command_line()


if __name__ == "__main__":
    run()
