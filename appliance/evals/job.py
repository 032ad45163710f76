"""Evaluation as a job: every candidate of a task on every item of a split.

Rules:
- Candidates are the baselines, which need no model, then the task under each named model. All of
  them answer the same items; sealed splits cannot be named.
- Outcomes are kept item by item, so that a stopped evaluation resumes where it was.
- The result names what was measured by digest: the task, the dataset, models and outcomes.
"""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Final

import msgspec

from appliance.clock import Clock, iso
from appliance.datasets import directory as datasets
from appliance.datasets.items import Item
from appliance.datasets.splits import Splits
from appliance.errors import EvaluationRefused
from appliance.evals import metrics, scoring
from appliance.evals.asking import Asking
from appliance.evals.baselines import LINEAR, Answered, Baseline, battery
from appliance.evals.outcomes import Outcome, check_complete, digest
from appliance.evals.report import Evaluated, conclusion, page
from appliance.evals.store import OutcomeFiles
from appliance.evals.summary import Comparison, Summary, compare_all, summarise
from appliance.jobs.kind import Context, JsonObject, Kind
from appliance.reports.page import render
from appliance.serving.backend import Backends
from appliance.serving.inference import Inference
from appliance.statistics import agreement
from appliance.tasks.backends import TaskBackends
from appliance.tasks.catalogue import Drafts
from appliance.tasks.definition import Labels
from appliance.tasks.loaded import LoadedTask, load
from appliance.trust.directory import open_artifact
from appliance.types import Role

