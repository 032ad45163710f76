"""Bodies of /v1/completions: the spellings of a prompt, alternatives."""

from typing import Any

import pytest

from appliance.wire.openai.completions import CompletionRequest
from tests.wire.bodies import completion, refused_field


@pytest.mark.parametrize(
    ("prompt", "taken"),
    [
        ("a", ["a"]),
        (["a"], ["a"]),
        ([1, 2], [[1, 2]]),
        ([[1, 2]], [[1, 2]]),
        ([0], [[0]]),
        (["a", "b"], ["a", "b"]),
        ([[1], [2, 3]], [[1], [2, 3]]),
        (["a", [1]], ["a", [1]]),
        (["a"] * 64, ["a"] * 64),
    ],
)
def test_a_prompt_has_four_spellings(prompt: Any, taken: Any) -> None:
    assert completion(prompt=prompt).prompt == taken


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        [""],
        [],
        [[]],
        [-1],
        [1, "a"],
        [True],
        [1.0],
        5,
        None,
        {},
        [None],
        "\ud800",
        ["a", ""],
        ["a", 1],
        [[1], []],
        ["a"] * 65,
        [["a"]],
    ],
)
def test_a_bad_prompt_is_refused_by_name(prompt: Any) -> None:
    assert refused_field(CompletionRequest, prompt=prompt) == ("prompt",)


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
