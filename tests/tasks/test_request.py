"""An app's input to a task; `test_backend` has the forbidden settings."""

import pytest

from appliance.errors import BadRequest
from appliance.tasks.request import content_of, unused
from appliance.types import GenerationRequest


def test_the_input_is_one_message_or_a_prompt() -> None:
    turn = {"role": "user", "content": "no start"}
    assert content_of(GenerationRequest("t", messages=(turn,))) == "no start"
    assert content_of(GenerationRequest("t", prompt="no start")) == "no start"


def test_a_system_message_beside_it_is_not_used_and_named() -> None:
    turn = {"role": "user", "content": "no start"}
    kind = {"role": "system", "content": "be kind"}
    for turns in ((kind, turn), (turn, kind), (kind, kind, turn)):
        asked = GenerationRequest("t", messages=turns)
        assert (content_of(asked), unused(asked)) == ("no start", ("system",))
    assert unused(GenerationRequest("t", messages=(turn,))) == ()
    assert unused(GenerationRequest("t", prompt="no start")) == ()
    with pytest.raises(BadRequest):
        content_of(GenerationRequest("t", messages=(kind,)))


def test_nothing_else_is() -> None:
    parts = {"role": "user", "content": [{"type": "text", "text": "a"}]}
    for asked in (
        GenerationRequest("t", messages=(parts,)),
        GenerationRequest("t", texts=("a",)),
        GenerationRequest("t", tokens=(1,)),
    ):
        with pytest.raises(BadRequest) as caught:
            content_of(asked)
        assert caught.value.code == "task_input_invalid"
