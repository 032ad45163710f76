"""Chat and completions through the app: documents, streams, receipts."""

from typing import Any

import pytest

from appliance.types import Delta, Priority, TokenLogprob
from tests.api.conftest import Lan
from tests.api.fake import CARD, Step, worker_lost
from tests.api.openai.streams import USAGE, stream

CHAT, TEXTS = "/v1/chat/completions", "/v1/completions"
ASKED: dict[str, dict[str, Any]] = {
    CHAT: {"messages": [{"role": "user", "content": "Hi"}]},
    TEXTS: {"prompt": "Hi"},
}


async def test_the_caller_and_the_request_reach_the_use_case(
    lan: Lan, chat_body: dict[str, Any]
) -> None:
    headers = {"x-stainless-retry-count": "2"}
    reply = await lan.client.post(CHAT, json={**chat_body, "seed": 5}, headers=headers)
    ((caller, request),) = lan.inference.requests
    assert caller.request_id == reply.headers["x-request-id"]
    assert (caller.principal.name, caller.ip, caller.route, caller.retry) == (
        "test app", "127.0.0.1", CHAT, 2,
    )  # fmt: skip
    assert (request.seed, request.messages) == (5, ({"role": "user", "content": "Hi"},))


async def test_a_document_names_the_outcome_and_a_stream_the_intent(
    lan: Lan, chat_body: dict[str, Any]
) -> None:
    whole = await lan.client.post(CHAT, json=chat_body)
    streamed, found = await stream(lan, CHAT, chat_body)
    first, second = lan.inference.generations
    assert first.outcome and second.outcome
    assert whole.headers["x-appliance-receipt"] == first.outcome.header()
    assert streamed.headers["x-appliance-receipt"] == second.intent.header()
    assert found[-2:] == [
        f": receipt {second.outcome.header()}",
        "[DONE]",
    ]


@pytest.mark.parametrize("path", [CHAT, TEXTS])
async def test_usage_comes_last_when_asked_for_and_is_null_before(lan: Lan, path: str) -> None:
    body = {
        "model": CARD.id, **ASKED[path],
        "stream_options": {"include_usage": True},
    }  # fmt: skip
    _, found = await stream(lan, path, body)
    *others, last = found[:-2]
    assert last["choices"] == [] and last["usage"] == USAGE
    assert all(c["usage"] is None and len(c["choices"]) == 1 for c in others)


@pytest.mark.parametrize("options", [None, {}, {"include_usage": False}, {"include_usage": None}])
async def test_usage_stays_away_when_not_asked_for(
    lan: Lan, chat_body: dict[str, Any], options: Any
) -> None:
    _, found = await stream(lan, CHAT, {**chat_body, "stream_options": options})
    assert not any("usage" in c for c in found[:-2])


async def test_stream_options_without_a_stream_change_nothing(
    lan: Lan, chat_body: dict[str, Any]
) -> None:
    body = {**chat_body, "stream_options": {"include_usage": True}}
    assert (await lan.client.post(CHAT, json=body)).json()["usage"] == USAGE


