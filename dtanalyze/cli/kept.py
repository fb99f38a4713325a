"""Results of many inputs, kept on disk: a batch of a thousand boards takes no more memory than one of fifty.

A few stay in memory, since most runs have no more. The file has no name and is ours alone, so that what is read from it is
what was written to it. What a disk does not take stays in memory too: a full one costs memory, and no answer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, Final, Generic, TypeVar, overload

__all__ = ["Kept", "Seen"]

T = TypeVar("T")
U = TypeVar("U")
_FEW: Final = 16


class Kept(Sequence[T]):
    """A sequence that grows at its end; all but the first few items lie in a file."""

    def __init__(self) -> None:
        self._held: dict[int, T] = {}
        self._places: dict[int, tuple[int, int]] = {}
        self._file: BinaryIO | None = None
        self._end = 0
        self._full = False

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()

    def append(self, item: T) -> None:
        """Add an item; it is let go once it is written."""
        number = len(self)
        if number >= _FEW and not self._full:
            try:
                self._places[number] = self._written(item)
                return
            except OSError:
                self._full = True
        self._held[number] = item

    def _written(self, item: T) -> tuple[int, int]:
        """Return where in the file an item begins, and its bytes; raise `OSError` when not all of them are taken."""
        import pickle  # both only where there is much to keep
        import tempfile

        if self._file is None:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # it lives as long as the sequence does
        data = memoryview(pickle.dumps(item, pickle.HIGHEST_PROTOCOL))
        done = 0
        while done < len(data):
            done += os.pwrite(self._file.fileno(), data[done:], self._end + done)
        place = self._end
        self._end += done
        return place, done

    def __len__(self) -> int:
        return len(self._held) + len(self._places)

    def __iter__(self) -> Iterator[T]:
        return (self._at(place) for place in range(len(self)))

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[T]: ...
    def __getitem__(self, place: int | slice) -> T | Sequence[T]:
        if isinstance(place, slice):
            return [self._at(item) for item in range(len(self))[place]]
        return self._at(range(len(self))[place])

    def _at(self, number: int) -> T:
        if number in self._held:
            return self._held[number]
        assert self._file is not None
        import pickle

        place, size = self._places[number]
        item: T = pickle.loads(os.pread(self._file.fileno(), size, place))
        return item


class Seen(Sequence[U], Generic[T, U]):
    """A sequence as a function sees each of its items, each time it is asked for."""

    def __init__(self, items: Sequence[T], made: Callable[[T], U]) -> None:
        self._items, self._made = items, made

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[U]:
        return map(self._made, self._items)

    @overload
    def __getitem__(self, place: int) -> U: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[U]: ...
    def __getitem__(self, place: int | slice) -> U | Sequence[U]:
        if isinstance(place, slice):
            return [self._made(item) for item in self._items[place]]
        return self._made(self._items[place])
