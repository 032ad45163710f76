"""The gate as a job: a look that compares a candidate with an incumbent.

Rules:
- Both sides answer the same items through the path of apps, at batch priority. An item that could
  not be asked counts on neither side.
- While the split has looks left, only verdict and coarse intervals leave; items stay encrypted.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from appliance.clock import iso
from appliance.datasets.items import Item
from appliance.errors import EvaluationRefused, NotFound, Unavailable
from appliance.evals import differing_items, gate_report, judging, pairs
from appliance.evals.asking import PADDED, Asking, as_it_is
from appliance.evals.baselines import LINEAR, battery
from appliance.evals.exposure import REPLAY
from appliance.evals.gate_outcomes import (
    CANDIDATE,
    INCUMBENT,
    GateMeasured,
    answers_file,
    learned,
    pack_file,
    packed,
    unanswered,
    write_pairs,
)
from appliance.evals.gate_subject import (
    NONE,
    GateSubject,
    check_items,
    issued,
    opened,
    subject_of,
)
from appliance.evals.judging import Coarse
from appliance.evals.outcomes import Outcome, check_complete
from appliance.evals.packs.items import items as pack_items
from appliance.evals.packs.measure import AskingPack
from appliance.jobs.kind import Context
from appliance.looks import replay
from appliance.looks.answers import LookFiles, answered
from appliance.looks.look import Judgement, SealedLook
from appliance.looks.lost_items import UNCOUNTED
from appliance.looks.subject import YEAR_US, LookParts, Specified, envelope_of, needs_engine
from appliance.reports.page import render
from appliance.statistics.power import groups_without_error
from appliance.tasks.definition import LabelForm
from appliance.tasks.loaded import LoadedTask
from appliance.trust.statements import evaluation, specification
from appliance.trust.statements.evaluation import GateCircumstances, GateFound, Pack
from appliance.trust.statements.specification import MILLION, Specification
from appliance.wire.admin.results import GateResult

_MISSING: Final = frozenset({"model_not_found", "task_model_missing", "task_model_changed"})
"""Codes that say that the model of a task is not there."""


class GateJob(SealedLook[GateSubject, GateResult]):
    """The job."""

    name: ClassVar[str] = "gate"
    noun: ClassVar[str] = "task"
    more: ClassVar[str] = "outcomes"
    told = GateResult

    def __init__(self, parts: LookParts) -> None:
        super().__init__(parts, parts.store.evaluations, Specification, subject_of)

    def engine(self, params: Specified) -> bool:
        wanted = Specification.open(envelope_of(params)).said
        sides = (wanted.task, *((wanted.incumbent,) if wanted.incumbent_digest else ()))
        return bool(wanted.packs) or needs_engine(self.parts, *sides)

    async def judgement(self, job: Context, subject: GateSubject) -> Judgement[GateResult]:
        parts, blind = self.parts, subject.signed.said.split == specification.UNLABELLED
        if blind:
            differing_items.check_terms(subject)
        await job.in_thread(check_items, parts, subject)
        await self._try(job, subject)
        look, number = await job.in_thread(self.take, job, subject)
        items = await job.in_thread(opened, parts, subject)
        files = await job.in_thread(self.files, job)
        if not (job.checkpoint or {}):  # nobody labels what differs between the kept answers
            await job.in_thread(files.begin, self.answering)
        measured = await self._measured(job, subject, items, files)
        await job.in_thread(self._check_sides, job, subject, measured)
        if blind:
            await job.in_thread(self._check_labels, job, subject)
            measured = await job.in_thread(
                differing_items.with_labels, parts, job, subject, items, measured, files.key
            )
            await job.in_thread(self._check_sides, job, subject, measured)
        found = await job.in_thread(_judged, subject, number, measured, files)
        answers = await self._replayed(job, subject, found)
        return await job.in_thread(
            _concluded, parts, subject, look.entry, number, measured, found, answers
        )

    def left_behind(self, made: Judgement[GateResult]) -> dict[str, str]:
        return {"statement.json": made.statement, REPLAY: made.answers or "{}"}

    def left(self, subject: GateSubject, shares: tuple[int, ...]) -> dict[str, float]:
        alpha = subject.signed.said.alpha_micros / MILLION * sum(shares) / MILLION
        return {**super().left(subject, shares), "alpha_left": alpha}

    def over(self, job: Context) -> None:
        differing_items.close(self.parts, job)

    def given_up(self, job: Context) -> None:
        differing_items.forget(self.parts, job)

    async def _try(self, job: Context, subject: GateSubject) -> None:
        """No look is lost to a model that cannot answer.

        Raises:
            EvaluationRefused: `candidate_fails`.
        """
        splits = subject.split.dataset.splits
        open_ = (*splits.get("dev", ()), *splits.get("train", ()))
        for number, loaded in enumerate((subject.loaded, subject.incumbent)):
            if loaded is None or not open_:
                continue
            asking = self._asking(loaded, f"gate-{job.id}-try-{number}")
            try:
                failure = (await asking.outcome(open_[0])).failure
            except (NotFound, Unavailable) as error:
                if error.code not in _MISSING:
                    raise
                failure = error.code
            if failure:
                raise EvaluationRefused(
                    "candidate_fails",
                    f"{loaded.task.id} gives no answer to an open item: {failure}.",
                )

    def _asking(self, loaded: LoadedTask, label: str, files: LookFiles | None = None) -> Asking:
        alias = as_it_is if files is None else files.alias
        inference = self.parts.inference(self.parts.tasks(loaded))
        return Asking(loaded.task, inference, label, asker=PADDED, alias=alias, patient=True)

    def _check_sides(self, job: Context, subject: GateSubject, measured: GateMeasured) -> None:
        """Ends with `gate_interrupted` if too many items could not be asked."""
        wanted, items = subject.signed.said, len(measured.candidate)
        sides = {wanted.task: measured.candidate}
        if subject.incumbent is not None:
            sides[wanted.incumbent] = measured.incumbent
        lost = {name: sum(o.failure in UNCOUNTED for o in side) for name, side in sides.items()}
        heard = any(count < items for count in lost.values())
        self.check_asked(job, subject, lost, items, heard)

    def _check_labels(self, job: Context, subject: GateSubject) -> None:
        if differing_items.removed(self.parts, job):
            message = "The queue of its labels was removed. The look counts."
            self.interrupt(job, subject, message)
        now, before = self.parts.engine, (job.checkpoint or {}).get("engine")
        if before is None:
            job.save({**(job.checkpoint or {}), "engine": now})
        elif before != now:
            message = f"{before} answered, and {now} serves. The look counts."
            self.interrupt(job, subject, message)

    async def _measured(
        self, job: Context, subject: GateSubject, items: Sequence[Item], files: LookFiles
    ) -> GateMeasured:
        wanted = subject.signed.said
        train = subject.split.dataset.splits.get("train", ())
        labels = isinstance(subject.loaded.task.output, LabelForm)
        classifiers = {b.name: b for b in battery(train)} if labels and train else {}
        advice: dict[str, list[Outcome]] = {}
        for name in sorted(name for name in classifiers if name.startswith(LINEAR)):
            job.report(f"fitting {name}", 0, 0)
            advice[name] = await job.in_thread(learned, classifiers[name], subject, items)
        candidate = await self._asked(job, CANDIDATE, subject.loaded, items, files)
        incumbent = wanted.incumbent
        if subject.incumbent is not None:
            against = await self._asked(job, INCUMBENT, subject.incumbent, items, files)
        elif incumbent in advice:
            against = advice[incumbent]
        elif incumbent in classifiers:
            against = await job.in_thread(learned, classifiers[incumbent], subject, items)
        elif incumbent == NONE:
            against = [unanswered(subject, item) for item in items]
        else:
            raise EvaluationRefused(
                "evaluation_invalid", f"{incumbent} cannot answer: the split train is too small."
            )
        packs = {name: await self._pack(job, name, wanted.model, files) for name in wanted.packs}
        blind = wanted.split == specification.UNLABELLED
        told = {} if blind else {name: tuple(outcomes) for name, outcomes in advice.items()}
        return GateMeasured(tuple(candidate), tuple(against), told, packs)

    async def _pack(self, job: Context, name: str, model: str, files: LookFiles) -> Pack:
        backends = self.parts.backends
        asking = AskingPack(model, self.parts.inference(backends), f"gate-{job.id}-{name}")
        items = pack_items(name)

        def report(done: int) -> None:
            job.report(f"pack {name}", done, len(items))

        slots = backends.slots(model)
        file, ask = pack_file(files, name), asking.outcome
        done = await answered(job, file.read, file.append, items, ask, slots, report)
        return packed(name, done)

    async def _asked(
        self,
        job: Context,
        number: int,
        loaded: LoadedTask,
        items: Sequence[Item],
        files: LookFiles,
    ) -> list[Outcome]:
        task = loaded.task.id

        def report(done: int) -> None:
            job.report(task, number * len(items) + done, 2 * len(items))

        ask = self._asking(loaded, f"gate-{job.id}-{number}", files).outcome
        slots = self.parts.tasks(loaded).slots(task)
        file = answers_file(files, number)
        done = await answered(job, file.read, file.append, items, ask, slots, report)
        report(len(items))
        check_complete(done, [item.id for item in items])
        return done

    async def _replayed(self, job: Context, subject: GateSubject, found: GateFound) -> bytes:
        """The candidate's answers to open items, for an upgrade of the engine; b"" for none.

        Enough that the same answers keep a pass.
        """
        if found.verdict != "pass":
            return b""
        wanted = subject.signed.said
        alpha = wanted.alpha_micros / MILLION
        fewest = {
            name: groups_without_error(room / MILLION, alpha)
            for name, room in evaluation.rooms(wanted, found).items()
            if 0 < room < MILLION
        }
        open_ = replay.chosen(subject.split.dataset.splits.get("dev", ()), fewest)
        job.report("open items", 0, len(open_))
        if not open_:
            return b""
        asking = self._asking(subject.loaded, f"gate-{job.id}-open")
        return await job.unless_stopped(replay.answers(asking.outcome, open_))


def _judged(
    subject: GateSubject, number: int, measured: GateMeasured, files: LookFiles
) -> GateFound:
    every = pairs.pair(measured.candidate, measured.incumbent, measured.agreed)
    paired = [p for p in every if not {p.candidate_failure, p.incumbent_failure} & UNCOUNTED]
    write_pairs(files, paired)
    unasked = len(every) - len(paired)
    wanted = subject.signed.said
    return judging.judge(wanted, paired, measured.packs, look=number, unasked=unasked)


def _concluded(
    parts: LookParts,
    subject: GateSubject,
    entry: int,
    number: int,
    measured: GateMeasured,
    found: GateFound,
    answers: bytes,
) -> Judgement[GateResult]:
    wanted, now = subject.signed.said, parts.clock.wall_us()
    needed = subject.loaded.task.candidate.model  # a classifier may need none
    at = GateCircumstances(
        engine=parts.engine,
        template_sha256=parts.template_of(needed) if needed else "",
        look=number,
        log=parts.log,
        entry=entry,
        issued_us=now,
        valid_until_us=now + YEAR_US,
        replay=hashlib.sha256(answers).hexdigest() if answers else "",
    )
    statement = evaluation.sign(subject.signed.envelope, wanted, found, at, parts.evidence())
    certificate = evaluation.verify(statement, parts.policy()).id
    qualities = _qualities(wanted, number, measured)
    judged = gate_report.GatePageFacts(
        wanted=wanted,
        found=found,
        qualities=qualities,
        look=number,
        certificate=certificate if found.verdict == "pass" else None,
        made_of=_made_of(subject, found.merkle_root, at),
        when=iso(now),
        issued=tuple(c.wanted.alpha_micros for c in issued(parts)),
        rows=len(subject.split.dataset.splits.get("train", ())) if measured.advice else 0,
    )
    return Judgement(
        result=gate_report.result(judged, certificate, qualities.get(LINEAR)),
        html=render(gate_report.page(judged)),
        statement=statement.decode(),
        answers=answers.decode(),
        outcomes=found.merkle_root,
    )


def _qualities(wanted: Specification, look: int, measured: GateMeasured) -> Mapping[str, Coarse]:
    if measured.agreed:
        return {}  # nobody knows what is right where the two agree
    sides = {
        **measured.advice,
        wanted.task: measured.candidate,
        f"incumbent: {wanted.incumbent}": measured.incumbent,
    }
    return {
        name: judging.coarse(
            judging.quality(wanted, look, [o.micros for o in side], [o.group for o in side])
        )
        for name, side in sides.items()
    }


def _made_of(subject: GateSubject, root: str, at: GateCircumstances) -> Mapping[str, str]:
    wanted = subject.signed.said
    return {
        "task": wanted.task_digest,
        f"model {wanted.model}": wanted.model_digest,
        "dataset": wanted.dataset_digest,
        "specification": subject.signed.id,
        "outcomes": root,
        "engine": at.engine,
        "chat template": at.template_sha256 or "none",
        "look": f"entry {at.entry} of {at.log}",
    }
