"""The numbers of the flattened format, called as in libfdt's fdt.h."""

from typing import Final

__all__ = ["FDT_BEGIN_NODE", "FDT_END", "FDT_END_NODE", "FDT_MAGIC", "FDT_NOP", "FDT_PROP", "MAX_DEPTH"]

FDT_MAGIC: Final = 0xD00DFEED
FDT_BEGIN_NODE: Final = 1
FDT_END_NODE: Final = 2
FDT_PROP: Final = 3
FDT_NOP: Final = 4
FDT_END: Final = 9

MAX_DEPTH: Final = 64
"""So deep may nodes be nested that are read; 1,600 kernel trees have 11 at most."""
