"""From schemas to the use-case: defaults, names, and what is only logged."""

import logging
from typing import Any

import pytest

from appliance.api.openai.chat import chat_generation
from appliance.api.openai.completions import completion_generations
from appliance.api.openai.requests import log_ignored, person_of
from appliance.types import GenerationRequest, Sampling
from appliance.wire.openai.chat import ChatRequest
from appliance.wire.openai.completions import CompletionRequest
from appliance.wire.openai.responses_request import ResponsesRequest

USER = {"role": "user", "content": "Hi"}


def chat(**fields: Any) -> ChatRequest:
    return ChatRequest.model_validate({"model": "m", "messages": [USER], **fields})


def completion(**fields: Any) -> CompletionRequest:
    return CompletionRequest.model_validate({"model": "m", "prompt": "Hi", **fields})


def test_the_defaults_are_those_of_openai() -> None:
    assert chat_generation(chat()) == GenerationRequest(
        model="m", messages=(USER,), max_tokens=None, sampling=Sampling(temperature=1.0),
        seed=None, stop=(), ignore_eos=False, min_tokens=0, n=1, logprobs=None,
    )  # fmt: skip
    assert completion_generations(completion())[0].max_tokens == 16


def test_every_field_arrives() -> None:
    fields = {
        "max_completion_tokens": 9, "temperature": 0, "top_p": 0.5, "top_k": 40, "min_p": 0.1,
        "seed": -4, "stop": ["a", "b"], "ignore_eos": True, "min_tokens": 2, "typical_p": 0.9,
        "presence_penalty": -1, "frequency_penalty": 0.5, "repeat_penalty": 1.2, "n": 3,
        "logit_bias": {"7": -100, "9": 0}, "logprobs": True, "top_logprobs": 2,
    }  # fmt: skip
    got = chat_generation(chat(**fields))
    assert got.sampling == Sampling(
        temperature=0.0, top_p=0.5, top_k=40, min_p=0.1, typical_p=0.9, presence_penalty=-1,
        frequency_penalty=0.5, repetition_penalty=1.2, logit_bias=((7, -100.0),),
    )  # fmt: skip
    assert (got.n, got.best_of, got.logprobs, got.echo) == (3, None, 2, False)
    assert (got.max_tokens, got.seed, got.stop) == (9, -4, ("a", "b"))
    assert (got.ignore_eos, got.min_tokens) == (True, 2)


def test_what_only_completions_take_arrives() -> None:
    body = completion(n=2, best_of=4, logprobs=5, echo=True, max_tokens=0)
    got = completion_generations(body)[0]
    assert (got.n, got.best_of, got.logprobs, got.echo, got.max_tokens) == (2, 4, 5, True, 0)


def test_minus_one_keeps_all_tokens_as_zero_does() -> None:
    assert chat_generation(chat(top_k=-1)).sampling.top_k == 0


def test_developer_is_the_system_and_other_fields_of_a_message_stay_behind() -> None:
    messages = [
        {"role": "developer", "content": "Be brief.", "name": "x"},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "tool", "content": "5", "tool_call_id": "1"},
    ]
    assert chat_generation(chat(messages=messages)).messages == (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "tool", "content": "5", "tool_call_id": "1"},
    )


def test_a_prompt_is_text_or_tokens() -> None:
    text, tokens = (
        completion_generations(completion())[0],
        completion_generations(completion(prompt=[5]))[0],
    )
    assert (text.prompt, text.tokens, text.messages) == ("Hi", None, None)
    assert (tokens.prompt, tokens.tokens, tokens.messages) == (None, (5,), None)


def test_unknown_fields_are_logged_by_name_only(caplog: pytest.LogCaptureFixture) -> None:
    body = chat(user="u", store=True, metadata={}, tools=[], secret_field="plan", **{"\x1b[2J": 1})
    with caplog.at_level(logging.INFO, "appliance.api"):
        log_ignored(body, "req-1")
    assert caplog.messages == ["req-1: ignored unknown fields: \\x1b[2J, secret_field"]


def test_the_log_line_is_bounded_and_silent_when_all_is_known(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, "appliance.api"):
        log_ignored(chat(user="u", temperature=1, n=1), "req-1")
        assert not caplog.messages
        log_ignored(chat(**{f"{i}{'x' * 500}": i for i in range(500)}), "req-2")
    assert len(caplog.messages) == 1 and len(caplog.messages[0]) < 1200


def test_the_user_that_an_app_names_goes_with_the_request() -> None:
    turn = [{"role": "user", "content": "Hi"}]
    for named, person in (
        ({"user": "ann"}, "ann"),
        ({"user": "ann", "safety_identifier": "bob"}, "bob"),
        ({"user": 5}, ""),
        ({}, ""),
    ):
        chat = ChatRequest.model_validate({"model": "m", "messages": turn, **named})
        response = ResponsesRequest.model_validate({"model": "m", "input": "Hi", **named})
        assert person_of(chat) == person_of(response) == person
