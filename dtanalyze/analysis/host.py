"""A host tree through the whole chain: Xen writes each domain's tree, Linux reads it, exactly as at boot.

The cells of a sweep share what they have in common: the tree is prepared once, each release and IOMMU setting is
predicted once, and a tree that two releases write alike is analysed once for each kernel.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property

from dtanalyze.address.range import RawRange
from dtanalyze.address.units import format_size
from dtanalyze.analysis.dom0_size import is_starved, with_other_size
from dtanalyze.analysis.guest import memory_findings, memory_of, whole, with_findings
from dtanalyze.analysis.host_facts import devices_of, host_facts
from dtanalyze.analysis.host_ram import HostRam, host_ram, tree_ram
from dtanalyze.analysis.memory_hint import NO_HINT, MemoryHint, memory_hint
from dtanalyze.analysis.observed import contradictions
from dtanalyze.analysis.offsets import offset_of, placed_in
from dtanalyze.analysis.other_values import with_other_values
from dtanalyze.analysis.questions import CheckOptions, HostQuestion
from dtanalyze.analysis.rules import host_findings, tree_findings
from dtanalyze.analysis.starts import worst_start
from dtanalyze.analysis.written_trees import WrittenTrees
from dtanalyze.analysis.xens_tree import of_xen
from dtanalyze.board.architecture import RISCV, arch_of
from dtanalyze.board.build import build_board
from dtanalyze.board.bus import LINUX, XEN
from dtanalyze.board.cpus import pa_bits_of
from dtanalyze.board.translate import reg_entries
from dtanalyze.devicetree.tree import Tree
from dtanalyze.facts import SOME_STARTS, Alternative, CheckResult, HostFacts, HostRange, Predicted
from dtanalyze.findings import Finding
from dtanalyze.linux.boot import Verdict
from dtanalyze.linux.profile import Arch, LinuxProfile
from dtanalyze.rules.view import HostView
from dtanalyze.xen.dom0less import domu_domains
from dtanalyze.xen.host import Host
from dtanalyze.xen.options import XenOptions
from dtanalyze.xen.predict import predict, prepare
from dtanalyze.xen.prediction import Prediction
from dtanalyze.xen.profile import NEWEST, PRESETS, XenProfile
from dtanalyze.xen.smpboot import online_cpus

__all__ = ["check_host", "predict_host"]


def check_host(tree: Tree, path: str, question: HostQuestion) -> tuple[CheckResult, ...]:
    """Return one result for each cell and domain, in the order release, kernel, IOMMU."""
    found = tuple(item.host for item in predict_host(tree, path, question))
    if not question.options.memory_from or not any(item.verdict is Verdict.NO_BOOT for item in found):
        return found
    unguessed = question._replace(options=question.options._replace(memory=(), memory_from=""))
    plain = tuple(item.host for item in predict_host(tree, path, unguessed))
    said = question.options.memory_from
    return tuple(_not_by_guess(with_it, without, said) for with_it, without in zip(found, plain, strict=True))


def _not_by_guess(guessed: CheckResult, plain: CheckResult, said: str) -> CheckResult:
    """Return the result that a guess of RAM leaves: a board is refused only where Xen stops without the guess too."""
    if guessed.verdict is not Verdict.NO_BOOT:
        return guessed
    if plain.verdict is not Verdict.UNKNOWN:
        return plain
    reason = f"{plain.reason}. RAM of {said} is not taken: {guessed.reason}"
    told = (item._replace(message=reason) if item.rule == "V-unknown" else item for item in plain.findings)
    return plain._replace(reason=reason, findings=tuple(told))


def predict_host(tree: Tree, path: str, question: HostQuestion) -> Iterator[Predicted]:
    """Yield one prediction for each cell and domain, in the order release, kernel, IOMMU."""
    whole(tree)
    arch = Arch(arch_of(tree))
    question = question._replace(linux=tuple(linux.on_cpus(arch) for linux in question.linux))
    given = question.host or XenOptions()
    ram = host_ram(tree, given.memory or question.options.memory, given.log.console if given.log is not None else None)
    options = given._replace(memory=ram.memory)
    host = prepare(tree, options)
    guests = WrittenTrees(path, question.options._replace(cpus=pa_bits_of(online_cpus(host.tree, host.args)) or 0))
    judged = _Judged(tree, host, options, question, ram)
    one_cell = len(question.xen) <= 1 and len(question.linux) == len(question.iommu) == 1
    for xen in question.xen or (PRESETS[NEWEST],):
        by_iommu = {iommu: predict(host, xen, options._replace(iommu=iommu)) for iommu in question.iommu}
        found = {iommu: judged.boot(xen, predictions) for iommu, predictions in by_iommu.items()}
        for linux in question.linux:
            for iommu in question.iommu:
                cause = None
                for place, prediction in enumerate(by_iommu[iommu]):
                    start, alternatives = worst_start(prediction, guests, linux)
                    told = found[iommu][place] if start is prediction else judged.boot(xen, (start,))[0]
                    own = told + (judged.layout(linux) if place == 0 else ())
                    made = _predicted(tree, start, guests, linux, path, question.options, own, judged, alternatives)
                    if is_starved(made.host, made.host.iommu):
                        asked = options._replace(iommu=iommu)
                        need = question.options.need
                        made = made._replace(host=with_other_size(made.host, host, xen, asked, guests, linux, need))
                    if question.try_others and one_cell:
                        tried = with_other_values(made.host, start, host, xen, options._replace(iommu=iommu), guests, linux)
                        made = made._replace(host=tried)
                    cause = made.host.cause if place == 0 else cause
                    yield _stated_once(made, cause)


def _stated_once(made: Predicted, cause: Finding | None) -> Predicted:
    """Return a domain's answer without the stop that a rule states at the first domain: ``cause``, None where none does."""
    result = made.host
    if cause is None or result.verdict is not Verdict.NO_BOOT or result.cause is not None:
        return made
    kept = tuple(item for item in result.findings if item.rule != f"V-{result.verdict.value}")
    return made._replace(host=result._replace(cause=cause, findings=kept))