async def test_an_answer_without_text_still_has_a_role_and_an_end(
    lan: Lan, chat_body: dict[str, Any]
) -> None:
    lan.inference.script = (Delta("", 1), Delta("", 0, "length"))
    _, found = await stream(lan, CHAT, chat_body)
    assert [c["choices"][0]["delta"] for c in found[:-2]] == [
        {"role": "assistant", "content": "", "refusal": None},
        {},
    ]
    assert found[-3]["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("path", [CHAT, TEXTS])
async def test_a_failure_in_mid_stream_is_an_error_event_and_no_done(lan: Lan, path: str) -> None:
    lan.inference.script = (Delta("Hel", 1), worker_lost())
    body = {"model": CARD.id, **ASKED[path]}
    reply, found = await stream(lan, path, body)
    assert found[-1] == {
        "error": {
            "message": "The engine process of the model ended.",
            "type": "server_error",
            "param": None,
            "code": "worker_lost",
        }
    }
    assert "[DONE]" not in reply.text and "receipt" not in reply.text
    assert not any(c["choices"][0]["finish_reason"] for c in found[:-1])


async def test_an_unexpected_failure_in_mid_stream_tells_nothing(
    lan: Lan, chat_body: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    lan.inference.script = (Delta("Hel", 1), KeyError("secret plan"))
    reply, found = await stream(lan, CHAT, chat_body)
    assert found[-1]["error"]["code"] == "internal_error"
    assert "secret plan" not in reply.text + caplog.text
    assert reply.headers["x-request-id"] in caplog.text


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_failure_before_the_first_token_has_a_status(
    lan: Lan, chat_body: dict[str, Any], streamed: bool
) -> None:
    lan.inference.script = (worker_lost(),)
    reply = await lan.client.post(CHAT, json={**chat_body, "stream": streamed})
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "worker_lost")
    assert reply.headers["x-should-retry"] == "true"


async def test_a_failure_in_the_middle_of_a_document_is_no_answer(
    lan: Lan, chat_body: dict[str, Any]
) -> None:
    lan.inference.script = (Delta("Hel", 1), worker_lost())
    reply = await lan.client.post(CHAT, json=chat_body)
    assert reply.status_code == 503 and "Hel" not in reply.text


async def test_an_answer_ended_by_an_operator_is_not_passed_off_as_complete(
    lan: Lan, chat_body: dict[str, Any]
) -> None:
    lan.inference.script = (Delta("Hel", 1), Delta("", 0, "cancelled"))
    whole = await lan.client.post(CHAT, json=chat_body)
    assert (whole.status_code, whole.json()["error"]["code"]) == (503, "request_cancelled")
    _, found = await stream(lan, CHAT, chat_body)
    assert found[-1]["error"]["code"] == "request_cancelled"


@pytest.mark.parametrize("streamed", [True, False])
async def test_an_answer_that_never_ends_properly_is_an_internal_error(
    lan: Lan, chat_body: dict[str, Any], streamed: bool
) -> None:
    lan.inference.script = (Delta("Hel", 1),)
    reply = await lan.client.post(CHAT, json={**chat_body, "stream": streamed})
    assert "internal_error" in reply.text and "[DONE]" not in reply.text


async def test_every_generation_is_released(lan: Lan, chat_body: dict[str, Any]) -> None:
    for script in ((Delta("a", 1, "stop"),), (Delta("a", 1), worker_lost()), (worker_lost(),)):
        lan.inference.script = script
        for streamed in (True, False):
            await lan.client.post(CHAT, json={**chat_body, "stream": streamed})
    assert len(lan.inference.generations) == 6
    assert all(g.cancelled.is_set() for g in lan.inference.generations)


TWO: tuple[Step, ...] = (
    Delta("Hel", 1, None, 0, (TokenLogprob(b"Hel", -0.5, ((b"Hel", -0.5),), 0),)),
    Delta("", 1, None, 1, (TokenLogprob(b"\xc3", -1.0, (), 0),)),
    Delta("Bye", 1, None, 1),
    Delta("lo", 1, "stop", 0),
    Delta("", 1, "length", 1),
)


@pytest.fixture
def two(lan: Lan) -> Lan:
    lan.inference.script, lan.inference.choices = TWO, 2
    return lan


async def test_choices_of_a_document_stand_apart_and_the_prompt_counts_once(
    two: Lan, chat_body: dict[str, Any]
) -> None:
    document = (await two.client.post(CHAT, json={**chat_body, "n": 2})).json()
    told = [(c["index"], c["message"]["content"], c["finish_reason"]) for c in document["choices"]]
    assert told == [(0, "Hello", "stop"), (1, "Bye", "length")]
    assert [len(c["logprobs"]["content"]) for c in document["choices"]] == [1, 1]
    assert document["usage"]["prompt_tokens"] == 7
    assert document["usage"]["completion_tokens"] == 5


async def test_choices_of_a_stream_are_told_apart_by_index(
    two: Lan, chat_body: dict[str, Any]
) -> None:
    _, found = await stream(two, CHAT, {**chat_body, "n": 2})
    choices = [c["choices"][0] for c in found[:-2]]
    for index, text, finish in ((0, "Hello", "stop"), (1, "Bye", "length")):
        own = [c for c in choices if c["index"] == index]
        assert own[0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
        assert "".join(c["delta"].get("content", "") for c in own) == text
        assert [c["finish_reason"] for c in own if c["finish_reason"]] == [finish]
        assert own[-1]["finish_reason"] == finish
        (entry,) = [t for c in own if c["logprobs"] for t in c["logprobs"]["content"]]
        assert entry["bytes"] == ([72, 101, 108] if index == 0 else [0xC3])
    assert choices[0]["index"] == 0 and choices[1]["index"] == 1


async def test_choices_of_a_completion_stream_have_their_logprobs(two: Lan) -> None:
    _, found = await stream(two, TEXTS, {"model": CARD.id, "prompt": "Hi", "n": 2})
    choices = [c["choices"][0] for c in found[:-2]]
    assert ["".join(c["text"] for c in choices if c["index"] == i) for i in (0, 1)] == [
        "Hello",
        "Bye",
    ]
    tokens = [c["logprobs"]["tokens"] for c in choices if c["logprobs"]]
    assert tokens == [["Hel"], ["bytes:\\xc3"]]


async def test_a_stream_that_lacks_the_end_of_a_choice_is_an_error(
    two: Lan, chat_body: dict[str, Any]
) -> None:
    two.inference.script = TWO[:-1]
    _, found = await stream(two, CHAT, {**chat_body, "n": 2})
    assert found[-1]["error"]["code"] == "internal_error"


@pytest.mark.parametrize(
    ("tier", "priority"),
    [("flex", Priority.BATCH), ("priority", Priority.INTERACTIVE), ("auto", None), (None, None)],
)
async def test_a_service_tier_says_how_urgent_a_request_is(
    lan: Lan, chat_body: dict[str, Any], tier: str | None, priority: Priority | None
) -> None:
    assert (
        await lan.client.post(CHAT, json={**chat_body, "service_tier": tier})
    ).status_code == 200
    ((_, asked),) = lan.inference.requests
    assert asked.priority is priority