DIRECTORY: Final = "evaluations"
_BATCH: Final = 32


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of an evaluation.

    Attributes:
        task, data: directories on the host.
        models: ids of models or adapters that answer for the task, beside its own.
        baselines: whether to measure what needs no language model.
        limit: the first so many items by digest; 0 for all.
    """

    task: str
    data: str
    split: str = "dev"
    models: tuple[str, ...] = ()
    baselines: bool = True
    limit: int = 0


@dataclass(frozen=True)
class Parts:
    """What an evaluation needs of the appliance.

    Attributes:
        directory: `DATA/evaluations`.
        backends: the models.
        inference: makes a use-case of answers over backends.
        digest_of: the digest of a model or adapter in the store.
    """

    directory: Path
    backends: Backends
    inference: Callable[[Backends], Inference]
    digest_of: Callable[[str], str]
    clock: Clock


@dataclass(frozen=True)
class _Subject:
    """The task and the items that are measured."""

    loaded: LoadedTask
    data_digest: str
    train: tuple[Item, ...]
    items: tuple[Item, ...]
    ceiling: float | None


class Evaluation(Kind):
    """Measures candidates."""

    name: ClassVar[str] = "evaluation"
    unit: ClassVar[str] = "items"
    role: ClassVar[Role] = Role.OPERATOR
    heavy: ClassVar[bool] = True
    resumable: ClassVar[bool] = True

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def check(self, params: JsonObject) -> None:
        """Two directories and a split that is open. Raises EvaluationRefused."""
        wanted = _wanted(params)
        if wanted.split not in ("train", "dev"):
            raise EvaluationRefused(
                "evaluation_invalid",
                f"{wanted.split[:40]!r} cannot be named: only train and dev are open.",
            )
        for path in (wanted.task, wanted.data):
            if not Path(path).is_dir():
                raise EvaluationRefused("evaluation_invalid", f"{path[:200]} is no directory.")

    def title(self, params: JsonObject) -> str:
        """The task and the dataset."""
        wanted = _wanted(params)
        return f"{Path(wanted.task).name} on {Path(wanted.data).name}"

    async def run(self, job: Context) -> JsonObject:
        """What each candidate is worth, and the sentence that it comes to."""
        wanted = _wanted(job.params)
        subject = await job.in_thread(_subject, wanted)
        files = OutcomeFiles(self._parts.directory / str(job.id))
        candidates = await self._candidates(job, wanted, subject, files)
        result, html = await job.in_thread(
            _concluded, self._parts.clock, wanted, subject, candidates
        )
        await job.in_thread(files.write_report, html)
        return result

    async def _candidates(
        self, job: Context, wanted: Wanted, subject: _Subject, files: OutcomeFiles
    ) -> dict[str, "_Measured"]:
        found: dict[str, _Measured] = {}
        labels = isinstance(subject.loaded.task.output, Labels)
        baselines = battery(subject.train) if wanted.baselines and labels else []
        own = subject.loaded.task.candidate
        models = list(
            dict.fromkeys([*([own.model] if own.kind == "model" else []), *wanted.models])
        )
        rounds = len(baselines) + len(models)
        for number, baseline in enumerate(baselines):
            told = partial(_told, job, number, rounds, len(subject.items))
            found[baseline.name] = await job.in_thread(
                _learned, baseline, subject, files, number, told
            )
        for number, model in enumerate(models, len(baselines)):
            told = partial(_told, job, number, rounds, len(subject.items))
            found[model] = await self._asked(job, subject, files, number, model, told)
        return found

    async def _asked(
        self,
        job: Context,
        subject: _Subject,
        files: OutcomeFiles,
        number: int,
        model: str,
        told: Callable[[str, int], None],
    ) -> "_Measured":
        """The outcomes of the task under a model, as many at once as the model has slots."""
        model_digest = self._parts.digest_of(model)
        answerer = replace_answerer(subject.loaded, model, model_digest)
        backends = TaskBackends(self._parts.backends, Drafts({answerer.task.id: answerer}))
        asking = Asking(answerer.task, self._parts.inference(backends), f"evaluation-{job.id}")
        done = await job.in_thread(files.read, number)
        left = [item for item in subject.items if item.id not in {o.item for o in done}]
        slots = backends.slots(answerer.task.id)
        seconds = (job.checkpoint or {}).get(str(number), 0.0)
        for start in range(0, len(left), _BATCH):
            told(model, len(done))
            begun = time.monotonic()
            fresh = await _side_by_side(asking.outcome, left[start : start + _BATCH], slots)
            seconds += time.monotonic() - begun
            await job.in_thread(files.append, number, fresh)
            await job.in_thread(job.save, {**(job.checkpoint or {}), str(number): seconds})
            done += fresh
        told(model, len(done))
        return _Measured(tuple(done), seconds, model_digest)


@dataclass(frozen=True)
class _Measured:
    outcomes: tuple[Outcome, ...]
    seconds: float
    model: str | None = None


def replace_answerer(loaded: LoadedTask, model: str, model_digest: str) -> LoadedTask:
    """The same task with another model."""
    task = loaded.task
    candidate = msgspec.structs.replace(task.candidate, model=model, digest=model_digest)
    return replace(loaded, task=msgspec.structs.replace(task, candidate=candidate))


def _wanted(params: JsonObject) -> Wanted:
    try:
        return msgspec.convert(params, Wanted)
    except msgspec.ValidationError as error:
        raise EvaluationRefused("evaluation_invalid", f"Parameters: {error}.") from error


def _told(job: Context, number: int, rounds: int, items: int, name: str, done: int) -> None:
    job.report(name, number * items + done, rounds * items)


def _subject(wanted: Wanted) -> _Subject:
    """Read the task and the dataset, and check that they fit.

    Raises:
        ApplianceError: what is wrong with either, `item_unfit`, `evaluation_empty`.
    """
    with open_artifact(Path(wanted.task)) as artifact:
        names = sorted(name for name in artifact.sizes if name != "model.sig")
        loaded = load(lambda name, most: artifact.prefix(name, most), _digest(wanted.task, names))
    data = datasets.read(Path(wanted.data))
    items = tuple(data.splits.get(wanted.split, ()))
    if wanted.limit:
        ordered = sorted(items, key=lambda item: hashlib.sha256(item.id.encode()).digest())
        items = tuple(ordered[: wanted.limit])
    if not items:
        raise EvaluationRefused("evaluation_empty", f"The split {wanted.split} has no items.")
    shown = set(loaded.example_ids)
    if strangers := shown - {item.id for item in data.splits.get("train", ())}:
        raise EvaluationRefused(
            "evaluation_invalid", f"The example {min(strangers)!r} is no item of the split train."
        )
    for item in items:
        scoring.expected_of(loaded.task, item)
        scoring.input_of(loaded.task, item)
    with open_artifact(Path(wanted.data)) as artifact:
        names = sorted(name for name in artifact.sizes if name != "model.sig")
    train = tuple(data.splits.get("train", ()))
    return _Subject(loaded, _digest(wanted.data, names), train, items, _ceiling(data.splits))


def _digest(path: str, names: Sequence[str]) -> str:
    """SHA-256 over the names and digests of a directory's files, its signature left out."""
    hashed = hashlib.sha256()
    for name in names:
        content = hashlib.sha256((Path(path) / name).read_bytes()).hexdigest()
        hashed.update(f"{content}  {name}\n".encode())
    return hashed.hexdigest()


def _ceiling(splits: Splits) -> float | None:
    """How often two labels of one text agree; None where no text has two."""
    pairs = [
        (item.text.casefold().strip(), item.label)
        for part in splits.values()
        for item in part
        if item.labelled
    ]
    repeats = agreement.repeated_labels(pairs)
    return repeats.agreement if repeats.texts else None


