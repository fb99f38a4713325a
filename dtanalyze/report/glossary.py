"""The field's words, each for one thing: what ``dtanalyze explain TERM`` prints and ``docs/glossary.md`` lists."""

from __future__ import annotations

import difflib
from typing import Final, NamedTuple

from dtanalyze.controls.selection import explained
from dtanalyze.errors import UsageError
from dtanalyze.report.lines import wrapped
from dtanalyze.report.style import PLAIN, Style
from dtanalyze.rules.model import NotShown, Rule, Statement

__all__ = ["TERMS", "Term", "glossary_markdown", "named", "term_text"]

_WIDTH: Final = 80
_ALIKE: Final = 0.75
"""So like a term a word has to be that it can be meant: a plural, a letter left out."""


class Term(NamedTuple):
    """A word, what it means, and words that belong to it."""

    name: str
    text: str
    see: tuple[str, ...] = ()


_LISTED: Final = (
    Term(
        "alignment loss",
        "The part of an extended region before its first section boundary and behind its last. Linux takes whole aligned "
        "sections only, so this part never holds scratch pages.",
        ("section",),
    ),
    Term(
        "balloon",
        "The older way to map a foreign page: Linux gives a page of its own RAM back to Xen and uses the address. "
        "Every mapping then costs a page of RAM.",
        ("scratch pages",),
    ),
    Term(
        "boot module",
        "A kernel, ramdisk or device tree that the boot loader puts into RAM for Xen and names in /chosen.",
        ("host tree",),
    ),
    Term(
        "claim",
        "A range entered into iomem_resource. The kernel makes a certain claim itself; a possible one needs a driver that "
        "binds. A certain claim makes Linux refuse a section. On a possible one Linux places scratch pages.",
        ("iomem_resource", "hazard"),
    ),
    Term(
        "conflict",
        "Linux chooses a section that iomem_resource already holds. The allocation fails, and every later one chooses the "
        "same section again.",
        ("claim", "section"),
    ),
    Term("dom0", "The first domain, which Xen builds itself. It owns the devices.", ("domU", "host tree")),
    Term(
        "dom0less",
        "A boot in which Xen itself builds the domains that /chosen of the host tree describes, with or without a dom0.",
        ("domU", "host tree"),
    ),
    Term(
        "domain",
        "What Xen runs: an operating system with RAM, CPUs and devices that Xen gives it. Linux in each allocates "
        "scratch pages for itself.",
        ("Xen", "dom0", "domU"),
    ),
    Term(
        "domU",
        "Any other domain. A dom0less one is described in /chosen of the host tree; the toolstack (xl) starts the others.",
        ("dom0",),
    ),
    Term(
        "exhausted",
        "There are extended regions, and none holds an aligned section that Linux can use. Every mapping fails, and Linux "
        "tries nothing else.",
        ("section", "alignment loss"),
    ),
    Term(
        "extended region",
        "A range of guest addresses that Xen promises to leave unused. reg[1] and later of the /hypervisor node list "
        "them. Linux places scratch pages there.",
        ("section", "xen_resource"),
    ),
    Term(
        "foreign page",
        "A page of another domain that Linux maps, by a grant or to build the domain. Each needs an address of "
        "Linux's own: scratch pages supply it.",
        ("grant", "scratch pages"),
    ),
    Term(
        "grant",
        "A domain's leave for another domain to map one of its pages. Drivers of disks and networks work by grants.",
        ("grant table", "foreign page"),
    ),
    Term(
        "grant table",
        "The table through which domains share pages. Its addresses are reg[0] of the /hypervisor node.",
        ("extended region",),
    ),
    Term(
        "guest tree",
        "The device tree that Linux boots with on Xen. Xen writes it for each domain; it has a /hypervisor node.",
        ("host tree",),
    ),
    Term(
        "hazard",
        "Linux places scratch pages on a range that a device, a reservation or the grant table uses, without an error, "
        "because iomem_resource does not hold the range at that time.",
        ("claim",),
    ),
    Term(
        "hole",
        "A range of machine addresses that no node of the host tree uses. With an IOMMU Xen makes dom0's extended regions "
        "of the holes. Without an IOMMU it makes them of RAM that no domain has.",
        ("extended region",),
    ),
    Term(
        "host tree",
        "The board's own device tree, which firmware hands to Xen. It has no /hypervisor node. Xen reads it and writes the "
        "guest trees.",
        ("guest tree",),
    ),
    Term(
        "iomem",
        "This kernel takes scratch pages from gaps of iomem_resource, which nobody has declared unused.",
        ("iomem_resource", "extended region"),
    ),
    Term(
        "iomem_resource",
        "The kernel's tree of physical addresses in use, shown by /proc/iomem. Linux enters each scratch section there.",
        ("claim", "xen_resource"),
    ),
    Term(
        "IOMMU",
        "The unit that translates the addresses by which devices reach RAM: an SMMU or an IPMMU. Whether Xen uses one "
        "decides what it makes extended regions of.",
        ("hole",),
    ),
    Term(
        "KASLR",
        "The kernel moves itself by a seed that firmware writes to /chosen. Before Linux 6.16 the linear map moves too. The "
        "usable addresses then depend on the seed.",
        ("linear map",),
    ),
    Term(
        "linear map",
        "The kernel's mapping of all RAM at one offset. It begins at the start of RAM, rounded down to 1 GiB. Its size is "
        "fixed. Scratch pages outside of it cannot be mapped.",
        ("KASLR", "section"),
    ),
    Term(
        "native",
        "Linux does not detect Xen (no usable /hypervisor node) and boots as on bare hardware.",
        ("guest tree",),
    ),
    Term(
        "no-boot",
        "Xen stops before Linux runs. The reason carries Xen's own line, as the serial console shows it.",
        ("host tree",),
    ),
    Term(
        "P2M pool",
        "The RAM that Xen sets aside for a domain's page tables (xen,domain-p2m-mem-mb). Each 2 MiB of mapped scratch pages "
        "take one page of it.",
        ("extended region",),
    ),
    Term(
        "PCI window",
        "A range of addresses behind a PCI host bridge, listed in its ranges property. Linux claims it when the bridge's "
        "driver binds.",
        ("claim",),
    ),
    Term(
        "reservation",
        "RAM, or a range beside it, that /reserved-memory or /memreserve/ keeps for firmware or a device. A stray one lies "
        "outside every memory node, and Linux forgets it.",
        ("hazard",),
    ),
    Term(
        "scratch pages",
        "Pages of address space without RAM behind them. Linux maps grants and foreign pages there, so that no RAM is lost.",
        ("section", "balloon"),
    ),
    Term(
        "scrubbing",
        "Xen clears free memory while it boots, on all CPUs that it has brought up. Which block is clean first decides "
        "where dom0's RAM lands, so the same tree can get another place at the next start. `bootscrub=0` settles it.",
        ("dom0",),
    ),
    Term(
        "section",
        "The unit in which Linux adds memory: 128 MiB on arm64 with 4K or 16K pages, 512 MiB with 64K. Scratch space "
        "comes in whole aligned sections.",
        ("scratch pages", "extended region"),
    ),
    Term(
        "toolstack",
        "What starts domains from dom0: xl and libxl. Xen builds the others itself.",
        ("domU", "dom0less"),
    ),
    Term(
        "unknown",
        "Something that decides the answer is missing, most often the RAM, which a boot loader fills in. The reason names "
        "the option that supplies it.",
        ("host tree",),
    ),
    Term(
        "Xen",
        "The hypervisor: the program that the boot loader starts in Linux's place. It shares the machine out to "
        "domains, and each runs an operating system of its own.",
        ("domain", "dom0"),
    ),
    Term(
        "xen_resource",
        "The tree that Linux makes of the extended regions. It searches here for the lowest gap that holds the sections it "
        "needs.",
        ("extended region", "iomem_resource"),
    ),
)

