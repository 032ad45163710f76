"""The gate as a job: one look at a sealed split, and the statement that follows from it.

Rules:
- What is wrong with the specification, the task, the dataset or the key is found before the look.
- The look is taken, durable in log and ledger, before the split is opened; its key and its items
  are in this job's memory alone.
- Candidate and incumbent answer the same items through the path of apps, at batch priority.
- Killed at any step, the job keeps its look, resumes at the item and comes to the same verdict.
- While the split has looks left, only verdict and coarse intervals leave; items stay encrypted.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Final

import msgspec

from appliance.audit.log import AuditLog, Draft
from appliance.clock import Clock, iso
from appliance.datasets import directory as datasets
from appliance.datasets import ledger as ledgers
from appliance.datasets import sealing
from appliance.datasets.directory import Dataset
from appliance.datasets.items import Item
from appliance.datasets.ledger import Ledger, Look
from appliance.datasets.sealing import Seal
from appliance.errors import EvaluationRefused, PolicyRefused, StateRefused
from appliance.evals import gate_report, judging, pairs, scoring
from appliance.evals.asking import Asking
from appliance.evals.baselines import LINEAR, MAJORITY, Baseline, battery
from appliance.evals.judging import Coarse
from appliance.evals.outcomes import Outcome, check_complete
from appliance.evals.outcomes import parse as parse_outcome
from appliance.evals.sealed_lines import SealedLines, key_of
from appliance.evals.store import OutcomeFiles
from appliance.jobs.kind import Context, JsonObject, Kind
from appliance.reports.page import render
from appliance.serving.backend import Backends
from appliance.serving.inference import Inference
from appliance.statistics.groups import draw_one_each
from appliance.tasks import catalogue
from appliance.tasks.backends import TaskBackends
from appliance.tasks.catalogue import Drafts
from appliance.tasks.definition import Labels
from appliance.tasks.loaded import LoadedTask
from appliance.trust import ecdsa, evaluation, specification
from appliance.trust.directory import Artifact
from appliance.trust.evaluation import Circumstances
from appliance.trust.freshness import Freshness
from appliance.trust.policy import TrustPolicy
from appliance.trust.specification import Signed, Specification
from appliance.trust.store import ModelStore
from appliance.types import Json, Role

NONE: Final = "none"
"""The incumbent that answers nothing: then the floors decide."""
BASELINES: Final = (MAJORITY, LINEAR, NONE)
VALID_DAYS: Final = 365
PAIRS: Final = "pairs.sealed"
_DAY_US: Final = 86_400_000_000
_BATCH: Final = 32
_CANDIDATE, _INCUMBENT = 0, 1
_USABLE: Final = ("verified", "approved", "suspended")


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of a gate: the specification as a person signed it."""

    specification: str


@dataclass(frozen=True)
class GateParts:
    """What a gate needs of the appliance.

    Attributes:
        directory: `DATA/evaluations`.
        policy: reads the trust policy in force.
        fresh: says how fresh it is.
        backends: the models.
        inference: makes a use-case of answers over backends.
        kek: the key-encryption key.
        evidence: the key that signs what was found.
        template_of: hex SHA-256 of a model's chat template; "" for none.
        log: name of the audit log.
    """

    directory: Path
    store: ModelStore
    ledger: Ledger
    audit: AuditLog
    policy: Callable[[], TrustPolicy]
    fresh: Callable[[], Freshness]
    backends: Backends
    inference: Callable[[Backends], Inference]
    kek: Callable[[], bytes]
    evidence: Callable[[], ecdsa.PrivateKey]
    template_of: Callable[[str], str]
    log: str
    clock: Clock


