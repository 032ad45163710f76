"""Evaluation as a job: every candidate of a task on every item of a split.

Rules:
- All candidates of the plan answer the same items; sealed splits cannot be named.
- A stopped evaluation resumes at its item, with the same task, dataset and models or not at all.
- The result names task, dataset, models and outcomes by digest.
"""

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Final, TypeVar

import msgspec

from appliance.clock import Clock, iso
from appliance.datasets.items import Item
from appliance.errors import BadRequest, EvaluationRefused, Unavailable
from appliance.evals import evidence, neighbours, parameters, plan, scoring, shots, subject
from appliance.evals.asking import Asking, CandidateReply, as_it_is, guessed, outcome, started
from appliance.evals.baselines import battery, timed
from appliance.evals.free_form import UnforcedTask, read_freely
from appliance.evals.outcomes import Outcome
from appliance.evals.packs.items import PACKS
from appliance.evals.packs.items import items as pack_items
from appliance.evals.packs.measure import AskingPack, summary
from appliance.evals.parameters import EvaluationWanted
from appliance.evals.plan import Candidate, EvaluationPlan, Planner
from appliance.evals.report import page
from appliance.evals.results import Measured, concluded
from appliance.evals.store import OutcomeFiles
from appliance.evals.subject import EvaluationSubject, Store
from appliance.host.energy import EnergyMeter
from appliance.jobs.kind import Context, ItemJob
from appliance.looks.answers import BATCH, Askable, answered, side_by_side
from appliance.reports.page import render
from appliance.serving.backend import Backends
from appliance.serving.inference import Inference
from appliance.tasks.backends import TaskBackends
from appliance.tasks.catalogue import Drafts
from appliance.tasks.cited import Evidence
from appliance.tasks.definition import TaskAnswerer, Text
from appliance.tasks.loaded import LoadedTask
from appliance.types import GenerationRequest
from appliance.wire.admin.results import EvaluationResult, PacksMeasured

