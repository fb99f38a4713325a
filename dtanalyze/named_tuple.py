"""``typing.NamedTuple``, made in a seventh of the time.

The standard one writes the source of a ``__new__`` for each class and has it compiled, and looks at each annotation: 0.11 ms
a class. A check of a board imports 165 of them, which took longer than to start Python. Here classes with as many fields
share one compiled ``__new__``, in which only the names differ, and annotations are left as they stand. Checkers of types see
the standard one, and so do Pythons of whose class bodies this knows nothing.
"""

import sys
from collections.abc import Iterable
from functools import cache
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, Final, Self

__all__ = ["NamedTuple"]

_MADE: Final = tuple.__new__


@cache
def _code_of_new(count: int) -> CodeType:
    """Return the code that makes a tuple of so many arguments: the interpreter's own way is the fastest."""
    names = "".join(f"_{place}, " for place in range(count))
    made: FunctionType = eval(f"lambda _cls, {names}: _new(_cls, ({names}))")
    return made.__code__


def _new_of(name: str, fields: tuple[str, ...], defaults: dict[str, Any]) -> FunctionType:
    """Return the ``__new__`` of a class with these fields, of which the last may have defaults."""
    if tuple(defaults) != fields[len(fields) - len(defaults) :]:
        raise TypeError(f"{name}: a field without a default follows one that has one")
    code = _code_of_new(len(fields)).replace(co_varnames=("_cls", *fields), co_name="__new__", co_qualname=f"{name}.__new__")
    return FunctionType(code, {"_new": _MADE, "__builtins__": {}}, "__new__", tuple(defaults.values()))


class _Fields(tuple[Any, ...]):
    """What all of them can do beside what a tuple can."""

    __slots__ = ()
    if TYPE_CHECKING:  # else they would be annotations of every class
        _fields: tuple[str, ...]

    def __repr__(self) -> str:
        said = ", ".join(f"{name}={value!r}" for name, value in zip(self._fields, self, strict=True))
        return f"{type(self).__name__}({said})"

    def __getnewargs__(self) -> tuple[Any, ...]:
        return tuple(self)

    @classmethod
    def _make(cls, values: Iterable[Any]) -> Self:
        made = _MADE(cls, values)
        if len(made) != len(cls._fields):
            raise TypeError(f"Expected {len(cls._fields)} arguments, got {len(made)}")
        return made

    def _replace(self, /, **changed: Any) -> Self:
        made = _MADE(type(self), map(changed.pop, self._fields, self))
        if changed:
            raise ValueError(f"Got unexpected field names: {list(changed)!r}")
        return made

    def _asdict(self) -> dict[str, Any]:
        return dict(zip(self._fields, self, strict=True))


if TYPE_CHECKING or sys.version_info >= (3, 14):
    from typing import NamedTuple
else:
    from collections import _tuplegetter

    _Fields.__replace__ = _Fields._replace

    class _Making(type):
        """Makes of a class statement a class that this one knows nothing of any more."""

        def __new__(cls, name: str, bases: tuple[type, ...], held: dict[str, Any]) -> type:
            fields = tuple(held.get("__annotations__", ()))
            defaults = {field: held.pop(field) for field in fields if field in held}
            held |= {field: _tuplegetter(place, None) for place, field in enumerate(fields)}
            held |= {"__slots__": (), "__new__": _new_of(name, fields, defaults), "__match_args__": fields}
            held |= {"_fields": fields, "_field_defaults": defaults}
            return type(name, tuple(_Fields if base is NamedTuple else base for base in bases), held)

    NamedTuple = type.__new__(_Making, "NamedTuple", (), {"__module__": __name__})
