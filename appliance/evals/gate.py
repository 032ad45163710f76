"""The gate as a job: one look at a sealed split, and the statement that follows from it.

Rules:
- What is wrong with the specification, the task, the dataset, an item or the key is found before
  the look; an item is opened in this job's memory alone, and no message tells anything of one.
- The look is taken, durable in log and ledger, before an item is answered.
- Candidate and incumbent answer the same items through the path of apps, at batch priority. An item
  that could not be asked counts on neither side; too many of them end the gate without a verdict.
- Killed at any step, the job keeps its look, resumes at the item and comes to the same verdict.
- While the split has looks left, only verdict and coarse intervals leave; items stay encrypted.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from appliance.audit.log import Draft
from appliance.clock import iso
from appliance.datasets import ledger as ledgers
from appliance.datasets.items import Item
from appliance.datasets.ledger import Look
from appliance.errors import EvaluationRefused, NotFound, Unavailable
from appliance.evals import differing, gate_report, judging, pairs, replay
from appliance.evals.asking import (
    PADDED,
    UNCOUNTED,
    Asking,
    as_it_is,
    interruption,
    side_by_side,
)
from appliance.evals.baselines import LINEAR, battery
from appliance.evals.gate_outcomes import (
    CANDIDATE,
    INCUMBENT,
    Files,
    Measured,
    learned,
    packed,
    unanswered,
)
from appliance.evals.gate_subject import (
    NONE,
    GateParts,
    Subject,
    check_items,
    envelope_of,
    issued,
    needs_engine,
    opened,
    subject_of,
)
from appliance.evals.judging import Coarse
from appliance.evals.outcomes import Outcome, check_complete
from appliance.evals.packs.items import items as pack_items
from appliance.evals.packs.measure import AskingPack
from appliance.evals.seen import REPLAY
from appliance.evals.store import OutcomeFiles
from appliance.jobs.kind import Context, JsonObject, Kind, digest
from appliance.reports.page import render
from appliance.statistics.power import groups_without_error
from appliance.tasks.backends import TaskBackends
from appliance.tasks.catalogue import Drafts
from appliance.tasks.definition import Labels
from appliance.tasks.loaded import LoadedTask
from appliance.trust.statements import evaluation, specification
from appliance.trust.statements.evaluation import Circumstances, Found, Pack
from appliance.trust.statements.specification import Specification
from appliance.types import Json, Role

VALID_DAYS: Final = 365
_DAY_US: Final = 86_400_000_000
_BATCH: Final = 32
_MISSING: Final = frozenset({"model_not_found", "task_model_missing", "task_model_changed"})
"""Codes that say that the model of a task is not there."""


class Gate(Kind):
    """Opens a sealed split once and judges a task on it."""

    name: ClassVar[str] = "gate"
    unit: ClassVar[str] = "items"
    role: ClassVar[Role] = Role.OPERATOR
    heavy: ClassVar[bool] = True
    resumable: ClassVar[bool] = True

    def __init__(self, parts: GateParts) -> None:
        self._parts = parts

    def check(self, params: JsonObject) -> None:
        """The form of the specification; who signed it is asked before the look.

        Raises:
            PolicyRefused: `specification_invalid`.
        """
        specification.unverified(envelope_of(params))

    def title(self, params: JsonObject) -> str:
        """The task and the dataset."""
        wanted = specification.unverified(envelope_of(params))
        return f"{wanted.task} on {wanted.dataset}"

    def key(self, params: JsonObject) -> str | None:
        """One job for one specification."""
        return hashlib.sha256(envelope_of(params)).hexdigest()

    def engine(self, params: JsonObject) -> bool:
        """Classifiers need none."""
        wanted = specification.unverified(envelope_of(params))
        sides = (wanted.task, *((wanted.incumbent,) if wanted.incumbent_digest else ()))
        return bool(wanted.packs) or needs_engine(self._parts, *sides)

    async def run(self, job: Context) -> JsonObject:
        """The verdict, and the certificate of a pass."""
        parts = self._parts
        subject = await job.in_thread(subject_of, parts, job.params)
        if subject.wanted.split == specification.UNLABELLED:
            differing.check_terms(subject)
        if "result" not in (job.checkpoint or {}):
            await job.in_thread(check_items, parts, subject)
        await self._try(job, subject)
        look, number = await job.in_thread(self._look, job, subject)
        if "result" not in (job.checkpoint or {}):
            await job.in_thread(self._check_open, job, look)
            items = await job.in_thread(opened, parts, subject)
            files = await job.in_thread(Files, parts, job.id)
            measured = await self._measured(job, subject, items, files)
            await job.in_thread(self._check_asked, job, subject, look, measured)
            if subject.wanted.split == specification.UNLABELLED:
                await job.in_thread(self._check_labels, job, subject, look)
                measured = await job.in_thread(
                    differing.with_labels, parts, job, subject, items, measured, files.key
                )
                await job.in_thread(self._check_asked, job, subject, look, measured)
            found = await job.in_thread(_judged, subject, number, measured, files)
            answers = await self._replayed(job, subject, found)
            made = await job.in_thread(
                _concluded, parts, subject, look, number, measured, found, answers
            )
            await job.in_thread(self._kept, job, {**(job.checkpoint or {}), **made})
        return await job.in_thread(self._finished, job, subject, look)

    async def _try(self, job: Context, subject: Subject) -> None:
        """Ask for one open item, so that no look is lost to a model that cannot answer.

        Raises:
            EvaluationRefused: `candidate_fails`.
        """
        open_ = (*subject.dataset.splits.get("dev", ()), *subject.dataset.splits.get("train", ()))
        for number, loaded in enumerate((subject.loaded, subject.incumbent)):
            if loaded is None or not open_ or "result" in (job.checkpoint or {}):
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

    def _asking(self, loaded: LoadedTask, label: str, files: Files | None = None) -> Asking:
        """Asks a task; with the files of the job for sealed items, whose ids no entry tells."""
        alias = as_it_is if files is None else files.alias
        inference = self._parts.inference(self._backends(loaded))
        return Asking(loaded.task, inference, label, asker=PADDED, alias=alias, patient=True)

    def _backends(self, loaded: LoadedTask) -> TaskBackends:
        drafts = Drafts({loaded.task.id: loaded})
        return TaskBackends(self._parts.backends, drafts, evidence=self._parts.documents)

    def _look(self, job: Context, subject: Subject) -> tuple[Look, int]:
        """Take the look; found again when the job is resumed."""
        parts, wanted = self._parts, subject.wanted
        look = Look(
            id=subject.signed.digest,
            job=job.id,
            task=wanted.task,
            task_digest=wanted.task_digest,
            dataset=wanted.dataset,
            dataset_digest=wanted.dataset_digest,
            split=wanted.split,
            person=wanted.name,
            alpha_micros=wanted.alpha_micros,
            taken_us=parts.clock.wall_us(),
            name=subject.name,
            version=subject.loaded.task.version,
        )

        def record(taken: Look, number: int) -> int:
            fields: dict[str, Json] = {
                "action": "gate_look",
                "actor": job.actor,
                "job": job.id,
                "specification": taken.id,
                "person": taken.person,
                "task": taken.task,
                "task_digest": taken.task_digest,
                "dataset": taken.dataset,
                "dataset_digest": taken.dataset_digest,
                "split": taken.split,
                "groups": subject.part.groups,
                "marks_sha256": ledgers.marks_digest(subject.part.marks),
                "groups_sha256": ledgers.groups_digest(subject.part.marks),
                "look": number,
                "looks": ledgers.LOOKS,
                "share_micros": taken.share_micros,
            }
            return parts.audit.append(Draft("admin", fields)).result()[0].seq

        schedule = wanted.schedule or ledgers.QUARTERS
        return parts.ledger.take(look, subject.part.marks, record, schedule)

    def _check_asked(self, job: Context, subject: Subject, look: Look, measured: Measured) -> None:
        """End a gate in which too many items could not be asked; no verdict, no certificate.

        Raises:
            EvaluationRefused: `gate_interrupted`.
        """
        sides = {subject.wanted.task: measured.candidate}
        if subject.incumbent is not None:
            sides[subject.wanted.incumbent] = measured.incumbent
        lost = {name: sum(o.failure in UNCOUNTED for o in side) for name, side in sides.items()}
        found = interruption(lost, len(measured.candidate))
        if found is None:
            return
        seen, told = found
        verdict = "interrupted" if seen else ledgers.UNSPENT
        counts = "The look counts." if seen else "Nothing was answered, so no look was spent."
        self._interrupt(job, subject, look, verdict, f"{told} {counts}")

    def _check_open(self, job: Context, look: Look) -> None:
        """Refuse a look that ended before, whose queue a crash may have left.

        Raises:
            EvaluationRefused: `gate_interrupted`.
        """
        if look.verdict:
            differing.forget(self._parts, job)
        ledgers.check_open(look)

    def _check_labels(self, job: Context, subject: Subject, look: Look) -> None:
        """End a gate whose queue was removed, or whose engine is not the one that answered.

        Raises:
            EvaluationRefused: `gate_interrupted`.
        """
        if differing.removed(self._parts, job):
            message = "The queue of its labels was removed. The look counts."
            self._interrupt(job, subject, look, "interrupted", message)
        now, before = self._parts.store.evaluations.engine, (job.checkpoint or {}).get("engine")
        if before is None:
            job.save({**(job.checkpoint or {}), "engine": now})
        elif before != now:
            message = f"{before} answered, and {now} serves. The look counts."
            self._interrupt(job, subject, look, "interrupted", message)

    def _interrupt(
        self, job: Context, subject: Subject, look: Look, verdict: str, message: str
    ) -> None:
        fields: dict[str, Json] = {
            "action": "gate_verdict",
            "actor": job.actor,
            "job": job.id,
            "specification": subject.signed.digest,
            "task": subject.wanted.task,
            "verdict": verdict,
            "certificate": "",
            "statement": "",
            "ledger_verdict": verdict,
            "outcomes": "",
        }
        self._parts.audit.append(Draft("admin", fields)).result()
        self._parts.ledger.conclude(look.id, verdict, "")
        differing.forget(self._parts, job)
        raise EvaluationRefused("gate_interrupted", message)

    async def _measured(
        self, job: Context, subject: Subject, items: Sequence[Item], files: "Files"
    ) -> "Measured":
        """The outcomes of the classifier, the candidate and the incumbent."""
        labels = isinstance(subject.loaded.task.output, Labels)
        train = subject.dataset.splits.get("train", ())
        classifiers = {b.name: b for b in battery(train)} if labels and train else {}
        advice: dict[str, list[Outcome]] = {}
        for name in sorted(name for name in classifiers if name.startswith(LINEAR)):
            job.report(name, 0, 2 * len(items))
            advice[name] = await job.in_thread(learned, classifiers[name], subject, items)
        candidate = await self._asked(job, CANDIDATE, subject.loaded, items, files)
        incumbent = subject.wanted.incumbent
        if subject.incumbent is not None:
            other = await self._asked(job, INCUMBENT, subject.incumbent, items, files)
        elif incumbent in advice:
            other = advice[incumbent]
        elif incumbent in classifiers:
            other = await job.in_thread(learned, classifiers[incumbent], subject, items)
        elif incumbent == NONE:
            other = [unanswered(subject, item) for item in items]
        else:
            raise EvaluationRefused(
                "evaluation_invalid", f"{incumbent} cannot answer: the split train is too small."
            )
        packs = {name: await self._pack(job, name, subject, files) for name in subject.wanted.packs}
        blind = subject.wanted.split == specification.UNLABELLED
        told = {} if blind else {name: tuple(outcomes) for name, outcomes in advice.items()}
        return Measured(tuple(candidate), tuple(other), told, packs)

    async def _pack(self, job: Context, name: str, subject: Subject, files: "Files") -> Pack:
        """What the candidate's model does on a pack, by itself."""
        backends, model = self._parts.backends, subject.wanted.model
        asking = AskingPack(model, self._parts.inference(backends), f"gate-{job.id}-{name}")
        done = await job.in_thread(files.read, name)
        items = pack_items(name)
        left = [item for item in items if item.id not in {o.item for o in done}]
        for start in range(0, len(left), _BATCH):
            job.report(f"pack {name}", len(done), len(items))
            batch = left[start : start + _BATCH]
            asked = side_by_side(asking.outcome, batch, backends.slots(model))
            fresh = await job.unless_stopped(asked)
            await job.in_thread(files.append, name, fresh)
            done += fresh
        return packed(name, done)

    async def _asked(
        self,
        job: Context,
        number: int,
        loaded: LoadedTask,
        items: Sequence[Item],
        files: "Files",
    ) -> list[Outcome]:
        """The outcomes of a task, as many at once as its model has slots."""
        asking = self._asking(loaded, f"gate-{job.id}-{number}", files)
        done = await job.in_thread(files.read, number)
        left = [item for item in items if item.id not in {o.item for o in done}]
        slots = self._backends(loaded).slots(loaded.task.id)
        for start in range(0, len(left), _BATCH):
            job.report(loaded.task.id, number * len(items) + len(done), 2 * len(items))
            asked = side_by_side(asking.outcome, left[start : start + _BATCH], slots)
            fresh = await job.unless_stopped(asked)
            await job.in_thread(files.append, number, fresh)
            done += fresh
        job.report(loaded.task.id, (number + 1) * len(items), 2 * len(items))
        check_complete(done, [item.id for item in items])
        return done

    async def _replayed(self, job: Context, subject: Subject, found: Found) -> bytes:
        """The candidate's answers to open items, for an upgrade of the engine; b"" for none.

        So many that the same answers leave a pass a pass.
        """
        if found.verdict != "pass":
            return b""
        alpha = subject.wanted.alpha_micros / specification.MILLION
        wanted = {
            name: groups_without_error(room / specification.MILLION, alpha)
            for name, room in evaluation.rooms(subject.wanted, found).items()
            if 0 < room < specification.MILLION
        }
        open_ = replay.chosen(subject.dataset.splits.get("dev", ()), wanted)
        job.report("open items", 0, len(open_))
        asking = self._asking(subject.loaded, f"gate-{job.id}-open")
        if not open_:
            return b""
        return await job.unless_stopped(replay.answers(asking.outcome, open_))

    def _kept(self, job: Context, made: JsonObject) -> None:
        """Keep what was judged; the log names it first."""
        fields: dict[str, Json] = {
            "action": "gate_judged",
            "actor": job.actor,
            "job": job.id,
            "checkpoint_sha256": digest(made),
        }
        self._parts.audit.append(Draft("admin", fields)).result()
        job.save(made)

    def _finished(self, job: Context, subject: Subject, look: Look) -> JsonObject:
        """Keep what was signed, then tell it; each step may be done twice."""
        parts, made = self._parts, job.checkpoint or {}
        result: JsonObject = dict(made["result"])
        certificate = result["certificate"] or ""
        files = OutcomeFiles(parts.directory / str(job.id))
        files.write_report(made["html"])
        place = parts.directory / str(job.id)
        (place / "statement.json").write_text(made["statement"])
        (place / REPLAY).write_text(made["answers"] or "{}")
        fields: dict[str, Json] = {
            "action": "gate_verdict",
            "actor": job.actor,
            "job": job.id,
            "specification": subject.signed.digest,
            "task": subject.wanted.task,
            "verdict": result["verdict"],
            "certificate": certificate,
            "statement": result["statement"],
            "ledger_verdict": result["verdict"],
            "outcomes": made["outcomes"],
        }
        parts.audit.append(Draft("admin", fields)).result()
        kept = parts.store.evaluations.add(made["statement"].encode(), parts.policy())
        parts.store.evaluations.keep_replay(kept.id, made["answers"].encode())
        parts.ledger.conclude(look.id, result["verdict"], certificate)
        differing.close(parts, job)
        looks = parts.ledger.looks(subject.part.marks)
        rest = ledgers.remaining(
            looks, subject.seal.schedule, look.task_digest, look.name, look.version
        )
        alpha = subject.wanted.alpha_micros / specification.MILLION
        return {
            **result,
            "looks": len(ledgers.spent(looks)),
            "looks_left": len(rest),
            "alpha_left": alpha * sum(rest) / specification.MILLION,
        }


