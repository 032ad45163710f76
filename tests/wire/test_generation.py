"""Request schemas: what is taken, what is refused, and which field is named."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from appliance.wire.chat import ChatRequest
from appliance.wire.completions import CompletionRequest

USER = {"role": "user", "content": "Hi"}
NAN, INF = float("nan"), float("inf")


def chat(**fields: Any) -> ChatRequest:
    return ChatRequest.model_validate({"model": "m", "messages": [USER], **fields})


def completion(**fields: Any) -> CompletionRequest:
    return CompletionRequest.model_validate({"model": "m", "prompt": "Hi", **fields})


def first_error(kind: type[BaseModel], body: Any) -> tuple[str, tuple[int | str, ...]]:
    with pytest.raises(ValidationError) as caught:
        kind.model_validate(body)
    error = caught.value.errors()[0]
    return error["type"], error["loc"]


def refused_field(kind: type[BaseModel], **fields: Any) -> tuple[int | str, ...]:
    base = {"model": "m", "messages": [USER], "prompt": "Hi"}
    return first_error(kind, {**base, **fields})[1]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", NAN), ("temperature", INF), ("temperature", -0.1), ("temperature", 2.1),
        ("temperature", "1"), ("temperature", True), ("temperature", 10**400),
        ("top_p", 0), ("top_p", 1.1), ("top_p", NAN), ("min_p", -0.1), ("min_p", 1.5),
        ("top_k", -2), ("top_k", 1.5), ("top_k", 2**31),
        ("max_tokens", -1), ("max_tokens", 2**31), ("max_tokens", "5"),
        ("max_tokens", True), ("max_completion_tokens", 0),
        ("n", 0), ("n", -1), ("n", "1"), ("n", True), ("n", 9),
        ("typical_p", 0), ("typical_p", 1.1), ("presence_penalty", 2.1),
        ("presence_penalty", "0"), ("presence_penalty", False), ("frequency_penalty", -2.1),
        ("frequency_penalty", INF), ("repetition_penalty", 0), ("repetition_penalty", 10.1),
        ("repeat_penalty", NAN), ("logit_bias", []), ("logit_bias", {"5": 101}),
        ("logit_bias", {"5": -100.1}), ("logit_bias", {"5": NAN}), ("logit_bias", {"a": 1}),
        ("logit_bias", {"-1": 1}), ("logit_bias", {"05": 1}), ("logit_bias", {"\u0665": 1}),
        ("logit_bias", {"2147483648": 1}), ("logit_bias", {str(t): 1 for t in range(301)}),
        ("logprobs", "1"), ("logprobs", 0.5),
        ("seed", 2**63), ("seed", -(2**63) - 1), ("seed", 1.0),
        ("stop", 5), ("stop", [""]), ("stop", ""), ("stop", ["a", 5]), ("stop", ["a"] * 17),
        ("stop", "x" * 1001), ("stop", "\ud800"),
        ("min_tokens", -1), ("ignore_eos", 1), ("stream", "true"), ("stream_options", True),
        ("model", ""), ("model", None), ("model", "x" * 257), ("model", "\ud800"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", [ChatRequest, CompletionRequest])
def test_a_value_out_of_range_or_type_names_its_field(
    kind: type[BaseModel], field: str, value: Any
) -> None:
    assert refused_field(kind, **{field: value})[0] == field


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", 0), ("temperature", 2), ("top_p", 1), ("min_p", 0), ("min_p", 1),
        ("top_k", -1), ("top_k", 0), ("max_tokens", 1), ("n", 1), ("n", 8), ("seed", -(2**63)),
        ("typical_p", 1), ("presence_penalty", -2), ("frequency_penalty", 2.0),
        ("repetition_penalty", 10), ("repeat_penalty", 0.1), ("logit_bias", {"0": -100}),
        ("logit_bias", {str(t): 1 for t in range(300)}), ("logprobs", True),
        ("seed", 2**63 - 1), ("min_tokens", 0), ("stream_options", {"include_usage": True}),
        ("stream_options", {"include_obfuscation": False}),
    ],
)  # fmt: skip
def test_the_ends_of_each_range_are_taken(field: str, value: Any) -> None:
    got = getattr(chat(**{field: value}), field)
    assert got == value or isinstance(value, dict)


def test_every_optional_field_may_be_null() -> None:
    fields = set(ChatRequest.model_fields) - {"model", "messages"}
    assert chat(**dict.fromkeys(fields)).model_dump() == chat().model_dump()


@pytest.mark.parametrize(
    ("given_stop", "taken"), [(None, []), ("a", ["a"]), (["a", "b"], ["a", "b"]), ([], [])]
)
def test_stop_has_three_spellings(given_stop: Any, taken: list[str]) -> None:
    assert chat(stop=given_stop).stop == taken


def test_sixteen_stop_strings_are_taken() -> None:
    assert len(chat(stop=["a"] * 16).stop) == 16


def test_max_completion_tokens_wins() -> None:
    assert chat(max_tokens=5, max_completion_tokens=7).token_limit == 7
    assert chat(max_tokens=5).token_limit == 5


def test_without_a_limit_chat_fills_the_context_and_completions_give_16_tokens() -> None:
    assert chat().token_limit is None
    assert completion().token_limit == 16
    assert completion(max_tokens=99).token_limit == 99


def test_min_tokens_may_not_exceed_the_limit() -> None:
    body = {"model": "m", "messages": [USER], "max_tokens": 4, "min_tokens": 5}
    assert first_error(ChatRequest, body)[0] == "invalid_value"
    assert chat(max_tokens=5, min_tokens=5).min_tokens == 5


@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant", "tool"])
def test_the_five_roles(role: str) -> None:
    message = {"role": role, "content": "x", "name": "n", "tool_call_id": "t"}
    assert chat(messages=[message]).messages[0].role == role


@pytest.mark.parametrize(
    "message",
    [
        {"role": "function", "content": "x"}, {"role": "user"}, {"role": "user", "content": None},
        {"role": "user", "content": 5}, {"role": "user", "content": {"text": "x"}},
        {"role": "assistant", "content": None}, {"content": "x"}, "Hi", None,
        {"role": "user", "content": "\udfff"}, {"role": "user", "content": ["x"]},
        {"role": "user", "content": [{"type": "text"}]},
        {"role": "user", "content": [{"type": "text", "text": "\ud800"}]},
        {"role": "user", "content": [{"type": ["text"], "text": "x"}]},
    ],
)  # fmt: skip
def test_a_bad_message_is_refused_with_its_place(message: Any) -> None:
    assert refused_field(ChatRequest, messages=[USER, message])[:2] == ("messages", 1)


@pytest.mark.parametrize("messages", [[], None, "Hi", {"0": USER}])
def test_messages_must_be_a_list_with_something_in_it(messages: Any) -> None:
    assert refused_field(ChatRequest, messages=messages) == ("messages",)


def test_text_parts_become_lines() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert chat(messages=[{"role": "user", "content": parts}]).messages[0].content == "a\nb"


@pytest.mark.parametrize("kind", ["image_url", "input_audio", "file", "refusal", "video_url"])
def test_parts_that_are_not_text_are_unsupported(kind: str) -> None:
    message = {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": kind}]}
    body = {"model": "m", "messages": [message]}
    assert first_error(ChatRequest, body) == ("unsupported_parameter", ("messages", 0, "content"))


@pytest.mark.parametrize(
    ("prompt", "taken"),
    [("a", "a"), (["a"], "a"), ([1, 2], [1, 2]), ([[1, 2]], [1, 2]), ([0], [0])],
)
def test_a_prompt_has_four_spellings(prompt: Any, taken: Any) -> None:
    assert completion(prompt=prompt).prompt == taken


@pytest.mark.parametrize(
    "prompt", ["", [""], [], [[]], [-1], [1, "a"], [True], [1.0], 5, None, {}, [None], "\ud800"]
)
def test_a_bad_prompt_is_refused_by_name(prompt: Any) -> None:
    assert refused_field(CompletionRequest, prompt=prompt) == ("prompt",)


@pytest.mark.parametrize("prompt", [["a", "b"], [[1], [2]], ["a", [1]]])
def test_a_batch_of_prompts_is_unsupported(prompt: Any) -> None:
    body = {"model": "m", "prompt": prompt}
    assert first_error(CompletionRequest, body) == ("unsupported_parameter", ("prompt",))


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens", "top_logprobs"])
def test_zero_tokens_and_alternatives_of_chat(field: str) -> None:
    if field == "top_logprobs":
        assert chat(logprobs=True, top_logprobs=0).alternatives == 0
        assert refused_field(ChatRequest, logprobs=True, top_logprobs=21) == ("top_logprobs",)
    else:
        assert refused_field(ChatRequest, **{field: 0}) == (field,)


def refused_by_rule(kind: type[BaseModel], **fields: Any) -> tuple[str, str]:
    """Code and field of a refusal that no field alone brings about."""
    with pytest.raises(ValidationError) as caught:
        kind.model_validate({"model": "m", "messages": [USER], "prompt": "Hi", **fields})
    error = caught.value.errors()[0]
    return error["type"], error["ctx"]["field"]


@pytest.mark.parametrize(
    ("kind", "fields", "at_fault"),
    [
        (ChatRequest, {"top_logprobs": 1}, "top_logprobs"),
        (ChatRequest, {"repetition_penalty": 1.1, "repeat_penalty": 1.2}, "repeat_penalty"),
        (CompletionRequest, {"max_tokens": 0}, "max_tokens"),
        (CompletionRequest, {"max_tokens": 0, "echo": False}, "max_tokens"),
        (CompletionRequest, {"n": 3, "best_of": 2}, "best_of"),
        (CompletionRequest, {"best_of": 2, "stream": True}, "best_of"),
        (CompletionRequest, {"max_tokens": 0, "echo": True, "min_tokens": 1}, "min_tokens"),
    ],
)
def test_fields_that_do_not_go_together(
    kind: type[BaseModel], fields: dict[str, Any], at_fault: str
) -> None:
    assert refused_by_rule(kind, **fields) == ("invalid_value", at_fault)


def test_what_goes_together() -> None:
    assert chat(logprobs=True, top_logprobs=20).alternatives == 20
    assert chat(repetition_penalty=1.1, repeat_penalty=1.1).repeat_penalty == 1.1
    assert completion(max_tokens=0, echo=True).token_limit == 0
    assert completion(n=2, best_of=8).best_of == 8
    assert completion(n=2, best_of=2, stream=True).n == 2


@pytest.mark.parametrize(("logprobs", "told"), [(None, None), (False, None), (0, 0), (20, 20)])
def test_completions_take_a_number_of_alternatives(logprobs: Any, told: int | None) -> None:
    assert completion(logprobs=logprobs).alternatives == told


@pytest.mark.parametrize("value", [True, -1, 21, "1"])
def test_completions_take_no_other_logprobs(value: Any) -> None:
    assert refused_field(CompletionRequest, logprobs=value)[0] == "logprobs"


def test_the_openapi_schema_shows_every_spelling() -> None:
    schema = CompletionRequest.model_json_schema()
    kinds = {option["type"] for option in schema["properties"]["prompt"]["anyOf"]}
    assert kinds == {"string", "array"}
    stop = {option["type"] for option in schema["properties"]["stop"]["anyOf"]}
    assert stop == {"string", "array", "null"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
FIELDS = sorted({*ChatRequest.model_fields, "prompt", "tools", "logprobs", "n", "best_of"})


@given(st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_any_json_is_either_taken_or_a_validation_error(fields: dict[str, Any]) -> None:
    for kind in (ChatRequest, CompletionRequest):
        try:
            kind.model_validate({"model": "m", "prompt": "p", "messages": [USER], **fields})
        except ValidationError as error:
            assert error.errors()[0]["type"]


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_what_is_not_finite_is_told_so(value: float) -> None:
    body = {"model": "m", "messages": [USER], "temperature": value}
    assert first_error(ChatRequest, body) == ("finite_number", ("temperature",))