class _Judged:
    """What is wrong with the host's own tree: for each boot of Xen, and for each kernel that reads it."""

    def __init__(self, tree: Tree, host: Host, options: XenOptions, question: HostQuestion, ram: HostRam) -> None:
        self._tree = tree
        self._host = host
        self._options = options
        self._question = question
        self._ram = ram
        self._layouts: dict[LinuxProfile, tuple[Finding, ...]] = {}
        self._facts: tuple[tuple[object, object], HostFacts] | None = None
        self._board = build_board(host.tree, LINUX)
        self._entries = tuple((node, tuple(reg_entries(node, XEN))) for node in host.tree.root)

    def layout(self, linux: LinuxProfile) -> tuple[Finding, ...]:
        if linux not in self._layouts:
            board = build_board(self._tree, linux.address_rules)
            memory, _ = memory_of(board, self._question.options._replace(linux=linux, memory=self._options.memory))
            asked = self._question.options._replace(memory=self._options.memory)
            self._layouts[linux] = (*tree_findings("host", board, memory, linux), *memory_findings(board, asked))
        return self._layouts[linux]

    def boot(self, xen: XenProfile, predictions: tuple[Prediction, ...]) -> list[tuple[Finding, ...]]:
        """Return the findings for each prediction; what concerns the whole boot stands at the first."""
        asked = self._question.options
        # As the boot found them, with what their partial trees map; where Xen never came that far, as /chosen has them.
        found = tuple(item.domu for item in predictions if item.domu is not None and item.toolstack is None)
        domus = found or domu_domains(self._host.tree, xen)
        by_path = {item.node.path: item for item in reversed(domus)}
        out = []
        for place, prediction in enumerate(predictions):
            view = HostView(
                board=self._board,
                linux=self._question.linux[0],
                host=self._host,
                entries=self._entries,
                options=self._options,
                prediction=prediction,
                xen=xen,
                domus=domus,
                domu=by_path.get(prediction.domain),
                first=place == 0,
                requests=asked.requests,
                need=asked.need,
            )
            out.append(self._placed(host_findings(view)))
        log = self._options.log
        if log is not None and out:
            ram = asked.memory or tree_ram(self._tree)
            out[0] += tuple(contradictions(ram, predictions, log.console))
        return out

    @cached_property
    def _devices(self) -> tuple[HostRange, ...]:
        return devices_of(self._board)

    def facts(self, prediction: Prediction) -> HostFacts:
        """The machine of this boot, which all its domains share."""
        boot = (prediction.info, prediction.stages)
        if self._facts is None or any(was is not now for was, now in zip(self._facts[0], boot, strict=True)):
            self._facts = boot, host_facts(self._board, prediction, self._devices)
        return self._facts[1]._replace(dom0_known=prediction.memory_known)

    @cached_property
    def hint(self) -> MemoryHint | str:
        """The option that supplies RAM."""
        return memory_hint(self._board) or NO_HINT

    def board_ram(self, prediction: Prediction) -> Iterator[str]:
        """Yield the host's RAM, in a sentence, or why that of a log is not taken."""
        if self._ram.refused:
            yield self._ram.refused
        banks = prediction.info.mem
        if not banks:
            return
        start, size = min(bank.start for bank in banks), format_size(sum(bank.size for bank in banks))
        asked = self._question.options
        if asked.memory_from:
            yield f"board's RAM: {asked.memory_from}"
        else:
            yield f"board's RAM: {size} from {start:#x} on, {self._ram.source}"

    def of_xen(self, finding: Finding, own: tuple[Finding, ...], prediction: Prediction) -> Finding:
        """Return a finding of the tree that Xen writes as one for the host."""
        return of_xen(finding, own, prediction, self._host.tree, self._options)

    def _placed(self, found: Iterable[Finding]) -> tuple[Finding, ...]:
        """Return them with offsets into the file: RAM that was given is written into a copy of it."""
        return tuple(found) if self._host.tree is self._tree else placed_in(self._tree, found)


