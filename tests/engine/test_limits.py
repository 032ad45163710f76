"""Too many messages for a context are refused unread."""

import pytest

from appliance.engine.limits import check_count, too_long
from appliance.errors import BadRequest


@pytest.mark.parametrize(("messages", "fewest"), [(12, 5), (1_000_000, 0), (0, 5), (64, 1)])
def test_what_may_fit_passes(messages: int, fewest: int) -> None:
    check_count(messages, fewest, 64)


@pytest.mark.parametrize(("messages", "fewest"), [(13, 5), (65, 1)])
def test_what_cannot_fit_is_refused(messages: int, fewest: int) -> None:
    with pytest.raises(BadRequest) as caught:
        check_count(messages, fewest, 64)
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "messages")
    assert "at least 65 tokens" in caught.value.message


def test_the_words_are_those_that_clients_look_for() -> None:
    message = too_long(64, "70", " and 3 for the answer").message
    assert message == (
        "This model's maximum context length is 64 tokens. However, this request has 70 tokens "
        "in the prompt and 3 for the answer."
    )
