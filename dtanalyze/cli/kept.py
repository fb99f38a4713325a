"""Results of many inputs, kept on disk: a batch of a thousand boards takes no more memory than one of fifty.

A few stay in memory, since most runs have no more. The file has no name and is ours alone, so that what is read from it is
what was written to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, Final, Generic, TypeVar, overload

__all__ = ["Kept", "Seen"]

T = TypeVar("T")
U = TypeVar("U")
_FEW: Final = 16


class Kept(Sequence[T]):
    """A sequence that grows at its end; all but the first few items lie in a file."""

    def __init__(self) -> None:
        self._few: list[T] = []
        self._places: list[int] = []
        self._file: BinaryIO | None = None

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()

    def append(self, item: T) -> None:
        """Add an item; it is let go once it is written."""
        if len(self._few) < _FEW:
            self._few.append(item)
            return
        import pickle  # both only where there is much to keep
        import tempfile

        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115  # it lives as long as the sequence does
        self._file.seek(0, 2)
        self._places.append(self._file.tell())
        pickle.dump(item, self._file, pickle.HIGHEST_PROTOCOL)

    def __len__(self) -> int:
        return len(self._few) + len(self._places)

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

    def _at(self, place: int) -> T:
        if place < len(self._few):
            return self._few[place]
        assert self._file is not None
        import pickle

        self._file.seek(self._places[place - len(self._few)])
        item: T = pickle.load(self._file)
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