DIRECTORY: Final = "evaluations"
_SEARCHES: Final = 2
S = TypeVar("S", bound=Askable)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Services that an evaluation needs.

    Attributes:
        directory: `DATA/evaluations`.
        digest_of: of a model or adapter in the store.
        memory: peak bytes of a model's process; 0 if it is not loaded.
        documents: searches collections as the app `evaluation`.
    """

    directory: Path
    store: Store
    backends: Backends
    inference: Callable[[Backends], Inference]
    digest_of: Callable[[str], str]
    tokens: plan.CountTokens
    memory: Callable[[str], int]
    clock: Clock
    documents: Evidence | None = None


class EvaluationJob(ItemJob[EvaluationWanted, EvaluationResult]):
    """The job."""

    name: ClassVar[str] = "evaluation"
    form = EvaluationWanted
    malformed = (EvaluationRefused, "evaluation_invalid")

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def check(self, params: EvaluationWanted) -> None:
        """Raises EvaluationRefused (`evaluation_invalid`), NotFound (`model_not_found`)."""
        parameters.check(params)
        for model in params.models:
            self._parts.backends.card(model)

    def title(self, params: EvaluationWanted) -> str:
        return f"{Path(params.task).name} on {Path(params.data).name}"

    def engine(self, params: EvaluationWanted) -> bool:
        """A classifier among baselines needs none."""
        near = params.baselines and any(c.kind == "embed" for c in self._parts.backends.cards())
        models = bool(params.models) or params.packs or near
        return models or subject.needs_engine(self._parts.store, params.task)

    async def run(self, job: Context[EvaluationWanted]) -> EvaluationResult:
        asked = job.params
        parameters.check(asked)
        found = await job.in_thread(subject.read_subject, self._parts.store, asked)
        planned = await self._plan(job, asked, found)
        files = OutcomeFiles(self._parts.directory / str(job.id))
        round_ = _Round(self._parts, job, found, files, len(planned.candidates))
        measured = [
            await round_.measured(number, candidate)
            for number, candidate in enumerate(planned.candidates)
        ]
        packs = await round_.packs(planned.candidates) if asked.packs else {}
        retrieval = await round_.retrieval()
        when = iso(self._parts.clock.wall_us())
        result, evaluated = await job.in_thread(
            concluded, when, asked, found, planned, measured, packs, retrieval
        )
        html = await job.in_thread(render, page(evaluated))
        await job.in_thread(files.write_report, html, result)
        return result

    async def _plan(
        self, job: Context[EvaluationWanted], asked: EvaluationWanted, found: EvaluationSubject
    ) -> EvaluationPlan:
        if job.checkpoint and "plan" in job.checkpoint:
            kept = msgspec.convert(job.checkpoint["plan"], EvaluationPlan)
            kept.check(found)
            return kept
        parts = self._parts
        planner = Planner(parts.backends, parts.digest_of, parts.tokens)
        made = await planner.plan(asked, found)
        await job.in_thread(job.save, {"plan": msgspec.to_builtins(made), "seconds": {}})
        return made


@dataclass(eq=False)
class _Round:
    parts: Parts
    job: Context[EvaluationWanted]
    subject: EvaluationSubject
    files: OutcomeFiles
    rounds: int

    async def measured(self, number: int, candidate: Candidate) -> Measured:
        if candidate.kind == "baseline":
            return await self.job.in_thread(self._learned, number, candidate)
        if candidate.model:
            plan.pinned(self.parts.digest_of(candidate.model), candidate)
        if candidate.kind == "neighbours":
            return await self._near(number, candidate)
        asking, slots = self._asking(candidate)
        outcomes, seconds, joules = await self._answered(
            number, candidate.name, self.subject.items, asking.outcome, slots
        )
        memory = self.parts.memory(candidate.model) if candidate.model else 0
        return Measured(candidate, outcomes, seconds, memory, joules)

    async def packs(self, candidates: Iterable[Candidate]) -> dict[str, PacksMeasured]:
        models = dict.fromkeys(c.model for c in candidates if c.kind == "model")
        found = {}
        for number, model in enumerate(models):
            inference = self.parts.inference(self.parts.backends)
            asking = AskingPack(model, inference, self._label)
            slots = self.parts.backends.slots(model)
            told = {}
            for pack in PACKS:
                outcomes, *_ = await self._answered(
                    number, f"{model}: {pack}", pack_items(pack), asking.outcome, slots, pack
                )
                told[pack] = summary(pack, outcomes)
            found[model] = PacksMeasured.model_validate(told)
        return found

    async def retrieval(self) -> evidence.Retrieval | None:
        task, search = self.subject.loaded.task, self.parts.documents
        known = [item for item in self.subject.items if item.relevant]
        if search is None or not isinstance(task.output, Text) or not task.output.collection:
            return None
        seek = partial(evidence.seek, search, task)
        found: list[evidence.Sought] = []
        for start in range(0, len(known), BATCH):
            self._told(self.rounds - 1, "search", len(self.subject.items))
            sought = side_by_side(seek, known[start : start + BATCH], _SEARCHES)
            found += await self.job.unless_stopped(sought)
        return evidence.summed(task, found)

    def _learned(self, number: int, candidate: Candidate) -> Measured:
        items = self.subject.items
        self._told(number, candidate.name, 0)
        (baseline,) = [one for one in battery(self.subject.train) if one.name == candidate.name]
        learned = baseline.fit()
        outcomes = self.files.read(number)
        left = items[len(outcomes) :]
        fresh: list[Outcome] = []
        meter = EnergyMeter()
        for item, (guess, seconds) in zip(
            left, timed(learned, [item.text for item in left]), strict=True
        ):
            fresh.append(guessed(self.subject.loaded.task, item, guess, seconds))
            if len(fresh) % 100 == 0:
                self._told(number, candidate.name, len(fresh))
        joules = meter.joules() if len(left) == len(items) else None
        self.files.append(number, fresh)
        outcomes += fresh
        self._told(number, candidate.name, len(items))
        spent = sum(one.microseconds for one in outcomes) / 1e6
        return Measured(candidate, tuple(outcomes), spent, learned.size, joules)

    async def _near(self, number: int, candidate: Candidate) -> Measured:
        inference = self.parts.inference(self.parts.backends)
        task = self.subject.loaded.task
        embed = partial(_embedded, inference, self._label, candidate.model)
        learned = await neighbours.learn(
            self.subject.train, embed, candidate.digest,
            lambda _: self.job.report(f"{candidate.name}: learning", 0, 0),
            partial(scoring.text_of, task),
        )  # fmt: skip
        if learned.document is not None:
            await self.job.in_thread(self.files.write_neighbours, learned.document)

        async def ask(item: Item) -> Outcome:
            begun = time.perf_counter()
            text = scoring.text_of(task, item)
            found = None if text is None else await learned.answer(text)
            seconds = time.perf_counter() - begun
            if found is not None:
                return guessed(task, item, found, seconds)
            failure = "task_input_invalid" if text is None else "context_length_exceeded"
            return outcome(task, item, None, CandidateReply(None, failure, seconds))

        slots = self.parts.backends.slots(candidate.model)
        outcomes, seconds, joules = await self._answered(
            number, candidate.name, self.subject.items, ask, slots
        )
        memory = self.parts.memory(candidate.model) + learned.size
        return Measured(candidate, outcomes, seconds, memory, joules)

    def _asking(self, candidate: Candidate) -> tuple[Asking, int]:
        loaded = self.subject.loaded
        if candidate.kind == "model":
            loaded = replace_answerer(loaded, candidate.model, candidate.digest)
        if candidate.shots is not None:
            chosen = shots.choose(self.subject.train, candidate.shots)
            loaded = shots.with_examples(loaded, chosen)
        drafts = Drafts({loaded.task.id: loaded})
        tasks: Backends = TaskBackends(self.parts.backends, drafts, evidence=self.parts.documents)
        slots = tasks.slots(loaded.task.id)
        if candidate.forced:
            forced = self.parts.inference(tasks)
            return Asking(loaded.task, forced, self._label, read=as_it_is), slots
        free = self.parts.inference(UnforcedTask(tasks, loaded))
        return Asking(loaded.task, free, self._label, read=partial(read_freely, loaded)), slots

    async def _answered(
        self,
        number: int,
        name: str,
        items: Sequence[S],
        ask: Callable[[S], Awaitable[Outcome]],
        slots: int,
        pack: str = "",
    ) -> tuple[tuple[Outcome, ...], float, float | None]:
        """`slots` at once; outcomes, seconds, joules."""
        mark, begun, meter = f"{number}{pack}", 0.0, EnergyMeter()

        def report(done: int) -> None:
            nonlocal begun, meter
            self._told(number, name, done)
            begun, meter = time.monotonic(), EnergyMeter()

        def keep(fresh: Sequence[Outcome]) -> None:
            joules = meter.joules()
            self.files.append(number, fresh, pack)
            self._spent(mark, time.monotonic() - begun, joules)

        read = partial(self.files.read, number, pack)
        done = await answered(self.job, read, keep, items, ask, slots, report)
        self._told(number, name, len(done))
        return tuple(done), self._kept("seconds").get(mark, 0.0), self._kept("joules").get(mark)

    def _kept(self, name: str) -> dict[str, float]:
        found: dict[str, float] = (self.job.checkpoint or {}).get(name, {})
        return found

    def _spent(self, mark: str, seconds: float, joules: float | None) -> None:
        told = {"seconds": seconds} if joules is None else {"seconds": seconds, "joules": joules}
        more = {}
        for name, value in told.items():
            before = self._kept(name)
            more[name] = {**before, mark: before.get(mark, 0.0) + value}
        self.job.save({**(self.job.checkpoint or {}), **more})

    def _told(self, number: int, name: str, done: int) -> None:
        count = len(self.subject.items)
        total = self.rounds * count
        self.job.report(name, min(number * count + done, total), total)

    @property
    def _label(self) -> str:
        return f"evaluation-{self.job.id}"


def replace_answerer(loaded: LoadedTask, model: str, model_digest: str) -> LoadedTask:
    """The task with another model."""
    task = loaded.task
    candidate = TaskAnswerer(kind="model", model=model, digest=model_digest)
    return replace(loaded, task=msgspec.structs.replace(task, candidate=candidate), classifier=None)


async def _embedded(
    inference: Inference, label: str, model: str, texts: Sequence[str]
) -> list[bytes]:
    """b"" for a text that is too long for the model."""
    request = GenerationRequest(model=model, texts=tuple(texts))
    try:
        _, generation = await started(inference, f"{label}-embed", request)
    except BadRequest:
        if len(texts) == 1:
            return [b""]
        alone = [await _embedded(inference, label, model, [text]) for text in texts]
        return [vector for (vector,) in alone]
    try:
        vectors = [delta.vector async for delta in generation if delta.vector]
    finally:
        await generation.cancel()
    if len(vectors) != len(texts):
        raise Unavailable("request_cancelled", "The embedding model gave no vector.")
    return vectors
