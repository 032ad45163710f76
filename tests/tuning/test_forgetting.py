"""What a tuned model forgets: fixed texts beside the task, and one that lost its language."""

import pytest

from appliance.app import Services
from appliance.errors import TuningRefused
from appliance.tuning import forgetting
from appliance.tuning.forgetting import Forgotten, forgotten
from appliance.tuning.served import Served, attached
from tests.lora import write_lora


@pytest.mark.parametrize(
    ("tuned", "passes"),
    [(2.0, True), (4.99, True), (5.01, False), (float("nan"), False), (float("inf"), False)],
)
def test_what_lost_more_than_is_allowed_is_refused(tuned: float, passes: bool) -> None:
    found = Forgotten(untuned=3.0, tuned=tuned)
    if passes:
        return forgetting.check(found, 2.0)
    with pytest.raises(TuningRefused) as refused:
        forgetting.check(found, 2.0)
    assert refused.value.code == "tuning_forgets"


def test_the_record_has_both_sides_and_the_limit() -> None:
    told = Forgotten(3.0, 3.5).facts(2.0)
    assert told == {
        "texts_untuned": 3.0, "texts_tuned": 3.5, "forgotten": 0.5, "forgotten_most": 2.0,
    }  # fmt: skip


async def test_a_model_that_lost_its_language_is_refused(
    services: Services, served: Served
) -> None:
    rows = await forgetting.texts(served, None, 96)
    assert len(rows) == 5 and {row.item[:9] for row in rows} == {"frozen-en", "frozen-de"}
    assert all(len(row.tokens) <= 96 and len(row.prompt) == 1 for row in rows)
    begun = await forgetting.texts(served, 7, 96)
    assert begun[0].tokens[:2] == (7, rows[0].tokens[0])
    assert (await forgotten(served, "", rows[:1])).nats == 0
    path = services.data.parent / "noise.gguf"
    write_lora(services.data / "models" / "smol" / "model.gguf", path, 3, strength=2.0)
    async with attached(served, path.read_bytes()) as digest:
        found = await forgotten(served, digest, rows[:1])
    path.unlink()
    with pytest.raises(TuningRefused) as refused:
        forgetting.check(found, forgetting.MOST)
    assert refused.value.code == "tuning_forgets" and 2 < found.untuned < 5
