"""Options that cannot matter for what was asked: each is said in one line, since who gives one expects that it counts."""

from collections.abc import Collection, Iterable, Iterator

from dtanalyze.cli.call import Call
from dtanalyze.cli.console import complain
from dtanalyze.cli.options import SourceOptions
from dtanalyze.cli.xen_options import HostOptions

__all__ = ["tell_idle"]

_OF_SOURCES = tuple(name for name in SourceOptions._fields if name != "source")
_SOURCES = (".dts", ".dtso")


def tell_idle(call: Call, kinds: Collection[str]) -> None:
    """Say on stderr which options were given and cannot matter; ``kinds`` are those of the trees that were read."""
    for line in _idle(call, kinds):
        complain(line)


def _idle(call: Call, kinds: Collection[str]) -> Iterator[str]:
    of_host = _given(call, HostOptions._fields)
    if of_host and kinds and "host" not in kinds:
        yield f"{', '.join(of_host)}: no effect, every tree is a guest's, which Xen has written already"
    elif "--iomem" in of_host and "--domu" not in of_host:
        yield "--iomem: no effect without --domu, the guest that gets the ranges"
    of_sources = _given(call, _OF_SOURCES)
    if of_sources and not _may_be_sources(call):
        yield f"{', '.join(of_sources)}: no effect, nothing is compiled from a source"
    if _given(call, ("annotate_limit",)) and "github" not in (call.values.get("format_") or ()):
        yield "--annotate-limit: no effect without --format github"
    if call.values.get("certain") and not call.values.get("listed"):
        yield "--certain: no effect without --list"
    if call.values.get("listed") and (call.values.get("html") or call.values.get("svg")):
        yield "--list: no effect, --html and --svg draw"


def _given(call: Call, names: Iterable[str]) -> list[str]:
    """Return how those of the options are spelled that the command line has."""
    wanted = frozenset(names)
    return [item.spelled for item in call.known if item.param in wanted and call.origins.get(item.param) == "COMMANDLINE"]


def _may_be_sources(call: Call) -> bool:
    """Whether something named is a source, or what may hold one: a folder, a pattern, a list."""
    named = [item for name in ("paths", "overlay") for item in call.values.get(name) or ()]
    named += [item for name in ("path", "old", "new", "source") if (item := call.values.get(name))]
    return any(item.endswith(_SOURCES) or not item.endswith((".dtb", ".dtbo")) for item in named)
