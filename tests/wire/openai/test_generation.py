"""Request schemas: accepted, refused, and which field is named."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from appliance.wire.openai.chat import ChatRequest
from appliance.wire.openai.completions import CompletionRequest
from tests.wire.bodies import USER, chat, completion, first_error, refused_field, smallest

NAN, INF = float("nan"), float("inf")


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


def refused_by_rule(kind: type[BaseModel], **fields: Any) -> tuple[str, str]:
    """Of a refusal that no field alone brings about."""
    with pytest.raises(ValidationError) as caught:
        kind.model_validate({**smallest(kind), **fields})
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
            kind.model_validate({**smallest(kind), **fields})
        except ValidationError as error:
            assert error.errors()[0]["type"]


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_what_is_not_finite_is_told_so(value: float) -> None:
    body = {"model": "m", "messages": [USER], "temperature": value}
    assert first_error(ChatRequest, body) == ("finite_number", ("temperature",))
