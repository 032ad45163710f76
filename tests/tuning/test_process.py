"""The job's end of the trainer: starting, freezing, refusing, cleaning up."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from appliance.errors import TuningRefused
from appliance.trust.bytes.sealed import SealedFile
from appliance.tuning.messages import Done, TrainerReady, TrainingStep
from appliance.tuning.process import check_set, trainer
from appliance.tuning.rows import digest
from tests.smol import until
from tests.tuning.runs import order, run


def test_a_directory_without_torch_is_no_tuning_set(tmp_path: Path) -> None:
    with pytest.raises(TuningRefused) as refused:
        check_set(tmp_path)
    assert refused.value.code == "tuning_set_missing"


@pytest.mark.tune
async def test_it_is_confined_and_reads_what_it_was_given(
    base: SealedFile, tuning_set: Path
) -> None:
    given = order()
    found = await run(base, given, tuning_set)
    ready, done = found[0], found[-1]
    assert isinstance(ready, TrainerReady)
    assert ready.base_sha256 == base.sha256 and ready.rows_sha256 == digest(given.rows)
    assert ready.confinement["seccomp"] and ready.confinement["no_new_privs"]
    assert int(ready.confinement["landlock"]) >= 1
    losses = [message.loss for message in found if isinstance(message, TrainingStep)]
    assert len(losses) == 3 and losses[-1] < losses[0]
    assert isinstance(done, Done) and done.steps == 3
    assert len(done.matrices) == 30 * 7 * 2
    assert done.matrices["blk.0.attn_k.weight.lora_b"].shape == (192, 4)


@pytest.mark.tune
async def test_it_is_frozen_while_requests_run(base: SealedFile, tuning_set: Path) -> None:
    requests = [True]
    before = _children()
    async with trainer(base, order(), tuning_set, lambda: bool(requests)) as said:
        (pid,) = _children() - before
        await until(lambda: _state(pid) == "T")
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        assert environment == b"CUDA_VISIBLE_DEVICES=\0"  # it computes with the processor alone
        requests.clear()
        kinds = [type(message) async for message in said]
    assert kinds[-1] is Done  # it continues where it was


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0]


@pytest.mark.tune
async def test_too_little_memory_is_a_refusal(base: SealedFile, tuning_set: Path) -> None:
    with pytest.raises(TuningRefused) as refused:
        await run(base, order(most_bytes=200 << 20), tuning_set)
    assert refused.value.code in ("tuning_memory", "tuning_failed")


@pytest.mark.tune
async def test_no_process_is_left_when_the_job_leaves(base: SealedFile, tuning_set: Path) -> None:
    before = _children()
    async with trainer(base, order(), tuning_set) as said:
        async for message in said:
            if isinstance(message, TrainingStep):
                break
        (pid,) = _children() - before
        os.kill(pid, signal.SIGSTOP)  # frozen is ended, too
    await asyncio.sleep(0)
    assert _children() == before


def _children() -> set[int]:
    return {int(p) for p in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}
