"""What ends answers, without an answer; tests/serving/test_inference.py has those that run."""

import pytest

from appliance.errors import Unauthenticated, Unavailable
from appliance.serving.running_answers import UnderWay


async def test_nothing_begins_while_the_server_stops() -> None:
    ways = UnderWay(lambda key_id: True)
    ways.check()
    await ways.drain(0)
    with pytest.raises(Unavailable) as caught:
        ways.check()
    assert caught.value.code == "shutting_down" and ways.running() == []


def test_a_key_that_ended_begins_nothing() -> None:
    ways = UnderWay({"k1"}.__contains__)
    ways.check_key("k1")
    with pytest.raises(Unauthenticated) as caught:
        ways.check_key("k2")
    assert caught.value.code == "invalid_api_key"