@dataclass(frozen=True)
class _Subject:
    """What is compared, before the split is opened.

    Attributes:
        seal: of the dataset.
        sealed: the file of the split.
        incumbent: the task that is compared with; None for a baseline.
    """

    signed: Signed
    loaded: LoadedTask
    dataset: Dataset
    seal: Seal
    sealed: bytes
    incumbent: LoadedTask | None

    @property
    def wanted(self) -> Specification:
        """The terms."""
        return self.signed.wanted

    @property
    def part(self) -> sealing.Part:
        """What the seal tells of the split."""
        return self.seal.parts[self.wanted.split]


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
        specification.unverified(_envelope(params))

    def title(self, params: JsonObject) -> str:
        """The task and the dataset."""
        wanted = specification.unverified(_envelope(params))
        return f"{wanted.task} on {wanted.dataset}"

    def key(self, params: JsonObject) -> str | None:
        """One job for one specification."""
        return hashlib.sha256(_envelope(params)).hexdigest()

    async def run(self, job: Context) -> JsonObject:
        """The verdict, and the certificate of a pass."""
        parts = self._parts
        subject = await job.in_thread(_subject, parts, job.params)
        await self._try(job, subject)
        look, number = await job.in_thread(self._look, job, subject)
        if "result" not in (job.checkpoint or {}):
            items = await job.in_thread(_opened, parts, subject)
            files = await job.in_thread(_Files, parts, job.id)
            measured = await self._measured(job, subject, items, files)
            made = await job.in_thread(_concluded, parts, subject, look, number, measured, files)
            await job.in_thread(job.save, {**(job.checkpoint or {}), **made})
        return await job.in_thread(self._finished, job, subject, look)

    async def _try(self, job: Context, subject: _Subject) -> None:
        """Ask for one open item, so that no look is lost to a model that cannot answer.

        Raises:
            EvaluationRefused: `candidate_fails`.
        """
        open_ = (*subject.dataset.splits.get("dev", ()), *subject.dataset.splits.get("train", ()))
        for number, loaded in enumerate((subject.loaded, subject.incumbent)):
            if loaded is None or not open_ or "result" in (job.checkpoint or {}):
                continue
            found = await self._asking(loaded, f"gate-{job.id}-try-{number}").outcome(open_[0])
            if found.failure:
                raise EvaluationRefused(
                    "candidate_fails",
                    f"{loaded.task.id} gives no answer to an open item: {found.failure}.",
                )

    def _asking(self, loaded: LoadedTask, label: str) -> Asking:
        backends = TaskBackends(self._parts.backends, Drafts({loaded.task.id: loaded}))
        return Asking(loaded.task, self._parts.inference(backends), label)

    def _look(self, job: Context, subject: _Subject) -> tuple[Look, int]:
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
                "marks_sha256": _marks_digest(subject.part),
                "look": number,
                "looks": ledgers.LOOKS,
            }
            return parts.audit.append(Draft("admin", fields)).result()[0].seq

        return parts.ledger.take(look, subject.part.marks, record)

    async def _measured(
        self, job: Context, subject: _Subject, items: Sequence[Item], files: "_Files"
    ) -> "_Measured":
        """The outcomes of the classifier, the candidate and the incumbent."""
        labels = isinstance(subject.loaded.task.output, Labels)
        train = subject.dataset.splits.get("train", ())
        classifiers = {b.name: b for b in battery(train)} if labels and train else {}
        advice: list[Outcome] | None = None
        if LINEAR in classifiers:
            job.report(LINEAR, 0, 2 * len(items))
            advice = await job.in_thread(_learned, classifiers[LINEAR], subject, items)
        candidate = await self._asked(job, _CANDIDATE, subject.loaded, items, files)
        incumbent = subject.wanted.incumbent
        if subject.incumbent is not None:
            other = await self._asked(job, _INCUMBENT, subject.incumbent, items, files)
        elif incumbent == LINEAR and advice is not None:
            other = advice
        elif incumbent in classifiers:
            other = await job.in_thread(_learned, classifiers[incumbent], subject, items)
        elif incumbent == NONE:
            other = [_unanswered(subject, item) for item in items]
        else:
            raise EvaluationRefused(
                "evaluation_invalid", f"{incumbent} cannot answer: the split train is too small."
            )
        return _Measured(tuple(candidate), tuple(other), None if advice is None else tuple(advice))

    async def _asked(
        self,
        job: Context,
        number: int,
        loaded: LoadedTask,
        items: Sequence[Item],
        files: "_Files",
    ) -> list[Outcome]:
        """The outcomes of a task, as many at once as its model has slots."""
        asking = self._asking(loaded, f"gate-{job.id}-{number}")
        done = await job.in_thread(files.read, number)
        left = [item for item in items if item.id not in {o.item for o in done}]
        slots = self._parts.backends.slots(loaded.task.candidate.model)
        for start in range(0, len(left), _BATCH):
            job.report(loaded.task.id, number * len(items) + len(done), 2 * len(items))
            fresh = await _side_by_side(asking.outcome, left[start : start + _BATCH], slots)
            await job.in_thread(files.append, number, fresh)
            done += fresh
        job.report(loaded.task.id, (number + 1) * len(items), 2 * len(items))
        check_complete(done, [item.id for item in items])
        return done

    def _finished(self, job: Context, subject: _Subject, look: Look) -> JsonObject:
        """Keep what was signed, then tell it; each step may be done twice."""
        parts, made = self._parts, job.checkpoint or {}
        result: JsonObject = dict(made["result"])
        certificate = result["certificate"] or ""
        files = OutcomeFiles(parts.directory / str(job.id))
        files.write_report(made["html"])
        (parts.directory / str(job.id) / "statement.json").write_text(made["statement"])
        fields: dict[str, Json] = {
            "action": "gate_verdict",
            "actor": job.actor,
            "job": job.id,
            "specification": subject.signed.digest,
            "task": subject.wanted.task,
            "verdict": result["verdict"],
            "certificate": certificate,
            "outcomes": made["outcomes"],
        }
        parts.audit.append(Draft("admin", fields)).result()
        parts.store.evaluations.add(made["statement"].encode(), parts.policy())
        parts.ledger.conclude(look.id, result["verdict"], certificate)
        looks = parts.ledger.looks(subject.part.marks)
        left = ledgers.left(looks, look.task_digest)
        share = subject.wanted.alpha_micros / specification.MILLION / ledgers.LOOKS
        return {**result, "looks": len(looks), "looks_left": left, "alpha_left": left * share}


