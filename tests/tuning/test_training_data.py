"""Training and dev data: enough rows of both splits, and text that is scored once."""

from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from appliance.app import Services
from appliance.errors import TuningRefused
from appliance.tuning import training_data
from appliance.tuning.parameters import TuneWanted
from appliance.tuning.rows import TokenRow
from appliance.tuning.served import serving
from appliance.tuning.training_data import TrainingItems
from tests.smol import sealed
from tests.tuning.foreign import changed
from tests.tuning.runs import subject_of

ROWS = tuple(TokenRow(f"r{n}", (1, 5, 6, n), (7, 2)) for n in range(3))
ANY = TrainingItems(None, (), (), ROWS[1:], ROWS[:1], stop=2, begin=1)  # type: ignore[arg-type] # no task


def test_what_all_rows_share_is_scored_for_none() -> None:
    frozen = ANY.frozen()
    assert [row.item for row in frozen] == ["r0", "r1", "r2"]  # dev first
    assert {row.prompt for row in frozen} == {(1, 5, 6)}
    assert frozen[1].answer == (1, 7, 2)
    many = replace(ANY, rows=tuple(TokenRow(str(n), (1, 5, 6, n), (7,) * 1_000) for n in range(9)))
    assert len(many.frozen()) == 5  # about four thousand tokens are enough


def test_rows_are_held_to_their_stop_and_begin() -> None:
    ANY.check(longest=6)
    for read, longest, code in (
        (ANY, 5, "tuning_row_too_long"),
        (replace(ANY, stop=7), 6, "tuning_stop_untrained"),
        (replace(ANY, dev=(TokenRow("b", (1, 1, 5), (7, 2)),)), 6, "tuning_double_begin"),
    ):
        with pytest.raises(TuningRefused) as refused:
            read.check(longest)
        assert refused.value.code == code


async def test_too_few_rows_and_rows_that_begin_twice_are_refused(
    services: Services, task: Path, data: Path, default_model_path: Path, tmp_path: Path
) -> None:
    wanted = TuneWanted(str(task), str(data), limit=8, dev=8)
    train, dev = (subject_of(services, wanted.split(name)) for name in ("train", "dev"))
    key = "tokenizer.ggml.add_bos_token"
    base = changed(default_model_path, tmp_path / "b.gguf", key, b"\7\0\0\0\0", b"\7\0\0\0\1")
    model, variant = sealed(services), services.supervisor.variant.get()
    # The tokeniser adds the begin token, and the template writes it, too.
    twice = structs.replace(model.facts, chat_template=f"<|im_start|>{model.facts.chat_template}")
    async with serving(replace(model, sealed=base, facts=twice), 256, variant, 1) as served:
        found = await training_data.read(served, train, dev.items)
        fewer = replace(train, items=train.items[:7])
        for subject, items in ((fewer, dev.items), (train, dev.items[:7])):
            with pytest.raises(TuningRefused, match="7") as refused:
                await training_data.read(served, subject, items)
            assert refused.value.code == "tuning_rows"
    base.close()
    model.close()
    assert [row.item for row in found.dev] == [item.id for item in dev.items]
    assert found.begin == 1 and {row.prompt[:2] for row in found.rows} == {(1, 1)}
    with pytest.raises(TuningRefused) as refused:
        found.check(256)
    assert refused.value.code == "tuning_double_begin"
