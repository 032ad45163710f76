"""Tuning as a job: from a task, its items and a base in the store to an adapter that is proved.

Rules:
- The base is verified like a model that is loaded, and read from the same sealed bytes by the
  trainer and by the engine.
- Training and proof end in `DATA/tuning/JOB/adapter/`: the GGUF file, the statement of its base
  and the training record, to be signed and imported like any adapter; beside it, in `task/`, the
  task as it was trained for. A check that fails leaves nothing there.
- A stopped job resumes at its last checkpoint, and comes to the same file.
"""

import contextlib
import hashlib
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Final

import msgspec
import numpy as np

from appliance.clock import Clock, iso
from appliance.datasets.items import Item
from appliance.errors import TuningRefused
from appliance.evals.outcomes import Outcome
from appliance.evals.subject import Store, Subject, read_subject
from appliance.evals.summary import summarise
from appliance.evals.wanted import Wanted as Evaluated
from appliance.evals.wanted import is_path
from appliance.host.energy import Meter
from appliance.jobs.kind import Context, JsonObject, Kind
from appliance.tasks import definition
from appliance.tasks.classifiers import document
from appliance.tasks.loaded import MAX_FILE
from appliance.trust import durable
from appliance.trust.adapter import STATEMENT_FILE, Base, vet_adapter
from appliance.trust.directory import open_artifact
from appliance.trust.gguf.gguf import GgufFacts
from appliance.trust.sealed import SealedFile, seal_and_close, write_all
from appliance.trust.verified import VerifiedModel
from appliance.tuning import adapter_file, curve, examples, plan, record, rows, settings
from appliance.tuning.candidates import candidates
from appliance.tuning.checks import Scored
from appliance.tuning.field_quality import by_field
from appliance.tuning.measured import Measured, form_of, measured, rehearsal
from appliance.tuning.messages import Order
from appliance.tuning.plan import Pace
from appliance.tuning.process import check_set
from appliance.tuning.proof import Proof, prove, rehearsed
from appliance.tuning.report import conclusion
from appliance.tuning.rows import Row
from appliance.tuning.served import Served, memory, serving
from appliance.tuning.settings import Settings
from appliance.tuning.training import Files, Report, Trained, Trial, same_rows, train, trial
from appliance.types import Role
from appliance.workers.cpu_variants import Variant