@dataclass(frozen=True)
class _Measured:
    candidate: tuple[Outcome, ...]
    incumbent: tuple[Outcome, ...]
    advice: tuple[Outcome, ...] | None


class _Files:
    """The outcomes of a job, encrypted."""

    def __init__(self, parts: GateParts, job_id: int) -> None:
        self._directory = parts.directory / str(job_id)
        self._key = key_of(self._directory, parts.kek())
        self._open = {n: self._lines(f"{n:03}.sealed") for n in (_CANDIDATE, _INCUMBENT)}

    def _lines(self, name: str) -> SealedLines:
        return SealedLines(self._directory / name, self._key)

    def read(self, number: int) -> list[Outcome]:
        """What one side answered so far."""
        return [parse_outcome(line) for line in self._open[number].read()]

    def append(self, number: int, outcomes: Sequence[Outcome]) -> None:
        """Add outcomes and make them durable."""
        self._open[number].append([outcome.line().rstrip(b"\n") for outcome in outcomes])

    def write_pairs(self, found: Sequence[pairs.Pair]) -> None:
        """Keep what the verdict follows from, in place of an earlier try."""
        (self._directory / PAIRS).unlink(missing_ok=True)
        lines = self._lines(PAIRS)
        lines.append([each.line() for each in found])


def read_pairs(directory: Path, job_id: int, kek: bytes) -> list[pairs.Pair]:
    """The outcomes of a gate that is done, for the auditor's export.

    Raises:
        EvaluationRefused: `report_missing`, `outcomes_invalid`.
    """
    place = directory / str(job_id)
    if not (place / PAIRS).exists():
        raise EvaluationRefused("report_missing", f"Job {job_id} is no gate, or is not done.")
    return [pairs.parse(line) for line in SealedLines(place / PAIRS, key_of(place, kek)).read()]


def _envelope(params: JsonObject) -> bytes:
    try:
        return msgspec.convert(params, Wanted).specification.encode()
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise PolicyRefused("specification_invalid", f"Parameters: {error}.") from error


def baseline_of(loaded_form: str, declared: str) -> str:
    """The first incumbent of a task: what it declares, else the commonest label, else none."""
    return declared or (MAJORITY if loaded_form == "labels" else NONE)


