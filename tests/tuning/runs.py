"""Runs of the trainer itself on a sealed base, with rows of random tokens."""

import hashlib
import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from appliance.app import Services
from appliance.evals.parameters import EvaluationWanted
from appliance.evals.subject import ApprovedArtifacts, EvaluationSubject, read_subject
from appliance.trust.artifacts.store import load_policy
from appliance.trust.bytes.sealed import SealedFile, seal_and_close
from appliance.tuning import messages
from appliance.tuning.messages import Done, TrainingOrder
from appliance.tuning.process import trainer
from appliance.tuning.rows import TokenRow
from appliance.tuning.settings import TuneSettings

SETTINGS = {"rank": 8, "batch": 8, "epochs": 2, "warmup": 2, "longest": 128, "tokens": 512}
"""Of a run that a test can wait for."""


def sealed(path: Path) -> SealedFile:
    return seal_and_close(os.open(path, os.O_RDONLY | os.O_CLOEXEC), path.name)


async def tuned(services: Services, params: dict[str, Any]) -> dict[str, Any]:
    live = await services.jobs.start("tune", params, "uid:0")
    return (await live.outcome()).document


def subject_of(services: Services, wanted: EvaluationWanted) -> EvaluationSubject:
    store = ApprovedArtifacts(services.store, lambda: load_policy(services.data / "trust"))
    return read_subject(store, wanted)


def order(steps: int = 3, **change: object) -> TrainingOrder:
    """Rows of random tokens, so that only the trainer is needed."""
    noise = np.random.default_rng(5)
    rows = tuple(
        TokenRow(f"r{n}", (1, 9, *map(int, noise.integers(100, 4000, 4 + n % 5))), (300 + n % 3, 2))
        for n in range(4 * steps)
    )
    settings = TuneSettings(
        rank=4, batch=4, epochs=1, evaluations=1, warmup=1, tokens=64, longest=32
    )
    made = TrainingOrder(
        settings, rows, rows[:6], rows[:2], threads=1, most_bytes=8 << 30, every_s=0
    )
    return msgspec.structs.replace(made, **change)


async def run(
    base: SealedFile, order: TrainingOrder, tuning_set: Path
) -> list[messages.FromTrainer]:
    async with trainer(base, order, tuning_set) as said:
        return [message async for message in said]


def only(kind: type, found: list[messages.FromTrainer]) -> list[messages.FromTrainer]:
    return [message for message in found if isinstance(message, kind)]


def weights(found: list[messages.FromTrainer]) -> str:
    done = found[-1]
    assert isinstance(done, Done)
    return hashlib.sha256(msgspec.msgpack.encode(done.matrices)).hexdigest()
