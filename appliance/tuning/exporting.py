"""Output of a tuning in `DATA/tuning/JOB/`: the adapter with its record, its task, its outcomes."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from appliance.datasets.duplicates import plain
from appliance.errors import TuningRefused
from appliance.evals.outcomes import Outcome
from appliance.evals.summary import summarise
from appliance.host import at_rest
from appliance.tasks import definition
from appliance.trust.artifacts.adapter import STATEMENT_FILE, Base
from appliance.trust.artifacts.verified import VerifiedModel
from appliance.trust.bytes import durable
from appliance.trust.bytes.directory import sync_directory
from appliance.tuning import dev_outcomes, record, rows
from appliance.tuning.forgetting import Forgotten
from appliance.tuning.proof import AdapterProof
from appliance.tuning.settings import TuneSettings
from appliance.tuning.training import Trained
from appliance.tuning.training_data import TrainingItems
from appliance.wire.admin.results import (
    BaseNamed,
    DevQuality,
    LossPoint,
    RowsLearned,
    SeedTrained,
    TaskNamed,
    TrainingRecord,
    TrainingSources,
    TuningChecks,
)

DIRECTORY: Final = "tuning"
ADAPTER: Final = "adapter"
TASK: Final = "task"
_PART: Final = "export.part"


def export(
    directory: Path,
    data: bytes,
    bound: Base,
    told: TrainingRecord,
    files: Mapping[str, bytes],
    outcomes: bytes,
) -> Path:
    """Write all or nothing; returns the adapter's directory.

    Args:
        directory: `DATA/tuning/JOB`.

    Raises:
        TuningRefused: `tuning_checkpoint` when the disk refuses.
    """
    parts: dict[str, Mapping[str, bytes]] = {
        TASK: files,
        ADAPTER: {
            "adapter.gguf": data,
            STATEMENT_FILE: bound.statement(),
            record.FILE: record.document(told),
        },
    }
    whole = directory / _PART
    try:
        shutil.rmtree(whole, ignore_errors=True)  # of an export that a crash interrupted
        for part, contents in parts.items():
            (whole / part).mkdir(mode=0o750, parents=True)
            for name, content in contents.items():
                path = whole / part / name
                kept = at_rest.sealed(path, content) if part == TASK else content  # it has examples
                durable.replace(path, kept, 0o640)
        durable.replace(whole / dev_outcomes.FILE, outcomes, 0o640)
        (whole / dev_outcomes.FILE).rename(directory / dev_outcomes.FILE)
        for part in parts:  # the adapter at last
            shutil.rmtree(directory / part, ignore_errors=True)
            (whole / part).rename(directory / part)
        sync_directory(directory)
    except OSError as error:
        raise TuningRefused("tuning_checkpoint", f"The adapter: {error.strerror}.") from error
    finally:
        shutil.rmtree(whole, ignore_errors=True)
    return directory / ADAPTER


def quality(task: definition.Task, outcomes: Sequence[Outcome]) -> DevQuality:
    """The metric on dev with its interval."""
    found = summarise("adapter", outcomes, 0.0).quality
    return DevQuality(
        metric=task.gate.metric,
        value=found.value,
        interval=found.interval,
        groups=found.groups,
    )


def checks(proof: AdapterProof, base_gap: float, lost: Forgotten, most: float) -> TuningChecks:
    """Collect measurements; `most` is the allowed loss besides the task, in nats a token."""
    return TuningChecks(
        token_ids=True,
        nll_gap=proof.gap.nats,
        nll_gap_most=proof.gap.most,
        nll_gap_error=proof.gap.error,
        nll_trained=proof.gap.trained,
        nll_served=proof.gap.served,
        greedy_places=proof.sure,
        stop_token=proof.stopped,
        base_nll_gap=base_gap,
        texts=lost.lost.groups,
        texts_untuned=lost.untuned,
        texts_tuned=lost.tuned,
        forgotten=lost.lost.value,
        forgotten_interval=lost.lost.interval,
        forgotten_most=most,
    )


def sources(
    given: TrainingItems,
    chosen: TuneSettings,
    trained: list[Trained],
    best: Trained,
    model: VerifiedModel,
    judged: int,
) -> TrainingSources:
    """All that the adapter follows from.

    Args:
        judged: learned groups that judge later under another name.
    """
    subject = given.subject
    task = subject.loaded.task
    spread = [one.dev_nats for one in trained]
    learned = {plain(item.text) for item in given.items}
    return TrainingSources(
        base=BaseNamed(id=model.id, oms_root=model.digest, gguf_sha256=model.gguf_sha256),
        task=TaskNamed(id=task.id, version=task.version, digest=subject.loaded.digest),
        data=RowsLearned(
            digest=subject.data_digest,
            draft="dataset" in subject.drafts,
            train=len(given.rows),
            taught=sum(item.teacher is not None for item in given.items),
            teachers=sorted({item.teacher for item in given.items if item.teacher}),
            dev=len(given.dev),
            dev_seen=sum(plain(item.text) in learned for item in given.dev_items),
            judged_seen=judged,
            rows_sha256=rows.digest(given.rows),
            dev_sha256=rows.digest(given.dev),
        ),
        settings=msgspec.to_builtins(chosen),
        seeds=[
            SeedTrained(
                seed=one.seed,
                dev_nats=one.dev_nats,
                best_step=one.done.best,
                steps=one.done.steps,
                train_seconds=round(one.seconds, 1),
                losses=[LossPoint(step=p.step, loss=p.loss, dev=p.dev) for p in one.curve],
            )
            for one in trained
        ],
        seed=best.seed,
        spread_nats=max(spread) - min(spread),
    )