def _check_records(store: ModelStore, wanted: Specification) -> None:
    """Hold a specification against the records of the store."""
    task = store.inventory.record(wanted.task)
    if task.kind != catalogue.KIND or task.state not in _USABLE:
        raise _other(f"{wanted.task} is {task.state} and no task that can be evaluated")
    if task.digest != wanted.task_digest:
        raise _other(f"{wanted.task} has the digest {task.digest}")
    facts = task.facts
    if (facts.get("model"), facts.get("model_digest")) != (wanted.model, wanted.model_digest):
        raise _other(f"{wanted.task} names another model")
    if facts.get("metric") != wanted.metric or wanted.looks != ledgers.LOOKS:
        raise _other(f"the metric is {facts.get('metric')} and there are {ledgers.LOOKS} looks")
    evaluation.check_terms(wanted, facts, "specification_other")
    if wanted.incumbent not in BASELINES:
        incumbent = store.inventory.record(wanted.incumbent)
        if incumbent.digest != wanted.incumbent_digest or incumbent.kind != catalogue.KIND:
            raise _other(f"{wanted.incumbent} is another one than the incumbent")
    data = store.inventory.record(wanted.dataset)
    if data.digest != wanted.dataset_digest:
        raise _other(f"{wanted.dataset} has the digest {data.digest}")
    if wanted.split not in data.facts.get("sealed", ()):
        raise StateRefused("dataset_not_sealed", f"{wanted.dataset} has no sealed {wanted.split}.")


def _other(problem: str) -> PolicyRefused:
    return PolicyRefused("specification_other", f"Specification: {problem}.")


def _subject(parts: GateParts, params: JsonObject) -> _Subject:
    """Everything that can be wrong before the look, from the stored bytes; nothing is opened.

    Raises:
        Refused: `clock_behind`; what `specification.verify` raises; `evaluator_not_allowed`;
            `specification_other`, `dataset_not_sealed`; what a check of the store finds.
    """
    parts.fresh().check_change()
    policy = parts.policy()
    signed = specification.verify(_envelope(params), policy)
    policy.evaluator(ecdsa.hint(parts.evidence().public_key()))
    wanted = signed.wanted
    _check_records(parts.store, wanted)
    loaded = _task(parts.store, wanted.task, wanted.task_digest, policy)
    incumbent = None
    if wanted.incumbent not in BASELINES:
        incumbent = _task(parts.store, wanted.incumbent, wanted.incumbent_digest, policy)
    read = partial(_dataset, wanted.split)
    digest, (dataset, seal, sealed) = parts.store.use(
        wanted.dataset, "dataset", policy, _silent, read
    )
    if digest != wanted.dataset_digest:
        raise _other(f"{wanted.dataset} has the digest {digest}")
    return _Subject(signed, loaded, dataset, seal, sealed, incumbent)


def _dataset(split: str, artifact: Artifact) -> tuple[Dataset, Seal, bytes]:
    found = datasets.read_artifact(artifact)
    if found.seal is None or split not in found.seal.parts:
        raise StateRefused("dataset_not_sealed", f"The dataset has no sealed {split}.")
    name = sealing.sealed_file(split)
    return found, found.seal, artifact.prefix(name, artifact.sizes[name])


def _task(store: ModelStore, task_id: str, digest: str, policy: TrustPolicy) -> LoadedTask:
    """A stored task, approved or not yet, whose files are those that were signed."""
    checked = store.check(task_id, policy, _silent)
    if checked.digest != digest:
        raise _other(f"{task_id} has the digest {checked.digest}")
    with store.inventory.open(task_id) as artifact:
        loaded = catalogue.read_artifact(artifact)
    return replace(loaded, task=msgspec.structs.replace(loaded.task, id=task_id), digest=digest)


def _opened(parts: GateParts, subject: _Subject) -> tuple[Item, ...]:
    """The items of the split, in memory; one of each group where that was specified.

    Raises:
        DatasetRefused: what `sealing.open_part` raises.
        EvaluationRefused: `item_unfit`.
    """
    wanted, name = subject.wanted, subject.dataset.manifest.name
    items = sealing.open_part(subject.seal, wanted.split, name, subject.sealed, parts.kek())
    if wanted.items == "one":
        places = draw_one_each([i.id for i in items], [i.group for i in items], wanted.seed)
        items = tuple(items[place] for place in places)
    for item in items:
        scoring.expected_of(subject.loaded.task, item)
        scoring.input_of(subject.loaded.task, item)
    return items


