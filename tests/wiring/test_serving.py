"""Use-cases of answers: those of apps end together, those of measurements by themselves."""

import pytest

from appliance.errors import StateRefused
from appliance.wiring.serving import ServingRoom


async def test_a_measurement_has_answers_of_its_own(serving: ServingRoom) -> None:
    alone = serving.answers(serving.backends)
    await serving.under_way.drain(0)
    assert serving.under_way.draining and not alone.draining


def test_what_is_not_here_has_no_digest(serving: ServingRoom) -> None:
    with pytest.raises(StateRefused) as caught:
        serving.digest_of("smol")
    assert caught.value.code == "unknown_model_id"
