"""What a tuning leaves in `DATA/tuning/JOB/`: the adapter with its record, its task, its outcomes.

Rules: the record names by digest or value all that the adapter follows from; the adapter, the
statement of its base and the record lie together, to be signed and imported like any adapter.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from appliance.errors import TuningRefused
from appliance.evals.outcomes import Outcome
from appliance.evals.summary import summarise
from appliance.jobs.kind import JsonObject
from appliance.tasks import definition
from appliance.trust import durable
from appliance.trust.adapter import STATEMENT_FILE, Base
from appliance.trust.verified import VerifiedModel
from appliance.tuning import dev_outcomes, record, rows
from appliance.tuning.given import Given
from appliance.tuning.settings import Settings
from appliance.tuning.training import Trained

DIRECTORY: Final = "tuning"
ADAPTER: Final = "adapter"
TASK: Final = "task"


def export(
    path: Path,
    data: bytes,
    bound: Base,
    told: JsonObject,
    files: Mapping[str, bytes],
    outcomes: bytes,
) -> None:
    """Write the adapter, and beside it its task and what it made of dev.

    Args:
        path: of the adapter's directory.
        data: the adapter's file.
        files: of the task that it was trained for.
        outcomes: `dev_outcomes.FILE`.

    Raises:
        TuningRefused: `tuning_checkpoint` when the disk refuses.
    """
    try:
        task = path.with_name(TASK)
        task.mkdir(mode=0o750, exist_ok=True)
        for name, content in files.items():
            durable.replace(task / name, content, 0o640)
        durable.replace(path.with_name(dev_outcomes.FILE), outcomes, 0o640)
        path.mkdir(mode=0o750, exist_ok=True)
        durable.replace(path / "adapter.gguf", data, 0o640)
        durable.replace(path / STATEMENT_FILE, bound.statement(), 0o640)
        durable.replace(path / record.FILE, record.document(told), 0o640)
    except OSError as error:
        raise TuningRefused("tuning_checkpoint", f"The adapter: {error.strerror}.") from error


def quality(task: definition.Task, outcomes: Sequence[Outcome]) -> JsonObject:
    """The metric on dev with its interval."""
    found = summarise("adapter", outcomes, 0.0).quality
    return {
        "metric": task.gate.metric,
        "value": found.value,
        "interval": list(found.interval),
        "groups": found.groups,
    }


def sources(
    given: Given, chosen: Settings, trained: list[Trained], best: Trained, model: VerifiedModel
) -> JsonObject:
    """What the adapter follows from: base, task, data, settings, and each seed's losses."""
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
