"""The body for each kind of engine as it was recorded, and what each refuses."""

import json
from typing import Any

import pytest

from appliance.errors import BadRequest
from appliance.routing.upstreams.kinds import KINDS, asked
from appliance.types import Constraint, GenerationRequest, Sampling, Tools

USUAL: dict[str, Any] = {
    "model": "m", "stream": True, "stream_options": {"include_usage": True}, "max_tokens": 5,
    "seed": 7, "temperature": 1.0, "top_p": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0,
}  # fmt: skip
SAMPLED = {"top_k": 0, "min_p": 0.0}
SCHEMA = '{"type":"object"}'
STRICT = {
    "type": "json_schema",
    "json_schema": {"name": "answer", "strict": True, "schema": {"type": "object"}},
}
RECORDED: dict[str, dict[str, Any]] = {
    "appliance": {**SAMPLED, "typical_p": 1.0, "repetition_penalty": 1.0},
    "vllm": {**SAMPLED, "repetition_penalty": 1.0},
    "sglang": {**SAMPLED, "repetition_penalty": 1.0},
    "llama-server": {**SAMPLED, "typical_p": 1.0, "repeat_penalty": 1.0},
    "ollama": {},
    "openai": {},
}
CHOICES: dict[str, dict[str, Any]] = {
    "appliance": {"guided_choice": ["yes", "no"]},
    "vllm": {"structured_outputs": {"choice": ["yes", "no"]}},
    "llama-server": {"grammar": 'root ::= "yes" | "no"'},
}
TURN = {"role": "user", "content": "Hi"}


def request(**more: Any) -> GenerationRequest:
    given = {"model": "big", "messages": (TURN,), **more}
    return GenerationRequest(**given)


def body(kind: str, what: GenerationRequest) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(asked(KINDS[kind], "m", what, 7, 5).body)
    return found


def refused(kind: str, what: GenerationRequest) -> str | None:
    with pytest.raises(BadRequest) as caught:
        asked(KINDS[kind], "m", what, 7, 5)
    assert caught.value.code == "upstream_unsupported"
    return caught.value.param


@pytest.mark.parametrize("kind", KINDS)
def test_the_recorded_body(kind: str) -> None:
    assert body(kind, request()) == {**USUAL, **RECORDED[kind], "messages": [TURN]}
    assert body(kind, request(messages=None, prompt="Once"))["prompt"] == "Once"
    wanted = body(kind, request(constraint=Constraint("json_schema", SCHEMA)))
    assert wanted["response_format"] == STRICT
    assert body(kind, request(stop=("x",)))["stop"] == ["x"]


@pytest.mark.parametrize("kind", KINDS)
def test_labels_are_a_choice_with_alternatives(kind: str) -> None:
    if kind not in CHOICES:
        assert refused(kind, request(labels=("yes", "no"))) in ("choice", "labels")
        return
    found = body(kind, request(labels=("yes", "no")))
    assert CHOICES[kind].items() <= found.items()
    assert (found["temperature"], found["logprobs"], found["top_logprobs"]) == (0, True, 20)


@pytest.mark.parametrize("kind", KINDS)
def test_what_no_upstream_is_asked_for(kind: str) -> None:
    assert refused(kind, request(messages=None, texts=("a",))) == "input"
    assert refused(kind, request(n=2)) == "n"
    assert refused(kind, request(messages=None, prompt="x", echo=True)) == "echo"
    assert refused(kind, request(tools=Tools(({"name": "f"},)))) == "tools"
    assert refused(kind, request(thinking=True)) == "thinking"
    assert refused(kind, request(constraint=Constraint("grammar", "g"))) == "grammar"


def test_nothing_is_left_out_silently() -> None:
    assert refused("openai", request(sampling=Sampling(top_k=4))) == "top_k"
    assert (
        refused("llama-server", request(sampling=Sampling(logit_bias=((3, 1.0),)))) == "logit_bias"
    )
    assert refused("vllm", request(sampling=Sampling(typical_p=0.5))) == "typical_p"
    assert refused("ollama", request(min_tokens=2)) == "min_tokens"
    assert refused("openai", request(ignore_eos=True)) == "ignore_eos"
    assert refused("ollama", request(logprobs=2)) == "logprobs"
    assert refused("openai", request(messages=None, tokens=(1, 2))) == "prompt"
    assert refused("sglang", request(constraint=Constraint("choice", "[]"))) == "choice"
    assert refused("llama-server", request(constraint=Constraint("regex", "a"))) == "regex"
    assert body("vllm", request(sampling=Sampling(top_k=4), min_tokens=2))["top_k"] == 4
    biased = body("vllm", request(sampling=Sampling(logit_bias=((3, 1.0),))))
    assert biased["logit_bias"] == {"3": 1.0}
    tokens = body("vllm", request(messages=None, tokens=(1, 2), logprobs=3))
    assert (tokens["prompt"], tokens["logprobs"]) == ([1, 2], 3)


def test_prompts_that_begin_alike_have_one_beginning() -> None:
    """Whatever seed was drawn, and whatever is asked for beside the prompt."""

    def beginning(seed: int, **more: Any) -> bytes:
        return asked(KINDS["vllm"], "m", request(**more), seed, 5).beginning

    system = {"role": "system", "content": "You sort orders. " * 100}
    talk = (TURN, {"role": "assistant", "content": "Yes?"}, {"role": "user", "content": "More."})
    other = {"role": "user", "content": "Another order"}
    assert beginning(1) == beginning(2) == beginning(3, messages=talk, stop=("x",), logprobs=2)
    assert beginning(1, messages=(system, TURN)) == beginning(2, messages=(system, other))
    assert beginning(1) != beginning(1, messages=(other,))
    task = {"role": "system", "content": "Short."}
    mine, theirs = ({"messages": (task, turn), "common": 1} for turn in (TURN, other))
    assert beginning(1, **mine) == beginning(2, **theirs)
    texts = ["Once upon a time " * 90 + end for end in ("a", "b")]
    one, two = (beginning(1, messages=None, prompt=text) for text in texts)
    assert one == two != beginning(1, messages=None, prompt="Twice")
    assert beginning(1, messages=None, tokens=(1, 2)) == beginning(2, messages=None, tokens=(1, 2))
