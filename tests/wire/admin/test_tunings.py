"""Which tunings can be compared: two to eight, and nothing else is read."""

import pytest

from appliance.errors import BadRequest
from appliance.wire.admin.tunings import MOST, CompareTunings, Losses, TuningsCompared


@pytest.mark.parametrize("tunings", [[], [1], list(range(1, MOST + 2)), ["x", 2], [1, 2.5]])
def test_fewer_than_two_more_than_eight_and_what_is_no_number_are_refused(
    tunings: list[object],
) -> None:
    with pytest.raises(BadRequest) as refused:
        CompareTunings.of(tunings=tunings)
    assert refused.value.code == "invalid_value"
    assert CompareTunings.of(tunings=[1, 2]).tunings == [1, 2]


def test_a_server_of_before_says_nothing_of_pairs() -> None:
    told = {"tunings": [], "differing": [], "same_dev": True}
    assert TuningsCompared.model_validate(told).paired == []


def test_losses_of_a_newer_server_are_read() -> None:
    told = {"runs": [{"name": "seed-0", "points": [[1, 2.0, None]], "more": 1}], "more": 1}
    (run,) = Losses.model_validate(told).runs
    assert run.points == [(1, 2.0, None)]