def _judged(subject: Subject, number: int, measured: Measured, files: Files) -> Found:
    """The verdict; the outcomes that it follows from are kept."""
    every = pairs.pair(measured.candidate, measured.incumbent, measured.agreed)
    paired = [p for p in every if not {p.candidate_failure, p.incumbent_failure} & UNCOUNTED]
    files.write_pairs(paired)
    unasked = len(every) - len(paired)
    return judging.judge(subject.wanted, paired, measured.packs, look=number, unasked=unasked)


def _concluded(
    parts: GateParts,
    subject: Subject,
    look: Look,
    number: int,
    measured: Measured,
    found: Found,
    answers: bytes,
) -> JsonObject:
    """Sign and write the page: what the job keeps before anything of it is told."""
    wanted, now = subject.wanted, parts.clock.wall_us()
    needed = subject.loaded.task.candidate.model  # a classifier may need none
    at = Circumstances(
        engine=parts.store.evaluations.engine,
        template_sha256=parts.template_of(needed) if needed else "",
        look=number,
        log=parts.log,
        entry=look.entry,
        issued_us=now,
        valid_until_us=now + VALID_DAYS * _DAY_US,
        replay=hashlib.sha256(answers).hexdigest() if answers else "",
    )
    statement = evaluation.sign(subject.signed.envelope, wanted, found, at, parts.evidence())
    certificate = evaluation.verify(statement, parts.policy()).id
    kept = certificate if found.verdict == "pass" else None
    result = {
        "verdict": found.verdict,
        "metric": wanted.metric,
        "task": wanted.task,
        "candidate": wanted.model,
        "incumbent": wanted.incumbent,
        "difference": found.difference_micros / specification.MILLION,
        "interval": [
            found.low_micros / specification.MILLION,
            found.high_micros / specification.MILLION,
        ],
        "margin": wanted.margin_micros / specification.MILLION,
        "groups": found.groups,
        "groups_needed": found.groups_needed,
        "groups_needed_range": found.groups_range and list(found.groups_range),
        "unasked": found.unasked,
        "agreed": found.agreed,
        "floors": dict(found.floors),
        "packs": gate_report.packs(wanted, found, number),
        "certificate": kept,
        "statement": certificate,
    }
    qualities = _qualities(wanted, number, measured)
    judged = gate_report.Judged(
        wanted=wanted,
        found=found,
        qualities=qualities,
        look=number,
        certificate=kept,
        made_of=_made_of(subject, found.merkle_root, at),
        when=iso(now),
        issued=tuple(c.wanted.alpha_micros for c in issued(parts)),
        rows=len(subject.dataset.splits.get("train", ())) if measured.advice else 0,
    )
    advice = qualities.get(LINEAR)
    result["advice"] = None if advice is None else advice.value / specification.MILLION
    result["answer"] = gate_report.sentence(judged)
    return {
        "result": result,
        "statement": statement.decode(),
        "html": render(gate_report.page(judged)),
        "outcomes": found.merkle_root,
        "answers": answers.decode(),
    }


def _qualities(wanted: Specification, look: int, measured: Measured) -> Mapping[str, Coarse]:
    """What each reached, to the point, the classifier first."""
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


def _made_of(subject: Subject, root: str, at: Circumstances) -> Mapping[str, str]:
    wanted = subject.wanted
    return {
        "task": wanted.task_digest,
        f"model {wanted.model}": wanted.model_digest,
        "dataset": wanted.dataset_digest,
        "specification": subject.signed.digest,
        "outcomes": root,
        "engine": at.engine,
        "chat template": at.template_sha256 or "none",
        "look": f"entry {at.entry} of {at.log}",
    }
