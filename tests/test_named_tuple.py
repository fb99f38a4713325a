"""Our named tuples do what ``typing.NamedTuple`` does: the standard one is the answer."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
import sys
import typing
from pathlib import Path
from typing import Any, Generic, TypeVar

import pytest

from dtanalyze import named_tuple
from dtanalyze.named_tuple import NamedTuple

T = TypeVar("T")

pytestmark = pytest.mark.skipif(sys.version_info >= (3, 14), reason="from 3.14 on it is the standard one")


class Ours(NamedTuple):
    """A place."""

    start: int
    name: str = "x"
    tags: tuple[str, ...] = ()

    @property
    def end(self) -> int:
        return self.start + 1

    def __str__(self) -> str:
        return f"<{self.name}>"


class Standard(typing.NamedTuple):
    """A place."""

    start: int
    name: str = "x"
    tags: tuple[str, ...] = ()

    @property
    def end(self) -> int:
        return self.start + 1

    def __str__(self) -> str:
        return f"<{self.name}>"


class Empty(NamedTuple):
    pass


class Of(NamedTuple, Generic[T]):
    value: T
    line: int


CALLS = [((1,), {}), ((1, "y"), {"tags": ("a",)}), ((), {"start": 2}), ((3, "z", ("b",)), {})]


@pytest.mark.parametrize(("given", "named"), CALLS)
def test_an_instance_is_the_same(given: tuple[Any, ...], named: dict[str, Any]) -> None:
    ours, theirs = Ours(*given, **named), typing.cast(Any, Standard(*given, **named))
    assert tuple(ours) == tuple(theirs) and ours == theirs and hash(ours) == hash(theirs)
    assert (ours.start, ours.name, ours.tags, ours.end, str(ours)) == (theirs.start, theirs.name, theirs.tags, theirs.end, str(theirs))
    assert repr(ours).removeprefix("Ours") == repr(theirs).removeprefix("Standard")
    assert ours._asdict() == theirs._asdict() and list(ours._asdict()) == list(theirs._asdict())
    assert ours._replace(name="n") == theirs._replace(name="n") and type(ours._replace(start=9)) is Ours
    assert Ours._make(ours) == ours and type(Ours._make([1, 2, 3])) is Ours
    for again in (copy.copy(ours), copy.deepcopy(ours), *(pickle.loads(pickle.dumps(ours, how)) for how in range(6))):
        assert again == ours and type(again) is Ours


@pytest.mark.parametrize("call", [(), (1, "y", (), 4)])
@pytest.mark.parametrize("kind", [Ours, Standard])
def test_a_wrong_call_is_refused(kind: Any, call: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match="argument"):
        kind(*call)
    with pytest.raises(TypeError, match="unexpected keyword"):
        kind(1, none=2)
    with pytest.raises(TypeError, match=f"Expected 3 arguments, got {len(call)}"):
        kind._make(call)
    with pytest.raises((TypeError, ValueError), match="unexpected field names"):
        kind(1)._replace(none=2)
    with pytest.raises(AttributeError):
        kind(1).start = 2
    with pytest.raises(AttributeError):
        kind(1).none = 2  # no instance has a dictionary


def test_what_is_asked_of_the_class_is_the_same() -> None:
    for name in ("_fields", "_field_defaults", "__match_args__", "__module__", "__doc__"):
        assert getattr(Ours, name) == getattr(Standard, name), name
    assert inspect.signature(Ours).replace(return_annotation=()) == inspect.Signature(
        [item.replace(annotation=inspect.Parameter.empty) for item in inspect.signature(Standard).parameters.values()],
        return_annotation=(),
    )
    assert typing.get_type_hints(Ours) == typing.get_type_hints(Standard)
    assert Ours.__qualname__ == "Ours" and issubclass(Ours, tuple)
    match Ours(1, "m"):
        case Ours(start, name):
            assert (start, name) == (1, "m")


def test_with_no_field_and_with_a_type_variable() -> None:
    assert Empty() == () and repr(Empty()) == "Empty()"
    assert Of[int](1, 2) == (1, 2) and Of("v", line=3).value == "v" and Of.__parameters__ == (T,)  # type: ignore[attr-defined]


def test_a_default_comes_last() -> None:
    with pytest.raises(TypeError, match="without a default follows"):
        exec("class Bad(NamedTuple):\n    a: int = 1\n    b: int\n", {"NamedTuple": NamedTuple})


def test_no_module_takes_the_standard_one() -> None:
    """It costs every check 0.1 ms a class: ``from dtanalyze.named_tuple import NamedTuple``."""
    package = Path(named_tuple.__file__).parent
    found = [path for path in package.rglob("*.py") if re.search(r"^from typing import .*\bNamedTuple\b", path.read_text(), re.M)]
    assert found == []
