"""Rules about Xen's own command line."""

from typing import Final

from dtanalyze.findings import Severity, Source
from dtanalyze.rules.examples import host
from dtanalyze.rules.model import HOST, Example, Hit, Hits, Rule, rule
from dtanalyze.rules.view import HostView, property_offset
from dtanalyze.xen.command_line import words_of, xen_command_line

__all__ = ["COMMAND_LINE"]

_LINE: Final = 'xen,xen-bootargs = "{}";'


@rule(
    "C01",
    "option-unknown-to-xen",
    Severity.INFO,
    HOST,
    what="A word of Xen's command line is no option of any release that is known here.",
    why='Xen prints that the parameter is unknown and goes on without it: a misspelt "dom0_men=" leaves dom0 with 512 MiB.',
    advice="Correct the word, or remove it.",
    sources=(Source("Xen", "xen/common/kernel.c", "parse_params", "4.16 to 4.22"),),
    bad=Example(host(chosen=_LINE.format("dom0_men=1G"))),
    good=Example(host(chosen=_LINE.format("dom0_mem=1G"))),
)
def option_unknown_to_xen(view: HostView) -> Hits:
    tree = view.host.tree
    line = xen_command_line(tree)
    chosen = tree.root.child("chosen")
    if not view.first or chosen is None or not line.where:
        return
    for word in words_of(line.text):
        if word.standing == "unknown":
            near = f"; did you mean {word.near}?" if word.near else ""
            at = property_offset(chosen, line.where.partition(" ")[0])
            yield Hit(f'"{word.text[:80]}" in {line.where} is no option of Xen{near}', chosen.path, (), at)


COMMAND_LINE: Final[tuple[Rule, ...]] = (option_unknown_to_xen,)
