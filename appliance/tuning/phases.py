"""The phases of a tuning that trains: each seed, the proof of the best one, dev, the curve."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import msgspec
import numpy as np

from appliance.errors import TuningRefused
from appliance.evals.subject import EvaluationSubject
from appliance.jobs.kind import Context
from appliance.tasks import definition
from appliance.trust.artifacts.verified import VerifiedModel
from appliance.tuning import adapter_file, curve, forgetting
from appliance.tuning.checks import Scored, check_tokens
from appliance.tuning.dev_quality import DevMeasured, form_of, measured
from appliance.tuning.forgetting import Forgotten, forgotten
from appliance.tuning.messages import TrainingOrder
from appliance.tuning.parameters import TuneWanted
from appliance.tuning.proof import AdapterProof, prove
from appliance.tuning.served import Served, attached
from appliance.tuning.services import TuningParts
from appliance.tuning.settings import TuneSettings
from appliance.tuning.training import SeedFiles, Trained, train
from appliance.tuning.training_data import TrainingItems, read
from appliance.types import Report

UNTRAINED: Final = "scoring the untrained model"


@dataclass(frozen=True)
class TuningRun:
    """Common state of one tuning's phases."""

    parts: TuningParts
    job: Context[TuneWanted]
    wanted: TuneWanted
    model: VerifiedModel
    order: TrainingOrder
    given: TrainingItems
    report: Report


@dataclass(frozen=True)
class Proved:
    """Result of training: each seed, the best one and its file.

    Attributes:
        lost: loss on texts besides the task.
        untrained: the engine's scores of the frozen text by the base.
    """

    trained: list[Trained]
    best: Trained
    data: bytes
    proof: AdapterProof
    lost: Forgotten
    untrained: Sequence[Scored]


async def proved(run: TuningRun, served: Served) -> Proved:
    """Train each seed, and prove the best.

    Args:
        served: reproducible.

    Raises:
        TuningRefused: `tuning_tokens_differ` where the server renders a row differently now.
    """
    given, subject = run.given, run.given.subject
    run.report(UNTRAINED, 0, 0)
    untrained = await served.scores(run.order.frozen)
    trained = [await _seed(run, number, untrained) for number in range(run.wanted.seeds)]
    best = min(trained, key=lambda seed: (seed.dev_nats, seed.seed))
    run.report("proving", 0, 0)
    again = await read(served, subject, given.dev_items)
    check_tokens(given.rows, again.rows, best.ready.rows_sha256)
    data = await run.job.in_thread(file_of, best, run.model, run.order.settings, subject)
    async with attached(served, data) as digest:
        scores = best.done.scores
        found = await prove(served, digest, given.dev, scores, form_of(subject.loaded))
        fixed = await forgetting.texts(served, given.begin, run.order.settings.longest)
        lost = await forgotten(served, digest, fixed)
        forgetting.check(lost, run.wanted.most_forgotten)
    return Proved(trained, best, data, found, lost, untrained)


async def on_dev(
    run: TuningRun, served: Served, data: bytes, *, beside: bool = True
) -> DevMeasured:
    """Measure an adapter.

    Args:
        served: as for apps.
        beside: measure the untuned model of fields, too.
    """
    given = run.given
    asked = given.subject.loaded, given.dev_items, given.dev
    async with attached(served, data) as digest:
        found = await measured(served, digest, *asked)
    if beside and isinstance(given.subject.loaded.task.output, definition.JsonForm):
        before = await measured(served, "", *asked)
        found = replace(found, untuned=before.outcomes)
    return found


async def fewer_rows(
    run: TuningRun, served: Served, untrained: Sequence[Scored]
) -> list[curve.LearningPoint]:
    """With the first seed, as served."""
    if not run.wanted.curve:
        return []
    points = []
    for share in curve.SHARES:
        part = msgspec.structs.replace(run.order, rows=curve.part(run.order.rows, share))
        trained = await _train(run, part, f"-{share:.0%}", untrained)
        chosen, subject = run.order.settings, run.given.subject
        data = await run.job.in_thread(file_of, trained, run.model, chosen, subject)
        found = await on_dev(run, served, data, beside=False)
        points.append(curve.LearningPoint(share, len(part.rows), found.outcomes))
    return points


def file_of(
    trained: Trained, model: VerifiedModel, chosen: TuneSettings, subject: EvaluationSubject
) -> bytes:
    """The adapter's file."""
    matrices = {
        name: np.frombuffer(matrix.data, "<f4").reshape(matrix.shape)
        for name, matrix in trained.done.matrices.items()
    }
    name = f"{subject.loaded.task.id} v{subject.loaded.task.version}"
    architecture = model.facts.architecture
    return adapter_file.write(matrices, architecture=architecture, name=name, alpha=chosen.alpha)


async def _seed(run: TuningRun, number: int, untrained: Sequence[Scored]) -> Trained:
    """Counted from the settings' seed."""
    chosen = run.order.settings
    chosen = msgspec.structs.replace(chosen, seed=chosen.seed + number)
    return await _train(run, msgspec.structs.replace(run.order, settings=chosen), "", untrained)


async def _train(
    run: TuningRun, order: TrainingOrder, of: str, untrained: Sequence[Scored]
) -> Trained:
    directory = run.parts.directory / str(run.job.id)
    try:
        await run.job.in_thread(partial(directory.mkdir, 0o700, parents=True, exist_ok=True))
    except OSError as error:
        raise TuningRefused("tuning_checkpoint", f"{directory}: {error.strerror}.") from error
    return await train(
        run.model.sealed,
        run.model.gguf_sha256,
        order,
        run.parts.tuning_set,
        SeedFiles(directory, order.settings.seed, of),
        untrained,
        run.report,
        run.parts.busy,
    )
