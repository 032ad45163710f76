"""Too many messages for a context are refused unread."""

import pytest

from appliance.engine.limits import MOST_VALUES, check_count, check_values, too_long
from appliance.errors import BadRequest, TooLarge
from appliance.types import GenerationRequest, Tools


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


@pytest.mark.parametrize("filler", [[], {}, [[]], {"a": {}}, [1, "[{"]])
def test_calls_and_functions_have_so_many_lists_and_objects_at_most(filler: object) -> None:
    def asked(size: int) -> GenerationRequest:
        arguments = {"a": [filler] * (size // (2 if filler in ([[]], {"a": {}}) else 1))}
        call = {"function": {"arguments": arguments}}
        talk = ({"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [call]})
        return GenerationRequest("", messages=talk, tools=Tools(({"parameters": {}},)))

    around = 7  # the lists of calls and of `a`, the call, its function and arguments; the tool's
    check_values(asked(MOST_VALUES - around))
    with pytest.raises(TooLarge) as caught:
        check_values(asked(MOST_VALUES - around + 2))
    assert caught.value.code == "request_too_large"


def test_a_prompt_has_none() -> None:
    check_values(GenerationRequest("", prompt="[" * 2 * MOST_VALUES))