TERMS: Final[dict[str, Term]] = {item.name.lower(): item for item in _LISTED}
"""Every term by its name in lower case."""


def named(word: str) -> Term | Rule | Statement | NotShown:
    """Return the term or the rule that a word names; raise `UsageError` with the nearest of either when it names none.

    ``scratch`` names the one term that begins with it.
    """
    key = " ".join(word.lower().split())
    if key in TERMS:
        return TERMS[key]
    beginning = [term for name, term in TERMS.items() if name.startswith(f"{key} ")]
    if len(beginning) == 1:
        return beginning[0]
    try:
        return explained(word)
    except UsageError as error:
        near = difflib.get_close_matches(word.lower(), TERMS, 1, _ALIKE)
        if not near:
            raise
        raise UsageError(f"no rule and no term is called '{word}'; the nearest is '{TERMS[near[0]].name}'") from error


def term_text(term: Term, *, style: Style = PLAIN) -> str:
    """Return one entry as text."""
    lines = [style.bold(term.name), *wrapped(term.text, _WIDTH, first="  ")]
    if term.see:
        lines += wrapped(f"See {', '.join(term.see)}.", _WIDTH, first="  ")
    return "\n".join(lines) + "\n"


def glossary_markdown() -> str:
    """Return all entries as a document; ``docs/glossary.md`` is this text."""
    lines = ["# Glossary", "", "Made by `make docs`; `dtanalyze explain TERM` prints one entry.", ""]
    for term in TERMS.values():
        see = ", ".join(f"[{name}](#{_anchor(name)})" for name in term.see)
        lines += [f"## {term.name}", "", term.text, *(["", f"See {see}."] if see else []), ""]
    return "\n".join(lines)


def _anchor(name: str) -> str:
    return name.lower().replace(" ", "-")
