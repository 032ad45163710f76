"""Training: the same weights from the same order, over a crash, and an end at what is no number."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from appliance.errors import TuningRefused
from appliance.trust.bytes.sealed import SealedFile
from appliance.trust.gguf.reader import MAX_METADATA, Reader, read_header
from appliance.trust.gguf.tensors import places, read_tensors
from appliance.tuning.messages import BaseLosses, Done, TrainerCheckpoint, TrainingStep
from appliance.tuning.process import trainer
from tests.tuning.runs import only, order, run, sealed, weights


@pytest.mark.tune
async def test_one_seed_gives_one_digest_and_another_another(
    base: SealedFile, tuning_set: Path
) -> None:
    first, *again = [weights(await run(base, order(), tuning_set)) for _ in range(3)]
    assert again == [first, first]
    other = order(settings=msgspec.structs.replace(order().settings, seed=1))
    assert weights(await run(base, other, tuning_set)) != first


@pytest.mark.tune
async def test_computing_again_changes_nothing_but_memory(
    base: SealedFile, tuning_set: Path
) -> None:
    whole = await run(base, order(), tuning_set)
    chosen = msgspec.structs.replace(order().settings, recompute=True)
    again = await run(base, order(settings=chosen), tuning_set)
    assert weights(again) == weights(whole)


@pytest.mark.tune
async def test_killed_it_resumes_to_the_same_weights(base: SealedFile, tuning_set: Path) -> None:
    whole = await run(base, order(), tuning_set)
    kept = b""
    async with trainer(base, order(), tuning_set) as said:
        async for message in said:
            if isinstance(message, TrainerCheckpoint):
                kept = message.data
                break  # leaving kills it, with kill -9
    rest = await run(base, order(checkpoint=kept), tuning_set)
    assert [m.step for m in rest if isinstance(m, TrainingStep)] == [2, 3]
    assert weights(rest) == weights(whole)
    assert only(BaseLosses, rest) == []  # the untrained model was held against the server before


@pytest.mark.tune
async def test_it_stops_when_dev_gains_nothing_and_keeps_the_best(
    base: SealedFile, tuning_set: Path
) -> None:
    wild = msgspec.structs.replace(order().settings, rate=0.1, epochs=8, evaluations=3, patience=1)
    found = await run(base, order(settings=wild), tuning_set)
    on_dev = [m.dev for m in found if isinstance(m, TrainingStep) and m.dev is not None]
    done = found[-1]
    assert isinstance(done, Done) and done.steps == len(on_dev) < 24  # it was to take 24 steps
    assert done.best == done.steps - 1 and min(on_dev) == on_dev[-2] < on_dev[-1]


@pytest.mark.tune
async def test_a_checkpoint_of_another_run_is_refused(base: SealedFile, tuning_set: Path) -> None:
    found = await run(base, order(), tuning_set)
    kept = only(TrainerCheckpoint, found)[0]
    assert isinstance(kept, TrainerCheckpoint)
    for change in ({"threads": 2}, {"rows": order().rows[::-1]}):
        with pytest.raises(TuningRefused) as refused:
            await run(base, order(checkpoint=kept.data, **change), tuning_set)
        assert refused.value.code == "tuning_checkpoint"
    with pytest.raises(TuningRefused, match="cannot be read"):
        await run(base, order(checkpoint=b"\x93torn"), tuning_set)


def changed(
    path: Path,
    target: Path,
    name: str,
    change: Callable[[NDArray[np.uint8]], None],
) -> Path:
    data = bytearray(path.read_bytes())
    reader = Reader(bytes(data[:MAX_METADATA]), len(data))
    header = read_header(reader)
    for tensor, at in places(reader, header, read_tensors(reader, header)):
        if tensor.name == name:
            change(np.frombuffer(data, np.uint8, tensor.bytes, at))
    target.write_bytes(data)
    return target


@pytest.mark.tune
async def test_a_loss_that_is_no_number_ends_it(
    default_model_path: Path, tmp_path: Path, tuning_set: Path
) -> None:
    def poison(blocks: NDArray[np.uint8]) -> None:
        blocks.view("<f4")[0] = np.nan

    path = changed(default_model_path, tmp_path / "nan.gguf", "output_norm.weight", poison)
    bad = sealed(path)
    with pytest.raises(TuningRefused, match="At step 1 the loss is nan") as refused:
        await run(bad, order(), tuning_set)
    bad.close()
    assert refused.value.code == "tuning_not_finite"
