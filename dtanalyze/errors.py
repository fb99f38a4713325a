"""Everything dtanalyze raises on purpose.

::

    DtanalyzeError
    ├── BlobError      the bytes are not a flattened devicetree (carries a byte offset)
    ├── ContainerError a tree cannot be had from the image that holds it
    ├── OverlayError   an overlay cannot be applied to a tree
    ├── SourceTextError a change has no place in the text of a source
    ├── InputError     another input file cannot be used (.config, /proc/iomem, log, list)
    │   └── SourceError a devicetree source makes no tree (carries file and line)
    └── UsageError     the question itself is wrong (a range, a size, a preset that does not exist)

Expected failure inside the analysis is a return value, never one of these.
"""

from typing import NamedTuple

__all__ = [
    "BlobError",
    "ContainerError",
    "DtanalyzeError",
    "InputError",
    "InputFailure",
    "OverlayError",
    "PackedError",
    "SourceError",
    "SourcePlace",
    "SourceTextError",
    "UsageError",
]


class SourcePlace(NamedTuple):
    """Where a tool finds a mistake in a source: lines and columns count from 1, ``column`` is None where it names none."""

    file: str
    line: int
    column: int | None = None


class DtanalyzeError(Exception):
    """Base of all errors a caller may want to catch; ``str()`` is one clear sentence.

    ``offset`` is the byte of a blob and ``at`` the place in a source that show what is wrong, where there is one.
    """

    offset: int | None = None
    at: SourcePlace | None = None


class BlobError(DtanalyzeError):
    """The bytes are not a well-formed flattened devicetree.

    ``offset`` is the byte offset in the file at which the reader gave up.
    """

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(f"{message} (at byte offset {offset:#x})")
        self.offset = offset


class ContainerError(DtanalyzeError):
    """A file that holds trees does not hold this one as it says."""


class OverlayError(DtanalyzeError):
    """An overlay cannot be applied; the message says what of it does not resolve."""


class SourceTextError(DtanalyzeError):
    """A change of a tree cannot be made in the text of its source; the message says why."""


class InputError(DtanalyzeError):
    """A file beside the tree (kernel .config, /proc/iomem, boot log) cannot be used."""


class SourceError(InputError):
    """A devicetree source makes no tree; ``at`` is the place that says why, where a tool names one."""

    def __init__(self, message: str, at: SourcePlace | None) -> None:
        super().__init__(message)
        self.at = at


class PackedError(InputError):
    """A compressed file beside the tree is broken, cut off, or larger than it may be once it is unpacked."""


class UsageError(DtanalyzeError):
    """An argument does not say what it should; the message shows the form expected."""


class InputFailure(NamedTuple):
    """One input that could not be read, and why; ``offset`` is a byte offset where there is one.

    ``file`` is the file, where ``path`` names more than that; ``at`` is the place in a source that is to blame.
    """

    path: str
    message: str
    offset: int | None
    file: str = ""
    at: SourcePlace | None = None

    @property
    def location(self) -> str:
        """The file that the offset counts in."""
        return self.file or self.path

    @property
    def inside(self) -> str:
        """What of the path is not the file; usually nothing."""
        return self.path.removeprefix(self.location).lstrip(":+")