def _learned(baseline: Baseline, subject: _Subject, items: Sequence[Item]) -> list[Outcome]:
    """The outcomes of a baseline; it is quick, so it is always measured from the beginning."""
    answered = baseline.answers([item.text for item in items])
    return [
        _outcome(subject, item, answer, seconds)
        for item, (answer, _, seconds) in zip(items, answered, strict=True)
    ]


def _outcome(subject: _Subject, item: Item, answer: str, seconds: float) -> Outcome:
    expected = scoring.expected_of(subject.loaded.task, item)
    score = scoring.score(subject.loaded.task, expected, answer)
    return Outcome(
        item=item.id,
        group=item.group,
        expected=expected,
        answer=answer,
        micros=round(score * 1e6),
        microseconds=max(1, round(seconds * 1e6)),
        stratum=item.stratum or "",
    )


def _unanswered(subject: _Subject, item: Item) -> Outcome:
    expected = scoring.expected_of(subject.loaded.task, item)
    stratum = item.stratum or ""
    return Outcome(item.id, item.group, expected, None, 0, 1, stratum=stratum, failure=NONE)


async def _side_by_side(
    ask: Callable[[Item], Awaitable[Outcome]], items: Sequence[Item], slots: int
) -> list[Outcome]:
    """Ask for all items, so many at once; the first error that is not an outcome ends the rest."""
    gate = asyncio.Semaphore(slots)

    async def one(item: Item) -> Outcome:
        async with gate:
            return await ask(item)

    try:
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(one(item)) for item in items]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in asked]


def _concluded(
    parts: GateParts,
    subject: _Subject,
    look: Look,
    number: int,
    measured: _Measured,
    files: _Files,
) -> JsonObject:
    """Judge, sign and write the page: what the job keeps before anything of it is told."""
    wanted = subject.wanted
    paired = pairs.pair(measured.candidate, measured.incumbent)
    found = judging.judge(wanted, paired)
    files.write_pairs(paired)
    now = parts.clock.wall_us()
    at = Circumstances(
        engine=parts.store.evaluations.engine,
        template_sha256=parts.template_of(wanted.model),
        look=number,
        log=parts.log,
        entry=look.entry,
        issued_us=now,
        valid_until_us=now + VALID_DAYS * _DAY_US,
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
        "floors": dict(found.floors),
        "certificate": kept,
        "statement": certificate,
    }
    qualities = _qualities(wanted, measured)
    judged = gate_report.Judged(
        wanted=wanted,
        found=found,
        qualities=qualities,
        look=number,
        certificate=kept,
        made_of=_made_of(subject, found.merkle_root, at),
        when=iso(now),
    )
    advice = qualities.get(LINEAR)
    result["advice"] = None if advice is None else advice.value / specification.MILLION
    result["answer"] = gate_report.sentence(judged)
    return {
        "result": result,
        "statement": statement.decode(),
        "html": render(gate_report.page(judged)),
        "outcomes": found.merkle_root,
    }


def _qualities(wanted: Specification, measured: _Measured) -> Mapping[str, Coarse]:
    """What each reached, to the point, the classifier first."""
    sides = {
        **({LINEAR: measured.advice} if measured.advice is not None else {}),
        wanted.task: measured.candidate,
        f"incumbent: {wanted.incumbent}": measured.incumbent,
    }
    return {
        name: judging.coarse(
            judging.quality(wanted, [o.micros for o in side], [o.group for o in side])
        )
        for name, side in sides.items()
    }


def _made_of(subject: _Subject, root: str, at: Circumstances) -> Mapping[str, str]:
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


def _marks_digest(part: sealing.Part) -> str:
    return hashlib.sha256("\n".join(sorted(part.marks)).encode()).hexdigest()


def _silent(_phase: str, _done: int, _total: int) -> None:
    """Progress without a watcher."""
