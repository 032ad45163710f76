"""Large bodies are read one at a time with rests, and what cannot fit is refused unread."""

import asyncio
import json
from typing import Any

import pytest

from appliance.api.large_bodies import MOST_VALUES, SMALL, LargeBodies, check_messages, check_values
from appliance.errors import BadRequest, NotFound
from appliance.types import ModelCard, Principal

TALK = [{"role": "user", "content": ""}]


class Cards:
    def card(self, model_id: str) -> ModelCard:
        if model_id == "none":
            raise NotFound("model_not_found", "There is none.")
        return ModelCard(model_id, "00", 64, 0, fewest=0 if model_id == "quiet" else 5)


def who(*models: str) -> Principal:
    return Principal(key_id="k", name="app", models=frozenset(models))


def check(body: Any, principal: Principal | None = None) -> None:
    check_messages(body, Cards(), principal or who())


@pytest.mark.parametrize(
    "body",
    [
        {"model": "m", "messages": TALK * 12},
        {"model": "quiet", "messages": TALK * 1000},
        {"model": "none", "messages": TALK * 1000},
        {"model": 1, "messages": TALK * 1000},
        {"model": "m", "messages": "x" * 1000},
        {"model": "m"},
        TALK * 1000,
        None,
    ],
)
def test_what_may_fit_or_is_refused_elsewhere_passes(body: Any) -> None:
    check(body)


def test_more_messages_than_fit_are_refused_whatever_they_are() -> None:
    with pytest.raises(BadRequest) as caught:
        check({"model": "m", "messages": [None] * 13})
    assert caught.value.code == "context_length_exceeded"


def test_nothing_is_told_of_a_model_that_the_key_may_not_use() -> None:
    check({"model": "m", "messages": TALK * 1000}, who("other"))


@pytest.mark.parametrize("each", [b"[],", b"{},", b'{"a\\\\":"\\"",[', b'{"":"\\\\\\"[","b":['])
def test_very_many_lists_and_objects_are_refused_unread(each: bytes) -> None:
    one = 2 if b'"' in each else 1
    check_values(each * (MOST_VALUES // one))
    with pytest.raises(BadRequest) as caught:
        check_values(each * (MOST_VALUES // one + 1))
    assert caught.value.code == "request_too_large"


def test_brackets_in_texts_count_for_nothing() -> None:
    check_values(json.dumps({"input": ['[{"a": "\\"}]' * MOST_VALUES, "{\\"]}).encode())


async def test_the_next_large_body_waits_for_the_rest_and_a_small_one_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rests: list[float] = []
    bodies = LargeBodies()
    loop = asyncio.get_running_loop()
    leave = bodies._lane.leave
    monkeypatch.setattr(loop, "call_later", lambda seconds, _: rests.append(seconds))
    await bodies.turn("a", 1_000_000)
    waits = asyncio.create_task(bodies.turn("a", 2_000_000))
    await bodies.turn("a", SMALL)
    await asyncio.sleep(0)
    assert not waits.done()
    leave()
    await waits
    assert rests == pytest.approx([0.4, 0.8])
