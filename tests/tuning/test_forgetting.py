"""Forgetting: fixed texts outside the task, and a model that lost its language."""

import pytest

from appliance.app import Services
from appliance.errors import TuningRefused
from appliance.tuning import exporting, forgetting
from appliance.tuning.checks import Gap, Scored
from appliance.tuning.forgetting import Forgotten, compared, forgotten
from appliance.tuning.proof import AdapterProof
from appliance.tuning.served import Served, attached
from tests.lora import write_lora


def found(*lost: float, tokens: int = 10) -> Forgotten:
    """Of texts with these numbers of tokens and losses a token."""
    untuned = [Scored((3.0,) * tokens, ()) for _ in lost]
    tuned = [Scored((3.0 + each,) * tokens, ()) for each in lost]
    return compared(untuned, tuned)


@pytest.mark.parametrize(
    ("lost", "passes"),
    [((0.4,) * 99, True), ((0.6,) * 99, False), ((0.1, 0.7) * 250, True), ((0.1, 0.7) * 3, False),
     ((float("nan"),) * 9, False), ((float("inf"),) * 9, False)],
)  # fmt: skip
def test_what_may_have_lost_more_than_is_allowed_is_refused(
    lost: tuple[float, ...], passes: bool
) -> None:
    """500 sentences show the mean of 0.4, six do not."""
    if passes:
        return forgetting.check(found(*lost), forgetting.MOST)
    with pytest.raises(TuningRefused) as refused:
        forgetting.check(found(*lost), forgetting.MOST)
    assert refused.value.code == "tuning_forgets"


def test_four_nats_a_token_were_allowed_and_half_a_nat_is() -> None:
    assert forgetting.MOST <= 0.5
    forgetting.check(found(*[1.3] * 500), 4.0)  # the control: a factor of 3.7 in perplexity
    with pytest.raises(TuningRefused) as refused:
        forgetting.check(found(*[1.3] * 500), forgetting.MOST)
    assert "it lost 1.30 to 1.30, and may lose 0.50" in refused.value.message


def test_texts_count_and_not_their_tokens() -> None:
    few, many = found(0.1, 0.7, tokens=5), found(0.1, 0.7, tokens=500)
    assert few.lost.interval == pytest.approx(many.lost.interval) and few.lost.groups == 2


def test_the_record_has_both_sides_the_interval_and_the_limit() -> None:
    told = exporting.checks(AdapterProof(Gap(0.1, 0.2), 1, 1.0), 0.0, found(0.4, 0.6), 2.0)
    assert told.forgotten_interval is not None
    low, high = told.forgotten_interval
    assert low == pytest.approx(0.5 - 1.96 * 0.1, abs=1e-3) and low + high == pytest.approx(1.0)
    assert (told.texts, told.forgotten_most) == (2, 2.0)
    measured = (told.texts_untuned, told.texts_tuned, told.forgotten)
    assert measured == pytest.approx((3.0, 3.5, 0.5))


async def test_a_model_that_lost_its_language_is_refused(
    services: Services, served: Served
) -> None:
    rows = await forgetting.texts(served, None, 96)
    assert len(rows) >= 500 and {row.item[:9] for row in rows} == {"beside-en", "beside-de"}
    assert all(len(row.tokens) <= 96 and len(row.prompt) == 1 for row in rows)
    begun = await forgetting.texts(served, 7, 96)
    assert begun[0].tokens[:2] == (7, rows[0].tokens[0])
    assert (await forgotten(served, "", rows[:2])).lost.value == 0
    path = services.data.parent / "noise.gguf"
    write_lora(services.data / "models" / "smol" / "model.gguf", path, 3, strength=2.0)
    async with attached(served, path.read_bytes()) as digest:
        lost = await forgotten(served, digest, rows[:40:4])
    path.unlink()
    with pytest.raises(TuningRefused) as refused:
        forgetting.check(lost, forgetting.MOST)
    assert refused.value.code == "tuning_forgets" and 2 < lost.untuned < 7
