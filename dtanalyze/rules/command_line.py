"""Rules about Xen's own command line: words that mean nothing, and words that stop it."""

from typing import Final

from dtanalyze.findings import Severity, Source
from dtanalyze.rules.cures.command_line import dom0_cpus, not_forced_cure, option_cure, respelt_cure
from dtanalyze.rules.examples import host
from dtanalyze.rules.model import HOST, Example, Hit, Hits, Rule, rule
from dtanalyze.rules.view import HostView, property_offset
from dtanalyze.xen.command_line import xen_command_line
from dtanalyze.xen.known_options import words_of
from dtanalyze.xen.stage import Stop

__all__ = ["COMMAND_LINE"]

_LINE: Final = 'xen,xen-bootargs = "{}";'


@rule(
    "C01",
    "option-unknown-to-xen",
    Severity.INFO,
    HOST,
    what="A word of Xen's command line is no option of any release that is known here.",
    why='Xen prints that the parameter is unknown and boots without it. A misspelt "dom0_men=" leaves dom0 with 512 MiB.',
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
            cures = (respelt_cure(tree, word.text, word.near),) if word.near else ()
            yield Hit(
                f'"{word.text[:80]}" in {line.where} is no option of Xen{near}', chosen.path, (), _at(view), cures=cures
            )


_STOPS: Final = {
    "dom0-cpus": "dom0_max_vcpus",
    "dom0-devices": "dom0_max_vcpus",
    "dom0-tree": "dom0_max_vcpus",
    "dom0-grant-table": "gnttab_max_frames",
    "iommu": "iommu",
}


@rule(
    "C02",
    "option-stops-xen",
    Severity.ERROR,
    HOST,
    what="A word of Xen's command line asks for what cannot be: more CPUs for dom0 than a GIC serves, an IOMMU where none "
    "is in use (iommu=force), a grant table of no frames.",
    why="Xen panics over it, at the latest when it makes dom0.",
    advice="Change the option that the message names.",
    sources=(
        Source("Xen", "xen/arch/arm/domain.c", "arch_sanitise_domain_config", "4.16 to 4.22"),
        Source("Xen", "xen/arch/arm/vgic-v3.c", "vgic_v3_vcpu_init", "4.20.4 to 4.22"),
        Source("Xen", "xen/drivers/passthrough/iommu.c", "iommu_setup", "4.16 to 4.22"),
        Source("Xen", "xen/common/grant_table.c", "grant_table_init", "4.16 to 4.22"),
    ),
    bad=Example(host(chosen=_LINE.format("iommu=force"))),
    good=Example(host(chosen=_LINE.format("iommu=yes"))),
)
def option_stops_xen(view: HostView) -> Hits:
    stop = view.prediction.stopped_by
    name = _STOPS.get(stop.stage) if view.first and stop is not None else None
    if stop is None or name is None or not _is_of_the_option(view, stop):
        return
    tree = view.host.tree
    line = xen_command_line(tree)
    if name == "iommu":
        advice, cure = "Take `force` and `required` out of `iommu=`.", not_forced_cure(tree)
    elif name == "gnttab_max_frames":
        advice, cure = "Set `gnttab_max_frames=64`, Xen's default.", option_cure(tree, name, "64")
    else:
        cpus = str(dom0_cpus(tree))
        advice = f"Set `dom0_max_vcpus={cpus}`: the CPUs that Xen uses, as far as the interrupt controller serves them."
        cure = option_cure(tree, name, cpus)
    where = f"`{name}=` in {line.where}: " if line.where else ""
    chosen = tree.root.child("chosen")
    yield Hit(f"{where}{stop.text}", chosen.path if chosen is not None else None, (), _at(view), None, advice, (cure,))


def _is_of_the_option(view: HostView, stop: Stop) -> bool:
    """Tell whether a stop that has other causes too comes from the option: more CPUs than the board has, a forced IOMMU."""
    wanted = view.host.args.dom0_max_vcpus
    if stop.stage in ("dom0-cpus", "dom0-tree") or (stop.stage == "dom0-devices" and "serve" in stop.because):
        return wanted is not None and wanted > dom0_cpus(view.host.tree)
    # An IOMMU that cannot be set up stops Xen whatever the option says.
    return stop.stage != "dom0-devices" and (stop.stage != "iommu" or "required/force" in stop.message)


def _at(view: HostView) -> int | None:
    """Return where Xen's line stands in the file."""
    chosen = view.host.tree.root.child("chosen")
    name = xen_command_line(view.host.tree).where.partition(" ")[0]
    return property_offset(chosen, name) if chosen is not None else None


COMMAND_LINE: Final[tuple[Rule, ...]] = (option_unknown_to_xen, option_stops_xen)
