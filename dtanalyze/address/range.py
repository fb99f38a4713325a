"""One non-empty range of addresses, and its unchecked cousin."""

from typing import Final, NamedTuple

__all__ = ["ADDRESS_SPACE", "AddressRange", "RawRange"]

ADDRESS_SPACE: Final = 1 << 64
"""One past the last address of the 64-bit space."""


class _Fields(NamedTuple):
    start: int
    size: int


class AddressRange(_Fields):
    """The addresses ``start`` … ``last``, never empty and never beyond the 64-bit space.

    ``size`` is in bytes, ``stop`` is exclusive and ``last`` inclusive, so the range that ends with the
    space has ``stop == 2**64``. Ordered by start, then size. Raises `ValueError` when empty, negative or too long.
    """

    __slots__ = ()

    def __new__(cls, start: int, size: int) -> "AddressRange":
        if start < 0 or size <= 0 or start + size > ADDRESS_SPACE:
            raise ValueError(f"not a range of addresses: start {start:#x}, size {size:#x}")
        return _Fields.__new__(cls, start, size)

    @classmethod
    def spanning(cls, start: int, stop: int) -> "AddressRange":
        """Return the range from ``start`` to ``stop``, exclusive."""
        return cls(start, stop - start)

    @property
    def stop(self) -> int:
        """First address after the range."""
        return self.start + self.size

    @property
    def last(self) -> int:
        """Last address of the range."""
        return self.start + self.size - 1

    def overlaps(self, other: "AddressRange") -> bool:
        """Tell whether the two share an address; adjacent ranges do not."""
        return self.start < other.stop and other.start < self.stop

    def covers(self, other: "AddressRange") -> bool:
        """Tell whether every address of ``other`` lies in this range."""
        return self.start <= other.start and other.stop <= self.stop

    def intersection(self, other: "AddressRange") -> "AddressRange | None":
        """Return the addresses that both have, or None."""
        start, stop = max(self.start, other.start), min(self.stop, other.stop)
        return AddressRange(start, stop - start) if start < stop else None


class RawRange(NamedTuple):
    """A start and a size as a ``reg`` entry states them: may be empty, may run past 2^64."""

    start: int
    size: int

    @property
    def stop(self) -> int:
        """Start plus size, not wrapped."""
        return self.start + self.size

    def checked(self) -> AddressRange | None:
        """Return the addresses it names inside the 64-bit space, or None when there are none."""
        stop = min(self.stop, ADDRESS_SPACE)
        return AddressRange(self.start, stop - self.start) if self.size and self.start < stop else None