DIRECTORY: Final = "tuning"
ADAPTER: Final = "adapter"
TASK: Final = "task"
_FROZEN: Final = 4_000
_TRIAL: Final = 8
_SAMPLE: Final = 12
_FEWEST: Final = 8
_SLACK: Final = 3 << 30  # address space that is mapped and never touched


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of a tuning.

    Attributes:
        task, data: directories on the host.
        base: a model of the store; "" for the candidate of the task.
        limit: the first so many items of train by digest; 0 for all.
        dev: most items of dev that choose and prove.
        seeds: runs, from the seed of the settings on; the best on dev is exported.
        settings: `settings.Settings`.
        curve: train on shares of the rows, too, and say whether more rows would help.
        plan: say what it would take, and train nothing.
    """

    task: str
    data: str
    base: str = ""
    limit: int = 0
    dev: int = 200
    seeds: int = 1
    settings: dict[str, Any] = {}
    curve: bool = False
    plan: bool = False


@dataclass(frozen=True)
class Parts:
    """What a tuning needs of the appliance.

    Attributes:
        directory: `DATA/tuning`.
        store: as evaluations read it.
        tuning_set: where the tuning set is installed.
        facts: what the file of a model in the store says.
        seal: verifies a model and holds it in sealed memory.
        variant: of the engine's processor backend.
        engine: its name and version.
        threads: that compute.
        busy: whether requests run; the trainer waits for them.
    """

    directory: Path
    store: Store
    tuning_set: Path
    facts: Callable[[str], GgufFacts]
    seal: Callable[[str], VerifiedModel]
    variant: Callable[[], Variant]
    engine: str
    threads: int
    busy: Callable[[], bool]
    clock: Clock


@dataclass(frozen=True)
class _Given:
    """What is trained: the task, and items with their rows."""

    subject: Subject
    items: tuple[Item, ...]
    dev_items: tuple[Item, ...]
    rows: tuple[Row, ...]
    dev: tuple[Row, ...]
    stop: int
    begin: int | None

    def frozen(self) -> tuple[Row, ...]:
        """Text of which each token is scored that rows do not share: `_FROZEN` tokens or all.

        What rows share would be counted once for each, as if it were as many texts.
        """
        every = (*self.dev, *self.rows)
        start, found, tokens = max(1, rows.common_prefix(every)), [], 0
        for row in every:
            if tokens >= _FROZEN:
                break
            found.append(Row(row.item, row.tokens[:start], row.tokens[start:]))
            tokens += len(row.tokens) - start
        return tuple(found)


@dataclass(frozen=True)
class _Run:
    """What each part of one tuning needs."""

    job: Context
    wanted: Wanted
    model: VerifiedModel
    order: Order
    given: _Given
    report: Report


@dataclass(frozen=True)
class _Tried:
    """What the first part of a plan measured.

    Attributes:
        read: seconds until the rows are there, and the untrained model's scores.
        row: seconds that the proof takes for a row of dev.
    """

    trial: Trial
    read: float
    row: float


@dataclass(frozen=True)
class _Proved:
    """What training came to: each seed, the best one and its file.

    Attributes:
        untrained: what the base says of the frozen text, in the engine.
    """

    trained: list[Trained]
    best: Trained
    data: bytes
    proof: Proof
    untrained: Sequence[Scored]


class Tuning(Kind):
    """Trains adapters."""

    name: ClassVar[str] = "tune"
    unit: ClassVar[str] = "steps"
    role: ClassVar[Role] = Role.OPERATOR
    heavy: ClassVar[bool] = True
    resumable: ClassVar[bool] = True

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def check(self, params: JsonObject) -> None:
        """Settings in their ranges, two directories, the tuning set. Raises TuningRefused."""
        wanted = _wanted(params)
        settings.read(wanted.settings)
        for path in (wanted.task, wanted.data):
            if not (is_path(path) and Path(path).is_dir()):
                raise TuningRefused("tuning_invalid", f"{path[:200]} is no directory.")
        check_set(self._parts.tuning_set)

    def title(self, params: JsonObject) -> str:
        """The task and the dataset."""
        wanted = _wanted(params)
        return f"{Path(wanted.task).name} from {Path(wanted.data).name}"

    def needs(self, params: JsonObject) -> int:
        """The trainer and the worker beside it."""
        wanted = _wanted(params)
        base = _base(wanted, _definition(wanted))
        return self._memory(self._parts.facts(base), settings.read(wanted.settings)).total

    async def run(self, job: Context) -> JsonObject:
        """The adapter, or what it would take."""
        wanted = _wanted(job.params)
        chosen = settings.read(wanted.settings)
        begun, meter = time.monotonic(), Meter()

        def report(phase: str, done: int, total: int) -> None:
            meter.joules()  # often enough that no round of its counters is missed
            job.report(phase, done, total)

        store = self._parts.store
        subject = await job.in_thread(read_subject, store, _split(wanted, "train"))
        dev = await job.in_thread(read_subject, store, _split(wanted, "dev"))
        files = await job.in_thread(_task_files, Path(wanted.task), subject.loaded.task)
        base = _base(wanted, subject.loaded.task)
        job.report("verifying", 0, 1)
        variant = await job.in_thread(self._parts.variant)
        model = await job.in_thread(self._parts.seal, base)
        with contextlib.closing(model):
            serve = partial(serving, model, chosen.longest, variant, self._parts.threads)
            async with serve() as served:
                job.report("tokenising", 0, 1)
                given = await _given(served, subject, dev.items)
                one = _Run(
                    job, wanted, model, self._order(given, model.facts, chosen), given, report
                )
                if wanted.plan:
                    made: _Tried | _Proved = await self._tried(one, served, begun)
                else:
                    made = await self._proved(one, served)
            async with serve(reproducible=False) as served:
                if isinstance(made, _Tried):
                    return await self._planned(one, served, made)
                job.report("measuring", 0, 1)
                found = await _measured(one, served, made.data)
                points = await self._curve(one, served, made.untrained)
        points.append(curve.Point(1.0, len(given.rows), found.outcomes))
        helps, doubling = curve.more_helps(points)
        chosen_from = await job.in_thread(
            candidates,
            subject.loaded,
            given.items,
            given.dev_items,
            found.outcomes,
            found.shares,
            found.untuned,
        )
        best, data = made.best, made.data
        told = {
            **_told(given, chosen, made.trained, best, model),
            "dev": _quality(subject.loaded.task, found.outcomes),
            "fields": by_field(subject.loaded, found.outcomes, found.untuned),
            "checks": {**made.proof.facts(), "base_nll_gap": best.base_gap},
            "curve": [point.told() for point in points] if wanted.curve else [],
            "more_data_helps": helps,
            "doubling": doubling,
            "candidates": chosen_from.told(),
            "best": chosen_from.best,
            "threads": self._parts.threads,
            "versions": {
                "appliance": version("appliance"),
                "engine": f"{self._parts.engine} {variant.name}",
                "torch": best.done.torch,
            },
            "trained": iso(self._parts.clock.wall_us()),
            "seconds": round(time.monotonic() - begun, 1),
            "joules": meter.joules(),  # of the whole host; null where it does not tell
            "peak_mib": best.done.peak_bytes // plan.MIB,
            "adapter_sha256": hashlib.sha256(data).hexdigest(),
        }
        path = self._parts.directory / str(job.id) / ADAPTER
        bound = Base(model.digest, model.gguf_sha256)
        vet_adapter(data, None, bound.statement())  # what an import would refuse is not offered
        if chosen_from.classifier:
            files = {**files, document.FILE: chosen_from.classifier}
        await job.in_thread(_export, path, data, bound, told, files)
        for seed in told["seeds"]:  # the record has them all
            seed["losses"] = [point for point in seed["losses"] if point["dev"] is not None]
        return {"answer": conclusion(told)[0], **told, "adapter": str(path)}

    def _order(self, given: _Given, facts: GgufFacts, chosen: Settings) -> Order:
        """What the trainer is to do. Raises TuningRefused for rows that would teach otherwise."""
        every = [*given.rows, *given.dev]
        rows.check(every, stop=given.stop, begin=given.begin, longest=chosen.longest)
        return Order(
            settings=chosen,
            rows=given.rows,
            dev=given.dev,
            frozen=given.frozen(),
            threads=self._parts.threads,
            most_bytes=self._memory(facts, chosen).trainer + _SLACK,
        )

    async def _proved(self, one: _Run, served: Served) -> _Proved:
        """Train each seed, and prove that the best one serves as it was trained."""
        given, subject = one.given, one.given.subject
        untrained = await served.scores(one.order.frozen)
        trained = await self._seeds(one, untrained)
        best = min(trained, key=lambda seed: (seed.dev_nats, seed.seed))
        one.job.report("proving", 0, 1)
        again = await _given(served, subject, given.dev_items)
        same_rows(given.rows, again.rows, best)
        data = await one.job.in_thread(_file, best, one.model, one.order.settings, subject)
        async with _attached(served, data) as digest:
            scores = best.done.scores
            proof = await prove(served, digest, given.dev, scores, form_of(subject.loaded))
        return _Proved(trained, best, data, proof, untrained)

    async def _curve(
        self, one: _Run, served: Served, untrained: Sequence[Scored]
    ) -> list[curve.Point]:
        """What shares of the rows reach on dev, as they serve, with the first seed."""
        if not one.wanted.curve:
            return []
        points = []
        for share in curve.SHARES:
            part = msgspec.structs.replace(one.order, rows=curve.part(one.order.rows, share))
            trained = await self._train(one, part, f"-{share:.0%}", untrained)
            chosen = one.order.settings
            data = await one.job.in_thread(_file, trained, one.model, chosen, one.given.subject)
            found = await _measured(one, served, data, beside=False)
            points.append(curve.Point(share, len(part.rows), found.outcomes))
        return points

    def _memory(self, facts: GgufFacts, chosen: Settings) -> plan.Memory:
        adapter = plan.adapter_numbers(facts, chosen) * 2
        variant = self._parts.variant()
        server = memory(facts, chosen.longest, variant, adapter)
        return plan.memory(facts, chosen, server.total)

    async def _tried(self, one: _Run, served: Served, begun: float) -> _Tried:
        """What a few rows of all that would be done take, but for the measurement on dev."""
        read = time.monotonic() - begun
        order = one.order
        steps = plan.work(order.rows, order.dev, order.settings).steps
        few = msgspec.structs.replace(order, trial=min(_TRIAL, steps))
        found = await trial(one.model.sealed, few, self._parts.tuning_set, one.report)
        scoring = time.monotonic()
        await served.scores(order.frozen)
        proving = time.monotonic()
        sample = order.dev[:_SAMPLE]
        async with _attached(served, _blank(one.model.facts, order.settings)) as digest:
            await rehearsed(served, digest, sample)
        row = (time.monotonic() - proving) / len(sample)
        return _Tried(found, read + proving - scoring, row)

    async def _planned(self, one: _Run, served: Served, tried: _Tried) -> JsonObject:
        """What it would take."""
        order, found = one.order, tried.trial
        computed = plan.work(order.rows, order.dev, order.settings, one.wanted.seeds)
        needs = self._memory(one.model.facts, order.settings)
        sample, begun = order.dev[:_SAMPLE], time.monotonic()
        async with _attached(served, _blank(one.model.facts, order.settings)) as digest:
            await rehearsal(served, digest, one.given.subject.loaded, sample)
        row = tried.row + (time.monotonic() - begun) / len(sample)
        pace = Pace(tried.read, found.begin, found.token, row)
        return {
            "rows": len(order.rows),
            "dev": len(order.dev),
            "steps": computed.steps,
            "tokens": computed.tokens,
            "longest": max(len(row.tokens) for row in (*order.rows, *order.dev)),
            "seconds": round(computed.seconds(pace), 1),
            "pace": {name: round(value, 4) for name, value in asdict(pace).items()},
            "memory_mib": needs.total // plan.MIB,
            "server_mib": needs.server // plan.MIB,
            "memory": needs.describe(),
            "trainer_peak_mib": found.peak // plan.MIB,
            "settings": msgspec.to_builtins(order.settings),
        }

    async def _seeds(self, one: _Run, untrained: Sequence[Scored]) -> list[Trained]:
        trained = []
        for number in range(one.wanted.seeds):
            chosen = one.order.settings
            chosen = msgspec.structs.replace(chosen, seed=chosen.seed + number)
            order = msgspec.structs.replace(one.order, settings=chosen)
            trained.append(await self._train(one, order, "", untrained))
        return trained

    async def _train(
        self, one: _Run, order: Order, of: str, untrained: Sequence[Scored]
    ) -> Trained:
        directory = self._parts.directory / str(one.job.id)
        await one.job.in_thread(partial(directory.mkdir, 0o700, parents=True, exist_ok=True))
        return await train(
            one.model.sealed,
            one.model.gguf_sha256,
            order,
            self._parts.tuning_set,
            Files(directory, order.settings.seed, of),
            untrained,
            one.report,
            self._parts.busy,
        )


def _wanted(params: JsonObject) -> Wanted:
    try:
        wanted = msgspec.convert(params, Wanted)
    except msgspec.ValidationError as error:
        raise TuningRefused("tuning_invalid", f"Parameters: {error}.") from error
    if not (1 <= wanted.seeds <= 16 and wanted.limit >= 0 and wanted.dev >= 1):
        raise TuningRefused("tuning_invalid", "Parameters: seeds are 1 to 16, dev is at least 1.")
    return wanted


def _base(wanted: Wanted, task: definition.Task) -> str:
    """The base that is named, or else the model that answers for the task."""
    own = task.candidate
    if not wanted.base and own.kind == "classifier":
        raise TuningRefused("tuning_invalid", "A classifier answers for the task: name a base.")
    return wanted.base or own.model


def _definition(wanted: Wanted) -> definition.Task:
    """The definition alone; of the task nothing else is read yet."""
    try:
        text = (Path(wanted.task) / definition.FILE).read_bytes()
    except OSError as error:
        raise TuningRefused("tuning_invalid", f"{definition.FILE}: {error.strerror}.") from error
    return definition.parse(text)


def _task_files(directory: Path, task: definition.Task) -> dict[str, bytes]:
    """The files of a task that a candidate of it needs, whatever answers: all but coefficients."""
    named = [definition.FILE, task.prompt.examples]
    if isinstance(task.output, definition.Fields):
        named.append(task.output.schema)
    with open_artifact(directory) as artifact:
        return {name: artifact.prefix(name, MAX_FILE) for name in named if name is not None}


def _split(wanted: Wanted, split: str) -> Evaluated:
    limit = wanted.limit if split == "train" else wanted.dev
    return Evaluated(wanted.task, wanted.data, split, limit=limit)


async def _given(served: Served, subject: Subject, dev: tuple[Item, ...]) -> _Given:
    """The rows of both splits.

    Raises:
        TuningRefused: `tuning_rows` when there are too few.
    """
    stop, begin = await examples.stop_token(served), await served.begin()
    learned = await examples.rows(served, subject.loaded, subject.items, stop)
    chosen = await examples.rows(served, subject.loaded, dev, stop)
    if len(learned) < _FEWEST or len(chosen) < _FEWEST:
        raise TuningRefused(
            "tuning_rows",
            f"{len(learned)} rows of train and {len(chosen)} of dev are too few: each split "
            f"needs {_FEWEST}.",
        )
    named = {row.item for row in learned}
    items = tuple(item for item in subject.items if item.id in named)
    return _Given(subject, items, dev, learned, chosen, stop, begin)


def _file(best: Trained, model: VerifiedModel, chosen: Settings, subject: Subject) -> bytes:
    matrices = {
        name: np.frombuffer(matrix.data, "<f4").reshape(matrix.shape)
        for name, matrix in best.done.matrices.items()
    }
    name = f"{subject.loaded.task.id} v{subject.loaded.task.version}"
    architecture = model.facts.architecture
    return adapter_file.write(matrices, architecture=architecture, name=name, alpha=chosen.alpha)


def _sealed(data: bytes) -> SealedFile:
    memory_file = os.memfd_create("adapter", os.MFD_CLOEXEC)
    write_all(memory_file, memoryview(data))
    return seal_and_close(memory_file, "adapter.gguf")


async def _measured(one: _Run, served: Served, data: bytes, *, beside: bool = True) -> Measured:
    """What the adapter is worth on dev, for fields beside the untuned model."""
    given = one.given
    asked = given.subject.loaded, given.dev_items, given.dev
    async with _attached(served, data) as digest:
        found = await measured(served, digest, *asked)
    if beside and isinstance(given.subject.loaded.task.output, definition.Fields):
        before = await measured(served, "", *asked)
        found = replace(found, untuned=before.outcomes)
    return found


def _blank(facts: GgufFacts, chosen: Settings) -> bytes:
    """An adapter that changes nothing: with it the engine takes as long as with a trained one."""
    matrices = adapter_file.zeros(facts, chosen.rank)
    return adapter_file.write(
        matrices, architecture=facts.architecture, name="blank", alpha=chosen.alpha
    )


@contextlib.asynccontextmanager
async def _attached(served: Served, data: bytes) -> AsyncIterator[str]:
    """An adapter beside the base; its digest."""
    digest = hashlib.sha256(data).hexdigest()
    with contextlib.closing(_sealed(data)) as sealed:
        await served.attach(digest, sealed)
        yield digest


def _export(
    path: Path, data: bytes, bound: Base, told: JsonObject, files: Mapping[str, bytes]
) -> None:
    """Write the adapter, and beside it the files of the task that it was trained for.

    Raises:
        TuningRefused: `tuning_checkpoint` when the disk refuses.
    """
    try:
        task = path.with_name(TASK)
        task.mkdir(mode=0o750, exist_ok=True)
        for name, content in files.items():
            durable.replace(task / name, content, 0o640)
        path.mkdir(mode=0o750, exist_ok=True)
        durable.replace(path / "adapter.gguf", data, 0o640)
        durable.replace(path / STATEMENT_FILE, bound.statement(), 0o640)
        durable.replace(path / record.FILE, record.document(told), 0o640)
    except OSError as error:
        raise TuningRefused("tuning_checkpoint", f"The adapter: {error.strerror}.") from error


def _quality(task: definition.Task, outcomes: Sequence[Outcome]) -> JsonObject:
    quality = summarise("adapter", outcomes, 0.0).quality
    return {
        "metric": task.gate.metric,
        "value": quality.value,
        "interval": list(quality.interval),
        "groups": quality.groups,
    }


def _told(
    given: _Given, chosen: Settings, trained: list[Trained], best: Trained, model: VerifiedModel
) -> JsonObject:
    subject = given.subject
    task = subject.loaded.task
    spread = [one.dev_nats for one in trained]
    return {
        "base": {"id": model.id, "oms_root": model.digest, "gguf_sha256": model.gguf_sha256},
        "task": {"id": task.id, "version": task.version, "digest": subject.loaded.digest},
        "data": {
            "digest": subject.data_digest,
            "train": len(given.rows),
            "taught": sum(item.teacher is not None for item in given.items),
            "teachers": sorted({item.teacher for item in given.items if item.teacher}),
            "dev": len(given.dev),
            "rows_sha256": rows.digest(given.rows),
            "dev_sha256": rows.digest(given.dev),
        },
        "settings": msgspec.to_builtins(chosen),
        "seeds": [
            {
                "seed": one.seed,
                "dev_nats": one.dev_nats,
                "best_step": one.done.best,
                "steps": one.done.steps,
                "train_seconds": round(one.seconds, 1),
                "losses": [msgspec.to_builtins(point) for point in one.curve],
            }
            for one in trained
        ],
        "seed": best.seed,
        "spread_nats": max(spread) - min(spread),
    }
