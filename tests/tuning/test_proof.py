"""The proof on a real adapter: it passes as trained, and each planted fault has its code."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from appliance.app import Services
from appliance.errors import TuningRefused
from appliance.trust.artifacts.verified import VerifiedModel
from appliance.tuning import checks, phases, training, training_data
from appliance.tuning.messages import TrainingOrder
from appliance.tuning.parameters import TuneWanted
from appliance.tuning.proof import ends, prove
from appliance.tuning.rows import TokenRow
from appliance.tuning.served import Served, attached, serving
from appliance.tuning.settings import TuneSettings
from appliance.tuning.training_data import TrainingItems
from tests.requantised import as_q4_0
from tests.smol import quiet
from tests.smol import sealed as sealed_model
from tests.tuning.runs import SETTINGS, sealed, subject_of

pytestmark = [pytest.mark.tune, pytest.mark.timeout(900)]


class Planted:
    def __init__(self, model: VerifiedModel, read: TrainingItems, best: training.Trained) -> None:
        self.model, self.given, self.best = model, read, best

    async def prove(self, served: Served, data: bytes) -> None:
        async with attached(served, data) as digest:
            dev = self.given.dev
            await prove(served, digest, dev, self.best.done.scores)
            scored = await served.scores(dev, digest)
            written = await served.answers(dev, digest)
            assert any(one.written for one in scored)  # these were not written again
            every = [(row.item, ended) for row, (_, ended) in zip(dev, written, strict=True)]
            assert await ends(served, digest, dev, scored) == every

    def file(self, best: training.Trained | None = None) -> bytes:
        chosen = TuneSettings(**SETTINGS)  # type: ignore[arg-type] # numbers
        return phases.file_of(best or self.best, self.model, chosen, self.given.subject)


async def trained(
    services: Services, task: Path, data: Path, tuning_set: Path, rows: Any = None
) -> tuple[Planted, Any]:
    """Train once, with the server's rows or planted ones."""
    wanted = TuneWanted(str(task), str(data), dev=12)
    subject = subject_of(services, wanted.split("train"))
    dev = subject_of(services, wanted.split("dev")).items
    model = sealed_model(services)
    variant = services.supervisor.variant.get()
    async with serving(model, 128, variant, 1) as served:
        read = await training_data.read(served, subject, dev)
        untrained = await served.scores(read.frozen())
    order = TrainingOrder(
        settings=TuneSettings(**SETTINGS),  # type: ignore[arg-type] # numbers
        rows=rows(read) if rows else read.rows,
        dev=read.dev,
        frozen=read.frozen(),
        threads=1,
        most_bytes=8 << 30,
    )
    path = data.parent / "seeds"
    path.mkdir()
    best = await training.train(
        model.sealed,
        model.gguf_sha256,
        order,
        tuning_set,
        training.SeedFiles(path, 0),
        untrained,
        quiet,
    )
    return Planted(model, read, best), order


async def test_planted_faults_are_refused_by_the_proof(
    opened: Services, task: Path, orders: Path, tuning_set: Path, tmp_path: Path,
    default_model_path: Path,
) -> None:  # fmt: skip
    planted, order = await trained(opened, task, orders, tuning_set)
    variant = opened.supervisor.variant.get()
    model, good = planted.model, planted.file()
    async with serving(model, 128, variant, 1) as served:
        await planted.prove(served, good)  # the control: nothing planted passes
        scale = {
            name: msgspec.structs.replace(m, data=bytes(len(m.data))) if "lora_b" in name else m
            for name, m in planted.best.done.matrices.items()
        }
        done = msgspec.structs.replace(planted.best.done, matrices=scale)
        lost = msgspec.structs.replace(planted.best, done=done)
        assert await _code(planted.prove(served, planted.file(lost))) == "tuning_nll_gap"
    # Another quantisation serves than was trained on.
    other = sealed(as_q4_0(default_model_path, tmp_path / "other.gguf"))
    async with serving(replace(model, sealed=other), 128, variant, 1) as served:
        assert await _code(planted.prove(served, good)) == "tuning_nll_gap"
        untrained = await served.scores(order.frozen)
    files = training.SeedFiles(tmp_path, 1)
    # Another base was read, and the trainer says so; or it says nothing, and computes another.
    run = training.train(other, model.gguf_sha256, order, tuning_set, files, untrained, quiet)
    assert await _code(run) == "tuning_base_differs"
    run = training.train(
        model.sealed, model.gguf_sha256, order, tuning_set, files, untrained, quiet
    )
    assert await _code(run) == "tuning_nll_gap"
    other.close()
    model.close()


async def test_an_adapter_that_never_learned_to_stop_is_refused(
    opened: Services, task: Path, orders: Path, tuning_set: Path
) -> None:
    def endless(read: TrainingItems) -> tuple[TokenRow, ...]:
        return tuple(
            TokenRow(r.item, r.prompt, (*r.answer[:-1], *r.answer[:-1])) for r in read.rows
        )

    planted, _ = await trained(opened, task, orders, tuning_set, endless)
    variant = opened.supervisor.variant.get()
    async with serving(planted.model, 128, variant, 1) as served:
        async with attached(served, planted.file()) as digest:
            scored = await served.scores(planted.given.dev, digest)
            found = await ends(served, digest, planted.given.dev, scored)
        again = await training_data.read(served, planted.given.subject, planted.given.dev_items)
    with pytest.raises(TuningRefused) as refused:
        checks.check_stops(found)
    assert refused.value.code == "tuning_not_stopping"
    with pytest.raises(TuningRefused) as refused:
        rows = endless(planted.given)
        checks.check_tokens(rows, again.rows, planted.best.ready.rows_sha256)
    assert refused.value.code == "tuning_tokens_differ"
    planted.model.close()


async def _code(work: Any) -> str:
    with pytest.raises(TuningRefused) as refused:
        await work
    return refused.value.code
