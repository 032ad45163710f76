"""The body for each kind of engine as it was recorded, and what each refuses."""

import json
from typing import Any

import pytest

from appliance.errors import BadRequest
from appliance.routing.upstreams.kinds import FEATURES, EngineFeature, asked
from appliance.types import Constraint, GenerationRequest, Sampling, TaskNeeds, Tools
from appliance.upstream_kinds import KINDS

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
    assert kind in RECORDED, f"RECORDED in tests/routing/upstreams/test_kinds.py lacks {kind}"
    assert body(kind, request()) == {**USUAL, **RECORDED[kind], "messages": [TURN]}
    assert body(kind, request(messages=None, prompt="Once"))["prompt"] == "Once"
    wanted = body(kind, request(constraint=Constraint("json_schema", SCHEMA)))
    assert wanted["response_format"] == STRICT
    assert body(kind, request(stop=("x",)))["stop"] == ["x"]


@pytest.mark.parametrize("kind", KINDS)
def test_labels_are_a_choice_with_alternatives(kind: str) -> None:
    if kind not in CHOICES:
        assert refused(kind, request(task=TaskNeeds(labels=("yes", "no")))) in ("choice", "labels")
        return
    found = body(kind, request(task=TaskNeeds(labels=("yes", "no"))))
    assert CHOICES[kind].items() <= found.items()
    assert (found["temperature"], found["logprobs"], found["top_logprobs"]) == (0, True, 20)


TOOL = {"name": "f", "description": "", "parameters": {"type": "object"}}
TOOLS = Tools((TOOL,))
BIASED = Sampling(logit_bias=((3, 1.0),))
EVERYTHING: dict[str, GenerationRequest] = {
    "prompts of token ids": request(messages=None, tokens=(1, 2)),
    "`n`": request(n=2),
    "`best_of`": request(messages=None, prompt="x", best_of=3),
    "`echo` of a text": request(messages=None, prompt="x", echo=True),
    "`echo` of token ids, with log-probabilities, or without an answer": request(
        messages=None, prompt="x", echo=True, logprobs=1
    ),
    "`logprobs`": request(logprobs=2),
    "tasks with labels": request(task=TaskNeeds(labels=("yes", "no"))),
    "`tools`": request(tools=TOOLS),
    "`tool_choice` required, or naming a function": request(tools=Tools((TOOL,), ("f",))),
    "`parallel_tool_calls` false": request(tools=Tools((TOOL,), parallel=False)),
    "a form together with `tools`": request(tools=TOOLS, constraint=Constraint("json_object")),
    "`enable_thinking`": request(thinking=False),
    "`top_k`": request(sampling=Sampling(top_k=4)),
    "`min_p`": request(sampling=Sampling(min_p=0.1)),
    "`typical_p`": request(sampling=Sampling(typical_p=0.5)),
    "`repetition_penalty`": request(sampling=Sampling(repetition_penalty=1.1)),
    "`logit_bias`": request(sampling=BIASED),
    "`min_tokens`": request(min_tokens=2),
    "`ignore_eos`": request(ignore_eos=True),
    "a JSON schema": request(constraint=Constraint("json_schema", SCHEMA)),
    "any JSON object": request(constraint=Constraint("json_object")),
    "`guided_regex`": request(constraint=Constraint("regex", "a")),
    "`guided_choice`": request(constraint=Constraint("choice", '["a"]')),
    "a signed grammar": request(constraint=Constraint("grammar", "g")),
    "embeddings": request(messages=None, texts=("a",)),
    "reranking": request(messages=None, texts=("a",), query="q"),
}


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.about)
def test_each_cell_of_the_table(feature: EngineFeature) -> None:
    what = EVERYTHING[feature.about]
    usual = request() if what.messages else request(messages=None, prompt="x")
    assert feature.wanted(what) and not feature.wanted(usual)
    for name, kind in KINDS.items():
        if feature.done(kind):
            own = feature.about == "`echo` of a text"  # which is done here
            assert (body(name, what) == body(name, usual)) == own
        else:
            other = [one for one in FEATURES if one.wanted(what) and not one.done(kind)]
            assert refused(name, what) == other[0].name


def test_bodies_with_tools_choices_and_biases() -> None:
    both = (TOOL, {**TOOL, "name": "g"})
    named = body("vllm", request(tools=Tools(both, ("f",), parallel=False), n=2))
    assert named["tools"] == [{"type": "function", "function": TOOL}]
    assert named["tool_choice"] == "required"
    assert (named["parallel_tool_calls"], named["n"]) == (False, 2)
    two = body("openai", request(tools=Tools(both, ("f", "g"))))
    assert len(two["tools"]) == 2 and two["tool_choice"] == "required"
    assert "tool_choice" not in body("ollama", request(tools=TOOLS))
    ranked = body("vllm", request(messages=None, prompt="x", best_of=3))
    assert (ranked["n"], ranked["logprobs"]) == (3, 0)
    thinks = body("llama-server", request(thinking=False, ignore_eos=True, sampling=BIASED))
    assert thinks["chat_template_kwargs"] == {"enable_thinking": False}
    assert (thinks["ignore_eos"], thinks["logit_bias"]) == (True, {"3": 1.0})
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
    turns = (TURN, {"role": "assistant", "content": "", "tool_calls": [call]})
    (sent,) = body("vllm", request(messages=turns))["messages"][1]["tool_calls"]
    assert sent["function"] == {"name": "f", "arguments": '{"x": 1}'} and sent["id"] == "c"
    tokens = body("vllm", request(messages=None, tokens=(1, 2), logprobs=3))
    assert (tokens["prompt"], tokens["logprobs"]) == ([1, 2], 3)


def test_prompts_that_begin_alike_have_one_beginning() -> None:
    def beginning(seed: int, **more: Any) -> bytes:
        return asked(KINDS["vllm"], "m", request(**more), seed, 5).beginning

    system = {"role": "system", "content": "You sort orders. " * 100}
    talk = (TURN, {"role": "assistant", "content": "Yes?"}, {"role": "user", "content": "More."})
    other = {"role": "user", "content": "Another order"}
    assert beginning(1) == beginning(2) == beginning(3, messages=talk, stop=("x",), logprobs=2)
    assert beginning(1, messages=(system, TURN)) == beginning(2, messages=(system, other))
    assert beginning(1) != beginning(1, messages=(other,))
    task = {"role": "system", "content": "Short."}
    mine, theirs = (
        {"messages": (task, turn), "task": TaskNeeds(common=1)} for turn in (TURN, other)
    )
    assert beginning(1, **mine) == beginning(2, **theirs)
    texts = ["Once upon a time " * 90 + end for end in ("a", "b")]
    one, two = (beginning(1, messages=None, prompt=text) for text in texts)
    assert one == two != beginning(1, messages=None, prompt="Twice")
    assert beginning(1, messages=None, tokens=(1, 2)) == beginning(2, messages=None, tokens=(1, 2))