def _predicted(
    tree: Tree,
    prediction: Prediction,
    guests: WrittenTrees,
    linux: LinuxProfile,
    path: str,
    options: CheckOptions,
    own: tuple[Finding, ...],
    judged: _Judged,
    starts: tuple[Alternative, ...],
) -> Predicted:
    """Join one prediction with what Linux makes of the tree written; ``own`` are findings in the host's tree.

    ``starts`` are the answers of starts that differ in dom0's RAM, where the answers do.
    """
    kind = "dom0" if prediction.domain == "dom0" else "domu"
    domain = prediction.domain
    guest = None
    if prediction.blob is not None and prediction.stopped_by is None and prediction.arch != RISCV:
        guest = guests.answer(prediction.blob, linux, kind)._replace(domain=domain)
    if guest is None:
        result = _unanswered(prediction, linux, path, options, judged)
    else:
        result = guest._replace(
            tree="host",
            xen=prediction.xen,
            iommu=prediction.iommu,
            assumed=(*_of_the_host(prediction, judged), *guest.assumed),
        )
    # What would change the tree that Xen writes is no change of the host's.
    in_guest = placed_in(
        tree,
        [judged.of_xen(item, own, prediction) for item in guest.findings if not item.rule.startswith("V-")] if guest else (),
    )
    if starts:
        unlike = len({item.verdict for item in starts if not item.when}) > 1
        some = SOME_STARTS if unlike else ""
        result = result._replace(alternatives=starts, reason=result.reason + some)
    result = with_findings(result, options.need if result.answer else None, (*own, *in_guest))
    verdict = tuple(
        item._replace(offset=offset_of(tree, item.node)) if item.rule.startswith("V-") else item for item in result.findings
    )
    return Predicted(prediction, guest, result._replace(findings=verdict, host=judged.facts(prediction)))


def _of_the_host(prediction: Prediction, judged: _Judged) -> tuple[str, ...]:
    """Return what is taken for so of the host: what Xen's mirror says, and where RAM comes from."""
    return (*prediction.assumed, *judged.board_ram(prediction))


def _unanswered(
    prediction: Prediction, linux: LinuxProfile, path: str, options: CheckOptions, judged: _Judged
) -> CheckResult:
    """Return the result when Xen stops first, or when RAM is missing; what does not depend on it is given."""
    grant = prediction.grant_table
    if prediction.stopped_by is not None:
        stop = prediction.stopped_by
        verdict, reason = Verdict.NO_BOOT, f"Xen {prediction.xen} stops ({stop.stage}): {stop.text}"
    elif prediction.arch == RISCV:
        verdict = Verdict.NATIVE
        reason = "the tree is that of a RISC-V board, for which Xen writes no /hypervisor node: no kernel detects Xen there"
    else:
        verdict = Verdict.UNKNOWN
        reason = f"the tree lists no RAM, a boot loader fills it in: pass {judged.hint}"
    return CheckResult(
        path=path,
        tree="host",
        domain=prediction.domain,
        linux=linux,
        xen=prediction.xen,
        iommu=prediction.iommu,
        assumed=_of_the_host(prediction, judged),
        verdict=verdict,
        reason=reason,
        kaslr=options.kaslr,
        alternatives=(),
        grant_table=RawRange(*grant) if grant else None,
        extended_regions=tuple(RawRange(*item) for item in prediction.regions.ranges),
        regions=(),
        ram=prediction.memory,
        answer=None,
        findings=(),
        reuse=(),
    )
