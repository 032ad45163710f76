"""The files of a seed: a checkpoint replaces the last one, or not at all."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from appliance.errors import TuningRefused
from appliance.jobs.kind import Context, Stop
from appliance.trust.bytes import durable
from appliance.tuning import checks, losses, messages, training
from appliance.tuning.parameters import TuneWanted
from appliance.tuning.rows import digest
from tests.smol import quiet
from tests.tuning.runs import order
from tests.tuning.trained import trained


def test_a_full_disk_at_a_checkpoint_ends_it_and_keeps_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = training.SeedFiles(tmp_path, 0)
    files.keep(training._CheckpointMeta(b"first", [], 0.0, 1.0))

    def full(path: Path, data: bytes, mode: int = 0o600) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable, "replace", full)
    with pytest.raises(TuningRefused, match="No space left") as refused:
        files.keep(training._CheckpointMeta(b"second", [], 0.0, 2.0))
    assert refused.value.code == "tuning_checkpoint"
    kept = files.kept()
    assert kept is not None and kept.data == b"first"


def test_losses_are_told_as_they_come_and_a_full_disk_ends_it(tmp_path: Path) -> None:
    files = training.SeedFiles(tmp_path, 3, "-25%")
    files.tell([training.Curve(1, 2.5)], again=True)
    files.tell([training.Curve(2, 2.0, 1.5)])
    assert [(run.name, len(run.points)) for run in losses.read(tmp_path)] == [("seed-3-25%", 2)]
    with pytest.raises(TuningRefused) as refused:
        training.SeedFiles(tmp_path / "gone", 3).tell([training.Curve(1, 2.5)])
    assert refused.value.code == "tuning_checkpoint"


@pytest.mark.parametrize(
    ("base", "rows", "code"),
    [
        ("ab" * 32, digest(order().rows), ""),
        ("00" * 32, digest(order().rows), "tuning_base_differs"),
        ("ab" * 32, digest(order().rows[1:]), "tuning_tokens_differ"),
    ],
)
async def test_a_seed_that_is_done_is_used_for_its_own_base_and_rows(
    tmp_path: Path, base: str, rows: str, code: str
) -> None:
    files, done = training.SeedFiles(tmp_path, 0), trained(base=base, rows=rows)
    files.keep_done(done)
    again = training.train(None, "ab" * 32, order(), tmp_path, files, [], quiet)  # type: ignore[arg-type] # no base is read
    if not code:
        assert await again == done
        return
    with pytest.raises(TuningRefused) as refused:
        await again
    assert refused.value.code == code


@pytest.mark.parametrize("said", [0, 1, 2])
async def test_each_phase_is_named_and_a_silent_trainer_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: int
) -> None:
    ready = messages.TrainerReady("ab" * 32, digest(order().rows), {})
    script: list[messages.FromTrainer] = [ready, messages.BaseLosses([])]
    told: list[str] = []
    over: list[bool] = []

    @contextlib.asynccontextmanager
    async def silent(*_: object) -> AsyncIterator[AsyncIterator[messages.FromTrainer]]:
        async def messages_() -> AsyncIterator[messages.FromTrainer]:
            for message in script[:said]:
                yield message
            cancelled.append(True)
            await asyncio.Event().wait()  # as a trainer that is frozen while requests run

        try:
            yield messages_()
        finally:
            over.append(True)

    cancelled: list[bool] = []

    def check() -> None:
        if cancelled:
            raise Stop("job_cancelled", "Job 1 was cancelled.")

    monkeypatch.setattr(training, "trainer", silent)
    monkeypatch.setattr(checks, "check_gap", lambda *_: None)
    monkeypatch.setattr(checks, "gap", lambda *_: SimpleNamespace(nats=0.0))
    job = Context(
        1, "uid:1", TuneWanted("t", "d"), None, False, 0, lambda *_: None, check, lambda _: None
    )
    files = training.SeedFiles(tmp_path, 0)
    base: Any = None  # it is not read
    work = training.train(
        base, "ab" * 32, order(), tmp_path, files, [], lambda phase, *_: told.append(phase)
    )
    with pytest.raises(Stop):
        await job.unless_stopped(work)
    phases = ["the trainer reads the base", "the trainer scores the untrained model"]
    assert told == [*phases, "training, seed 0"][: said + 1]
    assert over == [True]


@pytest.mark.parametrize("name", ["done", "checkpoint"])
def test_a_file_that_cannot_be_read_is_no_checkpoint(tmp_path: Path, name: str) -> None:
    files = training.SeedFiles(tmp_path, 0)
    assert files.done() is None and files.kept() is None
    (tmp_path / f"seed-0.{name}").write_bytes(b"\x93torn")
    with pytest.raises(TuningRefused, match=f"seed-0.{name} cannot be read") as refused:
        files.done(), files.kept()
    assert refused.value.code == "tuning_checkpoint"