def _learned(
    baseline: Baseline,
    subject: _Subject,
    files: OutcomeFiles,
    number: int,
    told: Callable[[str, int], None],
) -> _Measured:
    """The outcomes of a baseline; it is quick, so it is always measured from the beginning."""
    told(baseline.name, 0)
    outcomes: list[Outcome] = []
    for item, answered in zip(
        subject.items, baseline.answers([item.text for item in subject.items]), strict=True
    ):
        outcomes.append(_outcome(subject, item, answered))
        if len(outcomes) % 100 == 0:
            told(baseline.name, len(outcomes))
    if not files.read(number):
        files.append(number, outcomes)
    told(baseline.name, len(outcomes))
    return _Measured(tuple(outcomes), sum(o.microseconds for o in outcomes) / 1e6)


def _outcome(subject: _Subject, item: Item, answered: Answered) -> Outcome:
    answer, confidence, seconds = answered
    expected = scoring.expected_of(subject.loaded.task, item)
    return Outcome(
        item=item.id,
        group=item.group,
        expected=expected,
        answer=answer,
        micros=round(scoring.score(subject.loaded.task, expected, answer) * 1e6),
        microseconds=max(1, round(seconds * 1e6)),
        stratum=item.stratum or "",
        confidence_micros=None if confidence is None else round(confidence * 1e6),
    )


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
    clock: Clock, wanted: Wanted, subject: _Subject, measured: Mapping[str, _Measured]
) -> tuple[JsonObject, str]:
    """The result of the job and its page."""
    task = subject.loaded.task
    if not measured:
        raise EvaluationRefused("evaluation_empty", "There is no candidate to measure.")
    for found in measured.values():
        check_complete(found.outcomes, [item.id for item in subject.items])
    outcomes = {name: found.outcomes for name, found in measured.items()}
    summaries = [summarise(name, m.outcomes, m.seconds) for name, m in measured.items()]
    baseline = LINEAR if LINEAR in measured else next(iter(measured))
    compared = {n: o for n, o in outcomes.items() if n == baseline or measured[n].model}
    comparisons = compare_all(baseline, compared) if len(compared) > 1 else []
    labels = task.output.labels if isinstance(task.output, Labels) else ()
    evaluated = Evaluated(
        task=task.id,
        metric=task.gate.metric.replace("_", " "),
        split=wanted.split,
        summaries=summaries,
        baseline=baseline,
        comparisons=comparisons,
        made_of=_made_of(subject, measured),
        when=iso(clock.wall_us()),
        ceiling=subject.ceiling,
        labels=labels,
        confusions={name: _confusion(labels, o) for name, o in outcomes.items()}
        if labels
        else None,
    )
    answer, _ = conclusion(evaluated)
    result = {
        "task": task.id,
        "version": task.version,
        "metric": task.gate.metric,
        "split": wanted.split,
        "items": len(subject.items),
        "answer": answer,
        "baseline": baseline,
        "label_agreement": subject.ceiling,
        "candidates": [_row(s, measured[s.name]) for s in summaries],
        "comparisons": [_compared(c) for c in comparisons],
        "digests": dict(evaluated.made_of),
    }
    return result, render(page(evaluated))


def _made_of(subject: _Subject, measured: Mapping[str, _Measured]) -> dict[str, str]:
    told = {"task": subject.loaded.digest, "dataset": subject.data_digest}
    for name, found in measured.items():
        if found.model is not None:
            told[f"model {name}"] = found.model
        told[f"outcomes of {name}"] = digest(found.outcomes)
    return told


def _confusion(labels: Sequence[str], outcomes: Sequence[Outcome]) -> Sequence[Sequence[int]]:
    """Counts of the labels alone: what was no label is among the failures."""
    _, counts = metrics.confusion(
        labels, [o.expected for o in outcomes], [o.answer for o in outcomes]
    )
    return [row[: len(labels)] for row in counts]


def _row(summary: Summary, measured: _Measured) -> JsonObject:
    return {
        "name": summary.name,
        "quality": summary.quality.value,
        "interval": list(summary.quality.interval),
        "groups": summary.quality.groups,
        "documents_s": summary.documents_per_second,
        "p50_s": summary.p50,
        "p95_s": summary.p95,
        "tokens": summary.tokens,
        "failures": summary.failures,
        "calibration_error": summary.calibration_error,
        "outcomes": digest(measured.outcomes),
    }


def _compared(comparison: Comparison) -> JsonObject:
    return {
        "candidate": comparison.first,
        "baseline": comparison.second,
        "difference": comparison.difference.value,
        "interval": list(comparison.difference.interval),
        "gained": len(comparison.gained),
        "lost": len(comparison.lost),
    }
